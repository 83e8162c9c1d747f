package server

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// awaiting is a run that waits for a yes to what its plan destroys.
func awaiting() upgrade.Run {
	r := blockedRun()
	r.Phase, r.From, r.Since, r.Deadline, r.Causes, r.Applies = upgrade.PhaseAwaitingApproval, upgrade.PhaseJudging, at("08:45:00"), at("12:45:00"), nil, 0
	r.Reason = "2 guarded resources would be destroyed or replaced"
	return r
}

// guarded is what the guard says of awaiting's plan.
func guarded(apply int, address string) upgrade.Result {
	return upgrade.Result{
		Run: 481, Gate: "destroy-guard", Kind: "destroy-guard", Stage: upgrade.StagePlan, Environment: "staging", Apply: apply, Required: true, Agreeable: true,
		Outcome: upgrade.OutcomeFailed, Message: "the plan would destroy or replace 2 resources of a guarded type", StartedAt: at("08:45:00"),
		Evidence: upgrade.Evidence{Tables: []upgrade.Table{{
			Title: "Destroyed or replaced", Columns: []string{"Resource", "What happens", "Why"},
			Rows: [][]string{{address, "destroyed", "it is gone from the configuration"}, {"aws_db_instance.main", "replaced, the old one destroyed first", ""}},
		}}},
	}
}

func worldOf(run upgrade.Run, results ...upgrade.Result) *world {
	w := fullWorld()
	for i := range w.runs {
		if w.runs[i].ID == run.ID {
			w.runs[i] = run
		}
	}
	w.results[run.ID] = results
	return w
}

// TestAPIEachAct: each act reaches the domain as what it is, with all that it needs.
func TestAPIEachAct(t *testing.T) {
	s := newSite(t, fullWorld())
	until := "2026-11-23T20:00:00Z"
	for _, tc := range []struct {
		name, body string
		want       upgrade.Request
		again      upgrade.HintKind
	}{
		{"stop", `{"reason":"r"}`, upgrade.Request{Kind: upgrade.RequestStop}, ""},
		{"recheck", `{"reason":"r"}`, upgrade.Request{Kind: upgrade.RequestRecheck}, ""},
		{"retry", `{"reason":"r"}`, upgrade.Request{}, upgrade.HintRetry},
		{"rehearse", `{"reason":"r"}`, upgrade.Request{}, upgrade.HintRehearse},
		{"relock", `{"reason":"r"}`, upgrade.Request{Kind: upgrade.RequestRelock}, ""},
		{"approve", `{"reason":"r","digest":"bb22"}`, upgrade.Request{Kind: upgrade.RequestApprove, Digest: "bb22"}, ""},
		{"refuse", `{"reason":"r","digest":"bb22"}`, upgrade.Request{Kind: upgrade.RequestRefuse, Digest: "bb22"}, ""},
		{"resolve", `{"reason":"r"}`, upgrade.Request{Kind: upgrade.RequestResolve}, ""},
		{"override", `{"reason":"r","digest":"cc","until":"` + until + `"}`, upgrade.Request{Kind: upgrade.RequestOverride, Digest: "cc", Until: at("20:00:00")}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.world.asked, s.world.repeated = nil, nil
			w := s.do("POST", "/api/v1/runs/481/"+tc.name, managerToken, tc.body)
			got := decode[asked](t, w)
			if w.Code != 202 || got.Asked != tc.name || got.Run.ID != 481 {
				t.Fatalf("answered %d %s", w.Code, w.Body)
			}
			if tc.again != "" {
				want := upgrade.Hint{Kind: tc.again, Run: 481, By: "Mira Holt", Why: "r"}
				if len(s.world.asked) != 0 || len(s.world.repeated) != 1 || s.world.repeated[0] != want || got.Delivery == "" {
					t.Errorf("asked %+v and repeated %+v, answered %s", s.world.asked, s.world.repeated, w.Body)
				}
				return
			}
			tc.want.Run, tc.want.Reason, tc.want.By, tc.want.At = 481, "r", upgrade.Person{Name: "Mira Holt", Role: upgrade.RoleReleaseManager, GitLabUser: 17}, fakeNow()
			if len(s.world.repeated) != 0 || len(s.world.asked) != 1 || s.world.asked[0] != tc.want {
				t.Errorf("asked %+v, want %+v", s.world.asked, tc.want)
			}
		})
	}
	for _, gone := range []string{"lock", "rerun", "supersede"} {
		if w := s.do("POST", "/api/v1/runs/481/"+gone, managerToken, ""); w.Code != 404 {
			t.Errorf("%s is answered %d", gone, w.Code)
		}
	}
}

