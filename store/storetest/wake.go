package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func wakeTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"wake_while_held_is_not_lost_by_a_park":  lostWake(upgrade.ParkUntilWoken()),
		"wake_while_held_is_not_lost_by_a_time":  lostWake(upgrade.Park(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))),
		"wake_while_held_is_not_lost_by_the_end": lostWake(upgrade.End()),
		"wake_while_held_is_not_lost_by_a_retry": testWakeRetry,
		"wake_before_the_time":                   testWakeEarly,
		"wake_unknown":                           testWakeUnknown,
		"wake_keeps_the_place_in_the_queue":      testWakeKeepsPlace,
		"wake_is_told_to_the_holder_once":        testNudged,
		"wake_of_nothing_signals":                testWakeNothing,
		"phase_wakes_status_and_queued_runs":     testPhaseWakes,
		"slot_freed_wakes_its_own_stack_first":   testOwnStackFirst,
		"lost_apply_wakes_queued_runs":           testInterruptWakes,
		"no_phase_wakes_nobody":                  testNoPhaseWakes,
		"step_wakes_by_name":                     testStepWakes,
		"ask_wakes_the_run":                      testAsk,
		"request_in_a_step_wakes_the_other_run":  testStepRequest,
		"answers_wake_the_status":                testAnswersWake,
		"signals":                                testSignals,
	}
}

func (b *bench) wake(t *testing.T, ids ...upgrade.JobID) {
	t.Helper()
	if err := b.Wake(t.Context(), ids...); err != nil {
		t.Fatal(err)
	}
}

// due returns which jobs are due, claiming them.
func (b *bench) due(t *testing.T) []upgrade.JobID {
	t.Helper()
	var ids []upgrade.JobID
	for {
		job, ok := b.claim(t)
		if !ok {
			slices.Sort(ids)
			return ids
		}
		b.held[job.ID] = job
		ids = append(ids, job.ID)
	}
}

func (b *bench) wantDue(t *testing.T, want ...upgrade.JobID) {
	t.Helper()
	if got := b.due(t); !slices.Equal(got, want) {
		t.Fatalf("due are %v, want %v", got, want)
	}
}

func lostWake(next upgrade.Next) func(*bench) {
	return func(b *bench) {
		t := b.t
		b.start(t, "s", "t")
		job := b.take(t, "run/1")
		b.settle(t)
		b.wake(t, "run/1")
		b.none(t) // it is held
		b.must(t, job, upgrade.Step{Next: next})
		again := b.take(t, "run/1")
		if again.Wakes <= job.Wakes {
			t.Fatalf("%d wakes after %d", again.Wakes, job.Wakes)
		}
		b.must(t, again, upgrade.Step{Next: next})
		b.none(t)
	}
}

func testWakeRetry(b *bench) {
	t := b.t
	b.start(t, "s", "t")
	job := b.take(t, "run/1")
	b.settle(t)
	b.wake(t, "run/1")
	if err := b.Retry(t.Context(), job, b.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if again := b.take(t, "run/1"); again.Attempt != 1 {
		t.Fatalf("attempt %d, want 1", again.Attempt)
	}
}

func testWakeEarly(b *bench) {
	t := b.t
	b.ensure(t, "periodic/later", b.now.Add(time.Hour))
	b.none(t)
	b.wake(t, "periodic/later")
	b.take(t, "periodic/later")
}

func testWakeUnknown(b *bench) {
	t := b.t
	b.wake(t, "run/99", "intake/x", "status/99", "periodic/new", "status/", "nonsense")
	b.wantDue(t, "periodic/new", "status/99")
}

func testWakeKeepsPlace(b *bench) {
	t := b.t
	b.wake(t, "periodic/a")
	pause(t, 5*time.Millisecond)
	b.wake(t, "periodic/b")
	pause(t, 5*time.Millisecond)
	b.wake(t, "periodic/a")
	if job, _ := b.claim(t); job.ID != "periodic/a" {
		t.Fatalf("claimed %s: being woken again pushed a back", job.ID)
	}
}

func testNudged(b *bench) {
	t := b.t
	nudged := func(worker string, want ...upgrade.JobID) {
		t.Helper()
		got, err := b.Nudged(t.Context(), worker)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("nudged %v (%v), want %v", got, err, want)
		}
	}
	b.wake(t, "periodic/a", "periodic/b", "periodic/c")
	a := b.take(t, "periodic/a")
	b.settle(t)
	nudged("w")
	b.wake(t, "periodic/a", "periodic/b")
	nudged("other")
	nudged("w", "periodic/a")
	nudged("w")
	b.wake(t, "periodic/a")
	nudged("w", "periodic/a")
	b.must(t, a, upgrade.Step{Next: upgrade.ParkUntilWoken()})
	nudged("w")
	b.wantDue(t, "periodic/a", "periodic/b")
}

