package varnish

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestHands: jobs are done at once, however many, by few who wait for them; and none is left when they rest.
func TestHands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done, most, now atomic.Int64
		h := &hands{do: func(job) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			done.Add(1)
		}}
		began := time.Now()
		for range 3 {
			for range 10 {
				h.give(job{})
			}
			synctest.Wait()
			if got := now.Load(); got != 10 {
				t.Fatalf("%d jobs at once, want 10", got)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if n := len(h.idle); n != idleHands {
				t.Errorf("%d wait, want %d", n, idleHands)
			}
		}
		h.give(job{})
		h.rest()
		if done.Load() != 31 || most.Load() != 10 || time.Since(began) != 4*time.Second {
			t.Errorf("%d jobs done, %d at once, in %s", done.Load(), most.Load(), time.Since(began))
		}
	})
}
