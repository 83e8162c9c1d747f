package states

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// readyFile says, in a source's folder, of which content the checkout is, once it is initialised.
const readyFile = "ready"

// spoil has the next reading of a source begin anew.
func (s *States) spoil(src *source) {
	if err := os.RemoveAll(filepath.Join(src.dir, readyFile)); err != nil {
		s.Log.Warn("the folder of a state cannot be changed", "state", string(src.name), "err", err)
	}
}

// ready makes the source's folder hold an initialised root module, unless it does, and returns that.
func (s *States) ready(ctx context.Context, src *source) (plan.Root, error) {
	was, err := os.ReadFile(filepath.Join(src.dir, readyFile))
	held := err == nil
	if src.foreign != nil {
		if held {
			return s.root(src, "")
		}
		return s.initialise(ctx, src, "backend", func(checkout string) error {
			return s.Terraform.WriteBackend(checkout, src.foreign.Backend)
		})
	}
	project, tree, err := s.content(ctx, src)
	switch {
	case err == nil && held && string(was) == string(tree):
		return s.root(src, src.stack.Dir)
	case err != nil && held && upgrade.Transient(err) && ctx.Err() == nil:
		// Where a state is kept hardly ever changes: GitLab may be away.
		s.Log.WarnContext(ctx, "a state is read with the configuration of last time", "state", string(src.name), "err", s.mask(err.Error()))
		return s.root(src, src.stack.Dir)
	case err != nil:
		return plan.Root{}, err
	}
	return s.initialise(ctx, src, string(tree), func(checkout string) error {
		if err := s.Git.Checkout(ctx, project, tree, checkout); err != nil {
			return fmt.Errorf("check out %s: %w", tree.Short(), err)
		}
		return nil
	})
}

// initialise fills a fresh folder and initialises it.
func (s *States) initialise(ctx context.Context, src *source, content string, fill func(checkout string) error) (plan.Root, error) {
	s.spoil(src)
	work := filepath.Join(src.dir, "work")
	checkout := filepath.Join(work, "checkout")
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(checkout, 0o750)); err != nil {
		return plan.Root{}, fmt.Errorf("make the folder of a state: %w", err)
	}
	if err := fill(checkout); err != nil {
		return plan.Root{}, err
	}
	root, err := s.root(src, src.stack.Dir)
	if err != nil {
		return plan.Root{}, err
	}
	if err := s.Terraform.InitBackend(ctx, root); err != nil {
		return plan.Root{}, fmt.Errorf("initialise: %w", err)
	}
	if err := os.WriteFile(filepath.Join(src.dir, readyFile), []byte(content), 0o600); err != nil {
		return plan.Root{}, fmt.Errorf("end the checkout: %w", err)
	}
	return root, nil
}

// root describes where Terraform reads the source.
func (s *States) root(src *source, dir string) (plan.Root, error) {
	work := filepath.Join(src.dir, "work")
	root := plan.Root{
		Checkout: filepath.Join(work, "checkout"), Data: work,
		Workspace: src.site.Workspace, BackendConfig: src.site.BackendConfig, Env: src.site.Env,
	}
	root.Dir = root.Checkout
	if src.foreign != nil {
		return root, nil
	}
	var err error
	if root.Dir, err = s.Git.ResolveDir(root.Checkout, dir); err != nil {
		return plan.Root{}, fmt.Errorf("find the stack's folder: %w", err)
	}
	return root, nil
}