func testWakeNothing(b *bench) {
	t := b.t
	ticked(b.Woken())
	b.wake(t)
	if !ticked(b.Woken()) {
		t.Fatal("no signal: whoever moves a clock by hand could not say so")
	}
}

func testPhaseWakes(b *bench) {
	t := b.t
	first := b.start(t, "a", "t")
	b.start(t, "b", "t")
	third := b.start(t, "c", "t")
	b.settle(t)
	first = b.move(t, first, upgrade.PhasePreparing)
	b.wantDue(t, "run/2", "run/3", "status/1")
	b.settle(t)
	first = b.move(t, first, upgrade.PhasePlanning) // in its slot still: nobody can go now who could not before
	b.wantDue(t, "status/1")
	b.settle(t)
	b.move(t, first, upgrade.PhaseStopped)
	b.wantDue(t, "run/2", "run/3", "status/1")
	b.settle(t)
	b.move(t, third, upgrade.PhasePreparing)
	b.wantDue(t, "run/2", "status/3")
	b.settle(t)

	b.wake(t, "run/2")
	second := b.take(t, "run/2") // a run that leaves the queue does not wake itself
	run := b.run(t, 2)
	run.Phase = upgrade.PhaseStopped
	b.must(t, second, upgrade.Step{Runs: []upgrade.Run{run}, Next: upgrade.End()})
	b.wantDue(t, "status/2")
}

// testOwnStackFirst frees a slot for which two wait, behind one of another stack that was there before.
func testOwnStackFirst(b *bench) {
	t := b.t
	holder := b.move(t, b.start(t, "a", "t0"), upgrade.PhasePreparing)
	b.start(t, "b", "t1")
	b.start(t, "a", "t2")
	b.start(t, "a", "t3")
	b.settle(t)
	b.move(t, holder, upgrade.PhaseStopped)
	pause(t, 5*time.Millisecond)
	b.deliver(t, "later")
	var got []upgrade.JobID
	for range 5 {
		job, _ := b.claim(t)
		got = append(got, job.ID)
	}
	slices.Sort(got[:3]) // the status job is among them
	if want := []upgrade.JobID{"run/3", "run/4", "status/1", "intake/later", "run/2"}; !slices.Equal(got, want) {
		t.Fatalf("claimed %v, want %v", got, want)
	}
}

// testInterruptWakes loses an apply: the run keeps its slot, but it is not live any more, which is what
// younger upgrades on its other stacks wait for.
func testInterruptWakes(b *bench) {
	t := b.t
	run := b.start(t, "a", "t0")
	b.start(t, "b", "t1")
	run = b.move(t, run, upgrade.PhasePreparing, upgrade.PhasePlanning, upgrade.PhaseJudging, upgrade.PhaseApplying)
	b.settle(t)
	b.move(t, run, upgrade.PhaseInterrupted)
	b.wantDue(t, "run/2", "status/1")
}

func testNoPhaseWakes(b *bench) {
	t := b.t
	run := b.start(t, "a", "t")
	b.start(t, "b", "t")
	b.settle(t)
	run.Reason = "waits for a freeze"
	b.must(t, b.pen, upgrade.Step{Runs: []upgrade.Run{run}})
	b.none(t)
}

func testStepWakes(b *bench) {
	t := b.t
	b.start(t, "s", "t")
	b.settle(t)
	b.must(t, b.pen, upgrade.Step{Wake: []upgrade.JobID{"run/1", "run/1", "periodic/new", "run/99"}})
	b.wantDue(t, "periodic/new", "run/1")
}

