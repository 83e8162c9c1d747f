package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// prepareLimit is how long a run may take to get its commit and providers, and again to plan. Neither
// changes anything, so they may be interrupted; an apply never is.
const prepareLimit = 30 * time.Minute

// lastTry is how long a try may take that begins when the limit is over: time enough to be told why it
// does not work.
const lastTry = time.Minute

// errTooLong is why preparing or planning was interrupted by its limit.
var errTooLong = errors.New("it took too long")

// interruptible returns a context that ends with errAsked when something is asked of the run, and with
// errTooLong when the phase has lasted for prepareLimit. Call done when the work has ended.
func (l *Lifecycle) interruptible(ctx context.Context, w *engine.Work, run upgrade.Run) (working context.Context, done func()) {
	working, cancel := context.WithCancelCause(ctx)
	var group sync.WaitGroup
	end := l.Clock.Begin()
	limit := run.Since.Add(prepareLimit)
	if least := l.Clock.Now().Add(lastTry); limit.Before(least) {
		limit = least
	}
	group.Go(func() {
		defer end()
		if l.Clock.Sleep(working, limit.Sub(l.Clock.Now())) == nil {
			cancel(errTooLong)
		}
	})
	group.Go(func() { l.watchAsked(working, w, run.ID, cancel) })
	return working, func() { cancel(nil); group.Wait() }
}

// watchAsked cancels with errAsked when something is asked of the run, until ctx ends.
func (l *Lifecycle) watchAsked(ctx context.Context, w *engine.Work, run upgrade.RunID, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.Nudged():
			requests, err := l.Store.OpenRequests(ctx, run)
			if err == nil && len(requests) > 0 {
				cancel(errAsked)
			}
		}
	}
}

// preparing checks the tree out and initialises Terraform in it.
func (l *Lifecycle) preparing(ctx context.Context, w *engine.Work, run upgrade.Run) (upgrade.Step, error) {
	stack, err := l.stack(run)
	if err != nil {
		return l.orFail(ctx, run, upgrade.CauseCheckout, err)
	}
	ctx, done := l.interruptible(ctx, w, run)
	defer done()
	if _, err := l.ready(ctx, &run, stack); err != nil {
		if init, ok := errors.AsType[*initError](err); ok {
			return l.orFail(ctx, run, upgrade.CausePlan, init.error)
		}
		return l.orFail(ctx, run, upgrade.CauseCheckout, perhaps(err))
	}
	return l.to(run, upgrade.PhasePlanning), nil
}

// initError tells what Terraform says from what GitLab and git say.
type initError struct{ error }

func (e *initError) Unwrap() error { return e.error }

// goal is the content that a run's folder holds, and what Terraform is to make of it.
type goal struct {
	Commit  upgrade.Commit
	Tree    upgrade.Tree
	Destroy bool // everything in the state goes: the stack is new since the base
	// Base is the tree that staging is taken back to; empty outside of the first half of a rehearsal. The
	// base itself may move on while it is planned and applied.
	Base upgrade.Tree `json:",omitempty"`
}

