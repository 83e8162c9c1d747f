package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// nobody is the sample that is wanted next when none is.
const nobody = -1

// work is one order being carried out. The agent's mutex guards it.
type work struct {
	id      string
	stream  bool
	every   time.Duration
	stop    context.CancelFunc
	done    chan struct{} // closed when nothing of it goes on
	listed  string        // epoch of the gate that asked for it last
	dropped bool          // that gate does not ask any more
	state   string
	failure *wire.Failure
	ladders []probe.Ladder
	endedAt time.Time

	buf      buffer
	measured bool // clocks were compared since it began

	next  int64     // sample that the gate wants; nobody
	began time.Time // by this machine's clock, as far as known
	begun int64     // by the gate's clock, nanoseconds since 1970; 0: not measured yet
}

func (w *work) reportLocked() wire.Work {
	report := wire.Work{ID: w.id, State: w.state, Failure: w.failure, Ladders: w.ladders}
	if w.stream {
		report.Begun, report.Count = w.begun, w.buf.count()
	}
	return report
}

// errTooLong is why a stream was ended by the policy.
var errTooLong = errors.New("the longest duration ran out")

// beginLocked takes an order.
func (a *Agent) beginLocked(ctx context.Context, order wire.Order) *work {
	w := &work{id: order.ID, done: make(chan struct{}), state: wire.StateRunning, next: order.Next}
	a.works[order.ID] = w
	ctx, cancel := context.WithCancel(ctx)
	w.stop = cancel
	var do func(context.Context) error
	switch {
	case len(a.works) > 4*wire.MaxWorks:
		do = func(context.Context) error {
			return &upgrade.Error{Code: upgrade.CodeLimited, Msg: fmt.Sprintf("agent %s has too much to do", a.id.Name)}
		}
	case order.Climb != nil:
		do = func(ctx context.Context) error { return a.climb(ctx, w, order) }
	case order.Stream != nil:
		running := a.rateLocked()
		w.stream, w.every = true, order.Stream.Every
		if err := a.cfg.Policy.rateFits(a.id.Name, running, w.every); err != nil {
			do = func(context.Context) error { return err }
			break
		}
		do = func(ctx context.Context) error { return a.watch(ctx, w, order) }
	default:
		do = func(context.Context) error {
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the gate asks for nothing that this agent knows", Hint: "run the same version of upgradegate on both sides"}
		}
	}
	go func() { // ends with ctx, which stopAll and everybody who stops the work cancels
		defer close(w.done)
		defer cancel()
		err := do(ctx)
		a.ended(ctx, w, err)
	}()
	return w
}

// rateLocked returns how many probes a second are sent.
func (a *Agent) rateLocked() float64 {
	var sum float64
	for _, w := range a.works {
		if w.stream && w.state == wire.StateRunning && w.every > 0 {
			sum += float64(time.Second) / float64(w.every)
		}
	}
	return sum
}

// ended notes what came of a work.
func (a *Agent) ended(ctx context.Context, w *work, err error) {
	a.mu.Lock()
	w.state, w.endedAt = wire.StateEnded, a.cfg.Now()
	if e := w.buf.pack(); err == nil {
		err = e
	}
	if err != nil {
		w.state, w.failure = wire.StateFailed, wire.FailureOf(err)
	}
	a.mu.Unlock()
	if err != nil {
		a.cfg.Log.WarnContext(context.WithoutCancel(ctx), "order not carried out", "order", w.id, "err", err)
	} else {
		a.cfg.Log.InfoContext(context.WithoutCancel(ctx), "order carried out", "order", w.id)
	}
	a.poke()
	signal(a.packed)
}

// climb climbs a ladder once.
func (a *Agent) climb(ctx context.Context, w *work, order wire.Order) error {
	path, err := a.path(*order.Climb, order.CA)
	if err != nil {
		return err
	}
	if err := a.cfg.Policy.reachable(ctx, a.cfg.Resolver, path); err != nil {
		return a.refusal(err)
	}
	ladders, err := a.prober.Climb(ctx, path)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w.ladders = ladders
	return nil
}

// refusal names the agent that refuses.
func (a *Agent) refusal(err error) error {
	return &upgrade.Error{
		Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("agent %s refuses: %s", a.id.Name, upgrade.Public(err)), Hint: upgrade.HintOf(err),
	}
}

