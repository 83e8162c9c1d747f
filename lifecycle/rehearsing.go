package lifecycle

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// A rehearsal is one run with two applies (S12). The first takes staging back to the base; once a plan
// of the base is empty the open change begins anew, and the run's own content is planned, applied and
// judged as if nothing had been tried before. Both halves pass the same phases; Run.Half says which it is.

// backAtBase begins the second half: a plan of the base is empty, so staging is what the base makes of
// it, and the open change is everything from here on. If production has something else by now, staging is
// taken there first: what was tried is not behind a base that is none.
func (l *Lifecycle) backAtBase(ctx context.Context, run upgrade.Run, stack upgrade.Stack) (upgrade.Step, error) {
	now, moved, err := l.baseNow(ctx, stack)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("look what production of %s has: %w", stack.Name, err)
	}
	if moved {
		bases := []upgrade.Base{now}
		return upgrade.Step{
			Runs: []upgrade.Run{run}, Bases: bases, Given: asRead(bases), Next: upgrade.Go(),
			Events: []upgrade.Event{l.event(run, upgrade.EventNote, "", fmt.Sprintf(
				"Production has %s by now, so %s is taken back to that.", now.Commit.Short(), run.Environment))},
		}, nil
	}
	c, err := l.openChange(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	switch planned, err := l.plannedBase(run.ID); {
	case err != nil:
		return upgrade.Step{}, err
	case planned != c.base.Tree: // it moved while the way to it was planned
		return upgrade.Step{Next: upgrade.Go()}, nil
	}
	base := c.base
	given := upgrade.Given{Bases: map[upgrade.StackName]int64{run.Stack: base.Rev}}
	if n := len(c.applies); n > 0 {
		base.Since = c.applies[n-1].Seq
	}
	given.Applies = []upgrade.LastApply{{Stack: run.Stack, Environment: run.Environment, Seq: base.Since}}
	run.Half, run.Plan, run.Progress = upgrade.HalfForth, upgrade.PlanFacts{}, upgrade.Progress{}
	step := upgrade.Step{
		Runs: []upgrade.Run{run}, Bases: []upgrade.Base{base}, Given: given, Next: upgrade.Go(),
		Events: []upgrade.Event{l.event(run, upgrade.EventNote, "", fmt.Sprintf(
			"%s is back at %s: a plan of it is empty. Now this change is made and judged anew.", upperFirst(string(run.Environment)), base.Commit.Short()))},
	}
	return step, nil
}

// wentBack reports whether the run's way back to what is the base now was applied whole already.
func (l *Lifecycle) wentBack(ctx context.Context, run upgrade.Run) (bool, error) {
	base, _, err := l.Store.Base(ctx, run.Stack)
	if err != nil {
		return false, fmt.Errorf("read the base of %s: %w", run.Stack, err)
	}
	applies, err := l.Store.Applies(ctx, run.ID)
	if err != nil {
		return false, fmt.Errorf("read applies of run %d: %w", run.ID, err)
	}
	for _, apply := range applies {
		if apply.Back && apply.OK && apply.Tree == base.Tree {
			return true, nil
		}
	}
	return false, nil
}

// notBack fails a rehearsal whose way back did not lead there.
func (l *Lifecycle) notBack(run upgrade.Run, summary plan.Summary) upgrade.Step {
	return l.ended(run, upgrade.PhaseFailed, upgrade.Cause{
		Kind: upgrade.CauseApply,
		Message: fmt.Sprintf("%s was taken back to the base, but a plan of the base still changes %d resources",
			run.Environment, len(summary.Changes)),
		Hint: "look at the plan: something outside this stack changes the same things",
	})
}
