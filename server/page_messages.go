package server

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// fewMessages is how many of each subscription are shown as long as none is chosen.
const fewMessages = 10

// messagesView is the page of what goes out, and above all of what did not arrive.
type messagesView struct {
	Headline string
	Hooks    []hookView
	One      bool   // of one subscription, page by page
	Flash    string // what was done
	Key      string // makes a second sending of the same form have no second effect
	Off      string // why nothing is sent again; empty: the reader may
}

// hookView is one subscription with the messages that were given up.
type hookView struct {
	Name, Host, Path, Events, Stacks, Why, By string
	Chip                                      chip
	Waiting                                   int
	Dead                                      []messageRow
	More                                      int // that were given up and are not shown
	Next                                      string
}

type messageRow struct {
	Number, Type, Tries, Answer, Resend string
	Run                                 link
	Tried, Made                         when
}

func (s *Server) messagesPage(c *gin.Context) error {
	q := newQuery(c, "hook", "before", "sent")
	chosen, before, sent := upgrade.HookName(q.values.Get("hook")), q.integer("before", 0, 0), q.integer("sent", 0, 0)
	if q.err != nil {
		return q.err
	}
	all, err := s.hooks.Hooks(c.Request.Context(), person(c))
	if err != nil {
		return fmt.Errorf("list subscriptions: %w", err)
	}
	v := messagesView{One: chosen != "", Key: rand.Text()}
	if err := upgrade.May(person(c), upgrade.ActHooks, upgrade.Object{}); err != nil {
		v.Off = "needs the role " + roleTitle(upgrade.ActHooks.Needs())
	}
	dead := 0
	for _, h := range all {
		if dead += h.Dead; v.One && h.Name != chosen {
			continue
		}
		hv, err := s.hookView(c, h, v.One, before)
		if err != nil {
			return err
		}
		v.Hooks = append(v.Hooks, hv)
	}
	if v.One && len(v.Hooks) == 0 {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no subscription %s", chosen), Hint: "see all of them under Messages out"}
	}
	v.Headline = messagesHeadline(len(all), dead)
	if sent > 0 {
		v.Flash = fmt.Sprintf("Message %d is sent again. It is tried for three days from now on; if it is given up again, it comes back here.", sent)
	}
	return s.show(c, http.StatusOK, "messages", s.layout(c, "Messages out", v))
}

func messagesHeadline(hooks, dead int) string {
	switch {
	case hooks == 0:
		return "Nobody is told of events"
	case dead == 0:
		return "Every message arrived, or is on its way"
	case dead == 1:
		return "One message did not arrive"
	}
	return upperFirst(number(dead)) + " messages did not arrive"
}

func (s *Server) hookView(c *gin.Context, h upgrade.Hook, one bool, before int64) (hookView, error) {
	w, limit := s.words(), fewMessages
	if one {
		limit = pageSize
	}
	v := hookView{
		Name: string(h.Name), Host: hostOnly(h.URL), Path: "/messages?" + url.Values{"hook": {string(h.Name)}}.Encode(), Waiting: h.Pending,
		Events: "all events", Stacks: "all stacks", Why: stop(h.Why), By: h.By, Chip: chipOf(hookLook(h.State), ""),
	}
	if len(h.Events) > 0 {
		v.Events = strings.Join(h.Events, ", ")
	}
	if len(h.Stacks) > 0 {
		v.Stacks = joined(h.Stacks)
	}
	found, err := s.hooks.Messages(c.Request.Context(), upgrade.MessageFilter{
		Hook: h.Name, States: []upgrade.MessageState{upgrade.MessageDead}, Before: before, Limit: limit + 1,
	})
	if err != nil {
		return v, fmt.Errorf("list messages of %s: %w", h.Name, err)
	}
	cut := page[upgrade.HookMessage]{Items: found[:min(len(found), limit)]}
	if one {
		cut = paged(c, found, limit, "before", func(m upgrade.HookMessage) int64 { return m.ID })
	}
	v.Next, v.More = cut.Next, max(h.Dead-len(cut.Items), 0)
	for _, m := range cut.Items {
		v.Dead = append(v.Dead, messageRow{
			Number: strconv.FormatInt(m.ID, 10), Type: m.Type, Tries: times(m.Tries), Answer: stop(m.Answer), Run: link{Text: "run " + m.Run.String(), Href: runPath(m.Run)},
			Tried: w.stamp(m.TriedAt), Made: w.stamp(m.MadeAt), Resend: "/messages/" + url.PathEscape(string(h.Name)) + "/" + strconv.FormatInt(m.ID, 10) + "/resend",
		})
	}
	return v, nil
}

// hostOnly is what is shown of an address: its path may be a secret.
func hostOnly(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

func joined(stacks []upgrade.StackName) string {
	var names []string
	for _, stack := range stacks {
		names = append(names, string(stack))
	}
	return strings.Join(names, ", ")
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d%stimes", n, nb)
}

// hookLook is how the state of a subscription is shown.
func hookLook(state upgrade.HookState) upgrade.Look {
	switch state {
	case upgrade.HookActive:
		return upgrade.Look{Word: "Active", Icon: upgrade.IconOK, Tone: upgrade.ToneOK}
	case upgrade.HookPaused:
		return upgrade.Look{Word: "Paused", Icon: upgrade.IconSkip, Tone: upgrade.ToneIdle}
	case upgrade.HookGone:
		return upgrade.Look{Word: "Gone", Icon: upgrade.IconWarn, Tone: upgrade.ToneWarn}
	}
	return upgrade.Look{Word: upperFirst(string(state)), Icon: upgrade.IconUnk, Tone: upgrade.ToneWarn}
}

// resendForm has a message sent again, once for each form.
func (s *Server) resendForm(c *gin.Context) error {
	if err := c.Request.ParseForm(); err != nil {
		return badBody(err)
	}
	name, raw := upgrade.HookName(c.Param("name")), c.Param("message")
	id, err := strconv.ParseInt(raw, 10, 64)
	if err != nil {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no message %q", raw), Hint: "messages are numbered from 1"}
	}
	if e := upgrade.ActingOf(c.Request.Context()); e != nil {
		e.On = fmt.Sprintf("message %d of %s", id, name)
	}
	if _, _, err := s.onceForm(c, func() (any, error) {
		m, err := s.hooks.Resend(c.Request.Context(), name, id, person(c))
		return wireMessageOf(m), err
	}); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, "/messages?"+url.Values{"hook": {string(name)}, "sent": {raw}}.Encode())
	return nil
}