func testAsk(b *bench) {
	t := b.t
	b.start(t, "s", "t")
	b.settle(t)
	want := upgrade.Request{}
	fill(t, &want)
	want.ID, want.Run, want.At = 0, 1, b.now
	id, err := b.Ask(t.Context(), want)
	if err != nil || id != 1 {
		t.Fatalf("asked: %d, %v", id, err)
	}
	b.wantDue(t, "run/1")
	want.ID = id
	open, err := b.OpenRequests(t.Context(), 1)
	if diff := cmp.Diff([]upgrade.Request{want}, open); err != nil || diff != "" {
		t.Fatalf("open requests with %v (-want +got):\n%s", err, diff)
	}
	if last := b.events(t, 1)[1]; last.Kind != upgrade.EventRequest || last.Who != want.By.Name || last.Text != want.Reason || !last.At.Equal(b.now) {
		t.Fatalf("the journal says %+v", last)
	}
	b.must(t, b.pen, upgrade.Step{Handled: []upgrade.RequestID{id}})
	if open, err := b.OpenRequests(t.Context(), 1); err != nil || len(open) != 0 {
		t.Fatalf("still open: %v, %v", open, err)
	}

	want.Run = 99
	_, err = b.Ask(t.Context(), want)
	refused(t, err, upgrade.CodeNotFound)
	_, err = b.Ask(t.Context(), upgrade.Request{Run: 1, Kind: upgrade.RequestStop})
	refused(t, err, upgrade.CodeInvalid)
	refused(t, b.write(t, upgrade.Step{Handled: []upgrade.RequestID{99}}), upgrade.CodeNotFound)
}

func testStepRequest(b *bench) {
	t := b.t
	b.start(t, "s", "t")
	b.settle(t)
	b.must(t, b.pen, upgrade.Step{Requests: []upgrade.Request{{Run: 1, Kind: upgrade.RequestSupersede, By: upgrade.ByRule(), Other: 2}}})
	b.wantDue(t, "run/1")
	open, err := b.OpenRequests(t.Context(), 1)
	if err != nil || len(open) != 1 || open[0].Other != 2 || !open[0].At.Equal(b.now) {
		t.Fatalf("open requests %+v, %v", open, err)
	}
	if kinds := b.kinds(t, 1); !slices.Equal(kinds, []upgrade.EventKind{upgrade.EventCreated, upgrade.EventRequest}) {
		t.Fatalf("journal %v", kinds)
	}
	refused(t, b.write(t, upgrade.Step{Requests: []upgrade.Request{{Kind: upgrade.RequestStop}}}), upgrade.CodeNotFound)
}

func testAnswersWake(b *bench) {
	t := b.t
	b.start(t, "s", "t")
	b.settle(t)
	one := upgrade.Answer{Ref: "feature", Commit: "c1", MergeRequest: 12}
	two := upgrade.Answer{Ref: "staging", Commit: "c2", At: b.now.Add(-time.Hour)}
	for range 2 { // the second time adds nothing
		b.must(t, b.pen, upgrade.Step{Answers: map[upgrade.RunID][]upgrade.Answer{1: {one, two}}})
		b.wantDue(t, "status/1")
		b.settle(t)
	}
	one.At = b.now
	run := b.run(t, 1)
	if diff := cmp.Diff([]upgrade.Answer{one, two}, run.Answers); diff != "" {
		t.Fatalf("answers (-want +got):\n%s", diff)
	}
	if run.Rev != 1 {
		t.Fatalf("revision %d: the run's own job would find itself overtaken", run.Rev)
	}
	want := []upgrade.EventKind{upgrade.EventCreated, upgrade.EventAnswer, upgrade.EventAnswer}
	if kinds := b.kinds(t, 1); !slices.Equal(kinds, want) {
		t.Fatalf("journal %v, want %v", kinds, want)
	}
	refused(t, b.write(t, upgrade.Step{Answers: map[upgrade.RunID][]upgrade.Answer{99: {one}}}), upgrade.CodeNotFound)
}

func testSignals(b *bench) {
	t := b.t
	changed, cancel := b.Changed()
	other, cancelOther := b.Changed()
	defer cancelOther()
	want := func(what string, wantWoken, wantChanged bool) {
		t.Helper()
		if woken, told := ticked(b.Woken()), ticked(changed); woken != wantWoken || told != wantChanged {
			t.Errorf("%s: woken %v, changed %v; want %v, %v", what, woken, told, wantWoken, wantChanged)
		}
	}
	ticked(b.Woken())
	b.start(t, "s", "t")
	want("start", true, true)
	b.settle(t)
	ticked(b.Woken())
	b.must(t, b.pen, upgrade.Step{})
	want("nothing", false, false)
	b.must(t, b.pen, upgrade.Step{Events: []upgrade.Event{{Run: 1, Kind: upgrade.EventNote}}})
	want("event", false, true)
	refused(t, b.write(t, upgrade.Step{Runs: []upgrade.Run{{ID: 1, Rev: 77}}}), upgrade.CodeStale)
	want("refused", false, false)
	cancel()
	b.must(t, b.pen, upgrade.Step{Events: []upgrade.Event{{Run: 1, Kind: upgrade.EventNote}}})
	want("cancelled", false, false)
	if !ticked(other) || ticked(other) {
		t.Error("ticks that were not taken must become one")
	}
}
