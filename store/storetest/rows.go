package storetest

import (
	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func rowTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"results_read_back":              testResults,
		"applies_read_back":              testApplies,
		"apply_of_one_plan_once":         testApplyTwice,
		"apply_that_ended_stays_so":      testApplyOver,
		"apply_last_of_a_stack":          testLastApply,
		"orders_read_back":               testOrders,
		"orders_one_of_a_hold":           testOrderTwice,
		"posted_read_back":               testPosted,
		"refs_compare_and_set":           testRefs,
		"bases_read_back":                testBases,
		"rows_of_unknown_runs_are_error": testUnknownRun,
	}
}

func testResults(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	want := make([]upgrade.Result, 3)
	for i := range want {
		fill(t, &want[i])
		want[i].Run, want[i].Round = run.ID, i
	}
	want[2] = upgrade.Result{Run: run.ID, Gate: "bare", Outcome: upgrade.OutcomeUnknown}
	b.must(t, b.pen, upgrade.Step{Results: want[:1]})
	b.must(t, b.pen, upgrade.Step{Results: want[1:]})
	got, err := b.Results(t.Context(), run.ID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("read back with %v (-want +got); is a new field missing in resultDoc?\n%s", err, diff)
	}
	for i := range want {
		want[i].Evidence, want[i].Memo, want[i].Pending = upgrade.Evidence{}, "", ""
	}
	got, err = b.Outcomes(t.Context(), run.ID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("without evidence with %v (-want +got):\n%s", err, diff)
	}
}

func testApplies(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	want := upgrade.Apply{}
	fill(t, &want)
	want.Run, want.N, want.State, want.Seq = run.ID, 1, upgrade.ApplyIntended, 1
	for _, state := range []upgrade.ApplyState{upgrade.ApplyIntended, upgrade.ApplyStarted, upgrade.ApplyExited} {
		want.State = state
		b.must(t, b.pen, upgrade.Step{Applies: []upgrade.Apply{want}})
		got, err := b.Applies(t.Context(), run.ID)
		if diff := cmp.Diff([]upgrade.Apply{want}, got); err != nil || diff != "" {
			t.Fatalf("read back with %v (-want +got); is a new field missing in applyDoc?\n%s", err, diff)
		}
	}
}

func testApplyTwice(b *bench) {
	t := b.t
	one, two := b.start(t, "s", "t1"), b.start(t, "s", "t2")
	b.must(t, b.pen, upgrade.Step{Applies: []upgrade.Apply{{Run: one.ID, N: 1, FileDigest: "d"}}})
	for name, apply := range map[string]upgrade.Apply{
		"next_of_the_run":   {Run: one.ID, N: 2, FileDigest: "d"},
		"of_another_run":    {Run: two.ID, N: 1, FileDigest: "d"},
		"with_another_plan": {Run: one.ID, N: 1, FileDigest: "e"},
	} {
		t.Log(name)
		refused(t, b.write(t, upgrade.Step{Applies: []upgrade.Apply{apply}}), upgrade.CodeConflict)
	}
	refused(t, b.write(t, upgrade.Step{Applies: []upgrade.Apply{{Run: two.ID, N: 1}}}), upgrade.CodeInternal)
}

func testApplyOver(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	apply := upgrade.Apply{Run: run.ID, N: 1, FileDigest: "d", State: upgrade.ApplyLost}
	b.must(t, b.pen, upgrade.Step{Applies: []upgrade.Apply{apply}})
	for _, state := range []upgrade.ApplyState{upgrade.ApplyIntended, upgrade.ApplyStarted} {
		apply.State = state
		refused(t, b.write(t, upgrade.Step{Applies: []upgrade.Apply{apply}}), upgrade.CodeConflict)
	}
}

func testLastApply(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	last := func(want string) {
		t.Helper()
		got, ok, err := b.LastApply(t.Context(), "s", "staging")
		if err != nil || ok != (want != "") || got.FileDigest != want {
			t.Fatalf("last is %q %v (%v), want %q", got.FileDigest, ok, err, want)
		}
	}
	last("")
	b.must(t, b.pen, upgrade.Step{Applies: []upgrade.Apply{
		{Run: run.ID, N: 1, Stack: "s", Environment: "staging", FileDigest: "a"},
		{Run: run.ID, N: 2, Stack: "s", Environment: "staging", FileDigest: "b"},
		{Run: run.ID, N: 3, Stack: "s", Environment: "production", FileDigest: "c"},
		{Run: run.ID, N: 4, Stack: "x", Environment: "staging", FileDigest: "d"},
	}})
	last("b")
	b.must(t, b.pen, upgrade.Step{Applies: []upgrade.Apply{{Run: run.ID, N: 1, Stack: "s", Environment: "staging", FileDigest: "a", State: upgrade.ApplyExited}}})
	last("b") // begun last, not written last
}

func testOrders(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	want := upgrade.Order{}
	fill(t, &want)
	want.ID, want.Upgrade, want.Run = 0, run.Upgrade, run.ID
	b.must(t, b.pen, upgrade.Step{Orders: []upgrade.Order{want}})
	want.ID = 1
	check := func() {
		t.Helper()
		got, err := b.Orders(t.Context(), run.Upgrade)
		if diff := cmp.Diff([]upgrade.Order{want}, got); err != nil || diff != "" {
			t.Fatalf("read back with %v (-want +got); is a new field missing in orderDoc?\n%s", err, diff)
		}
	}
	check()
	want.State, want.Attempts, want.Target = upgrade.OrderDone, 3, "job 4711"
	b.must(t, b.pen, upgrade.Step{Orders: []upgrade.Order{want}})
	check()
	missing := want
	missing.ID = 99
	refused(t, b.write(t, upgrade.Step{Orders: []upgrade.Order{missing}}), upgrade.CodeNotFound)
}

