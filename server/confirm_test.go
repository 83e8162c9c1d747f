package server

import (
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// form returns the fields of the form on a page.
func form(t *testing.T, page string) url.Values {
	t.Helper()
	values := url.Values{}
	for _, m := range regexp.MustCompile(`<input type="hidden" name="(seen|key)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		values.Set(m[1], m[2])
	}
	if values.Get("seen") == "" || values.Get("key") == "" {
		t.Fatalf("no form:\n%s", page)
	}
	return values
}

func (s *site) submit(target, token string, values url.Values) *httptest.ResponseRecorder {
	return s.do("POST", target, token, values.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

func TestConfirm(t *testing.T) {
	s := newSite(t, fullWorld())
	values := form(t, s.get("/runs/481/rerun").Body.String())
	values.Set("reason", "the grant is back")
	for range 2 { // a double click, or a page that was loaded again
		if w := s.submit("/runs/481/rerun", managerToken, values); w.Code != 303 || w.Header().Get("Location") != "/runs/481?done=rerun" {
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
	}
	asked := s.world.asked
	if len(asked) != 1 || asked[0].Kind != upgrade.RequestRecheck || asked[0].Reason != "the grant is back" || asked[0].By.Name != "Mira Holt" {
		t.Errorf("asked %+v", asked)
	}
	if page := s.get("/runs/481?done=rerun").Body.String(); !strings.Contains(page, `role="status">Asked to run the gates again.`) {
		t.Error("the run's page does not say what happened")
	}
	if page := s.get("/runs/481?done=<script>").Body.String(); strings.Contains(page, "Asked to") {
		t.Error("the page says something that did not happen")
	}
}

// TestConfirmMovedOn: a form that was made for another state of the run has no effect.
func TestConfirmMovedOn(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	values := form(t, s.get("/runs/483/stop").Body.String())
	values.Set("reason", "half a sentence")
	for i := range w.runs {
		if w.runs[i].ID == 483 {
			w.runs[i].Phase, w.runs[i].Since = upgrade.PhaseUnlocking, at("09:15:59")
		}
	}
	got := s.submit("/runs/483/stop", managerToken, values)
	page := text(got.Body.String())
	if got.Code != 409 || !strings.Contains(page, "This run changed while you were looking.") || !strings.Contains(page, "half a sentence") || !strings.Contains(page, "GitLab is being told") {
		t.Errorf("answered %d %s", got.Code, page)
	}
	if len(w.asked) != 0 {
		t.Errorf("asked %+v", w.asked)
	}
	if got := s.submit("/runs/483/stop", managerToken, form(t, page)); got.Code != 303 || len(w.asked) != 1 {
		t.Errorf("the form that came back is answered %d", got.Code)
	}
}

// TestConfirmWhileProgressing: a resource that Terraform gets done does not void the question.
func TestConfirmWhileProgressing(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	values := form(t, s.get("/runs/483/stop").Body.String())
	for i := range w.runs {
		w.runs[i].Rev++
		w.runs[i].Progress.Done++
	}
	if got := s.submit("/runs/483/stop", managerToken, values); got.Code != 303 {
		t.Errorf("answered %d %s", got.Code, got.Body)
	}
}

func TestConfirmRefused(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	values := form(t, s.get("/runs/481/rerun").Body.String())
	for name, tc := range map[string]struct {
		err  error
		code int
		says string
	}{
		"forbidden": {&upgrade.Error{Code: upgrade.CodeForbidden, Msg: "you may not", Hint: "ask Mira"}, 403, "ask Mira"},
		"conflict":  {&upgrade.Error{Code: upgrade.CodeConflict, Msg: "the run has ended"}, 409, "The run has ended"},
		"invalid":   {&upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a reason is missing"}, 400, "A reason is missing"},
		"away":      {&upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the database does not answer"}, 503, "The database does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			w.askErr = tc.err
			got := s.submit("/runs/481/rerun", managerToken, values)
			if got.Code != tc.code || !strings.Contains(strings.ToLower(got.Body.String()), strings.ToLower(tc.says)) {
				t.Errorf("answered %d %s", got.Code, got.Body)
			}
			checkHTML(t, name, got.Body.String())
		})
	}
	w.askErr = nil
	if got := s.submit("/runs/481/rerun", managerToken, values); got.Code != 303 {
		t.Errorf("after failures the same form is answered %d", got.Code)
	}
	if got := s.submit("/runs/512/rerun", managerToken, values); got.Code != 404 {
		t.Errorf("a run that is not there is answered %d", got.Code)
	}
	if got := s.submit("/runs/481/rerun", viewerToken, values); got.Code != 403 {
		t.Errorf("a viewer is answered %d", got.Code)
	}
}

func TestReasonIsAskedForWhileApplying(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	if page := s.get("/runs/483/stop").Body.String(); strings.Contains(page, " required") {
		t.Error("a reason is asked for while nothing is applied")
	}
	for i := range w.runs {
		w.runs[i].Phase, w.runs[i].Progress = upgrade.PhaseApplying, upgrade.Progress{Done: 4, Total: 10}
	}
	page := s.get("/runs/483/stop").Body.String()
	if !strings.Contains(page, " required") || !strings.Contains(page, "4 of 10 resources are changed already") {
		t.Errorf("the page says\n%s", page)
	}
}

func TestWords(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0 s"},
		{38 * time.Millisecond, "38 ms"},
		{500 * time.Millisecond, "0.5 s"},
		{1300 * time.Millisecond, "1.3 s"},
		{4 * time.Second, "4 s"},
		{41 * time.Second, "41 s"},
		{243 * time.Second, "4 min 3 s"},
		{240 * time.Second, "4 min"},
		{3*time.Hour + 5*time.Minute, "3 h 5 min"},
		{81 * time.Hour, "3 d 9 h"},
	} {
		if got := strings.ReplaceAll(span(tc.d), nb, " "); got != tc.want {
			t.Errorf("%v reads %q, want %q", tc.d, got, tc.want)
		}
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones: ", err)
	}
	w := words{now: fakeNow(), zone: berlin}
	for _, tc := range []struct {
		name, got, want string
	}{
		{"today", w.stamp(at("07:50:00")).Text, "08:50"},
		{"this_week", w.stamp(fakeNow().AddDate(0, 0, -4)).Text, "Thu 10:16"},
		{"long_ago", w.stamp(fakeNow().AddDate(0, 0, -7)).Text, "16 Nov 2026"},
		{"tomorrow", w.stamp(fakeNow().AddDate(0, 0, 1)).Text, "24 Nov 2026"},
		{"yesterday_by_the_zone", w.stamp(at("00:30:00").Add(-2 * time.Hour)).Text, "Sun 23:30"},
		{"never", w.stamp(time.Time{}).Text, ""},
		{"just_now", w.ago(fakeNow()).Text, "just now"},
		{"seconds", w.ago(fakeNow().Add(-40 * time.Second)).Text, "40 s ago"},
		{"minutes", w.ago(fakeNow().Add(-26 * time.Minute)).Text, "26 min ago"},
		{"two_hours", w.ago(fakeNow().Add(-2 * time.Hour)).Text, "08:16"},
	} {
		if got := strings.ReplaceAll(tc.got, nb, " "); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestLeadWords(t *testing.T) {
	n := func(k int) []upgrade.Run { return make([]upgrade.Run, k) }
	for _, tc := range []struct {
		name string
		all  sorted
		want string
	}{
		{"first_day", sorted{}, "No upgrade has come in yet."},
		{"all_done", sorted{step: n(9)}, "Nothing waits."},
		{"one_may_two_need", sorted{ready: n(1), attention: n(2)}, "One upgrade may go to production. Two need attention."},
		{"two_may_one_needs", sorted{ready: n(2), attention: n(1)}, "Two upgrades may go to production. One needs attention."},
		{"one_needs", sorted{attention: n(1), progress: n(3)}, "One upgrade needs attention."},
		{"many_need", sorted{attention: n(13)}, "13 upgrades need attention."},
		{"under_way", sorted{progress: n(2)}, "Two upgrades are on their way. Nothing needs attention."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := lead(tc.all).Headline; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestBoardGroups: an ended run needs attention only while no newer run of its stack has ended.
func TestBoardGroups(t *testing.T) {
	run := func(id upgrade.RunID, stack upgrade.StackName, p upgrade.Phase) upgrade.Run {
		return upgrade.Run{ID: id, Stack: stack, Phase: p}
	}
	got := boardData{runs: []upgrade.Run{ // newest first
		run(20, "a", upgrade.PhaseQueued), run(19, "b", upgrade.PhaseApplying), run(18, "a", upgrade.PhasePromoted),
		run(17, "a", upgrade.PhaseBlocked), run(16, "c", upgrade.PhaseBlocked), run(15, "c", upgrade.PhasePromoted),
		run(14, "d", upgrade.PhaseInterrupted), run(13, "e", upgrade.PhaseUnlocked), run(12, "f", upgrade.PhaseAwaitingApproval),
		run(11, "g", upgrade.PhaseQueued), run(10, "h", upgrade.PhaseRelocked),
	}}.sort()
	ids := func(runs []upgrade.Run) (out []int) {
		for _, r := range runs {
			out = append(out, int(r.ID))
		}
		return out
	}
	for name, tc := range map[string]struct{ got, want []int }{
		"attention": {ids(got.attention), []int{10, 12, 14, 16}},
		"ready":     {ids(got.ready), []int{13}},
		"progress":  {ids(got.progress), []int{19, 11, 20}},
		"step":      {ids(got.step), []int{18}},
	} {
		if len(tc.got) != len(tc.want) {
			t.Errorf("%s: got %v, want %v", name, tc.got, tc.want)
			continue
		}
		for i := range tc.got {
			if tc.got[i] != tc.want[i] {
				t.Errorf("%s: got %v, want %v", name, tc.got, tc.want)
				break
			}
		}
	}
}

// TestGlued: a number stays beside its unit, and nothing else is held together.
func TestGlued(t *testing.T) {
	for in, want := range map[string]string{
		"1.3 s unreachable, 0.5 s allowed": "1.3" + nb + "s unreachable, 0.5" + nb + "s allowed",
		"2 min 5 s, 38 ms.":                "2" + nb + "min 5" + nb + "s, 38" + nb + "ms.",
		"run 5 says so":                    "run 5 says so",
		"of 2 steps":                       "of 2 steps",
		"":                                 "",
	} {
		if got := glued(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
