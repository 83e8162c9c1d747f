package terraform

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// glance is how often a lock or a log that another process holds is looked at.
const glance = 100 * time.Millisecond

// lockPath returns the lock of a stack on an environment. Every process that belongs to an apply there
// holds it, so it is free only when none of them lives: neither Terraform's own lock of the state nor
// "Saved plan is stale" gives that.
func (t *Terraform) lockPath(stack upgrade.StackName, env upgrade.EnvName) string {
	return filepath.Join(t.cfg.LockDir, url.PathEscape(string(stack))+"@"+url.PathEscape(string(env))+".lock")
}

// takeLock opens the lock and takes it for writing. It waits a moment, since who looks whether the lock
// is free holds it shared meanwhile. Error: CodeBusy when it is held.
func takeLock(ctx context.Context, path string) (*os.File, error) {
	file, err := openLock(path)
	if err != nil {
		return nil, err
	}
	err = poll(ctx, 10*time.Millisecond, 200, nil, func() (bool, error) { return flock(file, syscall.LOCK_EX) })
	switch {
	case err == nil:
		return file, nil
	case errors.Is(err, errStillHeld):
		err = &upgrade.Error{
			Code: upgrade.CodeBusy, Msg: "a process of an earlier apply of this stack still lives",
			Hint: "wait for it; a program that a provisioner left in the background counts too",
		}
	}
	_ = file.Close()
	return nil, err
}

func openLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // a path of ours
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	return file, nil
}

// flock tries to take the lock, and reports whether it did.
func flock(file *os.File, how int) (bool, error) {
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		default:
			return false, fmt.Errorf("lock %s: %w", file.Name(), err)
		}
	}
}

// held reports whether a process of an apply lives.
func held(path string) (bool, error) {
	file, err := openLock(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }()
	free, err := flock(file, syscall.LOCK_SH)
	return !free, err
}

var errStillHeld = errors.New("still held")

// poll calls try until it reports true, at most times times (0: without end), and waits every in
// between: real time, whatever the clock of the world says, since it waits for the operating system.
// When early, which may be nil, is closed, it does not wait for the rest of the turn.
func poll(ctx context.Context, every time.Duration, times int, early <-chan struct{}, try func() (bool, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for n := 1; ; n++ {
		done, err := try()
		switch {
		case err != nil:
			return err
		case done:
			return nil
		case n == times:
			return errStillHeld
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-early:
			early = nil
		case <-ticker.C:
		}
	}
}

// lockInit makes inits take turns: two of them may not fill one plugin cache at once.
func (t *Terraform) lockInit(ctx context.Context) (unlock func(), err error) {
	select {
	case t.initTurn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	release := func() { <-t.initTurn }
	if t.cfg.InitLock == "" {
		return release, nil
	}
	file, err := openLock(t.cfg.InitLock)
	if err != nil {
		release()
		return nil, err
	}
	if err := poll(ctx, glance, 0, nil, func() (bool, error) { return flock(file, syscall.LOCK_EX) }); err != nil {
		_ = file.Close()
		release()
		return nil, err
	}
	return func() {
		_ = file.Close()
		release()
	}, nil
}

// checkAttempt refuses an attempt that cannot be found again.
func checkAttempt(a plan.Attempt) error {
	if !filepath.IsAbs(a.Dir) || a.Stack == "" || a.Environment == "" {
		return fmt.Errorf("terraform: attempt %q of stack %q on %q is not complete", a.Dir, a.Stack, a.Environment)
	}
	return nil
}
