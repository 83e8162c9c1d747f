package gates

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// The pauses between the tries of a gate that could not tell for a reason that may pass.
const (
	firstPause = 5 * time.Second
	lastPause  = 30 * time.Second
)

// errDeadline is why a gate's context ended when its own deadline did it.
var errDeadline = errors.New("the gate's deadline ran out")

// part is a Before, a Check or the end of a Watch, all of which answer in the same ways.
type part = func(ctx context.Context, rec *Recorder) error

// Runner asks gates.
type Runner struct {
	Clock upgrade.Clock
	Mask  func(string) string // applied to every text that is kept (S9); nil: none
}

// Run asks all the gates at once and each to its end: one failure never hides another. A panic is
// "could not tell". each is called as answers come, one call at a time; the returned list is in the
// order of the gates. When ctx ends before a gate does, its result is OutcomeUnknown and must not be
// kept: the asking was cut off, not answered. The caller has begun work with the clock.
func (r Runner) Run(ctx context.Context, asked []Gate, in Input, each func(upgrade.Result)) []upgrade.Result {
	var mu sync.Mutex // serialises each
	return r.all(len(asked), func(i int) upgrade.Result {
		result := r.Ask(ctx, asked[i], in)
		mu.Lock()
		defer mu.Unlock()
		if each != nil {
			each(result)
		}
		return result
	})
}

// Before asks the Before part of each gate that has one, all at once and each to its end, as Run does.
// The results are of the stage before and carry the memos; gates without that part have none. The
// caller has begun work with the clock.
func (r Runner) Before(ctx context.Context, asked []Gate, in Input) []upgrade.Result {
	var looking []Gate
	for _, gate := range asked {
		if gate.Before != nil {
			looking = append(looking, gate)
		}
	}
	return r.all(len(looking), func(i int) upgrade.Result { return r.before(ctx, looking[i], in) })
}

// Each does n pieces of work at once, and returns when all have ended. The caller has begun work with the
// clock.
func (r Runner) Each(n int, work func(i int)) {
	r.all(n, func(i int) upgrade.Result { work(i); return upgrade.Result{} })
}

// all does n pieces of work at once and returns what came of each.
func (r Runner) all(n int, work func(i int) upgrade.Result) []upgrade.Result {
	results := make([]upgrade.Result, n)
	var group sync.WaitGroup
	for i := range results {
		end := r.Clock.Begin()
		group.Go(func() {
			defer end()
			results[i] = work(i)
		})
	}
	r.Clock.Idle(group.Wait)
	return results
}

// Ask asks one gate until it answers, for as long as its deadline allows. The caller has begun work
// with the clock.
func (r Runner) Ask(ctx context.Context, gate Gate, in Input) upgrade.Result {
	in = in.of(gate)
	result, skipped := r.begin(gate, gate.Stage, in)
	if skipped {
		return result
	}
	r.answer(ctx, &result, gate.Deadline, func(ctx context.Context, rec *Recorder) error {
		return gate.Check(ctx, in, rec)
	})
	return result
}

func (r Runner) before(ctx context.Context, gate Gate, in Input) upgrade.Result {
	in = in.of(gate)
	result, skipped := r.begin(gate, upgrade.StageBefore, in)
	if skipped {
		return result
	}
	var memo string
	r.answer(ctx, &result, gate.Deadline, func(ctx context.Context, rec *Recorder) (err error) {
		memo, err = gate.Before(ctx, in, rec)
		return err
	})
	if result.Outcome == upgrade.OutcomePassed {
		result.Memo = r.masked(memo)
	}
	return result
}

// Learn asks a gate what a result of its had left open, and returns what is known now and a text for the
// journal, empty while there is nothing new. Error: nobody could tell, and the result stays as it is.
func (r Runner) Learn(ctx context.Context, gate Gate, open upgrade.Open) (learned upgrade.Learned, text string, err error) {
	learned = upgrade.Learned{Result: open.ID, Evidence: open.Result.Evidence}
	if gate.Learn == nil {
		return learned, "", nil
	}
	ctx, cancel := r.within(ctx, gate.Deadline)
	defer cancel()
	rec := NewRecorder(r.Clock.Now, r.Mask)
	rec.evidence = open.Result.Evidence
	err = once(ctx, rec, func(ctx context.Context, rec *Recorder) (err error) {
		text, err = gate.Learn(ctx, open.Result.Pending, rec)
		return err
	})
	learned.Evidence, _, _ = rec.close()
	learned.Pending = rec.pending
	return learned, r.masked(text), err
}

