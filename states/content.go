package states

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// place is a content in which a stack may be.
type place struct {
	commit upgrade.Commit // empty: there is none
	tree   upgrade.Tree   // empty: the commit's own
	bare   string         // branch that is passed over because anybody may push to it
}

// content returns the tree whose configuration says where the state of a stack is: for production that of
// its branch, for staging the one that was applied last. Where the stack is not in it, such as before its
// first merge, the others are looked at. Terraform is given the environment's variables there, so nothing
// is taken that was neither reviewed nor applied (S13).
func (s *States) content(ctx context.Context, src *source) (forge.Project, upgrade.Tree, error) {
	project, err := s.Forge.Project(ctx, src.stack.Project)
	if err != nil {
		return project, "", fmt.Errorf("read project %s: %w", src.stack.Project, err)
	}
	staging, production := s.head(src.stack.Trigger.Push), s.head(src.stack.Production.Branch)
	looks := []look{s.applied, staging, production}
	if src.production {
		looks = []look{production, s.applied, staging}
	}
	bare := ""
	for _, look := range looks {
		at, err := look(ctx, project, src.stack)
		if err != nil {
			return project, "", err
		}
		if at.bare != "" {
			bare = at.bare
		}
		if at.commit == "" {
			continue
		}
		tree, has, err := s.holds(ctx, project, src.stack, at)
		if has || err != nil {
			return project, tree, err
		}
	}
	if bare != "" {
		return project, "", &upgrade.Error{
			Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("branch %s of %s is not protected, so what is on it is not used to read a state", bare, src.stack.Project),
			Hint: "protect the branch in GitLab",
		}
	}
	return project, "", &upgrade.Error{
		Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("neither branch of %s has the folder %q of stack %s", src.stack.Project, src.stack.Dir, src.stack.Name),
		Hint: "merge it, or take the stack out of the configuration until it is",
	}
}

// look finds a place in which a stack may be.
type look func(ctx context.Context, project forge.Project, stack upgrade.Stack) (place, error)

// applied finds what was applied last to staging.
func (s *States) applied(ctx context.Context, _ forge.Project, stack upgrade.Stack) (place, error) {
	last, begun, err := s.Store.LastApply(ctx, stack.Name, stack.Staging.Environment)
	if err != nil || !begun {
		return place{}, err
	}
	run, err := s.Store.Run(ctx, last.Run)
	if err != nil {
		return place{}, fmt.Errorf("read run %d: %w", last.Run, err)
	}
	return place{commit: run.Commit, tree: run.Tree}, nil
}

// head finds the head of a branch.
func (s *States) head(branch string) look {
	return func(ctx context.Context, project forge.Project, _ upgrade.Stack) (place, error) {
		if branch == "" {
			return place{}, nil
		}
		head, err := s.Forge.Branch(ctx, project.ID, branch)
		switch {
		case err != nil && upgrade.CodeOf(err) == upgrade.CodeNotFound:
			return place{}, nil
		case err != nil:
			return place{}, fmt.Errorf("read branch %s: %w", branch, err)
		case !head.Protected:
			return place{bare: branch}, nil
		}
		return place{commit: head.Commit}, nil
	}
}

// holds makes the content of a place available, and reports whether the stack is in it.
func (s *States) holds(ctx context.Context, project forge.Project, stack upgrade.Stack, at place) (upgrade.Tree, bool, error) {
	if err := s.Git.Ensure(ctx, project, at.commit); err != nil {
		return "", false, fmt.Errorf("fetch %s: %w", at.commit.Short(), err)
	}
	tree := at.tree
	if tree == "" {
		var err error
		if tree, err = s.Git.Tree(ctx, project, at.commit); err != nil {
			return "", false, fmt.Errorf("read the tree of %s: %w", at.commit.Short(), err)
		}
	}
	has, err := s.Git.HasDir(ctx, project, tree, stack.Dir)
	if err != nil {
		return "", false, fmt.Errorf("look for the stack's folder: %w", err)
	}
	return tree, has, nil
}
