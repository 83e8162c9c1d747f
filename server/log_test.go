package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestLogPage: a long log is paged from its end, each line is on one page, and no page is beyond the budget.
func TestLogPage(t *testing.T) {
	w := fullWorld()
	var long strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&long, "line %d of a log that says something on each of them\n", i+1)
	}
	w.logs["481/plan"] = long.String()
	s := newSite(t, w)
	seen, target := map[string]int{}, "/runs/481/log/plan"
	for range 10 {
		page := s.get(target)
		body := page.Body.String()
		if page.Code != 200 || len(body) > 60_000 {
			t.Fatalf("%s is answered %d with %d bytes", target, page.Code, len(body))
		}
		checkHTML(t, target, body)
		for _, part := range strings.Split(body, "<code>line ")[1:] {
			number, _, _ := strings.Cut(part, " ")
			seen[number]++
		}
		_, rest, more := strings.Cut(body, `<a class="btn" href="/runs/481/log/plan?to=`)
		if !more || !strings.Contains(body, "Lines before") {
			break
		}
		number, _, _ := strings.Cut(rest, `"`)
		target = "/runs/481/log/plan?to=" + number
	}
	if len(seen) != 1000 || seen["1"] != 1 && seen["1"] != 2 || seen["1000"] != 1 {
		t.Errorf("%d lines were seen, the first %d and the last %d times", len(seen), seen["1"], seen["1000"])
	}
	if page := s.get("/runs/481/log/plan?to=x"); page.Code != 400 {
		t.Errorf("answered %d", page.Code)
	}
}

// TestNoLog: where a stage has no log, the page of the run, the page of the log and the API say why, and what to do.
func TestNoLog(t *testing.T) {
	run := func(phase, from upgrade.Phase, applies int) upgrade.Run {
		r := blockedRun()
		r.Phase, r.From, r.Applies = phase, from, applies
		return r
	}
	for name, test := range map[string]struct {
		run         upgrade.Run
		stage, want string
	}{
		"not_begun":   {run(upgrade.PhasePlanning, upgrade.PhasePreparing, 0), "apply", "The apply has not begun: the run is being planned. The log is here as soon as it begins."},
		"needs_a_yes": {run(upgrade.PhaseAwaitingApproval, upgrade.PhaseJudging, 0), "apply", "The apply has not begun: a person has to agree to the plan first. Read the plan and decide."},
		"refused":     {run(upgrade.PhaseBlocked, upgrade.PhaseJudging, 0), "apply", "The run ended before the apply, so there is no log of it: staging was not touched by this run. The log of plan says how far it came."},
		"no_checkout": {run(upgrade.PhaseFailed, upgrade.PhasePreparing, 0), "plan", "The run ended before the planning, so there is no log of it. The log of prepare says how far it came."},
		"replaced":    {run(upgrade.PhaseSuperseded, upgrade.PhaseQueued, 0), "prepare", "The run ended before the checkout, so there is no log of it. The journal of the run says why it ended."},
		"just_begun":  {run(upgrade.PhaseApplying, upgrade.PhaseJudging, 1), "apply", "The apply has begun and has written nothing yet. Look again in a moment."},
		"removed":     {run(upgrade.PhaseBlocked, upgrade.PhaseChecking, 1), "apply", "The log of the apply is not on this server. It lies in the work folder of the server that worked on the run, and only a person removes it there; the plan, the journal and what the gates found are kept in the database."},
	} {
		t.Run(name, func(t *testing.T) {
			w := fullWorld()
			w.runs, w.logs = []upgrade.Run{test.run}, nil
			s := newSite(t, w)
			page := s.get("/runs/481/log/" + test.stage)
			if page.Code != 200 || !strings.Contains(page.Body.String(), test.want) {
				t.Errorf("the page of the log is answered %d and does not say %q", page.Code, test.want)
			}
			if api := s.get("/api/v1/runs/481/log/" + test.stage); api.Code != 404 || !strings.Contains(strings.ToLower(api.Body.String()), strings.ToLower(test.want[:20])) {
				t.Errorf("the API answers %d %s", api.Code, api.Body)
			}
			if body := s.get("/runs/481").Body.String(); strings.Contains(body, "does not exist") {
				t.Error("the page of the run says that something does not exist")
			}
		})
	}
}

// TestAnnounceLog: new lines are announced to who asks for it, the last one alone, and only while any come.
func TestAnnounceLog(t *testing.T) {
	s := newSite(t, fullWorld())
	const region, on, off = `role="log" aria-live="polite"`, `href="/runs/483?announce=log#log"`, `href="/runs/483#log"`
	for _, tt := range []struct {
		path     string
		has, not []string
	}{
		{"/runs/483", []string{on}, []string{region, off, "announce=log\" hx-trigger"}},
		{"/runs/483?announce=log", []string{region, off, `hx-get="/runs/483/parts/log?announce=log"`}, []string{on}},
		{"/runs/483/parts/log", []string{on}, []string{region}},
		{"/runs/483/parts/log?announce=log", []string{region, off}, []string{on}},
		{"/runs/483?announce=everything", []string{on}, []string{region}},
		{"/runs/481?announce=log", nil, []string{region, "Announce new", "Stop announcing"}},
	} {
		page := s.get(tt.path).Body.String()
		for _, want := range tt.has {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not have %s", tt.path, want)
			}
		}
		for _, not := range tt.not {
			if strings.Contains(page, not) {
				t.Errorf("%s has %s", tt.path, not)
			}
		}
	}
	v := logView{Path: "/runs/1", Live: true, Lines: []lineView{{Text: "first"}, {Text: "last"}}}
	if v.announce(announceLog); v.Said != "last" {
		t.Errorf("said is %q", v.Said)
	}
}
