package lifecycle_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// fakeGitLab is GitLab and its git at once: what a commit contains is a string, and its tree the hash
// of that string.
type fakeGitLab struct {
	clock *world.Clock

	mu          sync.Mutex // guards the fields below
	projects    []forge.Project
	branches    map[string]forge.Branch // "1/staging"
	contents    map[upgrade.Commit]string
	trees       map[upgrade.Tree]string
	forked      map[int64]string // what a merge request's branch began as
	commits     int
	pipelines   []forge.Pipeline
	jobs        []forge.Job
	merges      []forge.MergeRequest
	approvals   map[int64][]forge.Approval
	statuses    []forge.Status
	deployments []forge.Deployment
	acts        []string
	notes       map[int64]string
	users       map[int64]forge.User
	authors     []forge.Author // of every commit
	unprotected bool
	fail        error
	onPlay      func(content string) // nil: nobody
	onJobs      func()               // called before each reading of jobs, without the lock; nil: nobody
	onDeployed  func()               // called after each reading of deployments, without the lock; nil: nobody
	lostPlay    error                // what a play answers although it was done
	failPlay    error                // what a play answers instead of being done
}

func newFakeGitLab(clock *world.Clock) *fakeGitLab {
	return &fakeGitLab{
		clock: clock, branches: map[string]forge.Branch{}, contents: map[upgrade.Commit]string{}, approvals: map[int64][]forge.Approval{},
		trees: map[upgrade.Tree]string{}, forked: map[int64]string{}, notes: map[int64]string{}, users: map[int64]forge.User{},
	}
}

func notFound(what string) error {
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: what + " does not exist"}
}

// addProject makes a project whose main and staging have the content "base".
func (g *fakeGitLab) addProject(path string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.ContainsFunc(g.projects, func(p forge.Project) bool { return p.Path == path }) {
		return
	}
	id := int64(len(g.projects) + 1)
	g.projects = append(g.projects, forge.Project{ID: id, Path: path, DefaultBranch: "main"})
	commit := g.commitLocked("base")
	for _, branch := range []string{"main", "staging"} {
		g.branches[fmt.Sprintf("%d/%s", id, branch)] = forge.Branch{Name: branch, Commit: commit, Protected: true}
	}
}

func (g *fakeGitLab) commitLocked(content string) upgrade.Commit {
	g.commits++
	commit := upgrade.Commit(fmt.Sprintf("%040x", 0xc0_0000+g.commits))
	g.contents[commit] = content
	g.trees[treeOf(content)] = content
	return commit
}

// push makes a commit on a branch, with a pipeline; on main it has the held job and the deployment.
func (g *fakeGitLab) push(path, branch, content string) upgrade.Commit {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.moveLocked(path, branch, g.commitLocked(content))
}

// fastForward moves a branch to a commit that exists.
func (g *fakeGitLab) fastForward(path, branch string, to upgrade.Commit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moveLocked(path, branch, to)
}

func (g *fakeGitLab) moveLocked(path, branch string, to upgrade.Commit) upgrade.Commit {
	id := int64(1 + slices.IndexFunc(g.projects, func(p forge.Project) bool { return p.Path == path }))
	g.branches[fmt.Sprintf("%d/%s", id, branch)] = forge.Branch{Name: branch, Commit: to, Protected: !g.unprotected, Author: "Priya", Title: "change"}
	pipeline := forge.Pipeline{ID: int64(100 + len(g.pipelines)), Commit: to, Ref: branch, Source: "push", Status: "success", CreatedAt: g.clock.Now()}
	g.pipelines = append(g.pipelines, pipeline)
	if branch == "main" {
		g.jobs = append(g.jobs, forge.Job{ID: int64(1000 + len(g.jobs)), Name: "upgrade-gate", Status: "manual", PipelineID: pipeline.ID, Commit: to, Ref: branch})
	}
	return to
}

// deploy makes a deployment of the commit to production.
func (g *fakeGitLab) deploy(commit upgrade.Commit, status string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deployments = append([]forge.Deployment{{
		ID: int64(1 + len(g.deployments)), Commit: commit, Environment: "production", Status: status, UpdatedAt: g.clock.Now(),
	}}, g.deployments...)
}

// status returns what the commit shows under our name.
func (g *fakeGitLab) status(commit upgrade.Commit) (upgrade.CommitState, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, status := range slices.Backward(g.statuses) {
		if g.commitOf(status.PipelineID) == commit {
			return status.State, status.Description
		}
	}
	return "", ""
}

func (g *fakeGitLab) commitOf(pipeline int64) upgrade.Commit {
	for _, p := range g.pipelines {
		if p.ID == pipeline {
			return p.Commit
		}
	}
	return ""
}

func (g *fakeGitLab) said() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.acts)
}

// lock takes the lock and returns the error that every call answers, if one is set.
func (g *fakeGitLab) lock() (unlock func(), err error) {
	g.mu.Lock()
	return g.mu.Unlock, g.fail
}

