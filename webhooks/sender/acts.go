package sender

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	maxHooks = 100
	maxURL   = 2000
	// How long an old secret stays good when another takes its place.
	usualOverlap, longestOverlap = 24 * time.Hour, 7 * 24 * time.Hour
	// maxKeys is how many secrets a subscription has at most, old ones with it.
	maxKeys = 3
)

// may refuses whoever must not decide who is told of events: what is sent goes out of the house.
func may(by upgrade.Person, name upgrade.HookName) error {
	return upgrade.May(by, upgrade.ActHooks, upgrade.Object{Name: "the subscription " + string(name)})
}

// Hooks returns the subscriptions by name, without secrets. Who may not change them sees of an address
// no more than its host.
func (r *Room) Hooks(ctx context.Context, by upgrade.Person) ([]upgrade.Hook, error) {
	hooks, err := r.shelf.Hooks(ctx)
	if err != nil {
		return nil, err
	}
	for i, h := range hooks {
		known, ok := r.hook(h.Name)
		if ok {
			hooks[i].Keys = slices.Clone(known.Keys)
		}
		for k := range hooks[i].Keys {
			hooks[i].Keys[k].Secret = ""
		}
		if may(by, h.Name) != nil {
			hooks[i].URL = hostOf(h.URL)
		}
	}
	return hooks, nil
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// AddHook makes a subscription of its Name, URL, Events and Stacks, and returns it with its secret, which is
// told this once. CodeForbidden, CodeInvalid, CodeConflict.
func (r *Room) AddHook(ctx context.Context, h upgrade.Hook, by upgrade.Person) (upgrade.Hook, error) {
	if err := may(by, h.Name); err != nil {
		return h, err
	}
	if err := r.check(h); err != nil {
		return h, err
	}
	r.acting.Lock()
	defer r.acting.Unlock()
	r.mu.Lock()
	n := len(r.hooks)
	r.mu.Unlock()
	if n >= maxHooks {
		return h, &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("there are %d subscriptions, which is the most", n), Hint: "remove one that is not needed"}
	}
	made, err := r.shelf.SaveHook(ctx, upgrade.Hook{
		Name: h.Name, URL: h.URL, Events: h.Events, Stacks: h.Stacks, State: upgrade.HookActive, By: by.Name, At: r.clock.Now(),
		Keys: []upgrade.HookKey{{Secret: newSecret()}},
	})
	if err != nil {
		return h, err
	}
	r.put(made)
	r.log.InfoContext(ctx, "subscription added", "hook", made.Name, "by", by.Name)
	return made, nil
}

