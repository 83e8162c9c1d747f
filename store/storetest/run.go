package storetest

import (
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func runTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"start_makes_run_and_jobs":          testStart,
		"start_finds_the_upgrade":           testStartUpgrade,
		"start_beside_a_live_run":           testStartBeside,
		"start_only_queued":                 testStartPhase,
		"run_reads_back":                    testRunReadsBack,
		"run_stale_rev":                     testStaleRev,
		"run_phase_that_may_not_follow":     testPhaseOrder,
		"run_every_pair_of_phases":          testPhasePairs,
		"run_identity_never_changes":        testRunIdentity,
		"run_since_and_from":                testSince,
		"slot_is_busy":                      testBusy,
		"slot_is_of_stack_and_environment":  testSlotName,
		"slot_follows_the_phase":            testSlotPhases,
		"journal_of_its_own_accord":         testJournalAuto,
		"journal_of_the_step":               testJournalStep,
		"journal_numbers":                   testJournalNumbers,
		"journal_event_of_no_run":           testJournalNoRun,
		"refused_step_leaves_nothing":       testAtomic,
		"commit_of_unknown_next_is_refused": testUnknownNext,
	}
}

func testStart(b *bench) {
	t := b.t
	want := upgrade.Run{}
	fill(t, &want)
	want.Phase = ""
	b.must(t, b.pen, upgrade.Step{
		Starts: []upgrade.Run{want},
		Events: []upgrade.Event{{Kind: upgrade.EventNote, Text: "of the run that starts"}},
	})
	want.ID, want.Upgrade, want.Attempt, want.Rev, want.Phase = 1, 1, 1, 1, upgrade.PhaseQueued
	if diff := cmp.Diff(want, b.run(t, 1)); diff != "" {
		t.Fatalf("started (-want +got):\n%s", diff)
	}
	b.wantDue(t, "run/1", "status/1")
	events := b.events(t, 1)
	if len(events) != 2 || events[0].Kind != upgrade.EventCreated || events[0].Text != want.Reason || events[1].Kind != upgrade.EventNote {
		t.Fatalf("journal %+v", events)
	}
	up, err := b.Upgrade(t.Context(), 1)
	if diff := cmp.Diff(upgrade.Upgrade{ID: 1, ProjectID: want.ProjectID, Project: want.Project, Tree: want.Tree, CreatedAt: b.now}, up); err != nil || diff != "" {
		t.Fatalf("upgrade with %v (-want +got):\n%s", err, diff)
	}
	_, err = b.Upgrade(t.Context(), 2)
	refused(t, err, upgrade.CodeNotFound)
	_, err = b.Run(t.Context(), 2)
	refused(t, err, upgrade.CodeNotFound)
}

func testStartUpgrade(b *bench) {
	t := b.t
	a, c, other := b.start(t, "a", "t1"), b.start(t, "c", "t1"), b.start(t, "a", "t2")
	if a.Upgrade != c.Upgrade || a.Upgrade == other.Upgrade {
		t.Fatalf("upgrades %d, %d, %d: want the first two the same", a.Upgrade, c.Upgrade, other.Upgrade)
	}
	if !a.CreatedAt.Equal(b.now) || !a.Since.Equal(b.now) || a.Verdict != upgrade.VerdictClosed {
		t.Fatalf("started as %+v", a)
	}
}

func testStartBeside(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	again := upgrade.Step{Starts: []upgrade.Run{{ProjectID: 7, Stack: "s", Environment: "staging", Tree: "t"}}}
	for _, phase := range []upgrade.Phase{
		"", upgrade.PhasePreparing, upgrade.PhasePlanning, upgrade.PhaseJudging, upgrade.PhaseApplying,
		upgrade.PhaseSettling, upgrade.PhaseChecking, upgrade.PhaseUnlocking, upgrade.PhaseUnlocked,
	} {
		if phase != "" {
			run = b.move(t, run, phase)
		}
		refused(t, b.write(t, again), upgrade.CodeStale)
	}
	b.move(t, run, upgrade.PhaseRelocked)
	if next := b.start(t, "s", "t"); next.Attempt != 2 || next.Upgrade != run.Upgrade || next.ID == run.ID {
		t.Fatalf("started %+v, want attempt 2 of the same upgrade", next)
	}
}

