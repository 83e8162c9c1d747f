package git_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/integration/git"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// checkedOut checks a commit out and returns the folder.
func (g *gitlab) checkedOut(commit upgrade.Commit) string {
	g.Helper()
	g.ensure(commit)
	dir := filepath.Join(g.TempDir(), "checkout")
	if err := g.git.Checkout(g.Context(), g.project, g.tree(commit), dir); err != nil {
		g.Fatal(err)
	}
	return dir
}

func TestCheckoutIsByteExact(t *testing.T) {
	g := newGitlab(t)
	g.commit(g.work,
		".gitattributes", "secret.txt export-ignore\nid.txt ident export-subst\n*.crlf text eol=crlf\n*.u16 text working-tree-encoding=UTF-16\n*.bin filter=lfs\n",
		".gitignore", "ignored\n", "ignored", "here\n",
		"secret.txt", "kept\n", "id.txt", "$Id$ $Format:%H$\n", "dos.crlf", "a\nb\n", "x.bin", "pointer\n", "ünï \"quoted\"\tname", "x", "deep/er/file", "y")
	if err := os.Chmod(filepath.Join(g.work, "secret.txt"), 0o755); err != nil {
		t.Fatal(err)
	}
	commit := g.commit(g.work)
	dir := g.checkedOut(commit)
	for name, want := range map[string]string{
		"secret.txt": "kept\n", "id.txt": "$Id$ $Format:%H$\n", "dos.crlf": "a\nb\n", "ignored": "here\n", "x.bin": "pointer\n",
		"ünï \"quoted\"\tname": "x", "deep/er/file": "y",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want || err != nil {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "secret.txt")); err != nil || info.Mode()&0o100 == 0 {
		t.Errorf("not executable: %v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
		t.Error("there is a .git")
	}
	err := g.git.Checkout(t.Context(), g.project, g.tree(commit), dir)
	wantCode(t, err, upgrade.CodeInvalid, "is not empty")
}

func TestCheckoutOfLinks(t *testing.T) {
	g := newGitlab(t)
	for name, target := range map[string]string{"passwd": "/etc/passwd", "up": "../../..", "stacks": "../outside"} {
		if err := os.Symlink(target, filepath.Join(g.work, name)); err != nil {
			t.Fatal(err)
		}
	}
	dir := g.checkedOut(g.commit(g.work, "main.tf", "x"))
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !d.Type().IsRegular() {
			t.Errorf("%s is a %s", path, d.Type())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = git.ResolveDir(dir, "stacks")
	wantCode(t, err, upgrade.CodeInvalid, `"stacks" is a file or a link`)
	_, err = git.ResolveDir(dir, "stacks/ecs")
	wantCode(t, err, upgrade.CodeInvalid, "a file or a link")
}

func TestResolveDir(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"stacks/ecs", "stacks/empty", "stacks/folder.tf"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"main.tf", "stacks/ecs/main.tf.json", "stacks/empty/README.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, dir, want, err string }{
		{"top", "", "", ""},
		{"dot", ".", "", ""},
		{"below", "stacks/ecs", "stacks/ecs", ""},
		{"slash", "stacks/ecs/", "stacks/ecs", ""},
		{"missing", "stacks/rds", "", `no folder "stacks/rds"`},
		{"empty", "stacks/empty", "", "no Terraform configuration"},
		{"only_a_folder", "stacks", "", "no Terraform configuration"},
		{"file", "main.tf", "", "a file or a link"},
		{"link", "link", "", "a file or a link"},
		{"through_link", "link/ssl", "", "a file or a link"},
		{"above", "../x", "", "leads out"},
		{"absolute", "/etc", "", "leads out"},
		{"sneaky", "stacks/../../x", "", "leads out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := git.ResolveDir(dir, tt.dir)
			if tt.err != "" {
				wantCode(t, err, upgrade.CodeInvalid, tt.err)
				return
			}
			if want := filepath.Join(dir, tt.want); got != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
}

func TestSubmodules(t *testing.T) {
	g := newGitlab(t)
	modules := g.repository("group/modules")
	inner := g.commit(modules, "vpc/main.tf", "inner\n")
	link := func(commit upgrade.Commit, address string) upgrade.Commit {
		g.command(g.work, "rm", "-q", "--cached", "--ignore-unmatch", "modules")
		if err := os.WriteFile(filepath.Join(g.work, ".gitmodules"),
			[]byte("[submodule \"m\"]\n\tpath = modules\n\turl = "+address+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		g.command(g.work, "add", ".gitmodules")
		g.command(g.work, "update-index", "--add", "--cacheinfo", "160000,"+string(commit)+",modules")
		g.command(g.work, "commit", "-q", "-m", "submodule")
		g.command(g.work, "push", "-q", "--force", "origin", "HEAD")
		return upgrade.Commit(g.command(g.work, "rev-parse", "HEAD"))
	}
	g.commit(g.work, "main.tf", "x")
	host := strings.TrimPrefix(g.URL, "http://")
	name, _, _ := strings.Cut(host, ":")
	for _, address := range []string{"../modules.git", g.URL + "/group/modules.git", "git@" + name + ":group/modules.git", "ssh://git@" + name + ":2222/group/modules.git"} {
		dir := g.checkedOut(link(inner, address))
		if got, err := os.ReadFile(filepath.Join(dir, "modules", "vpc", "main.tf")); string(got) != "inner\n" || err != nil {
			t.Errorf("%s: got %q, %v", address, got, err)
		}
	}
	for _, tt := range []struct {
		name, address string
		commit        upgrade.Commit
		code          upgrade.Code
		want          string
	}{
		{"other_host", "https://github.com/x/y.git", inner, upgrade.CodeInvalid, "not of the same GitLab"},
		{"local_file", "file:///etc", inner, upgrade.CodeInvalid, "not of the same GitLab"},
		{"command", "ext::sh -c true", inner, upgrade.CodeInvalid, "not of the same GitLab"},
		{"no_address", "", inner, upgrade.CodeInvalid, "is not in .gitmodules"},
		{"no_commit", "../modules.git", upgrade.Commit(strings.Repeat("2", 40)), upgrade.CodeNotFound, "does not have this commit"},
		{"no_repository", "../gone.git", inner, upgrade.CodeNotFound, "no such repository"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			commit := link(tt.commit, tt.address)
			g.ensure(commit)
			err := g.git.Checkout(t.Context(), g.project, g.tree(commit), filepath.Join(t.TempDir(), "c"))
			wantCode(t, err, tt.code, tt.want)
		})
	}
	local := forge.Project{ID: 9, Path: "local", GitURL: "file://" + filepath.Join(g.root, "group", "stack.git")}
	if err := g.git.Fetch(t.Context(), local); err != nil {
		t.Errorf("fetch from a folder: %v", err)
	}
}
