package upgrade

import (
	"context"
	"time"
)

// Clock is world time: settling, deadlines, limits, intervals, the journal. Lease time is the
// database's own and never passes through a Clock.
//
// A clock that is moved by hand (demo, tests) moves only while nobody works. So whoever works brackets
// it with Begin and the function that Begin returns; waiting in Sleep or in Idle does not count as work.
type Clock interface {
	// Now returns the present world time.
	Now() time.Time
	// Sleep waits until d of world time has passed and returns nil, or returns the context's cause.
	// d <= 0 returns at once.
	Sleep(ctx context.Context, d time.Duration) error
	// Begin says that a piece of work has begun; the returned function, called once, that it has ended.
	Begin() (end func())
	// Idle runs wait, which only waits for other work that is bracketed itself, without counting the
	// caller's own work meanwhile. Call it only between Begin and end.
	Idle(wait func())
}

// SystemClock is the clock on the wall. It cannot be moved, so Begin and Idle keep no count.
type SystemClock struct{}

// Now returns the time of the operating system.
func (SystemClock) Now() time.Time {
	return time.Now() //nolint:forbidigo // this is the clock that everybody else is handed
}

// Sleep waits for d.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Begin does nothing.
func (SystemClock) Begin() (end func()) { return func() {} }

// Idle calls wait.
func (SystemClock) Idle(wait func()) { wait() }
