package gitlabsim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The bodies of webhooks, after doc/user/project/integrations/webhook_events.md and lib/gitlab/data_builder.
// mu is held in all of them.

// hookTime is how most webhook fields write a time; REST and deployments have ISO 8601.
func hookTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func (s *Server) hookUser(id int64) map[string]any {
	u := s.users[id]
	if u == nil {
		return nil
	}
	return map[string]any{"id": u.ID, "name": u.Name, "username": u.Username, "avatar_url": nil, "email": "[REDACTED]"}
}

func (s *Server) hookProject(p *project) map[string]any {
	shown := s.shown(p)
	namespace, name := cutLast(p.Path)
	ssh := "git@" + strings.TrimPrefix(strings.TrimPrefix(s.url, "http://"), "https://") + ":" + p.Path + ".git"
	return map[string]any{
		"id": p.ID, "name": name, "description": "", "web_url": shown.WebURL, "avatar_url": nil, "git_ssh_url": ssh, "git_http_url": shown.GitURL,
		"namespace": namespace, "visibility_level": visibilityLevel(p), "path_with_namespace": p.Path, "default_branch": p.DefaultBranch, "ci_config_path": nil,
		"homepage": shown.WebURL, "url": ssh, "ssh_url": ssh, "http_url": shown.GitURL,
	}
}

func visibilityLevel(p *project) int {
	if p.Public {
		return 20
	}
	return 0
}

