package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Work is one claim of one job.
type Work struct {
	Job upgrade.Job // Attempt goes back to 0 with each commit

	engine *Engine
	nudged chan struct{}
	done   chan struct{}
	cancel context.CancelCauseFunc
}

// Nudged receives when the job was woken while it is held: there may be requests to it. It holds one
// signal.
func (w *Work) Nudged() <-chan struct{} { return w.nudged }

func (w *Work) nudge() {
	select {
	case w.nudged <- struct{}{}:
	default:
	}
}

// Commit writes a checkpoint in the middle of the work and keeps the lease: step.Next must be the zero
// value. It is not cut off when ctx ends, so that what was done is known. After an error the handler
// should return it.
func (w *Work) Commit(ctx context.Context, step upgrade.Step) error {
	if step.Next.Do != upgrade.NextKeep {
		return fmt.Errorf("checkpoint job %s: only the step that a handler returns may give the job away", w.Job.ID)
	}
	return w.commit(ctx, step)
}

// tries is how often a commit is tried in place when the database does not answer, and pause the time
// before the second try, which doubles: three seconds in all. Doing the work again costs more.
const (
	tries = 6
	pause = 100 * time.Millisecond
)

func (w *Work) commit(ctx context.Context, step upgrade.Step) error {
	var err error
	for try := range tries {
		if try > 0 {
			rest(context.WithoutCancel(ctx), pause<<(try-1))
		}
		if err = w.commitOnce(ctx, step); err == nil {
			w.Job.Attempt = 0
			return nil
		}
		if upgrade.CodeOf(err) != upgrade.CodeUnavailable || errors.Is(context.Cause(ctx), ErrLost) {
			return err
		}
	}
	return err
}

func (w *Work) commitOnce(ctx context.Context, step upgrade.Step) error {
	ctx, cancel := within(context.WithoutCancel(ctx), w.engine.Lease, "commit")
	defer cancel()
	return w.engine.Leases.Commit(ctx, w.Job, w.engine.Clock.Now(), step)
}

// run calls the handler until the job is given away.
func (w *Work) run(ctx context.Context) {
	for {
		step, err := w.call(ctx)
		if err == nil {
			if step.Next.Do == upgrade.NextKeep && ctx.Err() != nil {
				step.Next = upgrade.Go() // the next step is for whoever comes after us
			}
			err = w.commit(ctx, step)
		}
		switch {
		case err != nil:
			w.giveBack(ctx, err)
			return
		case step.Next.Do != upgrade.NextKeep:
			return
		}
	}
}

// errPanic marks the error of a handler that panicked. The process goes on: the panic would come
// again at the next start and stop everything else with it.
var errPanic = errors.New("the handler panicked")

func (w *Work) call(ctx context.Context) (step upgrade.Step, err error) {
	handler, known := w.engine.Handlers[w.Job.Kind]
	if !known {
		return step, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("nobody handles jobs of kind %q", w.Job.Kind)}
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanic, p, debug.Stack())
		}
	}()
	return handler(ctx, w)
}

// giveBack puts the job back for later and says so in the log, once.
func (w *Work) giveBack(ctx context.Context, err error) {
	e := w.engine
	wait, level, what := e.judge(ctx, w.Job.Attempt, err)
	e.Log.LogAttrs(ctx, level, "job given back", slog.String("because", what), slog.String("job", string(w.Job.ID)),
		slog.Int("attempt", w.Job.Attempt), slog.Duration("wait", wait), slog.Any("err", err))

	var at time.Time
	if wait > 0 {
		at = e.Clock.Now().Add(wait)
	}
	// Until it is given back: heartbeats keep the lease, so a job that is only dropped would never run.
	for again := pause; ; again = min(2*again, e.Lease) {
		retryErr := w.retryOnce(ctx, at)
		if retryErr == nil || upgrade.CodeOf(retryErr) == upgrade.CodeStale {
			return // stale: the lease was lost, and with it the duty
		}
		if errors.Is(context.Cause(ctx), ErrStopping) && again > time.Second {
			e.Log.ErrorContext(ctx, "job not given back", "job", string(w.Job.ID), "err", retryErr)
			return // heartbeats end with the process, and the next one recovers the job
		}
		rest(context.WithoutCancel(ctx), again)
	}
}

func (w *Work) retryOnce(ctx context.Context, at time.Time) error {
	ctx, cancel := within(context.WithoutCancel(ctx), w.engine.Lease, "give back")
	defer cancel()
	return w.engine.Leases.Retry(ctx, w.Job, at)
}
