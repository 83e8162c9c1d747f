package server

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

const adminToken = "token-of-ada-admin"

func withAdmin(c *Config) {
	c.Tokens = append(c.Tokens, Token{upgrade.Person{Name: "Ada Admin", Role: upgrade.RoleAdmin}, adminToken})
}

func TestMessagesPage(t *testing.T) {
	many := fullHooks()
	for id := range int64(60) {
		many.messages = append(many.messages, upgrade.HookMessage{ID: 100 + id, Hook: "chat", Run: 481, Type: "run.blocked", State: upgrade.MessageDead, Tries: 1, MadeAt: fakeNow()})
	}
	many.hooks[0].Dead = 61
	quiet := fullHooks()
	quiet.hooks[0].Dead, quiet.hooks[0].State, quiet.hooks[0].Why, quiet.messages = 0, upgrade.HookGone, "its receiver answered 410 Gone", nil
	for _, tc := range []struct {
		name, target, token string
		rooms               *fakeHooks
		code                int
		has, hasNot         []string
	}{
		{"none", "/messages", viewerToken, &fakeHooks{}, 200, []string{"Nobody is told of events", "There is no subscription.", "<code>hooks</code>"}, nil},
		{
			"dead", "/messages", adminToken, fullHooks(), 200,
			[]string{"<h1>Two messages did not arrive</h1>", "chat.example.org", "12\u00a0times", "Answered 500 Internal Server Error.", `action="/messages/chat/1/resend"`, `href="/runs/481"`},
			[]string{"secret-path", "run.unlocked</code>"},
		},
		{"off_for_others", "/messages", managerToken, fullHooks(), 200, []string{"needs the role admin"}, []string{"<form method=\"post\" action=\"/messages"}},
		{"nothing_dead", "/messages", managerToken, quiet, 200, []string{"Every message arrived, or is on its way", "No message was given up.", "Gone", "Its receiver answered 410 Gone."}, nil},
		{"few_of_many", "/messages", adminToken, many, 200, []string{`<a href="/messages?hook=chat">51 more that were given up</a>`}, []string{"Older ones"}},
		{"one_hook", "/messages?hook=chat", adminToken, many, 200, []string{"Older ones", "before=110", "All subscriptions"}, nil},
		{"one_hook_last_page", "/messages?hook=chat&before=110", adminToken, many, 200, []string{"No. 1,"}, []string{"Older ones"}},
		{"no_such_hook", "/messages?hook=none", adminToken, fullHooks(), 404, []string{"There is no subscription none."}, nil},
		{"no_such_parameter", "/messages?state=dead", adminToken, fullHooks(), 400, []string{"Known are hook, before, sent."}, nil},
		{"after_sending", "/messages?hook=chat&sent=1", adminToken, fullHooks(), 200, []string{`role="status" tabindex="-1" autofocus>Message 1 is sent again.`}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t, fullWorld(), func(c *Config) { c.Hooks = tc.rooms }, withAdmin)
			w := s.do("GET", tc.target, tc.token, "")
			body := strings.ReplaceAll(w.Body.String(), "&amp;", "&")
			if w.Code != tc.code {
				t.Fatalf("answered %d\n%s", w.Code, s.log)
			}
			checkHTML(t, tc.name, w.Body.String())
			for _, want := range tc.has {
				if !strings.Contains(body, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			for _, not := range tc.hasNot {
				if strings.Contains(body, not) {
					t.Errorf("the page says %q", not)
				}
			}
		})
	}
}

// TestResendForm: the button works, once for each form, is kept in the audit log, and asks who may.
func TestResendForm(t *testing.T) {
	rooms, log := fullHooks(), &fakeAudit{}
	s := newSite(t, fullWorld(), func(c *Config) { c.Hooks, c.Audit = rooms, log }, withAdmin)
	rooms.needs = upgrade.ActHooks.Needs()
	page := s.do("GET", "/messages", adminToken, "").Body.String()
	key := regexp.MustCompile(`name="key" value="([A-Z0-9]+)"`).FindStringSubmatch(page)
	if key == nil {
		t.Fatal("the form has no key")
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	if w := s.do("POST", "/messages/chat/1/resend", managerToken, "key="+key[1], form...); w.Code != http.StatusForbidden {
		t.Errorf("a release manager is answered %d", w.Code)
	}
	for range 2 {
		w := s.do("POST", "/messages/chat/1/resend", adminToken, "key="+key[1], form...)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/messages?hook=chat&sent=1" {
			t.Errorf("answered %d to %s", w.Code, w.Header().Get("Location"))
		}
	}
	if len(rooms.resent) != 1 {
		t.Errorf("sent again %d times", len(rooms.resent))
	}
	if w := s.do("POST", "/messages/chat/x/resend", adminToken, "key=a", form...); w.Code != http.StatusNotFound {
		t.Errorf("a message that is no number is answered %d", w.Code)
	}
	if w := s.do("POST", "/messages/chat/1/resend", adminToken, "key="+key[1], append(form, "Origin", "https://evil.example.org", "Sec-Fetch-Site", "cross-site")...); w.Code != http.StatusForbidden {
		t.Errorf("another site's post is answered %d", w.Code)
	}
	var said []string
	for _, e := range log.all {
		said = append(said, string(e.Act)+" "+e.On+" "+e.Who+" "+string(e.Result))
	}
	want := "hook.message.resend message 1 of chat Mira Holt refused, hook.message.resend message 1 of chat Ada Admin done"
	if got := strings.Join(said, ", "); !strings.HasPrefix(got, want) {
		t.Errorf("the audit log has\n%s, want\n%s", got, want)
	}
}
