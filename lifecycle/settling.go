package lifecycle

import (
	"context"
	"errors"
	"fmt"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// settling waits until what was changed has taken effect. Gates that declare it are asked once at
// once: their no is final, their yes counts for nothing.
func (l *Lifecycle) settling(ctx context.Context, w *engine.Work, run upgrade.Run) (upgrade.Step, error) {
	stack, err := l.stack(run)
	if err != nil {
		return upgrade.Step{}, err
	}
	if err := l.dropPlan(run.ID); err != nil {
		return upgrade.Step{}, err
	}
	if err := l.resumeWatch(ctx, run); err != nil {
		return upgrade.Step{}, err
	}
	if err := l.askEarly(ctx, w, &run, stack); err != nil {
		if errors.Is(err, errAsked) {
			return upgrade.Step{Next: upgrade.Go()}, nil // the next step answers it
		}
		return upgrade.Step{}, err
	}
	due := run.ChangedAt.Add(l.settle(run.Stack))
	if l.Clock.Now().Before(due) {
		reason := fmt.Sprintf("settling until %s", due.UTC().Format("15:04:05"))
		return l.waits(run, reason, upgrade.Park(due)), nil
	}
	watched := l.endWatch(ctx, run)
	step := l.to(run, upgrade.PhaseChecking)
	step.Results = watched
	for _, result := range watched {
		step.Events = append(step.Events, l.gateEvent(run, result))
	}
	return step, nil
}

func (l *Lifecycle) askEarly(ctx context.Context, w *engine.Work, run *upgrade.Run, stack upgrade.Stack) error {
	results, err := l.Store.Results(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("read results of run %d: %w", run.ID, err)
	}
	answered := map[gateKey]bool{}
	for _, result := range results {
		if result.Early && result.Round == run.Round {
			answered[keyOf(result)] = true
		}
	}
	var early []gates.Gate
	for _, gate := range l.gatesOf(run.Stack, upgrade.StageAfter) {
		// Where nothing need settle, it is asked in a moment anyway.
		if gate.Early && l.settle(run.Stack) > 0 && !answered[gateKey{gate.Name, gate.Environment}] {
			early = append(early, gate)
		}
	}
	if len(early) == 0 {
		return nil
	}
	in := gates.Input{Stack: stack, Round: run.Round, Early: true}
	if in.Befores, err = l.atStart(ctx, *run); err != nil {
		return err
	}
	return l.ask(ctx, w, run, early, in)
}