// goal returns what the run plans now: its own content, or in the first half of a rehearsal the base's.
func (l *Lifecycle) goal(ctx context.Context, run upgrade.Run, stack upgrade.Stack, project forge.Project) (goal, error) {
	if run.Half != upgrade.HalfBack {
		return goal{Commit: run.Commit, Tree: run.Tree}, nil
	}
	base, known, err := l.Store.Base(ctx, run.Stack)
	if err != nil {
		return goal{}, fmt.Errorf("read the base of %s: %w", run.Stack, err)
	}
	if !known || base.Tree == "" {
		return goal{}, &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("nobody knows what production of %s has, so staging cannot be taken back to it", run.Stack),
			Hint: fmt.Sprintf("say it: upgradegate stack base %s COMMIT", run.Stack),
		}
	}
	if err := l.Git.Ensure(ctx, project, base.Commit); err != nil {
		return goal{}, fmt.Errorf("fetch %s: %w", base.Commit.Short(), err)
	}
	has, err := l.Git.HasDir(ctx, project, base.Tree, stack.Dir)
	if err != nil {
		return goal{}, fmt.Errorf("look for %s in the base: %w", stack.Dir, err)
	}
	if has {
		return goal{Commit: base.Commit, Tree: base.Tree, Base: base.Tree}, nil
	}
	last, begun, err := l.Store.LastApply(ctx, run.Stack, run.Environment)
	if err != nil || !begun {
		return goal{Commit: run.Commit, Tree: run.Tree, Destroy: true, Base: base.Tree}, err
	}
	made, err := l.Store.Run(ctx, last.Run) // the configuration that made it knows how to end it
	return goal{Commit: made.Commit, Tree: made.Tree, Destroy: true, Base: base.Tree}, err
}

// ready makes the run's folder hold its goal, initialised, unless it does already, and returns where
// Terraform works.
func (l *Lifecycle) ready(ctx context.Context, run *upgrade.Run, stack upgrade.Stack) (plan.Root, error) {
	if run.Half != upgrade.HalfBack { // what is there already needs no GitLab, which may be away
		if root, held, err := l.held(*run, stack, goal{Commit: run.Commit, Tree: run.Tree}); held || err != nil {
			return root, err
		}
	}
	project, err := l.Forge.ProjectByID(ctx, run.ProjectID)
	if err != nil {
		return plan.Root{}, fmt.Errorf("read project %s: %w", run.Project, err)
	}
	goal, err := l.goal(ctx, *run, stack, project)
	if err != nil {
		return plan.Root{}, err
	}
	if root, held, err := l.held(*run, stack, goal); held || err != nil {
		return root, err
	}
	marked := l.marker(run.ID)
	if err := os.RemoveAll(marked); err != nil {
		return plan.Root{}, fmt.Errorf("begin the checkout: %w", err)
	}
	if err := l.checkout(ctx, run.ID, project, goal); err != nil {
		return plan.Root{}, err
	}
	version, err := l.Git.Describe(ctx, project, run.Commit)
	if err != nil {
		return plan.Root{}, fmt.Errorf("describe %s: %w", run.Commit.Short(), err)
	}
	run.Version = version
	root, err := l.root(*run, stack)
	if err != nil {
		return plan.Root{}, err
	}
	root.Destroy = goal.Destroy
	err = l.logged(run.ID, StagePrepare, func(log io.Writer) error { return l.Terraform.Init(ctx, root, log) })
	if err != nil {
		return plan.Root{}, &initError{err}
	}
	mark, err := json.Marshal(goal)
	if err != nil {
		return plan.Root{}, fmt.Errorf("encode the goal: %w", err)
	}
	if err := os.WriteFile(marked, mark, 0o600); err != nil {
		return plan.Root{}, fmt.Errorf("end the checkout: %w", err)
	}
	return root, nil
}

// marker is the file that says what the run's folder holds, once that is whole.
func (l *Lifecycle) marker(run upgrade.RunID) string {
	return filepath.Join(l.folder(run), "ready.json")
}

// plannedBase returns the tree that what is planned in the run's folder takes staging back to.
func (l *Lifecycle) plannedBase(run upgrade.RunID) (upgrade.Tree, error) {
	mark, err := os.ReadFile(l.marker(run))
	if err != nil {
		return "", fmt.Errorf("look what is planned: %w", err)
	}
	var planned goal
	if err := json.Unmarshal(mark, &planned); err != nil {
		return "", fmt.Errorf("look what is planned: %w", err)
	}
	return planned.Base, nil
}

