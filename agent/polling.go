package agent

import (
	"context"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
)

// orphaned is how long a stream goes on for which the gate, though it answers, does not ask: one that was
// restarted needs a while until its runs are theirs again.
const orphaned = 10 * time.Minute

// kept is how long what a stream saw is kept after its end, in case a restarted gate asks for it.
const kept = time.Hour

// polling asks for orders until ctx ends.
func (a *Agent) polling(ctx context.Context) {
	back, away := backoff{}, false
	for ctx.Err() == nil {
		wait := wire.MaxWait
		if away {
			wait = 0 // a quick answer says that the gate is there
		}
		orders, cut, err := a.poll(ctx, wait)
		switch {
		case cut || ctx.Err() != nil:
			continue
		case err != nil:
			pause := back.next(upgrade.RetryAfterOf(err))
			if !away {
				a.cfg.Log.WarnContext(ctx, "the gate cannot be reached; what goes on goes on", "err", err, "hint", upgrade.HintOf(err))
			}
			away = true
			_ = a.cfg.Clock.Sleep(ctx, pause) // ended: the loop sees it
			continue
		case away:
			a.cfg.Log.InfoContext(ctx, "the gate is back")
		}
		away = false
		back.reset()
		a.take(ctx, orders)
	}
}

// poll makes one poll. cut: there was news, so it was given up for another.
func (a *Agent) poll(ctx context.Context, wait time.Duration) (orders wire.Orders, cut bool, err error) {
	select {
	case <-a.poked: // said now
	default:
	}
	body := a.report(wait)
	polling, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	news := make(chan bool, 1)
	go func() {
		select {
		case <-a.poked:
			cancel()
			news <- true
		case <-ended:
			news <- false
		}
	}()
	err = a.call.call(polling, wait, wire.PathPoll, body, &orders)
	close(ended)
	cut = <-news
	return orders, cut && err != nil, err
}

// report says how far everything is.
func (a *Agent) report(wait time.Duration) wire.Poll {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.polls++
	p := wire.Poll{Instance: a.instance, N: a.polls, About: a.facts, Wait: wait, Known: a.rev, Epoch: a.epoch, Works: []wire.Work{}}
	for _, w := range a.works {
		if w.listed == a.epoch && !w.dropped {
			p.Works = append(p.Works, w.reportLocked())
		}
	}
	return p
}

// take does what the gate wants now.
func (a *Agent) take(ctx context.Context, orders wire.Orders) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if orders.Epoch != a.epoch {
		a.epoch, a.since = orders.Epoch, a.cfg.Now()
	}
	a.rev = orders.Rev
	a.tidyLocked(orders) // what is over makes room for what is new
	for _, order := range orders.Orders {
		w := a.works[order.ID]
		if w == nil {
			w = a.beginLocked(ctx, order)
		}
		if w.listed != a.epoch || w.dropped {
			w.listed, w.dropped = a.epoch, false
			a.poke() // the gate hears how far it is
		}
		w.compareLocked(order.Next)
		w.next = order.Next
		if order.Stop {
			w.stop()
		}
	}
	signal(a.packed)
}

// tidyLocked ends what nobody asks for and forgets what nobody will.
func (a *Agent) tidyLocked(orders wire.Orders) {
	now := a.cfg.Now()
	for id, w := range a.works {
		if slices.ContainsFunc(orders.Orders, func(o wire.Order) bool { return o.ID == id }) {
			continue
		}
		w.next = nobody
		switch {
		case w.listed == a.epoch: // it was wanted, and is not any more
			w.dropped = true
			w.stop()
		case now.Sub(a.since) > orphaned:
			w.stop()
		}
		if w.state != wire.StateRunning && (!w.stream || now.Sub(w.endedAt) > kept) {
			a.forgetLocked(w)
		}
	}
}

// stopAll stops everything at the end.
func (a *Agent) stopAll() {
	a.mu.Lock()
	a.closing = true // what is stopped now goes on at the next start
	var waits []<-chan struct{}
	for _, w := range a.works {
		w.interrupted = w.state == wire.StateRunning && !w.stopping
		w.stop()
		waits = append(waits, w.done)
	}
	a.mu.Unlock()
	for _, done := range waits {
		<-done
	}
}