// TestPageOfEachAct: whatever the API can do has a page that says what would change, and does it once.
func TestPageOfEachAct(t *testing.T) {
	in := func(p upgrade.Phase) upgrade.Run {
		r := blockedRun()
		r.Phase = p
		return r
	}
	for _, tc := range []struct {
		name string
		run  upgrade.Run
		says string
	}{
		{"stop", in(upgrade.PhaseChecking), "keeps the change, untested"},
		{"recheck", blockedRun(), "one test instance"},
		{"retry", blockedRun(), "a second try does not make it good"},
		{"rehearse", blockedRun(), "first taken back to what production has"},
		{"relock", in(upgrade.PhaseUnlocked), "can no longer be started"},
		{"approve", awaiting(), "aws_kms_grant.ebs"},
		{"refuse", awaiting(), "aws_kms_grant.ebs"},
		{"resolve", in(upgrade.PhaseInterrupted), "Say what you found there."},
		{"override", blockedRun(), "1.3 s unreachable during the apply, 0.5 s allowed."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := worldOf(tc.run, guarded(1, "aws_kms_grant.ebs"))
			s := newSite(t, w)
			a := actNamed(tc.name)
			target := "/runs/481/" + a.page
			got := s.get(target)
			if page := text(got.Body.String()); got.Code != 200 || !strings.Contains(page, tc.says) {
				t.Fatalf("%s answers %d, and does not say %q:\n%s", target, got.Code, tc.says, page)
			}
			checkHTML(t, target, got.Body.String())
			if page := s.get("/runs/481").Body.String(); !strings.Contains(page, `href="`+target+`"`) {
				t.Errorf("the run's page does not lead to %s", target)
			}
			values := formOf(t, got.Body.String())
			values.Set("reason", "because it has to be, for once")
			values.Set("box", "read")
			for range 2 {
				if got := s.submit(target, managerToken, values); got.Code != 303 || got.Header().Get("Location") != "/runs/481?done="+a.page {
					t.Fatalf("answered %d %s", got.Code, text(got.Body.String()))
				}
			}
			if len(w.asked)+len(w.repeated) != 1 {
				t.Errorf("asked %+v and repeated %+v", w.asked, w.repeated)
			}
			if page := text(s.get("/runs/481?done=" + a.page).Body.String()); !strings.Contains(page, a.done()) {
				t.Error("the run's page does not say what happened")
			}
			viewer := s.do("GET", target, viewerToken, "").Body.String()
			if strings.Contains(viewer, "<form method=\"post\" action=\"/runs") || !strings.Contains(viewer, "It needs the role "+roleTitle(a.needs())) {
				t.Error("who may not is not told who may")
			}
		})
	}
}

