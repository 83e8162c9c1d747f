package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// retry starts a further attempt of a run's content on its stack, as a person asked: from the plan, or as
// a rehearsal. What an earlier attempt left in the open change stays (S12).
func (l *Lifecycle) retry(ctx context.Context, hint upgrade.Hint) (upgrade.Step, error) {
	run, err := l.Store.Run(ctx, hint.Run)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read run %d: %w", hint.Run, err)
	}
	refusal, err := l.unrepeatable(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	stack, known := l.stacks[run.Stack]
	switch {
	case refusal != "":
		return fate(upgrade.FateRefused, "run %d is not repeated: %s", run.ID, refusal), nil
	case !known:
		return fate(upgrade.FateRefused, "run %d is not repeated: stack %s is no longer configured", run.ID, run.Stack), nil
	}
	base, known, err := l.Store.Base(ctx, run.Stack)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read the base of %s: %w", run.Stack, err)
	}
	refs, err := l.leading(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	next := l.newRun(run, stack, base, fmt.Sprintf("%s runs it from the plan", hint.By))
	if hint.Kind == upgrade.HintRehearse {
		if !known || base.Tree == "" {
			return fate(upgrade.FateRefused, "run %d is not rehearsed: nobody knows what production of %s has; say it with upgradegate stack base", run.ID, run.Stack), nil
		}
		next.Half = upgrade.HalfBack
		next.Reason = fmt.Sprintf("%s rehearses it: back to %s, and forth again", hint.By, base.Commit.Short())
	}
	step := fate(upgrade.FateStarted, "%s", next.Reason)
	step.Starts = []upgrade.Run{next}
	step.Given = upgrade.Given{Refs: refs}
	return step, nil
}

// unrepeatable says why no further attempt of the run may begin, "" if it may.
func (l *Lifecycle) unrepeatable(ctx context.Context, run upgrade.Run) (string, error) {
	switch {
	case run.Phase.Live() || run.Phase == upgrade.PhaseUnlocked:
		return fmt.Sprintf("it is %s", run.Phase), nil
	case run.Phase == upgrade.PhaseInterrupted:
		return "a person must say first what is true of staging", nil
	case run.Phase == upgrade.PhasePromoted:
		return "production has it", nil
	}
	newest, err := l.newestOf(ctx, run)
	if err != nil {
		return "", err
	}
	if other := newest[run.Stack]; other.ID != run.ID {
		return fmt.Sprintf("run %d is a newer attempt", other.ID), nil
	}
	refs, err := l.leading(ctx, run)
	if err != nil {
		return "", err
	}
	if len(refs) == 0 {
		return "no watched branch leads to its content any more: push it again", nil
	}
	return "", nil
}

// leading returns the refs that lead to the run's content now. Only what one leads to may run (S13).
func (l *Lifecycle) leading(ctx context.Context, run upgrade.Run) ([]upgrade.RefState, error) {
	refs, err := l.Store.Refs(ctx, run.ProjectID)
	if err != nil {
		return nil, fmt.Errorf("read refs of %s: %w", run.Project, err)
	}
	return slices.DeleteFunc(refs, func(r upgrade.RefState) bool { return r.Tree != run.Tree }), nil
}
