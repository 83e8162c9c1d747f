package gitlab

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	gl "github.com/xanzy/go-gitlab"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// MergeRequest returns a merge request by its number within the project, with its head pipeline.
func (c *Client) MergeRequest(ctx context.Context, projectID, iid int64) (forge.MergeRequest, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	var got *gl.MergeRequest
	what := fmt.Sprintf("read merge request !%d of project %d", iid, projectID)
	err := c.read(ctx, what, func(opt gl.RequestOptionFunc) (resp *gl.Response, err error) {
		got, resp, err = c.api.MergeRequests.GetMergeRequest(int(projectID), int(iid), nil, opt)
		return resp, err
	})
	if err != nil {
		return forge.MergeRequest{}, err
	}
	return mergeRequest(got), nil
}

// OpenMergeRequests returns the open merge requests into a branch, newest first. GitLab leaves the head
// pipeline out of lists, so Pipeline is zero: ask for it with MergeRequest.
func (c *Client) OpenMergeRequests(ctx context.Context, projectID int64, target string) ([]forge.MergeRequest, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	what := fmt.Sprintf("list open merge requests to %s of project %d", target, projectID)
	got, err := list(ctx, c, what, 0,
		func(opts gl.ListOptions, opt ...gl.RequestOptionFunc) ([]*gl.MergeRequest, *gl.Response, error) {
			return c.api.MergeRequests.ListProjectMergeRequests(int(projectID), &gl.ListProjectMergeRequestsOptions{
				ListOptions: opts, State: new("opened"), TargetBranch: &target, OrderBy: new("created_at"), Sort: new("desc"),
			}, opt...)
		})
	return each(got, mergeRequest), err
}

func mergeRequest(m *gl.MergeRequest) forge.MergeRequest {
	out := forge.MergeRequest{
		IID: int64(m.IID), State: m.State, Draft: m.Draft || m.WorkInProgress, Title: m.Title,
		SourceBranch: m.SourceBranch, TargetBranch: m.TargetBranch,
		SourceProjectID: int64(m.SourceProjectID), TargetProjectID: int64(m.TargetProjectID),
		Head: upgrade.Commit(m.SHA), WebURL: m.WebURL,
	}
	if m.Author != nil {
		out.Author, out.AuthorID = m.Author.Username, int64(m.Author.ID)
	}
	if m.State == "merged" {
		// A squash without a merge commit has only the second, a plain fast-forward neither.
		out.MergeCommit = upgrade.Commit(cmp.Or(m.MergeCommitSHA, m.SquashCommitSHA, m.SHA))
	}
	if p := m.HeadPipeline; p != nil {
		out.Pipeline = forge.Pipeline{
			ID: int64(p.ID), Commit: upgrade.Commit(p.SHA), Ref: p.Ref, Source: p.Source, Status: p.Status, WebURL: p.WebURL, CreatedAt: timeOf(p.CreatedAt),
		}
	}
	return out
}

// Approvals returns who approves a merge request now. At is zero where GitLab does not say when: older
// ones have no approved_at (lib/api/entities/approvals.rb).
func (c *Client) Approvals(ctx context.Context, projectID, iid int64) ([]forge.Approval, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	// The library's own struct lacks approved_at.
	var got struct {
		ApprovedBy []struct {
			ApprovedAt *time.Time `json:"approved_at"`
			User       struct {
				ID       int64  `json:"id"`
				Username string `json:"username"`
				Name     string `json:"name"`
			} `json:"user"`
		} `json:"approved_by"`
	}
	what := fmt.Sprintf("read approvals of merge request !%d of project %d", iid, projectID)
	err := c.read(ctx, what, func(opt gl.RequestOptionFunc) (*gl.Response, error) {
		req, err := c.api.NewRequest(http.MethodGet, fmt.Sprintf("projects/%d/merge_requests/%d/approvals", projectID, iid), nil, []gl.RequestOptionFunc{opt})
		if err != nil {
			return nil, err
		}
		return c.api.Do(req, &got)
	})
	if err != nil {
		return nil, err
	}
	out := make([]forge.Approval, 0, len(got.ApprovedBy))
	for _, a := range got.ApprovedBy {
		out = append(out, forge.Approval{UserID: a.User.ID, Name: a.User.Username, FullName: a.User.Name, At: timeOf(a.ApprovedAt)})
	}
	return out, nil
}

// Versions returns what was pushed to a merge request, newest first.
func (c *Client) Versions(ctx context.Context, projectID, iid int64) ([]forge.Version, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	what := fmt.Sprintf("list versions of merge request !%d of project %d", iid, projectID)
	got, err := list(ctx, c, what, 0,
		func(opts gl.ListOptions, opt ...gl.RequestOptionFunc) ([]*gl.MergeRequestDiffVersion, *gl.Response, error) {
			o := gl.GetMergeRequestDiffVersionsOptions(opts)
			return c.api.MergeRequests.GetMergeRequestDiffVersions(int(projectID), int(iid), &o, opt...)
		})
	slices.SortStableFunc(got, func(a, b *gl.MergeRequestDiffVersion) int { return cmp.Compare(b.ID, a.ID) })
	return each(got, func(v *gl.MergeRequestDiffVersion) forge.Version {
		return forge.Version{Head: upgrade.Commit(v.HeadCommitSHA), CreatedAt: timeOf(v.CreatedAt)}
	}), err
}

// Authors returns everybody whom the commits of a merge request name as author or committer, each once.
// GitLab does not say which of its users they are.
func (c *Client) Authors(ctx context.Context, projectID, iid int64) ([]forge.Author, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	what := fmt.Sprintf("list commits of merge request !%d of project %d", iid, projectID)
	got, err := list(ctx, c, what, 0,
		func(opts gl.ListOptions, opt ...gl.RequestOptionFunc) ([]*gl.Commit, *gl.Response, error) {
			o := gl.GetMergeRequestCommitsOptions(opts)
			return c.api.MergeRequests.GetMergeRequestCommits(int(projectID), int(iid), &o, opt...)
		})
	if err != nil {
		return nil, err
	}
	var out []forge.Author
	for _, commit := range got {
		for _, a := range []forge.Author{{Name: commit.AuthorName, Email: commit.AuthorEmail}, {Name: commit.CommitterName, Email: commit.CommitterEmail}} {
			if a != (forge.Author{}) && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out, nil
}

// timeOf returns the time, zero where GitLab sends null or nothing.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
