package gates

import (
	"context"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Watching is the During parts of several gates at work. Whoever has one ends it.
type Watching struct {
	runner  Runner
	watched []watched
}

// watched is one gate that watches, could not begin to, or is skipped.
type watched struct {
	gate    Gate
	result  upgrade.Result
	skipped bool
	rec     *Recorder
	watch   Watch // nil: it could not begin
	err     error // why
}

// Watch starts the During part of every gate that is asked. They go on when ctx has ended, until End. A
// gate that cannot begin to watch, be it that it has no During, could not tell. The caller has begun work
// with the clock; what happens between Watch and End is not counted as work, so that a clock that is
// moved by hand may move meanwhile.
func (r Runner) Watch(ctx context.Context, asked []Gate, in Input) *Watching {
	return r.watch(ctx, asked, in, func(ctx context.Context, gate Gate, in Input) (Watch, error) {
		return gate.During(ctx, in)
	})
}

// Resume is Watch for an apply that an earlier process watched since begun. A gate without a Resume could not
// tell: what it saw is lost.
func (r Runner) Resume(ctx context.Context, asked []Gate, in Input, begun time.Time) *Watching {
	w := r.watch(ctx, asked, in, func(ctx context.Context, gate Gate, in Input) (Watch, error) {
		if gate.Resume == nil {
			return nil, &upgrade.Error{
				Code: upgrade.CodeConflict, Msg: "the service was restarted during the apply, so nobody watched it to its end", Hint: "rehearse again",
			}
		}
		return gate.Resume(ctx, in, begun)
	})
	for i := range w.watched {
		w.watched[i].result.StartedAt = begun
	}
	return w
}

func (r Runner) watch(ctx context.Context, asked []Gate, in Input, begin func(context.Context, Gate, Input) (Watch, error)) *Watching {
	ctx = context.WithoutCancel(ctx)
	w := &Watching{runner: r}
	for _, gate := range asked {
		one := watched{gate: gate, rec: NewRecorder(r.Clock.Now, r.Mask)}
		if one.result, one.skipped = r.begin(gate, upgrade.StageDuring, in.of(gate)); !one.skipped {
			one.err = once(ctx, one.rec, func(ctx context.Context, _ *Recorder) (err error) {
				one.watch, err = begin(ctx, gate, in.of(gate))
				return err
			})
		}
		w.watched = append(w.watched, one)
	}
	return w
}

// End ends all watches at once, waits until each has ended, and returns one result of the stage during
// for each gate that was to watch, in their order. A panic is "could not tell", and so is what was cut
// off because ctx or the gate's deadline ended. Call it once; the caller has begun work with the clock.
func (w *Watching) End(ctx context.Context) []upgrade.Result {
	return w.runner.all(len(w.watched), func(i int) upgrade.Result { return w.runner.end(ctx, w.watched[i]) })
}

func (r Runner) end(ctx context.Context, one watched) upgrade.Result {
	if one.skipped {
		return one.result
	}
	ctx, cancel := r.within(ctx, one.gate.Deadline)
	defer cancel()
	err := one.err
	switch {
	case err != nil:
		err = fmt.Errorf("begin to watch: %w", err)
	case one.watch == nil:
		err = &upgrade.Error{Code: upgrade.CodeInternal, Msg: "the gate does not watch", Hint: "report this: it is a fault of the product"}
	default:
		err = once(ctx, one.rec, one.watch.End)
	}
	r.close(ctx, &one.result, one.rec, err)
	return one.result
}