func testStartPhase(b *bench) {
	t := b.t
	for _, run := range []upgrade.Run{
		{ProjectID: 7, Stack: "s", Environment: "staging", Tree: "t", Phase: upgrade.PhaseUnlocked},
		{ProjectID: 7, Stack: "s", Environment: "staging"},
		{ProjectID: 7, Stack: "s", Tree: "t"},
		{Stack: "s", Environment: "staging", Tree: "t"},
	} {
		refused(t, b.write(t, upgrade.Step{Starts: []upgrade.Run{run}}), upgrade.CodeInternal)
	}
}

func testRunReadsBack(b *bench) {
	t := b.t
	before := b.start(t, "s", "t")
	want := before
	fill(t, &want)
	// What a run is never changes, and answers are written by another way.
	want.ID, want.Upgrade, want.ProjectID, want.Stack, want.Environment = before.ID, before.Upgrade, before.ProjectID, before.Stack, before.Environment
	want.Tree, want.Attempt, want.Rev, want.Phase, want.Answers, want.CreatedAt = before.Tree, before.Attempt, before.Rev, before.Phase, nil, before.CreatedAt
	b.must(t, b.pen, upgrade.Step{Runs: []upgrade.Run{want}})
	want.Rev++
	if diff := cmp.Diff(want, b.run(t, want.ID)); diff != "" {
		t.Fatalf("read back (-want +got); is a new field missing in runDoc?\n%s", diff)
	}
}

func testStaleRev(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	mine, theirs := run, run
	theirs.Title = "theirs"
	b.must(t, b.pen, upgrade.Step{Runs: []upgrade.Run{theirs}})
	mine.Title = "mine"
	refused(t, b.write(t, upgrade.Step{Runs: []upgrade.Run{mine}}), upgrade.CodeStale)
	if got := b.run(t, run.ID); got.Title != "theirs" || got.Rev != 2 {
		t.Fatalf("stored is %q in revision %d", got.Title, got.Rev)
	}
	refused(t, b.write(t, upgrade.Step{Runs: []upgrade.Run{{ID: 99, Rev: 1}}}), upgrade.CodeNotFound)
}

func testPhaseOrder(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	run.Phase = upgrade.PhaseUnlocked
	refused(t, b.write(t, upgrade.Step{Runs: []upgrade.Run{run}}), upgrade.CodeInternal)
	if got := b.run(t, run.ID); got.Phase != upgrade.PhaseQueued || got.Rev != 1 {
		t.Fatalf("stored is %s in revision %d", got.Phase, got.Rev)
	}
}

// testPhasePairs walks to each phase and tries to go from there to each other.
func testPhasePairs(b *bench) {
	t := b.t
	paths := map[upgrade.Phase][]upgrade.Phase{upgrade.PhaseQueued: nil}
	for open := []upgrade.Phase{upgrade.PhaseQueued}; len(open) > 0; open = open[1:] {
		for _, next := range open[0].Next() {
			if _, known := paths[next]; !known {
				paths[next] = append(slices.Clone(paths[open[0]]), next)
				open = append(open, next)
			}
		}
	}
	if len(paths) != len(upgrade.Phases()) {
		t.Fatalf("only %d of %d phases can be reached", len(paths), len(upgrade.Phases()))
	}
	for from, path := range paths {
		run := b.move(t, b.start(t, upgrade.StackName(from), "t"), path...)
		for _, to := range append(upgrade.Phases(), "unheard-of", "") {
			if to == from || from.CanFollow(to) {
				continue
			}
			run.Phase = to
			refused(t, b.write(t, upgrade.Step{Runs: []upgrade.Run{run}}), upgrade.CodeInternal)
		}
	}
}

func testRunIdentity(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	for name, change := range map[string]func(*upgrade.Run){
		"stack":       func(r *upgrade.Run) { r.Stack = "x" },
		"environment": func(r *upgrade.Run) { r.Environment = "x" },
		"tree":        func(r *upgrade.Run) { r.Tree = "x" },
		"upgrade":     func(r *upgrade.Run) { r.Upgrade++ },
		"project":     func(r *upgrade.Run) { r.ProjectID++ },
		"attempt":     func(r *upgrade.Run) { r.Attempt++ },
	} {
		changed := run
		change(&changed)
		if err := b.write(t, upgrade.Step{Runs: []upgrade.Run{changed}}); err == nil {
			t.Errorf("a run got another %s", name)
		}
	}
}

