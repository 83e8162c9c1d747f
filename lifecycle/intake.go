package lifecycle

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// intakeLimit is for how long GitLab may refuse to tell what a delivery is about before that is what
// came of the delivery.
const intakeLimit = 24 * time.Hour

// intake finds out what one delivery means. The delivery is only a hint (S7): what is true is read
// from GitLab, and only then are runs created, joined or superseded.
func (l *Lifecycle) intake(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
	delivery, err := l.Store.Delivery(ctx, upgrade.DeliveryID(w.Job.Subject))
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read delivery %s: %w", w.Job.Subject, err)
	}
	if delivery.Fate != upgrade.FatePending && delivery.Fate != "" {
		return upgrade.Step{Next: upgrade.End()}, nil
	}
	step, err := l.understand(ctx, delivery)
	if err != nil {
		if l.Clock.Now().Sub(delivery.ReceivedAt) < intakeLimit {
			err = perhaps(err)
		}
		if upgrade.Transient(err) || ctx.Err() != nil || upgrade.CodeOf(err) == upgrade.CodeStale {
			return upgrade.Step{}, err // the engine tries again: what was answered 2xx is never lost
		}
		l.Logger.WarnContext(ctx, "delivery refused", "delivery", string(delivery.ID), "err", err)
		step = fate(upgrade.FateRefused, "%s", upgrade.Public(err))
	}
	step.Delivery.ID = delivery.ID
	step.Next = upgrade.End()
	return step, nil
}

// fate is the step that does nothing but say what came of a delivery.
func fate(f upgrade.Fate, format string, args ...any) upgrade.Step {
	return upgrade.Step{Delivery: &upgrade.Delivery{Fate: f, Reason: fmt.Sprintf(format, args...)}}
}

func (l *Lifecycle) understand(ctx context.Context, delivery upgrade.Delivery) (upgrade.Step, error) {
	hint := delivery.Hint
	if hint.Kind == upgrade.HintOther || hint.Kind == upgrade.HintNote {
		return fate(upgrade.FateIgnored, "%s says nothing that is acted on", orWord(delivery.Event, "it")), nil
	}
	if hint.Kind == upgrade.HintRetry || hint.Kind == upgrade.HintRehearse {
		return l.retry(ctx, hint)
	}
	project, err := l.Forge.ProjectByID(ctx, hint.ProjectID)
	if err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeNotFound && len(l.stacksOf(hint.Project)) == 0 {
			return fate(upgrade.FateIgnored, "GitLab does not know project %d, or the token may not see it", hint.ProjectID), nil
		}
		return upgrade.Step{}, fmt.Errorf("read project %d: %w", hint.ProjectID, err)
	}
	if len(l.stacksOf(project.Path)) == 0 {
		return l.unknownProject(ctx, project)
	}
	switch hint.Kind {
	case upgrade.HintPush:
		return l.pushed(ctx, project, hint)
	case upgrade.HintMergeRequest:
		return l.mergeRequest(ctx, project, hint.MergeRequest)
	case upgrade.HintPipeline, upgrade.HintJob, upgrade.HintDeployment:
		return l.progressed(ctx, project, hint)
	case upgrade.HintReconcile, upgrade.HintRetry, upgrade.HintRehearse, upgrade.HintNote, upgrade.HintOther:
	}
	return fate(upgrade.FateIgnored, "nothing to do"), nil
}

// unknownProject says that no stack is of the project, and whether it had another name when one was.
func (l *Lifecycle) unknownProject(ctx context.Context, project forge.Project) (upgrade.Step, error) {
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{ProjectID: project.ID, Limit: 1})
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read runs of %s: %w", project.Path, err)
	}
	if len(runs) > 0 {
		return fate(upgrade.FateRefused, "project %s is called %s now: put the new name into the configuration", runs[0].Project, project.Path), nil
	}
	return fate(upgrade.FateIgnored, "no stack is configured for project %s", project.Path), nil
}

func orWord(word, other string) string {
	if word == "" {
		return other
	}
	return word
}

