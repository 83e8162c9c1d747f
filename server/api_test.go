package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(w.Body.String()))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("answered %d %s: %v", w.Code, w.Body, err)
	}
	return v
}

func TestAPIRuns(t *testing.T) {
	s := newSite(t, fullWorld())
	for _, tc := range []struct {
		name, query string
		want        []upgrade.RunID
	}{
		{"all", "", []upgrade.RunID{484, 483, 481, 480, 476, 470}},
		{"stack", "?stack=cms-web", []upgrade.RunID{483}},
		{"phases_by_comma", "?phase=blocked,queued", []upgrade.RunID{484, 481}},
		{"phases_repeated", "?phase=blocked&phase=queued", []upgrade.RunID{484, 481}},
		{"before", "?before=481", []upgrade.RunID{480, 476, 470}},
		{"none", "?stack=nowhere", []upgrade.RunID{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := s.get("/api/v1/runs" + tc.query)
			got := decode[page[wireRun]](t, w)
			var ids []upgrade.RunID
			for _, r := range got.Items {
				ids = append(ids, r.ID)
			}
			if len(ids) != len(tc.want) || got.Items == nil {
				t.Fatalf("got %v, want %v", ids, tc.want)
			}
			for i := range ids {
				if ids[i] != tc.want[i] {
					t.Fatalf("got %v, want %v", ids, tc.want)
				}
			}
		})
	}
}

func TestAPIPages(t *testing.T) {
	s := newSite(t, fullWorld())
	var seen []upgrade.RunID
	for next := "/api/v1/runs?limit=2&phase=" + string(upgrade.PhaseBlocked) + ",queued,checking,unlocked,promoted"; next != ""; {
		p := decode[page[wireRun]](t, s.get(next))
		if len(p.Items) > 2 {
			t.Fatalf("%d items", len(p.Items))
		}
		for _, r := range p.Items {
			seen = append(seen, r.ID)
		}
		next = p.Next
	}
	if len(seen) != 5 || seen[0] != 484 || seen[4] != 476 {
		t.Errorf("saw %v", seen)
	}
}

func TestAPIRun(t *testing.T) {
	s := newSite(t, fullWorld())
	w := s.get("/api/v1/runs/481")
	r := decode[wireRun](t, w)
	told := upgrade.Tell(blockedRun())
	if r.Told.Headline != told.Headline || r.Told.Key != told.Key || r.URL != "https://gate.example.org/runs/481" || r.Rev != 37 {
		t.Errorf("got %s", w.Body)
	}
	if n := len(decode[page[wireResult]](t, s.get("/api/v1/runs/481/gates")).Items); n != 6 {
		t.Errorf("%d gates", n)
	}
	events := decode[page[wireEvent]](t, s.get("/api/v1/runs/481/events?after=7")).Items
	if len(events) != 2 || events[0].Seq != 8 {
		t.Errorf("events %+v", events)
	}
}

// TestNewest: a gate asked again has one answer that counts, in its old place.
func TestNewest(t *testing.T) {
	got := wayBack{}.newest([]upgrade.Result{
		{Gate: "a", Environment: "staging", Outcome: upgrade.OutcomeFailed},
		{Gate: "b", Environment: "staging", Outcome: upgrade.OutcomePassed},
		{Gate: "a", Environment: "production", Outcome: upgrade.OutcomePassed},
		{Gate: "a", Environment: "staging", Outcome: upgrade.OutcomePassed, Round: 2},
	})
	if len(got) != 3 || got[0].Round != 2 || got[0].Outcome != upgrade.OutcomePassed || got[1].Gate != "b" {
		t.Errorf("got %+v", got)
	}
}

func TestProblems(t *testing.T) {
	s := newSite(t, fullWorld())
	for _, tc := range []struct {
		name, method, target, body string
		status                     int
		code                       upgrade.Code
	}{
		{"no_such_run", "GET", "/api/v1/runs/512", "", 404, upgrade.CodeNotFound},
		{"no_number", "GET", "/api/v1/runs/x", "", 404, upgrade.CodeNotFound},
		{"negative_number", "GET", "/api/v1/runs/-1", "", 404, upgrade.CodeNotFound},
		{"misspelt_filter", "GET", "/api/v1/runs?stak=a", "", 400, upgrade.CodeInvalid},
		{"no_phase", "GET", "/api/v1/runs?phase=done", "", 400, upgrade.CodeInvalid},
		{"large_limit", "GET", "/api/v1/runs?limit=201", "", 400, upgrade.CodeInvalid},
		{"limit_no_number", "GET", "/api/v1/runs?limit=x", "", 400, upgrade.CodeInvalid},
		{"no_fate", "GET", "/api/v1/deliveries?fate=x", "", 400, upgrade.CodeInvalid},
		{"no_such_stage", "GET", "/api/v1/runs/481/log/destroy", "", 404, upgrade.CodeNotFound},
		{"no_such_log", "GET", "/api/v1/runs/481/log/prepare", "", 404, upgrade.CodeNotFound},
		{"no_route", "GET", "/api/v1/nothing", "", 404, upgrade.CodeNotFound},
		{"body_no_json", "POST", "/api/v1/runs/481/recheck", "reason=x", 400, upgrade.CodeInvalid},
		{"body_too_large", "POST", "/api/v1/runs/481/recheck", strings.Repeat("x", maxForm+1), 413, upgrade.CodeInvalid},
		{"reason_too_long", "POST", "/api/v1/runs/481/recheck", `{"reason":"` + strings.Repeat("x", maxReason+1) + `"}`, 400, upgrade.CodeInvalid},
		{"stale", "POST", "/api/v1/runs/481/recheck", `{"rev":36}`, 409, upgrade.CodeStale},
		{"post_to_no_run", "POST", "/api/v1/runs/512/stop", "", 404, upgrade.CodeNotFound},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := s.do(tc.method, tc.target, managerToken, tc.body)
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Fatalf("answered %d as %q: %s", w.Code, got, w.Body)
			}
			p := decode[problem](t, w)
			if w.Code != tc.status || p.Status != tc.status || p.Code != tc.code || p.Detail == "" || p.RequestID == "" {
				t.Errorf("answered %d %+v, want %d %s", w.Code, p, tc.status, tc.code)
			}
		})
	}
	if len(s.world.asked) != 0 {
		t.Errorf("asked %+v", s.world.asked)
	}
	if w := s.do("DELETE", "/api/v1/runs/481", managerToken, ""); w.Code != 405 {
		t.Errorf("a method that is not there is answered %d", w.Code)
	}
}

