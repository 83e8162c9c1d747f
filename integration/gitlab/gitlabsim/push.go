package gitlabsim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// refChange is a branch that moved. A zero Before means that it is new, a zero After that it is gone.
type refChange struct {
	Branch string
	Before upgrade.Commit
	After  upgrade.Commit
}

// pushEventHooksLimit is GitLab's own: a push of more branches sends no webhook at all.
const pushEventHooksLimit = 3

// zeroCommit is how git and GitLab write "no commit".
const zeroCommit = upgrade.Commit("0000000000000000000000000000000000000000")

// Commit makes a commit on a branch, as its author would by pushing it, and everything that follows
// from a push: webhooks, pipelines, new versions of merge requests. It returns the commit. A role or
// protection that would forbid the push is an error.
func (s *Server) Commit(ctx context.Context, projectID int64, spec CommitSpec) (upgrade.Commit, error) {
	defer s.clock.Begin()()
	p, err := s.moving(projectID)
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	defer s.moved(p)
	author := s.users[spec.Author]
	if author == nil {
		return "", fmt.Errorf("commit: no user %d", spec.Author)
	}
	if spec.Branch == "" || spec.Message == "" || strings.ContainsAny(spec.Branch, " \n") {
		return "", errors.New("commit: it needs a branch and a message")
	}
	if !p.may(p.members[author.ID], spec.Branch, false) {
		return "", fmt.Errorf("commit: GitLab: %s is not allowed to push to %s of %s", author.Username, spec.Branch, p.Path)
	}
	before, exists := p.branches[spec.Branch]
	from := before
	if !exists {
		before = zeroCommit
		if from, exists = p.branches[orDefault(spec.From, p.DefaultBranch)]; !exists {
			return "", fmt.Errorf("commit: no branch %s", spec.From)
		}
	}
	head, err := s.writeCommit(ctx, p, author, spec, from)
	if err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	if err := s.refsMoved(ctx, p, author, []refChange{{spec.Branch, before, head}}); err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	return head, nil
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// SetBranch makes a branch lead to a commit, as a person with all rights would by force: a branch made, a
// branch reset, or with a zero commit a branch removed.
func (s *Server) SetBranch(ctx context.Context, projectID int64, branch string, to upgrade.Commit, by int64) error {
	defer s.clock.Begin()()
	p, err := s.moving(projectID)
	if err != nil {
		return fmt.Errorf("set branch: %w", err)
	}
	defer s.moved(p)
	user := s.users[by]
	if user == nil {
		return fmt.Errorf("set branch: no user %d", by)
	}
	before := p.branches[branch]
	if before == "" {
		before = zeroCommit
	}
	args := []string{"update-ref", "refs/heads/" + branch, string(to)}
	if to.Zero() {
		to = zeroCommit
		args = []string{"update-ref", "-d", "refs/heads/" + branch}
	}
	if _, err := s.run(ctx, p.dir, nil, "", args...); err != nil {
		return fmt.Errorf("set branch: %w", err)
	}
	return s.refsMoved(ctx, p, user, []refChange{{branch, before, to}})
}

// moving takes both locks for a project whose refs will move; moved gives them back.
func (s *Server) moving(projectID int64) (*project, error) {
	s.mu.Lock()
	p := s.projectBy(projectID)
	s.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("no project %d", projectID)
	}
	p.refs.Lock()
	s.mu.Lock()
	return p, nil
}

func (s *Server) moved(p *project) {
	s.mu.Unlock()
	p.refs.Unlock()
}

// refsMoved does what GitLab does after a push. Both locks are held.
func (s *Server) refsMoved(ctx context.Context, p *project, by *User, changes []refChange) error {
	for _, c := range changes {
		commits, err := s.pushed(ctx, p, c)
		if err != nil {
			return err
		}
		if c.After.Zero() {
			delete(p.branches, c.Branch)
		} else {
			p.branches[c.Branch] = c.After
		}
		s.act(by, "push", p.Path+" "+c.Branch, c.After.Short(), "")
		if len(changes) <= pushEventHooksLimit {
			s.fire(p, "push", s.pushBody(p, by, c, commits))
		}
	}
	for _, c := range changes {
		if !c.After.Zero() {
			s.createPipeline(p, by, c.After, c.Branch, "push")
		}
		if err := s.requestsMoved(ctx, p, by, c); err != nil {
			return err
		}
	}
	return nil
}

// pushed returns the commits that a push brought, oldest first. A new branch brings those that the
// default branch does not have.
func (s *Server) pushed(ctx context.Context, p *project, c refChange) ([]upgrade.Commit, error) {
	switch {
	case c.After.Zero():
		return nil, nil
	case c.Before.Zero():
		if err := s.learn(ctx, p, c.After); err != nil {
			return nil, err
		}
		return s.between(ctx, p, p.branches[p.DefaultBranch], c.After)
	}
	if err := s.learn(ctx, p, c.After); err != nil {
		return nil, err
	}
	return s.between(ctx, p, c.Before, c.After)
}

// pushedOverHTTP compares the repository with what we know after somebody pushed. refs is held, mu is not.
func (s *Server) pushedOverHTTP(ctx context.Context, p *project, by *User) error {
	now, err := s.heads(ctx, p)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var changes []refChange
	for branch, head := range now {
		switch was, known := p.branches[branch]; {
		case !known:
			changes = append(changes, refChange{branch, zeroCommit, head})
		case was != head:
			changes = append(changes, refChange{branch, was, head})
		}
	}
	for branch, head := range p.branches {
		if _, still := now[branch]; !still {
			changes = append(changes, refChange{branch, head, zeroCommit})
		}
	}
	slices.SortFunc(changes, func(a, b refChange) int { return strings.Compare(a.Branch, b.Branch) })
	return s.refsMoved(ctx, p, by, changes)
}
