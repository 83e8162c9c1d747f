package sender

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// journals is where runs and their journals are read. Changed gives a channel that ticks after events were
// written; cancel gives it back.
type journals interface {
	Run(ctx context.Context, id upgrade.RunID) (upgrade.Run, error)
	Events(ctx context.Context, f upgrade.EventFilter) ([]upgrade.Event, error)
	Changed() (c <-chan struct{}, cancel func())
}

// shelf is where subscriptions are kept.
type shelf interface {
	Hooks(ctx context.Context) ([]upgrade.Hook, error)
	SaveHook(ctx context.Context, h upgrade.Hook) (upgrade.Hook, error)
	RemoveHook(ctx context.Context, name upgrade.HookName) error
}

// queue is where messages are kept.
type queue interface {
	QueueMessages(ctx context.Context, hook upgrade.HookName, from, to int64, messages []upgrade.HookMessage) error
	NextMessages(ctx context.Context, hook upgrade.HookName, limit int) ([]upgrade.HookMessage, error)
	NoteMessage(ctx context.Context, m upgrade.HookMessage, was int) error
	HookMessage(ctx context.Context, hook upgrade.HookName, id int64) (upgrade.HookMessage, error)
	HookMessages(ctx context.Context, f upgrade.MessageFilter) ([]upgrade.HookMessage, error)
	PurgeMessages(ctx context.Context, before time.Time) (int, error)
}

// Config is what a Room needs; all of it but Configured, PublicURL and Stacks.
type Config struct {
	Journals journals
	Shelf    shelf
	Queue    queue
	// Configured are the subscriptions of the configuration: name, address, events, stacks and keys.
	Configured []upgrade.Hook
	// Stacks are the configured ones: others cannot be subscribed to.
	Stacks    []upgrade.StackName
	PublicURL string // for links to runs
	// Guard decides what may be dialled.
	Guard Guard
	// Mask takes secrets out of a text.
	Mask  func(string) string
	Clock upgrade.Clock // world time
	Log   *slog.Logger
}

// Room has the subscriptions and delivers to them. It must be the only one on its store.
type Room struct {
	journals  journals
	shelf     shelf
	queue     queue
	stacks    []upgrade.StackName
	publicURL string
	client    *http.Client
	mask      func(string) string
	clock     upgrade.Clock
	log       *slog.Logger
	jitter    func() float64 // from 0 up to 1
	metrics   *metrics

	wake   chan struct{} // holds one signal: somebody changed something
	acting sync.Mutex    // held by who changes a subscription

	mu    sync.Mutex // guards the fields below
	hooks map[upgrade.HookName]upgrade.Hook
	at    map[upgrade.HookName]int64     // how far each was looked at; the store may be behind
	next  map[upgrade.HookName]time.Time // when a message of it is due; absent: not before something happens
	busy  map[upgrade.HookName]bool
}

// New reads the subscriptions, and brings those of the configuration up to date: one that is not in it any
// more is removed. CodeInvalid if cfg is not complete or a secret cannot be signed with.
func New(ctx context.Context, cfg Config) (*Room, error) {
	if cfg.Journals == nil || cfg.Shelf == nil || cfg.Queue == nil || cfg.Guard == nil || cfg.Mask == nil || cfg.Clock == nil || cfg.Log == nil {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "sender: something that is needed was not given"}
	}
	r := &Room{
		journals: cfg.Journals, shelf: cfg.Shelf, queue: cfg.Queue, stacks: cfg.Stacks, publicURL: cfg.PublicURL, client: newClient(cfg.Guard),
		mask: cfg.Mask, clock: cfg.Clock, log: cfg.Log, jitter: rand.Float64, wake: make(chan struct{}, 1),
		hooks: map[upgrade.HookName]upgrade.Hook{}, at: map[upgrade.HookName]int64{}, next: map[upgrade.HookName]time.Time{}, busy: map[upgrade.HookName]bool{},
	}
	r.metrics = newMetrics(r)
	return r, r.load(ctx, cfg.Configured)
}

