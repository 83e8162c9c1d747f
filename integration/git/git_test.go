package git_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/integration/git"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

func TestFetchAndFacts(t *testing.T) {
	g := newGitlab(t)
	first := g.commit(g.work, "main.tf", "a")
	g.command(g.work, "tag", "v1.0.0")
	second := g.commit(g.work, "stacks/ecs/main.tf", "b", "modules/x.tf", "c")
	if err := g.git.Fetch(t.Context(), g.project); err != nil {
		t.Fatal(err)
	}
	if want := upgrade.Tree(g.command(g.work, "rev-parse", "HEAD^{tree}")); g.tree(second) != want {
		t.Errorf("got tree %s, want %s", g.tree(second), want)
	}
	for commit, want := range map[upgrade.Commit]string{first: "v1.0.0", second: "v1.0.0-1-g" + second.Short()} {
		if got, err := g.git.Describe(t.Context(), g.project, commit); got != want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	touched, err := g.git.Touched(t.Context(), g.project, g.tree(first), g.tree(second))
	if diff := cmp.Diff(touched, []string{"modules/x.tf", "stacks/ecs/main.tf"}); diff != "" || err != nil {
		t.Errorf("touched: %v %s", err, diff)
	}
	if same, err := g.git.Touched(t.Context(), g.project, g.tree(first), g.tree(first)); len(same) != 0 || err != nil {
		t.Errorf("got %q, %v", same, err)
	}
	facts, err := g.git.Facts(t.Context(), g.project, second)
	if err != nil || facts.Author != "Ada" || facts.AuthorMail != "ada@example.org" || facts.Committer != "Bob" ||
		!strings.HasPrefix(facts.Title, "change stacks") || len(facts.Parents) != 1 || facts.Parents[0] != first || facts.CommittedAt.IsZero() {
		t.Errorf("got %+v, %v", facts, err)
	}
	for _, tt := range []struct {
		ancestor, commit upgrade.Commit
		want             bool
	}{{first, second, true}, {second, first, false}, {first, first, true}} {
		if got, err := g.git.IsAncestor(t.Context(), g.project, tt.ancestor, tt.commit); got != tt.want || err != nil {
			t.Errorf("is %s an ancestor of %s: %v, %v", tt.ancestor.Short(), tt.commit.Short(), got, err)
		}
	}
}

func TestDescribeWithoutTags(t *testing.T) {
	g := newGitlab(t)
	commit := g.commit(g.work, "a", "1")
	g.ensure(commit)
	if got, err := g.git.Describe(t.Context(), g.project, commit); got != commit.Short() || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestEnsureFetchesOnlyWhatIsMissing(t *testing.T) {
	g := newGitlab(t)
	commit := g.commit(g.work, "a", "1")
	g.ensure(commit)
	asked := g.asked.Load()
	g.ensure(commit)
	if g.asked.Load() != asked {
		t.Error("a commit that is there was fetched again")
	}
}

// What was pushed away is still there for the run that needs it, and a commit that never was on a
// branch that we saw can be had by name.
func TestForcePush(t *testing.T) {
	g := newGitlab(t)
	base := g.commit(g.work, "a", "1")
	old := g.commit(g.work, "a", "2")
	g.ensure(old)
	g.command(g.work, "reset", "-q", "--hard", string(base))
	unseen := g.commit(g.work, "a", "3")
	g.command(g.work, "reset", "-q", "--hard", string(base))
	now := g.commit(g.work, "a", "4")
	if err := g.git.Fetch(t.Context(), g.project); err != nil {
		t.Fatal(err)
	}
	g.ensure(old, unseen, now)
	mirror := filepath.Join(g.mirrors, "7.git")
	g.command(mirror, "gc", "-q", "--prune=now")
	for _, commit := range []upgrade.Commit{old, unseen, now} {
		g.tree(commit)
	}
	if on, err := g.git.IsAncestor(t.Context(), g.project, old, now); on || err != nil {
		t.Errorf("the old commit is an ancestor: %v, %v", on, err)
	}
	if head := g.command(mirror, "rev-parse", "refs/heads/main"); head != string(now) {
		t.Errorf("the mirror's branch is %s, want %s", head, now)
	}
}

func TestBranchesThatAreGone(t *testing.T) {
	g := newGitlab(t)
	g.commit(g.work, "a", "1")
	g.command(g.work, "checkout", "-q", "-b", "topic")
	g.commit(g.work, "a", "2")
	if err := g.git.Fetch(t.Context(), g.project); err != nil {
		t.Fatal(err)
	}
	g.command(g.work, "push", "-q", "origin", ":topic")
	g.command(g.work, "checkout", "-q", "main")
	g.command(g.work, "branch", "-q", "-D", "topic")
	g.command(g.work, "checkout", "-q", "-b", "topic/deeper")
	g.commit(g.work, "a", "3")
	if err := g.git.Fetch(t.Context(), g.project); err != nil {
		t.Fatal(err)
	}
	if refs := g.command(filepath.Join(g.mirrors, "7.git"), "for-each-ref", "--format=%(refname)"); refs != "refs/heads/main\nrefs/heads/topic/deeper" {
		t.Errorf("got refs %s", refs)
	}
}

func TestMergeTree(t *testing.T) {
	g := newGitlab(t)
	base := g.commit(g.work, "a", "1\n", "b", "1\n")
	target := g.commit(g.work, "a", "2\n")
	g.command(g.work, "checkout", "-q", "-b", "clean", string(base))
	clean := g.commit(g.work, "b", "2\n")
	g.command(g.work, "checkout", "-q", "-b", "clash", string(base))
	clash := g.commit(g.work, "a", "3\n")
	g.ensure(target, clean, clash)
	tree, conflict, err := g.git.MergeTree(t.Context(), g.project, target, clean)
	if err != nil || conflict {
		t.Fatalf("conflict %v, %v", conflict, err)
	}
	g.command(g.work, "checkout", "-q", "main")
	g.command(g.work, "merge", "-q", "--no-edit", "clean")
	if want := g.command(g.work, "rev-parse", "HEAD^{tree}"); string(tree) != want {
		t.Errorf("got tree %s, want %s as git merge makes it", tree, want)
	}
	if tree, conflict, err := g.git.MergeTree(t.Context(), g.project, target, clash); err != nil || !conflict || tree != "" {
		t.Errorf("got %q, conflict %v, %v", tree, conflict, err)
	}
	// A tree that no commit has can be checked out.
	dir := filepath.Join(t.TempDir(), "checkout")
	if err := g.git.Checkout(t.Context(), g.project, tree, dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "2\n", "b": "2\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != want || err != nil {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

func TestUnknownObjects(t *testing.T) {
	g := newGitlab(t)
	commit := g.commit(g.work, "a", "1")
	g.ensure(commit)
	const other = "1234567890123456789012345678901234567890"
	ctx, tree := t.Context(), g.tree(commit)
	_, errTree := g.git.Tree(ctx, g.project, other)
	_, _, errMerge := g.git.MergeTree(ctx, g.project, commit, other)
	_, errTouched := g.git.Touched(ctx, g.project, tree, other)
	_, errDescribe := g.git.Describe(ctx, g.project, other)
	_, errAncestor := g.git.IsAncestor(ctx, g.project, other, commit)
	_, errAuthors := g.git.Authors(ctx, g.project, other, commit)
	_, errHead := g.git.Authors(ctx, g.project, "", other)
	_, errDir := g.git.HasDir(ctx, g.project, other, "stacks")
	_, errMirror := g.git.Tree(ctx, forge.Project{ID: 99, Path: "never/seen"}, commit)
	for name, err := range map[string]error{
		"tree": errTree, "merge": errMerge, "touched": errTouched, "describe": errDescribe, "ancestor": errAncestor,
		"authors": errAuthors, "head": errHead, "dir": errDir, "no_mirror": errMirror, "checkout": g.git.Checkout(ctx, g.project, other, t.TempDir()),
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, err, upgrade.CodeNotFound, "has no") })
	}
	wantCode(t, g.git.Ensure(ctx, g.project, other), upgrade.CodeNotFound, "does not have this commit")
	_, err := g.git.Tree(ctx, g.project, "--output=/tmp/x")
	wantCode(t, err, upgrade.CodeInvalid, "is not the name of a commit")
	wantCode(t, g.git.Ensure(ctx, g.project, "main"), upgrade.CodeInvalid, "is not a commit")
}

func TestRemoteErrors(t *testing.T) {
	g := newGitlab(t)
	commit := g.commit(g.work, "a", "1")
	fetch := func(client *git.Git) error { return client.Ensure(t.Context(), g.project, commit) }
	wantCode(t, fetch(g.client(git.Config{Token: "wrong-token"})), upgrade.CodeUnauthorized, "read_repository")
	for status, code := range map[int]upgrade.Code{
		http.StatusForbidden: upgrade.CodeUnauthorized, http.StatusNotFound: upgrade.CodeNotFound,
		http.StatusBadGateway: upgrade.CodeUnavailable, http.StatusTooManyRequests: upgrade.CodeUnavailable,
	} {
		g.status.Store(int64(status))
		wantCode(t, fetch(g.git), code, "")
	}
	g.status.Store(0)
	gone := g.project
	gone.GitURL = g.URL + "/group/gone.git"
	wantCode(t, g.git.Fetch(t.Context(), gone), upgrade.CodeNotFound, "no such repository")
	g.Close()
	wantCode(t, fetch(g.git), upgrade.CodeUnavailable, "could not be read from GitLab")
	for _, address := range []string{"ssh://git@example.org/x.git", "http://u:p@example.org/x.git", "ext::sh -c true", "--upload-pack=x"} {
		bad := g.project
		bad.GitURL = address
		wantCode(t, g.git.Fetch(t.Context(), bad), upgrade.CodeInvalid, "git address")
	}
}

func TestFetchHasALimit(t *testing.T) {
	g := newGitlab(t)
	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer slow.Close()
	defer close(hang)
	project := g.project
	project.GitURL = slow.URL + "/x.git"
	err := g.client(git.Config{Limit: 300 * time.Millisecond}).Fetch(t.Context(), project)
	wantCode(t, err, upgrade.CodeUnavailable, "took longer than 300ms")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no longer wanted")
	time.AfterFunc(200*time.Millisecond, func() { cancel(why) })
	if err := g.git.Fetch(ctx, project); !errors.Is(err, why) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

// The token goes to the configured GitLab, and is nowhere else: not on a command line, not on disk, not
// at another host.
func TestTokenStaysHome(t *testing.T) {
	g := newGitlab(t)
	commit := g.commit(g.work, "a", "1")
	log := filepath.Join(t.TempDir(), "log")
	wrapper := filepath.Join(t.TempDir(), "git")
	script := "#!/bin/sh\necho \"$@\" >> " + log + "\nexec git \"$@\"\n"
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	client := g.client(git.Config{Binary: wrapper, URL: g.URL})
	if err := client.Ensure(t.Context(), g.project, commit); err != nil {
		t.Fatal(err)
	}
	lines, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(lines), "fetch") {
		t.Fatalf("got command lines %q, %v", lines, err)
	}
	for _, secret := range []string{token, "b2F1dGgyO"} {
		if strings.Contains(string(lines), secret) {
			t.Errorf("the token is on a command line")
		}
		nowhere(t, secret, g.mirrors)
	}

	var headers sync.Map
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers.Store(r.URL.Path, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusNotFound)
	}))
	defer other.Close()
	g.elsewhere.Store(other.URL)
	missing := upgrade.Commit(strings.Repeat("1", 40))
	wantCode(t, client.Ensure(t.Context(), g.project, missing), upgrade.CodeInvalid, "leads elsewhere")
	stranger := forge.Project{ID: 8, Path: "x", GitURL: other.URL + "/x.git"}
	wantCode(t, client.Fetch(t.Context(), stranger), upgrade.CodeNotFound, "no such repository")
	headers.Range(func(path, value any) bool {
		if value != "" {
			t.Errorf("another host got the token at %s", path)
		}
		if path != "/x.git/info/refs" {
			t.Errorf("another host was asked for %s", path)
		}
		return true
	})
}