func (l *Lifecycle) stacksOf(path string) []upgrade.Stack {
	var stacks []upgrade.Stack
	for _, stack := range l.Stacks {
		if strings.EqualFold(stack.Project, path) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

func headRef(branch string) string { return "heads/" + branch }

// mergeRefs is what the names of merge requests' refs begin with.
const mergeRefs = "merge-requests/"

func mergeRef(iid int64) string { return mergeRefs + strconv.FormatInt(iid, 10) }

// pushed deals with a push: where the branch is now, not where the delivery says it was.
func (l *Lifecycle) pushed(ctx context.Context, project forge.Project, hint upgrade.Hint) (upgrade.Step, error) {
	if hint.Ref == "" {
		return fate(upgrade.FateIgnored, "it is not about a branch"), nil
	}
	var stacks []upgrade.Stack
	watched := false
	for _, stack := range l.stacksOf(project.Path) {
		if stack.Trigger.MergeRequestTo == hint.Ref {
			watched = true
		}
		if stack.Trigger.Push == hint.Ref || stack.Production.Branch == hint.Ref {
			stacks = append(stacks, stack)
		}
	}
	if watched { // the target of merge requests has moved: what they would give is another tree
		if err := l.offerMergeRequests(ctx, project, hint.Ref, "target"); err != nil {
			return upgrade.Step{}, err
		}
	}
	if len(stacks) == 0 {
		return fate(upgrade.FateIgnored, "branch %s is not watched", hint.Ref), nil
	}
	branch, err := l.Forge.Branch(ctx, project.ID, hint.Ref)
	if err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeNotFound {
			return l.forget(ctx, project, headRef(hint.Ref), fmt.Sprintf("branch %s no longer exists", hint.Ref))
		}
		return upgrade.Step{}, fmt.Errorf("read branch %s: %w", hint.Ref, err)
	}
	if !branch.Protected {
		return l.refuse(ctx, project, headRef(hint.Ref), branch.Commit, "branch "+hint.Ref, "it is not protected in GitLab, so anybody could push to it: protect it")
	}
	return l.arrive(ctx, arrival{
		project: project, stacks: stacks, ref: headRef(hint.Ref),
		answer: upgrade.Answer{Ref: hint.Ref, Commit: branch.Commit, At: l.Clock.Now()},
		title:  branch.Title, author: branch.Author,
	})
}

// progressed wakes what waits for pipelines, jobs and deployments of the project.
func (l *Lifecycle) progressed(ctx context.Context, project forge.Project, hint upgrade.Hint) (upgrade.Step, error) {
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{ProjectID: project.ID, Limit: 100})
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read runs of %s: %w", project.Path, err)
	}
	step := fate(upgrade.FateIgnored, "no run waits for it")
	for _, run := range runs {
		waiting := run.Phase == upgrade.PhaseUnlocking || run.Phase == upgrade.PhaseUnlocked
		if waiting {
			step.Wake = append(step.Wake, upgrade.JobForRun(run.ID))
		}
		ours := hint.Kind == upgrade.HintPipeline && run.AnswersFor(hint.After)
		if ours {
			step.Wake = append(step.Wake, upgrade.JobForStatus(run.ID))
		}
		if waiting || ours {
			step.Delivery.Reason = "runs that wait for GitLab look again"
			step.Delivery.Runs = append(step.Delivery.Runs, run.ID)
		}
	}
	if hint.Kind == upgrade.HintDeployment {
		return l.deployedTo(ctx, project, step)
	}
	if hint.Kind != upgrade.HintPipeline || hint.Status != "success" {
		return step, nil
	}
	for _, stack := range l.stacksOf(project.Path) {
		if target := stack.Trigger.MergeRequestTo; target != "" {
			if err := l.offerMergeRequests(ctx, project, target, fmt.Sprintf("pipeline-%d", hint.Pipeline)); err != nil {
				return upgrade.Step{}, err
			}
		}
	}
	return step, nil
}

// deployedTo adds to the step what production of the project's stacks has by now, whoever let it through.
func (l *Lifecycle) deployedTo(ctx context.Context, project forge.Project, step upgrade.Step) (upgrade.Step, error) {
	for _, stack := range l.stacksOf(project.Path) {
		base, moved, err := l.baseNow(ctx, stack)
		if err != nil {
			return upgrade.Step{}, fmt.Errorf("look what production of %s has: %w", stack.Name, err)
		}
		if moved {
			step.Bases = append(step.Bases, base)
			step.Delivery.Reason = fmt.Sprintf("production of %s has %s now", stack.Name, base.Commit.Short())
		}
	}
	step.Given = asRead(step.Bases)
	return step, nil
}