func (g *fakeGitLab) Project(_ context.Context, path string) (forge.Project, error) {
	unlock, err := g.lock()
	defer unlock()
	for _, p := range g.projects {
		if p.Path == path {
			return p, err
		}
	}
	return forge.Project{}, errors.Join(err, notFound(path))
}

func (g *fakeGitLab) ProjectByID(_ context.Context, id int64) (forge.Project, error) {
	unlock, err := g.lock()
	defer unlock()
	if id < 1 || int(id) > len(g.projects) {
		return forge.Project{}, notFound("project")
	}
	return g.projects[id-1], err
}

func (g *fakeGitLab) Branch(_ context.Context, id int64, name string) (forge.Branch, error) {
	unlock, err := g.lock()
	defer unlock()
	branch, ok := g.branches[fmt.Sprintf("%d/%s", id, name)]
	if err == nil && !ok {
		err = notFound("branch " + name)
	}
	return branch, err
}

func (g *fakeGitLab) MergeRequest(_ context.Context, _, iid int64) (forge.MergeRequest, error) {
	unlock, err := g.lock()
	defer unlock()
	for _, mr := range g.merges {
		if mr.IID == iid {
			return mr, err
		}
	}
	return forge.MergeRequest{}, notFound("merge request")
}

func (g *fakeGitLab) OpenMergeRequests(_ context.Context, _ int64, target string) ([]forge.MergeRequest, error) {
	unlock, err := g.lock()
	defer unlock()
	var open []forge.MergeRequest
	for _, mr := range g.merges {
		if mr.State == "opened" && mr.TargetBranch == target {
			open = append(open, mr)
		}
	}
	return open, err
}

func (g *fakeGitLab) Approvals(_ context.Context, _, iid int64) ([]forge.Approval, error) {
	unlock, err := g.lock()
	defer unlock()
	return g.approvals[iid], err
}

func (g *fakeGitLab) Versions(_ context.Context, _, iid int64) ([]forge.Version, error) {
	unlock, err := g.lock()
	defer unlock()
	for _, mr := range g.merges {
		if mr.IID == iid {
			return []forge.Version{{Head: mr.Head, CreatedAt: friday()}}, err
		}
	}
	return nil, err
}

func (g *fakeGitLab) Authors(context.Context, int64, int64) ([]forge.Author, error) {
	return []forge.Author{{Name: "Priya Raman"}, {Name: "Co Author"}}, nil
}

func (g *fakeGitLab) Pipelines(_ context.Context, _ int64, commit upgrade.Commit) ([]forge.Pipeline, error) {
	unlock, err := g.lock()
	defer unlock()
	var found []forge.Pipeline
	for _, p := range slices.Backward(g.pipelines) {
		if p.Commit == commit {
			found = append(found, p)
		}
	}
	return found, err
}

func (g *fakeGitLab) Jobs(_ context.Context, _, pipeline int64) ([]forge.Job, error) {
	if g.onJobs != nil {
		g.onJobs()
	}
	unlock, err := g.lock()
	defer unlock()
	var found []forge.Job
	for _, job := range g.jobs {
		if job.PipelineID == pipeline {
			found = append(found, job)
		}
	}
	return found, err
}

func (g *fakeGitLab) Play(_ context.Context, _, id int64) (forge.Job, error) {
	unlock, err := g.lock()
	defer unlock()
	if err = errors.Join(err, g.failPlay); err != nil {
		return forge.Job{}, err
	}
	for i := range g.jobs {
		if g.jobs[i].ID == id {
			g.jobs[i].Status = "success"
			if g.onPlay != nil {
				g.onPlay(g.contents[g.jobs[i].Commit])
			}
			g.acts = append(g.acts, fmt.Sprintf("play %s of %s", g.jobs[i].Name, g.contents[g.jobs[i].Commit]))
			return g.jobs[i], g.lostPlay
		}
	}
	return forge.Job{}, notFound("job")
}

func (g *fakeGitLab) Statuses(_ context.Context, _ int64, commit upgrade.Commit, name string) ([]forge.Status, error) {
	unlock, err := g.lock()
	defer unlock()
	var found []forge.Status
	for _, status := range g.statuses {
		if status.Name == name && g.commitOf(status.PipelineID) == commit {
			found = append(found, status)
		}
	}
	return found, err
}

func (g *fakeGitLab) PostStatus(_ context.Context, post forge.StatusPost) error {
	unlock, err := g.lock()
	defer unlock()
	if err != nil {
		return err
	}
	if g.commitOf(post.PipelineID) != post.Commit {
		return notFound("pipeline")
	}
	g.statuses = append(g.statuses, forge.Status{
		Name: post.Name, State: post.State, Description: post.Description, PipelineID: post.PipelineID, CreatedAt: g.clock.Now(),
	})
	return nil
}

func (g *fakeGitLab) Deployments(_ context.Context, _ int64, _ string, _ int) ([]forge.Deployment, error) {
	unlock, err := g.lock()
	defer func(then func()) {
		unlock()
		if then != nil {
			then()
		}
	}(g.onDeployed)
	return slices.Clone(g.deployments), err
}

