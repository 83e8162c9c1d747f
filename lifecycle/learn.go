package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	learnEvery = time.Minute
	// learnAtOnce is how many results are asked about in one round.
	learnAtOnce = 20
)

// learn asks gates once more what their results had left open, such as who took a grant back: CloudTrail may
// know it a quarter of an hour later. What is known then goes into the evidence and the journal; the answer
// itself stays.
func (l *Lifecycle) learn(ctx context.Context) (step upgrade.Step, err error) {
	open, err := l.Store.OpenResults(ctx, learnAtOnce)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read what results left open: %w", err)
	}
	var problems []error
	for _, one := range open {
		gate, known := l.gateOf(one.Result)
		if !known { // it is not configured any more: nobody can tell
			step.Learned = append(step.Learned, upgrade.Learned{Result: one.ID, Evidence: one.Result.Evidence})
			continue
		}
		learned, text, err := l.runner.Learn(ctx, gate, one)
		if ctx.Err() != nil {
			return upgrade.Step{}, context.Cause(ctx)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("ask %s again: %w", gate.Name, err))
			if !upgrade.Transient(err) {
				step.Learned = append(step.Learned, upgrade.Learned{Result: one.ID, Evidence: one.Result.Evidence})
			}
			continue
		}
		if learned.Pending != one.Result.Pending || text != "" {
			step.Learned = append(step.Learned, learned)
		}
		if text != "" {
			run, err := l.Store.Run(ctx, one.Result.Run)
			if err != nil {
				return upgrade.Step{}, fmt.Errorf("read run %d: %w", one.Result.Run, err)
			}
			event := l.event(run, upgrade.EventNote, "", fmt.Sprintf("%s, learned later: %s.", gate.Name, text))
			event.Data = map[string]string{"gate": string(gate.Name), "environment": string(gate.Environment)}
			step.Events = append(step.Events, event)
		}
	}
	return step, errors.Join(problems...)
}

// gateOf returns the configured gate that gave a result.
func (l *Lifecycle) gateOf(result upgrade.Result) (gates.Gate, bool) {
	for _, gate := range l.Gates {
		if gate.Name == result.Gate && gate.Environment == result.Environment && gate.Kind == result.Kind {
			return gate, true
		}
	}
	return gates.Gate{}, false
}
