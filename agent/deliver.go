package agent

import (
	"context"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
)

// packEvery is how often samples are delivered.
const packEvery = 500 * time.Millisecond

// deliver delivers samples that are wanted until ctx ends.
func (a *Agent) deliver(ctx context.Context) {
	back := backoff{}
	for ctx.Err() == nil {
		pause := packEvery
		for {
			sent, err := a.deliverOne(ctx)
			if err != nil {
				pause = back.next(upgrade.RetryAfterOf(err))
				break
			}
			back.reset()
			if !sent {
				break
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-a.packed:
			if back.tries > 0 { // the pause is for the gate, whatever there is to tell
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
			}
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// deliverOne delivers one chunk of each stream that has one, and reports whether there was any.
func (a *Agent) deliverOne(ctx context.Context) (sent bool, err error) {
	for _, d := range a.due() {
		var wanted wire.Wanted
		if err := a.call.call(ctx, 0, wire.PathSamples, d, &wanted); err != nil {
			return false, err
		}
		a.mu.Lock()
		if w := a.works[d.Stream]; w != nil {
			sent = sent || wanted.Next > w.next
			w.next = wanted.Next
		}
		a.mu.Unlock()
	}
	return sent, nil
}

// due returns the next delivery of each stream that has one.
func (a *Agent) due() []wire.Delivery {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []wire.Delivery
	for _, w := range a.works {
		if !w.stream || w.next < 0 {
			continue
		}
		if w.begun == 0 && !a.settleLocked(w) {
			continue
		}
		if w.next >= w.buf.first {
			if err := w.buf.pack(); err != nil {
				continue // its end says so
			}
		}
		if chunk, ok := w.buf.from(w.next, w.sureLocked()); ok {
			list = append(list, wire.Delivery{Stream: w.id, Origin: w.origin, Begun: w.begun, First: chunk.first, Packed: chunk.packed})
		}
	}
	slices.SortFunc(list, func(x, y wire.Delivery) int { return int(min(max(x.First-y.First, -1), 1)) })
	return list
}

// settleLocked settles when a stream began by the gate's clock, once enough is known.
func (a *Agent) settleLocked(w *work) bool {
	if w.began.IsZero() || !w.measured {
		return false
	}
	if w.state == wire.StateRunning && w.buf.count() < settleAfter && a.cfg.Now().Sub(w.began) < settleWithin {
		return false
	}
	w.begun = a.call.gateTime(w.began).UnixNano()
	return true
}
