package gitlabsim_test

import (
	"bytes"
	"crypto/rand"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// git runs the command line, which knows nothing of the machine's configuration.
func git(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Dana", "GIT_AUTHOR_EMAIL=dana@example.org", "GIT_COMMITTER_NAME=Dana", "GIT_COMMITTER_EMAIL=dana@example.org",
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func mustGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := git(t, dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// remote returns the project's git address with credentials in it.
func (r *rig) remote(t *testing.T, user string, token upgrade.Secret) string {
	t.Helper()
	u, err := url.Parse(r.shown(t).GitURL)
	check(t, err)
	u.User = url.UserPassword(user, token.Reveal())
	return u.String()
}

func (r *rig) shown(t *testing.T) gitlabsim.Project {
	t.Helper()
	p, ok := r.Server.Project(r.Seeded.Project.ID)
	if !ok {
		t.Fatal("the project is gone")
	}
	return p
}

func TestCloneNeedsToken(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	dir := t.TempDir()
	bare := r.shown(t).GitURL
	for _, tc := range []struct{ name, from, says string }{
		{"nobody", bare, "could not read Username"},
		{"wrong_token", r.remote(t, "oauth2", "glpat-wrong"), "Authentication failed"},
		{"stranger", r.remote(t, "oauth2", r.AddUser(gitlabsim.User{Username: "eve"}).Token), "not found"},
		{"other_project", strings.Replace(r.remote(t, "oauth2", r.Bot.Token), "example", "nothing", 1), "not found"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if out, err := git(t, dir, "clone", "-q", tc.from, tc.name); err == nil || !strings.Contains(out, tc.says) {
				t.Errorf("git says %q (%v), want %q", out, err, tc.says)
			}
		})
	}
	mustGit(t, dir, "clone", "-q", r.remote(t, "oauth2", r.Bot.Token), "clone")
	if _, err := os.Stat(filepath.Join(dir, "clone", "main.tf")); err != nil {
		t.Error(err)
	}
	if got, want := mustGit(t, filepath.Join(dir, "clone"), "branch", "-r"), "origin/staging"; !strings.Contains(got, want) {
		t.Errorf("branches are %q, want %q among them", got, want)
	}
}

func TestPushMakesEvents(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	hook := newSink(t)
	_, err := r.AddHook(r.Seeded.Project.ID, gitlabsim.Hook{URL: hook.URL, Events: []string{"push"}})
	check(t, err)
	dir := t.TempDir()
	mustGit(t, dir, "clone", "-q", r.remote(t, "dana", r.Developer.Token), ".")
	mustGit(t, dir, "switch", "-qc", "feature")
	big := make([]byte, 2<<20) // more than git sends in one piece
	_, _ = rand.Read(big)
	check(t, os.WriteFile(filepath.Join(dir, "big"), big, 0o600))
	mustGit(t, dir, "add", "big")
	mustGit(t, dir, "commit", "-qm", "add something big")
	mustGit(t, dir, "push", "-q", "origin", "feature")
	want := mustGit(t, dir, "rev-parse", "HEAD")
	if got, _ := r.Branch(r.Seeded.Project.ID, "feature"); string(got) != want {
		t.Errorf("feature is at %q, want %q", got, want)
	}
	r.clock.quiet()
	if got := hook.all(); len(got) != 1 || !bytes.Contains(got[0].body, []byte(`"total_commits_count":1`)) || !bytes.Contains(got[0].body, []byte(want)) {
		t.Errorf("push events are %+v", got)
	}
	if pls := r.Pipelines(r.Seeded.Project.ID); len(pls) != 1 || string(pls[0].Commit) != want || pls[0].Status != "success" || pls[0].UserID != r.Developer.ID {
		t.Errorf("pipelines are %+v", pls)
	}
	mr := r.request(t, "feature")
	if got := mustGit(t, dir, "ls-remote", "origin", "refs/merge-requests/1/head"); !strings.HasPrefix(got, want) {
		t.Errorf("the merge request's ref is %q", got)
	}
	mustGit(t, dir, "commit", "-q", "--amend", "-m", "say it better")
	mustGit(t, dir, "push", "-q", "--force", "origin", "feature")
	now, _ := r.MergeRequest(r.Seeded.Project.ID, mr.IID)
	if len(now.Versions) != 2 || string(now.Head) != mustGit(t, dir, "rev-parse", "HEAD") {
		t.Errorf("after a forced push the merge request is %+v", now)
	}
	// The old head is served by its name, though nothing leads to it.
	mustGit(t, dir, "fetch", "-q", "origin", "+"+want+":refs/keep/old")
	mustGit(t, dir, "push", "-q", "origin", ":feature")
	if now, _ := r.MergeRequest(r.Seeded.Project.ID, mr.IID); now.State != "closed" {
		t.Errorf("without its branch the merge request is %s", now.State)
	}
}

func TestPushRefused(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	for _, tc := range []struct {
		name string
		as   gitlabsim.User
		args []string
		says string // empty: taken
	}{
		{"developer_to_main", r.Developer, []string{"HEAD:main"}, "not allowed to push code to protected branches"},
		{"developer_to_staging", r.Developer, []string{"HEAD:staging"}, ""},
		{"developer_forces_staging", r.Developer, []string{"--force", "HEAD~2:staging"}, "not allowed to force push"},
		{"developer_removes_staging", r.Developer, []string{":staging"}, "only delete protected branches using the web interface"},
		{"hidden_ref", r.Developer, []string{"HEAD:refs/merge-requests/9/head"}, "hidden ref"},
		{"maintainer_to_main", r.Reviewer, []string{"HEAD:main"}, ""},
		{"maintainer_forces_main", r.Reviewer, []string{"--force", "HEAD~3:main"}, "not allowed to force push"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			mustGit(t, dir, "clone", "-q", r.remote(t, "x", tc.as.Token), ".")
			mustGit(t, dir, "commit", "-qm", tc.name, "--allow-empty")
			mustGit(t, dir, "commit", "-qm", tc.name, "--allow-empty")
			out, err := git(t, dir, append([]string{"push", "-q", "origin"}, tc.args...)...)
			if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(out, tc.says)) {
				t.Errorf("git says %q (%v), want %q", out, err, tc.says)
			}
		})
	}
	reporter := r.AddUser(gitlabsim.User{Username: "rita"})
	check(t, r.SetMember(r.Seeded.Project.ID, reporter.ID, gitlabsim.Reporter))
	dir := t.TempDir()
	mustGit(t, dir, "clone", "-q", r.remote(t, "x", reporter.Token), ".")
	if out, err := git(t, dir, "push", "origin", "HEAD:feature"); err == nil || !strings.Contains(out, "403") {
		t.Errorf("a reporter pushes: %q (%v)", out, err)
	}
}

