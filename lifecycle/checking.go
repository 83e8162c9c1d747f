package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
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
	l.forgetWatch(ctx, run.ID)
	if len(open) > 0 {
		in := gates.Input{Stack: stack, Round: run.Round, Replan: l.replan(run, stack)}
		if in.Befores, err = l.atStart(ctx, run); err != nil {
			return upgrade.Step{}, err
		}
		if applied, err := l.plan(run.ID); err == nil { // without it settled tells less
			in.Plan = applied
		}
		err := l.ask(ctx, w, &run, open, in)
		if errors.Is(err, errAsked) {
			return upgrade.Step{Next: upgrade.Go()}, nil // the next step answers it
		}
		if err != nil {
			return upgrade.Step{}, err
		}
	}
	if err := l.askBroken(ctx, w, run); errors.Is(err, errAsked) {
		return upgrade.Step{Next: upgrade.Go()}, nil
	} else if err != nil {
		return upgrade.Step{}, err
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
	var mu sync.Mutex // one checkpoint at a time
	in.Intend = func(ctx context.Context, what string) error {
		mu.Lock()
		defer mu.Unlock()
		return w.Commit(ctx, upgrade.Step{Events: []upgrade.Event{l.event(*run, upgrade.EventNote, "", upperFirst(what)+".")}})
	}
	var failed error
	l.runner.Run(asking, asked, in, func(result upgrade.Result) {
		if asking.Err() != nil && result.Outcome == upgrade.OutcomeUnknown || failed != nil {
			return // cut off, not answered
		}
		mu.Lock()
		defer mu.Unlock()
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
	event := l.gateEvent(next, result)
	err := w.Commit(ctx, upgrade.Step{Runs: []upgrade.Run{next}, Results: []upgrade.Result{result}, Events: []upgrade.Event{event}})
	if err != nil {
		return fmt.Errorf("keep the answer of %s: %w", result.Gate, err)
	}
	next.Rev++
	*run = next
	return nil
}

// gateEvent is the journal's line for a gate's answer.
func (l *Lifecycle) gateEvent(run upgrade.Run, result upgrade.Result) upgrade.Event {
	text := fmt.Sprintf("%s: %s. %s", result.Gate, result.Outcome.Look().Word, result.Message)
	event := l.event(run, upgrade.EventGate, "", text)
	event.Data = map[string]string{
		"gate": string(result.Gate), "environment": string(result.Environment), "outcome": string(result.Outcome),
	}
	if result.Early {
		event.Data["early"] = "true"
	}
	return event
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

// decide folds everything that the run is judged by into the verdict; with an open one the unlock orders
// are written in the same transaction, if no other stack of the upgrade is to come.
func (l *Lifecycle) decide(ctx context.Context, run upgrade.Run) (upgrade.Step, error) {
	c, err := l.openChange(ctx, run)
	if err != nil {
		return upgrade.Step{}, err
	}
	causes, _, _, err := l.stands(ctx, run, c)
	if err != nil {
		return upgrade.Step{}, err
	}
	if len(causes) > 0 {
		step := l.ended(run, upgrade.PhaseBlocked, causes...)
		step.Wake, err = l.siblingJobs(ctx, run)
		return step, err
	}
	run.Verdict, run.Causes = upgrade.VerdictOpen, nil
	step := l.to(run, upgrade.PhaseUnlocking)
	if step.Wake, err = l.siblingJobs(ctx, run); err != nil {
		return upgrade.Step{}, err
	}
	p, err := l.prove(ctx, step.Runs[0])
	if err != nil || !p.open() {
		return step, err // unlocking says what is still missing, and what to do about it
	}
	step.Given = p.given
	step.Orders, err = l.missingOrders(ctx, run)
	return step, err
}

// atStart returns what gates found before the first apply of the open change: what is gone since then was
// lost by the change, whichever apply of it did that (S12).
func (l *Lifecycle) atStart(ctx context.Context, run upgrade.Run) ([]upgrade.Result, error) {
	c, err := l.openChange(ctx, run)
	if err != nil {
		return nil, err
	}
	for _, apply := range c.applies {
		if !apply.Back {
			return l.befores(ctx, apply.Run, apply.N)
		}
	}
	return nil, nil
}

// replan returns what makes a new plan of the run's content, which is never applied.
func (l *Lifecycle) replan(run upgrade.Run, stack upgrade.Stack) func(context.Context) (plan.Summary, error) {
	return func(ctx context.Context) (plan.Summary, error) {
		root, err := l.ready(ctx, &run, stack)
		if err != nil {
			return plan.Summary{}, err
		}
		_, summary, err := l.makePlan(ctx, run.ID, root, StageSettled)
		return summary, errors.Join(err, l.dropPlan(run.ID))
	}
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
