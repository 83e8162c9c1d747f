package gitlabsim

import (
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/upgrade"
)

// statusPost is the body of POST /projects/:id/statuses/:sha.
type statusPost struct {
	sha         upgrade.Commit
	state       string
	name        string
	ref         string
	pipelineID  int64
	targetURL   *string
	description *string
}

// postStatus does what GitLab's Ci::CreateCommitStatusService does, in its order. mu is held.
func (s *Server) postStatus(p *project, by *User, post statusPost) (*job, *refusal) {
	target := fmt.Sprintf("commit %s %s", post.sha.Short(), post.name)
	row, warning, refused := s.writeStatus(p, by, post)
	if refused != nil {
		s.act(by, "status", target, fmt.Sprintf("%s refused: %s", post.state, refused.Message), warning)
		return nil, refused
	}
	s.act(by, "status", fmt.Sprintf("pipeline %d %s", row.PipelineID, target), post.state, warning)
	return row, nil
}

func (s *Server) writeStatus(p *project, by *User, post statusPost) (row *job, warning string, refused *refusal) {
	pl := p.pipelineFor(post)
	ref := post.ref
	if ref == "" && pl != nil {
		ref = pl.Ref
	}
	if ref == "" {
		ref = p.branchWith(post.sha)
	}
	switch {
	case ref == "":
		return nil, "", &refusal{http.StatusNotFound, "404 References for commit Not Found"}
	case post.pipelineID != 0 && pl == nil:
		return nil, "", &refusal{http.StatusNotFound, "404 Pipeline for pipeline_id, sha and ref Not Found"}
	case !p.mayRun(by.ID, ref):
		return nil, "", &refusal{http.StatusForbidden, "403 Forbidden"}
	}
	if pl == nil {
		pl = s.newPipeline(p, by, post.sha, ref, "external")
		s.fire(p, "pipeline", s.pipelineBody(p, pl))
		warning = fmt.Sprintf("no pipeline_id, and no pipeline to put it in: GitLab made pipeline %d of its own", pl.ID)
	}
	if why := pl.invalid(post); why != nil {
		return nil, warning, &refusal{http.StatusBadRequest, why}
	}
	row = pl.openStatus(by.ID, post.name, ref)
	if row != nil && (post.state == "pending" || post.state == "running" && row.Status == "running") {
		event := "enqueue"
		if post.state == "running" {
			event = "run"
		}
		return nil, warning, &refusal{http.StatusBadRequest, fmt.Sprintf("Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via \"%s\")", event, row.Status, event)}
	}
	if row == nil {
		row = s.newStatus(p, pl, by, post, ref)
	}
	if post.targetURL != nil {
		row.TargetURL = *post.targetURL
	}
	if post.description != nil {
		row.Description = *post.description
	}
	if post.state == "failed" {
		row.Failure = "api_failure"
	}
	s.set(p, pl, row, post.state)
	s.process(p, pl)
	return row, warning, nil
}

// newStatus adds a row and hides older ones of its name.
func (s *Server) newStatus(p *project, pl *pipeline, by *User, post statusPost, ref string) *job {
	for _, old := range pl.jobs {
		if old.External && old.Name == post.name && old.Ref == ref {
			old.Retried = true
		}
	}
	row := &job{stage: externalStage, Job: Job{
		ID: next(&s.ids.job), ProjectID: p.ID, PipelineID: pl.ID, Commit: post.sha, Ref: ref, Name: post.name, Stage: "external",
		UserID: by.ID, CreatedAt: s.clock.Now(), External: true,
	}}
	pl.jobs = append(pl.jobs, row)
	return row
}

// pipelineFor returns the newest pipeline that fits; nil when none does.
func (p *project) pipelineFor(post statusPost) *pipeline {
	for _, pl := range slices.Backward(p.pipelines) {
		if pl.Commit == post.sha && (post.ref == "" || pl.Ref == post.ref) && (post.pipelineID == 0 || pl.ID == post.pipelineID) {
			return pl
		}
	}
	return nil
}

// branchWith returns a branch whose head is the commit. GitLab takes the first that contains it.
func (p *project) branchWith(sha upgrade.Commit) string {
	var names []string
	for name, head := range p.branches {
		if head == sha {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}

// openStatus returns the row that a post changes in place: same user, name and ref, and not over yet.
func (pl *pipeline) openStatus(user int64, name, ref string) *job {
	for _, j := range pl.jobs {
		if j.External && j.Name == name && j.Ref == ref && j.UserID == user && (j.Status == "pending" || j.Status == "running") {
			return j
		}
	}
	return nil
}

// invalid returns GitLab's validation messages; nil when all is well.
func (pl *pipeline) invalid(post statusPost) any {
	wrong := map[string][]string{}
	if slices.ContainsFunc(pl.jobs, func(j *job) bool { return !j.External && j.Name == post.name }) {
		wrong["name"] = []string{"has already been taken"}
	}
	if post.targetURL != nil && len(*post.targetURL) > 255 {
		wrong["target_url"] = []string{"is too long (maximum is 255 characters)"}
	}
	if post.description != nil && utf8.RuneCountInString(*post.description) > 255 {
		wrong["description"] = []string{"is too long (maximum is 255 characters)"}
	}
	if len(wrong) == 0 {
		return nil
	}
	return wrong
}