func testSince(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	b.now = b.now.Add(time.Hour)
	run = b.move(t, run, upgrade.PhasePreparing)
	if run.From != upgrade.PhaseQueued || !run.Since.Equal(b.now) {
		t.Fatalf("came from %q at %v, want %s at %v", run.From, run.Since, upgrade.PhaseQueued, b.now)
	}
	run.Phase, run.Since = upgrade.PhasePlanning, b.now.Add(-time.Second)
	b.must(t, b.pen, upgrade.Step{Runs: []upgrade.Run{run}})
	if got := b.run(t, run.ID); !got.Since.Equal(run.Since) {
		t.Fatalf("since %v, want %v as the step says", got.Since, run.Since)
	}
}

func testBusy(b *bench) {
	t := b.t
	first, second := b.start(t, "s", "t1"), b.start(t, "s", "t2")
	first = b.move(t, first, upgrade.PhasePreparing)
	second.Phase = upgrade.PhasePreparing
	refused(t, b.write(t, upgrade.Step{Runs: []upgrade.Run{second}}), upgrade.CodeBusy)
	b.move(t, first, upgrade.PhaseStopped)
	b.move(t, second, upgrade.PhasePreparing)
}

func testSlotName(b *bench) {
	t := b.t
	for i, at := range []struct {
		stack upgrade.StackName
		env   upgrade.EnvName
	}{{"a", "b-c"}, {"a-b", "c"}, {"a", "b"}, {"a/b", "c"}, {"a", "b/c"}} {
		b.must(t, b.pen, upgrade.Step{Starts: []upgrade.Run{{ProjectID: 7, Stack: at.stack, Environment: at.env, Tree: upgrade.Tree(rune('a' + i))}}})
		b.move(t, b.run(t, upgrade.RunID(i+1)), upgrade.PhasePreparing)
	}
}

// testSlotPhases tells by a rival whether a run holds its slot, through the longest walk.
func testSlotPhases(b *bench) {
	t := b.t
	run, rival := b.start(t, "s", "t1"), b.start(t, "s", "t2")
	for _, phase := range []upgrade.Phase{
		upgrade.PhasePreparing, upgrade.PhasePlanning, upgrade.PhaseJudging, upgrade.PhaseAwaitingApproval, upgrade.PhaseJudging,
		upgrade.PhaseApplying, upgrade.PhaseSettling, upgrade.PhaseChecking, upgrade.PhaseUnlocking, upgrade.PhaseUnlocked,
		upgrade.PhaseRelocked, upgrade.PhaseChecking, upgrade.PhaseBlocked, upgrade.PhaseApplying, upgrade.PhaseInterrupted, upgrade.PhaseFailed,
	} {
		run = b.move(t, run, phase)
		rival.Phase = upgrade.PhasePreparing
		err := b.write(t, upgrade.Step{Runs: []upgrade.Run{rival}})
		if phase.HoldsSlot() {
			refused(t, err, upgrade.CodeBusy)
			continue
		}
		if err != nil {
			t.Fatalf("in %s the slot is not free: %v", phase, err)
		}
		b.move(t, b.run(t, rival.ID), upgrade.PhaseStopped)
		rival = b.start(t, "s", "t2")
	}
}

func testJournalAuto(b *bench) {
	t := b.t
	run := b.move(t, b.start(t, "s", "t"), upgrade.PhasePreparing)
	run.Reason = "waits for the plugin cache"
	b.must(t, b.pen, upgrade.Step{Runs: []upgrade.Run{run}})
	want := []upgrade.EventKind{upgrade.EventCreated, upgrade.EventPhase, upgrade.EventWaiting}
	events := b.events(t, run.ID)
	if kinds := b.kinds(t, run.ID); !slices.Equal(kinds, want) {
		t.Fatalf("journal %v, want %v", kinds, want)
	}
	if diff := cmp.Diff(map[string]string{"from": "queued", "to": "preparing"}, events[1].Data); diff != "" || events[1].Text == "" || !events[1].At.Equal(b.now) {
		t.Fatalf("phase event %+v %s", events[1], diff)
	}
	if events[2].Text != run.Reason {
		t.Fatalf("waiting event %+v", events[2])
	}
}

