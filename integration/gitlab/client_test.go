package gitlab_test

import (
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

func TestLists(t *testing.T) {
	w := newWorld(t)
	var jobs []gitlabsim.JobSpec
	for range 230 {
		jobs = append(jobs, gitlabsim.JobSpec{Name: "job-" + time.Duration(len(jobs)).String()})
	}
	check(t, w.sim.SetCI(w.project.ID, jobs...))
	pl, err := w.sim.RunPipeline(t.Context(), w.project.ID, "main", w.rev.ID)
	check(t, err)
	c := w.client(t, gitlab.Config{})
	w.sim.ForgetRequests()
	got := jobsByName(t, c, w.project.ID, pl.ID)
	if len(got) != 230 || len(w.sim.Requests()) != 3 {
		t.Errorf("%d jobs in %d requests, want 230 in 3", len(got), len(w.sim.Requests()))
	}
	for range 3 {
		_, err := w.sim.RunPipeline(t.Context(), w.project.ID, "main", w.rev.ID)
		check(t, err)
	}
	newest, err := c.PipelinesOnRef(t.Context(), w.project.ID, "main", 2)
	check(t, err)
	if len(newest) != 2 || newest[0].ID <= newest[1].ID || newest[1].ID <= pl.ID {
		t.Errorf("the newest pipelines are %+v", newest)
	}
}

func TestNew(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  gitlab.Config
		want string // in the message; empty: it is fine
	}{
		{"fine", gitlab.Config{URL: "https://gitlab.example.org/", Token: "t"}, ""},
		{"below_a_path", gitlab.Config{URL: "https://example.org/gitlab", Token: "t"}, ""},
		{"no_url", gitlab.Config{Token: "t"}, "must be set"},
		{"no_token", gitlab.Config{URL: "https://gitlab.example.org"}, "token must be set"},
		{"no_scheme", gitlab.Config{URL: "gitlab.example.org", Token: "t"}, "begin with https://"},
		{"other_scheme", gitlab.Config{URL: "ssh://gitlab.example.org", Token: "t"}, "begin with https://"},
		{"no_host", gitlab.Config{URL: "https:///x", Token: "t"}, "no host"},
		{"credentials", gitlab.Config{URL: "https://u:hunter2@gitlab.example.org", Token: "t"}, "credentials"},
		{"query", gitlab.Config{URL: "https://gitlab.example.org?private_token=hunter2", Token: "t"}, "query"},
		{"api", gitlab.Config{URL: "https://gitlab.example.org/api/v4/", Token: "t"}, "/api/v4"},
		{"not_an_address", gitlab.Config{URL: "https://a b:hunter2@c", Token: "t"}, "not an address"},
		{"timeout", gitlab.Config{URL: "https://gitlab.example.org", Token: "t", Timeout: -1}, "negative"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := gitlab.New(tc.cfg)
			switch {
			case tc.want == "":
				check(t, err)
			case err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2"):
				t.Errorf("error is %v, want one with %q", err, tc.want)
			default:
				wantCode(t, upgrade.CodeInvalid, err)
			}
		})
	}
}

// TestApprovalWithoutTime: an older GitLab does not say when, and then nor do we.
func TestApprovalWithoutTime(t *testing.T) {
	sim, err := gitlabsim.New(gitlabsim.Config{Dir: t.TempDir(), OldApprovals: true})
	check(t, err)
	t.Cleanup(func() { check(t, sim.Close()) })
	url, err := sim.Start(t.Context(), "127.0.0.1:0")
	check(t, err)
	seeded, err := sim.Seed(t.Context(), "")
	check(t, err)
	id := seeded.Project.ID
	_, err = sim.Commit(t.Context(), id, gitlabsim.CommitSpec{Branch: "feature", Message: "x", Author: seeded.Developer.ID, Files: map[string]string{"x": "x"}})
	check(t, err)
	mr, err := sim.CreateMR(t.Context(), id, gitlabsim.MergeRequestSpec{Title: "X", Source: "feature", Author: seeded.Developer.ID})
	check(t, err)
	c, err := gitlab.New(gitlab.Config{URL: url, Token: seeded.Token()})
	check(t, err)
	none, err := c.Approvals(t.Context(), id, mr.IID)
	if err != nil || len(none) != 0 {
		t.Errorf("approved by nobody: %+v, %v", none, err)
	}
	check(t, sim.Approve(id, mr.IID, seeded.Reviewer.ID))
	got, err := c.Approvals(t.Context(), id, mr.IID)
	if err != nil || len(got) != 1 || got[0].UserID != seeded.Reviewer.ID || !got[0].At.IsZero() {
		t.Errorf("approvals are %+v, %v", got, err)
	}
}

// TestMerged: what a merge request is once it is merged, in each of the ways to merge.
func TestMerged(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, gitlab.Config{})
	for i, squash := range []bool{false, true} {
		branch := "feature" + string(rune('a'+i))
		_, err := w.sim.Commit(t.Context(), w.project.ID, gitlabsim.CommitSpec{Branch: branch, Message: "x", Author: w.dev.ID, Files: map[string]string{branch: "x"}})
		check(t, err)
		mr, err := w.sim.CreateMR(t.Context(), w.project.ID, gitlabsim.MergeRequestSpec{Title: "Draft: X", Source: branch, Author: w.dev.ID})
		check(t, err)
		draft, err := c.MergeRequest(t.Context(), w.project.ID, mr.IID)
		check(t, err)
		if !draft.Draft {
			t.Error("a draft is not one")
		}
		check(t, w.sim.SetDraft(w.project.ID, mr.IID, false, w.dev.ID))
		head, err := w.sim.Merge(t.Context(), w.project.ID, mr.IID, w.rev.ID, squash)
		check(t, err)
		got, err := c.MergeRequest(t.Context(), w.project.ID, mr.IID)
		check(t, err)
		if got.State != "merged" || got.MergeCommit != head || got.Head != mr.Head || got.Draft {
			t.Errorf("merged it is %+v, want merge commit %s", got, head)
		}
	}
	open, err := c.OpenMergeRequests(t.Context(), w.project.ID, "main")
	if err != nil || len(open) != 0 {
		t.Errorf("open: %+v, %v", open, err)
	}
}

// TestDeployment: what a deployment by a job says.
func TestDeployment(t *testing.T) {
	w := newWorld(t)
	check(t, w.sim.SetCI(w.project.ID, gitlabsim.JobSpec{Name: "deploy-production", Environment: "production"}, gitlabsim.JobSpec{Name: "other", Environment: "elsewhere"}))
	first, second := w.production(t), w.production(t)
	c := w.client(t, gitlab.Config{})
	got, err := c.Deployments(t.Context(), w.project.ID, "production", 1)
	check(t, err)
	job := jobsByName(t, c, w.project.ID, second.ID)["deploy-production"]
	if len(got) != 1 || got[0].Status != "success" || got[0].JobID != job.ID || got[0].JobURL != job.WebURL || got[0].Commit != second.Commit || got[0].Ref != "main" || got[0].Environment != "production" || got[0].UpdatedAt.IsZero() {
		t.Errorf("the newest deployment is %+v, job %+v", got, job)
	}
	all, err := c.Deployments(t.Context(), w.project.ID, "", 0)
	if err != nil || len(all) != 4 || all[0].ID < all[3].ID || first.ID == second.ID {
		t.Errorf("all deployments are %+v, %v", all, err)
	}
}
