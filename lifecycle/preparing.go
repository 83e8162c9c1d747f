package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
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
	version, err := l.checkout(ctx, run)
	if err != nil {
		return l.orFail(ctx, run, upgrade.CauseCheckout, perhaps(err))
	}
	root, err := l.root(run, stack)
	if err != nil {
		return l.orFail(ctx, run, upgrade.CauseCheckout, err)
	}
	err = l.logged(run.ID, StagePrepare, func(log io.Writer) error { return l.Terraform.Init(ctx, root, log) })
	if err != nil {
		return l.orFail(ctx, run, upgrade.CausePlan, err)
	}
	run.Version = version
	return l.to(run, upgrade.PhasePlanning), nil
}

func (l *Lifecycle) checkout(ctx context.Context, run upgrade.Run) (version string, err error) {
	project, err := l.Forge.ProjectByID(ctx, run.ProjectID)
	if err != nil {
		return "", fmt.Errorf("read project %s: %w", run.Project, err)
	}
	if err := l.Git.Ensure(ctx, project, run.Commit); err != nil {
		return "", fmt.Errorf("fetch %s: %w", run.Commit.Short(), err)
	}
	dir := l.checkoutDir(run.ID)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("empty the checkout: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("make the checkout: %w", err)
	}
	if err := l.Git.Checkout(ctx, project, run.Tree, dir); err != nil {
		return "", fmt.Errorf("check out %s: %w", run.Tree.Short(), err)
	}
	version, err = l.Git.Describe(ctx, project, run.Commit)
	if err != nil {
		return "", fmt.Errorf("describe %s: %w", run.Commit.Short(), err)
	}
	return version, nil
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
