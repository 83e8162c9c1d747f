package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// readable is a page without what differs each time it is made, from the header on.
func readable(page string) string {
	page = regexp.MustCompile(`\.[0-9a-f]{10}\.(css|js|svg)`).ReplaceAllString(page, ".HASH.$1")
	page = regexp.MustCompile(`name="key" value="[A-Z0-9]+"`).ReplaceAllString(page, `name="key" value="KEY"`)
	page = regexp.MustCompile(`request <span class="mono">[A-Z0-9]+`).ReplaceAllString(page, `request <span class="mono">ID`)
	page = regexp.MustCompile(`env=[0-9a-f.]+`).ReplaceAllString(page, "env=MARKS")
	_, page, _ = strings.Cut(page, "</svg>\n<header") // the sprite is the same everywhere
	return "<header" + page
}

func TestGoldenEnvironments(t *testing.T) {
	s := newSite(t, envWorld())
	for name, target := range map[string]string{
		"environments": "/environments", "invariant_broken": "/environments/staging/grants", "invariant_unsure": "/environments/staging/drift/ecs-master",
	} {
		t.Run(name, func(t *testing.T) {
			page := s.get(target)
			checkHTML(t, target, page.Body.String())
			golden(t, name+".html", readable(page.Body.String()))
		})
	}
}

// noInvariants is a source that does not answer.
type noInvariants struct{}

func (noInvariants) Invariants(context.Context) ([]upgrade.Standing, error) {
	return nil, errors.New("disk I/O error")
}

// TestEnvironmentStates: each state of the page says what is known, and what to do.
func TestEnvironmentStates(t *testing.T) {
	long := envWorld()
	for i := range long.standings {
		key := &long.standings[i].Key
		key.Gate += upgrade.GateName(strings.Repeat("-very-long-name", 5))
		long.standings[i].Result.Message = strings.Repeat("it is gone and ", 40) + "<script>alert(1)</script>"
		long.standings[i].Result.Hint, long.standings[i].Result.Warnings = long.standings[i].Result.Message, []string{long.standings[i].Result.Message}
	}
	well := envWorld()
	well.standings = well.standings[1:2]
	for name, tc := range map[string]struct {
		world  *world
		change func(*Config)
		token  string
		want   []string
		not    []string
	}{
		"broken":  {envWorld(), nil, managerToken, []string{"Staging breaks two invariants", "Production is not verified in one invariant", "Likely cause", "Check all now", "42\u00a0min, limit 30\u00a0min", "Not checked yet", "Skipped by configuration"}, nil},
		"well":    {well, nil, managerToken, []string{"<h1>Production holds.</h1>", "holds 1 of 1"}, []string{"banner bad", "breaks"}},
		"empty":   {fullWorld(), nil, managerToken, []string{"Nothing is checked continuously.", "No invariant is configured", "/config"}, []string{"Check all now"}},
		"error":   {envWorld(), func(c *Config) { c.Invariants = noInvariants{} }, managerToken, []string{"Nobody knows now", "could not be read", "Try now"}, []string{"disk I/O", "Held", "breaks"}},
		"no_role": {envWorld(), nil, viewerToken, []string{"Check all now <small>(needs the role developer)"}, []string{`action="/environments/check"`}},
		"long":    {long, nil, managerToken, []string{"very-long-name"}, []string{"<script>alert"}},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []func(*Config)
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			s := newSite(t, tc.world, changes...)
			w := s.do("GET", "/environments", tc.token, "")
			page := w.Body.String()
			if w.Code != http.StatusOK {
				t.Fatalf("answered %d\n%s", w.Code, s.log)
			}
			checkHTML(t, name, page)
			for _, want := range tc.want {
				if !strings.Contains(page, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			for _, not := range tc.not {
				if strings.Contains(page, not) {
					t.Errorf("the page says %q", not)
				}
			}
			for _, part := range []string{"lead", "banner", "matrix", "inventory"} {
				if got := s.do("GET", "/environments/parts/"+part, tc.token, ""); got.Code != 200 || !strings.Contains(page, got.Body.String()) {
					t.Errorf("part %s (%d) is not a piece of the page:\n%s", part, got.Code, got.Body)
				}
			}
			if board := s.do("GET", "/", tc.token, ""); board.Code != 200 {
				t.Errorf("the board is answered %d", board.Code)
			} else if part := s.do("GET", "/board/parts/env", tc.token, ""); !strings.Contains(board.Body.String(), part.Body.String()) {
				t.Error("the part env is not a piece of the board")
			}
		})
	}
}

