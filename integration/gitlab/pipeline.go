package gitlab

import (
	"context"
	"fmt"
	"net/http"

	gl "github.com/xanzy/go-gitlab"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// Pipelines returns the pipelines of a commit, newest first.
func (c *Client) Pipelines(ctx context.Context, projectID int64, commit upgrade.Commit) ([]forge.Pipeline, error) {
	what := fmt.Sprintf("list pipelines of commit %s of project %d", commit.Short(), projectID)
	return c.pipelines(ctx, projectID, what, 0, gl.ListProjectPipelinesOptions{SHA: new(string(commit))})
}

// PipelinesOnRef returns the newest pipelines of a branch, at most limit (0: all), newest first.
func (c *Client) PipelinesOnRef(ctx context.Context, projectID int64, ref string, limit int) ([]forge.Pipeline, error) {
	what := fmt.Sprintf("list pipelines of %s of project %d", ref, projectID)
	return c.pipelines(ctx, projectID, what, limit, gl.ListProjectPipelinesOptions{Ref: &ref})
}

func (c *Client) pipelines(ctx context.Context, projectID int64, what string, limit int, filter gl.ListProjectPipelinesOptions) ([]forge.Pipeline, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	got, err := list(ctx, c, what, limit,
		func(opts gl.ListOptions, opt ...gl.RequestOptionFunc) ([]*gl.PipelineInfo, *gl.Response, error) {
			f := filter
			f.ListOptions, f.OrderBy, f.Sort = opts, new("id"), new("desc")
			return c.api.Pipelines.ListProjectPipelines(int(projectID), &f, opt...)
		})
	return each(got, func(p *gl.PipelineInfo) forge.Pipeline {
		return forge.Pipeline{
			ID: int64(p.ID), Commit: upgrade.Commit(p.SHA), Ref: p.Ref, Source: p.Source, Status: p.Status, WebURL: p.WebURL, CreatedAt: timeOf(p.CreatedAt),
		}
	}), err
}

// Jobs returns the jobs of a pipeline, in GitLab's order (newest first), without bridges and without
// those that were retried.
func (c *Client) Jobs(ctx context.Context, projectID, pipelineID int64) ([]forge.Job, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	what := fmt.Sprintf("list jobs of pipeline %d of project %d", pipelineID, projectID)
	got, err := list(ctx, c, what, 0,
		func(opts gl.ListOptions, opt ...gl.RequestOptionFunc) ([]*gl.Job, *gl.Response, error) {
			return c.api.Jobs.ListPipelineJobs(int(projectID), int(pipelineID), &gl.ListJobsOptions{ListOptions: opts}, opt...)
		})
	return each(got, job), err
}

// Job returns one job.
func (c *Client) Job(ctx context.Context, projectID, jobID int64) (forge.Job, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	return c.job(ctx, projectID, jobID)
}

func (c *Client) job(ctx context.Context, projectID, jobID int64) (forge.Job, error) {
	var got *gl.Job
	what := fmt.Sprintf("read job %d of project %d", jobID, projectID)
	err := c.read(ctx, what, func(opt gl.RequestOptionFunc) (resp *gl.Response, err error) {
		got, resp, err = c.api.Jobs.GetJob(int(projectID), int(jobID), opt)
		return resp, err
	})
	if err != nil {
		return forge.Job{}, err
	}
	return job(got), nil
}

func job(j *gl.Job) forge.Job {
	out := forge.Job{
		ID: int64(j.ID), Name: j.Name, Stage: j.Stage, Status: j.Status, AllowFailure: j.AllowFailure,
		PipelineID: int64(j.Pipeline.ID), Commit: upgrade.Commit(j.Pipeline.Sha), Ref: j.Ref, WebURL: j.WebURL, FinishedAt: timeOf(j.FinishedAt),
	}
	if out.Commit == "" && j.Commit != nil {
		out.Commit = upgrade.Commit(j.Commit.ID)
	}
	return out
}

// Play starts a manual job and returns it as it is afterwards. It reads the job first: one that was
// played already, by whomever, is success and nothing is sent. CodeConflict for a job that does not
// wait to be played; CodeForbidden when the bot may not play it. The request is never repeated: when
// its answer is lost, the job is read again to find out.
func (c *Client) Play(ctx context.Context, projectID, jobID int64) (forge.Job, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	was, err := c.job(ctx, projectID, jobID)
	if err != nil {
		return forge.Job{}, err
	}
	if was.Status != "manual" {
		return playable(was)
	}
	var got *gl.Job
	what := fmt.Sprintf("play job %d (%s) of project %d", jobID, was.Name, projectID)
	f := c.once(ctx, what, func(opt gl.RequestOptionFunc) (resp *gl.Response, err error) {
		got, resp, err = c.api.Jobs.PlayJob(int(projectID), int(jobID), nil, opt)
		return resp, err
	})
	if f == nil {
		return job(got), nil
	}
	if f.status != http.StatusBadRequest && f.Code != upgrade.CodeUnavailable {
		return forge.Job{}, f.Error
	}
	// Somebody may have been quicker, or only the answer was lost.
	now, err := c.job(ctx, projectID, jobID)
	if err != nil || now.Status == "manual" {
		return forge.Job{}, f.Error
	}
	return playable(now)
}

// playable returns a job that was played already, or says why it cannot be played. It must not be
// called with a job that waits to be played.
func playable(j forge.Job) (forge.Job, error) {
	switch j.Status {
	case "waiting_for_resource", "preparing", "pending", "running", "success":
		return j, nil
	}
	return forge.Job{}, &upgrade.Error{
		Code: upgrade.CodeConflict,
		Msg:  fmt.Sprintf("job %d (%s) does not wait to be played: it is %s", j.ID, j.Name, j.Status),
		Hint: hintOf(j.Status),
	}
}

func hintOf(status string) string {
	switch status {
	case "created":
		return "an earlier stage of its pipeline has not ended, or did not pass"
	case "failed", "canceled", "canceling":
		return "it was played before and did not pass: somebody must retry it in GitLab"
	case "skipped":
		return "its pipeline did not come this far"
	}
	return ""
}
