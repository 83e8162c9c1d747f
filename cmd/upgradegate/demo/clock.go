package demo

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/store"
)

// The mover's own pace, in real time.
const (
	flowEvery = 2 * time.Millisecond
	calmFor   = 5 * time.Millisecond // nobody worked for so long: everybody waits
)

// mover lets world time flow with real time, and while a story waits it jumps to the next moment for
// which anybody waits, but only when nobody works. Nothing in the service knows of it.
type mover struct {
	clock   *world.Clock
	store   *store.Store
	waiting atomic.Int32 // stories that wait for something
}

func (m *mover) run(ctx context.Context) {
	tick := time.NewTicker(flowEvery)
	defer tick.Stop()
	last := time.Now()
	calmSince, seen := last, uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		m.clock.Advance(now.Sub(last))
		last = now
		quiet, begun := m.clock.Quiet()
		if !quiet || begun != seen {
			calmSince, seen = now, begun
			continue
		}
		if m.waiting.Load() > 0 && now.Sub(calmSince) >= calmFor && m.jump(ctx) {
			calmSince = time.Now()
		}
	}
}

// jump moves the clock to the next moment for which a job or a sleeper waits.
func (m *mover) jump(ctx context.Context) bool {
	next, known := m.clock.NextDue()
	due, waits, err := m.store.NextWake(ctx)
	if err != nil {
		return false
	}
	if waits && (!known || due.Before(next)) {
		next, known = due, true
	}
	return known && m.clock.MoveTo(next) // a time that has passed only says to look again
}
