package gitlabsim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Merge merges a merge request and returns the commit that its target branch leads to afterwards. With
// squash its commits become one.
func (s *Server) Merge(ctx context.Context, projectID, iid, by int64, squash bool) (upgrade.Commit, error) {
	defer s.clock.Begin()()
	p, err := s.moving(projectID)
	if err != nil {
		return "", fmt.Errorf("merge: %w", err)
	}
	defer s.moved(p)
	mr, user := p.requestBy(iid), s.users[by]
	if mr == nil || user == nil {
		return "", fmt.Errorf("merge: no merge request !%d or no user %d", iid, by)
	}
	if refused := s.merge(ctx, p, mr, user, "", squash); refused != nil {
		return "", fmt.Errorf("merge !%d: %w", iid, refused)
	}
	return p.branches[mr.Target], nil
}

// merge is PUT …/merge. Both locks are held.
func (s *Server) merge(ctx context.Context, p *project, mr *mergeRequest, by *User, sha string, squash bool) *refusal {
	pl := p.headPipeline(mr)
	switch {
	case !p.may(p.members[by.ID], mr.Target, true):
		return &refusal{http.StatusUnauthorized, "401 Unauthorized"}
	case mr.State != "opened" || mr.Draft || p.mustSucceed && (pl == nil || pl.Status != "success"):
		return &refusal{http.StatusMethodNotAllowed, "405 Method Not Allowed"}
	case sha != "" && sha != string(mr.Head):
		return &refusal{http.StatusConflict, "SHA does not match HEAD of source branch: " + string(mr.Head)}
	}
	before := p.branches[mr.Target]
	after, err := s.mergeCommit(ctx, p, mr, by, before, squash)
	switch {
	case errors.Is(err, errConflict):
		return &refusal{http.StatusUnprocessableEntity, "Branch cannot be merged"}
	case err != nil:
		return &refusal{http.StatusInternalServerError, err.Error()}
	}
	if _, err := s.run(ctx, p.dir, nil, "", "update-ref", "refs/heads/"+mr.Target, string(after), string(before)); err != nil {
		return &refusal{http.StatusInternalServerError, err.Error()}
	}
	now := s.clock.Now()
	mr.State, mr.MergedBy, mr.MergedAt, mr.UpdatedAt = "merged", by.ID, now, now
	if after != mr.Head {
		mr.MergeCommit = after
	}
	s.act(by, "merge", p.Path+mr.name(), after.Short(), "")
	if err := s.refsMoved(ctx, p, by, []refChange{{mr.Target, before, after}}); err != nil {
		return &refusal{http.StatusInternalServerError, err.Error()}
	}
	s.fire(p, "merge_request", s.mergeRequestBody(p, mr, by, "merge", ""))
	return nil
}

// mergeCommit makes the commit that target will lead to.
func (s *Server) mergeCommit(ctx context.Context, p *project, mr *mergeRequest, by *User, target upgrade.Commit, squash bool) (upgrade.Commit, error) {
	tree, err := s.mergedTree(ctx, p, target, mr.Head)
	if err != nil {
		return "", err
	}
	source := mr.Head
	if squash {
		if source, err = s.commitTree(ctx, p, s.users[mr.AuthorID], tree, mr.Title+"\n", target); err != nil {
			return "", err
		}
	}
	if p.fastForward {
		if _, err := s.run(ctx, p.dir, nil, "", "merge-base", "--is-ancestor", string(target), string(source)); err != nil {
			return "", errConflict
		}
		return source, nil
	}
	message := fmt.Sprintf("Merge branch '%s' into '%s'\n\n%s\n\nSee merge request %s!%d\n", mr.Source, mr.Target, strings.TrimSpace(mr.Title), p.Path, mr.IID)
	return s.commitTree(ctx, p, by, tree, message, target, source)
}
