package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	longest = 5 * time.Minute // between two tries
	spread  = 0.2             // of each wait, either way: what failed together shall not come back together
	rushes  = 5               // how often something that was moved is looked at again at once
)

// judge says how long to wait before the next try, and what the log calls it.
func (e *Engine) judge(ctx context.Context, attempt int, err error) (wait time.Duration, level slog.Level, what string) {
	switch {
	case ctx.Err() != nil: // whatever the error says, it comes of the work being cut off
		return 0, slog.LevelInfo, "cut off"
	case errors.Is(err, errPanic):
		return e.backoff(attempt, err), slog.LevelError, "panicked"
	case upgrade.CodeOf(err) == upgrade.CodeStale && attempt < rushes:
		return 0, slog.LevelInfo, "moved meanwhile"
	case upgrade.CodeOf(err) == upgrade.CodeStale || upgrade.Transient(err):
		return e.backoff(attempt, err), slog.LevelWarn, "may pass"
	}
	return longest, slog.LevelError, "failed"
}

// backoff returns the wait after so many tries: 1 s, 2 s, 4 s … up to the longest, spread, but not less
// than the other side asked for.
func (e *Engine) backoff(attempt int, err error) time.Duration {
	wait := longest
	if attempt < 9 { // 2^9 s is beyond the longest, and a large attempt would overflow
		wait = min(time.Second<<attempt, longest)
	}
	wait += time.Duration(float64(wait) * spread * (2*e.Random() - 1))
	return max(wait, upgrade.RetryAfterOf(err))
}

// rest waits in real time: databases do not come back sooner because a clock was moved.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// within limits a call that leaves the process, with an error that names it.
func within(ctx context.Context, limit time.Duration, what string) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s took longer than %s: %w", what, limit, context.DeadlineExceeded))
}

// outage logs that something begins to fail and that it works again, not each failure.
type outage struct {
	log    *slog.Logger
	what   string
	failed bool
}

func (o *outage) note(ctx context.Context, err error) {
	switch {
	case err != nil && ctx.Err() == nil && !o.failed:
		o.failed = true
		o.log.ErrorContext(ctx, "store fails", "doing", o.what, "err", err)
	case err == nil && o.failed:
		o.failed = false
		o.log.InfoContext(ctx, "store works again", "doing", o.what)
	}
}
