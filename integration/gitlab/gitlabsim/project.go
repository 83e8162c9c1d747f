package gitlabsim

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/upgradegate/upgradegate/upgrade"
)

type project struct {
	Project
	dir string // of its bare repository

	refs sync.Mutex // held while refs move; taken before Server.mu

	// The rest is guarded by Server.mu.
	members      map[int64]Access
	branches     map[string]upgrade.Commit
	commits      map[upgrade.Commit]commitInfo
	protected    []ProtectedBranch
	environments []ProtectedEnvironment
	envIDs       map[string]int64
	ci           []JobSpec
	mustSucceed  bool
	fastForward  bool
	requests     []*mergeRequest // iid is index + 1
	pipelines    []*pipeline
	deployments  []*Deployment
	hooks        []*hook
}

// AddUser makes a user and returns it with what was filled in.
func (s *Server) AddUser(u User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.ID = next(&s.ids.user)
	u.Username = cmp.Or(u.Username, fmt.Sprintf("user%d", u.ID))
	u.Name = cmp.Or(u.Name, u.Username)
	u.Email = cmp.Or(u.Email, u.Username+"@example.org")
	if !u.Token.Set() {
		u.Token = upgrade.Secret("glpat-" + random(10))
	}
	s.users[u.ID] = &u
	s.tokens[u.Token.Reveal()] = u.ID
	return u
}

// RevokeToken makes a token worthless.
func (s *Server) RevokeToken(token upgrade.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, token.Reveal())
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never errs, says its documentation
	return hex.EncodeToString(b)
}

