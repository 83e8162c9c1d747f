package main

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// plain is somebody with a browser that runs no scripts: links, forms and cookies.
type plain struct {
	*testing.T
	service string
	client  *http.Client
}

// plainly signs somebody in.
func (h *house) plainly(t *testing.T, token string) plain {
	t.Helper()
	jar, err := cookiejar.New(nil)
	check(t, err)
	p := plain{T: t, service: h.url, client: &http.Client{Jar: jar}}
	if code, at, _ := p.page("/login?token=" + token); code != http.StatusOK || at != "/" {
		t.Fatalf("who signs in is answered %d at %s", code, at)
	}
	return p
}

// page follows a link.
func (p plain) page(path string) (code int, at, body string) {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), http.MethodGet, p.service+path, nil)
	check(p.T, err)
	return p.send(req)
}

// submit sends a form with what the page put into it and what is typed; empty leaves a field out.
func (p plain) submit(action, form string, typed map[string]string) (code int, at, body string) {
	p.Helper()
	values := url.Values{}
	for _, field := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(form, -1) {
		values.Set(field[1], html.UnescapeString(field[2]))
	}
	for name, value := range typed {
		values.Set(name, value)
	}
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.service+action, strings.NewReader(values.Encode()))
	check(p.T, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", p.service)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return p.send(req)
}

func (p plain) send(req *http.Request) (code int, at, body string) {
	p.Helper()
	resp, err := p.client.Do(req)
	check(p.T, err)
	defer func() { check(p.T, resp.Body.Close()) }()
	all, err := io.ReadAll(resp.Body)
	check(p.T, err)
	text := regexp.MustCompile(`<[^>]+>`).ReplaceAllString(string(all), "")
	return resp.StatusCode, resp.Request.URL.RequestURI(), string(all) + "\n" + html.UnescapeString(text)
}

// TestS6OverrideWithoutScripts: two people open production by pages and forms alone. A form without its box, one with
// a short reason, one of a run that has moved on, an author's, and the same one twice change nothing.
func TestS6OverrideWithoutScripts(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	commit := h.pushBad("1")
	run := h.runIs(commit, upgrade.PhaseBlocked)
	h.merge(commit)
	h.heldJobIs(commit, "manual")
	hugo, rene, priya := h.plainly(t, hugoToken), h.plainly(t, reneToken), h.plainly(t, priyaToken)
	path := fmt.Sprintf("/runs/%d", run.ID)
	override := path + "/override"
	const reason, second = "the exam begins in an hour, nobody scales", "I looked at the group: it has what it needs"
	says := func(body string, want ...string) {
		t.Helper()
		for _, words := range want {
			if !strings.Contains(body, words) {
				t.Errorf("the page does not say %q:\n%s", words, body[strings.LastIndex(body, "</html>"):])
			}
		}
	}
	form := func(p plain) string {
		t.Helper()
		code, _, body := p.page(override)
		if code != http.StatusOK || !strings.Contains(body, `<form method="post" action="`+override+`">`) {
			t.Fatalf("the page is answered %d and has no form:\n%s", code, body)
		}
		return body
	}
	refused := func(p plain, form string, typed map[string]string, want ...string) {
		t.Helper()
		code, at, body := p.submit(override, form, typed)
		if code < 400 || code > 499 || at != override {
			t.Errorf("answered %d at %s, want a refusal in place", code, at)
		}
		says(body, want...)
		says(body, "Nothing was done.")
	}
	yes := func(why string) map[string]string {
		return map[string]string{"reason": why, "hours": "24", "box": "read"}
	}

	_, _, page := hugo.page(path)
	says(page, `href="`+override+`"`)
	_, _, authors := priya.page(override)
	if strings.Contains(authors, `action="`+override+`"`) {
		refused(priya, authors, yes(reason), "somebody else's yes")
	}
	hugos, renes := form(hugo), form(rene)
	refused(hugo, hugos, map[string]string{"reason": reason, "hours": "24"}, "The box is not ticked", reason)
	refused(hugo, hugos, yes("because"), "at least 20 characters", "because")
	refused(hugo, hugos, map[string]string{"reason": reason, "hours": "9999", "box": "read"}, "1 to 168 hours", reason)

	code, at, body := hugo.submit(override, hugos, yes(reason))
	if code != http.StatusOK || at != path+"?done=override" {
		t.Fatalf("who asks is answered %d at %s:\n%s", code, at, body)
	}
	says(body, `role="status"`)
	h.until(func() string {
		if now, said := h.runOf(commit); said != "" || now.Override == nil {
			return "nobody has asked for an override " + said
		}
		return ""
	})
	if _, _, again := hugo.page(override); strings.Contains(again, `action="`+override+`"`) {
		t.Error("who asked may ask once more")
	} else {
		says(again, "You asked for it at", "It takes a second release manager")
	}
	refused(rene, renes, yes(second), "This run changed while you were looking", second)
	h.staysShut(commit)

	fresh := form(rene)
	says(fresh, reason)
	for range 2 { // as when somebody presses twice
		if code, at, body := rene.submit(override, fresh, yes(second)); code != http.StatusOK || at != path+"?done=override" {
			t.Fatalf("who agrees is answered %d at %s:\n%s", code, at, body)
		}
	}
	run = h.runIs(commit, upgrade.PhaseUnlocked)
	if len(run.Override.By) != 2 {
		t.Errorf("it is overridden by %v", run.Override.By)
	}
	h.heldJobIs(commit, "success")
	for _, at := range []string{"/", path, "/history"} {
		_, _, body := hugo.page(at)
		says(body, "Overridden")
	}
	_, _, audit := hugo.page("/audit")
	says(audit, reason, second, "The box is not ticked")
}