func (g *fakeGitLab) UpsertNote(_ context.Context, _, iid int64, marker, body string) error {
	unlock, err := g.lock()
	defer unlock()
	if marker == "" || strings.ContainsAny(marker, "<>\n") || strings.Contains(marker, "--") { // as integration/gitlab has it
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q cannot mark a note", marker)}
	}
	g.notes[iid] = body
	return err
}

func (g *fakeGitLab) User(_ context.Context, id int64) (forge.User, error) {
	unlock, err := g.lock()
	defer unlock()
	user, known := g.users[id]
	if !known {
		user = forge.User{ID: id, Username: fmt.Sprintf("user%d", id), Name: fmt.Sprintf("User %d", id)}
	}
	return user, err
}

func (g *fakeGitLab) Ensure(_ context.Context, _ forge.Project, commit upgrade.Commit) error {
	unlock, err := g.lock()
	defer unlock()
	if _, ok := g.contents[commit]; !ok {
		return notFound("commit")
	}
	return err
}

func treeOf(content string) upgrade.Tree {
	sum := sha256.Sum256([]byte(content))
	return upgrade.Tree(hex.EncodeToString(sum[:]))
}

func (g *fakeGitLab) Tree(_ context.Context, _ forge.Project, commit upgrade.Commit) (upgrade.Tree, error) {
	unlock, err := g.lock()
	defer unlock()
	return treeOf(g.contents[commit]), err
}

// MergeTree merges part by part: what the source did not change is the target's. Contents of one word
// are the source's, unless the target is "conflict" or has changed too.
func (g *fakeGitLab) MergeTree(_ context.Context, _ forge.Project, target, head upgrade.Commit) (upgrade.Tree, bool, error) {
	unlock, err := g.lock()
	defer unlock()
	base := g.contents[head]
	for _, mr := range g.merges {
		if mr.Head == head && g.forked[mr.IID] != "" {
			base = g.forked[mr.IID]
		}
	}
	content, ok := merge(base, g.contents[target], g.contents[head])
	g.trees[treeOf(content)] = content
	return treeOf(content), !ok, err
}

// merge merges three contents; ok is false when both sides changed the same part.
func merge(base, ours, theirs string) (content string, ok bool) {
	if !strings.Contains(theirs, "=") {
		return theirs, ours != "conflict" && (ours == base || theirs == ours || base == theirs)
	}
	var words []string
	for word := range strings.FieldsSeq(theirs) {
		name, value, _ := strings.Cut(word, "=")
		was, our := part(base, name), part(ours, name)
		switch {
		case value == was:
			value = our
		case our != was && our != value:
			return "", false
		}
		if value != "" {
			words = append(words, name+"="+value)
		}
	}
	for word := range strings.FieldsSeq(ours) { // what only the target has
		if name, _, _ := strings.Cut(word, "="); part(theirs, name) == "" && part(base, name) == "" {
			words = append(words, word)
		}
	}
	return strings.Join(words, " "), true
}

// contentOf returns what a tree holds.
func (g *fakeGitLab) contentOf(tree upgrade.Tree) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.trees[tree]
}

// part returns what a content holds of a folder: contents are "a=1 b=2", or one word for everything.
func part(content, dir string) string {
	for word := range strings.FieldsSeq(content) {
		if name, value, named := strings.Cut(word, "="); named && name == dir {
			return value
		}
	}
	if dir == "" || !strings.Contains(content, "=") {
		return content
	}
	return ""
}

func (g *fakeGitLab) Touched(_ context.Context, _ forge.Project, from, to upgrade.Tree) ([]string, error) {
	was, is := g.contentOf(from), g.contentOf(to)
	var paths []string
	for word := range strings.FieldsSeq(was + " " + is) {
		name, _, named := strings.Cut(word, "=")
		if named && part(was, name) != part(is, name) && !slices.Contains(paths, name+"/main.tf") {
			paths = append(paths, name+"/main.tf")
		}
	}
	if from != to && len(paths) == 0 {
		paths = []string{"main.tf"}
	}
	return paths, nil
}

// fakeGit is the git of the same GitLab.
type fakeGit struct{ *fakeGitLab }

func (g fakeGit) Authors(context.Context, forge.Project, upgrade.Commit, upgrade.Commit) ([]forge.Author, error) {
	unlock, err := g.lock()
	defer unlock()
	return g.authors, err
}

func (g *fakeGitLab) HasDir(_ context.Context, _ forge.Project, tree upgrade.Tree, dir string) (bool, error) {
	return part(g.contentOf(tree), dir) != "", nil
}

func (g *fakeGitLab) Describe(_ context.Context, _ forge.Project, commit upgrade.Commit) (string, error) {
	return commit.Short(), nil
}

func (g *fakeGitLab) Checkout(_ context.Context, _ forge.Project, tree upgrade.Tree, dir string) error {
	return os.WriteFile(filepath.Join(dir, "tree"), []byte(tree), 0o600)
}

func (g *fakeGitLab) ResolveDir(checkout, dir string) (string, error) {
	return filepath.Join(checkout, dir), nil
}