func testJournalStep(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	want := upgrade.Event{}
	fill(t, &want)
	want.Run, want.Kind = run.ID, upgrade.EventPhase
	run.Phase = upgrade.PhasePreparing
	b.must(t, b.pen, upgrade.Step{Runs: []upgrade.Run{run}, Events: []upgrade.Event{want, {Run: run.ID, Kind: upgrade.EventNote, Text: "x"}}})
	events := b.events(t, run.ID)
	if len(events) != 3 { // created, phase, note: the step told the phase itself
		t.Fatalf("journal %v", b.kinds(t, run.ID))
	}
	want.ID, want.Seq = 2, 2
	if diff := cmp.Diff(want, events[1]); diff != "" {
		t.Fatalf("read back (-want +got):\n%s", diff)
	}
	if !events[2].At.Equal(b.now) {
		t.Fatalf("an event without a time got %v", events[2].At)
	}

	run = b.run(t, run.ID)
	run.Phase = upgrade.PhasePlanning // other events do not stand for the phase
	b.must(t, b.pen, upgrade.Step{Runs: []upgrade.Run{run}, Events: []upgrade.Event{{Run: run.ID, Kind: upgrade.EventGate}}})
	if kinds := b.kinds(t, run.ID)[3:]; !slices.Equal(kinds, []upgrade.EventKind{upgrade.EventGate, upgrade.EventPhase}) {
		t.Fatalf("journal goes on with %v", kinds)
	}
}

func testJournalNumbers(b *bench) {
	t := b.t
	b.start(t, "a", "t")
	b.start(t, "b", "t")
	for i := range 20 {
		b.must(t, b.pen, upgrade.Step{Events: []upgrade.Event{
			{Run: upgrade.RunID(1 + i%2), Kind: upgrade.EventNote}, {Run: 1, Kind: upgrade.EventNote},
		}})
	}
	all, err := b.Events(t.Context(), upgrade.EventFilter{})
	if err != nil || len(all) != 42 {
		t.Fatalf("%d events (%v), want 42", len(all), err)
	}
	seq := map[upgrade.RunID]int64{}
	for i, e := range all {
		seq[e.Run]++
		if e.ID != int64(i+1) || e.Seq != seq[e.Run] {
			t.Fatalf("event %d of all is %d, %d of run %d is %d", i+1, e.ID, seq[e.Run], e.Run, e.Seq)
		}
	}
}

func testJournalNoRun(b *bench) {
	t := b.t
	refused(t, b.write(t, upgrade.Step{Events: []upgrade.Event{{Kind: upgrade.EventNote}}}), upgrade.CodeInternal)
	refused(t, b.write(t, upgrade.Step{Events: []upgrade.Event{{Run: 99, Kind: upgrade.EventNote}}}), upgrade.CodeNotFound)
}

// testAtomic commits a step whose last part is refused: nothing of the others may stay.
func testAtomic(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	b.settle(t)
	moved := run
	moved.Phase = upgrade.PhasePreparing
	refused(t, b.write(t, upgrade.Step{
		Runs:    []upgrade.Run{moved},
		Starts:  []upgrade.Run{{ProjectID: 7, Stack: "x", Environment: "staging", Tree: "t"}},
		Results: []upgrade.Result{{Run: run.ID, Gate: "g"}},
		Applies: []upgrade.Apply{{Run: run.ID, N: 1, FileDigest: "d"}},
		Bases:   []upgrade.Base{{Stack: "s", Tree: "t"}},
		Events:  []upgrade.Event{{Run: run.ID, Kind: upgrade.EventNote}, {Run: 99, Kind: upgrade.EventNote}},
		Next:    upgrade.End(),
	}), upgrade.CodeNotFound)
	if diff := cmp.Diff(run, b.run(t, run.ID)); diff != "" {
		t.Errorf("the run changed (-want +got):\n%s", diff)
	}
	results, _ := b.Results(t.Context(), run.ID)
	applies, _ := b.Applies(t.Context(), run.ID)
	runs, _ := b.Runs(t.Context(), upgrade.RunFilter{})
	_, based, _ := b.Base(t.Context(), "s")
	if len(results)+len(applies) != 0 || len(runs) != 1 || based || len(b.kinds(t, run.ID)) != 1 {
		t.Errorf("left behind: %v %v %v %v %v", results, applies, runs, based, b.kinds(t, run.ID))
	}
	b.none(t)
	b.must(t, b.pen, upgrade.Step{}) // the pen is still held
}

func testUnknownNext(b *bench) {
	t := b.t
	refused(t, b.write(t, upgrade.Step{Next: upgrade.Next{Do: 99}}), upgrade.CodeInternal)
}