// TestPushOfManyBranches: beyond three GitLab sends no push event at all.
func TestPushOfManyBranches(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	hook := newSink(t)
	_, err := r.AddHook(r.Seeded.Project.ID, gitlabsim.Hook{URL: hook.URL, Events: []string{"push"}})
	check(t, err)
	dir := t.TempDir()
	mustGit(t, dir, "clone", "-q", r.remote(t, "x", r.Developer.Token), ".")
	mustGit(t, dir, "push", "-q", "origin", "HEAD:a", "HEAD:b", "HEAD:c", "HEAD:d")
	r.clock.quiet()
	if got := hook.all(); len(got) != 0 {
		t.Errorf("%d push events, want none", len(got))
	}
	if _, ok := r.Branch(r.Seeded.Project.ID, "d"); !ok {
		t.Error("the branches are not there")
	}
	mustGit(t, dir, "push", "-q", "origin", "HEAD:e", "HEAD:f", "HEAD:g")
	r.clock.quiet()
	if got := hook.all(); len(got) != 3 {
		t.Errorf("%d push events, want 3", len(got))
	}
}

func TestPublicProject(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	p, err := r.AddProject(t.Context(), gitlabsim.ProjectSpec{Path: "open/one", Author: r.Reviewer.ID, Public: true})
	check(t, err)
	dir := t.TempDir()
	mustGit(t, dir, "clone", "-q", "--depth=1", p.GitURL, ".")
	if out, err := git(t, dir, "push", "origin", "HEAD:x"); err == nil || !strings.Contains(out, "could not read Username") {
		t.Errorf("pushing as nobody: %q (%v)", out, err)
	}
}