// TestUnexpectedError: what nobody expected is logged, with its cause, and disclosed to nobody.
func TestUnexpectedError(t *testing.T) {
	w := fullWorld()
	w.askErr = errors.New("dial tcp 10.0.0.7: password is hunter2")
	s := newSite(t, w)
	got := s.do("POST", "/api/v1/runs/481/recheck", managerToken, "")
	if got.Code != 500 || strings.Contains(got.Body.String(), "hunter2") {
		t.Errorf("answered %d %s", got.Code, got.Body)
	}
	if strings.Count(s.log.String(), "hunter2") != 1 {
		t.Errorf("log:\n%s", s.log)
	}
	w.panicky = true
	got = s.get("/api/v1/runs/481")
	if p := decode[problem](t, got); got.Code != 500 || p.Code != upgrade.CodeInternal || strings.Contains(got.Body.String(), "a bug") {
		t.Errorf("a panic is answered %d %s", got.Code, got.Body)
	}
	if !strings.Contains(s.log.String(), "a bug") {
		t.Errorf("the panic is not logged:\n%s", s.log)
	}
}

func TestAPIActs(t *testing.T) {
	s := newSite(t, fullWorld())
	w := s.do("POST", "/api/v1/runs/481/recheck", managerToken, `{"reason":"the key is back","rev":37}`)
	if got := decode[asked](t, w); w.Code != 202 || got.Asked != "recheck" || got.Run.ID != 481 {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if w := s.do("POST", "/api/v1/runs/483/stop", managerToken, ""); w.Code != 202 {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if w := s.do("POST", "/api/v1/runs/481/recheck", viewerToken, ""); w.Code != 403 || decode[problem](t, w).Hint == "" {
		t.Errorf("a viewer is answered %d %s", w.Code, w.Body)
	}
	asked := s.world.asked
	if len(asked) != 2 || asked[0].Kind != upgrade.RequestRecheck || asked[0].Reason != "the key is back" || asked[0].By.GitLabUser != 17 ||
		!asked[0].At.Equal(fakeNow()) || asked[1].Kind != upgrade.RequestStop || asked[1].Run != 483 {
		t.Errorf("asked %+v", asked)
	}
}

func TestAPIDeliveries(t *testing.T) {
	s := newSite(t, fullWorld())
	all := decode[page[wireDelivery]](t, s.get("/api/v1/deliveries")).Items
	if len(all) != 3 || all[0].Number != 3 || all[2].Runs[0] != 481 || all[2].About != "staging → 8f2c1ab" {
		t.Errorf("got %+v", all)
	}
	one := decode[wireDelivery](t, s.get("/api/v1/deliveries/a%2Fb"))
	if one.Fate != upgrade.FateRefused || one.Reason != "the merge request is not approved" {
		t.Errorf("got %+v", one)
	}
	if w := s.get("/api/v1/deliveries/none"); w.Code != 404 {
		t.Errorf("answered %d", w.Code)
	}
	p := decode[page[wireDelivery]](t, s.get("/api/v1/deliveries?fate=refused,ignored&limit=1"))
	if len(p.Items) != 1 || p.Items[0].Number != 3 || p.Next != "/api/v1/deliveries?before=3&fate=refused%2Cignored&limit=1" {
		t.Errorf("got %+v", p)
	}
}

func TestAPILog(t *testing.T) {
	s := newSite(t, fullWorld())
	w := s.get("/api/v1/runs/481/log/apply")
	if w.Code != 200 || w.Body.String() != applyLog || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func TestAPILogFollows(t *testing.T) {
	w := fullWorld()
	w.logs["483/apply"] = "one\n"
	s := newSite(t, w)
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/runs/483/log/apply?follow=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+managerToken)
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	if !lines.Scan() || lines.Text() != "one" {
		t.Fatalf("got %q", lines.Text())
	}
	w.addLog("483/apply", "two\n")
	if !lines.Scan() || lines.Text() != "two" {
		t.Fatalf("got %q", lines.Text())
	}
	s.EndStreams()
	if lines.Scan() {
		t.Errorf("goes on with %q", lines.Text())
	}
}

// TestAPILock: what a page can do, the API can.
func TestAPILock(t *testing.T) {
	s := newSite(t, fullWorld())
	w := s.do("POST", "/api/v1/runs/480/relock", managerToken, `{"reason":"an incident"}`)
	if w.Code != 202 || len(s.world.asked) != 1 || s.world.asked[0].Kind != upgrade.RequestRelock {
		t.Errorf("answered %d %s, asked %+v", w.Code, w.Body, s.world.asked)
	}
}
