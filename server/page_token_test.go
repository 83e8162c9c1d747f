package server

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestTokenForm: a token is made by a page without scripts. It is shown on the answer, once, and is nowhere else:
// in no address, in no answer to the same form sent again, in no audit log, and not on the page afterwards.
func TestTokenForm(t *testing.T) {
	access := &fakeAccess{}
	s := newSite(t, fullWorld(), func(c *Config) { c.Access = access })
	cookie := session(t, s.do("GET", "/login?token="+managerToken, "", ""))
	in := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	page := s.do("GET", "/access", "", "", in...).Body.String()
	checkHTML(t, "/access", page)
	_, key, ok := strings.Cut(page, `name="key" value="`)
	if !ok || strings.Contains(page, `value="admin"`) || !strings.Contains(page, `value="release_manager"`) {
		t.Fatalf("there is no form, or it offers roles that the reader does not have")
	}
	key, _, _ = strings.Cut(key, `"`)
	post := func(name, role, projects, days string) (int, string) {
		body := url.Values{"key": {key}, "name": {name}, "role": {role}, "projects": {projects}, "days": {days}}.Encode()
		w := s.do("POST", "/access", "", body, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, in...)...)
		if w.Header().Get("Location") != "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("answered with %v", w.Header())
		}
		checkHTML(t, "/access", w.Body.String())
		return w.Code, w.Body.String()
	}
	for _, wrong := range []struct{ name, role, projects, days, want string }{
		{"nightly", "viewer", "", "400", `Good for days: &#34;400&#34; is no number from 1 to 366.`},
		{" ", "viewer", "", "30", "Name: say in 1 to 63 characters what the token is for."},
		{"nightly", "admin", "", "30", "You are admin nowhere. Ask for a lower role."},
	} {
		code, body := post(wrong.name, wrong.role, wrong.projects, wrong.days)
		if code < 400 || code > 499 || !strings.Contains(body, wrong.want) || !strings.Contains(body, `value="`+wrong.days+`"`) || len(access.tokens) != 0 || s.audit.(*fakeAudit).last().Detail == "" {
			t.Errorf("answered %d without %q, or what was typed is lost", code, wrong.want)
		}
	}

	code, body := post("nightly", "developer", "platform/ecs-master, platform/other", "30")
	token := regexp.MustCompile(`ugt_[A-Z2-7]{40,}`).FindString(body)
	if code != 201 || token == "" || len(access.tokens) != 1 {
		t.Fatalf("answered %d with the token %q, %d are kept", code, token, len(access.tokens))
	}
	if got := access.tokens[0]; got.Role != upgrade.RoleDeveloper || len(got.Projects) != 2 || got.EndsAt.Sub(got.MadeAt) != 30*hoursOfDay || got.Digest != digestOf(token) {
		t.Errorf("kept %+v", got)
	}
	if w := s.do("GET", "/api/v1/me", token, ""); w.Code != 200 {
		t.Errorf("with it somebody is answered %d %s", w.Code, w.Body)
	}
	code, body = post("nightly", "developer", "", "30")
	if code != 201 || len(access.tokens) != 1 || strings.Contains(body, "ugt_") || !strings.Contains(body, "is not shown again") {
		t.Errorf("the same form sent again is answered %d, %d tokens are kept", code, len(access.tokens))
	}
	if after := s.do("GET", "/access", "", "", in...).Body.String(); strings.Contains(after, "ugt_") || !strings.Contains(after, "nightly") {
		t.Error("the page afterwards has the token, or does not list it")
	}
	if e := s.audit.(*fakeAudit).last(); e.Act != "token.make" || e.On != "token "+access.tokens[0].ID || strings.Contains(e.Detail+e.Why, "ugt_") {
		t.Errorf("kept %+v", e)
	}
	if strings.Contains(s.log.String(), token) {
		t.Error("the log has the token")
	}

	lent := s.do("GET", "/access", token, "").Body.String()
	if strings.Contains(lent, `name="days"`) || !strings.Contains(lent, "Neither an API token nor the break-glass account may make tokens") {
		t.Error("who came with an API token is offered to make another one")
	}
}
