package gitlab

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	gl "github.com/xanzy/go-gitlab"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// maxText is how many characters of a description GitLab keeps.
const maxText = 255

// Statuses returns the newest status of that name in each pipeline of a commit, oldest first; an empty
// name means all names. GitLab lists CI jobs among them; State may then be a value that no constant of
// upgrade.CommitState has, such as "manual".
func (c *Client) Statuses(ctx context.Context, projectID int64, commit upgrade.Commit, name string) ([]forge.Status, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	return c.statuses(ctx, projectID, commit, name)
}

func (c *Client) statuses(ctx context.Context, projectID int64, commit upgrade.Commit, name string) ([]forge.Status, error) {
	what := fmt.Sprintf("list statuses of commit %s of project %d", commit.Short(), projectID)
	got, err := list(ctx, c, what, 0,
		func(opts gl.ListOptions, opt ...gl.RequestOptionFunc) ([]*gl.CommitStatus, *gl.Response, error) {
			o := &gl.GetCommitStatusesOptions{ListOptions: opts}
			if name != "" {
				o.Name = &name
			}
			return c.api.Commits.GetCommitStatuses(int(projectID), string(commit), o, opt...)
		})
	return each(got, func(s *gl.CommitStatus) forge.Status {
		return forge.Status{
			Name: s.Name, State: upgrade.CommitState(s.Status), Description: s.Description, TargetURL: s.TargetURL, Ref: s.Ref,
			PipelineID: int64(s.PipelineId), AuthorID: int64(s.Author.ID), CreatedAt: timeOf(s.CreatedAt),
		}
	}), err
}

// PostStatus writes a commit status into an existing pipeline. A status that is in the wanted state
// already counts as written, though GitLab refuses to write it again and keeps the old text. GitLab's
// "another update is in progress" (409) is tried again within the deadline; nothing else is. A
// description that is too long is cut.
//
// CodeInvalid without a pipeline (GitLab would make one, and a merge request would then be judged by that
// alone); CodeConflict when GitLab's state machine does not allow the state, such as pending after
// running; CodeNotFound when pipeline, commit and ref do not belong together.
func (c *Client) PostStatus(ctx context.Context, p forge.StatusPost) error {
	what := fmt.Sprintf("post status %s on commit %s of project %d", p.State, p.Commit.Short(), p.ProjectID)
	switch {
	case p.PipelineID == 0:
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: what + ": no pipeline is named",
			Hint: "without one GitLab would make a pipeline of its own, which can open a merge request",
		}
	case p.Name == "":
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: what + ": it has no name"}
	}
	ctx, cancel := c.within(ctx)
	defer cancel()
	f := c.post(ctx, what, p)
	if f == nil {
		return nil
	}
	if f.status != http.StatusBadRequest {
		return f.Error
	}
	rows, err := c.statuses(ctx, p.ProjectID, p.Commit, p.Name)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.PipelineID == p.PipelineID && row.State == p.State {
			return nil
		}
	}
	if transition(f.said) {
		f.Code = upgrade.CodeConflict
		f.Hint = "GitLab does not let a status go back; the next final state will be taken"
	}
	return f.Error
}

// post sends the status, again and again while GitLab holds its lock on the commit.
func (c *Client) post(ctx context.Context, what string, p forge.StatusPost) *failure {
	opts := &gl.SetCommitStatusOptions{
		State: gl.BuildStateValue(p.State), Name: &p.Name, Description: new(cut(p.Description, maxText)), PipelineID: new(int(p.PipelineID)),
	}
	if p.Ref != "" {
		opts.Ref = &p.Ref
	}
	if p.TargetURL != "" {
		opts.TargetURL = &p.TargetURL
	}
	for wait := 250 * time.Millisecond; ; wait *= 2 {
		f := c.once(ctx, what, func(opt gl.RequestOptionFunc) (*gl.Response, error) {
			_, resp, err := c.api.Commits.SetCommitStatus(int(p.ProjectID), string(p.Commit), opts, opt)
			return resp, err
		})
		if f == nil || f.status != http.StatusConflict || !c.fits(ctx, wait) {
			return f
		}
		c.log.DebugContext(ctx, "gitlab is writing the same status", "what", what, "wait", wait)
		if c.clock.Sleep(ctx, wait) != nil {
			return f
		}
	}
}

// transition reports whether a 400 is GitLab's state machine speaking, which it does in no other way than
// by this sentence: "Cannot transition status via :enqueue from :pending".
func transition(said string) bool { return strings.HasPrefix(said, "Cannot transition status") }

// cut shortens text to at most limit characters.
func cut(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit-1]) + "…"
}
