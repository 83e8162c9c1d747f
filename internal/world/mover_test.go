package world_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/internal/world"
)

// never is a NextWake that knows of nothing.
func never(context.Context) (time.Time, bool, error) { return time.Time{}, false, nil }

// moved runs a mover for a second of real time and returns how far the clock came.
func moved(t *testing.T, prepare func(m *world.Mover)) (far time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		clock := world.New(time.Now())
		m := &world.Mover{Clock: clock, NextWake: never}
		began := clock.Now()
		prepare(m)
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		m.Run(ctx)
		far = clock.Now().Sub(began).Round(100 * time.Millisecond)
	})
	return far
}

func TestMover(t *testing.T) {
	in := func(m *world.Mover, d time.Duration) func(context.Context) (time.Time, bool, error) {
		at := m.Clock.Now().Add(d)
		var done atomic.Bool
		return func(context.Context) (time.Time, bool, error) { return at, !done.Swap(m.Clock.Now().After(at)), nil }
	}
	tests := []struct {
		name    string
		prepare func(m *world.Mover)
		want    time.Duration
	}{
		{"flows", func(*world.Mover) {}, time.Second},
		{"nobody_waits", func(m *world.Mover) { m.NextWake = in(m, time.Hour) }, time.Second},
		{"jumps_to_a_row", func(m *world.Mover) { m.NextWake = in(m, time.Hour); m.Wait() }, time.Hour + time.Second},
		{"no_longer_waits", func(m *world.Mover) { m.NextWake = in(m, time.Hour); m.Wait()() }, time.Second},
		{"somebody_works", func(m *world.Mover) { m.NextWake = in(m, time.Hour); m.Wait(); m.Clock.Begin() }, time.Second},
		{"a_person_is_about_to_act", func(m *world.Mover) {
			m.NextWake = in(m, time.Hour)
			m.Stay = func(context.Context) bool { return true }
			m.Wait()
		}, time.Second},
		{"rows_cannot_be_read", func(m *world.Mover) {
			m.NextWake = func(context.Context) (time.Time, bool, error) { return time.Time{}, false, errors.New("closed") }
			m.Wait()
		}, time.Second},
		{"jumps_to_a_sleeper", func(m *world.Mover) {
			m.Wait()
			done := m.Clock.Begin()
			go func() { defer done(); _ = m.Clock.Sleep(context.Background(), time.Minute) }()
		}, time.Minute + time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := moved(t, test.prepare); got != test.want {
				t.Errorf("the clock came %s far, want %s", got, test.want)
			}
		})
	}
}