// held returns where Terraform works if the run's folder holds the goal already.
func (l *Lifecycle) held(run upgrade.Run, stack upgrade.Stack, goal goal) (root plan.Root, held bool, err error) {
	mark, err := json.Marshal(goal)
	if err != nil {
		return root, false, fmt.Errorf("encode the goal: %w", err)
	}
	was, err := os.ReadFile(l.marker(run.ID))
	if err != nil || !bytes.Equal(was, mark) {
		return root, false, nil //nolint:nilerr // no marker: it is made ready
	}
	root, err = l.root(run, stack)
	root.Destroy = goal.Destroy
	return root, true, err
}

func (l *Lifecycle) checkout(ctx context.Context, run upgrade.RunID, project forge.Project, goal goal) error {
	if err := l.Git.Ensure(ctx, project, goal.Commit); err != nil {
		return fmt.Errorf("fetch %s: %w", goal.Commit.Short(), err)
	}
	dir := l.checkoutDir(run)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("empty the checkout: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the checkout: %w", err)
	}
	if err := l.Git.Checkout(ctx, project, goal.Tree, dir); err != nil {
		return fmt.Errorf("check out %s: %w", goal.Tree.Short(), err)
	}
	return nil
}

func (l *Lifecycle) checkoutDir(run upgrade.RunID) string {
	return filepath.Join(l.folder(run), "checkout")
}

// root describes where Terraform works for the run.
func (l *Lifecycle) root(run upgrade.Run, stack upgrade.Stack) (plan.Root, error) {
	checkout := l.checkoutDir(run.ID)
	dir, err := l.Git.ResolveDir(checkout, stack.Dir)
	if err != nil {
		return plan.Root{}, fmt.Errorf("find the stack's folder: %w", err)
	}
	return plan.Root{
		Dir: dir, Checkout: checkout, Data: l.folder(run.ID),
		Workspace: stack.Staging.Workspace, VarFiles: stack.Staging.VarFiles,
		BackendConfig: stack.Staging.BackendConfig, Env: stack.Staging.Env,
	}, nil
}

// perhaps turns a no of GitLab into an error that may pass, with the same words. What is asked for was
// there when the run began: a token that is being replaced, a role that was taken away by mistake or a
// proxy in between says 401, 403 or 404 for a while, and then no longer.
func perhaps(err error) error {
	switch upgrade.CodeOf(err) {
	case upgrade.CodeUnauthorized, upgrade.CodeForbidden, upgrade.CodeNotFound, upgrade.CodeConflict:
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: upgrade.Public(err), Hint: upgrade.HintOf(err), Cause: err}
	case upgrade.CodeUnavailable, upgrade.CodeLimited, upgrade.CodeBusy, upgrade.CodeInternal, upgrade.CodeInvalid, upgrade.CodeStale:
	}
	return err
}

// orFail decides what an error before the apply means: what may pass is tried again for a while, by
// the engine; everything else fails the run.
func (l *Lifecycle) orFail(ctx context.Context, run upgrade.Run, kind upgrade.CauseKind, err error) (upgrade.Step, error) {
	switch why := context.Cause(ctx); {
	case errors.Is(why, errAsked):
		return upgrade.Step{Next: upgrade.Go()}, nil // the next step answers it
	case errors.Is(why, errTooLong):
		err = &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("it was not done within %s, so it was interrupted", prepareLimit),
			Hint: "look at the log: does a provider, a module or a program that it runs wait for something?", Cause: err,
		}
	case why != nil || errors.Is(err, context.Canceled):
		return upgrade.Step{}, err
	}
	if upgrade.Transient(err) && l.Clock.Now().Sub(run.Since) < prepareLimit {
		return upgrade.Step{}, err
	}
	l.Logger.Warn("run failed", "run", int64(run.ID), "stack", string(run.Stack), "phase", string(run.Phase), "err", err)
	return l.ended(run, upgrade.PhaseFailed, upgrade.Cause{Kind: kind, Message: upgrade.Public(err), Hint: upgrade.HintOf(err)}), nil
}
