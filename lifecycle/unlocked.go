package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// unlocked delivers what is armed, reads from GitLab how far production has come, and locks again
// when the result expires before production has started.
func (l *Lifecycle) unlocked(ctx context.Context, w *engine.Work, run upgrade.Run) (upgrade.Step, error) {
	production, promoted, err := l.production(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	if !promoted.IsZero() {
		return l.promote(ctx, run, production, promoted)
	}
	step := upgrade.Step{Next: upgrade.Park(l.Clock.Now().Add(lookAgain))}
	reason := run.Reason
	if !production.Started { // what has started cannot be taken back, and needs no further order
		p, err := l.prove(ctx, run)
		if err != nil {
			return upgrade.Step{}, err
		}
		if !p.open() {
			return l.notAnyMore(ctx, run, p)
		}
		delivered, err := l.deliver(ctx, w, run, p.given)
		if err != nil {
			return upgrade.Step{}, err
		}
		if len(delivered.changed) > 0 {
			step.Orders, step.Events, step.Given = delivered.changed, delivered.events, p.given
			reason = unlockedReason(delivered.orders)
		}
	}
	if production != run.Production || reason != run.Reason {
		if production.Started && !run.Production.Started {
			step.Events = append(step.Events, l.event(run, upgrade.EventNote, "GitLab", "The production job has started."))
		}
		if production.Failed && !run.Production.Failed {
			step.Events = append(step.Events, l.event(run, upgrade.EventNote, "GitLab", "The production job failed."))
		}
		run.Production, run.Reason = production, reason
		step.Runs = []upgrade.Run{run}
		if len(step.Events) == 0 {
			step.Events = append(step.Events, l.event(run, upgrade.EventWaiting, "", reason))
		}
	}
	return step, nil
}

// notAnyMore locks the run again, whatever keeps production shut now: what was open must not stay so
// while another stack is looked at.
func (l *Lifecycle) notAnyMore(ctx context.Context, run upgrade.Run, p *proof) (upgrade.Step, error) {
	if p.against == "" {
		p.against = p.waits
		newest, err := l.newestOf(ctx, run)
		if err != nil {
			return upgrade.Step{}, err
		}
		for _, name := range sortedKeys(newest) {
			if name != run.Stack && !newest[name].Phase.Opens() {
				p.sibling = name
			}
		}
	}
	if len(p.starts) > 0 {
		p.sibling = p.starts[0].Stack
		p.against = fmt.Sprintf("this change touches %s too, by now", p.sibling)
	}
	step, err := l.relock(ctx, run, p)
	step.Starts = p.starts
	return step, err
}

// promote is the step of a run whose content is in production. From here on that is the base, and what
// was applied up to the run's own apply is behind it.
func (l *Lifecycle) promote(ctx context.Context, run upgrade.Run, production upgrade.ProductionFacts, at time.Time) (upgrade.Step, error) {
	applies, err := l.Store.Applies(ctx, run.ID)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read applies of run %d: %w", run.ID, err)
	}
	base := upgrade.Base{Stack: run.Stack, Tree: run.Tree, Commit: run.Commit, At: at}
	for _, apply := range applies {
		base.Since = max(base.Since, apply.Seq)
	}
	run.Production, run.PromotedAt = production, at
	step := l.to(run, upgrade.PhasePromoted)
	step.Bases = []upgrade.Base{base}
	step.Wake, err = l.siblingJobs(ctx, run)
	return step, err
}

// production reads how far production has come with this tree. promoted is zero until it has it.
func (l *Lifecycle) production(ctx context.Context, run upgrade.Run) (facts upgrade.ProductionFacts, promoted time.Time, err error) {
	stack, err := l.stack(run)
	if err != nil {
		return facts, promoted, err
	}
	if name := stack.Production.Environment; name != "" {
		facts, promoted, err = l.deployed(ctx, run, name)
		if err != nil || !promoted.IsZero() {
			return facts, promoted, err
		}
	}
	name := stack.Production.Job
	for _, hold := range stack.Holds {
		if name == "" && hold.Kind == upgrade.HoldPlayJob && hold.Opens == upgrade.OpensDeploy {
			name = hold.Job
		}
	}
	if name == "" {
		return facts, promoted, nil
	}
	job, found, err := l.heldJob(ctx, run, name)
	if err != nil || !found {
		return facts, promoted, err
	}
	return jobFacts(job, facts)
}

func jobFacts(job forge.Job, facts upgrade.ProductionFacts) (upgrade.ProductionFacts, time.Time, error) {
	facts.JobURL = job.WebURL
	switch job.Status {
	case "pending", "running":
		facts.Started = true
	case "failed", "canceled":
		facts.Started, facts.Failed = true, true
	case "success":
		facts.Started = true
		return facts, job.FinishedAt, nil
	}
	return facts, time.Time{}, nil
}

// deployed reads how far deployments of this tree to GitLab's environment have come. It is promoted if
// the last one that succeeded there is of a commit of this tree, whichever attempt's: then production has
// it now.
func (l *Lifecycle) deployed(ctx context.Context, run upgrade.Run, environment string) (facts upgrade.ProductionFacts, promoted time.Time, err error) {
	deployments, err := l.Forge.Deployments(ctx, run.ProjectID, environment, 20)
	if err != nil {
		return facts, promoted, fmt.Errorf("read deployments to %s: %w", environment, err)
	}
	attempts, err := l.Store.Runs(ctx, upgrade.RunFilter{Upgrade: run.Upgrade, Limit: 500})
	if err != nil {
		return facts, promoted, fmt.Errorf("read runs of upgrade %d: %w", run.Upgrade, err)
	}
	for _, deployment := range deployments { // newest first
		ours := run.AnswersFor(deployment.Commit) ||
			slices.ContainsFunc(attempts, func(r upgrade.Run) bool { return r.AnswersFor(deployment.Commit) })
		switch {
		case deployment.Status == "success" && ours:
			facts.Started, facts.JobURL = true, deployment.JobURL
			return facts, deployment.UpdatedAt, nil
		case deployment.Status == "success":
			return facts, promoted, nil // what lies behind it is no longer there
		case !ours || facts.Started || deployment.UpdatedAt.Before(run.CreatedAt):
		case deployment.Status == "running":
			facts.Started, facts.JobURL = true, deployment.JobURL
		case deployment.Status == "failed" || deployment.Status == "canceled":
			facts.Started, facts.Failed, facts.JobURL = true, true, deployment.JobURL
		}
	}
	return facts, promoted, nil
}
