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
	first, err := l.comesFirst(ctx, run, stack)
	switch {
	case err != nil:
		return upgrade.Step{}, err
	case first.cause.Kind != "":
		step := l.ended(run, upgrade.PhaseBlocked, first.cause)
		step.Wake, err = l.siblingJobs(ctx, run)
		return step, err
	case first.reason != "":
		return l.waits(run, first.reason, upgrade.ParkUntilWoken()), nil
	}
	run.Warnings = first.warnings
	return l.takeSlot(ctx, run)
}

// takeSlot is the step in which the run begins: as a rehearsal by itself, if another tree left a no in
// the open change (S12).
func (l *Lifecycle) takeSlot(ctx context.Context, run upgrade.Run) (upgrade.Step, error) {
	if run.Half == "" {
		why, err := l.mustRehearse(ctx, run)
		if err != nil {
			return upgrade.Step{}, err
		}
		if why != "" {
			run.Half = upgrade.HalfBack
			step := l.to(run, upgrade.PhasePreparing)
			step.Events = append(step.Events, l.event(run, upgrade.EventNote, "",
				upperFirst(why)+". So staging is taken back to the base first, and then this change is made and judged."))
			return step, nil
		}
	}
	return l.to(run, upgrade.PhasePreparing), nil
}

// inTheWay says which other run keeps this one waiting, "" if none. Upgrades that share a stack go in one
// order, that of intake, on all their stacks: so no two can wait for each other.
func (l *Lifecycle) inTheWay(ctx context.Context, run upgrade.Run) (string, error) {
	siblings, err := l.Store.Runs(ctx, upgrade.RunFilter{Upgrade: run.Upgrade, Limit: 500})
	if err != nil {
		return "", fmt.Errorf("read runs of upgrade %d: %w", run.Upgrade, err)
	}
	shared := map[upgrade.StackName]bool{}
	for _, sibling := range siblings {
		shared[sibling.Stack] = true
	}
	others, err := l.Store.Runs(ctx, upgrade.RunFilter{Phases: standing(), Limit: 500})
	if err != nil {
		return "", fmt.Errorf("read runs on their way: %w", err)
	}
	turns := turns(others)
	for _, other := range others {
		if reason := obstacle(run, other, shared, turns); reason != "" {
			return reason, nil
		}
	}
	return "", nil
}

// turns returns each upgrade's place in the order of intake: the oldest of its runs that are on their
// way. A run that has ended holds nobody, and a further attempt comes behind what came in before it.
func turns(runs []upgrade.Run) map[upgrade.UpgradeID]upgrade.RunID {
	oldest := map[upgrade.UpgradeID]upgrade.RunID{}
	for _, run := range runs {
		if was, seen := oldest[run.Upgrade]; run.Phase.Live() && (!seen || run.ID < was) {
			oldest[run.Upgrade] = run.ID
		}
	}
	return oldest
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

// obstacle says why other keeps run waiting, "" if it does not.
func obstacle(run, other upgrade.Run, shared map[upgrade.StackName]bool, turns map[upgrade.UpgradeID]upgrade.RunID) string {
	sameStack := other.Stack == run.Stack
	switch {
	case other.ID == run.ID:
		return ""
	case sameStack && other.Environment == run.Environment && other.Phase.HoldsSlot():
		return fmt.Sprintf("run %d is using %s of %s", other.ID, other.Environment, other.Stack)
	case other.Upgrade == run.Upgrade:
		return ""
	case sameStack && (other.Phase == upgrade.PhaseUnlocking || other.Phase == upgrade.PhaseUnlocked):
		return fmt.Sprintf("run %d is on its way to production", other.ID)
	case shared[other.Stack] && other.Phase.Live() && turns[other.Upgrade] < turns[run.Upgrade]:
		return fmt.Sprintf("run %d of an earlier change on %s goes first", other.ID, other.Stack)
	}
	return ""
}

// precedence is what the stacks that a run comes after mean for it.
type precedence struct {
	reason   string        // what it waits for
	cause    upgrade.Cause // why it can never go
	warnings []string
}

// comesFirst looks at the stacks that this one comes after. What another upgrade does there is waited
// for; what it ended with is only a warning. What the same upgrade does there has to pass first.
func (l *Lifecycle) comesFirst(ctx context.Context, run upgrade.Run, stack upgrade.Stack) (p precedence, err error) {
	for _, name := range stack.After {
		runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Stack: name, Limit: 50})
		if err != nil {
			return p, fmt.Errorf("read runs of stack %s: %w", name, err)
		}
		newest := true // of its upgrade, as long as only others were seen
		for i, other := range runs {
			switch {
			case other.Phase.HoldsSlot():
				p.reason = fmt.Sprintf("run %d is changing %s, which comes first", other.ID, name)
				return p, nil
			case other.Upgrade != run.Upgrade:
				if i == 0 && endedBadly(other) {
					p.warnings = append(p.warnings, fmt.Sprintf("%s comes first, and its run %d is %s", name, other.ID, other.Phase))
				}
			case newest:
				newest = false
				if done := p.sibling(other, name); done {
					return p, nil
				}
			}
		}
	}
	return p, nil
}

// sibling looks at the same upgrade's run of a stack that comes first; done reports that it decides.
func (p *precedence) sibling(other upgrade.Run, name upgrade.StackName) (done bool) {
	switch {
	case other.Phase.Opens() || judgedAgain(other): // it passed, and waits for this very stack
		return false
	case other.Phase.Live():
		p.reason = fmt.Sprintf("run %d tests %s, which comes first", other.ID, name)
		return true
	}
	p.cause = upgrade.Cause{
		Kind: upgrade.CauseAfter, Effect: upgrade.EffectNotComplete, Stack: name,
		Message: fmt.Sprintf("%s comes first, and its run %d ended %s", name, other.ID, other.Phase),
		Hint:    fmt.Sprintf("bring %s through, then run this again", name),
	}
	return true
}

// endedBadly reports whether a stack is not what a stack behind it would like to build on.
func endedBadly(run upgrade.Run) bool {
	return run.Phase == upgrade.PhaseBlocked || run.Phase == upgrade.PhaseFailed || run.Phase == upgrade.PhaseRelocked
}
