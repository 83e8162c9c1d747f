package server

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// fakeHooks is a room of subscriptions in memory.
type fakeHooks struct {
	needs    upgrade.Role // default: release manager
	mu       sync.Mutex
	hooks    []upgrade.Hook
	messages []upgrade.HookMessage
	resent   []int64
}

func fullHooks() *fakeHooks {
	return &fakeHooks{
		hooks: []upgrade.Hook{{
			Name: "chat", URL: "https://chat.example.org/in/secret-path", Events: []string{"run.unlocked"}, Stacks: []upgrade.StackName{"ecs-master"},
			State: upgrade.HookActive, By: "Mira Holt", At: fakeNow(), Keys: []upgrade.HookKey{{}, {Until: fakeNow().Add(time.Hour)}}, Pending: 1, Dead: 2,
		}},
		messages: []upgrade.HookMessage{
			{ID: 1, Hook: "chat", Event: 7, Run: 481, Type: "run.blocked", State: upgrade.MessageDead, Tries: 12, MadeAt: fakeNow(), TriedAt: fakeNow(), Answer: "answered 500 Internal Server Error"},
			{ID: 2, Hook: "chat", Event: 8, Run: 481, Type: "run.unlocked", State: upgrade.MessagePending, MadeAt: fakeNow(), NextAt: fakeNow()},
		},
	}
}

func (f *fakeHooks) find(name upgrade.HookName, by upgrade.Person) (*upgrade.Hook, error) {
	if !by.Role.Includes(cmp.Or(f.needs, upgrade.RoleReleaseManager)) {
		return &upgrade.Hook{}, &upgrade.Error{Code: upgrade.CodeForbidden, Msg: by.Name + " may not do this", Hint: "ask a release manager"}
	}
	for i := range f.hooks {
		if f.hooks[i].Name == name {
			return &f.hooks[i], nil
		}
	}
	return &upgrade.Hook{}, notFound("subscription " + string(name))
}

func (f *fakeHooks) Hooks(context.Context, upgrade.Person) ([]upgrade.Hook, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]upgrade.Hook(nil), f.hooks...), nil
}

func (f *fakeHooks) AddHook(_ context.Context, h upgrade.Hook, by upgrade.Person) (upgrade.Hook, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.find(h.Name, by)
	if upgrade.CodeOf(err) == upgrade.CodeForbidden {
		return h, err
	}
	h.State, h.By, h.At, h.Keys = upgrade.HookActive, by.Name, fakeNow(), []upgrade.HookKey{{Secret: "whsec_new"}}
	f.hooks = append(f.hooks, h)
	return h, nil
}

func (f *fakeHooks) set(name upgrade.HookName, by upgrade.Person, how func(*upgrade.Hook)) (upgrade.Hook, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, err := f.find(name, by)
	if err == nil {
		how(h)
	}
	return *h, err
}

func (f *fakeHooks) RotateHook(_ context.Context, name upgrade.HookName, overlap time.Duration, by upgrade.Person) (upgrade.Hook, error) {
	return f.set(name, by, func(h *upgrade.Hook) {
		h.Keys = []upgrade.HookKey{{Secret: "whsec_newer"}, {Until: fakeNow().Add(overlap)}}
	})
}

func (f *fakeHooks) PauseHook(_ context.Context, name upgrade.HookName, why string, by upgrade.Person) (upgrade.Hook, error) {
	return f.set(name, by, func(h *upgrade.Hook) { h.State, h.Why = upgrade.HookPaused, why })
}

func (f *fakeHooks) ResumeHook(_ context.Context, name upgrade.HookName, by upgrade.Person) (upgrade.Hook, error) {
	return f.set(name, by, func(h *upgrade.Hook) { h.State, h.Why = upgrade.HookActive, "" })
}

func (f *fakeHooks) RemoveHook(_ context.Context, name upgrade.HookName, by upgrade.Person) error {
	_, err := f.set(name, by, func(h *upgrade.Hook) { h.Name = "" })
	return err
}

