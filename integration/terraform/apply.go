package terraform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Apply applies the plan of the attempt in a process of its own (package shim), hands each event to
// tick, which may be nil, and waits for the end. When ctx ends first, Apply returns the context's cause
// and the apply goes on: Adopt finds it. A Terraform that ends with an error is not an error here.
//
// Error: CodeBusy when a process of an earlier apply of the stack still lives; CodeConflict when the
// attempt was begun before, or the shim refused it because the plan, the provider lock file or the tool
// is not the one that was judged: then nothing was changed; plan.ErrLost in the chain when the shim
// vanished without a result: then anything may have been changed.
func (t *Terraform) Apply(ctx context.Context, root plan.Root, attempt plan.Attempt, tick func(plan.Tick)) (plan.Ended, error) {
	if err := checkAttempt(attempt); err != nil {
		return plan.Ended{}, err
	}
	lock, err := takeLock(ctx, t.lockPath(attempt.Stack, attempt.Environment))
	if err != nil {
		return plan.Ended{}, err
	}
	gone, err := t.start(root, attempt, lock)
	if errClose := lock.Close(); err == nil && errClose != nil {
		err = fmt.Errorf("let go of the lock: %w", errClose)
	}
	if err != nil {
		return plan.Ended{}, err
	}
	ended, found, err := t.follow(ctx, attempt, tick, gone)
	switch {
	case err != nil:
		return plan.Ended{}, err
	case found == plan.FoundResult:
		return ended, nil
	case found == plan.FoundNeverRan:
		return plan.Ended{}, &upgrade.Error{
			Code: upgrade.CodeInternal, Msg: "the apply could not be started: " + shimSays(attempt.Dir),
			Hint: "nothing was changed; see " + FileShimLog + " in the folder of the apply",
		}
	}
	return plan.Ended{}, &upgrade.Error{
		Code: upgrade.CodeConflict, Msg: "the apply was cut off and nobody knows how far it came",
		Hint: "look at staging and at the state before anything is applied again", Cause: plan.ErrLost,
	}
}

// start writes the order and starts the shim, which inherits the lock. gone is closed when the shim has
// ended.
func (t *Terraform) start(root plan.Root, attempt plan.Attempt, lock *os.File) (gone <-chan struct{}, err error) {
	w, err := t.workplace(root)
	if err != nil {
		return nil, err
	}
	if w.shortTmp { // the shim makes its own, which outlives us
		w.close()
		w.tmp = filepath.Join(root.Data, "tmp")
	}
	if err := os.MkdirAll(attempt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the apply: %w", err)
	}
	if err := w.account.own(attempt.Dir); err != nil {
		return nil, err
	}
	for _, name := range []string{FileStarted, FileResult} {
		begun, err := exists(attempt.Dir, name)
		if err != nil {
			return nil, err
		}
		if begun {
			return nil, &upgrade.Error{Code: upgrade.CodeConflict, Msg: "this apply was begun before, and no plan is applied twice", Hint: "plan again"}
		}
	}
	env, err := t.environ(w, root.Env)
	if err != nil {
		return nil, err
	}
	tool := t.memory.recall()
	order := Order{
		Binary: t.binary, Tool: attempt.Tool, Known: tool.String(), BinaryID: tool.id, Dir: root.Dir, Plan: attempt.File, PlanDigest: attempt.FileDigest,
		LockDigest: attempt.LockDigest, Lock: lock.Name(), Log: filepath.Join("logs", "apply.log"), Data: root.Data, Tmp: w.tmp,
		Wait: t.cfg.LockTimeout.String(),
		Env:  slices.Sorted(maps.Keys(env)), Secrets: secretNames(root.Env),
	}
	// Only the shim reads it, and after a power cut there is none.
	if err := writeJSON(attempt.Dir, FileOrder, order, false, false); err != nil {
		return nil, err
	}
	for _, path := range []string{filepath.Join(attempt.Dir, FileOrder), attempt.File} {
		if err := w.account.own(path); err != nil {
			return nil, err
		}
	}
	return t.startShim(attempt, env, lock)
}

func (t *Terraform) startShim(attempt plan.Attempt, env map[string]string, lock *os.File) (gone <-chan struct{}, err error) {
	log, err := OpenLog(attempt.Dir, FileShimLog)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	// No context and no Pdeathsig: it is meant to outlive us.
	cmd := exec.Command(t.cfg.Self, "apply-shim", attempt.Dir) //nolint:gosec,noctx // our own binary; see above
	cmd.Dir, cmd.Env = "/", pairs(env)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lock} // descriptor 3, inherited by Terraform, providers and provisioners
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: t.user.credential()}
	if err := cmd.Start(); err != nil {
		return nil, &upgrade.Error{Code: upgrade.CodeInternal, Msg: "the apply could not be started", Hint: "nothing was changed", Cause: err}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // so that it is no zombie if it ends before we do; the result is a file
	}()
	return ended, nil
}

