package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// hooks is where subscriptions to events are. It decides who may do what (CodeForbidden). Errors besides:
// CodeNotFound, CodeInvalid, CodeConflict.
type hooks interface {
	Hooks(ctx context.Context, by upgrade.Person) ([]upgrade.Hook, error)
	// AddHook and RotateHook return the one key that is new first, with its secret.
	AddHook(ctx context.Context, h upgrade.Hook, by upgrade.Person) (upgrade.Hook, error)
	RotateHook(ctx context.Context, name upgrade.HookName, overlap time.Duration, by upgrade.Person) (upgrade.Hook, error)
	PauseHook(ctx context.Context, name upgrade.HookName, why string, by upgrade.Person) (upgrade.Hook, error)
	ResumeHook(ctx context.Context, name upgrade.HookName, by upgrade.Person) (upgrade.Hook, error)
	RemoveHook(ctx context.Context, name upgrade.HookName, by upgrade.Person) error
	TestHook(ctx context.Context, name upgrade.HookName, by upgrade.Person) (upgrade.HookTest, error)
	Messages(ctx context.Context, f upgrade.MessageFilter) ([]upgrade.HookMessage, error)
	Resend(ctx context.Context, name upgrade.HookName, id int64, by upgrade.Person) (upgrade.HookMessage, error)
}

// wireHook is a subscription to events.
type wireHook struct {
	Name    upgrade.HookName    `json:"name"`
	URL     string              `json:"url"` // without its path for who may not change it
	Events  []string            `json:"events"`
	Stacks  []upgrade.StackName `json:"stacks"`
	File    bool                `json:"configured"` // it is in the configuration
	State   upgrade.HookState   `json:"state"`
	Why     string              `json:"why,omitempty"`
	By      string              `json:"by,omitempty"`
	At      time.Time           `json:"at,omitzero"`
	Keys    []wireKey           `json:"secrets"`
	Pending int                 `json:"pending"`
	Dead    int                 `json:"dead"`
}

// wireKey says how long a secret is good; the secret itself is told once, when it is made.
type wireKey struct {
	Until time.Time `json:"until,omitzero"` // absent: for as long as the subscription is
}

type wireNewHook struct {
	Name   upgrade.HookName    `json:"name"`
	URL    string              `json:"url"`
	Events []string            `json:"events"`
	Stacks []upgrade.StackName `json:"stacks"`
}

// wireMadeHook has a secret that was just made.
type wireMadeHook struct {
	Hook   wireHook `json:"hook"`
	Secret string   `json:"secret,omitempty"`
}

// withoutSecret is what is remembered.
func (w wireMadeHook) withoutSecret() any {
	w.Secret = ""
	return w
}

// wireHookAct is the body of a post that does something with a subscription. What the act does not need may
// be left out.
type wireHookAct struct {
	Reason  string  `json:"reason"`
	Overlap float64 `json:"overlap_seconds"` // for how long the old secret stays good
}

type wireHookRemoved struct {
	Removed upgrade.HookName `json:"removed"`
}

type wireHookTest struct {
	ID     string `json:"webhook_id"`
	OK     bool   `json:"ok"`
	Answer string `json:"answer"`
}

type wireMessage struct {
	ID      int64                `json:"id"`
	Event   int64                `json:"event"`
	Run     upgrade.RunID        `json:"run"`
	Type    string               `json:"type"`
	State   upgrade.MessageState `json:"state"`
	Tries   int                  `json:"tries"`
	MadeAt  time.Time            `json:"made_at,omitzero"`
	NextAt  time.Time            `json:"next_at,omitzero"` // pending: not tried before
	TriedAt time.Time            `json:"tried_at,omitzero"`
	Answer  string               `json:"answer,omitempty"` // to the last try
}

func wireHookOf(h upgrade.Hook) wireHook {
	w := wireHook{
		Name: h.Name, URL: h.URL, Events: append([]string{}, h.Events...), Stacks: append([]upgrade.StackName{}, h.Stacks...), File: h.File,
		State: h.State, Why: h.Why, By: h.By, At: utc(h.At), Pending: h.Pending, Dead: h.Dead, Keys: []wireKey{},
	}
	for _, k := range h.Keys {
		w.Keys = append(w.Keys, wireKey{utc(k.Until)})
	}
	return w
}

func wireMessageOf(m upgrade.HookMessage) wireMessage {
	w := wireMessage{
		ID: m.ID, Event: m.Event, Run: m.Run, Type: m.Type, State: m.State, Tries: m.Tries, MadeAt: utc(m.MadeAt), TriedAt: utc(m.TriedAt), Answer: m.Answer,
	}
	if m.State == upgrade.MessagePending {
		w.NextAt = utc(m.NextAt)
	}
	return w
}

func (s *Server) hookRoutes(g *gin.RouterGroup) {
	g.GET("/hooks", s.api(s.apiHooks))
	g.POST("/hooks", s.api(s.apiAddHook))
	g.GET("/hooks/:name", s.api(s.apiHook))
	for act, do := range s.hookActs() {
		g.POST("/hooks/:name/"+act, s.api(s.apiHookAct(do)))
	}
	g.GET("/hooks/:name/messages", s.api(s.apiMessages))
	g.POST("/hooks/:name/messages/:message/resend", s.api(s.apiResend))
}

func (s *Server) apiHooks(c *gin.Context) error {
	all, err := s.hooks.Hooks(c.Request.Context(), person(c))
	if err != nil {
		return fmt.Errorf("list subscriptions: %w", err)
	}
	out := make([]wireHook, 0, len(all))
	for _, h := range all {
		out = append(out, wireHookOf(h))
	}
	writeJSON(c, http.StatusOK, jsonType, page[wireHook]{Items: out})
	return nil
}

