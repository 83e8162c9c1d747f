package lifecycle

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// touched reports whether a file of the stack differs between the arriving tree and its base, or the
// tree of which an apply to its staging was last begun. What cannot be compared is touched.
func (l *Lifecycle) touched(ctx context.Context, a arrival, stack upgrade.Stack, base upgrade.Base) (bool, error) {
	last, begun, err := l.Store.LastApply(ctx, stack.Name, stack.Staging.Environment)
	if err != nil {
		return false, fmt.Errorf("read the last apply of %s: %w", stack.Name, err)
	}
	if base.Assumed || base.Tree == "" {
		return true, nil
	}
	from := []upgrade.Tree{base.Tree}
	if begun {
		from = append(from, last.Tree)
	}
	for _, tree := range from {
		if tree == a.tree {
			continue
		}
		paths, err := l.Git.Touched(ctx, a.project, tree, a.tree)
		if err != nil {
			if upgrade.Transient(err) {
				return false, fmt.Errorf("compare %s with %s: %w", tree.Short(), a.tree.Short(), err)
			}
			return true, nil
		}
		if anyOf(paths, stack) {
			return true, nil
		}
	}
	return false, nil
}

// anyOf reports whether a path belongs to the stack: under its folder, or matched by its globs;
// without globs the whole repository counts.
func anyOf(paths []string, stack upgrade.Stack) bool {
	if len(stack.Paths) == 0 {
		return len(paths) > 0
	}
	for _, p := range paths {
		if stack.Dir != "" && (p == stack.Dir || strings.HasPrefix(p, stack.Dir+"/")) {
			return true
		}
		for _, glob := range stack.Paths {
			if matches(glob, p) {
				return true
			}
		}
	}
	return false
}

// matches reports whether the glob matches the slash-separated path; ** stands for any number of
// folders, the other signs are path.Match's. A glob that cannot be read matches everything.
func matches(glob, name string) bool {
	return matchParts(strings.Split(glob, "/"), strings.Split(name, "/"))
}

func matchParts(globs, names []string) bool {
	for i, glob := range globs {
		if glob == "**" {
			for skip := i; skip <= len(names); skip++ {
				if matchParts(globs[i+1:], names[skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(names) {
			return false
		}
		if ok, err := path.Match(glob, names[i]); err == nil && !ok {
			return false
		}
	}
	return len(globs) == len(names)
}
