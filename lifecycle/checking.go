package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// errAsked is why asking gates ends early: somebody asked something of the run.
var errAsked = errors.New("something was asked of the run")

// checking asks all after gates in parallel, each to its end, and decides.
func (l *Lifecycle) checking(ctx context.Context, w *engine.Work, run upgrade.Run) (upgrade.Step, error) {
	stack, err := l.stack(run)
	if err != nil {
		return upgrade.Step{}, err
	}
	asked := l.gatesOf(run.Stack, upgrade.StageAfter)
	open, err := l.unanswered(ctx, run, asked)
	if err != nil {
		return upgrade.Step{}, err
	}
	run.Tally.Gates = len(asked)
	if len(open) > 0 {
		err := l.ask(ctx, w, &run, open, gates.Input{Stack: stack, Round: run.Round})
		if errors.Is(err, errAsked) {
			return upgrade.Step{Next: upgrade.Go()}, nil // the next step answers it
		}
		if err != nil {
			return upgrade.Step{}, err
		}
	}
	return l.decide(ctx, run)
}

// unanswered returns the gates that have not answered in this round.
func (l *Lifecycle) unanswered(ctx context.Context, run upgrade.Run, asked []gates.Gate) ([]gates.Gate, error) {
	results, err := l.Store.Results(ctx, run.ID)
	if err != nil {
		return nil, fmt.Errorf("read results of run %d: %w", run.ID, err)
	}
	answered := map[gateKey]bool{}
	for _, result := range results {
		if result.Round == run.Round && result.Stage == upgrade.StageAfter && !result.Early {
			answered[keyOf(result)] = true
		}
	}
	var open []gates.Gate
	for _, gate := range asked {
		if !answered[gateKey{gate.Name, gate.Environment}] {
			open = append(open, gate)
		}
	}
	return open, nil
}

// gateKey tells a gate of one environment from the same gate of another.
type gateKey struct {
	gate        upgrade.GateName
	environment upgrade.EnvName
}

func keyOf(result upgrade.Result) gateKey { return gateKey{result.Gate, result.Environment} }

// ask runs the gates and writes each result as it comes. A request ends the asking with errAsked;
// what was not answered by then is asked again.
func (l *Lifecycle) ask(ctx context.Context, w *engine.Work, run *upgrade.Run, asked []gates.Gate, in gates.Input) error {
	asking, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	id := run.ID // run is written over while answers come
	watching.Go(func() { l.watchAsked(asking, w, id, cancel) })
	defer func() { cancel(nil); watching.Wait() }()
	in.Run = *run
	var failed error
	l.runner.Run(asking, asked, in, func(result upgrade.Result) {
		if asking.Err() != nil && result.Outcome == upgrade.OutcomeUnknown || failed != nil {
			return // cut off, not answered
		}
		failed = l.keep(ctx, w, run, result)
		if failed != nil {
			cancel(failed)
		}
	})
	if failed != nil {
		return failed
	}
	if asking.Err() != nil {
		return context.Cause(asking)
	}
	return nil
}

func (l *Lifecycle) keep(ctx context.Context, w *engine.Work, run *upgrade.Run, result upgrade.Result) error {
	next := *run
	if !result.Early {
		next.Tally = counted(next.Tally, result.Outcome)
	}
	word := result.Outcome.Look().Word
	event := l.event(next, upgrade.EventGate, "", fmt.Sprintf("%s: %s. %s", result.Gate, word, result.Message))
	event.Data = map[string]string{
		"gate": string(result.Gate), "environment": string(result.Environment), "outcome": string(result.Outcome),
	}
	if result.Early {
		event.Data["early"] = "true"
	}
	err := w.Commit(ctx, upgrade.Step{Runs: []upgrade.Run{next}, Results: []upgrade.Result{result}, Events: []upgrade.Event{event}})
	if err != nil {
		return fmt.Errorf("keep the answer of %s: %w", result.Gate, err)
	}
	next.Rev++
	*run = next
	return nil
}

func counted(tally upgrade.Tally, outcome upgrade.Outcome) upgrade.Tally {
	switch outcome {
	case upgrade.OutcomePassed:
		tally.Passed++
	case upgrade.OutcomeFailed:
		tally.Failed++
	case upgrade.OutcomeUnknown, upgrade.OutcomeWaiting, upgrade.OutcomeRunning:
		tally.Unknown++
	case upgrade.OutcomeSkipped:
		tally.Skipped++
	}
	return tally
}

// decide folds the answers into the verdict; with an open one the unlock orders are written in the
// same transaction.
func (l *Lifecycle) decide(ctx context.Context, run upgrade.Run) (upgrade.Step, error) {
	results, err := l.Store.Results(ctx, run.ID)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read results of run %d: %w", run.ID, err)
	}
	verdict, causes := upgrade.Fold(l.counting(run, results))
	if verdict != upgrade.VerdictOpen {
		step := l.ended(run, upgrade.PhaseBlocked, causes...)
		step.Wake, err = l.siblingJobs(ctx, run)
		return step, err
	}
	run.Verdict, run.Causes = upgrade.VerdictOpen, nil
	step := l.to(run, upgrade.PhaseUnlocking)
	step.Wake, err = l.siblingJobs(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	step.Orders, err = l.ordersIfAllOpen(ctx, run)
	return step, err
}

// counting returns what the verdict is made of: for each configured gate its newest answer of this
// round (a gate that has none could not tell), or its early no, which a later yes does not undo.
func (l *Lifecycle) counting(run upgrade.Run, results []upgrade.Result) []upgrade.Result {
	newest, early := map[gateKey]upgrade.Result{}, map[gateKey]upgrade.Result{}
	for _, result := range results {
		switch {
		case result.Round != run.Round || result.Stage != upgrade.StageAfter:
		case !result.Early:
			newest[keyOf(result)] = result
		case result.Outcome == upgrade.OutcomeFailed:
			early[keyOf(result)] = result
		}
	}
	var counted []upgrade.Result
	for _, gate := range l.gatesOf(run.Stack, upgrade.StageAfter) {
		key := gateKey{gate.Name, gate.Environment}
		result, answered := newest[key]
		if no, failed := early[key]; failed && result.Outcome != upgrade.OutcomeFailed {
			result, answered = no, true
		}
		if !answered {
			result = upgrade.Result{
				Gate: gate.Name, Kind: gate.Kind, Stage: gate.Stage, Environment: gate.Environment,
				Outcome: upgrade.OutcomeUnknown, Message: "it was not asked",
			}
		}
		result.Required = gate.Required // the file of today decides, not that of the asking
		counted = append(counted, result)
	}
	return counted
}