func (s *Server) apiHook(c *gin.Context) error {
	all, err := s.hooks.Hooks(c.Request.Context(), person(c))
	if err != nil {
		return fmt.Errorf("list subscriptions: %w", err)
	}
	for _, h := range all {
		if h.Name == hookName(c) {
			writeJSON(c, http.StatusOK, jsonType, wireHookOf(h))
			return nil
		}
	}
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no subscription %s", hookName(c)), Hint: "GET /api/v1/hooks lists them"}
}

func hookName(c *gin.Context) upgrade.HookName { return upgrade.HookName(c.Param("name")) }

func (s *Server) apiAddHook(c *gin.Context) error {
	var in wireNewHook
	body, err := readJSON(c, &in)
	if err != nil {
		return err
	}
	return s.once(c, body, func() (int, any, error) {
		h, err := s.hooks.AddHook(c.Request.Context(), upgrade.Hook{Name: in.Name, URL: in.URL, Events: in.Events, Stacks: in.Stacks}, person(c))
		if err != nil {
			return 0, nil, fmt.Errorf("add the subscription %s: %w", in.Name, err)
		}
		return http.StatusCreated, madeHook(h), nil
	})
}

// madeHook tells the secret that was just made: the one place that does.
func madeHook(h upgrade.Hook) wireMadeHook {
	w := wireMadeHook{Hook: wireHookOf(h)}
	if len(h.Keys) > 0 {
		w.Secret = h.Keys[0].Secret.Reveal()
	}
	return w
}

// hookAct does something with a subscription and returns what is answered.
type hookAct = func(ctx context.Context, name upgrade.HookName, in wireHookAct, by upgrade.Person) (any, error)

func (s *Server) hookActs() map[string]hookAct {
	return map[string]hookAct{
		"pause": func(ctx context.Context, name upgrade.HookName, in wireHookAct, by upgrade.Person) (any, error) {
			h, err := s.hooks.PauseHook(ctx, name, in.Reason, by)
			return wireHookOf(h), err
		},
		"resume": func(ctx context.Context, name upgrade.HookName, _ wireHookAct, by upgrade.Person) (any, error) {
			h, err := s.hooks.ResumeHook(ctx, name, by)
			return wireHookOf(h), err
		},
		"rotate": func(ctx context.Context, name upgrade.HookName, in wireHookAct, by upgrade.Person) (any, error) {
			h, err := s.hooks.RotateHook(ctx, name, time.Duration(in.Overlap*float64(time.Second)), by)
			return madeHook(h), err
		},
		"remove": func(ctx context.Context, name upgrade.HookName, _ wireHookAct, by upgrade.Person) (any, error) {
			return wireHookRemoved{name}, s.hooks.RemoveHook(ctx, name, by)
		},
		"test": func(ctx context.Context, name upgrade.HookName, _ wireHookAct, by upgrade.Person) (any, error) {
			t, err := s.hooks.TestHook(ctx, name, by)
			return wireHookTest(t), err
		},
	}
}

func (s *Server) apiHookAct(do hookAct) func(c *gin.Context) error {
	return func(c *gin.Context) error {
		var in wireHookAct
		body, err := readJSON(c, &in)
		if err != nil {
			return err
		}
		if len(in.Reason) > maxReason {
			return invalid("the reason is longer than %d bytes", maxReason)
		}
		return s.once(c, body, func() (int, any, error) {
			answer, err := do(c.Request.Context(), hookName(c), in, person(c))
			return http.StatusOK, answer, err
		})
	}
}

func (q *query) messageStates() []upgrade.MessageState {
	var chosen []upgrade.MessageState
	for _, raw := range q.values["state"] {
		for name := range strings.SplitSeq(raw, ",") {
			if !slices.Contains(upgrade.MessageStates(), upgrade.MessageState(name)) {
				q.err = invalid("state=%q is none of %v", name, upgrade.MessageStates())
				return nil
			}
			chosen = append(chosen, upgrade.MessageState(name))
		}
	}
	return chosen
}

func (s *Server) apiMessages(c *gin.Context) error {
	q := newQuery(c, "state", "before", "limit")
	limit := q.limit()
	f := upgrade.MessageFilter{Hook: hookName(c), States: q.messageStates(), Before: q.integer("before", 0, 0), Limit: limit + 1}
	if q.err != nil {
		return q.err
	}
	found, err := s.hooks.Messages(c.Request.Context(), f)
	if err != nil {
		return fmt.Errorf("list messages of %s: %w", f.Hook, err)
	}
	out := make([]wireMessage, 0, len(found))
	for _, m := range found {
		out = append(out, wireMessageOf(m))
	}
	writeJSON(c, http.StatusOK, jsonType, paged(c, out, limit, "before", func(m wireMessage) int64 { return m.ID }))
	return nil
}

func (s *Server) apiResend(c *gin.Context) error {
	raw := c.Param("message")
	id, err := strconv.ParseInt(raw, 10, 64)
	if err != nil {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no message %q", raw), Hint: "messages are numbered from 1"}
	}
	body, err := readJSON(c, &struct{}{})
	if err != nil {
		return err
	}
	return s.once(c, body, func() (int, any, error) {
		m, err := s.hooks.Resend(c.Request.Context(), hookName(c), id, person(c))
		return http.StatusAccepted, wireMessageOf(m), err
	})
}