// path returns the path with the authority's certificates where this machine can read them.
func (a *Agent) path(path probe.Path, ca []byte) (probe.Path, error) {
	path.CAFile = ""
	if len(ca) == 0 {
		return path, nil
	}
	sum := sha256.Sum256(ca)
	path.CAFile = filepath.Join(a.cfg.Data, "ca-"+hex.EncodeToString(sum[:8])+".pem")
	return path, writeWhole(path.CAFile, ca)
}

// watch sends a stream until it is stopped, for as long as the policy allows.
func (a *Agent) watch(ctx context.Context, w *work, order wire.Order) error {
	stream := *order.Stream
	err := limitsFit(a.id.Name, stream.Limits)
	if err != nil {
		return err
	}
	if stream.Path, err = a.path(stream.Path, order.CA); err != nil {
		return err
	}
	if err := a.cfg.Policy.reachable(ctx, a.cfg.Resolver, stream.Path); err != nil {
		return a.refusal(err)
	}
	limited, cancel := context.WithTimeoutCause(ctx, a.cfg.Policy.MaxDuration, errTooLong)
	defer cancel()
	measuring := make(chan struct{})
	go func() { // ends within the limits of a few calls
		defer close(measuring)
		a.compare(ctx, w)
	}()
	broken := make(chan error, 1)
	err = a.prober.Stream(limited, stream, func(s probe.Sample) {
		if err := a.keep(w, s); err != nil {
			select {
			case broken <- err:
			default:
			}
			cancel()
		}
	})
	<-measuring
	a.compareAgain(ctx)
	select {
	case err = <-broken:
	default:
		if err == nil && errors.Is(context.Cause(limited), errTooLong) {
			err = &upgrade.Error{
				Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("agent %s watches for %s at most, and that is over", a.id.Name, a.cfg.Policy.MaxDuration),
				Hint: "start it with a longer --max-duration, or make the apply shorter",
			}
		}
	}
	return err
}

// settleAfter is how many samples say when a stream began; fewer do when they are rare.
const (
	settleAfter  = 20
	settleWithin = 3 * time.Second
)

// keep keeps a sample. Error: CodeUnavailable when there is no room.
func (a *Agent) keep(w *work, s probe.Sample) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	// No sample ends before it is told, so the earliest that these say is when the stream began.
	if n := w.buf.count(); n < settleAfter {
		if began := a.cfg.Now().Add(-s.End); w.began.IsZero() || began.Before(w.began) {
			w.began = began
		}
	}
	if !w.buf.add(s) {
		return nil
	}
	if err := w.buf.pack(); err != nil {
		return err
	}
	return a.roomLocked()
}

// roomLocked makes room by forgetting what ended longest ago. Error: CodeUnavailable when there is none to make.
func (a *Agent) roomLocked() error {
	for {
		used := 0
		var oldest *work
		for _, w := range a.works {
			used += w.buf.bytes
			if w.state != wire.StateRunning && (oldest == nil || w.endedAt.Before(oldest.endedAt)) {
				oldest = w
			}
		}
		switch {
		case used <= a.cfg.MaxMemory:
			return nil
		case oldest == nil:
			return &upgrade.Error{
				Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s has no room for more samples beyond %d MiB", a.id.Name, a.cfg.MaxMemory>>20),
				Hint: "watch less, or for a shorter time",
			}
		}
		delete(a.works, oldest.id)
	}
}

// compareAgain compares clocks at the end of a stream: a gate that does not answer is not waited for.
func (a *Agent) compareAgain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupWithin)
	defer cancel()
	a.compare(ctx, nil)
}

// compare compares clocks; for a work that has begun, it settles when that was by the gate's clock, as soon
// as the gate can be asked.
func (a *Agent) compare(ctx context.Context, w *work) {
	back := backoff{}
	for {
		m, err := a.call.measure(ctx)
		a.mu.Lock()
		if err == nil {
			if w != nil {
				w.measured = true
			}
			a.facts.Offset, a.facts.RTT, a.facts.MeasuredAt = m.offset, m.rtt, a.call.gateTime(a.cfg.Now()).UTC()
		}
		a.mu.Unlock()
		if err == nil || w == nil || ctx.Err() != nil {
			return
		}
		if a.cfg.Clock.Sleep(ctx, back.next(0)) != nil {
			return
		}
	}
}
