package storetest

import (
	"fmt"
	"sync"

	"github.com/upgradegate/upgradegate/upgrade"
)

const racers, laps = 6, 15

func raceTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"race_of_writers_loses_nothing":  testRaceWrite,
		"race_of_starts_makes_one_run":   testRaceStart,
		"race_for_a_slot_has_one_winner": testRaceSlot,
		"race_of_one_plan_applies_once":  testRaceApply,
		"race_of_orders_makes_one":       testRaceOrder,
		"race_of_events_numbers_them":    testRaceEvents,
	}
}

// race runs one function in several goroutines, each with a job of its own, and returns how their errors
// were coded; "" stands for none.
func (b *bench) race(fn func(n int, job upgrade.Job) error) map[upgrade.Code]int {
	t := b.t
	t.Helper()
	var jobs []upgrade.Job
	for n := range racers {
		id := upgrade.JobFor(upgrade.JobPeriodic, fmt.Sprint("racer-", n))
		b.ensure(t, id, b.now)
		jobs = append(jobs, b.take(t, id))
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	codes := map[upgrade.Code]int{}
	for n, job := range jobs {
		all.Go(func() {
			err := fn(n, job)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				codes[""]++
				return
			}
			codes[upgrade.CodeOf(err)]++
		})
	}
	all.Wait()
	return codes
}

// oneWins fails the test unless one of the race won and the others were refused with the code.
func (b *bench) oneWins(codes map[upgrade.Code]int, refusal upgrade.Code) {
	b.t.Helper()
	if codes[""] != 1 || codes[refusal] != racers-1 {
		b.t.Fatalf("ended %v, want one winner and %d refused with %s", codes, racers-1, refusal)
	}
}

// testRaceWrite counts on one run from all sides, looking again whenever somebody was faster.
func testRaceWrite(b *bench) {
	t := b.t
	b.start(t, "s", "t")
	codes := b.race(func(_ int, job upgrade.Job) error {
		for lap := 0; lap < laps; {
			run, err := b.Run(t.Context(), 1)
			if err != nil {
				return err
			}
			run.Applies++
			err = b.Commit(t.Context(), job, b.now, upgrade.Step{Runs: []upgrade.Run{run}})
			if err == nil {
				lap++
			} else if upgrade.CodeOf(err) != upgrade.CodeStale {
				return err
			}
		}
		return nil
	})
	run := b.run(t, 1)
	if run.Applies != racers*laps || run.Rev != racers*laps+1 || codes[""] != racers {
		t.Fatalf("counted %d in revision %d, want %d; ended %v", run.Applies, run.Rev, racers*laps, codes)
	}
}

func testRaceStart(b *bench) {
	b.oneWins(b.race(func(_ int, job upgrade.Job) error {
		return b.Commit(b.t.Context(), job, b.now, upgrade.Step{Starts: []upgrade.Run{{ProjectID: 7, Stack: "s", Environment: "staging", Tree: "t"}}})
	}), upgrade.CodeStale)
}

func testRaceSlot(b *bench) {
	t := b.t
	for n := range racers {
		b.start(t, "s", upgrade.Tree(fmt.Sprint(n)))
	}
	b.oneWins(b.race(func(n int, job upgrade.Job) error {
		run, err := b.Run(t.Context(), upgrade.RunID(n+1))
		if err != nil {
			return err
		}
		run.Phase = upgrade.PhasePreparing
		return b.Commit(t.Context(), job, b.now, upgrade.Step{Runs: []upgrade.Run{run}})
	}), upgrade.CodeBusy)
}

func testRaceApply(b *bench) {
	t := b.t
	for n := range racers {
		b.start(t, "s", upgrade.Tree(fmt.Sprint(n)))
	}
	b.oneWins(b.race(func(n int, job upgrade.Job) error {
		return b.Commit(t.Context(), job, b.now, upgrade.Step{Applies: []upgrade.Apply{{
			Run: upgrade.RunID(n + 1), N: 1, Stack: "s", Environment: "staging", FileDigest: "same", State: upgrade.ApplyIntended,
		}}})
	}), upgrade.CodeConflict)
}

func testRaceOrder(b *bench) {
	t := b.t
	run := b.start(t, "s", "t")
	b.oneWins(b.race(func(_ int, job upgrade.Job) error {
		return b.Commit(t.Context(), job, b.now, upgrade.Step{Orders: []upgrade.Order{{
			Upgrade: run.Upgrade, Run: run.ID, Hold: upgrade.Hold{Kind: upgrade.HoldCommitStatus}, State: upgrade.OrderOpen,
		}}})
	}), upgrade.CodeStale)
}

// testRaceEvents has a reader follow the journal while many write it: by the id of the last event that
// it saw, it must never miss one.
func testRaceEvents(b *bench) {
	t := b.t
	b.start(t, "s", "t")
	ctx, after := t.Context(), int64(0)
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for last := false; ; {
			events, err := b.Events(ctx, upgrade.EventFilter{After: after})
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range events {
				if e.ID != after+1 || e.Seq != e.ID {
					t.Errorf("event %d, number %d of its run, follows event %d", e.ID, e.Seq, after)
				}
				after = e.ID
			}
			if last && len(events) == 0 {
				return
			}
			select {
			case <-done:
				last = true
			default:
			}
		}
	})
	b.race(func(_ int, job upgrade.Job) error {
		for range laps {
			if err := b.Commit(ctx, job, b.now, upgrade.Step{Events: []upgrade.Event{{Run: 1, Kind: upgrade.EventNote}}}); err != nil {
				return err
			}
		}
		return nil
	})
	close(done)
	reader.Wait()
	if after != racers*laps+1 {
		t.Fatalf("the last event is %d, want %d", after, racers*laps+1)
	}
}
