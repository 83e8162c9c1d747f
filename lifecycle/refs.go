package lifecycle

import (
	"context"
	"fmt"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// abandoned asks runs to give way to which no watched ref leads any more, now that moved leads
// elsewhere: before their apply they are superseded; an open one looks whether it still counts. What the
// step starts on a run's stack is its successor.
func (l *Lifecycle) abandoned(ctx context.Context, step *upgrade.Step, moved upgrade.RefState, why string) error {
	refs, err := l.Store.Refs(ctx, moved.Key.ProjectID)
	if err != nil {
		return fmt.Errorf("read refs: %w", err)
	}
	wanted := map[upgrade.Tree]bool{moved.Tree: true}
	for _, ref := range refs {
		if ref.Key != moved.Key {
			wanted[ref.Tree] = true
		}
	}
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{ProjectID: moved.Key.ProjectID, Phases: givesWay(), Limit: 500})
	if err != nil {
		return fmt.Errorf("read runs: %w", err)
	}
	for _, run := range runs {
		switch {
		case wanted[run.Tree]:
		case run.Phase.CanFollow(upgrade.PhaseSuperseded):
			step.Requests = append(step.Requests, upgrade.Request{
				Run: run.ID, Kind: upgrade.RequestSupersede, By: upgrade.ByRule(), Reason: why, At: l.Clock.Now(),
			})
		default:
			step.Wake = append(step.Wake, upgrade.JobForRun(run.ID))
		}
	}
	return nil
}

// givesWay lists the phases in which a run cares whether a ref leads to it.
func givesWay() []upgrade.Phase {
	phases := []upgrade.Phase{upgrade.PhaseUnlocking, upgrade.PhaseUnlocked}
	for _, phase := range upgrade.Phases() {
		if phase.CanFollow(upgrade.PhaseSuperseded) {
			phases = append(phases, phase)
		}
	}
	return phases
}

// refuse is what comes of content that may not be tested (S13): no run, the reason kept with the ref, and
// whatever the ref led to before is no longer what it leads to.
func (l *Lifecycle) refuse(ctx context.Context, project forge.Project, ref string, commit upgrade.Commit, what, why string) (upgrade.Step, error) {
	step := fate(upgrade.FateRefused, "%s is not tested: %s", what, why)
	err := l.leadsNowhere(ctx, &step, upgrade.RefState{
		Key: upgrade.RefKey{ProjectID: project.ID, Ref: ref}, Commit: commit, Why: why,
	}, what+" has moved to what may not be tested")
	return step, err
}

// forget is what comes of a ref that is gone, or no longer watched.
func (l *Lifecycle) forget(ctx context.Context, project forge.Project, ref, why string) (upgrade.Step, error) {
	step := fate(upgrade.FateIgnored, "%s", why)
	key := upgrade.RefKey{ProjectID: project.ID, Ref: ref}
	if _, known, err := l.Store.Ref(ctx, key); err != nil || !known {
		return step, err
	}
	err := l.leadsNowhere(ctx, &step, upgrade.RefState{Key: key}, why)
	return step, err
}

// leadsNowhere adds to the step that a ref leads to nothing that is tested.
func (l *Lifecycle) leadsNowhere(ctx context.Context, step *upgrade.Step, now upgrade.RefState, why string) error {
	was, _, err := l.Store.Ref(ctx, now.Key)
	if err != nil {
		return fmt.Errorf("read ref %s: %w", now.Key.Ref, err)
	}
	if was.Rev > 0 && was.Tree == "" && was.Commit == now.Commit && was.Why == now.Why {
		return nil // known since an earlier delivery
	}
	now.Rev, now.At = was.Rev, l.Clock.Now()
	step.Refs = append(step.Refs, now)
	if iid, ok := strings.CutPrefix(now.Key.Ref, mergeRefs); ok {
		step.Wake = append(step.Wake, upgrade.JobFor(upgrade.JobNote, fmt.Sprintf("%d/%s", now.Key.ProjectID, iid)))
	}
	return l.abandoned(ctx, step, now, why)
}

// wasProduction reports whether the run's tree was head of its production branch.
func (l *Lifecycle) wasProduction(run upgrade.Run) bool {
	branch := l.stacks[run.Stack].Production.Branch
	for _, answer := range run.Answers {
		if answer.MergeRequest == 0 && answer.Ref == branch {
			return true
		}
	}
	return false
}
