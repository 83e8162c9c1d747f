package storetest

import (
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

func givenTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"given_that_holds":              testGivenHolds,
		"given_that_moved_is_stale":     testGivenMoved,
		"claimed_order_keeps_apply_out": testClaimed,
		"applies_since":                 testAppliesSince,
	}
}

// given is what everything rests on after prepare, on a stack with one run.
func (b *bench) given(t *testing.T) (run upgrade.Run, given upgrade.Given) {
	t.Helper()
	run = b.start(t, "s", "t")
	b.must(t, b.pen, upgrade.Step{
		Applies: []upgrade.Apply{{Run: run.ID, N: 1, Stack: "s", Environment: "staging", FileDigest: "a"}},
		Refs:    []upgrade.RefState{{Key: upgrade.RefKey{ProjectID: 7, Ref: "heads/staging"}, Tree: "t"}},
		Bases:   []upgrade.Base{{Stack: "s", Tree: "t0"}},
	})
	return run, upgrade.Given{
		Runs:    map[upgrade.RunID]int64{run.ID: run.Rev},
		Newest:  map[upgrade.UpgradeID]upgrade.RunID{run.Upgrade: run.ID},
		Applies: []upgrade.LastApply{{Stack: "s", Environment: "staging", Seq: 1}, {Stack: "other", Environment: "staging"}},
		Refs: []upgrade.RefState{
			{Key: upgrade.RefKey{ProjectID: 7, Ref: "heads/staging"}, Rev: 1}, {Key: upgrade.RefKey{ProjectID: 7, Ref: "heads/unknown"}},
		},
		Bases:   map[upgrade.StackName]int64{"s": 1, "other": 0},
		Unasked: []upgrade.RunID{run.ID},
	}
}

func testGivenHolds(b *bench) {
	_, given := b.given(b.t)
	b.must(b.t, b.pen, upgrade.Step{Given: given, Posted: []upgrade.Posted{{Run: 1}}})
}

func testGivenMoved(b *bench) {
	t := b.t
	run, given := b.given(t)
	moved := map[string]func(*upgrade.Given){
		"run":            func(g *upgrade.Given) { g.Runs = map[upgrade.RunID]int64{run.ID: run.Rev + 1} },
		"unknown_run":    func(g *upgrade.Given) { g.Runs = map[upgrade.RunID]int64{99: 1} },
		"newer_run":      func(g *upgrade.Given) { g.Newest = map[upgrade.UpgradeID]upgrade.RunID{run.Upgrade: run.ID - 1} },
		"later_apply":    func(g *upgrade.Given) { g.Applies = []upgrade.LastApply{{Stack: "s", Environment: "staging"}} },
		"ref":            func(g *upgrade.Given) { g.Refs = []upgrade.RefState{{Key: g.Refs[0].Key, Rev: 2}} },
		"ref_now_known":  func(g *upgrade.Given) { g.Refs = []upgrade.RefState{{Key: g.Refs[0].Key}} },
		"answers":        func(g *upgrade.Given) { g.Answers = map[upgrade.RunID]int{run.ID: 9} },
		"base":           func(g *upgrade.Given) { g.Bases = map[upgrade.StackName]int64{"s": 2} },
		"base_now_known": func(g *upgrade.Given) { g.Bases = map[upgrade.StackName]int64{"s": 0} },
	}
	for name, move := range moved {
		t.Log(name)
		stale := given
		move(&stale)
		refused(t, b.write(t, upgrade.Step{Given: stale, Posted: []upgrade.Posted{{Run: run.ID}}}), upgrade.CodeStale)
	}
	if _, err := b.Ask(t.Context(), upgrade.Request{Run: run.ID, Kind: upgrade.RequestStop, At: b.now}); err != nil {
		t.Fatal(err)
	}
	refused(t, b.write(t, upgrade.Step{Given: upgrade.Given{Unasked: []upgrade.RunID{run.ID}}, Posted: []upgrade.Posted{{Run: run.ID}}}), upgrade.CodeStale)
	posted, err := b.Posted(t.Context(), run.ID)
	if err != nil || len(posted) != 0 {
		t.Fatalf("a stale step left %v (%v)", posted, err)
	}
}

func testClaimed(b *bench) {
	t := b.t
	run, other := b.start(t, "s", "t"), b.start(t, "s", "t2")
	order := upgrade.Order{Upgrade: run.Upgrade, Run: run.ID, Hold: upgrade.Hold{Kind: upgrade.HoldPlayJob, Job: "gate"}, State: upgrade.OrderClaimed}
	b.must(t, b.pen, upgrade.Step{Orders: []upgrade.Order{order}})
	begin := upgrade.Step{Applies: []upgrade.Apply{{Run: other.ID, N: 1, Stack: "s", Environment: "staging", FileDigest: "d"}}}
	refused(t, b.write(t, begin), upgrade.CodeBusy)
	elsewhere := upgrade.Step{Applies: []upgrade.Apply{{Run: other.ID, N: 2, Stack: "x", Environment: "staging", FileDigest: "e"}}}
	b.must(t, b.pen, elsewhere)
	order.ID, order.State = 1, upgrade.OrderDone
	b.must(t, b.pen, upgrade.Step{Orders: []upgrade.Order{order}})
	b.must(t, b.pen, begin)
}

func testAppliesSince(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	b.must(t, b.pen, upgrade.Step{Applies: []upgrade.Apply{
		{Run: run.ID, N: 1, Stack: "s", Environment: "staging", FileDigest: "a"},
		{Run: run.ID, N: 2, Stack: "x", Environment: "staging", FileDigest: "b"},
		{Run: run.ID, N: 3, Stack: "s", Environment: "staging", FileDigest: "c", Back: true},
	}})
	for since, want := range map[int64]string{0: "ac", 1: "c", 3: ""} {
		applies, err := b.AppliesSince(t.Context(), "s", "staging", since)
		var got strings.Builder
		for _, apply := range applies {
			got.WriteString(apply.FileDigest)
		}
		if err != nil || got.String() != want {
			t.Errorf("since %d: %q (%v), want %q", since, got.String(), err, want)
		}
	}
}