func (f *fakeHooks) TestHook(_ context.Context, name upgrade.HookName, by upgrade.Person) (upgrade.HookTest, error) {
	_, err := f.set(name, by, func(*upgrade.Hook) {})
	return upgrade.HookTest{ID: "test_1", OK: true, Answer: "answered 204 No Content"}, err
}

func (f *fakeHooks) Messages(_ context.Context, filter upgrade.MessageFilter) (out []upgrade.HookMessage, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.messages {
		if m.Hook == filter.Hook && (len(filter.States) == 0 || m.State == filter.States[0]) && (filter.Before == 0 || m.ID < filter.Before) {
			out = append([]upgrade.HookMessage{m}, out...)
		}
	}
	return out[:min(len(out), filter.Limit)], nil
}

func (f *fakeHooks) Resend(_ context.Context, name upgrade.HookName, id int64, by upgrade.Person) (upgrade.HookMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(name, by); err != nil {
		return upgrade.HookMessage{}, err
	}
	f.resent = append(f.resent, id)
	m := f.messages[0]
	m.State = upgrade.MessagePending
	return m, nil
}

func TestHooksOverTheAPI(t *testing.T) {
	rooms := fullHooks()
	s := newSite(t, fullWorld(), func(c *Config) { c.Hooks = rooms })
	for _, c := range []struct {
		name, method, path, token, body string
		code                            int
		has, hasNot                     string
	}{
		{"list", "GET", "", viewerToken, "", 200, `"pending":1,"dead":2`, "whsec_"},
		{"one", "GET", "/chat", managerToken, "", 200, `"secrets":[{},{"until":"2026-11-23T10:16:00Z"}]`, "whsec_"},
		{"none_of_that_name", "GET", "/other", managerToken, "", 404, `"hint":`, ""},
		{"add_as_viewer", "POST", "", viewerToken, `{"name":"x","url":"https://x.example.org"}`, 403, `"hint":"ask a release manager"`, ""},
		{"add", "POST", "", managerToken, `{"name":"x","url":"https://x.example.org"}`, 201, `"secret":"whsec_new"`, ""},
		{"pause", "POST", "/chat/pause", managerToken, `{"reason":"moving"}`, 200, `"why":"moving"`, ""},
		{"resume", "POST", "/chat/resume", managerToken, "", 200, `"state":"active"`, "why"},
		{"rotate", "POST", "/chat/rotate", managerToken, `{"overlap_seconds":60}`, 200, `"until":"2026-11-23T09:17:00Z"`, ""},
		{"test", "POST", "/chat/test", managerToken, "", 200, `"ok":true`, ""},
		{"dead", "GET", "/chat/messages?state=dead", viewerToken, "", 200, `"answered 500`, "pending"},
		{"page", "GET", "/chat/messages?limit=1", viewerToken, "", 200, `"next":"/api/v1/hooks/chat/messages?before=2\u0026limit=1"`, ""},
		{"no_such_state", "GET", "/chat/messages?state=late", viewerToken, "", 400, `none of [pending delivered dead]`, ""},
		{"resend", "POST", "/chat/messages/1/resend", managerToken, "", 202, `"state":"pending"`, ""},
		{"resend_what_is_no_number", "POST", "/chat/messages/a/resend", managerToken, "", 404, `"hint":`, ""},
		{"remove", "POST", "/chat/remove", managerToken, "", 200, `{"removed":"chat"}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.do(c.method, "/api/v1/hooks"+c.path, c.token, c.body)
			body := strings.ReplaceAll(w.Body.String(), "&", `\u0026`)
			if w.Code != c.code || !strings.Contains(body, c.has) || c.hasNot != "" && strings.Contains(body, c.hasNot) {
				t.Errorf("%d %s, want %d with %s, without %q", w.Code, body, c.code, c.has, c.hasNot)
			}
		})
	}
	for range 2 {
		if w := s.do(http.MethodPost, "/api/v1/hooks/x/messages/1/resend", managerToken, "", "Idempotency-Key", "k"); w.Code != http.StatusAccepted {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if len(rooms.resent) != 2 { // once above, once for the key
		t.Errorf("sent again %d times", len(rooms.resent))
	}
}