func nowhere(t *testing.T, text, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if strings.Contains(string(raw), text) {
			t.Errorf("%s holds the token", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestParallelUse(t *testing.T) {
	g := newGitlab(t)
	var commits []upgrade.Commit
	for _, content := range []string{"1", "2", "3", "4"} {
		commits = append(commits, g.commit(g.work, "a", content))
	}
	second := g.client(git.Config{}) // as another process has it
	var group sync.WaitGroup
	for _, commit := range commits {
		for _, client := range []*git.Git{g.git, second} {
			group.Go(func() {
				if err := client.Ensure(t.Context(), g.project, commit); err != nil {
					t.Error(err)
				}
				if _, err := client.Tree(t.Context(), g.project, commit); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
}

func TestEnviron(t *testing.T) {
	g := newGitlab(t)
	client := g.client(git.Config{URL: "https://gitlab.my-example.org"})
	env := client.Environ()
	if env["TF_TOKEN_gitlab_my__example_org"].Reveal() != token || env["GIT_TERMINAL_PROMPT"].Reveal() != "0" {
		t.Errorf("got names %v", env)
	}
	var all []string
	for _, value := range env {
		all = append(all, value.Reveal())
	}
	for _, want := range []string{"url.https://gitlab.my-example.org/.insteadOf", "ssh://git@gitlab.my-example.org/", "git@gitlab.my-example.org:"} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("no %q", want)
		}
	}
	if g.git.Environ() != nil {
		t.Error("without an address there is a token to send")
	}
}

func TestNewRefuses(t *testing.T) {
	old := filepath.Join(t.TempDir(), "git")
	if err := os.WriteFile(old, []byte("#!/bin/sh\necho git version 2.30.1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	g := newGitlab(t)
	for name, tt := range map[string]struct {
		cfg  git.Config
		want string
	}{
		"old":     {git.Config{Binary: old}, "git version 2.30.1"},
		"none":    {git.Config{Path: t.TempDir()}, "there is no git"},
		"missing": {git.Config{Binary: "/nonexistent/git"}, "cannot be run"},
		"url":     {git.Config{URL: "gitlab.example.org"}, "not the address of a GitLab"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.cfg.Dir, tt.cfg.Log = t.TempDir(), g.logger()
			_, err := git.New(tt.cfg)
			wantCode(t, err, upgrade.CodeInvalid, tt.want)
		})
	}
}
