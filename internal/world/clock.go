// Package world has a world clock that is moved instead of waited for: by the demo, which shows an
// afternoon in a minute, and by tests. It takes no shortcut through the code under test: whoever
// sleeps is woken at the time it asked for, in order, and nobody's work is skipped.
package world

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Clock is an upgrade.Clock that stands still until it is moved. It is moved only while nobody works.
type Clock struct {
	moved chan struct{}

	mu       sync.Mutex // guards the fields below
	now      time.Time
	working  int
	begun    uint64 // how often work has begun, to tell "idle for a while" from "idle again"
	sleepers []*sleeper
}

type sleeper struct {
	due  time.Time
	wake chan struct{}
}

// New returns a clock that stands at the given time.
func New(now time.Time) *Clock { return &Clock{now: now, moved: make(chan struct{}, 1)} }

// Moved receives after MoveTo moved the clock, so that whoever looks for what is due looks again. It
// holds one signal.
func (c *Clock) Moved() <-chan struct{} { return c.moved }

// Now returns the time at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Begin counts a piece of work until the returned function is called.
func (c *Clock) Begin() (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working++
	c.begun++
	return sync.OnceFunc(func() { c.add(-1) })
}

// Idle does not count the caller's work while wait runs.
func (c *Clock) Idle(wait func()) {
	c.add(-1)
	defer c.add(1)
	wait()
}

func (c *Clock) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working += n
	if n > 0 {
		c.begun++
	}
}

// Sleep waits until the clock has been moved by d. The caller has begun work; while it sleeps it does
// not count as working.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	c.mu.Lock()
	s := &sleeper{due: c.now.Add(d), wake: make(chan struct{})}
	c.sleepers = append(c.sleepers, s)
	c.working--
	c.mu.Unlock()
	select {
	case <-s.wake: // the mover counts us as working again before it lets go
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		if at := slices.Index(c.sleepers, s); at >= 0 {
			c.sleepers = slices.Delete(c.sleepers, at, at+1)
			c.working++
			c.begun++
		}
		return context.Cause(ctx)
	}
}

// Quiet reports whether nobody works, and how often work has begun so far. Two
// equal counts with nobody working in between mean that nothing happened.
func (c *Clock) Quiet() (quiet bool, begun uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.working == 0, c.begun
}

// NextDue returns when the first sleeper wants to be woken.
func (c *Clock) NextDue() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first time.Time
	for _, s := range c.sleepers {
		if first.IsZero() || s.due.Before(first) {
			first = s.due
		}
	}
	return first, !first.IsZero()
}

// MoveTo moves the clock forward to t and wakes whoever is due, if nobody works; it reports whether it
// did. A time that has passed moves nothing.
func (c *Clock) MoveTo(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.working > 0 {
		return false
	}
	if t.After(c.now) {
		c.now = t
	}
	c.wakeLocked()
	select {
	case c.moved <- struct{}{}:
	default:
	}
	return true
}

// Advance moves the clock by d whatever anybody does: for tests that own every goroutine, and to let
// time pass by itself.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.wakeLocked()
}

func (c *Clock) wakeLocked() {
	c.sleepers = slices.DeleteFunc(c.sleepers, func(s *sleeper) bool {
		if s.due.After(c.now) {
			return false
		}
		c.working++
		c.begun++
		close(s.wake)
		return true
	})
}
