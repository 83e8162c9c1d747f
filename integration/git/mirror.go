package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// pinned is where commits are kept that a run needs, whatever becomes of the branches.
const pinned = "refs/upgradegate/"

// Fetch brings the project's mirror up to date: all branches and tags, moved or removed as they are
// there. Error: CodeUnavailable, CodeUnauthorized, CodeNotFound (no such repository).
func (g *Git) Fetch(ctx context.Context, project forge.Project) error {
	return g.locked(ctx, project, func(dir string) error {
		return g.fetch(ctx, project, dir, everything()...)
	})
}

// Ensure makes the commit available, by a fetch of branches, tags and the commit itself if it is
// missing, and keeps it even if no branch leads to it any more. A commit that was made available before
// costs neither a process nor a wait. Error: CodeNotFound when GitLab does not have it either;
// CodeUnavailable; CodeUnauthorized.
//
// That a commit can be had does not prove that a branch leads to it: GitLab gives out any commit by
// name. Ask IsAncestor.
func (g *Git) Ensure(ctx context.Context, project forge.Project, commit upgrade.Commit) error {
	return g.ensureIn(ctx, project, g.mirror(project), commit)
}

func (g *Git) ensureIn(ctx context.Context, project forge.Project, mirror string, commit upgrade.Commit) error {
	if _, err := upgrade.ParseCommit(string(commit)); err != nil {
		return err
	}
	if isPinned(mirror, commit) {
		return nil
	}
	return g.lockedIn(ctx, project, mirror, func(dir string) error {
		err := g.pin(ctx, dir, commit)
		if exitCode(err) <= 0 {
			return err
		}
		// It is not there. With a ref of its own: without one the commit is nobody's, and a gc would take it.
		err = g.fetch(ctx, project, dir, append(everything(), "+"+string(commit)+":"+pinned+string(commit))...)
		if upgrade.CodeOf(err) != upgrade.CodeNotFound {
			return err
		}
		// A GitLab that gives out no commit by name may have it on a branch all the same.
		if errAll := g.fetch(ctx, project, dir, everything()...); errAll != nil {
			return errAll
		}
		if g.pin(ctx, dir, commit) == nil {
			return nil
		}
		return err
	})
}

// everything is what a mirror mirrors.
func everything() []string {
	return []string{"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"}
}

// pin keeps a commit that the mirror has. A *failed: it has no such commit.
func (g *Git) pin(ctx context.Context, dir string, commit upgrade.Commit) error {
	_, err := g.run(ctx, command{dir: dir, args: []string{"update-ref", pinned + string(commit), string(commit) + "^{commit}"}})
	if err != nil {
		return fmt.Errorf("keep commit %s: %w", commit.Short(), err)
	}
	return nil
}

// isPinned reports whether the mirror surely has and keeps a commit, without asking git: false if that
// keeps its refs elsewhere than in files of their own.
func isPinned(mirror string, commit upgrade.Commit) bool {
	text, err := os.ReadFile(filepath.Join(mirror, filepath.FromSlash(pinned), string(commit))) //nolint:gosec // a path of ours, with the name of a commit
	return err == nil && strings.TrimSuffix(string(text), "\n") == string(commit)
}

func (g *Git) fetch(ctx context.Context, project forge.Project, dir string, refspecs ...string) error {
	address, err := g.address(project)
	if err != nil {
		return err
	}
	args := []string{
		"fetch", "--quiet", "--force", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance", "--no-write-fetch-head",
	}
	// What is gone there goes here; --prune looks at nothing but what the refspecs name.
	args = append(args, "--prune", "--", address.String())
	_, err = g.run(ctx, command{dir: dir, address: address, limit: g.cfg.Limit, args: append(args, refspecs...)})
	if err != nil {
		return fmt.Errorf("fetch %s: %w", project.Path, remote(err))
	}
	return nil
}

// has reports whether the mirror has an object.
func (g *Git) has(ctx context.Context, dir, object string) (bool, error) {
	_, err := g.run(ctx, command{dir: dir, args: []string{"cat-file", "-e", object}})
	switch {
	case err == nil:
		return true, nil
	case exitCode(err) > 0:
		return false, nil
	}
	return false, fmt.Errorf("look for %s: %w", object, err)
}

// locked calls f with the project's mirror, made if need be, while nobody else changes it.
func (g *Git) locked(ctx context.Context, project forge.Project, f func(dir string) error) error {
	return g.lockedIn(ctx, project, g.mirror(project), f)
}

func (g *Git) lockedIn(ctx context.Context, project forge.Project, dir string, f func(dir string) error) error {
	unlock, err := g.lock(ctx, dir)
	if err != nil {
		return fmt.Errorf("wait for the mirror of %s: %w", project.Path, err)
	}
	defer unlock()
	if err := g.prepare(ctx, dir); err != nil {
		return fmt.Errorf("make the mirror of %s: %w", project.Path, err)
	}
	return f(dir)
}

// attributes make a checkout give back the very bytes of each blob, whatever .gitattributes says about
// line ends, keywords, filters or encodings.
const attributes = "* -text -eol -ident -filter -working-tree-encoding\n"

// prepare makes an empty mirror, whole or not at all.
func (g *Git) prepare(ctx context.Context, dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	tmp, err := os.MkdirTemp(g.cfg.Dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if _, err := g.run(ctx, command{args: []string{"init", "--quiet", "--bare", "--template=", tmp}}); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(tmp, "info"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "info", "attributes"), []byte(attributes), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// lock takes turns with other goroutines, then with other processes.
func (g *Git) lock(ctx context.Context, dir string) (unlock func(), err error) {
	g.mu.Lock()
	turn, ok := g.turns[dir]
	if !ok {
		turn = make(chan struct{}, 1)
		g.turns[dir] = turn
	}
	g.mu.Unlock()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	file, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // a path of ours
	if err != nil {
		<-turn
		return nil, err
	}
	release := func() {
		_ = file.Close() // which lets go of the lock
		<-turn
	}
	ticker := time.NewTicker(50 * time.Millisecond) // real time: it waits for another process
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return release, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			release()
			return nil, err
		}
		select {
		case <-ctx.Done():
			release()
			return nil, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
