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
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

var objectName = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// The kinds of objects that are asked for.
const (
	kindCommit = "commit"
	kindTree   = "tree"
)

// names are the objects that a command is about, all of one kind.
func names[Name ~string](kind string, objects ...Name) objectNames {
	n := objectNames{kind: kind}
	for _, object := range objects {
		n.all = append(n.all, string(object))
	}
	return n
}

type objectNames struct {
	kind string
	all  []string
}

// check refuses what is no full name: that could be an option or an expression.
func (n objectNames) check() error {
	for _, name := range n.all {
		if !objectName.MatchString(name) {
			return &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q is not the name of a %s", name, n.kind), Hint: "give the full hexadecimal name",
			}
		}
	}
	return nil
}

// missing returns CodeNotFound if the mirror lacks an object. It is asked after a command has failed, to
// say why, and not before each: processes of git are what a run waits for.
func (g *Git) missing(ctx context.Context, project forge.Project, about objectNames) error {
	mirror := g.mirror(project)
	_, errMirror := os.Stat(mirror)
	if errMirror != nil && !errors.Is(errMirror, fs.ErrNotExist) {
		return errMirror
	}
	for _, name := range about.all {
		if _, known := g.trees.get(treeKey{project.ID, upgrade.Commit(name)}); known && errMirror == nil {
			continue
		}
		if errMirror == nil {
			has, err := g.has(ctx, mirror, name+"^{"+about.kind+"}")
			if err != nil {
				return err
			}
			if has {
				continue
			}
		}
		return &upgrade.Error{
			Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("the mirror of %s has no %s %s", project.Path, about.kind, name[:7]), Hint: "fetch it first",
		}
	}
	return nil
}

// read runs a command on the project's mirror. about are the objects in its arguments: when it fails and
// one of them is missing, the error is CodeNotFound. An exit code of 1 is an answer.
func (g *Git) read(ctx context.Context, project forge.Project, about objectNames, args ...string) (string, error) {
	if err := about.check(); err != nil {
		return "", err
	}
	out, err := g.run(ctx, command{dir: g.mirror(project), args: args})
	if exitCode(err) > 1 {
		if errMissing := g.missing(ctx, project, about); errMissing != nil {
			return "", errMissing
		}
	}
	return strings.TrimRight(string(out), "\n"), err
}

// Tree returns the tree of a commit. Error: CodeNotFound when the mirror does not have the commit.
func (g *Git) Tree(ctx context.Context, project forge.Project, commit upgrade.Commit) (upgrade.Tree, error) {
	key := treeKey{project.ID, commit}
	if tree, ok := g.trees.get(key); ok {
		return tree, nil
	}
	// Without --quiet, which makes what is missing a code of 1.
	tree, err := g.read(ctx, project, names(kindCommit, commit), "rev-parse", "--verify", "--end-of-options", string(commit)+"^{commit}^{tree}")
	if err != nil {
		return "", fmt.Errorf("find the tree of %s: %w", commit.Short(), err)
	}
	g.trees.put(key, upgrade.Tree(tree))
	return upgrade.Tree(tree), nil
}

// treeKey is a commit of a project.
type treeKey struct {
	project int64
	commit  upgrade.Commit
}

// treeCache keeps the trees of commits, which never change.
type treeCache struct {
	mu  sync.Mutex // guards all
	all map[treeKey]upgrade.Tree
}

// mostTrees is how many of them are kept; a handful belongs to each open merge request.
const mostTrees = 4096

func (c *treeCache) get(key treeKey) (upgrade.Tree, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tree, ok := c.all[key]
	return tree, ok
}

func (c *treeCache) put(key treeKey, tree upgrade.Tree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil || len(c.all) >= mostTrees {
		c.all = map[treeKey]upgrade.Tree{}
	}
	c.all[key] = tree
}

// MergeTree returns the tree that merging head into target gives, as `git merge` with its defaults
// would; conflict reports that it cannot be merged, then there is no tree. The tree is kept in the
// mirror. Error: CodeNotFound when the mirror lacks a commit.
func (g *Git) MergeTree(ctx context.Context, project forge.Project, target, head upgrade.Commit) (tree upgrade.Tree, conflict bool, err error) {
	about := names(kindCommit, target, head)
	out, err := g.read(ctx, project, about, "merge-tree", "--write-tree", "--no-messages", string(target), string(head))
	first, _, _ := strings.Cut(out, "\n")
	switch {
	case err == nil && objectName.MatchString(first):
		return upgrade.Tree(first), false, nil
	case exitCode(err) == 1 && objectName.MatchString(first): // a conflict has a tree too
		return "", true, nil
	case exitCode(err) == 1: // so does what cannot be read end
		err = errors.Join(g.missing(ctx, project, about), err)
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
	out, err := g.read(ctx, project, names(kindCommit, commit), "show", "--no-patch", "--no-notes", "--encoding=UTF-8",
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
	name, err := g.read(ctx, project, names(kindCommit, commit), "describe", "--tags", "--abbrev=7", string(commit))
	switch {
	case err == nil:
		return name, nil
	case exitCode(err) > 0: // it is there, and no tag leads to it
		return commit.Short(), nil
	}
	return "", fmt.Errorf("describe %s: %w", commit.Short(), err)
}

// Touched returns the paths that differ between two trees, slash-separated and sorted; a renamed file
// is under its old and its new name. Error: CodeNotFound when the mirror lacks a tree.
func (g *Git) Touched(ctx context.Context, project forge.Project, from, to upgrade.Tree) ([]string, error) {
	out, err := g.read(ctx, project, names(kindTree, from, to), "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--ignore-submodules=none",
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
	_, err := g.read(ctx, project, names(kindCommit, ancestor, commit), "merge-base", "--is-ancestor", string(ancestor), string(commit))
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
	args := []string{"ls-tree", "-t", "-z", "--full-tree", string(tree), "--"}
	for end := range len(dir) + 1 { // every folder on the way, since a submodule has no entries here
		if end == len(dir) || dir[end] == '/' {
			args = append(args, dir[:end])
		}
	}
	out, err := g.read(ctx, project, names(kindTree, tree), args...)
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
