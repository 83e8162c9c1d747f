package server

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// members is where GitLab says who belongs where: levels are GitLab's own (10 guest, 20 reporter, 30
// developer, 40 maintainer, 50 owner), 0 for no active member.
type members interface {
	GroupLevel(ctx context.Context, group string, user int64) (int, error)
	ProjectLevel(ctx context.Context, project string, user int64) (int, error)
}

// Roles say who may do what, of those who sign in.
type Roles struct {
	// Members are roles in a stack's project by the level there, the highest that is reached counts. Empty:
	// membership of the project gives nothing.
	Members map[int]upgrade.Role
	Rules   []RoleRule
}

// RoleRule gives a role to some. Exactly one of Group, Claim, User and Subject is set.
type RoleRule struct {
	Group    string // path of a group of GitLab, whose members, inherited ones too, have the role
	Level    int    // at least in that group; 0: any member
	Claim    string // group that a provider says they are in, "provider/group"
	User     int64  // id in GitLab
	Subject  string // "oidc/corp/3f2a"
	Role     upgrade.Role
	Projects []string // only there; empty: everywhere
}

const (
	// rolesFor is for how long what GitLab said of somebody counts.
	rolesFor = 5 * time.Minute
	// rolesStale is for how long it counts while GitLab does not answer.
	rolesStale = time.Hour
)

// roleBook looks up what somebody may do. GitLab is asked again and again: who leaves a group loses its role
// within minutes, signed in or not.
type roleBook struct {
	roles    Roles
	members  members
	projects []string // of the stacks
	local    map[string]upgrade.Role
	now      func() time.Time

	mu    sync.Mutex // guards known
	known map[string]knownRole
}

type knownRole struct {
	person upgrade.Person
	at     time.Time
}

func newRoleBook(cfg Config) *roleBook {
	b := &roleBook{roles: cfg.SignIn.Roles, members: cfg.SignIn.Members, now: cfg.Now, known: map[string]knownRole{}, local: map[string]upgrade.Role{}}
	for _, stack := range cfg.Stacks {
		if !slices.Contains(b.projects, stack.Project) {
			b.projects = append(b.projects, stack.Project)
		}
	}
	if cfg.SignIn.BreakGlass != nil {
		b.local["local/"+cfg.SignIn.BreakGlass.Name] = upgrade.RoleAdmin
	}
	return b
}

// person returns what somebody may do now. CodeForbidden for whoever has no role at all.
func (b *roleBook) person(ctx context.Context, who upgrade.Identity) (upgrade.Person, error) {
	if role, ok := b.local[who.Subject]; ok {
		return upgrade.Person{Name: who.Name, Role: role}, nil
	}
	b.mu.Lock()
	old, had := b.known[who.Subject]
	b.mu.Unlock()
	age := b.now().Sub(old.at)
	if had && age < rolesFor {
		return held(old.person)
	}
	p, err := b.ask(ctx, who)
	if err != nil {
		if had && age < rolesStale {
			return held(old.person)
		}
		return upgrade.Person{}, &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: "GitLab does not say who you are to it, so your role is not known", Hint: "try again in a minute", Cause: err,
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.known) > 10_000 { // more people than any installation has
		clear(b.known)
	}
	b.known[who.Subject] = knownRole{person: p, at: b.now()}
	return held(p)
}

// forget has GitLab asked again at once.
func (b *roleBook) forget(subject string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, subject)
}

func held(p upgrade.Person) (upgrade.Person, error) {
	if !p.Highest().Includes(upgrade.RoleViewer) {
		return upgrade.Person{}, &upgrade.Error{
			Code: upgrade.CodeUnauthorized, Msg: p.Name + " has no role here", Hint: "ask for membership of a group that is listed under roles in the configuration",
		}
	}
	if !p.Role.Includes(upgrade.RoleViewer) { // who may do something somewhere may look everywhere
		p.Role = upgrade.RoleViewer
	}
	return p, nil
}

// ask works the role out from the file and from GitLab.
func (b *roleBook) ask(ctx context.Context, who upgrade.Identity) (upgrade.Person, error) {
	p, rights := upgrade.Person{Name: who.Name, GitLabUser: who.GitLabUser}, upgrade.Rights{}
	give := func(role upgrade.Role, projects []string) {
		if len(projects) == 0 && role.Includes(higher(p.Role)) {
			p.Role = role
		}
		for _, project := range projects {
			if role.Includes(higher(rights[project])) {
				rights[project] = role
			}
		}
	}
	for _, rule := range b.roles.Rules {
		has, err := b.has(ctx, rule, who)
		if err != nil {
			return p, err
		}
		if has {
			give(rule.Role, rule.Projects)
		}
	}
	if who.GitLabUser != 0 && b.members != nil && len(b.roles.Members) > 0 {
		for _, project := range b.projects {
			level, err := b.members.ProjectLevel(ctx, project, who.GitLabUser)
			if err != nil {
				return p, fmt.Errorf("read the members of %s: %w", project, err)
			}
			if role := b.roles.reached(level); role != "" {
				give(role, []string{project})
			}
		}
	}
	p.Rights = &rights
	return p, nil
}

// higher makes Includes hold for whoever has no role yet.
func higher(role upgrade.Role) upgrade.Role {
	if role == "" {
		return upgrade.RoleViewer
	}
	return role
}

// reached returns the role of the highest level that is reached; "" for none.
func (r Roles) reached(level int) (role upgrade.Role) {
	best := 0
	for at, one := range r.Members {
		if level >= at && at > best {
			best, role = at, one
		}
	}
	return role
}

func (b *roleBook) has(ctx context.Context, rule RoleRule, who upgrade.Identity) (bool, error) {
	switch {
	case rule.User != 0:
		return rule.User == who.GitLabUser, nil
	case rule.Subject != "":
		return rule.Subject == who.Subject, nil
	case rule.Claim != "":
		return slices.Contains(who.Groups, rule.Claim), nil
	case who.GitLabUser == 0 || b.members == nil:
		return false, nil
	}
	level, err := b.members.GroupLevel(ctx, rule.Group, who.GitLabUser)
	if err != nil {
		return false, fmt.Errorf("read the members of %s: %w", rule.Group, err)
	}
	return level > 0 && level >= rule.Level, nil
}
