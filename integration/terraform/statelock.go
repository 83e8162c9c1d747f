package terraform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// LockedError is in the chain of an error of Plan when somebody holds the lock of the state.
type LockedError struct {
	ID        string
	Operation string    // such as "OperationTypeApply"; "" when Terraform does not say
	Who       string    // user@host; "" when Terraform does not say
	Created   time.Time // zero when Terraform does not say
}

// Error names the holder.
func (l *LockedError) Error() string {
	return fmt.Sprintf("lock %s of %s for %s since %s", l.ID, l.Who, l.Operation, l.Created)
}

func (l *LockedError) error() error {
	msg := "the state is locked"
	if l.Who != "" {
		msg = fmt.Sprintf("the state is locked by %s since %s", l.Who, l.Created.UTC().Format(time.DateTime))
	}
	return &upgrade.Error{
		Code: upgrade.CodeUnavailable, Msg: msg, Cause: l,
		Hint: "wait for its holder; if that is gone for good, run terraform force-unlock " + l.ID,
	}
}

var (
	lockLine = regexp.MustCompile(`(?m)^\s*(ID|Operation|Who|Created):[ \t]+(\S.*?)\s*$`)
	holderID = regexp.MustCompile(`already locked: ID=([0-9A-Za-z-]+)`)
)

// lock reads who holds the lock; nil if d is another error. With an http backend Terraform 1.5 prints
// what it wanted to write itself under "Lock Info", and of the holder only the ID.
func (d *Diagnostic) lock() *LockedError {
	if d.Summary != "Error acquiring the state lock" {
		return nil
	}
	l := &LockedError{}
	for _, found := range lockLine.FindAllStringSubmatch(d.Detail, -1) {
		switch found[1] {
		case "ID":
			l.ID = found[2]
		case "Operation":
			l.Operation = found[2]
		case "Who":
			l.Who = found[2]
		case "Created":
			at, err := time.Parse("2006-01-02 15:04:05.999999999 -0700 MST", found[2])
			if err == nil {
				l.Created = at
			}
		}
	}
	if holder := holderID.FindStringSubmatch(oneLine(d.Detail)); holder != nil && holder[1] != l.ID {
		return &LockedError{ID: holder[1]}
	}
	if l.ID == "" { // the backend could not even be asked
		return nil
	}
	return l
}

// BreakLock breaks the lock of the state that failed, an error of Plan, tells of, if it is provably the
// attempt's own: no process of the stack lives, the attempt was begun on this host and has left no
// regular result, and holder, operation and time are its own. It reports whether the lock was broken;
// false without an error means that a person has to look.
func (t *Terraform) BreakLock(ctx context.Context, root plan.Root, attempt plan.Attempt, failed error) (bool, error) {
	if err := checkAttempt(attempt); err != nil {
		return false, err
	}
	var lock *LockedError
	if !errors.As(failed, &lock) {
		return false, nil
	}
	// Held while the state's lock is broken, so that nobody begins meanwhile.
	file, err := takeLock(ctx, t.lockPath(attempt.Stack, attempt.Environment))
	if err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeBusy {
			return false, nil
		}
		return false, err
	}
	defer func() { _ = file.Close() }()
	ours, err := oursIs(attempt, lock)
	if !ours || err != nil {
		return false, err
	}
	return true, t.forceUnlock(ctx, root, lock.ID)
}

func oursIs(attempt plan.Attempt, lock *LockedError) (bool, error) {
	var started Started
	err := ReadJSON(attempt.Dir, FileStarted, &started)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var result Result
	err = ReadJSON(attempt.Dir, FileResult, &result)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, err
	case result.ExitCode >= 0: // Terraform ended by itself, and so let go of its lock
		return false, nil
	case lock.Created.After(result.At):
		return false, nil
	}
	return lock.ID != "" && lock.Operation == "OperationTypeApply" && lock.Who == started.User+"@"+started.Host &&
		!lock.Created.Before(started.At), nil
}

func (t *Terraform) forceUnlock(ctx context.Context, root plan.Root, id string) error {
	w, err := t.workplace(root)
	if err != nil {
		return err
	}
	defer w.close()
	out, err := w.log("plan", nil)
	if err != nil {
		return err
	}
	var stderr tail
	tf, err := t.tool(ctx, w, root.Env, out, io.MultiWriter(out, &stderr))
	if err != nil {
		return err
	}
	if strings.HasPrefix(id, "-") {
		return fmt.Errorf("break the lock of the state: %q is not an ID", id)
	}
	return locked(func() error {
		if err := tf.ForceUnlock(ctx, id); err != nil {
			return w.failure(ctx, "terraform force-unlock", err, nil, stderr.String())
		}
		return nil
	})
}
