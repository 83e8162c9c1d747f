package states

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// planDeadline is how long a plan may take, from the moment at which it is its turn.
const planDeadline = 30 * time.Minute

// errSlowPlan is why a plan was given up.
var errSlowPlan = &upgrade.Error{
	Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("it was not planned within %s", planDeadline),
	Hint: "see whether providers answer, and whether they can be reached from here",
}

// Plan makes a plan of a stack's own state with the configuration that is there: in staging the one that was
// applied last, in production the one that was deployed. It takes no lock, so that it never holds up a
// deployment, and nothing applies it. Error: CodeNotFound for a state that is not known or is no stack's;
// CodeConflict while the last apply is not whole, for then there is nothing that staging should be like.
func (s *States) Plan(ctx context.Context, name upgrade.StateName) (plan.Summary, error) {
	if err := s.begin(ctx); err != nil {
		return plan.Summary{}, err
	}
	src := s.sources[name]
	if src == nil || src.foreign != nil {
		return plan.Summary{}, &upgrade.Error{
			Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no state %s of a stack that could be planned", name),
			Hint: "a production needs workspace or backend_config for that",
		}
	}
	for _, turn := range []chan struct{}{src.planning, s.places} {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return plan.Summary{}, context.Cause(ctx)
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, planDeadline, errSlowPlan)
	defer cancel()
	summary, err := s.plan(limited, src)
	if err != nil && limited.Err() != nil {
		err = context.Cause(limited)
	}
	return summary, err
}

func (s *States) plan(ctx context.Context, src *source) (plan.Summary, error) {
	root, err := s.planned(ctx, src)
	if err != nil {
		return plan.Summary{}, err
	}
	made, err := s.Terraform.Plan(ctx, root, io.Discard)
	if err != nil {
		// Where it works may be what is wrong.
		return plan.Summary{}, errors.Join(err, os.RemoveAll(filepath.Join(src.dir, "drift")))
	}
	summary, err := s.Terraform.Show(ctx, root, made)
	return summary, errors.Join(err, os.Remove(made.File))
}

// planned makes the source's folder for plans hold an initialised root module, unless it does.
func (s *States) planned(ctx context.Context, src *source) (plan.Root, error) {
	project, tree, err := s.asDeployed(ctx, src)
	if err != nil {
		return plan.Root{}, err
	}
	work := filepath.Join(src.dir, "drift")
	root := plan.Root{
		Checkout: filepath.Join(work, "checkout"), Data: work, Unlocked: true, Workspace: src.site.Workspace,
		VarFiles: src.site.VarFiles, BackendConfig: src.site.BackendConfig, Env: src.site.Env,
	}
	was, err := os.ReadFile(filepath.Join(src.dir, "drift", readyFile))
	held := err == nil && string(was) == string(tree)
	if !held {
		if err := errors.Join(os.RemoveAll(work), os.MkdirAll(root.Checkout, 0o750)); err != nil {
			return plan.Root{}, fmt.Errorf("make the folder of a plan: %w", err)
		}
		if err := s.Git.Checkout(ctx, project, tree, root.Checkout); err != nil {
			return plan.Root{}, fmt.Errorf("check out %s: %w", tree.Short(), err)
		}
	}
	if root.Dir, err = s.Git.ResolveDir(root.Checkout, src.stack.Dir); err != nil {
		return plan.Root{}, fmt.Errorf("find the stack's folder: %w", err)
	}
	if held {
		return root, nil
	}
	if err := s.Terraform.Init(ctx, root, io.Discard); err != nil {
		return plan.Root{}, fmt.Errorf("initialise: %w", err)
	}
	if err := os.WriteFile(filepath.Join(work, readyFile), []byte(tree), 0o600); err != nil {
		return plan.Root{}, fmt.Errorf("end the checkout: %w", err)
	}
	return root, nil
}

// asDeployed returns the content that the source's environment should be like.
func (s *States) asDeployed(ctx context.Context, src *source) (forge.Project, upgrade.Tree, error) {
	if !src.production {
		last, begun, err := s.Store.LastApply(ctx, src.stack.Name, src.site.Environment)
		if err != nil {
			return forge.Project{}, "", fmt.Errorf("read the last apply of %s: %w", src.stack.Name, err)
		}
		if begun && (!last.Ended() || !last.OK) {
			return forge.Project{}, "", &upgrade.Error{
				Code: upgrade.CodeConflict, Msg: fmt.Sprintf("run %d has not applied %s whole", last.Run, src.stack.Name),
				Hint: "wait for its end, or have it apply again",
			}
		}
		return s.content(ctx, src)
	}
	base, known, err := s.Store.Base(ctx, src.stack.Name)
	if err != nil {
		return forge.Project{}, "", fmt.Errorf("read the base of %s: %w", src.stack.Name, err)
	}
	if !known || base.Assumed {
		return s.content(ctx, src)
	}
	project, err := s.Forge.Project(ctx, src.stack.Project)
	if err != nil {
		return project, "", fmt.Errorf("read project %s: %w", src.stack.Project, err)
	}
	tree, has, err := s.holds(ctx, project, src.stack, place{commit: base.Commit, tree: base.Tree})
	if err == nil && !has {
		err = &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("what production has of %s, %s, has no folder %q", src.stack.Project, base.Commit.Short(), src.stack.Dir),
			Hint: "the stack is new since: it can be planned once it is deployed",
		}
	}
	return project, tree, err
}
