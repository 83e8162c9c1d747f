package gates

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The pauses between the tries of a gate that could not tell for a reason that may pass.
const (
	firstPause = 5 * time.Second
	lastPause  = 30 * time.Second
)

// errDeadline is why a gate's context ended when its own deadline did it.
var errDeadline = errors.New("the gate's deadline ran out")

// Runner asks gates.
type Runner struct {
	Clock upgrade.Clock
	Mask  func(string) string // applied to every text that is kept (S9); nil: none
}

// Run asks all the gates at once and each to its end: one failure never hides another. A panic is
// "could not tell". each is called as answers come, one call at a time; the returned list is in the
// order of the gates. When ctx ends before a gate does, its result is OutcomeUnknown and must not be
// kept: the asking was cut off, not answered.
func (r Runner) Run(ctx context.Context, asked []Gate, in Input, each func(upgrade.Result)) []upgrade.Result {
	results := make([]upgrade.Result, len(asked))
	var (
		group sync.WaitGroup
		mu    sync.Mutex // serialises each
	)
	for i, gate := range asked {
		end := r.Clock.Begin()
		group.Go(func() {
			defer end()
			results[i] = r.Ask(ctx, gate, in)
			mu.Lock()
			defer mu.Unlock()
			if each != nil {
				each(results[i])
			}
		})
	}
	r.Clock.Idle(group.Wait)
	return results
}

// Ask asks one gate until it answers, for as long as its deadline allows. The caller has begun work
// with the clock.
func (r Runner) Ask(ctx context.Context, gate Gate, in Input) upgrade.Result {
	in.Gate = gate.Name
	started := r.Clock.Now()
	result := upgrade.Result{
		Run: in.Run.ID, Gate: gate.Name, Kind: gate.Kind, Stage: gate.Stage, Environment: gate.Environment,
		Round: in.Round, Required: gate.Required, TouchesLive: gate.TouchesLive, Early: in.Early,
		StartedAt: started, GoodFor: gate.GoodFor,
	}
	if gate.Skip != nil && started.Before(gate.Skip.Until) {
		result.Outcome = upgrade.OutcomeSkipped
		result.Message = fmt.Sprintf("skipped by configuration until %s: %s", gate.Skip.Until.Format("2 Jan 2006"), gate.Skip.Reason)
		return result
	}
	ctx, cancel := r.within(ctx, gate.Deadline)
	defer cancel()
	rec := NewRecorder(r.Clock.Now, r.Mask)
	err := r.tries(ctx, gate, in, rec)
	result.Took = r.Clock.Now().Sub(started)
	var passed string
	result.Evidence, result.Warnings, passed = rec.close()
	r.decide(ctx, &result, passed, err)
	return result
}

func (r Runner) decide(ctx context.Context, result *upgrade.Result, passed string, err error) {
	var no *failure
	mask := r.Mask
	if mask == nil {
		mask = func(s string) string { return s }
	}
	switch {
	case err == nil:
		result.Outcome = upgrade.OutcomePassed
		result.Message = passed
	case errors.As(err, &no):
		result.Outcome = upgrade.OutcomeFailed
		result.Message, result.Brief = mask(no.msg), mask(no.brief)
	default:
		result.Outcome = upgrade.OutcomeUnknown
		result.Message = mask(upgrade.Public(err))
		if errors.Is(context.Cause(ctx), errDeadline) {
			result.Message = fmt.Sprintf("no answer within %s: %s", result.Took.Round(time.Second), result.Message)
		}
		result.Evidence.Log = append(result.Evidence.Log, upgrade.LogLine{At: r.Clock.Now(), Text: mask(err.Error())})
	}
}

// tries asks again while the reason for not knowing may pass.
func (r Runner) tries(ctx context.Context, gate Gate, in Input, rec *Recorder) error {
	pause := firstPause
	for {
		err := r.once(ctx, gate, in, rec)
		if err == nil || Failed(err) || ctx.Err() != nil || !upgrade.Transient(err) {
			return err
		}
		wait := max(pause, upgrade.RetryAfterOf(err))
		rec.Logf("could not tell: %v; asking again in %s", err, wait)
		if r.Clock.Sleep(ctx, wait) != nil {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

// panicked is a check that crashed: it could not tell, and trying again would crash again.
func panicked(value any) error {
	return &upgrade.Error{
		Code: upgrade.CodeConflict, Msg: "the gate itself crashed", Hint: "report this: it is a fault of the product",
		Cause: fmt.Errorf("panic: %v\n%s", value, debug.Stack()),
	}
}

func (r Runner) once(ctx context.Context, gate Gate, in Input, rec *Recorder) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicked(value)
		}
	}()
	return gate.Check(ctx, in, rec)
}

// within ends the returned context when limit of world time has passed.
func (r Runner) within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if limit > 0 {
		end := r.Clock.Begin()
		go func() { // ends with ctx, which the caller cancels
			defer end()
			if r.Clock.Sleep(ctx, limit) == nil {
				cancel(errDeadline)
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}
