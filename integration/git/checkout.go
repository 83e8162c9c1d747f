package git

import (
	"context"
	"crypto/sha1" //nolint:gosec // it is how git names objects; a collision is git's own concern
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// entry is a file of a tree.
type entry struct {
	mode, object, path string
}

// The modes of entries of a tree.
const (
	modeExecutable = "100755"
	modeLink       = "120000"
	modeSubmodule  = "160000"
	modeFolder     = "040000"
)

// Checkout writes the files of a tree, which needs no commit, into dir, made if need be, which must be
// empty; then it hashes every file and compares with the tree. Files are the very bytes of the
// repository: no line ends, keywords or filters are applied and nothing is left out. A symbolic link
// becomes a small file that holds its target, so that nothing leads out of dir.
//
// Error: CodeNotFound when the mirror does not have the tree; CodeInvalid when dir is not empty or the
// tree has a submodule that cannot be had.
func (g *Git) Checkout(ctx context.Context, project forge.Project, tree upgrade.Tree, dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("check out into %q: not an absolute path", dir)
	}
	if err := names(kindTree, tree).check(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the checkout: %w", err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		return errors.Join(err, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the folder to check out into is not empty"})
	}
	err := g.checkout(ctx, g.mirror(project), tree, dir, submodules{git: g, project: project})
	if exitCode(err) > 0 {
		if errMissing := g.missing(ctx, project, names(kindTree, tree)); errMissing != nil {
			return errMissing
		}
	}
	return err
}

func (g *Git) checkout(ctx context.Context, mirror string, tree upgrade.Tree, dir string, subs submodules) error {
	var entries []entry
	var errList error
	var group sync.WaitGroup
	group.Go(func() { entries, errList = g.entries(ctx, mirror, tree) })
	errWrite := g.writeFiles(ctx, mirror, tree, dir)
	group.Wait()
	if errList != nil {
		return errList
	}
	if links := countLinks(entries); links > 0 {
		g.cfg.Log.WarnContext(ctx, "symbolic links are checked out as small files", "project", subs.project.Path, "tree", string(tree), "links", links)
	}
	if errWrite != nil {
		return fmt.Errorf("check out %s: %w", tree.Short(), errWrite)
	}
	if err := verify(dir, entries); err != nil {
		return fmt.Errorf("check %s after its checkout: %w", tree.Short(), err)
	}
	return subs.checkout(ctx, mirror, tree, dir, entries)
}

func countLinks(entries []entry) int {
	n := 0
	for _, e := range entries {
		if e.mode == modeLink {
			n++
		}
	}
	return n
}

// entries lists the files of a tree.
func (g *Git) entries(ctx context.Context, mirror string, tree upgrade.Tree) ([]entry, error) {
	out, err := g.run(ctx, command{dir: mirror, args: []string{"ls-tree", "-r", "-z", "--full-tree", string(tree)}})
	if err != nil {
		return nil, fmt.Errorf("list tree %s: %w", tree.Short(), err)
	}
	var entries []entry
	for _, line := range splitZero(string(out)) {
		facts, name, ok := strings.Cut(line, "\t")
		fields := strings.Fields(facts)
		if !ok || len(fields) != 3 {
			return nil, fmt.Errorf("list tree %s: git printed %.60q", tree.Short(), line)
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name {
			return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the repository has a file with the name %q", name)}
		}
		entries = append(entries, entry{mode: fields[0], object: fields[2], path: name})
	}
	return entries, nil
}

// writeFiles uses an index of its own, outside the checkout, and neither `git archive`, which leaves
// out and rewrites what .gitattributes names, nor `git worktree`, which leaves a .git file.
func (g *Git) writeFiles(ctx context.Context, mirror string, tree upgrade.Tree, dir string) error {
	tmp, err := os.MkdirTemp(g.cfg.Dir, ".index-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(tmp, "index"), "GIT_WORK_TREE=" + dir}
	_, err = g.run(ctx, command{dir: mirror, cwd: dir, env: env, limit: 5 * localLimit, args: []string{
		"-c", "core.symlinks=false", "-c", "core.autocrlf=false", "-c", "core.fileMode=true", "-c", "core.protectHFS=true",
		"-c", "core.protectNTFS=true", "read-tree", "--reset", "-u", "--no-recurse-submodules", string(tree),
	}})
	return err
}

// verify compares dir with the files of a tree: content, kind, executable bit, and that nothing else is
// there. Together with the tree's own hash, which git checks as it reads, that proves the checkout.
func verify(dir string, entries []entry) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	known := map[string]bool{}
	for _, e := range entries {
		known[e.path] = true
		if e.mode == modeSubmodule {
			continue
		}
		if err := verifyFile(root, e); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
	}
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !known[name] {
			return fmt.Errorf("%s is not in the tree", name)
		}
		return err
	})
}

func verifyFile(root *os.Root, e entry) error {
	info, err := root.Lstat(e.path)
	if err != nil {
		return err
	}
	executable := info.Mode()&0o100 != 0
	if !info.Mode().IsRegular() || executable != (e.mode == modeExecutable) {
		return fmt.Errorf("its mode is %s, want that of %s", info.Mode(), e.mode)
	}
	file, err := root.Open(e.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	sum := newHash(len(e.object))
	_, _ = fmt.Fprintf(sum, "blob %d\x00", info.Size())
	if _, err := io.Copy(sum, file); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != e.object {
		return fmt.Errorf("its content is %s, want %s", got, e.object)
	}
	return nil
}

func newHash(digits int) hash.Hash {
	if digits == 2*sha256.Size {
		return sha256.New()
	}
	return sha1.New() //nolint:gosec // see the import
}

// ResolveDir is the function of that name, as a method for callers that hold an interface.
func (g *Git) ResolveDir(checkout, dir string) (string, error) { return ResolveDir(checkout, dir) }

// ResolveDir returns the absolute path of a stack's folder (slash-separated, "" for the top) in a
// checkout. Error: CodeInvalid when it is missing, is a file or a link, leads out of the checkout, or
// has no Terraform configuration in it.
func ResolveDir(checkout, dir string) (string, error) {
	shown := dir
	if shown == "" || shown == "." {
		shown, dir = "the top of the repository", "."
	}
	if !filepath.IsLocal(filepath.FromSlash(dir)) {
		return "", badDir("%q leads out of the repository", dir)
	}
	at := checkout
	for part := range strings.SplitSeq(path.Clean(dir), "/") {
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", badDir("the commit has no folder %q", dir)
		case err != nil:
			return "", fmt.Errorf("look for the stack's folder: %w", err)
		case !info.IsDir():
			return "", badDir("%q is a file or a link in the repository, not a folder", dir)
		}
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return "", fmt.Errorf("read the stack's folder: %w", err)
	}
	for _, e := range entries {
		for _, suffix := range []string{".tf", ".tf.json", ".tofu", ".tofu.json"} {
			if e.Type().IsRegular() && strings.HasSuffix(e.Name(), suffix) {
				return at, nil
			}
		}
	}
	return "", badDir("%s has no Terraform configuration in it", shown)
}

func badDir(format string, args ...any) error {
	return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf(format, args...), Hint: "correct the stack's dir in the configuration, or the commit"}
}
