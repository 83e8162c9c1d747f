package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// unlocked delivers what is armed, reads from GitLab how far production has come, and locks again
// when the result expires before production has started.
func (l *Lifecycle) unlocked(ctx context.Context, run upgrade.Run) (upgrade.Step, error) {
	production, promoted, err := l.production(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	if !promoted.IsZero() {
		run.Production, run.PromotedAt = production, promoted
		step := l.to(run, upgrade.PhasePromoted)
		step.Bases = []upgrade.Base{{Stack: run.Stack, Tree: run.Tree, Commit: run.Commit, At: promoted}}
		return step, nil
	}
	var orders []upgrade.Order
	var events []upgrade.Event
	if !production.Started { // what has started cannot be taken back, and needs no further order
		if step, changed, err := l.stillTrue(ctx, run); changed || err != nil {
			return step, err
		}
		reason, err := l.othersOpen(ctx, run)
		if err != nil {
			return upgrade.Step{}, err
		}
		if reason != "" {
			return l.relock(ctx, run, reason)
		}
		if orders, events, err = l.deliver(ctx, run); err != nil {
			return upgrade.Step{}, err
		}
	}
	step := upgrade.Step{Orders: orders, Events: events, Next: upgrade.Park(l.Clock.Now().Add(lookAgain))}
	reason := run.Reason
	if len(orders) > 0 {
		reason = unlockedReason(orders)
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

// deployed reads the deployments of commits of this tree to GitLab's environment.
func (l *Lifecycle) deployed(ctx context.Context, run upgrade.Run, environment string) (facts upgrade.ProductionFacts, promoted time.Time, err error) {
	deployments, err := l.Forge.Deployments(ctx, run.ProjectID, environment, 20)
	if err != nil {
		return facts, promoted, fmt.Errorf("read deployments to %s: %w", environment, err)
	}
	for _, deployment := range deployments {
		ours := slices.ContainsFunc(run.Answers, func(a upgrade.Answer) bool { return a.Commit == deployment.Commit })
		if !ours {
			continue
		}
		facts.JobURL = deployment.JobURL
		switch deployment.Status {
		case "running":
			facts.Started = true
		case "failed", "canceled":
			facts.Started, facts.Failed = true, true
		case "success":
			facts.Started = true
			return facts, deployment.UpdatedAt, nil
		}
		break // the newest one of this tree tells
	}
	return facts, promoted, nil
}
