package gitlabsim

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

type mergeRequest struct {
	MergeRequest
	commits []upgrade.Commit // in Source and not in Target, oldest first
}

var draftTitle = regexp.MustCompile(`(?i)^\s*(\[draft\]|\(draft\)|draft:)\s*`)

// MergeRequestSpec is a merge request to be made.
type MergeRequestSpec struct {
	Title       string // one that begins with "Draft:" makes it a draft
	Description string
	Source      string
	Target      string // default: the default branch
	Author      int64
}

// CreateMR opens a merge request and starts its pipeline, if the CI has jobs for one.
func (s *Server) CreateMR(ctx context.Context, projectID int64, spec MergeRequestSpec) (MergeRequest, error) {
	defer s.clock.Begin()()
	p, err := s.moving(projectID)
	if err != nil {
		return MergeRequest{}, fmt.Errorf("create merge request: %w", err)
	}
	defer s.moved(p)
	author := s.users[spec.Author]
	if author == nil {
		return MergeRequest{}, fmt.Errorf("create merge request: no user %d", spec.Author)
	}
	mr, refused := s.createMR(ctx, p, author, spec)
	if refused != nil {
		return MergeRequest{}, fmt.Errorf("create merge request: %w", refused)
	}
	return mr.copied(), nil
}

// createMR is what both ways in share. Both locks are held.
func (s *Server) createMR(ctx context.Context, p *project, author *User, spec MergeRequestSpec) (*mergeRequest, *refusal) {
	spec.Target = orDefault(spec.Target, p.DefaultBranch)
	head, ok := p.branches[spec.Source]
	switch {
	case p.members[author.ID] < Developer:
		return nil, &refusal{http.StatusForbidden, "403 Forbidden"}
	case spec.Title == "" || spec.Source == "":
		return nil, &refusal{http.StatusBadRequest, "title, source_branch are missing"}
	case !ok:
		return nil, &refusal{http.StatusUnprocessableEntity, []string{"Source branch \"" + spec.Source + "\" does not exist"}}
	case p.branches[spec.Target] == "":
		return nil, &refusal{http.StatusUnprocessableEntity, []string{"Target branch \"" + spec.Target + "\" does not exist"}}
	case spec.Source == spec.Target:
		return nil, &refusal{http.StatusUnprocessableEntity, []string{"You can't use same project/branch for source and target"}}
	}
	for _, other := range p.requests {
		if other.State == "opened" && other.Source == spec.Source && other.Target == spec.Target {
			return nil, &refusal{http.StatusConflict, []string{fmt.Sprintf("Another open merge request already exists for this source branch: !%d", other.IID)}}
		}
	}
	now := s.clock.Now()
	mr := &mergeRequest{MergeRequest: MergeRequest{
		ID: next(&s.ids.mergeRequest), IID: int64(len(p.requests) + 1), ProjectID: p.ID, Title: spec.Title, Description: spec.Description, State: "opened",
		Draft: draftTitle.MatchString(spec.Title), Source: spec.Source, Target: spec.Target, AuthorID: author.ID, CreatedAt: now, UpdatedAt: now,
	}}
	if err := s.newVersion(ctx, p, mr, head); err != nil {
		return nil, &refusal{http.StatusInternalServerError, err.Error()}
	}
	p.requests = append(p.requests, mr)
	s.act(author, "create_merge_request", p.Path+mr.name(), "opened", "")
	s.fire(p, "merge_request", s.mergeRequestBody(p, mr, author, "open", ""))
	s.createPipeline(p, author, head, mr.ref(), "merge_request_event")
	return mr, nil
}

func (mr *mergeRequest) name() string { return fmt.Sprintf("!%d", mr.IID) }
func (mr *mergeRequest) ref() string  { return fmt.Sprintf("refs/merge-requests/%d/head", mr.IID) }

func (mr *mergeRequest) copied() MergeRequest {
	out := mr.MergeRequest
	out.Approvals, out.Versions, out.Notes = slices.Clone(mr.Approvals), slices.Clone(mr.Versions), slices.Clone(mr.Notes)
	return out
}

// newVersion makes head the merge request's state, and its ref lead there.
func (s *Server) newVersion(ctx context.Context, p *project, mr *mergeRequest, head upgrade.Commit) error {
	if _, err := s.run(ctx, p.dir, nil, "", "update-ref", mr.ref(), string(head)); err != nil {
		return err
	}
	commits, err := s.between(ctx, p, p.branches[mr.Target], head)
	if err != nil {
		return err
	}
	base, err := s.run(ctx, p.dir, nil, "", "merge-base", string(p.branches[mr.Target]), string(head))
	if err != nil {
		base = "" // unrelated histories
	}
	mr.Head, mr.commits = head, commits
	mr.Versions = append(mr.Versions, Version{ID: next(&s.ids.version), Head: head, Base: upgrade.Commit(base), CreatedAt: s.clock.Now()})
	return nil
}

// requestsMoved gives open merge requests from a branch that moved their new version, and closes those
// whose branch is gone.
func (s *Server) requestsMoved(ctx context.Context, p *project, by *User, c refChange) error {
	for _, mr := range p.requests {
		if mr.State != "opened" || mr.Source != c.Branch || mr.Head == c.After {
			continue
		}
		mr.UpdatedAt = s.clock.Now()
		if c.After.Zero() {
			mr.State = "closed"
			s.fire(p, "merge_request", s.mergeRequestBody(p, mr, by, "close", ""))
			continue
		}
		old := mr.Head
		if err := s.newVersion(ctx, p, mr, c.After); err != nil {
			return err
		}
		s.fire(p, "merge_request", s.mergeRequestBody(p, mr, by, "update", old))
		s.createPipeline(p, by, c.After, mr.ref(), "merge_request_event")
	}
	return nil
}

