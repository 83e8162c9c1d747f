package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
)

func TestNewRefusesHalfConfigs(t *testing.T) {
	good := engine.Config{
		Leases: newLeases(), Clock: upgrade.SystemClock{}, Log: slog.New(slog.DiscardHandler), Worker: "w",
		Handlers: map[upgrade.JobKind]engine.Handler{upgrade.JobRun: nil},
	}
	if _, err := engine.New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*engine.Config){
		"leases":   func(c *engine.Config) { c.Leases = nil },
		"clock":    func(c *engine.Config) { c.Clock = nil },
		"log":      func(c *engine.Config) { c.Log = nil },
		"worker":   func(c *engine.Config) { c.Worker = "" },
		"handlers": func(c *engine.Config) { c.Handlers = nil },
		"beat":     func(c *engine.Config) { c.Beat = time.Minute },
	} {
		bad := good
		spoil(&bad)
		if _, err := engine.New(bad); err == nil {
			t.Errorf("%s: an engine without it was made", name)
		}
	}
}

func TestWalksAJobToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var calls []time.Duration
		b := run(t, func(context.Context, *engine.Work) (upgrade.Step, error) {
			calls = append(calls, time.Since(began))
			step := upgrade.Step{Events: []upgrade.Event{{Text: fmt.Sprint(len(calls))}}}
			switch len(calls) {
			case 1: // keeps the lease: called again at once
			case 2:
				step.Next = upgrade.Go()
			case 3:
				step.Next = upgrade.Park(time.Now().Add(time.Hour))
			case 4:
				step.Next = upgrade.ParkUntilWoken()
			default:
				step.Next = upgrade.End()
			}
			return step, nil
		})
		id := b.job("1")
		time.Sleep(2 * time.Hour)
		b.wake(id)
		time.Sleep(time.Hour)
		b.stop()
		want := []time.Duration{0, 0, 0, time.Hour, 2 * time.Hour}
		if !slices.Equal(calls, want) {
			t.Fatalf("called at %v, want %v", calls, want)
		}
		if len(b.steps) != len(want) || !b.jobs[id].over {
			t.Fatalf("%d steps were committed, want %d; ended: %v", len(b.steps), len(want), b.jobs[id].over)
		}
	})
}

func TestLongWorkKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		b := run(t, func(context.Context, *engine.Work) (upgrade.Step, error) {
			calls.Add(1)
			time.Sleep(time.Hour)
			return upgrade.Step{Next: upgrade.End()}, nil
		})
		b.job("1")
		time.Sleep(2 * time.Hour)
		b.stop()
		if calls.Load() != 1 || len(b.steps) != 1 || b.beats < 700 {
			t.Fatalf("called %d times, committed %d, %d heartbeats", calls.Load(), len(b.steps), b.beats)
		}
	})
}

func TestParallelIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, done atomic.Int32
		var mu sync.Mutex
		most := int32(0)
		b := run(t, func(context.Context, *engine.Work) (upgrade.Step, error) {
			mu.Lock()
			most = max(most, now.Add(1))
			mu.Unlock()
			time.Sleep(59*time.Second + 500*time.Millisecond) // ends between two looks
			now.Add(-1)
			done.Add(1)
			return upgrade.Step{Next: upgrade.End()}, nil
		}, func(c *engine.Config) { c.Parallel = 3 })
		for i := range 10 {
			b.job(fmt.Sprint(i))
		}
		time.Sleep(4*59*time.Second + 4*500*time.Millisecond + time.Millisecond) // a place that is freed is taken at once
		if n := done.Load(); most != 3 || n != 10 {
			t.Fatalf("%d at once, %d done; want 3 and 10", most, n)
		}
	})
}

func TestNudges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var nudges []time.Duration
		began := time.Now()
		b := run(t, func(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
			for w.Job.Subject == "1" {
				select {
				case <-w.Nudged():
					nudges = append(nudges, time.Since(began))
				case <-ctx.Done():
					return upgrade.Step{}, context.Cause(ctx)
				}
			}
			<-ctx.Done()
			return upgrade.Step{}, context.Cause(ctx)
		})
		id := b.job("1")
		b.job("2")
		time.Sleep(time.Minute)
		b.wake(id)
		time.Sleep(time.Minute)
		b.wake(id)
		time.Sleep(time.Minute)
		b.stop()
		if want := []time.Duration{time.Minute, 2 * time.Minute}; !slices.Equal(nudges, want) {
			t.Fatalf("nudged at %v, want %v", nudges, want)
		}
	})
}

func TestNudgesReachAFullEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, func(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
			select {
			case <-w.Nudged():
				return upgrade.Step{Next: upgrade.ParkUntilWoken()}, nil
			case <-ctx.Done():
				return upgrade.Step{}, context.Cause(ctx)
			}
		}, func(c *engine.Config) { c.Parallel = 1 })
		id := b.job("1")
		time.Sleep(time.Minute)
		b.wake(id)
		time.Sleep(time.Millisecond)
		b.see(func(l *leases) {
			if len(l.steps) != 1 {
				t.Error("a request to the job that fills the engine was not seen")
			}
		})
	})
}

func TestCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, func(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
			if w.Job.Attempt == 0 {
				return upgrade.Step{}, errors.New("the first try fails")
			}
			if err := w.Commit(ctx, upgrade.Step{Next: upgrade.End()}); err == nil {
				t.Error("a checkpoint gave the job away")
			}
			if err := w.Commit(ctx, upgrade.Step{Events: []upgrade.Event{{Text: "half"}}}); err != nil {
				t.Error(err)
			}
			if w.Job.Attempt != 0 {
				t.Errorf("attempt %d after a checkpoint, want 0", w.Job.Attempt)
			}
			return upgrade.Step{Next: upgrade.End()}, nil
		})
		b.job("1")
		time.Sleep(time.Minute)
		b.stop()
		if len(b.steps) != 2 || b.steps[0].Events[0].Text != "half" {
			t.Fatalf("committed %+v", b.steps)
		}
	})
}

func TestClockStandsWhileWorkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, func(context.Context, *engine.Work) (upgrade.Step, error) {
			time.Sleep(time.Minute)
			return upgrade.Step{Next: upgrade.End()}, nil
		})
		b.job("1")
		b.job("2")
		for _, want := range []int64{2, 0} {
			time.Sleep(50*time.Second + time.Millisecond)
			synctest.Wait()
			if got := b.clock.working.Load(); got != want {
				t.Errorf("%d at work, want %d", got, want)
			}
		}
	})
}

func TestRecoversAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{leases: newLeases(), clock: &countingClock{}, log: &records{}}
		id := b.job("1")
		if _, ok, err := b.Claim(t.Context(), "w", time.Hour, time.Now()); !ok || err != nil {
			t.Fatal("not claimed", err)
		}
		b.start(t, func(context.Context, *engine.Work) (upgrade.Step, error) {
			return upgrade.Step{Next: upgrade.End()}, nil
		})
		synctest.Wait()
		b.see(func(l *leases) {
			if !l.jobs[id].over || b.log.count("leases of a dead process ended") != 1 {
				t.Error("the job of a dead process was not done at once")
			}
		})
	})
}

func TestRunFailsWhenItCannotRecover(t *testing.T) {
	l := newLeases()
	l.fail = func(string) error { return errors.New("no disk") }
	e, err := engine.New(engine.Config{
		Leases: l, Clock: upgrade.SystemClock{}, Log: slog.New(slog.DiscardHandler), Worker: "w",
		Handlers: map[upgrade.JobKind]engine.Handler{upgrade.JobRun: nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); err == nil {
		t.Fatal("it ran")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := e.Run(ended); err != nil { // the service was told to end before it had begun
		t.Errorf("got %v, want nil", err)
	}
}

func TestPeriodic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var mu sync.Mutex
		calls := map[string][]time.Duration{}
		note := func(name string) {
			mu.Lock()
			defer mu.Unlock()
			calls[name] = append(calls[name], time.Since(began))
		}
		handler, err := engine.Periodic(upgrade.SystemClock{}, map[string]engine.Task{
			"tick": {Every: time.Minute, Do: func(context.Context, *engine.Work) (upgrade.Step, error) {
				note("tick")
				return upgrade.Step{}, nil
			}},
			"once": {Every: time.Minute, Do: func(context.Context, *engine.Work) (upgrade.Step, error) {
				note("once")
				return upgrade.Step{Next: upgrade.End()}, nil
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		b := run(t, nil, func(c *engine.Config) { c.Handlers[upgrade.JobPeriodic] = handler })
		for _, name := range []string{"tick", "once", "gone"} {
			b.add(upgrade.JobFor(upgrade.JobPeriodic, name), upgrade.JobPeriodic, name)
		}
		time.Sleep(150 * time.Second)
		b.stop()
		if want := []time.Duration{0, time.Minute, 2 * time.Minute}; !slices.Equal(calls["tick"], want) || len(calls["once"]) != 1 {
			t.Fatalf("called at %v", calls)
		}
		if !b.jobs["periodic/gone"].over {
			t.Fatal("the job of a task that is gone goes on")
		}
	})
	if _, err := engine.Periodic(upgrade.SystemClock{}, map[string]engine.Task{"x": {}}); err == nil {
		t.Fatal("a task without interval was taken")
	}
}