// formOf returns all that a form brings by itself.
func formOf(t *testing.T, page string) url.Values {
	t.Helper()
	values := form(t, page)
	for _, m := range regexp.MustCompile(`<input[^>]* name="(digest|hours)"[^>]* value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		values.Set(m[1], m[2])
	}
	return values
}

// TestApproveIsOfWhatWasSeen: the yes is to the change on the page, and the way back's lines are not those
// of the change.
func TestApproveIsOfWhatWasSeen(t *testing.T) {
	run := awaiting()
	run.Applies, run.Half = 1, upgrade.HalfForth
	w := worldOf(run, guarded(1, "aws_kms_grant.of_the_way_back"), guarded(2, "aws_kms_grant.of_the_change"))
	w.applies[481] = []upgrade.Apply{{Run: 481, N: 1, Back: true, State: upgrade.ApplyExited, OK: true}}
	s := newSite(t, w)
	got := s.get("/runs/481/approve").Body.String()
	page := text(got)
	if !strings.Contains(page, "aws_kms_grant.of_the_change") || strings.Contains(page, "of_the_way_back") || !strings.Contains(page, "waits for it until 12:45") {
		t.Errorf("the page says\n%s", page)
	}
	values := formOf(t, got)
	for i := range w.runs {
		if w.runs[i].ID == 481 {
			w.runs[i].Plan.ChangeDigest = "another" // without a change of phase, which would be refused at once
		}
	}
	if got := s.submit("/runs/481/approve", managerToken, values); got.Code != 303 || len(w.asked) != 1 || w.asked[0].Digest != "bb22" {
		t.Errorf("answered %d, asked %+v", got.Code, w.asked)
	}
	if page := text(s.get("/runs/481").Body.String()); !strings.Contains(page, `It waits until <time datetime="2026-11-23T12:45:00Z">12:45</time>.`) || !strings.Contains(page, "of_the_change") {
		t.Errorf("the run's page says\n%s", page)
	}
}

func TestOverridePage(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	values := formOf(t, s.get("/runs/481/override").Body.String())
	if values.Get("digest") != upgrade.CausesDigest(blockedRun().Causes) || values.Get("hours") != "24" {
		t.Fatalf("the form has %v", values)
	}
	values.Set("reason", "the site is down, and this brings it back")
	for name, change := range map[string]func(url.Values){
		"no_box":   func(v url.Values) { v.Set("box", "") },
		"too_long": func(v url.Values) { v.Set("hours", "169") },
		"no_hours": func(v url.Values) { v.Set("hours", "soon") },
	} {
		t.Run(name, func(t *testing.T) {
			tried := url.Values{}
			maps.Copy(tried, values)
			tried.Set("box", "read")
			change(tried)
			got := s.submit("/runs/481/override", managerToken, tried)
			if page := text(got.Body.String()); got.Code != 400 || !strings.Contains(page, "Nothing was done.") || !strings.Contains(page, "this brings it back") {
				t.Errorf("answered %d %s", got.Code, page)
			}
		})
	}
	if len(w.asked) != 0 {
		t.Fatalf("asked %+v", w.asked)
	}
	values.Set("box", "read")
	values.Set("hours", "3")
	if got := s.submit("/runs/481/override", managerToken, values); got.Code != 303 {
		t.Fatalf("answered %d", got.Code)
	}
	if r := w.asked[0]; r.Kind != upgrade.RequestOverride || r.Digest != values.Get("digest") || !r.Until.Equal(fakeNow().Add(3*time.Hour)) {
		t.Errorf("asked %+v", r)
	}
}

// TestOverrideSecondPerson: whoever was shown the page before the first person asked has not seen what
// they would agree to.
func TestOverrideSecondPerson(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	values := formOf(t, s.get("/runs/481/override").Body.String())
	values.Set("reason", "the site is down, and this brings it back")
	values.Set("box", "read")
	for i := range w.runs {
		if w.runs[i].ID == 481 {
			w.runs[i].Override = &upgrade.Override{Causes: w.runs[i].Causes, Reason: "it has to go out", By: []upgrade.Person{{Name: "Hugo Berg"}}, Asked: at("09:10:00"), Until: at("21:00:00")}
		}
	}
	if got := s.submit("/runs/481/override", managerToken, values); got.Code != 409 || len(w.asked) != 0 {
		t.Errorf("answered %d, asked %+v", got.Code, w.asked)
	}
	if page := text(s.get("/runs/481/override").Body.String()); !strings.Contains(page, "Hugo Berg asked for it at 09:10: it has to go out.") {
		t.Errorf("the page says\n%s", page)
	}
	page := text(s.get("/runs/481").Body.String())
	for _, want := range []string{"Hugo Berg asks to override this.", "agree by 09:40", "Agree to the override…"} {
		if !strings.Contains(page, want) {
			t.Errorf("the run's page does not say %q", want)
		}
	}
}

// TestOverrideStays: an override is shown for ever, and never as a pass.
func TestOverrideStays(t *testing.T) {
	for name, change := range map[string]func(*upgrade.Run){
		"in_force": func(*upgrade.Run) {},
		"promoted": func(r *upgrade.Run) { r.Phase, r.PromotedAt = upgrade.PhasePromoted, at("09:10:00") },
		"over":     func(r *upgrade.Run) { r.Override.Until = at("09:10:00") },
	} {
		t.Run(name, func(t *testing.T) {
			r := fixtures()["overridden"]
			change(&r)
			s := newSite(t, worldOf(r, blockedResults()...))
			page := text(s.get("/runs/481").Body.String())
			for _, want := range []string{"Overridden by Hugo Berg and Mira Holt", "The test instance failed after 41 s"} {
				if !strings.Contains(page, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			for _, never := range []string{"all passed", "by rule", "The gates passed"} {
				if strings.Contains(strings.Split(page, "Who did what")[0], never) {
					t.Errorf("the page says %q", never)
				}
			}
			if !strings.Contains(page, `<li class="over"><svg class="i hand" aria-hidden="true" width="16" height="16"><use href="#hand"/></svg><div><a href="#gates">Gates</a>`) {
				t.Error("the gates are shown as passed")
			}
			var run wireRun
			if err := json.Unmarshal(s.get("/api/v1/runs/481").Body.Bytes(), &run); err != nil {
				t.Fatal(err)
			}
			if o := run.Override; o == nil || len(o.By) != 2 || len(o.Causes) != 2 || o.Counts != (name != "over") || run.Verdict != upgrade.VerdictClosed {
				t.Errorf("the API says %+v", o)
			}
		})
	}
}

// TestInheritedCause: a no of an earlier run names that run and leads there.
func TestInheritedCause(t *testing.T) {
	s := newSite(t, worldOf(fixtures()["inherited"]))
	page := s.get("/runs/481").Body.String()
	if !strings.Contains(page, `<a href="/runs/479">See run 479</a>`) || !strings.Contains(page, "aws-accounts is blocked.") {
		t.Errorf("the page says\n%s", text(page))
	}
	if !strings.Contains(page, `<a class="btn main" href="/runs/481/rehearse" data-act>Rehearse it again…`) {
		t.Error("the way out is not the next step")
	}
	if c := decode[wireRun](t, s.get("/api/v1/runs/481")); c.Causes[0].Run != 479 || len(c.Warnings) != 1 || c.Seen == "" {
		t.Errorf("the API says %+v", c)
	}
}

// TestWayBack: what is said of the way back is shown, and does not count.
func TestWayBack(t *testing.T) {
	run := fixtures()["way_forth"]
	run.Applies = 2
	back, forth := guarded(1, "x"), guarded(2, "y")
	forth.Outcome, forth.Message = upgrade.OutcomePassed, "nothing is destroyed"
	w := worldOf(run, back, forth)
	w.applies[481] = []upgrade.Apply{
		{Run: 481, N: 1, Back: true, State: upgrade.ApplyExited, OK: true, EndedAt: at("08:46:00")}, {Run: 481, N: 2, State: upgrade.ApplyExited, OK: true, EndedAt: at("08:50:00")},
	}
	s := newSite(t, w)
	shown := text(s.get("/runs/481").Body.String())
	for _, want := range []string{"Kept, not counted. The plan would destroy", "Nothing is destroyed.", "Second half:", "Way back", "This change", "1 of 1"} {
		if !strings.Contains(strings.ReplaceAll(shown, nb, " "), want) {
			t.Errorf("the page does not say %q:\n%s", want, shown)
		}
	}
	gates := decode[page[wireResult]](t, s.get("/api/v1/runs/481/gates")).Items
	if len(gates) != 2 || !gates[0].WayBack || gates[1].WayBack {
		t.Errorf("the API says %+v", gates)
	}
	run.Half, run.Applies, w.applies[481] = upgrade.HalfBack, 0, nil
	if !wayBackOf(run, nil).has(guarded(1, "x")) || wayBackOf(blockedRun(), nil).has(guarded(1, "x")) {
		t.Error("the half that has not applied yet is taken for the other")
	}
}

// TestLetTheNextIn: locking again says who gets in by it.
func TestLetTheNextIn(t *testing.T) {
	w := fullWorld()
	next := awaiting()
	next.ID, next.Upgrade, next.Phase = 485, 99, upgrade.PhaseQueued
	for i := range w.runs {
		if w.runs[i].ID == 480 {
			next.Stack, next.ProjectID = w.runs[i].Stack, w.runs[i].ProjectID
		}
	}
	w.runs = append(w.runs, next)
	s := newSite(t, w)
	if page := text(s.get("/runs/480/lock").Body.String()); !strings.Contains(page, "let run 485 in?") || !strings.Contains(page, "Let the next one in") {
		t.Errorf("the page says\n%s", page)
	}
	if page := text(s.get("/runs/480").Body.String()); !strings.Contains(page, "Lock again, and let run 485 in…") {
		t.Errorf("the run's page says\n%s", page)
	}
}