// check refuses what cannot be a subscription.
func (r *Room) check(h upgrade.Hook) error {
	wrong := func(hint, format string, args ...any) error {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf(format, args...), Hint: hint}
	}
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`).MatchString(string(h.Name)) {
		return wrong("use letters, digits, dot, dash and underscore, at most 63", "%q cannot be the name of a subscription", h.Name)
	}
	if err := CheckURL(h.URL); err != nil {
		return err
	}
	for _, typ := range h.Events {
		if !slices.Contains(upgrade.HookTypes(), typ) {
			return wrong("there are "+strings.Join(upgrade.HookTypes(), ", "), "%q is no type of event", typ)
		}
	}
	for _, stack := range h.Stacks {
		if !slices.Contains(r.stacks, stack) {
			return wrong("name stacks of the configuration", "there is no stack %q", stack)
		}
	}
	return nil
}

// CheckURL refuses what cannot be the address of a receiver: it must be https, or http on this machine.
// CodeInvalid; the message does not repeat the address.
func CheckURL(raw string) error {
	wrong := func(msg string) error {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: msg, Hint: "write it as in https://hooks.example.org/upgradegate"}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "":
		return wrong("the url is not an address")
	case len(raw) > maxURL:
		return wrong(fmt.Sprintf("the url is longer than %d bytes", maxURL))
	case u.User != nil:
		return wrong("the url must not hold a name or password")
	case u.Fragment != "":
		return wrong("the url must not have a fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !onThisMachine(u.Hostname())):
		return wrong("the url must be https: what is sent is not for everybody")
	}
	return nil
}

func onThisMachine(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

// PauseHook stops delivering: events wait. CodeForbidden, CodeNotFound, CodeConflict if it is not active.
func (r *Room) PauseHook(ctx context.Context, name upgrade.HookName, why string, by upgrade.Person) (upgrade.Hook, error) {
	if err := may(by, name); err != nil {
		return upgrade.Hook{}, err
	}
	return r.change(ctx, name, func(h *upgrade.Hook) error {
		if h.State != upgrade.HookActive {
			return &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("%s is %s already", name, h.State), Hint: "resume it to have events delivered"}
		}
		h.State, h.Why, h.By, h.At = upgrade.HookPaused, why, by.Name, r.clock.Now()
		return nil
	})
}

// ResumeHook delivers again, first what waited. CodeForbidden, CodeNotFound, CodeConflict if it is active.
func (r *Room) ResumeHook(ctx context.Context, name upgrade.HookName, by upgrade.Person) (upgrade.Hook, error) {
	if err := may(by, name); err != nil {
		return upgrade.Hook{}, err
	}
	return r.change(ctx, name, func(h *upgrade.Hook) error {
		if h.State == upgrade.HookActive {
			return &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("%s is active already", name)}
		}
		h.State, h.Why, h.By, h.At = upgrade.HookActive, "", by.Name, r.clock.Now()
		return nil
	})
}

// RotateHook gives a subscription another secret, which is told this once. The one before stays good for
// overlap (0: a day; at most a week), so that every delivery meanwhile is signed with both. CodeForbidden,
// CodeNotFound, CodeInvalid; CodeConflict for one in the configuration.
func (r *Room) RotateHook(ctx context.Context, name upgrade.HookName, overlap time.Duration, by upgrade.Person) (upgrade.Hook, error) {
	if err := may(by, name); err != nil {
		return upgrade.Hook{}, err
	}
	if overlap < 0 || overlap > longestOverlap {
		return upgrade.Hook{}, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the old secret stays good for at most 168 hours", Hint: "leave it out for a day"}
	}
	until := r.clock.Now().Add(cmp.Or(overlap, usualOverlap))
	return r.change(ctx, name, func(h *upgrade.Hook) error {
		if h.File {
			return inFile(name, "set secret to the new one and old_secret to the old one there")
		}
		keys := []upgrade.HookKey{{Secret: newSecret()}}
		for _, k := range h.Keys {
			if k.Until.IsZero() || k.Until.After(until) {
				k.Until = until
			}
			if k.Until.After(r.clock.Now()) && len(keys) < maxKeys {
				keys = append(keys, k)
			}
		}
		h.Keys, h.By, h.At = keys, by.Name, r.clock.Now()
		return nil
	})
}

func inFile(name upgrade.HookName, hint string) error {
	return &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("%s is in the configuration", name), Hint: hint}
}

// RemoveHook removes a subscription and what was on its way to it. CodeForbidden, CodeNotFound, CodeConflict
// for one in the configuration.
func (r *Room) RemoveHook(ctx context.Context, name upgrade.HookName, by upgrade.Person) error {
	if err := may(by, name); err != nil {
		return err
	}
	r.acting.Lock()
	defer r.acting.Unlock()
	h, ok := r.hook(name)
	switch {
	case !ok:
		return unknown(name)
	case h.File:
		return inFile(name, "remove it there")
	}
	if err := r.shelf.RemoveHook(ctx, name); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.hooks, name)
	delete(r.at, name)
	delete(r.next, name)
	r.mu.Unlock()
	r.log.InfoContext(ctx, "subscription removed", "hook", name, "by", by.Name)
	return nil
}

// TestHook posts one delivery of type hook.test now and waits for what is answered. It is tried once and not
// kept. CodeForbidden, CodeNotFound.
func (r *Room) TestHook(ctx context.Context, name upgrade.HookName, by upgrade.Person) (upgrade.HookTest, error) {
	if err := may(by, name); err != nil {
		return upgrade.HookTest{}, err
	}
	h, ok := r.hook(name)
	if !ok {
		return upgrade.HookTest{}, unknown(name)
	}
	now := r.clock.Now()
	body, err := write(Payload{
		Type: upgrade.TypeTest, Timestamp: now.UTC(), Version: PayloadVersion,
		Data: Data{Who: by.Name, Text: fmt.Sprintf("%s tries out the subscription %s.", by.Name, name)},
	})
	if err != nil {
		return upgrade.HookTest{}, err
	}
	id := fmt.Sprintf("test_%d_%s", now.UnixNano(), name)
	got := r.post(ctx, h, id, body)
	return upgrade.HookTest{ID: id, OK: got.ok, Answer: got.words}, nil
}

// Messages returns what was or is on its way to a subscription, newest first. CodeNotFound.
func (r *Room) Messages(ctx context.Context, f upgrade.MessageFilter) ([]upgrade.HookMessage, error) {
	if _, ok := r.hook(f.Hook); !ok {
		return nil, unknown(f.Hook)
	}
	return r.queue.HookMessages(ctx, f)
}

// Resend sends a message again that is dead or was delivered: it is tried for three days more, before
// whatever waits of its run. CodeForbidden, CodeNotFound, CodeConflict if it is on its way already.
func (r *Room) Resend(ctx context.Context, name upgrade.HookName, id int64, by upgrade.Person) (upgrade.HookMessage, error) {
	if err := may(by, name); err != nil {
		return upgrade.HookMessage{}, err
	}
	m, err := r.queue.HookMessage(ctx, name, id)
	if err != nil {
		return m, err
	}
	if m.State == upgrade.MessagePending {
		return m, &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("message %d is on its way already", id), Hint: "it is tried again at " + m.NextAt.UTC().Format(time.RFC3339)}
	}
	was, now := m.Tries, r.clock.Now()
	m.State, m.Tries, m.MadeAt, m.NextAt = upgrade.MessagePending, 0, now, now
	if err := r.queue.NoteMessage(ctx, m, was); err != nil {
		return m, err
	}
	r.log.InfoContext(ctx, "message is sent again", "hook", name, "message", id, "by", by.Name)
	r.makeDue(name)
	return m, nil
}

func unknown(name upgrade.HookName) error {
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no subscription %s", name), Hint: "see `upgradegate hooks list`"}
}

// change changes a subscription, here and in the store.
func (r *Room) change(ctx context.Context, name upgrade.HookName, how func(*upgrade.Hook) error) (upgrade.Hook, error) {
	r.acting.Lock()
	defer r.acting.Unlock()
	h, ok := r.hook(name)
	if !ok {
		return h, unknown(name)
	}
	h.Keys = slices.Clone(h.Keys)
	if err := how(&h); err != nil {
		return h, err
	}
	saved, err := r.shelf.SaveHook(ctx, h)
	if err != nil {
		return h, err
	}
	r.put(saved)
	r.log.InfoContext(ctx, "subscription changed", "hook", name, "state", saved.State, "by", saved.By)
	return saved, nil
}

// put remembers a subscription as it was saved, and has it looked at.
func (r *Room) put(h upgrade.Hook) {
	r.mu.Lock()
	if at, ok := r.at[h.Name]; !ok || at < h.Cursor {
		r.at[h.Name] = h.Cursor
	}
	if old, ok := r.hooks[h.Name]; ok { // it may have gone on while h was being written
		h.Cursor = max(h.Cursor, old.Cursor)
	}
	r.hooks[h.Name] = h
	r.mu.Unlock()
	r.makeDue(h.Name)
}

func (r *Room) makeDue(name upgrade.HookName) {
	r.mu.Lock()
	r.next[name] = r.clock.Now()
	r.mu.Unlock()
	r.signal()
}
