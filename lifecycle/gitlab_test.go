package lifecycle_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// The people of the tests' GitLab.
const (
	priyaID = 3 // opens merge requests
	reneID  = 4 // approves them
)

// projectID returns the id of the project of that path.
func (g *fakeGitLab) projectID(path string) int64 {
	return int64(1 + slices.IndexFunc(g.projects, func(p forge.Project) bool { return p.Path == path }))
}

// openMerge opens a merge request to main with a commit of that content, approved and with a pipeline
// that passed, or pushes a further commit to it.
func (g *fakeGitLab) openMerge(path string, iid int64, content string) upgrade.Commit {
	g.mu.Lock()
	defer g.mu.Unlock()
	head := g.commitLocked(content)
	id := g.projectID(path)
	pipeline := forge.Pipeline{ID: int64(100 + len(g.pipelines)), Commit: head, Ref: fmt.Sprintf("mr-%d", iid), Source: "push", Status: "success"}
	g.pipelines = append(g.pipelines, pipeline)
	g.approvals[iid] = []forge.Approval{{UserID: reneID, Name: "rene", FullName: "Rene Reviewer", At: g.clock.Now().Add(time.Second)}}
	for i := range g.merges {
		if g.merges[i].IID == iid {
			g.merges[i].Head, g.merges[i].Pipeline = head, pipeline
			return head
		}
	}
	g.forked[iid] = g.contents[g.branches[fmt.Sprintf("%d/main", id)].Commit]
	g.merges = append(g.merges, forge.MergeRequest{
		IID: iid, State: "opened", Title: content, Author: "priya", AuthorID: priyaID, SourceBranch: fmt.Sprintf("mr-%d", iid), TargetBranch: "main",
		SourceProjectID: id, TargetProjectID: id, Head: head, Pipeline: pipeline,
	})
	return head
}

// change changes a merge request.
func (g *fakeGitLab) change(iid int64, change func(*forge.MergeRequest)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.merges {
		if g.merges[i].IID == iid {
			change(&g.merges[i])
		}
	}
}

// landMerge merges a merge request: main gets a commit of what the merge gives.
func (g *fakeGitLab) landMerge(path string, iid int64) (upgrade.Commit, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id := g.projectID(path)
	target := g.branches[fmt.Sprintf("%d/main", id)].Commit
	at := slices.IndexFunc(g.merges, func(mr forge.MergeRequest) bool { return mr.IID == iid })
	content, _ := merge(g.forked[iid], g.contents[target], g.contents[g.merges[at].Head])
	g.merges[at].State = "merged"
	return g.moveLocked(path, "main", g.commitLocked(content)), content
}

// drop deletes a branch.
func (g *fakeGitLab) drop(path, branch string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.branches, fmt.Sprintf("%d/%s", g.projectID(path), branch))
}

// protect sets whether a branch is protected.
func (g *fakeGitLab) protect(path, branch string, protected bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := fmt.Sprintf("%d/%s", g.projectID(path), branch)
	b := g.branches[key]
	b.Protected = protected
	g.branches[key] = b
	g.unprotected = !protected
}

// rename gives a project another path.
func (g *fakeGitLab) rename(path, to string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.projects[g.projectID(path)-1].Path = to
}

// played reports how often the held job was played for the content.
func (g *fakeGitLab) played(content string) int {
	n := 0
	for _, act := range g.said() {
		if act == "play upgrade-gate of "+content {
			n++
		}
	}
	return n
}

// set changes how it behaves.
func (g *fakeGitLab) set(change func(*fakeGitLab)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(g)
}
