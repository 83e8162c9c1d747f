package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
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
	order   wire.Order
	origin  string // of the start of it that its samples count from, so that nobody takes another for it
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

	buf         buffer
	measured    bool     // clocks were compared since it began
	stopping    bool     // it was told to end
	revived     bool     // an earlier start of the agent began it, and has samples of it
	restored    int64    // samples of that start, until the gate says how many it has; nobody
	interrupted bool     // the agent ends: the next start of it goes on
	ca          string   // file with an authority's certificates; empty: none
	journal     *journal // nil: it is not kept
	marked      mark     // that was written last

	next  int64     // sample that the gate wants; nobody
	began time.Time // by this machine's clock, as far as known
	begun int64     // by the gate's clock, nanoseconds since 1970; 0: not measured yet
}

// sureLocked returns up to which sample the gate may have them. It never has one that the next start of this agent
// would not know of: that would count its own from there, and the gate would take them for those that it has.
func (w *work) sureLocked() int64 {
	if w.journal == nil || w.journal.lost {
		return w.buf.first
	}
	return w.journal.kept
}

// compareLocked looks whether the gate has more samples than were kept, as it has when this machine lost its power
// before its disk had them: then what follows is of another beginning, so that nobody takes it for what is lost.
func (w *work) compareLocked(next int64) {
	if w.restored != nobody && next > w.restored {
		w.origin = rand.Text()
	}
	w.restored = nobody
}

func (w *work) reportLocked() wire.Work {
	report := wire.Work{ID: w.id, Origin: w.origin, State: w.state, Failure: w.failure, Ladders: w.ladders}
	if w.stream {
		report.Begun, report.Count = w.begun, w.buf.count()
	}
	return report
}

// errTooLong is why a stream was ended by the policy.
var errTooLong = errors.New("the longest duration ran out")

// beginLocked takes an order.
func (a *Agent) beginLocked(ctx context.Context, order wire.Order) *work {
	w := &work{id: order.ID, order: order, origin: rand.Text(), done: make(chan struct{}), state: wire.StateRunning, next: order.Next, restored: nobody}
	others := len(a.works)
	refuse := func(err error) func(context.Context) error { return func(context.Context) error { return err } }
	var do func(context.Context) error
	switch {
	case others >= 4*wire.MaxWorks:
		do = refuse(&upgrade.Error{Code: upgrade.CodeLimited, Msg: fmt.Sprintf("agent %s has too much to do", a.id.Name)})
	case order.Climb != nil:
		do = func(ctx context.Context) error { return a.climb(ctx, w, order) }
		if err := a.climbFitsLocked(); err != nil {
			do = refuse(err)
		}
	case order.Stream != nil:
		running := a.rateLocked()
		w.stream, w.every = true, order.Stream.Every
		err := a.cfg.Policy.rateFits(a.id.Name, running, w.every)
		if err == nil {
			err = a.aloneLocked(order.Stream)
		}
		if err != nil {
			do = refuse(err)
			break
		}
		if a.cfg.State != "" {
			w.journal = newJournal(a.cfg.State, w.id)
			signal(a.ordered)
		}
		do = func(ctx context.Context) error { return a.watch(ctx, w) }
	default:
		do = refuse(&upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the gate asks for nothing that this agent knows", Hint: "run the same version of upgradegate on both sides"})
	}
	a.works[order.ID] = w
	a.goLocked(ctx, w, do)
	return w
}

// goLocked carries a work out, until it is stopped.
func (a *Agent) goLocked(ctx context.Context, w *work, do func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // stopAll stops it when the agent is to end
	w.stop = func() { w.stopping = true; cancel() }
	go func() { // ends with ctx
		defer close(w.done)
		defer cancel()
		err := do(ctx)
		a.ended(ctx, w, err)
	}()
}

// aloneLocked refuses a second watch of a target: it would get twice the load, and an outage could be charged to
// neither. One that the present gate does not ask for gives way.
func (a *Agent) aloneLocked(stream *probe.Stream) error {
	if stream.Target == "" {
		return nil
	}
	for _, w := range a.works {
		if !w.stream || w.state != wire.StateRunning || w.stopping || w.order.Stream.Target != stream.Target || w.order.Stream.Name != stream.Name {
			continue
		}
		if w.listed != a.epoch {
			w.stop()
			continue
		}
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("agent %s watches %s already (%s), and does so once at a time", a.id.Name, stream.Target, stream.Name),
			Hint: "rehearse again when that has ended",
		}
	}
	return nil
}

// rateLocked returns how many probes a second are sent.
func (a *Agent) rateLocked() float64 {
	var sum float64
	for _, w := range a.works {
		sum += w.rate()
	}
	return sum
}

// rate returns how many probes a second it sends to each address.
func (w *work) rate() float64 {
	if !w.stream || w.state != wire.StateRunning || w.every <= 0 {
		return 0
	}
	return float64(time.Second) / float64(w.every)
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
	a.dropLocked(w)
	goesOn := w.interrupted && w.journal != nil && !w.journal.lost
	a.mu.Unlock()
	ctx = context.WithoutCancel(ctx)
	switch {
	case goesOn:
		a.cfg.Log.InfoContext(ctx, "order interrupted: the next start of this agent goes on with it", "order", w.id)
	case err != nil:
		a.cfg.Log.WarnContext(ctx, "order not carried out", "order", w.id, "err", err)
	default:
		a.cfg.Log.InfoContext(ctx, "order carried out", "order", w.id)
	}
	a.poke()
	signal(a.ordered)
	signal(a.packed)
}