func testOrderTwice(b *bench) {
	t := b.t
	run, other := b.start(t, "s", "t"), b.start(t, "s", "t2")
	order := upgrade.Order{Upgrade: run.Upgrade, Run: run.ID, Hold: upgrade.Hold{Kind: upgrade.HoldPlayJob, Job: "gate"}, State: upgrade.OrderOpen}
	b.must(t, b.pen, upgrade.Step{Orders: []upgrade.Order{order}})
	refused(t, b.write(t, upgrade.Step{Orders: []upgrade.Order{order}}), upgrade.CodeStale)

	elsewhere := order
	elsewhere.Upgrade, elsewhere.Run = other.Upgrade, other.ID
	another := order
	another.Hold.Job = "other"
	b.must(t, b.pen, upgrade.Step{Orders: []upgrade.Order{elsewhere, another}})

	void := order
	void.ID, void.State = 1, upgrade.OrderVoid
	b.must(t, b.pen, upgrade.Step{Orders: []upgrade.Order{void, order}})
	void.State = upgrade.OrderOpen
	refused(t, b.write(t, upgrade.Step{Orders: []upgrade.Order{void}}), upgrade.CodeStale)
}

func testPosted(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	want := upgrade.Posted{}
	fill(t, &want)
	want.Run = run.ID
	b.must(t, b.pen, upgrade.Step{Posted: []upgrade.Posted{want, {Run: run.ID, Commit: "zz", Pipeline: 2}}})
	want.State, want.Text = upgrade.CommitSuccess, "Unlocked"
	b.must(t, b.pen, upgrade.Step{Posted: []upgrade.Posted{want}})
	got, err := b.Posted(t.Context(), run.ID)
	if diff := cmp.Diff([]upgrade.Posted{want, {Run: run.ID, Commit: "zz", Pipeline: 2, At: b.now}}, got); err != nil || diff != "" {
		t.Fatalf("read back with %v (-want +got):\n%s", err, diff)
	}
}

func testRefs(b *bench) {
	t := b.t
	want := upgrade.RefState{}
	fill(t, &want)
	want.Rev = 0
	if _, ok, err := b.Ref(t.Context(), want.Key); ok || err != nil {
		t.Fatalf("known before it was written (%v)", err)
	}
	b.must(t, b.pen, upgrade.Step{Refs: []upgrade.RefState{want}})
	refused(t, b.write(t, upgrade.Step{Refs: []upgrade.RefState{want}}), upgrade.CodeStale) // known by now
	want.Rev = 1
	got, ok, err := b.Ref(t.Context(), want.Key)
	if diff := cmp.Diff(want, got); err != nil || !ok || diff != "" {
		t.Fatalf("read back %v with %v (-want +got):\n%s", ok, err, diff)
	}
	moved := want
	moved.Tree = "elsewhere"
	b.must(t, b.pen, upgrade.Step{Refs: []upgrade.RefState{moved}})
	refused(t, b.write(t, upgrade.Step{Refs: []upgrade.RefState{want}}), upgrade.CodeStale)
	other := upgrade.RefState{Key: upgrade.RefKey{ProjectID: want.Key.ProjectID, Ref: "a"}, Tree: "t"}
	elsewhere := upgrade.RefState{Key: upgrade.RefKey{ProjectID: want.Key.ProjectID + 1, Ref: "a"}, Tree: "t"}
	b.must(t, b.pen, upgrade.Step{Refs: []upgrade.RefState{other, elsewhere}})
	refs, err := b.Refs(t.Context(), want.Key.ProjectID)
	if err != nil || len(refs) != 2 || refs[0].Rev+refs[1].Rev != 3 {
		t.Fatalf("refs of the project: %+v, %v", refs, err)
	}
	refused(t, b.write(t, upgrade.Step{Refs: []upgrade.RefState{{Key: upgrade.RefKey{ProjectID: 1, Ref: "new"}, Rev: 5}}}), upgrade.CodeStale)
}

func testBases(b *bench) {
	t := b.t
	want := upgrade.Base{}
	fill(t, &want)
	if _, ok, err := b.Base(t.Context(), want.Stack); ok || err != nil {
		t.Fatalf("known before it was written (%v)", err)
	}
	for rev := range 2 {
		want.Rev = int64(rev + 1) // given by the store
		b.must(t, b.pen, upgrade.Step{Bases: []upgrade.Base{want}})
		got, ok, err := b.Base(t.Context(), want.Stack)
		if diff := cmp.Diff(want, got); err != nil || !ok || diff != "" {
			t.Fatalf("read back %v with %v (-want +got):\n%s", ok, err, diff)
		}
		want.Assumed, want.Tree = false, "another"
	}
	byHand := want
	byHand.By, byHand.Rev = "hugo", 1
	refused(t, b.SetBase(t.Context(), byHand), upgrade.CodeStale)
	byHand.Rev = 2
	if err := b.SetBase(t.Context(), byHand); err != nil {
		t.Fatal(err)
	}
}

func testUnknownRun(b *bench) {
	t := b.t
	for name, step := range map[string]upgrade.Step{
		"result": {Results: []upgrade.Result{{Run: 99}}},
		"apply":  {Applies: []upgrade.Apply{{Run: 99, N: 1, FileDigest: "d"}}},
		"order":  {Orders: []upgrade.Order{{Run: 99, Upgrade: 99}}},
		"posted": {Posted: []upgrade.Posted{{Run: 99}}},
	} {
		if err := b.write(t, step); err == nil {
			t.Errorf("%s of a run that does not exist was written", name)
		}
	}
}
