package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// bases returns the bases that have to be written: that of a stack which is seen for the first time, before
// anything arrives that would be taken for it; and those that GitLab's deployments give the lie to, since
// production has something else, whoever let it through.
func (l *Lifecycle) bases(ctx context.Context) ([]upgrade.Base, error) {
	var bases []upgrade.Base
	var problems []error
	for _, stack := range l.Stacks {
		base, moved, err := l.baseNow(ctx, stack)
		if err != nil {
			problems = append(problems, fmt.Errorf("look what production of %s has: %w", stack.Name, err))
		}
		if moved {
			bases = append(bases, base)
		}
	}
	return bases, errors.Join(problems...)
}

// asRead holds the writing of bases to their being as they were read: what a person says meanwhile stays.
func asRead(bases []upgrade.Base) upgrade.Given {
	given := upgrade.Given{Bases: map[upgrade.StackName]int64{}}
	for _, base := range bases {
		given.Bases[base.Stack] = base.Rev
	}
	return given
}

func (l *Lifecycle) baseNow(ctx context.Context, stack upgrade.Stack) (base upgrade.Base, moved bool, err error) {
	base, known, err := l.Store.Base(ctx, stack.Name)
	if err != nil {
		return base, false, err
	}
	project, err := l.Forge.Project(ctx, stack.Project)
	if err != nil {
		return base, false, err
	}
	if !known {
		base, err = l.assume(ctx, project, stack)
		return base, err == nil && base.Tree != "", err
	}
	if stack.Production.Environment == "" {
		return base, false, nil
	}
	deployments, err := l.Forge.Deployments(ctx, project.ID, stack.Production.Environment, 20)
	if err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeNotFound {
			return base, false, nil // nothing was ever deployed there
		}
		return base, false, err
	}
	at := slices.IndexFunc(deployments, func(d forge.Deployment) bool { return d.Status == "success" })
	if at < 0 || deployments[at].Commit == base.Commit || !deployments[at].UpdatedAt.After(base.At) {
		return base, false, nil
	}
	return l.deployedBase(ctx, project, stack, base, deployments[at])
}

// deployedBase returns the base that a deployment makes, and whether that is another one.
func (l *Lifecycle) deployedBase(ctx context.Context, project forge.Project, stack upgrade.Stack, base upgrade.Base, deployment forge.Deployment) (upgrade.Base, bool, error) {
	if err := l.Git.Ensure(ctx, project, deployment.Commit); err != nil {
		return base, false, err
	}
	tree, err := l.Git.Tree(ctx, project, deployment.Commit)
	if err != nil || tree == base.Tree {
		return base, false, err
	}
	if base.Since, err = l.since(ctx, stack, base, tree); err != nil {
		return base, false, err
	}
	base.Tree, base.Commit, base.Assumed, base.By, base.Reason, base.At = tree, deployment.Commit, false, "", "", deployment.UpdatedAt
	return base, true, nil
}

// since returns behind which apply the open change begins when production has a tree: the newest that left
// staging whole with it, else where it began before.
func (l *Lifecycle) since(ctx context.Context, stack upgrade.Stack, base upgrade.Base, tree upgrade.Tree) (int64, error) {
	applies, err := l.Store.AppliesSince(ctx, stack.Name, stack.Staging.Environment, 0)
	if err != nil {
		return 0, fmt.Errorf("read the applies of %s: %w", stack.Name, err)
	}
	for _, apply := range slices.Backward(applies) {
		if apply.OK && apply.Tree == tree {
			return apply.Seq, nil
		}
	}
	return base.Since, nil
}

// base returns what production of the stack has. When it is not known it is assumed, and the assumption is
// kept with the step.
func (l *Lifecycle) base(ctx context.Context, a arrival, stack upgrade.Stack, step *upgrade.Step) (upgrade.Base, error) {
	base, known, err := l.Store.Base(ctx, stack.Name)
	if err != nil || known {
		return base, err
	}
	base, err = l.assume(ctx, a.project, stack)
	if err == nil && base.Tree != "" {
		step.Bases = append(step.Bases, base)
	}
	return base, err
}

// assume says what production of a stack has as far as GitLab knows: the last successful deployment, else
// the production branch's head. Without either the tree is empty.
func (l *Lifecycle) assume(ctx context.Context, project forge.Project, stack upgrade.Stack) (upgrade.Base, error) {
	base := upgrade.Base{Stack: stack.Name, Assumed: true, At: l.Clock.Now()}
	if stack.Production.Environment != "" {
		deployments, err := l.Forge.Deployments(ctx, project.ID, stack.Production.Environment, 20)
		if err != nil && upgrade.CodeOf(err) != upgrade.CodeNotFound {
			return base, fmt.Errorf("read deployments to %s: %w", stack.Production.Environment, err)
		}
		for _, deployment := range deployments {
			if deployment.Status == "success" {
				base.Commit = deployment.Commit
				break
			}
		}
	}
	if base.Commit == "" {
		branch, err := l.Forge.Branch(ctx, project.ID, stack.Production.Branch)
		if err != nil && upgrade.CodeOf(err) == upgrade.CodeNotFound {
			return base, nil // no production branch yet: nothing to assume, so everything is touched
		}
		if err != nil {
			return base, fmt.Errorf("read branch %s: %w", stack.Production.Branch, err)
		}
		base.Commit = branch.Commit
	}
	if err := l.Git.Ensure(ctx, project, base.Commit); err != nil {
		return base, fmt.Errorf("fetch %s: %w", base.Commit.Short(), err)
	}
	var err error
	if base.Tree, err = l.Git.Tree(ctx, project, base.Commit); err != nil {
		return base, fmt.Errorf("read the tree of %s: %w", base.Commit.Short(), err)
	}
	return base, nil
}
