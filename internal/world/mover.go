package world

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// The mover's own pace, in real time.
const (
	flowEvery = 2 * time.Millisecond
	calmFor   = 10 * time.Millisecond // nobody worked for so long: everybody waits
)

// Mover lets a clock flow with real time, and while somebody wants to see what comes next it jumps to
// the next moment for which anybody waits, but only when nobody works. Nothing that runs by the clock
// knows of it. Fields must not change once Run runs.
type Mover struct {
	Clock *Clock
	// NextWake returns the earliest time for which something is kept that does not sleep, such as a row;
	// ok is false if there is none. While it fails the clock does not jump.
	NextWake func(ctx context.Context) (at time.Time, ok bool, err error)
	// Stay, if set, reports that the clock must not jump now: a person is about to act, and must not
	// find the deadline over.
	Stay func(ctx context.Context) bool

	waiting atomic.Int32
}

// Wait makes the clock jump to what comes next until the returned function is called. Several may wait.
func (m *Mover) Wait() (end func()) {
	m.waiting.Add(1)
	return sync.OnceFunc(func() { m.waiting.Add(-1) })
}

// Run moves the clock until ctx ends.
func (m *Mover) Run(ctx context.Context) {
	tick := time.NewTicker(flowEvery)
	defer tick.Stop()
	last := time.Now() //nolint:forbidigo // real time is what the clock flows with
	calmSince, seen := last, uint64(0)
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now = time.Now() //nolint:forbidigo // the tick's own time may be old
		}
		m.Clock.Advance(now.Sub(last))
		last = now
		quiet, begun := m.Clock.Quiet()
		if !quiet || begun != seen {
			calmSince, seen = now, begun
			continue
		}
		if m.waiting.Load() > 0 && now.Sub(calmSince) >= calmFor && m.jump(ctx) {
			calmSince = now
		}
	}
}

// jump moves the clock to the next moment for which anybody waits.
func (m *Mover) jump(ctx context.Context) bool {
	if m.Stay != nil && m.Stay(ctx) {
		return false
	}
	next, known := m.Clock.NextDue()
	due, waits, err := m.NextWake(ctx)
	if err != nil {
		return false
	}
	if waits && (!known || due.Before(next)) {
		next, known = due, true
	}
	return known && m.Clock.MoveTo(next) // a time that has passed only says to look again
}
