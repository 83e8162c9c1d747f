package config

import (
	"slices"
	"strings"
)

func (r *reader) checkSignIn(raw *rawFile, publicURL string) SignIn {
	const at = "sign_in"
	in := raw.signIn
	s := SignIn{GitLab: in.gitlab, OIDC: in.oidc, BreakGlass: in.breakGlass, Idle: in.session.idle, Absolute: in.session.absolute}
	if s.Idle == 0 {
		s.Idle = min(defaultIdle, orDefault(s.Absolute, defaultIdle))
	}
	if s.Absolute == 0 {
		s.Absolute = max(defaultAbsolute, s.Idle)
	}
	if s.Idle > s.Absolute {
		r.problem(under(under(at, "session"), "idle"), "make it shorter, or absolute longer", "a session that ends after %s cannot be unused for %s", span(s.Absolute), span(s.Idle))
	}
	providers := s.GitLab != nil || len(s.OIDC) > 0
	if providers && publicURL == "" && !r.broken("server.public_url") {
		r.problem(at, "give the address that people use", "providers send people back to server.public_url, which is not set")
	}
	if providers && len(raw.roles.give) == 0 && !r.has("roles.project_members") && !r.broken("roles") {
		r.problem(at, "say under roles who may do what", "whoever signs in would have no role, and nobody would get in")
	}
	if s.GitLab != nil && s.GitLab.Title == "" {
		s.GitLab.Title = "GitLab"
	}
	if r.has("server") && len(raw.server.tokens) == 0 && !providers && s.BreakGlass == nil && !r.broken("server.tokens") && !r.broken(at) {
		r.problem("server.tokens", "list a token under server.tokens, or say under sign_in how people sign in (gitlab, oidc or break_glass)", "nobody could sign in: there is neither a token nor a way to sign in")
	}
	names := map[string]string{"gitlab": under(at, "gitlab")}
	for i := range s.OIDC {
		o, below := &s.OIDC[i], nth(under(at, "oidc"), i)
		r.uniqueName(names, o.Name, under(below, "name"), "the name "+quoted(o.Name)+" is taken", "gitlab is the one at gitlab.url")
		if o.Title == "" {
			o.Title = o.Name
		}
	}
	if s.BreakGlass != nil && s.BreakGlass.Hash.Set() && !hashForm.MatchString(s.BreakGlass.Hash.Reveal()) {
		r.problem(under(under(at, "break_glass"), "password_hash"), "make it with: upgradegate config password", "is not an argon2id hash")
	}
	return s
}

func orDefault[T ~int64](value, def T) T {
	if value == 0 {
		return def
	}
	return value
}

// levels are GitLab's own numbers.
func levels(name string) int {
	return map[string]int{"guest": 10, "reporter": 20, "developer": 30, "maintainer": 40, "owner": 50}[name]
}

func (r *reader) checkRoles(raw *rawFile) ([]Role, []Member) {
	var projects []string
	for _, stack := range raw.stacks {
		projects = append(projects, stack.project)
	}
	known := []string{}
	for _, o := range raw.signIn.oidc {
		known = append(known, o.Name)
	}
	var out []Role
	for i, one := range raw.roles.give {
		at := nth("roles.give", i)
		n := 0
		for _, given := range []bool{one.Group != "", one.User != 0, one.OIDCGroup != "", one.Subject != ""} {
			if given {
				n++
			}
		}
		if n != 1 && !r.broken(at) {
			r.problem(at, "write group, gitlab_user_id, oidc_group or subject", "must say of whom, in exactly one way")
		}
		if one.level != "" && one.Group == "" {
			r.problem(under(at, "level"), "leave it out, or name the group", "is of a group, and there is none")
		}
		for _, text := range []string{one.OIDCGroup, strings.TrimPrefix(one.Subject, "oidc/")} {
			if name, _, ok := strings.Cut(text, "/"); ok && !slices.Contains(known, name) {
				r.problem(at, "list it under sign_in.oidc", "there is no provider %s", quoted(name))
			}
		}
		for j, project := range one.Projects {
			if project != "" && !slices.Contains(projects, project) && !r.broken("stacks") {
				r.problem(nth(under(at, "projects"), j), "write the path as stacks have it", "no stack is of project %s", quoted(project))
			}
		}
		one.Level = levels(one.level)
		out = append(out, one.Role)
	}
	m := raw.roles.members
	var members []Member
	for _, one := range []Member{{10, m.guest}, {20, m.reporter}, {30, m.developer}, {40, m.maintainer}, {50, m.owner}} {
		if one.Role != "" {
			members = append(members, one)
		}
	}
	return out, members
}
