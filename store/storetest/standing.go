package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func standingTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"standing_read_back":         testStanding,
		"standing_purged":            testStretchesPurged,
		"S1_standing_moved_meantime": testGivenStanding,
		"results_left_open":          testLearned,
	}
}

var grantsAlways = upgrade.StandingKey{Gate: "grants", Environment: "production"} //nolint:gochecknoglobals // a constant in all but name

// says keeps an answer of a standing gate.
func (b *bench) says(t *testing.T, key upgrade.StandingKey, at time.Time, outcome upgrade.Outcome, message string) {
	t.Helper()
	b.must(t, b.pen, upgrade.Step{Standings: []upgrade.Standing{{Key: key, Settings: "asg: web", Result: upgrade.Result{
		Gate: key.Gate, Environment: key.Environment, Kind: "kms-grants", Stage: upgrade.StageStanding, Required: true, Outcome: outcome, Message: message, StartedAt: at,
		GoodFor: time.Hour, Memo: "memo of " + message, Evidence: upgrade.Evidence{Facts: []upgrade.Fact{{Name: "said", Value: message}}},
	}}}})
}

func testStanding(b *bench) {
	t, at := b.t, func(minutes int) time.Time { return b.now.Add(time.Duration(minutes) * time.Minute) }
	drift := upgrade.StandingKey{Gate: "drift", Environment: "staging", Stack: "a"}
	b.says(t, drift, at(0), upgrade.OutcomePassed, "empty")
	b.says(t, grantsAlways, at(0), upgrade.OutcomePassed, "held")
	b.says(t, grantsAlways, at(5), upgrade.OutcomePassed, "held still")
	b.says(t, grantsAlways, at(10), upgrade.OutcomeUnknown, "throttled")
	b.says(t, grantsAlways, at(15), upgrade.OutcomeFailed, "gone")
	all, err := b.Standings(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("got %+v, %v", all, err)
	}
	got := all[1]
	if all[0].Key != drift || got.Key != grantsAlways || got.Rev != 3 || !got.Since.Equal(at(15)) || !got.HeldAt.Equal(at(5)) {
		t.Errorf("got %+v", got)
	}
	if got.Settings != "asg: web" {
		t.Errorf("asked under %q", got.Settings)
	}
	want := upgrade.Result{
		Gate: "grants", Environment: "production", Kind: "kms-grants", Stage: upgrade.StageStanding, Required: true, Outcome: upgrade.OutcomeFailed, Message: "gone",
		StartedAt: at(15), GoodFor: time.Hour, Memo: "memo of gone", Evidence: upgrade.Evidence{Facts: []upgrade.Fact{{Name: "said", Value: "gone"}}},
	}
	if diff := cmp.Diff(want, got.Result); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	stretches, err := b.Stretches(t.Context(), grantsAlways, at(6))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]upgrade.Stretch{
		{Key: grantsAlways, Outcome: upgrade.OutcomeUnknown, Message: "throttled", Since: at(10), Until: at(10), Checks: 1},
		{Key: grantsAlways, Outcome: upgrade.OutcomeFailed, Message: "gone", Since: at(15), Until: at(15), Checks: 1},
	}, stretches); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all, err := b.Stretches(t.Context(), grantsAlways, at(0)); err != nil || len(all) != 3 || all[0].Checks != 2 || all[0].Message != "held still" {
		t.Errorf("got %+v, %v", all, err)
	}
}

func testStretchesPurged(b *bench) {
	t := b.t
	b.says(t, grantsAlways, b.now, upgrade.OutcomePassed, "held")
	b.says(t, grantsAlways, b.now.Add(time.Minute), upgrade.OutcomeFailed, "gone")
	if n, err := b.PurgeStretches(t.Context(), b.now.Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	if left, err := b.Stretches(t.Context(), grantsAlways, b.now); err != nil || len(left) != 1 || left[0].Message != "gone" {
		t.Errorf("left %+v, %v", left, err)
	}
}

// testGivenStanding: what was decided on what a standing gate said is not written when it says something
// else by then; the same again is no news.
func testGivenStanding(b *bench) {
	t := b.t
	given := func(rev int64) error {
		return b.write(t, upgrade.Step{Given: upgrade.Given{Standings: map[upgrade.StandingKey]int64{grantsAlways: rev}}, Wake: []upgrade.JobID{"note/1/1"}})
	}
	if err := given(0); err != nil {
		t.Errorf("never asked: %v", err)
	}
	b.says(t, grantsAlways, b.now, upgrade.OutcomePassed, "held")
	if err := given(0); upgrade.CodeOf(err) != upgrade.CodeStale {
		t.Errorf("asked by now: %v", err)
	}
	b.says(t, grantsAlways, b.now.Add(time.Minute), upgrade.OutcomePassed, "held still")
	if err := given(1); err != nil {
		t.Errorf("the same again: %v", err)
	}
	b.says(t, grantsAlways, b.now.Add(2*time.Minute), upgrade.OutcomeFailed, "gone")
	if err := given(1); upgrade.CodeOf(err) != upgrade.CodeStale {
		t.Errorf("broken by now: %v", err)
	}
}

func testLearned(b *bench) {
	t := b.t
	run := b.start(t, "a", "t1")
	b.must(t, b.pen, upgrade.Step{Results: []upgrade.Result{
		{Run: run.ID, Gate: "launch", Stage: upgrade.StageAfter, Environment: "staging", Outcome: upgrade.OutcomeFailed},
		{Run: run.ID, Gate: "grants", Stage: upgrade.StageAfter, Environment: "staging", Outcome: upgrade.OutcomeFailed, Message: "gone", Pending: "who?"},
	}})
	open, err := b.OpenResults(t.Context(), 10)
	if err != nil || len(open) != 1 || open[0].Result.Gate != "grants" || open[0].Result.Run != run.ID || open[0].Result.Pending != "who?" {
		t.Fatalf("got %+v, %v", open, err)
	}
	known := upgrade.Evidence{Facts: []upgrade.Fact{{Name: "Done by", Value: "terraform"}}}
	b.must(t, b.pen, upgrade.Step{Learned: []upgrade.Learned{{Result: open[0].ID, Evidence: known}}})
	if open, err := b.OpenResults(t.Context(), 10); err != nil || len(open) != 0 {
		t.Errorf("still open: %+v, %v", open, err)
	}
	results, err := b.Results(t.Context(), run.ID)
	if err != nil || len(results) != 2 || len(results[0].Evidence.Facts) != 0 || cmp.Diff(known, results[1].Evidence) != "" || results[1].Message != "gone" {
		t.Errorf("got %+v, %v", results, err)
	}
	if err := b.write(t, upgrade.Step{Learned: []upgrade.Learned{{Result: 99}}}); upgrade.CodeOf(err) != upgrade.CodeNotFound {
		t.Errorf("an unknown result: %v", err)
	}
}
