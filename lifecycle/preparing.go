package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// prepareLimit is how long a run tries to get its commit and providers before it fails.
const prepareLimit = 30 * time.Minute

// preparing checks the tree out and initialises Terraform in it.
func (l *Lifecycle) preparing(ctx context.Context, run upgrade.Run) (upgrade.Step, error) {
	stack, err := l.stack(run)
	if err != nil {
		return l.orFail(run, upgrade.CauseCheckout, err)
	}
	version, err := l.checkout(ctx, run)
	if err != nil {
		return l.orFail(run, upgrade.CauseCheckout, err)
	}
	root, err := l.root(run, stack)
	if err != nil {
		return l.orFail(run, upgrade.CauseCheckout, err)
	}
	err = l.logged(run.ID, StagePrepare, func(log io.Writer) error { return l.Terraform.Init(ctx, root, log) })
	if err != nil {
		return l.orFail(run, upgrade.CausePlan, err)
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

// orFail decides what an error before the apply means: what may pass is tried again for a while, by
// the engine; everything else fails the run.
func (l *Lifecycle) orFail(run upgrade.Run, kind upgrade.CauseKind, err error) (upgrade.Step, error) {
	if errors.Is(err, context.Canceled) {
		return upgrade.Step{}, err
	}
	if upgrade.Transient(err) && l.Clock.Now().Sub(run.Since) < prepareLimit {
		return upgrade.Step{}, err
	}
	l.Logger.Warn("run failed", "run", int64(run.ID), "stack", string(run.Stack), "phase", string(run.Phase), "err", err)
	return l.ended(run, upgrade.PhaseFailed, upgrade.Cause{Kind: kind, Message: upgrade.Public(err), Hint: upgrade.HintOf(err)}), nil
}