// of returns the input as the gate gets it.
func (in Input) of(gate Gate) Input {
	in.Gate, in.Standing = gate.Name, gate.Stage == upgrade.StageStanding
	for _, result := range in.Befores {
		if result.Stage == upgrade.StageBefore && result.Gate == gate.Name && result.Environment == gate.Environment {
			in.Memo = result.Memo
		}
	}
	return in
}

// begin returns the result of a gate that is about to be asked, and whether that is all because it is
// skipped by configuration.
func (r Runner) begin(gate Gate, stage upgrade.Stage, in Input) (result upgrade.Result, skipped bool) {
	now := r.Clock.Now()
	result = upgrade.Result{
		Run: in.Run.ID, Gate: gate.Name, Kind: gate.Kind, Stage: stage, Environment: gate.Environment,
		Round: in.Round, Required: gate.Required, TouchesLive: gate.TouchesLive, Early: in.Early,
		StartedAt: now, GoodFor: gate.GoodFor,
	}
	switch stage {
	case upgrade.StagePlan, upgrade.StageBefore, upgrade.StageDuring:
		result.Apply = in.Apply
	case upgrade.StageAfter, upgrade.StageStanding:
	}
	if gate.Skip == nil || !now.Before(gate.Skip.Until) {
		return result, false
	}
	result.Outcome = upgrade.OutcomeSkipped
	result.Message = fmt.Sprintf("skipped by configuration until %s: %s", gate.Skip.Until.Format("2 Jan 2006"), gate.Skip.Reason)
	return result, true
}

// answer asks until there is an answer, for at most limit, and writes it into the result.
func (r Runner) answer(ctx context.Context, result *upgrade.Result, limit time.Duration, ask part) {
	ctx, cancel := r.within(ctx, limit)
	defer cancel()
	rec := NewRecorder(r.Clock.Now, r.Mask)
	err := r.tries(ctx, rec, ask)
	r.close(ctx, result, rec, err)
}

// close writes into the result what came of asking.
func (r Runner) close(ctx context.Context, result *upgrade.Result, rec *Recorder, err error) {
	result.Took = r.Clock.Now().Sub(result.StartedAt)
	var passed string
	result.Evidence, result.Warnings, passed = rec.close()
	result.Memo, result.Pending = rec.memo, rec.pending
	r.decide(ctx, result, passed, err)
}

// masked returns a text as it may be kept (S9).
func (r Runner) masked(text string) string {
	if r.Mask == nil {
		return text
	}
	return r.Mask(text)
}

func (r Runner) decide(ctx context.Context, result *upgrade.Result, passed string, err error) {
	var no *failure
	switch {
	case err == nil:
		result.Outcome = upgrade.OutcomePassed
		result.Message = passed
	case errors.As(err, &no):
		result.Outcome = upgrade.OutcomeFailed
		result.Message, result.Brief, result.Agreeable = r.masked(no.msg), r.masked(no.brief), no.agreeable
		result.Hint = r.masked(no.hint)
	default:
		result.Outcome = upgrade.OutcomeUnknown
		result.Message, result.Hint = r.masked(upgrade.Public(err)), r.masked(upgrade.HintOf(err))
		if errors.Is(context.Cause(ctx), errDeadline) {
			result.Message = fmt.Sprintf("no answer within %s: %s", probe.Length(result.Took.Round(time.Second)), result.Message)
		}
		result.Evidence.Log = append(result.Evidence.Log, upgrade.LogLine{At: r.Clock.Now(), Text: r.masked(err.Error())})
	}
}

// tries asks again while the reason for not knowing may pass.
func (r Runner) tries(ctx context.Context, rec *Recorder, ask part) error {
	pause := firstPause
	for {
		err := once(ctx, rec, ask)
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

// once asks; a panic is an error.
func once(ctx context.Context, rec *Recorder, ask part) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = panicked(value)
		}
	}()
	return ask(ctx, rec)
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
