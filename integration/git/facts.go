package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

var objectName = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// object checks that a commit or tree is a full name, so that it can be no option and no expression,
// and that the mirror has it.
func (g *Git) object(ctx context.Context, project forge.Project, name, kind string) error {
	if !objectName.MatchString(name) {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q is not the name of a %s", name, kind), Hint: "give the full hexadecimal name"}
	}
	var has bool
	_, err := os.Stat(g.mirror(project))
	if err == nil {
		has, err = g.has(ctx, g.mirror(project), name+"^{"+kind+"}")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !has {
		return &upgrade.Error{
			Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("the mirror of %s has no %s %s", project.Path, kind, name[:7]), Hint: "fetch it first",
		}
	}
	return nil
}

// read runs a command on the project's mirror.
func (g *Git) read(ctx context.Context, project forge.Project, args ...string) (string, error) {
	out, err := g.run(ctx, command{dir: g.mirror(project), args: args})
	return strings.TrimRight(string(out), "\n"), err
}

// Tree returns the tree of a commit. Error: CodeNotFound when the mirror does not have the commit.
func (g *Git) Tree(ctx context.Context, project forge.Project, commit upgrade.Commit) (upgrade.Tree, error) {
	if err := g.object(ctx, project, string(commit), "commit"); err != nil {
		return "", err
	}
	tree, err := g.read(ctx, project, "rev-parse", "--verify", "--quiet", "--end-of-options", string(commit)+"^{tree}")
	if err != nil {
		return "", fmt.Errorf("find the tree of %s: %w", commit.Short(), err)
	}
	return upgrade.Tree(tree), nil
}

// MergeTree returns the tree that merging head into target gives, as `git merge` with its defaults
// would; conflict reports that it cannot be merged, then there is no tree. The tree is kept in the
// mirror. Error: CodeNotFound when the mirror lacks a commit.
func (g *Git) MergeTree(ctx context.Context, project forge.Project, target, head upgrade.Commit) (tree upgrade.Tree, conflict bool, err error) {
	for _, commit := range []upgrade.Commit{target, head} {
		if err := g.object(ctx, project, string(commit), "commit"); err != nil {
			return "", false, err
		}
	}
	out, err := g.read(ctx, project, "merge-tree", "--write-tree", "--no-messages", string(target), string(head))
	first, _, _ := strings.Cut(out, "\n")
	switch {
	case err == nil && objectName.MatchString(first):
		return upgrade.Tree(first), false, nil
	case exitCode(err) == 1: // anything else is not a conflict
		return "", true, nil
	case err == nil:
		return "", false, fmt.Errorf("merge %s into %s: git printed %.60q", head.Short(), target.Short(), out)
	}
	return "", false, fmt.Errorf("merge %s into %s: %w", head.Short(), target.Short(), err)
}

// Facts is what a commit says about itself.
type Facts struct {
	Author      string
	AuthorMail  string
	Committer   string
	CommittedAt time.Time
	Title       string // first line of the message
	Parents     []upgrade.Commit
}

// Facts returns what a commit says about itself. Error: CodeNotFound when the mirror lacks it.
func (g *Git) Facts(ctx context.Context, project forge.Project, commit upgrade.Commit) (Facts, error) {
	if err := g.object(ctx, project, string(commit), "commit"); err != nil {
		return Facts{}, err
	}
	out, err := g.read(ctx, project, "show", "--no-patch", "--no-notes", "--encoding=UTF-8",
		"--format=%an%x00%ae%x00%cn%x00%cI%x00%P%x00%s", string(commit), "--")
	if err != nil {
		return Facts{}, fmt.Errorf("read commit %s: %w", commit.Short(), err)
	}
	parts := strings.SplitN(out, "\x00", 6)
	if len(parts) != 6 {
		return Facts{}, fmt.Errorf("read commit %s: git printed %d of 6 fields", commit.Short(), len(parts))
	}
	at, err := time.Parse(time.RFC3339, parts[3])
	if err != nil {
		return Facts{}, fmt.Errorf("read commit %s: %w", commit.Short(), err)
	}
	facts := Facts{Author: parts[0], AuthorMail: parts[1], Committer: parts[2], CommittedAt: at, Title: parts[5]}
	for parent := range strings.FieldsSeq(parts[4]) {
		facts.Parents = append(facts.Parents, upgrade.Commit(parent))
	}
	return facts, nil
}

// Describe returns the nearest tag of a commit, such as "v1.4.0" or "v1.4.0-3-g1a2b3c4", else its first
// seven digits. Error: CodeNotFound when the mirror lacks the commit.
func (g *Git) Describe(ctx context.Context, project forge.Project, commit upgrade.Commit) (string, error) {
	if err := g.object(ctx, project, string(commit), "commit"); err != nil {
		return "", err
	}
	name, err := g.read(ctx, project, "describe", "--tags", "--abbrev=7", string(commit))
	switch {
	case err == nil:
		return name, nil
	case exitCode(err) > 0: // no tag leads to it
		return commit.Short(), nil
	}
	return "", fmt.Errorf("describe %s: %w", commit.Short(), err)
}

// Touched returns the paths that differ between two trees, slash-separated and sorted; a renamed file
// is under its old and its new name. Error: CodeNotFound when the mirror lacks a tree.
func (g *Git) Touched(ctx context.Context, project forge.Project, from, to upgrade.Tree) ([]string, error) {
	for _, tree := range []upgrade.Tree{from, to} {
		if err := g.object(ctx, project, string(tree), "tree"); err != nil {
			return nil, err
		}
	}
	out, err := g.read(ctx, project, "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--ignore-submodules=none",
		string(from), string(to), "--")
	if err != nil {
		return nil, fmt.Errorf("compare trees %s and %s: %w", from.Short(), to.Short(), err)
	}
	return splitZero(out), nil
}

func splitZero(text string) []string {
	text = strings.TrimSuffix(text, "\x00")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x00")
}

// IsAncestor reports whether ancestor is commit or one of its ancestors. Error: CodeNotFound when the
// mirror lacks either.
func (g *Git) IsAncestor(ctx context.Context, project forge.Project, ancestor, commit upgrade.Commit) (bool, error) {
	for _, c := range []upgrade.Commit{ancestor, commit} {
		if err := g.object(ctx, project, string(c), "commit"); err != nil {
			return false, err
		}
	}
	_, err := g.read(ctx, project, "merge-base", "--is-ancestor", string(ancestor), string(commit))
	switch {
	case err == nil:
		return true, nil
	case exitCode(err) == 1:
		return false, nil
	}
	return false, fmt.Errorf("ask whether %s leads to %s: %w", commit.Short(), ancestor.Short(), err)
}

// HasDir reports whether a tree has that folder (slash-separated); "" is the top, which every tree has.
// Error: CodeNotFound when the mirror lacks the tree; CodeInvalid when dir leads out of it, or into a
// submodule: a mirror cannot tell what is in that.
func (g *Git) HasDir(ctx context.Context, project forge.Project, tree upgrade.Tree, dir string) (bool, error) {
	if dir == "" || dir == "." {
		return true, nil
	}
	if !filepath.IsLocal(filepath.FromSlash(dir)) {
		return false, badDir("%q leads out of the repository", dir)
	}
	dir = path.Clean(dir)
	if err := g.object(ctx, project, string(tree), "tree"); err != nil {
		return false, err
	}
	args := []string{"ls-tree", "-t", "-z", "--full-tree", string(tree), "--"}
	for end := range len(dir) + 1 { // every folder on the way, since a submodule has no entries here
		if end == len(dir) || dir[end] == '/' {
			args = append(args, dir[:end])
		}
	}
	out, err := g.read(ctx, project, args...)
	if err != nil {
		return false, fmt.Errorf("look for %s in tree %s: %w", dir, tree.Short(), err)
	}
	for _, line := range splitZero(out) {
		facts, name, _ := strings.Cut(line, "\t")
		switch mode, _, _ := strings.Cut(facts, " "); {
		case mode == modeSubmodule && (name == dir || strings.HasPrefix(dir, name+"/")):
			return false, badDir("%q is a submodule, and what is in that cannot be told", name)
		case mode == modeFolder && name == dir:
			return true, nil
		}
	}
	return false, nil
}
