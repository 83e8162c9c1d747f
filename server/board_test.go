package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestBoardOfMany: of a long group the first rows are shown, and the rest when somebody asks for it.
func TestBoardOfMany(t *testing.T) {
	w := fullWorld()
	for i := range 40 {
		r := blockedRun()
		r.ID, r.Stack = upgrade.RunID(700+i), upgrade.StackName(fmt.Sprintf("stack-%02d", i))
		w.runs = append(w.runs, r)
	}
	s := newSite(t, w)
	page := s.get("/").Body.String()
	checkHTML(t, "board", page)
	shown, rest, more := strings.Cut(page, `<summary class="btn">Show all 41</summary>`)
	if n := strings.Count(shown, `<article class="row bad">`); !more || n != fewRows {
		t.Errorf("%d rows are shown at once", n)
	}
	group, _, _ := strings.Cut(rest, "</section>")
	if n := strings.Count(group, `<article class="row bad">`); n != 16 {
		t.Errorf("%d rows are shown to who asks", n)
	}
	if part := s.get("/board/parts/attention"); !strings.Contains(page, part.Body.String()) {
		t.Error("the part of the group is not a piece of the board")
	}
	if part := s.get("/board/parts/envline"); part.Code != http.StatusOK || !strings.Contains(page, part.Body.String()) {
		t.Error("the line of the environments is not a piece of the board")
	}
}

// TestOverrideIsMarked: what went to production by an override is told from what passed.
func TestOverrideIsMarked(t *testing.T) {
	w := fullWorld()
	r := blockedRun()
	r.ID, r.Stack, r.Phase, r.PromotedAt, r.Override, r.Causes = 690, "mail-relay", upgrade.PhasePromoted, at("09:10:00"), overridden(), nil
	w.runs = append(w.runs, r)
	part := newSite(t, w).get("/board/parts/recent").Body.String()
	line, _, _ := strings.Cut(part[strings.Index(part, "mail-relay"):], "</li>")
	if !strings.Contains(line, "Overridden") || !strings.Contains(line, "by Priya Raman") || strings.Count(part, "Overridden") != 1 {
		t.Errorf("the board says\n%s", part)
	}
}

func TestBrowserOf(t *testing.T) {
	for agent, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36":                                   "Chrome on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0":           "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1": "Safari on iPhone",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0":                                                    "Firefox on macOS",
		"curl/8.14.1": "curl/8.14.1", "": "",
	} {
		if got := browserOf(agent); got != want {
			t.Errorf("%q is called %q, want %q", agent, got, want)
		}
	}
}

// mute is a GitLab that does not answer.
type mute time.Time

func (m mute) SilentSince() time.Time { return time.Time(m) }

// TestBoardSaysThatGitLabIsSilent: and since when; a reader of an open page learns of it with the next try, and of its end.
func TestBoardSaysThatGitLabIsSilent(t *testing.T) {
	const said = "GitLab has not answered since"
	for since, want := range map[time.Time]bool{{}: false, at("09:02:00"): true} {
		s := newSite(t, fullWorld(), func(c *Config) { c.Forge = mute(since) })
		for _, path := range []string{"/", "/board/parts/lead"} {
			page := s.get(path).Body.String()
			checkHTML(t, path, page)
			if strings.Contains(page, said) != want || want && !strings.Contains(page, ">09:02</time>") {
				t.Errorf("%s, since %s: %s", path, since, page)
			}
		}
	}
	for _, kind := range []upgrade.EventKind{upgrade.EventRetry, upgrade.EventStatus} {
		if parts := boardParts(upgrade.Event{Kind: kind}); !slices.Contains(parts, "lead") {
			t.Errorf("%s changes %q", kind, parts)
		}
	}
}
