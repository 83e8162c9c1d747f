package sender

import (
	"context"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// giveUp is for how long a message is tried.
	giveUp = 3 * 24 * time.Hour
	// scan is how many events are looked at in one go; as many may be looked at again after a crash.
	scan = 500
	// batch is how many messages are tried in one go.
	batch = 100
	// troubled is after what time it is looked again when the store did not answer.
	troubled = 5 * time.Second
)

// backoff is how long to wait after so many tries (Standard Webhooks' schedule), up to a fifth more or less, so
// that those who failed together do not come back together.
func (r *Room) backoff(tries int) time.Duration {
	steps := []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
	step := steps[min(max(tries, 1), len(steps))-1]
	return time.Duration(float64(step) * (0.8 + 0.4*r.jitter()))
}

// deliver queues what is new for a subscription and tries what is due. It returns when it is to be called
// again; zero: when events were written.
func (r *Room) deliver(ctx context.Context, name upgrade.HookName) time.Time {
	if err := r.gather(ctx, name); err != nil {
		r.unexpected(ctx, "events were not queued", name, err)
		return r.clock.Now().Add(troubled)
	}
	for ctx.Err() == nil {
		messages, err := r.queue.NextMessages(ctx, name, batch)
		if err != nil {
			r.unexpected(ctx, "messages were not read", name, err)
			return r.clock.Now().Add(troubled)
		}
		tried := 0
		for _, m := range messages {
			h, ok := r.hook(name)
			switch {
			case ctx.Err() != nil || !ok || h.State != upgrade.HookActive:
				return time.Time{}
			case m.NextAt.After(r.clock.Now()):
				if tried == 0 {
					return m.NextAt
				}
				continue
			}
			tried++
			if err := r.try(ctx, h, m); err != nil {
				r.unexpected(ctx, "a message was not noted", name, err)
				return r.clock.Now().Add(troubled)
			}
		}
		if tried == 0 {
			return time.Time{}
		}
	}
	return time.Time{}
}

// gather queues the events that the subscription wants.
func (r *Room) gather(ctx context.Context, name upgrade.HookName) error {
	runs := map[upgrade.RunID]upgrade.Run{}
	for {
		h, ok := r.hook(name)
		if !ok {
			return nil
		}
		r.mu.Lock()
		seen := r.at[name]
		r.mu.Unlock()
		events, err := r.journals.Events(ctx, upgrade.EventFilter{After: seen, Limit: scan})
		if err != nil || len(events) == 0 {
			return err
		}
		var wanted []upgrade.HookMessage
		for _, e := range events {
			run, err := r.run(ctx, runs, e.Run)
			if err != nil {
				return err
			}
			seen = e.ID
			if typ := upgrade.HookType(e); h.Wants(typ, run.Stack) {
				wanted = append(wanted, upgrade.HookMessage{Event: e.ID, Run: e.Run, Type: typ, MadeAt: r.clock.Now(), NextAt: r.clock.Now()})
			}
		}
		// What is not wanted is not worth a write: at most that many events are looked at again.
		if len(wanted) > 0 || seen-h.Cursor >= scan {
			if err := r.queue.QueueMessages(ctx, name, h.Cursor, seen, wanted); err != nil {
				return err
			}
		}
		r.mu.Lock()
		if now, ok := r.hooks[name]; ok {
			r.at[name] = seen
			if len(wanted) > 0 || seen-h.Cursor >= scan {
				now.Cursor = seen
				r.hooks[name] = now
			}
		}
		r.mu.Unlock()
	}
}

func (r *Room) run(ctx context.Context, known map[upgrade.RunID]upgrade.Run, id upgrade.RunID) (upgrade.Run, error) {
	run, ok := known[id]
	if ok {
		return run, nil
	}
	run, err := r.journals.Run(ctx, id)
	if err != nil {
		return run, fmt.Errorf("read run %d: %w", id, err)
	}
	known[id] = run
	return run, nil
}

// try posts a message once and notes what came of it.
func (r *Room) try(ctx context.Context, h upgrade.Hook, m upgrade.HookMessage) error {
	body, err := r.body(ctx, m)
	if err != nil {
		return err
	}
	got := r.post(ctx, h, messageID(h.Name, m.Event), body)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // cut off by our own end: tried again after the start
	}
	was, now := m.Tries, r.clock.Now()
	m.Tries, m.TriedAt, m.Answer, m.NextAt = m.Tries+1, now, got.words, now.Add(max(r.backoff(m.Tries+1), got.after))
	switch {
	case got.ok:
		m.State = upgrade.MessageDelivered
	case got.gone:
		m.State = upgrade.MessageDead
		if err := r.leave(ctx, h); err != nil {
			return err
		}
	case now.Sub(m.MadeAt) >= giveUp:
		m.State = upgrade.MessageDead
		r.log.WarnContext(ctx, "event was not delivered in three days", "hook", h.Name, "event", m.Event, "run", m.Run, "answer", m.Answer)
	case m.NextAt.Sub(m.MadeAt) > giveUp: // one last try when the three days are over
		m.NextAt = m.MadeAt.Add(giveUp)
	}
	r.metrics.posted(h.Name, m.State, got.gone)
	return r.queue.NoteMessage(ctx, m, was)
}

func (r *Room) body(ctx context.Context, m upgrade.HookMessage) ([]byte, error) {
	events, err := r.journals.Events(ctx, upgrade.EventFilter{After: m.Event - 1, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(events) == 0 || events[0].ID != m.Event {
		return nil, &upgrade.Error{Code: upgrade.CodeInternal, Msg: fmt.Sprintf("event %d is not in the journal", m.Event)}
	}
	run, err := r.journals.Run(ctx, m.Run)
	if err != nil {
		return nil, err
	}
	return r.payloadOf(run, events[0])
}

// leave stops delivering to a receiver that said it is gone.
func (r *Room) leave(ctx context.Context, h upgrade.Hook) error {
	r.log.WarnContext(ctx, "receiver is gone: nothing more is sent", "hook", h.Name)
	_, err := r.change(ctx, h.Name, func(h *upgrade.Hook) error {
		h.State, h.Why, h.By, h.At = upgrade.HookGone, "its receiver answered 410 Gone", "by rule", r.clock.Now()
		return nil
	})
	return err
}

func (r *Room) hook(name upgrade.HookName) (upgrade.Hook, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.hooks[name]
	return h, ok
}
