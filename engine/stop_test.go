package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
)

func TestStop(t *testing.T) {
	for name, test := range map[string]struct {
		step  upgrade.Step
		err   error
		check func(*lease) bool
	}{
		"gives_up":      {upgrade.Step{}, engine.ErrStopping, func(l *lease) bool { return l.owner == "" && l.Attempt == 1 && !l.over }},
		"breaks":        {upgrade.Step{}, errors.New("signal: killed"), func(l *lease) bool { return l.owner == "" && l.Attempt == 1 && !l.over }},
		"ends_its_step": {upgrade.Step{Next: upgrade.End()}, nil, func(l *lease) bool { return l.over }},
		"keeps":         {upgrade.Step{}, nil, func(l *lease) bool { return l.owner == "" && l.Attempt == 0 && !l.parked && !l.over }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				b := run(t, func(ctx context.Context, _ *engine.Work) (upgrade.Step, error) {
					calls++
					<-ctx.Done()
					if !errors.Is(context.Cause(ctx), engine.ErrStopping) {
						t.Errorf("cause is %v", context.Cause(ctx))
					}
					time.Sleep(time.Minute) // longer than a lease: it is kept to the end
					return test.step, test.err
				})
				id := b.job("1")
				synctest.Wait()
				began := time.Now()
				b.stop()
				if calls != 1 || time.Since(began) < time.Minute {
					t.Fatalf("called %d times, stopped after %v", calls, time.Since(began))
				}
				if job := b.jobs[id]; !test.check(job) || job.Fence != 1 {
					t.Fatalf("left %+v", job)
				}
				if test.err != nil && (b.log.count("cut off") != 1 || b.retries[0].After(time.Now())) {
					t.Fatal("the next process has to wait, or nobody said so")
				}
			})
		})
	}
}

func TestStopStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		b := run(t, func(ctx context.Context, _ *engine.Work) (upgrade.Step, error) {
			calls++
			<-ctx.Done()
			return upgrade.Step{Next: upgrade.Go()}, nil
		}, func(c *engine.Config) { c.Parallel = 1 })
		b.job("1")
		b.job("2")
		synctest.Wait()
		b.stop()
		if calls != 1 {
			t.Fatalf("%d handlers were started", calls)
		}
	})
}

func TestStopWithoutDatabaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, func(ctx context.Context, _ *engine.Work) (upgrade.Step, error) {
			<-ctx.Done()
			return upgrade.Step{}, context.Cause(ctx)
		})
		b.job("1")
		synctest.Wait()
		b.setFail(func(string) error { return errBroken })
		began := time.Now()
		b.stop()
		if took := time.Since(began); took > 10*time.Second || b.log.count("job not given back") != 1 {
			t.Fatalf("took %v, said so %d times", took, b.log.count("job not given back"))
		}
	})
}

func TestCheckpointAtAStopIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := run(t, func(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
			<-ctx.Done()
			return upgrade.Step{}, errors.Join(w.Commit(ctx, upgrade.Step{Events: []upgrade.Event{{Text: "what was done"}}}), context.Cause(ctx))
		})
		b.job("1")
		synctest.Wait()
		b.stop()
		if len(b.steps) != 1 {
			t.Fatal("what was done is not known")
		}
	})
}
