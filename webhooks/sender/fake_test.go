package sender

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// shelves is a store in memory that holds what the real one promises, as far as it is asked here.
type shelves struct {
	mu       sync.Mutex
	runs     []upgrade.Run
	events   []upgrade.Event
	hooks    map[upgrade.HookName]upgrade.Hook
	messages []upgrade.HookMessage
	ticks    chan struct{}
	deaf     int // how many notes are lost: the process was killed before it noted
}

func newShelves() *shelves {
	return &shelves{
		runs:  []upgrade.Run{{ID: 1, Upgrade: 3, Stack: "ecs-master", Environment: "staging", ProjectID: 9, Project: "platform/ecs", Commit: "c0ffee", Tree: "beef", Attempt: 1}, {ID: 2, Stack: "cms-web"}},
		hooks: map[upgrade.HookName]upgrade.Hook{}, ticks: make(chan struct{}, 1),
	}
}

func (s *shelves) Run(_ context.Context, id upgrade.RunID) (upgrade.Run, error) {
	return s.runs[id-1], nil
}

func (s *shelves) Events(_ context.Context, f upgrade.EventFilter) (out []upgrade.Event, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.ID > f.After && len(out) < f.Limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (s *shelves) Changed() (<-chan struct{}, func()) { return s.ticks, func() {} }

// write appends an event to the journal of a run.
func (s *shelves) write(run upgrade.RunID, kind upgrade.EventKind, text string, data map[string]string) {
	s.mu.Lock()
	id := int64(len(s.events) + 1)
	s.events = append(s.events, upgrade.Event{ID: id, Run: run, Seq: id, At: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), Kind: kind, Text: text, Data: data, Who: "by rule"})
	s.mu.Unlock()
	select {
	case s.ticks <- struct{}{}:
	default:
	}
}

func (s *shelves) Hooks(context.Context) (all []upgrade.Hook, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hooks {
		for _, m := range s.messages {
			switch {
			case m.Hook != h.Name:
			case m.State == upgrade.MessagePending:
				h.Pending++
			case m.State == upgrade.MessageDead:
				h.Dead++
			}
		}
		all = append(all, h)
	}
	return all, nil
}

func (s *shelves) SaveHook(_ context.Context, h upgrade.Hook) (upgrade.Hook, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.hooks[h.Name]
	switch {
	case known && old.Rev != h.Rev:
		return h, &upgrade.Error{Code: upgrade.CodeConflict, Msg: "it is there"}
	case known:
		h.Cursor = old.Cursor
	default:
		h.Cursor = int64(len(s.events))
	}
	h.Rev++
	s.hooks[h.Name] = h
	return h, nil
}

// hook returns a subscription as it is kept.
func (s *shelves) hook(name upgrade.HookName) upgrade.Hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hooks[name]
}

// kept returns the messages as they are kept.
func (s *shelves) kept() []upgrade.HookMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

func (s *shelves) RemoveHook(_ context.Context, name upgrade.HookName) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hooks, name)
	return nil
}

func (s *shelves) QueueMessages(_ context.Context, hook upgrade.HookName, from, to int64, messages []upgrade.HookMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hooks[hook]
	if h.Cursor != from {
		return &upgrade.Error{Code: upgrade.CodeStale, Msg: "moved"}
	}
	h.Cursor = to
	s.hooks[hook] = h
	for _, m := range messages {
		m.ID, m.Hook, m.State = int64(len(s.messages)+1), hook, upgrade.MessagePending
		s.messages = append(s.messages, m)
	}
	return nil
}

func (s *shelves) NextMessages(_ context.Context, hook upgrade.HookName, _ int) (out []upgrade.HookMessage, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[upgrade.RunID]bool{}
	for _, m := range s.messages {
		if m.Hook == hook && m.State == upgrade.MessagePending && !seen[m.Run] {
			seen[m.Run] = true
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b upgrade.HookMessage) int { return a.NextAt.Compare(b.NextAt) })
	return out, nil
}

func (s *shelves) NoteMessage(_ context.Context, m upgrade.HookMessage, was int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deaf > 0 {
		s.deaf--
		return errors.New("killed")
	}
	if s.messages[m.ID-1].Tries != was {
		return &upgrade.Error{Code: upgrade.CodeStale, Msg: "tried meanwhile"}
	}
	s.messages[m.ID-1] = m
	return nil
}

func (s *shelves) HookMessage(_ context.Context, _ upgrade.HookName, id int64) (upgrade.HookMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages[id-1], nil
}

func (s *shelves) HookMessages(context.Context, upgrade.MessageFilter) ([]upgrade.HookMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages), nil
}

func (s *shelves) PurgeMessages(context.Context, time.Time) (int, error) { return 0, nil }

// wire carries requests to a receiver without a network, so that they can be made where time is not real.
type wire struct{ to http.HandlerFunc }

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	w.to(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

// receiver answers deliveries, each by what answer says, and keeps what it was sent.
type receiver struct {
	mu     sync.Mutex
	got    []got
	answer func(r *http.Request, n int) int // n: how many came before
}

type got struct {
	id, body, signature string
	at                  time.Time
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	n := len(r.got)
	r.got = append(r.got, got{req.Header.Get("Webhook-Id"), string(body), req.Header.Get("Webhook-Signature"), time.Now()})
	answer := r.answer
	r.mu.Unlock()
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.WriteHeader(answer(req, n))
}

func (r *receiver) all() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func admin() upgrade.Person {
	return upgrade.Person{Name: "Ada Byron", Role: upgrade.RoleAdmin}
}

func open(t *testing.T, s *shelves, to http.HandlerFunc, configured ...upgrade.Hook) *Room {
	t.Helper()
	r, err := New(t.Context(), Config{
		Journals: s, Shelf: s, Queue: s, Configured: configured, Stacks: []upgrade.StackName{"ecs-master", "cms-web"}, PublicURL: "https://gate.example.org",
		Guard: func(string, string, syscall.RawConn) error { return nil },
		Mask:  func(text string) string { return strings.ReplaceAll(text, "hunter2", "***") },
		Clock: upgrade.SystemClock{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.jitter = func() float64 { return 0.5 }
	if to != nil {
		r.client.Transport = wire{to}
	}
	return r
}

// start runs a room until the returned function is called.
func start(t *testing.T, r *Room) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func add(t *testing.T, r *Room, h upgrade.Hook) upgrade.Hook {
	t.Helper()
	made, err := r.AddHook(t.Context(), h, admin())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func readPayload(r *http.Request) (p Payload, err error) {
	err = json.NewDecoder(r.Body).Decode(&p)
	return p, err
}
