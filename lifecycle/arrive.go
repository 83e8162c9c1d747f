package lifecycle

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// arrival is content that a watched ref now leads to.
type arrival struct {
	project forge.Project
	stacks  []upgrade.Stack // whose trigger the ref is
	ref     string
	tree    upgrade.Tree // empty: that of the answer's commit
	answer  upgrade.Answer
	title   string
	author  string
}

// arrive decides what an arrival starts, joins or supersedes, in one step that holds only if the ref
// has not been moved by somebody else meanwhile.
func (l *Lifecycle) arrive(ctx context.Context, a arrival) (upgrade.Step, error) {
	if a.tree == "" {
		if err := l.Git.Ensure(ctx, a.project, a.answer.Commit); err != nil {
			return upgrade.Step{}, fmt.Errorf("fetch %s: %w", a.answer.Commit.Short(), err)
		}
		tree, err := l.Git.Tree(ctx, a.project, a.answer.Commit)
		if err != nil {
			return upgrade.Step{}, fmt.Errorf("read the tree of %s: %w", a.answer.Commit.Short(), err)
		}
		a.tree = tree
	}
	state, known, err := l.Store.Ref(ctx, upgrade.RefKey{ProjectID: a.project.ID, Ref: a.ref})
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read ref %s: %w", a.ref, err)
	}
	if known && state.Tree == a.tree && state.Commit == a.answer.Commit {
		return fate(upgrade.FateIgnored, "%s has not moved since the last delivery", a.ref), nil
	}
	state = upgrade.RefState{
		Key: upgrade.RefKey{ProjectID: a.project.ID, Ref: a.ref}, Tree: a.tree, Commit: a.answer.Commit, Rev: state.Rev, At: l.Clock.Now(),
	}
	step := upgrade.Step{
		Refs: []upgrade.RefState{state}, Answers: map[upgrade.RunID][]upgrade.Answer{}, Delivery: &upgrade.Delivery{},
	}
	for _, stack := range a.stacks {
		if err := l.arriveAt(ctx, a, stack, &step); err != nil {
			return upgrade.Step{}, err
		}
	}
	step.Given = asRead(step.Bases)
	if err := l.abandoned(ctx, &step, state, fmt.Sprintf("a newer commit of %s is tested", a.answer.Ref)); err != nil {
		return upgrade.Step{}, err
	}
	switch {
	case len(step.Starts) > 0:
		step.Delivery.Fate, step.Delivery.Reason = upgrade.FateStarted, fmt.Sprintf("%s leads to new content", a.ref)
	case len(step.Answers) > 0:
		step.Delivery.Fate, step.Delivery.Reason = upgrade.FateJoined, "a run that exists tests this content"
	default:
		step.Delivery.Fate, step.Delivery.Reason = upgrade.FateIgnored, "no stack is touched by it"
	}
	return step, nil
}

// arriveAt adds to the step what the arrival means for one stack.
func (l *Lifecycle) arriveAt(ctx context.Context, a arrival, stack upgrade.Stack, step *upgrade.Step) error {
	existing, found, err := l.answering(ctx, a, stack)
	if err != nil {
		return err
	}
	if found {
		step.Answers[existing.ID] = []upgrade.Answer{a.answer}
		step.Wake = append(step.Wake, upgrade.JobForRun(existing.ID))
		step.Delivery.Runs = append(step.Delivery.Runs, existing.ID)
		return nil
	}
	base, err := l.base(ctx, a, stack, step)
	if err != nil {
		return err
	}
	touched, err := l.touched(ctx, a, stack, base)
	if err != nil {
		return err
	}
	if !touched {
		return nil
	}
	now := l.Clock.Now()
	step.Starts = append(step.Starts, upgrade.Run{
		ProjectID: a.project.ID, Project: a.project.Path, Stack: stack.Name, Environment: stack.Staging.Environment,
		Tree: a.tree, Commit: a.answer.Commit, Version: a.answer.Commit.Short(), Base: base.Commit.Short(),
		Title: a.title, Author: a.author, Answers: []upgrade.Answer{a.answer},
		Phase: upgrade.PhaseQueued, Reason: a.answer.Ref + " leads to new content", Since: now, CreatedAt: now, Verdict: upgrade.VerdictClosed,
	})
	return nil
}

// answering returns the run that answers for the tree already: neither superseded nor stopped, with
// no other tree's apply begun on that staging stack since.
func (l *Lifecycle) answering(ctx context.Context, a arrival, stack upgrade.Stack) (upgrade.Run, bool, error) {
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Stack: stack.Name, ProjectID: a.project.ID, Tree: a.tree, Limit: 1})
	if err != nil {
		return upgrade.Run{}, false, fmt.Errorf("read runs of %s: %w", stack.Name, err)
	}
	if len(runs) == 0 || runs[0].Phase == upgrade.PhaseSuperseded || runs[0].Phase == upgrade.PhaseStopped {
		return upgrade.Run{}, false, nil
	}
	if runs[0].Phase == upgrade.PhaseQueued || runs[0].Phase.HoldsSlot() {
		return runs[0], true, nil // it is still on its way, or waits behind the other's apply
	}
	last, begun, err := l.Store.LastApply(ctx, stack.Name, stack.Staging.Environment)
	if err != nil {
		return upgrade.Run{}, false, fmt.Errorf("read the last apply of %s: %w", stack.Name, err)
	}
	if begun && last.Tree != a.tree && !last.BegunAt.Before(runs[0].CreatedAt) {
		return upgrade.Run{}, false, nil // staging is no longer what that run tested: a revert is tested anew
	}
	return runs[0], true, nil
}