func TestMerge(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	id := r.Seeded.Project.ID
	r.change(t, "one", "one.tf", "# one\n")
	one := r.request(t, "one")
	r.change(t, "two", "one.tf", "# two\n")
	two := r.request(t, "two")
	if _, err := r.Merge(t.Context(), id, one.IID, r.Developer.ID, false); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a developer merges to main: %v", err)
	}
	check(t, r.SetDraft(id, one.IID, true, r.Developer.ID))
	if _, err := r.Merge(t.Context(), id, one.IID, r.Reviewer.ID, false); err == nil || !strings.Contains(err.Error(), "405") {
		t.Errorf("a draft is merged: %v", err)
	}
	check(t, r.SetDraft(id, one.IID, false, r.Developer.ID))
	merged, err := r.Merge(t.Context(), id, one.IID, r.Reviewer.ID, false)
	check(t, err)
	dir := t.TempDir()
	mustGit(t, dir, "clone", "-q", r.remote(t, "x", r.Bot.Token), ".")
	if got := mustGit(t, dir, "log", "-1", "--format=%H|%an|%s|%P"); !strings.HasPrefix(got, string(merged)+"|Rene Reviewer|Merge branch 'one' into 'main'|") || !strings.HasSuffix(got, string(one.Head)) {
		t.Errorf("the merge commit is %q", got)
	}
	now, _ := r.MergeRequest(id, one.IID)
	if now.State != "merged" || now.MergeCommit != merged {
		t.Errorf("the merge request is %+v", now)
	}
	if _, err := r.Merge(t.Context(), id, two.IID, r.Reviewer.ID, false); err == nil || !strings.Contains(err.Error(), "Branch cannot be merged") {
		t.Errorf("a conflict is merged: %v", err)
	}
	if pls := r.Pipelines(id); pls[0].Commit != merged || pls[0].Ref != "main" || pls[0].Source != "push" {
		t.Errorf("the newest pipeline is %+v", pls[0])
	}
}

func TestMergeFastForward(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	p, err := r.AddProject(t.Context(), gitlabsim.ProjectSpec{Path: "platform/ff", Author: r.Reviewer.ID, FastForward: true})
	check(t, err)
	commit := func(branch, file string) {
		_, err := r.Commit(t.Context(), p.ID, gitlabsim.CommitSpec{Branch: branch, Message: file, Author: r.Reviewer.ID, Files: map[string]string{file: file}})
		check(t, err)
	}
	commit("a", "a")
	commit("b", "b")
	for i, branch := range []string{"a", "b"} {
		mr, err := r.CreateMR(t.Context(), p.ID, gitlabsim.MergeRequestSpec{Title: branch, Source: branch, Author: r.Reviewer.ID})
		check(t, err)
		head, err := r.Merge(t.Context(), p.ID, mr.IID, r.Reviewer.ID, false)
		if i == 0 && (err != nil || head != mr.Head) {
			t.Errorf("fast-forward: %s, %v", head, err)
		}
		if i == 1 && err == nil {
			t.Error("a branch that is behind was merged")
		}
		if i == 1 { // a squash is made on the target's head, so it fits
			head, err := r.Merge(t.Context(), p.ID, mr.IID, r.Reviewer.ID, true)
			if err != nil || head == mr.Head {
				t.Errorf("squash: %s, %v", head, err)
			}
		}
	}
}
