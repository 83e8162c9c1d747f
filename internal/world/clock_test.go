package world_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
)

var _ upgrade.Clock = (*world.Clock)(nil)

func start() time.Time { return time.Date(2026, 11, 20, 17, 0, 0, 0, time.UTC) }

func TestMovesOnlyWhileNobodyWorks(t *testing.T) {
	clock := world.New(start())
	end := clock.Begin()
	if clock.MoveTo(start().Add(time.Hour)) || !clock.Now().Equal(start()) {
		t.Fatal("the clock moved while somebody worked")
	}
	end()
	end() // a second call counts for nothing
	if !clock.MoveTo(start().Add(time.Hour)) || !clock.Now().Equal(start().Add(time.Hour)) {
		t.Fatal("the clock did not move though nobody worked")
	}
}

func TestSleeperCountsAsIdleAndWakesWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := world.New(start())
		done := make(chan error, 1)
		end := clock.Begin()
		go func() {
			defer end()
			done <- clock.Sleep(t.Context(), time.Minute)
		}()
		synctest.Wait()
		due, ok := clock.NextDue()
		if !ok || !due.Equal(start().Add(time.Minute)) {
			t.Fatalf("next is due at %v (%v)", due, ok)
		}
		if !clock.MoveTo(due) {
			t.Fatal("a sleeper kept the clock from moving")
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if quiet, _ := clock.Quiet(); !quiet {
			t.Error("work that ended still counts")
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := world.New(start())
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer clock.Begin()()
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := clock.Sleep(ctx, time.Hour); !errors.Is(err, why) {
			t.Errorf("sleep ended with %v, want %v", err, why)
		}
		if quiet, _ := clock.Quiet(); quiet {
			t.Error("whoever woke does not count as working")
		}
	})
}
