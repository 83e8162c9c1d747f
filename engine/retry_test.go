package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
)

var errBroken = errors.New("broken")

func coded(code upgrade.Code) error { return fmt.Errorf("do it: %w", &upgrade.Error{Code: code}) }

// waits returns how long the engine waited before each further try, given the error of every try.
func waits(t *testing.T, times int, err error, change ...func(*engine.Config)) (got []time.Duration, log *records) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		var done atomic.Bool
		b := run(t, func(context.Context, *engine.Work) (upgrade.Step, error) {
			if !last.IsZero() {
				got = append(got, time.Since(last))
			}
			last = time.Now()
			if len(got) == times {
				done.Store(true)
				return upgrade.Step{Next: upgrade.End()}, nil
			}
			return upgrade.Step{}, err
		}, append(change, func(c *engine.Config) { c.Poll = 100 * time.Millisecond })...)
		b.job("1")
		for range 10_000 {
			time.Sleep(time.Second)
			synctest.Wait()
			if done.Load() {
				break
			}
		}
		b.stop()
		log = b.log
	})
	return got, log
}

func TestRetryWaits(t *testing.T) {
	const s = time.Second
	for name, test := range map[string]struct {
		err  error
		want []time.Duration
		line string
	}{
		"plain_error":   {errBroken, []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 256 * s, 300 * s, 300 * s, 300 * s}, "may pass"},
		"unavailable":   {coded(upgrade.CodeUnavailable), []time.Duration{s, 2 * s, 4 * s}, "may pass"},
		"busy":          {coded(upgrade.CodeBusy), []time.Duration{s, 2 * s, 4 * s}, "may pass"},
		"asked_to_wait": {&upgrade.Error{Code: upgrade.CodeLimited, RetryAfter: 3 * s}, []time.Duration{3 * s, 3 * s, 4 * s}, "may pass"},
		"asked_long":    {&upgrade.Error{Code: upgrade.CodeLimited, RetryAfter: time.Hour}, []time.Duration{time.Hour}, "may pass"},
		"invalid":       {coded(upgrade.CodeInvalid), []time.Duration{300 * s, 300 * s}, "failed"},
		"conflict":      {coded(upgrade.CodeConflict), []time.Duration{300 * s}, "failed"},
		"stale":         {coded(upgrade.CodeStale), []time.Duration{0, 0, 0, 0, 0, 32 * s, 64 * s}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, log := waits(t, len(test.want), test.err)
			for i := range got {
				got[i] = got[i].Truncate(s) // looked for every tenth of a second
			}
			if !slices.Equal(got, test.want) {
				t.Fatalf("waited %v, want %v", got, test.want)
			}
			if test.line != "" && log.count(test.line) != len(test.want) {
				t.Fatalf("logged %q %d times, want once for each of %d tries", test.line, log.count(test.line), len(test.want))
			}
		})
	}
}

func TestRetriesAreSpread(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 800 * time.Millisecond, 0.5: time.Second, 0.999999: 1200 * time.Millisecond} {
		got, _ := waits(t, 1, errBroken, func(c *engine.Config) { c.Random = func() float64 { return random } })
		if got[0].Round(100*time.Millisecond) != want {
			t.Errorf("with %v: waited %v, want %v", random, got[0], want)
		}
	}
}

func TestPanicDoesNotEndTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, func(_ context.Context, w *engine.Work) (upgrade.Step, error) {
			if w.Job.Attempt < 2 {
				panic("at the disco")
			}
			return upgrade.Step{Next: upgrade.End()}, nil
		})
		id := b.job("1")
		time.Sleep(time.Minute)
		b.stop()
		if !b.jobs[id].over || b.log.count("panicked") != 2 {
			t.Fatalf("ended: %v, logged %d times", b.jobs[id].over, b.log.count("panicked"))
		}
	})
}

func TestUnknownKindIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, nil)
		b.add("other/1", "other", "1")
		time.Sleep(time.Minute)
		b.stop()
		if job := b.jobs["other/1"]; job.over || job.Attempt != 1 || b.log.count("failed") != 1 {
			t.Fatalf("got %+v", job)
		}
	})
}

func TestCommitThatFailsIsTriedInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, down := 0, 3
		b := run(t, func(context.Context, *engine.Work) (upgrade.Step, error) {
			calls++
			return upgrade.Step{Next: upgrade.End()}, nil
		})
		b.setFail(func(call string) error {
			if call != "commit" || down == 0 {
				return nil
			}
			down--
			return coded(upgrade.CodeUnavailable)
		})
		id := b.job("1")
		time.Sleep(time.Minute)
		b.stop()
		if calls != 1 || !b.jobs[id].over || len(b.retries) != 0 {
			t.Fatalf("called %d times, ended %v, given back %d times", calls, b.jobs[id].over, len(b.retries))
		}
	})
}

// TestDatabaseIsGone takes the database away for long while a job is at work: nothing may be dropped,
// and the handler that lost its lease must have ended before the next one begins.
func TestDatabaseIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inside, most, lost := 0, 0, 0
		var gone, told time.Time
		b := run(t, func(ctx context.Context, _ *engine.Work) (upgrade.Step, error) {
			inside++
			most = max(most, inside)
			defer func() { inside-- }()
			select {
			case <-time.After(10 * time.Minute):
				return upgrade.Step{Next: upgrade.End()}, nil
			case <-ctx.Done():
				if errors.Is(context.Cause(ctx), engine.ErrLost) {
					lost++
					told = time.Now()
				}
				time.Sleep(5 * time.Second) // ends what it has begun
				return upgrade.Step{}, errors.New("killed")
			}
		})
		id := b.job("1")
		time.Sleep(time.Minute)
		gone = time.Now()
		b.setFail(func(string) error { return errBroken })
		time.Sleep(2 * time.Minute)
		b.setFail(nil)
		time.Sleep(20 * time.Minute)
		b.stop()
		if lost != 1 || most != 1 || !b.jobs[id].over {
			t.Fatalf("lost %d times, %d at once, ended %v; want 1, 1, true", lost, most, b.jobs[id].over)
		}
		if after := told.Sub(gone); after < 10*time.Second || after > 20*time.Second {
			t.Errorf("told of the loss after %v, want about the length of a lease", after)
		}
		for message, want := range map[string]int{"store fails": 3, "store works again": 3} {
			if got := b.log.count(message); got > want || got == 0 {
				t.Errorf("%q was logged %d times in one outage of claims, heartbeats and wake-ups", message, got)
			}
		}
	})
}

// TestLeaseLostUnnoticed lets a lease run out while heartbeats seem to work, so that the engine claims
// the job that it is still at work on.
func TestLeaseLostUnnoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inside, most, calls, nudges := 0, 0, 0, 0
		b := run(t, func(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
			inside++
			calls++
			most = max(most, inside)
			defer func() { inside-- }()
			if calls == 1 {
				<-ctx.Done()
				time.Sleep(time.Minute)
				return upgrade.Step{Next: upgrade.End()}, nil // by a ghost
			}
			for nudges < 1 { // the end of the first must not make the engine forget the second
				select {
				case <-w.Nudged():
					nudges++
				case <-ctx.Done():
					return upgrade.Step{}, context.Cause(ctx)
				}
			}
			return upgrade.Step{Next: upgrade.ParkUntilWoken()}, nil
		})
		id := b.job("1")
		time.Sleep(time.Second)
		b.see(func(l *leases) { l.jobs[id].until = time.Now() })
		time.Sleep(10 * time.Minute)
		b.wake(id)
		time.Sleep(time.Minute)
		b.stop()
		if calls != 3 || most != 1 || nudges != 1 || b.jobs[id].over || !b.jobs[id].parked {
			t.Fatalf("called %d times, %d at once, nudged %d times; job %+v", calls, most, nudges, b.jobs[id])
		}
	})
}
