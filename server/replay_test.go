package server

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestPlayback: thirty times as fast, and not more than a minute of nothing.
func TestPlayback(t *testing.T) {
	events := []upgrade.Event{{At: at("08:00:00")}, {At: at("08:00:30")}, {At: at("08:00:30")}, {At: at("08:10:30")}, {At: at("08:10:00")}, {At: at("08:10:01")}}
	p := playbackOf(events)
	want := []time.Duration{0, time.Second, time.Second, 3 * time.Second, 3 * time.Second, 3030 * time.Millisecond}
	if !slices.Equal(p.at, want) || p.idle != 9*time.Minute || p.stretches != 1 || p.length() != 3030*time.Millisecond {
		t.Errorf("got %+v, want %v", p, want)
	}
	for at, want := range map[time.Duration]int{0: 0, 999 * time.Millisecond: 0, time.Second: 2, 2 * time.Second: 2, 3 * time.Second: 4, time.Hour: 5} {
		if got := p.index(at); got != want {
			t.Errorf("at %v event %d is shown, want %d", at, got, want)
		}
	}
	if none := playbackOf(nil); none.length() != 0 || none.index(time.Second) != 0 {
		t.Errorf("an empty journal plays %+v", none)
	}
}

// TestAsOf: nothing is shown before it was known, and at the end the run is shown as it is.
func TestAsOf(t *testing.T) {
	s := newSite(t, fullWorld())
	d, err := s.read(t.Context(), 481)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		phase                    upgrade.Phase
		changes, results, causes int
		applied                  bool
	}{
		{upgrade.PhaseQueued, 0, 0, 0, false},
		{upgrade.PhaseApplying, 0, 1, 0, true}, // the journal has no event of its judging, so nothing says that it was planned
		{upgrade.PhaseApplying, 0, 1, 0, true},
		{upgrade.PhaseApplying, 0, 1, 0, true},
		{upgrade.PhaseApplying, 0, 1, 0, true},
		{upgrade.PhaseApplying, 0, 1, 0, true},
		{upgrade.PhaseSettling, 0, 2, 0, true},
		{upgrade.PhaseBlocked, 0, 5, 4, true},
		{upgrade.PhaseBlocked, 10, 5, 4, true},
	} {
		then := d.asOf(i)
		if r := then.run; r.Phase != want.phase || r.Plan.Changes() != want.changes || len(then.all) != want.results || len(r.Causes) != want.causes || (r.Applies > 0) != want.applied {
			t.Errorf("at event %d: %s, %d changes, %d results, %d causes, %d applies; want %+v", i+1, r.Phase, r.Plan.Changes(), len(then.all), len(r.Causes), r.Applies, want)
		}
		for _, r := range then.all {
			if end := r.StartedAt.Add(r.Took); end.Truncate(time.Second).After(d.events[i].At) {
				t.Errorf("at event %d, %s, there is an answer of %s", i+1, d.events[i].At, end)
			}
		}
	}
	if then := d.asOf(2); !then.applies[0].EndedAt.IsZero() || then.applies[0].OK {
		t.Errorf("while it applied the apply had ended: %+v", then.applies)
	}
}