// headPipeline returns the newest pipeline of the merge request's head; nil when there is none. One that
// GitLab made for a posted status counts too: that is how a status can open a merge request.
func (p *project) headPipeline(mr *mergeRequest) *pipeline {
	for _, pl := range slices.Backward(p.pipelines) {
		if pl.Commit == mr.Head && (pl.Ref == mr.Source || pl.Ref == mr.ref()) {
			return pl
		}
	}
	return nil
}

func (p *project) requestBy(iid int64) *mergeRequest {
	if iid < 1 || iid > int64(len(p.requests)) {
		return nil
	}
	return p.requests[iid-1]
}

// Approve approves a merge request as it is now.
func (s *Server) Approve(projectID, iid, by int64) error {
	return s.onRequest(projectID, iid, by, "approve", func(p *project, mr *mergeRequest, user *User) *refusal { return s.approve(p, mr, user, "") })
}

// Unapprove takes an approval back.
func (s *Server) Unapprove(projectID, iid, by int64) error {
	return s.onRequest(projectID, iid, by, "unapprove", s.unapprove)
}

// SetDraft marks a merge request as a draft, or as ready.
func (s *Server) SetDraft(projectID, iid int64, draft bool, by int64) error {
	return s.onRequest(projectID, iid, by, "mark", func(p *project, mr *mergeRequest, user *User) *refusal {
		title := draftTitle.ReplaceAllString(mr.Title, "")
		if draft {
			title = "Draft: " + title
		}
		return s.update(p, mr, user, title, "")
	})
}

// CloseMR closes a merge request without merging it.
func (s *Server) CloseMR(projectID, iid, by int64) error {
	return s.onRequest(projectID, iid, by, "close", func(p *project, mr *mergeRequest, user *User) *refusal { return s.update(p, mr, user, "", "close") })
}

func (s *Server) onRequest(projectID, iid, by int64, what string, do func(*project, *mergeRequest, *User) *refusal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, user := s.projectBy(projectID), s.users[by]
	if p == nil || user == nil || p.requestBy(iid) == nil {
		return fmt.Errorf("%s: no merge request !%d in project %d, or no user %d", what, iid, projectID, by)
	}
	if refused := do(p, p.requestBy(iid), user); refused != nil {
		return fmt.Errorf("%s !%d: %w", what, iid, refused)
	}
	return nil
}

// approve is POST …/approve: 401 for whoever may not, 409 when sha is not the head any more.
func (s *Server) approve(p *project, mr *mergeRequest, by *User, sha string) *refusal {
	switch {
	case p.members[by.ID] < Developer, slices.ContainsFunc(mr.Approvals, func(a Approval) bool { return a.UserID == by.ID }):
		return &refusal{http.StatusUnauthorized, "401 Unauthorized"}
	case sha != "" && sha != string(mr.Head):
		return &refusal{http.StatusConflict, "SHA does not match HEAD of source branch: " + string(mr.Head)}
	}
	mr.Approvals = append(mr.Approvals, Approval{UserID: by.ID, At: s.clock.Now()})
	mr.UpdatedAt = s.clock.Now()
	s.act(by, "approve", p.Path+mr.name(), mr.Head.Short(), "")
	s.fire(p, "merge_request", s.mergeRequestBody(p, mr, by, "approved", ""))
	return nil
}

func (s *Server) unapprove(p *project, mr *mergeRequest, by *User) *refusal {
	n := len(mr.Approvals)
	mr.Approvals = slices.DeleteFunc(mr.Approvals, func(a Approval) bool { return a.UserID == by.ID })
	if len(mr.Approvals) == n {
		return &refusal{http.StatusNotFound, "404 Not Found"}
	}
	mr.UpdatedAt = s.clock.Now()
	s.act(by, "unapprove", p.Path+mr.name(), mr.Head.Short(), "")
	s.fire(p, "merge_request", s.mergeRequestBody(p, mr, by, "unapproved", ""))
	return nil
}

// update is PUT …/merge_requests/:iid: a new title, and close or reopen.
func (s *Server) update(p *project, mr *mergeRequest, by *User, title, event string) *refusal {
	if by.ID != mr.AuthorID && p.members[by.ID] < Developer {
		return &refusal{http.StatusForbidden, "403 Forbidden"}
	}
	action := "update"
	if title != "" {
		mr.Title, mr.Draft = title, draftTitle.MatchString(title)
	}
	switch {
	case event == "close" && mr.State == "opened":
		mr.State, action = "closed", "close"
	case event == "reopen" && mr.State == "closed":
		mr.State, action = "opened", "reopen"
	}
	mr.UpdatedAt = s.clock.Now()
	s.fire(p, "merge_request", s.mergeRequestBody(p, mr, by, action, ""))
	return nil
}

// MergeRequest returns a merge request; false when there is none.
func (s *Server) MergeRequest(projectID, iid int64) (MergeRequest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projectBy(projectID)
	if p == nil || p.requestBy(iid) == nil {
		return MergeRequest{}, false
	}
	return p.requestBy(iid).copied(), true
}
