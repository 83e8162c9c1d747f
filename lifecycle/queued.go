package lifecycle

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// queued lets the run go once its stack is free and every stack that it comes after is through.
func (l *Lifecycle) queued(ctx context.Context, run upgrade.Run) (upgrade.Step, error) {
	stack, err := l.stack(run)
	if err != nil {
		return l.ended(run, upgrade.PhaseBlocked, upgrade.Cause{
			Kind: upgrade.CauseAfter, Message: upgrade.Public(err), Hint: upgrade.HintOf(err),
		}), nil
	}
	reason, err := l.inTheWay(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	if reason != "" {
		return l.waits(run, reason, upgrade.ParkUntilWoken()), nil
	}
	reason, cause, err := l.before(ctx, run, stack)
	switch {
	case err != nil:
		return upgrade.Step{}, err
	case cause.Kind != "":
		return l.ended(run, upgrade.PhaseBlocked, cause), nil
	case reason != "":
		return l.waits(run, reason, upgrade.ParkUntilWoken()), nil
	}
	return l.to(run, upgrade.PhasePreparing), nil
}

// inTheWay says which other run keeps this one waiting on the stacks of its own upgrade; "" if none.
func (l *Lifecycle) inTheWay(ctx context.Context, run upgrade.Run) (string, error) {
	siblings, err := l.Store.Runs(ctx, upgrade.RunFilter{Upgrade: run.Upgrade, Limit: 500})
	if err != nil {
		return "", fmt.Errorf("read runs of upgrade %d: %w", run.Upgrade, err)
	}
	for _, sibling := range siblings {
		others, err := l.Store.Runs(ctx, upgrade.RunFilter{Stack: sibling.Stack, Phases: standing(), Limit: 500})
		if err != nil {
			return "", fmt.Errorf("read runs of stack %s: %w", sibling.Stack, err)
		}
		for _, other := range others {
			if reason := obstacle(run, other); reason != "" {
				return reason, nil
			}
		}
	}
	return "", nil
}

// standing lists the phases in which a run can be in another one's way.
func standing() []upgrade.Phase {
	var phases []upgrade.Phase
	for _, phase := range upgrade.Phases() {
		if phase == upgrade.PhaseQueued || phase.HoldsSlot() || phase == upgrade.PhaseUnlocking || phase == upgrade.PhaseUnlocked {
			phases = append(phases, phase)
		}
	}
	return phases
}

// obstacle says why other keeps run waiting, "" if it does not. Upgrades that share a stack go in the
// order of their intake on all their stacks, so a younger upgrade is in nobody's way.
func obstacle(run, other upgrade.Run) string {
	sameStack := other.Stack == run.Stack
	switch {
	case other.ID == run.ID:
		return ""
	case sameStack && other.Phase.HoldsSlot():
		return fmt.Sprintf("run %d is using %s of %s", other.ID, other.Environment, other.Stack)
	case other.Upgrade == run.Upgrade:
		return ""
	case sameStack && (other.Phase == upgrade.PhaseUnlocking || other.Phase == upgrade.PhaseUnlocked):
		return fmt.Sprintf("run %d is on its way to production", other.ID)
	case other.Upgrade < run.Upgrade && other.Phase.Live():
		return fmt.Sprintf("run %d of an earlier change on %s goes first", other.ID, other.Stack)
	}
	return ""
}

// before looks at the stacks that this one comes after: what it waits for, or why it can never go.
func (l *Lifecycle) before(ctx context.Context, run upgrade.Run, stack upgrade.Stack) (reason string, cause upgrade.Cause, err error) {
	for _, name := range stack.After {
		runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Stack: name, Limit: 50})
		if err != nil {
			return "", cause, fmt.Errorf("read runs of stack %s: %w", name, err)
		}
		sameSeen := false
		for _, other := range runs {
			if other.Upgrade != run.Upgrade {
				if other.Phase.HoldsSlot() {
					return fmt.Sprintf("run %d is changing %s, which comes first", other.ID, name), cause, nil
				}
				continue
			}
			if sameSeen {
				continue // an older attempt of the same upgrade
			}
			sameSeen = true
			switch {
			case other.Phase.Opens():
			case other.Phase.Live():
				return fmt.Sprintf("run %d tests %s, which comes first", other.ID, name), cause, nil
			default:
				return "", upgrade.Cause{
					Kind: upgrade.CauseAfter, Effect: upgrade.EffectNotComplete,
					Message: fmt.Sprintf("%s comes first, and its run %d ended %s", name, other.ID, other.Phase),
					Hint:    fmt.Sprintf("bring run %d through, then run this again", other.ID),
				}, nil
			}
		}
	}
	return "", cause, nil
}