// TestAsOfHidesWhatCameLater: an override, a yes and a second half are not there before they were.
func TestAsOfHidesWhatCameLater(t *testing.T) {
	run := blockedRun()
	run.Phase, run.Override, run.Half = upgrade.PhaseUnlocked, overridden(), upgrade.HalfForth
	run.Agreed = []upgrade.Agreement{{ChangeDigest: "bb22", By: "Mira Holt", At: at("08:55:00")}}
	phase := func(clock string, to upgrade.Phase) upgrade.Event {
		return upgrade.Event{At: at(clock), Kind: upgrade.EventPhase, Data: map[string]string{"to": string(to)}}
	}
	d := runData{
		run:     run,
		applies: []upgrade.Apply{{N: 1, Back: true, BegunAt: at("08:45:00"), EndedAt: at("08:46:00")}, {N: 2, BegunAt: at("08:56:00"), EndedAt: at("08:57:00")}},
		events: []upgrade.Event{
			phase("08:44:00", upgrade.PhaseJudging), phase("08:45:00", upgrade.PhaseApplying), phase("08:54:00", upgrade.PhaseJudging), phase("08:56:00", upgrade.PhaseApplying),
			phase("09:01:00", upgrade.PhaseBlocked), phase("09:06:00", upgrade.PhaseUnlocked),
			{At: at("09:07:00"), Kind: upgrade.EventNote},
		},
	}
	var said []string
	for i := range d.events {
		r := d.asOf(i).run
		by, given := 0, false
		if r.Override != nil {
			by, given = len(r.Override.By), !r.Override.Given.IsZero()
		}
		said = append(said, fmt.Sprintf("%q %d %d %d %v", r.Half, r.Plan.Changes(), len(r.Agreed), by, given))
	}
	want := []string{`"" 0 0 0 false`, `"back" 0 0 0 false`, `"back" 0 0 0 false`, `"forth" 10 1 0 false`, `"forth" 10 1 1 false`, `"forth" 10 1 2 true`, `"forth" 10 1 2 true`}
	if !slices.Equal(said, want) {
		t.Errorf("half, changes, agreed, overridden by, given:\n%s, want\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
	if len(run.Override.By) != 2 {
		t.Error("the run itself was changed")
	}
}

func TestReplayPage(t *testing.T) {
	w := fullWorld()
	for i := range 250 {
		w.write(upgrade.Event{Run: 480, At: at("08:17:02").Add(time.Duration(i) * time.Second), Kind: upgrade.EventNote, Who: "by rule", Text: fmt.Sprintf("note %d", i+1)})
	}
	w.write(upgrade.Event{Run: 484, At: at("09:14:00"), Kind: upgrade.EventCreated, Who: "GitLab", Text: "A push to staging started the run"})
	s := newSite(t, w)
	for name, tc := range map[string]struct {
		target string
		code   int
		has    []string
		hasNot []string
	}{
		"first":       {"/runs/481/replay", 200, []string{"<h1>A push to staging started the run.</h1>", "Event 1 of 9", `href="/runs/481/replay?at=2" rel="next"`, `aria-current="true"`, "No gate had answered by then.", "3 stretches in which nothing happened are shortened to 1\u00a0min of the run: 2\u00a0min 19\u00a0s are left out.", "<noscript>"}, []string{">First<", "The run goes on"}},
		"while":       {"/runs/481/replay?at=3", 200, []string{"<h1>Apply started, no question asked.</h1>", "2\u00a0min 14\u00a0s after it began", "asg_ebs destroyed"}, []string{"asg-ebs on alias"}},
		"by_time":     {"/runs/481/replay?t=2000", 200, []string{"Event 2 of 9"}, nil},
		"last":        {"/runs/481/replay?at=9", 200, []string{"<h1>Gates blocked the run.</h1>", "asg-ebs on alias", "Event 9 of 9"}, []string{">Last<"}},
		"live":        {"/runs/483/replay", 200, []string{"The run goes on. This is its journal up to", `09:16:00`, `<a href="/runs/483/replay">Reload with what came since</a>`, `<a href="/runs/483">watch the run itself</a>`, "Nothing is in the journal of run 483"}, nil},
		"grows":       {"/runs/484/replay", 200, []string{`<a href="/runs/484/replay?at=1">Reload with what came since</a>`}, nil},
		"paged":       {"/runs/480/replay?at=150", 200, []string{"events 101 to 200 of 250", "Events before", "/runs/480/replay?at=201"}, []string{"Note 100.</td>"}},
		"none_such":   {"/runs/481/replay?at=10", 404, []string{"has no event 10", "It has 9."}, nil},
		"no_number":   {"/runs/481/replay?at=x", 400, nil, nil},
		"no_run":      {"/runs/512/replay", 404, nil, nil},
		"unknown_key": {"/runs/481/replay?speed=60", 400, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.do("GET", tc.target, viewerToken, "")
			if w.Code != tc.code {
				t.Fatalf("answered %d\n%s", w.Code, w.Body)
			}
			checkHTML(t, name, w.Body.String())
			page := text(w.Body.String())
			for _, want := range tc.has {
				if !strings.Contains(page, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			for _, not := range tc.hasNot {
				if strings.Contains(page, not) {
					t.Errorf("the page says %q", not)
				}
			}
		})
	}
	page := s.get("/runs/481/replay?at=4").Body.String()
	scene := s.get("/runs/481/replay/parts/scene?at=4")
	if scene.Code != http.StatusOK || !strings.Contains(page, scene.Body.String()) {
		t.Errorf("the scene (%d) is not a piece of the page:\n%s", scene.Code, scene.Body)
	}
	if w := s.get("/runs/483/replay/parts/scene"); w.Code != http.StatusNotFound {
		t.Errorf("the scene of an empty journal is answered %d", w.Code)
	}
	if !regexp.MustCompile(`data-seq="4" data-play="\d+" data-next="\d+"`).MatchString(page) || !strings.Contains(s.get("/runs/481/replay?at=9").Body.String(), `data-next="-1"`) {
		t.Error("the scene does not say when the next one is")
	}
}

// TestReplayOfEachFixture: whatever state a run is in, each of its events can be looked at.
func TestReplayOfEachFixture(t *testing.T) {
	for name, run := range fixtures() {
		t.Run(name, func(t *testing.T) {
			w := fullWorld()
			w.runs = []upgrade.Run{run}
			w.results[481] = append(blockedResults(), hostile())
			s := newSite(t, w)
			for seq := 1; seq <= 6; seq++ {
				got := s.get(fmt.Sprintf("/runs/481/replay?at=%d", seq))
				if got.Code != http.StatusOK {
					t.Fatalf("event %d is answered %d\n%s", seq, got.Code, s.log)
				}
				checkHTML(t, name, got.Body.String())
			}
		})
	}
}
