package gitlabsim

import (
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The answers of the API, after lib/api/entities. mu is held in all of them.

func isoTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (s *Server) userJSON(id int64) any {
	u := s.users[id]
	if u == nil {
		return nil
	}
	return map[string]any{
		"id": u.ID, "username": u.Username, "name": u.Name, "state": "active", "locked": false, "avatar_url": nil, "web_url": s.url + "/" + u.Username,
	}
}

func (s *Server) projectJSON(p *project) map[string]any {
	shown := s.shown(p)
	_, name := cutLast(p.Path)
	visibility := "private"
	if p.Public {
		visibility = "public"
	}
	return map[string]any{
		"id": p.ID, "description": "", "name": name, "name_with_namespace": p.Path, "path": name, "path_with_namespace": p.Path, "default_branch": p.DefaultBranch,
		"http_url_to_repo": shown.GitURL, "ssh_url_to_repo": "", "web_url": shown.WebURL, "readme_url": nil, "visibility": visibility, "archived": false,
		"only_allow_merge_if_pipeline_succeeds": p.mustSucceed, "merge_method": map[bool]string{false: "merge", true: "ff"}[p.fastForward],
		"_links": map[string]any{"self": fmt.Sprintf("%s/api/v4/projects/%d", s.url, p.ID)},
	}
}

func (s *Server) commitJSON(p *project, id upgrade.Commit) any {
	c, ok := p.commits[id]
	if !ok {
		return nil
	}
	return map[string]any{
		"id": string(c.ID), "short_id": string(c.ID)[:8], "created_at": isoTime(c.Committer.At), "parent_ids": c.Parents, "title": c.title(), "message": c.Message,
		"author_name": c.Author.Name, "author_email": c.Author.Email, "authored_date": isoTime(c.Author.At), "committer_name": c.Committer.Name,
		"committer_email": c.Committer.Email, "committed_date": isoTime(c.Committer.At), "trailers": map[string]any{}, "web_url": s.url + "/" + p.Path + "/-/commit/" + string(c.ID),
	}
}

func (s *Server) branchJSON(p *project, name string, user *User) any {
	var push, devPush, devMerge bool
	if user != nil {
		push = p.may(p.members[user.ID], name, false)
	}
	devPush, devMerge = p.may(Developer, name, false), p.may(Developer, name, true)
	protected := p.isProtected(name)
	return map[string]any{
		"name": name, "commit": s.commitJSON(p, p.branches[name]), "merged": false, "protected": protected, "developers_can_push": protected && devPush,
		"developers_can_merge": protected && devMerge, "can_push": push, "default": name == p.DefaultBranch, "web_url": s.url + "/" + p.Path + "/-/tree/" + name,
	}
}

func (s *Server) mergeRequestJSON(p *project, mr *mergeRequest, single bool) map[string]any {
	var mergeCommit any
	if mr.MergeCommit != "" {
		mergeCommit = string(mr.MergeCommit)
	}
	out := map[string]any{
		"id": mr.ID, "iid": mr.IID, "project_id": p.ID, "title": mr.Title, "description": mr.Description, "state": mr.State, "created_at": isoTime(mr.CreatedAt),
		"updated_at": isoTime(mr.UpdatedAt), "merged_at": isoTime(mr.MergedAt), "merged_by": s.userJSON(mr.MergedBy), "merge_user": s.userJSON(mr.MergedBy), "closed_at": nil,
		"target_branch": mr.Target, "source_branch": mr.Source, "author": s.userJSON(mr.AuthorID), "assignees": []any{}, "reviewers": []any{}, "labels": []any{},
		"source_project_id": p.ID, "target_project_id": p.ID, "draft": mr.Draft, "work_in_progress": mr.Draft, "sha": string(mr.Head), "merge_commit_sha": mergeCommit,
		"squash_commit_sha": nil, "merge_status": "can_be_merged", "detailed_merge_status": p.mergeStatus(mr), "has_conflicts": false, "user_notes_count": len(mr.Notes),
		"web_url": s.mergeRequestURL(p, mr), "references": map[string]any{"short": mr.name(), "relative": mr.name(), "full": p.Path + mr.name()},
	}
	if !single {
		return out
	}
	base := ""
	if len(mr.Versions) > 0 {
		base = string(mr.Versions[len(mr.Versions)-1].Base)
	}
	out["diff_refs"] = map[string]any{"base_sha": base, "head_sha": string(mr.Head), "start_sha": base}
	out["head_pipeline"], out["pipeline"] = nil, nil
	if pl := p.headPipeline(mr); pl != nil {
		out["head_pipeline"], out["pipeline"] = s.pipelineJSON(p, pl, true), s.pipelineJSON(p, pl, false)
	}
	return out
}

func (s *Server) approvalsJSON(p *project, mr *mergeRequest) map[string]any {
	by := []any{}
	for _, a := range mr.Approvals {
		entry := map[string]any{"user": s.userJSON(a.UserID)}
		if !s.cfg.OldApprovals {
			entry["approved_at"] = isoTime(a.At)
		}
		by = append(by, entry)
	}
	return map[string]any{
		"id": mr.ID, "iid": mr.IID, "project_id": p.ID, "title": mr.Title, "description": mr.Description, "state": mr.State, "created_at": isoTime(mr.CreatedAt),
		"updated_at": isoTime(mr.UpdatedAt), "merge_status": "can_be_merged", "approvals_required": 0, "approvals_left": 0,
		"approved":    true, // as GitLab says where none is required, whoever approved
		"approved_by": by, "suggested_approvers": []any{}, "approvers": []any{}, "approver_groups": []any{}, "user_has_approved": false, "user_can_approve": true,
	}
}

func (s *Server) versionJSON(mr *mergeRequest, v Version) any {
	return map[string]any{
		"id": v.ID, "head_commit_sha": string(v.Head), "base_commit_sha": string(v.Base), "start_commit_sha": string(v.Base), "created_at": isoTime(v.CreatedAt),
		"merge_request_id": mr.ID, "state": "collected", "real_size": "1", "patch_id_sha": nil,
	}
}

func (s *Server) noteJSON(p *project, mr *mergeRequest, n *Note) any {
	return map[string]any{
		"id": n.ID, "type": nil, "body": n.Body, "author": s.userJSON(n.AuthorID), "created_at": isoTime(n.CreatedAt), "updated_at": isoTime(n.UpdatedAt),
		"system": n.System, "noteable_id": mr.ID, "noteable_type": "MergeRequest", "project_id": p.ID, "resolvable": false, "confidential": false, "internal": false,
		"noteable_iid": mr.IID, "commands_changes": map[string]any{},
	}
}

func (s *Server) pipelineJSON(p *project, pl *pipeline, single bool) map[string]any {
	out := map[string]any{
		"id": pl.ID, "iid": pl.iid, "project_id": p.ID, "sha": string(pl.Commit), "ref": pl.Ref, "status": pl.Status, "source": pl.Source, "name": nil,
		"created_at": isoTime(pl.CreatedAt), "updated_at": isoTime(pl.UpdatedAt), "web_url": s.pipelineURL(p, pl),
	}
	if single {
		out["before_sha"], out["tag"], out["yaml_errors"], out["user"] = string(zeroCommit), false, nil, s.userJSON(pl.UserID)
		out["finished_at"], out["started_at"], out["duration"], out["coverage"] = isoTime(pl.finished), nil, nil, nil
		out["detailed_status"] = map[string]any{"icon": "status_" + pl.Status, "text": detailed(pl.Status), "label": detailed(pl.Status), "group": pl.Status}
	}
	return out
}

func (s *Server) jobURL(p *project, j *job) string {
	return fmt.Sprintf("%s/%s/-/jobs/%d", s.url, p.Path, j.ID)
}

func (s *Server) jobJSON(p *project, pl *pipeline, j *job) map[string]any {
	out := map[string]any{
		"id": j.ID, "status": j.Status, "stage": j.Stage, "name": j.Name, "ref": j.Ref, "tag": false, "coverage": nil, "allow_failure": j.AllowFailure,
		"created_at": isoTime(j.CreatedAt), "started_at": isoTime(j.StartedAt), "finished_at": isoTime(j.FinishedAt), "erased_at": nil, "duration": seconds(j),
		"queued_duration": nil, "user": s.userJSON(j.UserID), "commit": s.commitJSON(p, pl.Commit), "web_url": s.jobURL(p, j), "artifacts": []any{}, "runner": nil,
		"tag_list": []any{}, "archived": false, "project": map[string]any{"ci_job_token_scope_enabled": false},
		"pipeline": map[string]any{
			"id": pl.ID, "iid": pl.iid, "project_id": p.ID, "sha": string(pl.Commit), "ref": pl.Ref, "status": pl.Status, "source": pl.Source, "web_url": s.pipelineURL(p, pl),
		},
	}
	if j.Status == "failed" {
		out["failure_reason"] = j.Failure
	}
	return out
}

func (s *Server) statusJSON(p *project, j *job) any {
	null := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	url := null(j.TargetURL)
	if !j.External {
		url = s.jobURL(p, j)
	}
	return map[string]any{
		"id": j.ID, "sha": string(j.Commit), "ref": j.Ref, "status": j.Status, "name": j.Name, "target_url": url, "description": null(j.Description),
		"created_at": isoTime(j.CreatedAt), "started_at": isoTime(j.StartedAt), "finished_at": isoTime(j.FinishedAt), "allow_failure": j.AllowFailure, "coverage": nil,
		"pipeline_id": j.PipelineID, "author": s.userJSON(j.UserID),
	}
}

func (s *Server) deploymentJSON(p *project, d *Deployment) any {
	var deployable any
	for _, pl := range p.pipelines {
		if i := slices.IndexFunc(pl.jobs, func(j *job) bool { return j.ID == d.JobID }); i >= 0 {
			deployable = s.jobJSON(p, pl, pl.jobs[i])
		}
	}
	iid := 0
	for i, other := range p.deployments {
		if other == d {
			iid = i + 1
		}
	}
	return map[string]any{
		"id": d.ID, "iid": iid, "ref": d.Ref, "sha": string(d.Commit), "created_at": isoTime(d.CreatedAt), "updated_at": isoTime(d.UpdatedAt), "status": d.Status,
		"user": s.userJSON(d.UserID), "environment": s.environmentJSON(p, d.Environment), "deployable": deployable,
	}
}

func (s *Server) environmentJSON(p *project, name string) any {
	return map[string]any{"id": p.envIDs[name], "name": name, "slug": name, "external_url": nil, "tier": tierOf(name), "state": "available"}
}

func (s *Server) hookJSON(h *hook) any {
	wants := func(kind string) bool { return len(h.Events) == 0 || slices.Contains(h.Events, kind) }
	return map[string]any{
		"id": h.ID, "url": h.URL, "project_id": h.project.ID, "push_events": wants("push"), "tag_push_events": wants("tag_push"), "merge_requests_events": wants("merge_request"),
		"pipeline_events": wants("pipeline"), "job_events": wants("job"), "deployment_events": wants("deployment"), "note_events": wants("note"),
		"enable_ssl_verification": true, "alert_status": map[bool]string{false: "executable", true: "temporarily_disabled"}[s.clock.Now().Before(h.offUntil)],
		"disabled_until": isoTime(h.offUntil),
	}
}

func (s *Server) deliveryJSON(d *delivery) any {
	status := any(d.Status)
	if d.Status == 0 {
		status = "internal error"
	}
	headers := map[string]string{}
	for k := range d.Header {
		headers[k] = d.Header.Get(k)
	}
	if headers["X-Gitlab-Token"] != "" {
		headers["X-Gitlab-Token"] = "[REDACTED]"
	}
	return map[string]any{
		"id": d.ID, "url": d.URL, "trigger": d.Kind + "_hooks", "request_headers": headers, "request_data": rawJSON(d.Body), "response_headers": map[string]any{},
		"response_body": d.Answer, "response_status": status, "execution_duration": d.Took.Seconds(), "created_at": isoTime(d.At),
	}
}