// Adopt waits for an attempt that this or an earlier process started, handing each event since its
// beginning to tick, which may be nil, and says what became of it. Ended is set with FoundResult only.
// When ctx ends first, it returns the context's cause and the apply goes on. Error: CodeConflict when
// the shim refused the attempt: see Apply.
func (t *Terraform) Adopt(ctx context.Context, attempt plan.Attempt, tick func(plan.Tick)) (plan.Ended, plan.Found, error) {
	return t.follow(ctx, attempt, tick, nil)
}

// follow is Adopt, which looks at once when gone is closed; nil: nobody knows when the shim ends.
func (t *Terraform) follow(ctx context.Context, attempt plan.Attempt, tick func(plan.Tick), gone <-chan struct{}) (plan.Ended, plan.Found, error) {
	if err := checkAttempt(attempt); err != nil {
		return plan.Ended{}, "", err
	}
	lock := t.lockPath(attempt.Stack, attempt.Environment)
	events := &follower{terraform: t, path: filepath.Join(attempt.Dir, FileEvents), tick: tick, story: Story{Total: attempt.Total}}
	defer events.close()
	err := poll(ctx, glance, 0, gone, func() (bool, error) {
		// First the end, then the events: those that came before the end are all there.
		over, err := exists(attempt.Dir, FileResult)
		if err == nil && !over {
			// A program that outlives Terraform in the background may hold the lock; the result
			// says that Terraform itself has ended.
			var alive bool
			alive, err = held(lock)
			over = !alive
		}
		if errEvents := events.read(); errEvents != nil {
			t.cfg.Log.WarnContext(ctx, "progress of an apply cannot be followed", "stack", string(attempt.Stack), "err", errEvents)
		}
		return over, err
	})
	if err != nil {
		return plan.Ended{}, "", fmt.Errorf("wait for the apply: %w", err)
	}
	return t.outcome(attempt)
}

// outcome says what became of an attempt that no process works on any more.
func (t *Terraform) outcome(attempt plan.Attempt) (plan.Ended, plan.Found, error) {
	var result Result
	err := ReadJSON(attempt.Dir, FileResult, &result)
	switch {
	case err == nil && result.Refused:
		return plan.Ended{}, plan.FoundNeverRan, &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: result.Message, Hint: "nothing was changed; plan again",
		}
	case err == nil:
		return plan.Ended{
			OK: result.OK, ExitCode: result.ExitCode, Message: result.Message, Address: result.Address,
			Stale: result.Stale, At: t.worldTime(result.At),
		}, plan.FoundResult, nil
	case !errors.Is(err, os.ErrNotExist):
		return plan.Ended{}, "", err
	}
	begun, err := exists(attempt.Dir, FileStarted)
	switch {
	case err != nil:
		return plan.Ended{}, "", err
	case begun:
		return plan.Ended{}, plan.FoundLost, nil
	}
	return plan.Ended{}, plan.FoundNeverRan, nil
}

// Stop asks a running attempt to end in order: one SIGINT, to the shim alone. Terraform finishes what is
// in flight, writes the state and ends with an error; Apply or Adopt then return as ever. Stopping
// twice, or what has ended, does nothing. An attempt that has not begun is refused when it does.
func (t *Terraform) Stop(_ context.Context, attempt plan.Attempt) error {
	if err := checkAttempt(attempt); err != nil {
		return err
	}
	if err := os.MkdirAll(attempt.Dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the apply: %w", err)
	}
	// The wish is written before the process is looked for, and the shim looks for it after it has
	// said who it is: one of the two sees the other.
	err := WriteJSON(attempt.Dir, FileStop, struct{}{}, true)
	if errors.Is(err, os.ErrExist) {
		return nil // a second SIGINT would make Terraform drop what is in flight
	}
	if err != nil {
		return err
	}
	var started Started
	err = ReadJSON(attempt.Dir, FileStarted, &started)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	process, err := os.FindProcess(started.PID) // holds on to this very process from here on
	if err != nil {
		return nil // it is gone: nothing to stop
	}
	defer func() { _ = process.Release() }()
	if started.BootID != BootID() || started.Ticks == "" || StartTicks(started.PID) != started.Ticks {
		return nil
	}
	if err := process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("tell the apply to stop: %w", err)
	}
	return nil
}