func TestInvariantNotFound(t *testing.T) {
	s := newSite(t, envWorld())
	for _, target := range []string{"/environments/staging/none", "/environments/mars/grants", "/environments/staging/grants/ecs-master", "/environments/parts/none"} {
		if w := s.get(target); w.Code != http.StatusNotFound {
			t.Errorf("%s is answered %d", target, w.Code)
		}
	}
}

func TestCheckInvariants(t *testing.T) {
	w := envWorld()
	s := newSite(t, w)
	post := func(token, body string) (int, string) {
		got := s.do("POST", "/environments/check", token, body, "Content-Type", "application/x-www-form-urlencoded")
		return got.Code, got.Header().Get("Location")
	}
	if code, to := post(managerToken, ""); code != http.StatusSeeOther || to != "/environments?asked=9&refused=0" || len(w.checked) != 9 {
		t.Errorf("all: %d %s, checked %v", code, to, w.checked)
	}
	if page := s.get("/environments?asked=9&refused=0").Body.String(); !strings.Contains(page, "Asked for 9\u00a0checks.") {
		t.Error("the page does not say what happened")
	}
	w.checked = nil
	if code, to := post(managerToken, "invariant=drift%2Fstaging%2Fecs-master"); code != http.StatusSeeOther || !strings.HasPrefix(to, "/environments/staging/drift/ecs-master?asked=1") || len(w.checked) != 1 {
		t.Errorf("one: %d %s, checked %v", code, to, w.checked)
	}
	if code, _ := post(managerToken, "invariant=none"); code != http.StatusNotFound {
		t.Errorf("none: %d", code)
	}
	if code, _ := post(viewerToken, ""); code != http.StatusForbidden {
		t.Errorf("by a viewer: %d", code)
	}
}

// TestProductionLine: production's line comes from its invariants, and what production breaks is the first cause.
func TestProductionLine(t *testing.T) {
	w := envWorld()
	for i := range w.standings {
		if k := w.standings[i].Key; k.Environment == productionEnv && (k.Gate == "health" || k.Gate == "tools") {
			w.standings[i].Result.Outcome, w.standings[i].HeldAt, w.standings[i].Result.StartedAt, w.standings[i].Rev = upgrade.OutcomePassed, fakeNow(), fakeNow(), 1
		}
	}
	s := newSite(t, w)
	if page := s.get("/runs/481").Body.String(); !strings.Contains(page, "Production is untouched") || !strings.Contains(page, "holds 5 of 5\u00a0invariants, checked") {
		t.Error("production's line does not say that it holds")
	}
	part, page := s.get("/runs/481/parts/production").Body.String(), s.get("/runs/481").Body.String()
	if !strings.Contains(page, part) || len(part) < 50 {
		t.Errorf("the part is not a piece of the page: %s", part)
	}
	for i := range w.standings {
		if w.standings[i].Key == (upgrade.StandingKey{Gate: "site", Environment: productionEnv}) {
			w.standings[i].Result.Outcome, w.standings[i].Result.Message, w.standings[i].Since = upgrade.OutcomeFailed, "2 of 5 paths do not answer", at("09:10:00")
		}
	}
	page = s.get("/runs/481").Body.String()
	first := page[strings.Index(page, `<ol class="causes">`):]
	if first = first[:strings.Index(first, "</li>")]; !strings.Contains(first, "Production breaks 1 of 5\u00a0invariants since 09:10: 2 of 5 paths do not answer.") {
		t.Errorf("the first cause is %s", first)
	}
	if !strings.Contains(page, "This change is not in production") || !strings.Contains(page, "It breaks 1 of 5\u00a0invariants") {
		t.Error("production's line does not say that it breaks")
	}
}

