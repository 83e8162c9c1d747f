package git_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/integration/git"
	"github.com/upgradegate/upgradegate/upgrade"
)

// wrapped is a client whose git writes down its first arguments that are no settings, and does body first.
func (g *gitlab) wrapped(body string) (client *git.Git, commands func() []string) {
	g.Helper()
	dir := g.TempDir()
	log := filepath.Join(dir, "log")
	script := "#!/bin/sh\n" + body + "\nfor a; do case $a in -c|*=*) ;; *) echo $a >> " + log + "; break;; esac; done\nexec git \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "git"), []byte(script), 0o755); err != nil {
		g.Fatal(err)
	}
	client = g.client(git.Config{Binary: filepath.Join(dir, "git")})
	return client, func() []string {
		g.Helper()
		raw, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			g.Fatal(err)
		}
		if err := os.WriteFile(log, nil, 0o600); err != nil {
			g.Fatal(err)
		}
		return strings.Fields(string(raw))
	}
}

// untagged makes a commit available that no tag leads to.
func (g *gitlab) untagged() upgrade.Commit {
	g.Helper()
	g.command(g.work, "checkout", "-q", "--orphan", "untagged")
	commit := g.commit(g.work, "a", "untagged")
	g.ensure(commit)
	g.command(g.work, "checkout", "-q", "main")
	return commit
}

// A run waits for each process of git: none is started for what is known.
func TestProcesses(t *testing.T) {
	g := newGitlab(t)
	base := g.commit(g.work, "a", "1")
	g.command(g.work, "tag", "v1")
	head := g.commit(g.work, "a", "2")
	if err := g.git.Ensure(t.Context(), g.project, base); err != nil {
		t.Fatal(err)
	}
	client, commands := g.wrapped("")
	commands()
	ensure := func() error { return client.Ensure(t.Context(), g.project, head) }
	tree := func() error { _, err := client.Tree(t.Context(), g.project, head); return err }
	next := g.commit(g.work, "a", "3")
	for _, tt := range []struct {
		name string
		do   func() error
		want string
	}{
		{"known_but_not_kept", ensure, "update-ref"},
		{"kept", ensure, ""},
		{"kept_for_another", func() error { return client.Ensure(t.Context(), g.project, base) }, ""},
		{"missing", func() error { return client.Ensure(t.Context(), g.project, next) }, "update-ref fetch"},
		{"tree", tree, "rev-parse"},
		{"tree_again", tree, ""},
		{"touched", func() error {
			_, err := client.Touched(t.Context(), g.project, g.tree(base), g.tree(head))
			return err
		}, "diff-tree"},
		{"describe", func() error { _, err := client.Describe(t.Context(), g.project, head); return err }, "describe"},
		{"describe_without_tags", func() error {
			untagged := g.untagged()
			if _, err := client.Tree(t.Context(), g.project, untagged); err != nil {
				return err
			}
			_, err := client.Describe(t.Context(), g.project, untagged)
			return err
		}, "rev-parse describe"},
		{"checkout", func() error {
			return client.Checkout(t.Context(), g.project, g.tree(head), filepath.Join(t.TempDir(), "c"))
		}, "ls-tree read-tree"},
	} {
		if err := tt.do(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		got := commands()
		slices.Sort(got) // some run side by side
		want := strings.Fields(tt.want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the processes are %q, want %q", tt.name, got, want)
		}
	}
	mirror := filepath.Join(g.mirrors, "7.git")
	if got := g.command(mirror, "rev-parse", "refs/heads/main"); got != string(next) {
		t.Errorf("the mirror's branch is %s after the fetch of a commit, want %s", got, next)
	}
	for _, commit := range []upgrade.Commit{base, head, next} {
		if got := g.command(mirror, "rev-parse", "refs/upgradegate/"+string(commit)); got != string(commit) {
			t.Errorf("%s is kept as %s", commit, got)
		}
	}
	// Where git keeps its refs is its own affair.
	g.command(mirror, "pack-refs", "--all")
	if err := ensure(); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(mirror); err != nil {
		t.Fatal(err)
	}
	if err := ensure(); err != nil {
		t.Error(err)
	}
	if got := g.command(mirror, "rev-parse", "refs/heads/main"); got != string(next) {
		t.Errorf("the new mirror's branch is %s, want %s", got, next)
	}
}

// Not every GitLab gives out a commit by its name; what a branch leads to is had all the same.
func TestCommitsAreNotGivenByName(t *testing.T) {
	g := newGitlab(t)
	base := g.commit(g.work, "a", "1")
	g.ensure(base)
	commit := g.commit(g.work, "a", "2")
	client, commands := g.wrapped(`case "$*" in *:refs/upgradegate/*) echo 'error: Server does not allow request for unadvertised object' >&2; echo by-name >> "${0%git}log"; exit 128;; esac`)
	commands()
	if err := client.Ensure(t.Context(), g.project, commit); err != nil {
		t.Error(err)
	}
	if got, want := strings.Join(commands(), " "), "update-ref by-name fetch update-ref"; got != want {
		t.Errorf("the processes are %q, want %q", got, want)
	}
	g.command(g.work, "reset", "-q", "--hard", string(base))
	lost := upgrade.Commit(g.command(g.work, "commit-tree", "-m", "nobody's", "HEAD^{tree}"))
	wantCode(t, client.Ensure(t.Context(), g.project, lost), upgrade.CodeNotFound, "does not have this commit")
}

func TestCheckoutOfNothing(t *testing.T) {
	g := newGitlab(t)
	commit := g.commit(g.work)
	dir := g.checkedOut(commit)
	if files, err := os.ReadDir(dir); len(files) != 0 || err != nil {
		t.Errorf("got %v, %v", files, err)
	}
}