var projectPath = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$`)

// AddProject makes a project with its first commit, about which nobody is told.
func (s *Server) AddProject(ctx context.Context, spec ProjectSpec) (Project, error) {
	if !projectPath.MatchString(spec.Path) || strings.HasSuffix(spec.Path, ".git") {
		return Project{}, fmt.Errorf("add project: %q is no path with namespace", spec.Path)
	}
	spec.DefaultBranch = cmp.Or(spec.DefaultBranch, "main")
	s.mu.Lock()
	defer s.mu.Unlock()
	author := s.users[spec.Author]
	if author == nil {
		return Project{}, fmt.Errorf("add project %s: no user %d", spec.Path, spec.Author)
	}
	if s.projectAt(spec.Path) != nil {
		return Project{}, fmt.Errorf("add project %s: the path has already been taken", spec.Path)
	}
	p := &project{
		Project: Project{ID: next(&s.ids.project), Path: spec.Path, DefaultBranch: spec.DefaultBranch, Public: spec.Public},
		members: map[int64]Access{}, branches: map[string]upgrade.Commit{}, commits: map[upgrade.Commit]commitInfo{}, envIDs: map[string]int64{},
		protected: slices.Clone(spec.Protected), environments: slices.Clone(spec.Environments), ci: slices.Clone(spec.CI),
		mustSucceed: spec.PipelinesMustSucceed, fastForward: spec.FastForward,
	}
	maps.Copy(p.members, spec.Members)
	p.members[spec.Author] = Owner
	if !p.isProtected(spec.DefaultBranch) {
		p.protected = append(p.protected, ProtectedBranch{Name: spec.DefaultBranch, Push: Maintainer, Merge: Maintainer})
	}
	if err := s.initRepository(ctx, p); err != nil {
		return Project{}, fmt.Errorf("add project %s: %w", spec.Path, err)
	}
	if err := s.firstCommit(ctx, p, spec, author); err != nil {
		return Project{}, fmt.Errorf("add project %s: %w", spec.Path, err)
	}
	s.projects = append(s.projects, p)
	return s.shown(p), nil
}

func (s *Server) firstCommit(ctx context.Context, p *project, spec ProjectSpec, author *User) error {
	files := spec.Files
	if len(files) == 0 {
		files = map[string]string{"README.md": "# " + spec.Path + "\n"}
	}
	head, err := s.writeCommit(ctx, p, author, CommitSpec{Branch: spec.DefaultBranch, Files: files, Message: cmp.Or(spec.Message, "Initial commit")}, "")
	if err != nil {
		return err
	}
	for _, b := range spec.Branches {
		if _, err := s.run(ctx, p.dir, nil, "", "update-ref", "refs/heads/"+b, string(head)); err != nil {
			return err
		}
		p.branches[b] = head
	}
	p.branches[spec.DefaultBranch] = head
	return s.learn(ctx, p, head)
}

// shown returns the project as the outside sees it.
func (s *Server) shown(p *project) Project {
	out := p.Project
	out.WebURL = s.url + "/" + p.Path
	out.GitURL = out.WebURL + ".git"
	return out
}

// Project returns the project of that id; false when there is none.
func (s *Server) Project(id int64) (Project, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projectBy(id)
	if p == nil {
		return Project{}, false
	}
	return s.shown(p), true
}

// SetCI replaces the project's CI, for pipelines that begin from now on.
func (s *Server) SetCI(projectID int64, jobs ...JobSpec) error {
	return s.change(projectID, func(p *project) { p.ci = slices.Clone(jobs) })
}

// SetMember gives a user a role; NoAccess takes it away.
func (s *Server) SetMember(projectID, userID int64, role Access) error {
	return s.change(projectID, func(p *project) { p.members[userID] = role })
}

// ProtectBranch protects a branch, or changes how it is protected.
func (s *Server) ProtectBranch(projectID int64, b ProtectedBranch) error {
	return s.change(projectID, func(p *project) {
		p.protected = slices.DeleteFunc(p.protected, func(old ProtectedBranch) bool { return old.Name == b.Name })
		p.protected = append(p.protected, b)
	})
}

// UnprotectBranch takes the protection of that name away.
func (s *Server) UnprotectBranch(projectID int64, name string) error {
	return s.change(projectID, func(p *project) {
		p.protected = slices.DeleteFunc(p.protected, func(old ProtectedBranch) bool { return old.Name == name })
	})
}

// ProtectEnvironment protects an environment, or changes who may deploy to it.
func (s *Server) ProtectEnvironment(projectID int64, e ProtectedEnvironment) error {
	return s.change(projectID, func(p *project) {
		p.environments = slices.DeleteFunc(p.environments, func(old ProtectedEnvironment) bool { return old.Name == e.Name })
		p.environments = append(p.environments, e)
	})
}

func (s *Server) change(projectID int64, do func(*project)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projectBy(projectID)
	if p == nil {
		return fmt.Errorf("no project %d", projectID)
	}
	do(p)
	return nil
}

// Branch returns the head of a branch; false when there is none.
func (s *Server) Branch(projectID int64, name string) (upgrade.Commit, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projectBy(projectID)
	if p == nil {
		return "", false
	}
	head, ok := p.branches[name]
	return head, ok
}

func (st *state) projectBy(id int64) *project {
	for _, p := range st.projects {
		if p.ID == id {
			return p
		}
	}
	return nil
}

func (st *state) projectAt(path string) *project {
	for _, p := range st.projects {
		if strings.EqualFold(p.Path, path) {
			return p
		}
	}
	return nil
}

// protection returns the rules that hold for a branch; several may, and then the most generous counts.
func (p *project) protection(branch string) (rules []ProtectedBranch) {
	for _, r := range p.protected {
		if wildcard(r.Name, branch) {
			rules = append(rules, r)
		}
	}
	return rules
}

func (p *project) isProtected(branch string) bool { return len(p.protection(branch)) > 0 }

// may reports whether somebody with that role may push to (or, with merging, merge into) a branch.
func (p *project) may(role Access, branch string, merging bool) bool {
	if role < Developer {
		return false
	}
	rules := p.protection(branch)
	if len(rules) == 0 {
		return true
	}
	for _, r := range rules {
		need := r.Push
		if merging {
			need = r.Merge
		}
		if need != NoAccess && role >= need {
			return true
		}
	}
	return false
}

// mayRun reports whether a user may start, retry or write to what belongs to a pipeline on ref: on a
// protected branch that takes the right to push or to merge.
func (p *project) mayRun(user int64, ref string) bool {
	role := p.members[user]
	return p.may(role, ref, false) || p.may(role, ref, true)
}

// mayDeploy reports whether a user may deploy to an environment.
func (p *project) mayDeploy(user int64, environment string) bool {
	for _, e := range p.environments {
		if e.Name == environment {
			return slices.Contains(e.Users, user) || e.Access != NoAccess && p.members[user] >= e.Access
		}
	}
	return true
}

// wildcard reports whether name fits pattern, in which * stands for any characters, slashes included.
func wildcard(pattern, name string) bool {
	first, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == name
	}
	if !strings.HasPrefix(name, first) {
		return false
	}
	name = name[len(first):]
	for i := range len(name) + 1 {
		if wildcard(rest, name[i:]) {
			return true
		}
	}
	return false
}