// load reads what is kept and compares it with the configuration.
func (r *Room) load(ctx context.Context, configured []upgrade.Hook) error {
	kept, err := r.shelf.Hooks(ctx)
	if err != nil {
		return err
	}
	for _, h := range kept {
		r.hooks[h.Name] = h
	}
	named := map[upgrade.HookName]bool{}
	for _, h := range configured {
		for _, k := range h.Keys {
			if err := CheckSecret(k.Secret); err != nil {
				return err
			}
		}
		named[h.Name] = true
		old, known := r.hooks[h.Name]
		if known && !old.File {
			r.log.WarnContext(ctx, "subscription is in the configuration now", "hook", h.Name)
		}
		h.File, h.Rev, h.State, h.Why, h.By, h.At = true, old.Rev, old.State, old.Why, old.By, old.At
		if !known {
			h.State, h.By, h.At = upgrade.HookActive, "configuration", r.clock.Now()
		}
		saved, err := r.shelf.SaveHook(ctx, h)
		if err != nil {
			return err
		}
		r.hooks[h.Name] = saved
	}
	for name, h := range r.hooks {
		if h.File && !named[name] {
			if err := r.shelf.RemoveHook(ctx, name); err != nil {
				return err
			}
			delete(r.hooks, name)
			r.log.InfoContext(ctx, "subscription is not in the configuration any more", "hook", name)
			continue
		}
		r.at[name], r.next[name] = h.Cursor, r.clock.Now()
	}
	return nil
}

// keepDelivered is how long it is kept what was delivered, or given up.
const keepDelivered = 30 * 24 * time.Hour

// Run delivers until ctx ends. It returns when every post that was under way has ended.
func (r *Room) Run(ctx context.Context) error {
	defer r.clock.Begin()() // it works but for its pauses
	changed, cancel := r.journals.Changed()
	defer cancel()
	var posting sync.WaitGroup
	defer posting.Wait()
	purge := r.clock.Now()
	for ctx.Err() == nil {
		if now := r.clock.Now(); !now.Before(purge) {
			if _, err := r.queue.PurgeMessages(ctx, now.Add(-keepDelivered)); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "old messages were not removed", "err", err)
			}
			purge = now.Add(time.Hour)
		}
		for _, name := range r.due() {
			end := r.clock.Begin()
			posting.Go(func() {
				defer end()
				again := r.deliver(ctx, name)
				r.rest(name, again)
			})
		}
		if r.pause(ctx, changed, purge) {
			r.allDue()
		}
	}
	return nil
}

// due returns the subscriptions that there may be something for, and marks them busy.
func (r *Room) due() (names []upgrade.HookName) {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, h := range r.hooks {
		if at, ok := r.next[name]; ok && h.State == upgrade.HookActive && !r.busy[name] && !at.After(now) {
			r.busy[name] = true
			delete(r.next, name)
			names = append(names, name)
		}
	}
	return names
}

// rest marks a subscription as looked at, with something due at again unless that is zero.
func (r *Room) rest(name upgrade.HookName, again time.Time) {
	r.mu.Lock()
	delete(r.busy, name)
	if at, ok := r.next[name]; !again.IsZero() && (!ok || again.Before(at)) { // it may have been made due meanwhile
		r.next[name] = again
	}
	r.mu.Unlock()
	r.signal()
}

func (r *Room) allDue() {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.hooks {
		r.next[name] = now
	}
}

func (r *Room) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// pause waits until something happened or is due, at last until the time given; it reports whether events
// were written.
func (r *Room) pause(ctx context.Context, changed <-chan struct{}, at time.Time) (events bool) {
	r.mu.Lock()
	for name, next := range r.next {
		if next.Before(at) && !r.busy[name] && r.hooks[name].State == upgrade.HookActive {
			at = next
		}
	}
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-changed:
			events = true
		case <-r.wake:
		case <-ctx.Done():
		}
		cancel()
	}()
	_ = r.clock.Sleep(ctx, at.Sub(r.clock.Now())) // whether it ended by time or by an event
	cancel()
	<-done
	return events
}

// unexpected logs what went wrong with the store, unless it is only that everything ends, or that somebody
// changed the subscription meanwhile.
func (r *Room) unexpected(ctx context.Context, what string, name upgrade.HookName, err error) {
	if ctx.Err() == nil && !errors.Is(err, context.Canceled) && upgrade.CodeOf(err) != upgrade.CodeStale {
		r.log.ErrorContext(ctx, "subscription could not be served", "what", what, "hook", name, "err", err)
	}
}