func TestPast(t *testing.T) {
	now := at("12:00:00")
	of := func(outcome upgrade.Outcome, from, to string) upgrade.Stretch {
		return upgrade.Stretch{Outcome: outcome, Since: at(from), Until: at(to)}
	}
	for _, tc := range []struct {
		name      string
		stretches []upgrade.Stretch
		want      string
		label     string
	}{
		{"nothing", nil, "", "Nothing is known of the last 2 h"},
		{"held", []upgrade.Stretch{of(upgrade.OutcomePassed, "08:00:00", "11:59:00")}, "f-okl 0%+100% 5", "Held for all of the last 2 h"},
		{"begun_lately", []upgrade.Stretch{of(upgrade.OutcomePassed, "11:30:00", "11:59:00")}, "f-okl 75%+25% 5", "Held for all of the last 2 h, of which 30 min are known"},
		{"broken_to_the_end", []upgrade.Stretch{of(upgrade.OutcomePassed, "08:00:00", "11:29:00"), of(upgrade.OutcomeFailed, "11:30:00", "11:59:00")}, "f-okl 0%+75% 5, f-bad 75%+25% 16", "Broken for 30 min in the last 2 h"},
		{"short", []upgrade.Stretch{of(upgrade.OutcomePassed, "08:00:00", "10:59:00"), of(upgrade.OutcomeFailed, "11:00:00", "11:02:00"), of(upgrade.OutcomePassed, "11:03:00", "11:59:00")}, "f-okl 0%+50% 5, f-bad 50%+12.5% 8, f-okl 62.5%+37.5% 5", "Broken for 3 min in the last 2 h"},
		{"asked_no_more", []upgrade.Stretch{of(upgrade.OutcomePassed, "08:00:00", "11:13:00")}, "f-okl 0%+62.5% 5, f-ghost 62.5%+37.5% 9", "Not verified for 45 min in the last 2 h"},
		{"cannot_tell_but_counts", []upgrade.Stretch{of(upgrade.OutcomePassed, "08:00:00", "11:59:00"), of(upgrade.OutcomeUnknown, "11:59:30", "11:59:30")}, "f-okl 0%+100% 5", "Held for all of the last 2 h"},
		{"cannot_tell", []upgrade.Stretch{of(upgrade.OutcomeUnknown, "10:00:00", "11:59:30")}, "f-ghost 0%+100% 9", "Not verified for 2 h in the last 2 h"},
		{"a_no_stays_until_a_yes", []upgrade.Stretch{of(upgrade.OutcomeFailed, "09:00:00", "09:00:00")}, "f-bad 0%+100% 16", "Broken for 2 h in the last 2 h"},
		{"paused", []upgrade.Stretch{of(upgrade.OutcomeSkipped, "09:00:00", "11:00:00")}, "f-idle 0%+100% 5", "Paused for 2 h in the last 2 h"},
		{"in_the_future", []upgrade.Stretch{of(upgrade.OutcomePassed, "12:30:00", "13:00:00")}, "", "Nothing is known of the last 2 h"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := past(tc.stretches, 2*time.Minute, now, 2*time.Hour, 8)
			var said []string
			for _, b := range v.Bars {
				said = append(said, fmt.Sprintf("%s %s+%s %s", b.Class, b.X, b.W, b.H))
			}
			label := strings.ReplaceAll(v.Label, nb, " ")
			if got := strings.Join(said, ", "); got != tc.want || label != tc.label {
				t.Errorf("got %s (%s), want %s (%s)", got, label, tc.want, tc.label)
			}
		})
	}
}

// TestEnvironmentStream: what is asked again tells the pages that show it, and nothing else does.
func TestEnvironmentStream(t *testing.T) {
	w := envWorld()
	s := newSite(t, w, func(c *Config) { c.Now = time.Now })
	marks := s.readEnvs(t.Context()).marks()
	for name, tc := range map[string]struct {
		stream stream
		same   string
		checks string
		states string
	}{
		"environments": {stream{env: true}, "", "lead banner matrix inventory", "lead banner matrix inventory"},
		"board":        {stream{}, "", "env", "env"},
		"run":          {stream{run: 481}, "", "production", "verdict"},
	} {
		t.Run(name, func(t *testing.T) {
			st := tc.stream
			st.server, st.marks = s.Server, marks
			for step, want := range []string{tc.same, tc.checks, tc.states} {
				switch st.marks = marks; step {
				case 1:
					st.marks.Checks = "other"
				case 2:
					st.marks = standingMarks{"other", "other"}
				}
				if got := strings.Join(st.standing(t.Context()), " "); got != want {
					t.Errorf("step %d: told %q, want %q", step, got, want)
				}
			}
		})
	}
	if m := readMarks(strings.TrimPrefix(marks.query(), "&env=")); m != marks {
		t.Errorf("read back %+v, want %+v", m, marks)
	}
}