// cutLast splits a path with namespace before its last part.
func cutLast(path string) (before, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

func (s *Server) hookCommit(p *project, id upgrade.Commit) map[string]any {
	c, ok := p.commits[id]
	if !ok {
		return nil
	}
	return map[string]any{
		"id": string(c.ID), "message": c.Message, "title": c.title(), "timestamp": c.Author.At.Format(time.RFC3339),
		"url": s.url + "/" + p.Path + "/-/commit/" + string(c.ID), "author": map[string]any{"name": c.Author.Name, "email": "[REDACTED]"},
	}
}

func (s *Server) pushBody(p *project, by *User, c refChange, commits []upgrade.Commit) map[string]any {
	newest := commits
	if len(newest) > 20 {
		newest = newest[len(newest)-20:]
	}
	list := []any{}
	for _, id := range newest {
		entry := s.hookCommit(p, id)
		entry["added"], entry["modified"], entry["removed"] = []string{}, []string{}, []string{} // A guess: we do not look.
		list = append(list, entry)
	}
	var checkout any
	if !c.After.Zero() {
		checkout = string(c.After)
	}
	project := s.hookProject(p)
	return map[string]any{
		"object_kind": "push", "event_name": "push", "before": string(c.Before), "after": string(c.After), "ref": "refs/heads/" + c.Branch,
		"ref_protected": p.isProtected(c.Branch), "checkout_sha": checkout, "message": nil, "user_id": by.ID, "user_name": by.Name, "user_username": by.Username,
		"user_email": nil, "user_avatar": nil, "project_id": p.ID, "project": project, "commits": list, "total_commits_count": len(commits), "push_options": map[string]any{},
		"repository": pick(project, "name", "url", "description", "homepage", "git_http_url", "git_ssh_url", "visibility_level"),
	}
}

func pick(m map[string]any, keys ...string) map[string]any {
	out := map[string]any{}
	for _, k := range keys {
		out[k] = m[k]
	}
	return out
}

func (s *Server) mergeRequestBody(p *project, mr *mergeRequest, by *User, action string, old upgrade.Commit) map[string]any {
	attrs := s.hookMergeRequest(p, mr)
	attrs["action"] = action
	if old != "" {
		attrs["oldrev"] = string(old)
	}
	project := s.hookProject(p)
	return map[string]any{
		"object_kind": "merge_request", "event_type": "merge_request", "user": s.hookUser(by.ID), "project": project, "object_attributes": attrs, "labels": []any{},
		"changes": map[string]any{}, "repository": pick(project, "name", "url", "description", "homepage"), "assignees": []any{}, "reviewers": []any{},
	}
}

func (s *Server) hookMergeRequest(p *project, mr *mergeRequest) map[string]any {
	var head any
	if pl := p.headPipeline(mr); pl != nil {
		head = pl.ID
	}
	var merged any
	if mr.MergeCommit != "" {
		merged = string(mr.MergeCommit)
	}
	return map[string]any{
		"id": mr.ID, "iid": mr.IID, "title": mr.Title, "description": mr.Description, "state": mr.State, "draft": mr.Draft, "work_in_progress": mr.Draft,
		"author_id": mr.AuthorID, "assignee_id": nil, "assignee_ids": []any{}, "reviewer_ids": []any{}, "source_branch": mr.Source, "target_branch": mr.Target,
		"source_project_id": p.ID, "target_project_id": p.ID, "source": s.hookProject(p), "target": s.hookProject(p), "last_commit": s.hookCommit(p, mr.Head),
		"head_pipeline_id": head, "merge_commit_sha": merged, "merge_status": "can_be_merged", "detailed_merge_status": p.mergeStatus(mr),
		"created_at": hookTime(mr.CreatedAt), "updated_at": hookTime(mr.UpdatedAt), "merge_user_id": nil, "merge_when_pipeline_succeeds": false,
		"blocking_discussions_resolved": true, "url": s.mergeRequestURL(p, mr), "labels": []any{}, "first_contribution": false,
	}
}

// mergeStatus is detailed_merge_status, the values that we know.
func (p *project) mergeStatus(mr *mergeRequest) string {
	pl := p.headPipeline(mr)
	switch {
	case mr.State != "opened":
		return "not_open"
	case mr.Draft:
		return "draft_status"
	case p.mustSucceed && (pl == nil || pl.Status != "success"):
		return "ci_must_pass"
	}
	return "mergeable"
}

func (s *Server) mergeRequestURL(p *project, mr *mergeRequest) string {
	return fmt.Sprintf("%s/%s/-/merge_requests/%d", s.url, p.Path, mr.IID)
}

func (s *Server) pipelineBody(p *project, pl *pipeline) map[string]any {
	builds, stages := []any{}, []string{}
	for _, j := range pl.jobs {
		if j.External || j.Retried {
			continue
		}
		builds = append(builds, s.hookBuild(j))
		if !slices.Contains(stages, j.Stage) {
			stages = append(stages, j.Stage)
		}
	}
	ref, request := pl.Ref, any(nil)
	if mr := p.requestOf(pl); mr != nil {
		ref = mr.Source // the webhook shows the source branch, the API the merge request's ref
		request = map[string]any{
			"id": mr.ID, "iid": mr.IID, "title": mr.Title, "source_branch": mr.Source, "source_project_id": p.ID, "target_branch": mr.Target, "target_project_id": p.ID,
			"state": mr.State, "merge_status": "can_be_merged", "detailed_merge_status": p.mergeStatus(mr), "url": s.mergeRequestURL(p, mr),
		}
	}
	var duration any
	if !pl.finished.IsZero() {
		duration = int(pl.finished.Sub(pl.CreatedAt).Seconds())
	}
	return map[string]any{
		"object_kind": "pipeline", "object_attributes": map[string]any{
			"id": pl.ID, "iid": pl.iid, "name": nil, "ref": ref, "tag": false, "sha": string(pl.Commit), "before_sha": string(zeroCommit), "source": pl.Source,
			"status": pl.Status, "detailed_status": detailed(pl.Status), "stages": stages, "created_at": hookTime(pl.CreatedAt), "finished_at": hookTime(pl.finished),
			"duration": duration, "queued_duration": nil, "protected_ref": p.isProtected(pl.Ref), "variables": []any{}, "url": s.pipelineURL(p, pl),
		},
		"merge_request": request, "user": s.hookUser(pl.UserID), "project": s.hookProject(p), "commit": s.hookCommit(p, pl.Commit), "builds": builds,
	}
}

// detailed is a status's label where it differs.
func detailed(status string) string {
	switch status {
	case "success":
		return "passed"
	case "manual":
		return "blocked"
	}
	return status
}

func (p *project) requestOf(pl *pipeline) *mergeRequest {
	for _, mr := range p.requests {
		if pl.Ref == mr.ref() {
			return mr
		}
	}
	return nil
}

func (s *Server) pipelineURL(p *project, pl *pipeline) string {
	return fmt.Sprintf("%s/%s/-/pipelines/%d", s.url, p.Path, pl.ID)
}

func (s *Server) hookBuild(j *job) map[string]any {
	when := "on_success"
	if j.Manual {
		when = "manual"
	}
	return map[string]any{
		"id": j.ID, "stage": j.Stage, "name": j.Name, "status": j.Status, "created_at": hookTime(j.CreatedAt), "started_at": hookTime(j.StartedAt), "finished_at": hookTime(j.FinishedAt),
		"duration": seconds(j), "queued_duration": nil, "failure_reason": failure(j), "when": when, "manual": j.Manual, "allow_failure": j.AllowFailure,
		"user": s.hookUser(j.UserID), "runner": nil, "artifacts_file": map[string]any{"filename": nil, "size": nil}, "environment": hookEnvironment(j, true),
	}
}

func hookEnvironment(j *job, tier bool) any {
	if j.Environment == "" {
		return nil
	}
	env := map[string]any{"name": j.Environment, "action": "start"}
	if tier {
		env["deployment_tier"] = tierOf(j.Environment)
	}
	return env
}

// tierOf is how GitLab guesses the tier from an environment's name, roughly.
func tierOf(environment string) string {
	switch {
	case strings.Contains(environment, "stag"):
		return "staging"
	case strings.Contains(environment, "prod"), strings.Contains(environment, "live"):
		return "production"
	}
	return "other"
}

func failure(j *job) any {
	if j.Status != "failed" {
		return nil
	}
	return j.Failure
}

// seconds is a job's duration; null before it has one.
func seconds(j *job) any {
	if j.StartedAt.IsZero() || j.FinishedAt.IsZero() {
		return nil
	}
	return j.FinishedAt.Sub(j.StartedAt).Seconds()
}

func (s *Server) jobBody(p *project, pl *pipeline, j *job) map[string]any {
	c := p.commits[pl.Commit]
	project := s.hookProject(p)
	return map[string]any{
		"object_kind": "build", "ref": pl.Ref, "tag": false, "before_sha": string(zeroCommit), "sha": string(pl.Commit), "retries_count": 0,
		"build_id": j.ID, "build_name": j.Name, "build_stage": j.Stage, "build_status": j.Status, "build_created_at": hookTime(j.CreatedAt), "build_started_at": hookTime(j.StartedAt),
		"build_finished_at": hookTime(j.FinishedAt), "build_duration": seconds(j), "build_queued_duration": nil, "build_allow_failure": j.AllowFailure,
		"build_failure_reason": orDefault(j.Failure, "unknown_failure"), "pipeline_id": pl.ID, "runner": nil, "project_id": p.ID,
		"project_name": strings.ReplaceAll(p.Path, "/", " / "), "user": s.hookUser(j.UserID), "project": project,
		"commit": map[string]any{ // its id is the pipeline's, as in GitLab
			"id": pl.ID, "name": nil, "sha": string(pl.Commit), "message": c.Message, "author_name": c.Author.Name, "author_email": "[REDACTED]", "author_url": nil,
			"status": pl.Status, "duration": nil, "started_at": nil, "finished_at": hookTime(pl.finished),
		},
		"repository":  pick(project, "name", "url", "description", "homepage", "git_http_url", "git_ssh_url", "visibility_level"),
		"environment": hookEnvironment(j, false), "source_pipeline": nil,
	}
}

func (s *Server) deploymentBody(p *project, d *Deployment) map[string]any {
	return map[string]any{
		"object_kind": "deployment", "status": d.Status, "status_changed_at": d.UpdatedAt.UTC().Format("2006-01-02 15:04:05 -0700"), "deployment_id": d.ID,
		"deployable_id": d.JobID, "deployable_url": fmt.Sprintf("%s/%s/-/jobs/%d", s.url, p.Path, d.JobID), "environment": d.Environment,
		"environment_tier": tierOf(d.Environment), "environment_slug": d.Environment, "environment_external_url": nil, "project": s.hookProject(p), "ref": d.Ref,
		"short_sha": string(d.Commit)[:8], "user": s.hookUser(d.UserID), "user_url": s.url + "/" + s.users[d.UserID].Username,
		"commit_url": s.url + "/" + p.Path + "/-/commit/" + string(d.Commit), "commit_title": p.commits[d.Commit].title(),
	}
}

func (s *Server) noteBody(p *project, mr *mergeRequest, n *Note, by *User, action string) map[string]any {
	project := s.hookProject(p)
	url := fmt.Sprintf("%s#note_%d", s.mergeRequestURL(p, mr), n.ID)
	return map[string]any{
		"object_kind": "note", "event_type": "note", "user": s.hookUser(by.ID), "project_id": p.ID, "project": project,
		"repository": pick(project, "name", "url", "description", "homepage"),
		"object_attributes": map[string]any{
			"id": n.ID, "internal": false, "note": n.Body, "noteable_type": "MergeRequest", "author_id": n.AuthorID, "created_at": hookTime(n.CreatedAt),
			"updated_at": hookTime(n.UpdatedAt), "project_id": p.ID, "attachment": nil, "line_code": nil, "commit_id": "", "noteable_id": mr.ID, "system": n.System,
			"st_diff": nil, "action": action, "url": url,
		},
		"merge_request": s.hookMergeRequest(p, mr),
	}
}
