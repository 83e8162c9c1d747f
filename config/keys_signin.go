package config

import (
	"regexp"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// SignIn is how people sign in besides by token.
type SignIn struct {
	GitLab     *Application // nil: not at gitlab.url
	OIDC       []OIDC
	BreakGlass *BreakGlass // nil: there is no local account
	Idle       time.Duration
	Absolute   time.Duration
}

// Application is how the service is known to a provider.
type Application struct {
	Title  string
	ID     string
	Secret upgrade.Secret
}

// OIDC is a provider besides GitLab.
type OIDC struct {
	Application
	Name   string
	Issuer string
	Scopes []string
	Groups string // claim; empty: none
}

// BreakGlass is the local account.
type BreakGlass struct {
	Name string
	Hash upgrade.Secret
}

// Role gives a role to some of those who sign in. Exactly one of Group, User, OIDCGroup and Subject is set.
type Role struct {
	Group     string // of GitLab
	Level     int    // at least in that group
	User      int64  // id in GitLab
	OIDCGroup string // "provider/group"
	Subject   string // "oidc/provider/subject"
	Role      upgrade.Role
	Projects  []string // empty: everywhere
}

// Member is what whoever has that level in a stack's project may do with its stacks.
type Member struct {
	Level int // GitLab's: 10 guest, 20 reporter, 30 developer, 40 maintainer, 50 owner
	Role  upgrade.Role
}

type rawSignIn struct {
	gitlab     *Application
	oidc       []OIDC
	breakGlass *BreakGlass
	session    struct{ idle, absolute time.Duration }
}

type rawRoles struct {
	give    []rawRole
	members struct{ guest, reporter, developer, maintainer, owner upgrade.Role }
}

type rawRole struct {
	Role
	level string
}

// Limits of sessions.
const (
	defaultIdle     = 8 * time.Hour
	defaultAbsolute = 24 * time.Hour
	longestSession  = 30 * 24 * time.Hour
)

var hashForm = regexp.MustCompile(`^\$argon2id\$v=19\$m=[0-9]{5,7},t=[0-9]{1,2},p=[0-9]{1,2}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{22,}$`)

func signInShape() shape[rawSignIn] {
	title := func(title string) field[Application] {
		return optional("title", "What the button says behind \"Sign in with\"; default: "+title+".", word[string](), func(a *Application) *string { return &a.Title })
	}
	gitlab := object(title("GitLab"),
		required("client_id", "Application ID, as GitLab shows it.", word[string](), func(a *Application) *string { return &a.ID }),
		required("client_secret", "Secret of the application.", line(), func(a *Application) *upgrade.Secret { return &a.Secret }),
	)
	other := object(
		required("name", "Its name in addresses and in roles.", pattern[string](`^[a-z][a-z0-9-]{0,30}$`, "cannot be the name of a provider", "use lower-case letters, digits and dashes"), func(o *OIDC) *string { return &o.Name }),
		optional("title", "What the button says behind \"Sign in with\"; default: its name.", word[string](), func(o *OIDC) *string { return &o.Title }),
		required("issuer", "Its address, exactly as its tokens have it in iss.", httpURL("https://login.example.org", anyPath), func(o *OIDC) *string { return &o.Issuer }),
		required("client_id", "How this service is known there.", word[string](), func(o *OIDC) *string { return &o.ID }),
		required("client_secret", "The secret that goes with it.", line(), func(o *OIDC) *upgrade.Secret { return &o.Secret }),
		optional("scopes", "Asked for besides openid and profile.", list(pattern[string](`^[!#-\[\]-~]{1,60}$`, "is not a scope", "such as groups"), 1), func(o *OIDC) *[]string { return &o.Scopes }),
		optional("groups_claim", "Claim of its ID tokens that lists groups; default: none is read.", word[string](), func(o *OIDC) *string { return &o.Groups }),
	)
	glass := object(
		required("name", "Name of the account.", word[string](personRule), func(b *BreakGlass) *string { return &b.Name }),
		required("password_hash", "Hash that upgradegate config password made of the password.", line(), func(b *BreakGlass) *upgrade.Secret { return &b.Hash }),
	)
	type session = struct{ idle, absolute time.Duration }
	sessions := object(
		lasting("idle", "How long a session lasts that nobody uses.", time.Minute, longestSession, defaultIdle, func(s *session) *time.Duration { return &s.idle }),
		lasting("absolute", "How long a session lasts at most.", time.Minute, longestSession, defaultAbsolute, func(s *session) *time.Duration { return &s.absolute }),
	)
	return object(
		given("gitlab", "Sign in at gitlab.url, by OpenID Connect. Its redirect address is PUBLIC_URL/login/gitlab/callback, its scopes openid and profile.", gitlab, func(s *rawSignIn) **Application { return &s.gitlab }),
		optional("oidc", "Other OpenID Connect providers.", list(other, 1), func(s *rawSignIn) *[]OIDC { return &s.oidc }),
		given("break_glass", "A local administrator's account for when no provider answers. Each use is shouted into log and audit log.", glass, func(s *rawSignIn) **BreakGlass { return &s.breakGlass }),
		optional("session", "How long somebody stays signed in.", sessions, func(s *rawSignIn) *session { return &s.session }),
	)
}

func rolesShape() shape[rawRoles] {
	role := func(about string) field[rawRole] {
		return required("role", about, choice("role", upgrade.Roles(), nil), func(r *rawRole) *upgrade.Role { return &r.Role.Role })
	}
	levels := []string{"guest", "reporter", "developer", "maintainer", "owner"}
	give := object(
		role("What they may do: viewer, developer, release_manager or admin, each including the ones before it."),
		optional("group", "Path of a group in GitLab: its members, inherited ones too.", word[string](), func(r *rawRole) *string { return &r.Group }),
		optional("level", "With group: the least that they are in it; default: any member.", choice("level", levels, nil), func(r *rawRole) *string { return &r.level }),
		optional("gitlab_user_id", "Somebody by their id in GitLab.", number[int64](1, 1<<53), func(r *rawRole) *int64 { return &r.User }),
		optional("oidc_group", "Group that another provider says they are in, as PROVIDER/GROUP.", pattern[string](`^[^/]+/.+$`, "is not a group of a provider", "write it as in corp/release-managers"), func(r *rawRole) *string { return &r.OIDCGroup }),
		optional("subject", "Somebody by what another provider calls them, as oidc/PROVIDER/SUBJECT.", pattern[string](`^oidc/[^/]+/.+$`, "is not a subject of a provider", "write it as in oidc/corp/3f2a"), func(r *rawRole) *string { return &r.Subject }),
		optional("projects", "Paths of projects, for whose stacks alone the role counts; default: everywhere.", list(word[string](), 1), func(r *rawRole) *[]string { return &r.Projects }),
	)
	type members = struct{ guest, reporter, developer, maintainer, owner upgrade.Role }
	of := func(key string, in func(*members) *upgrade.Role) field[members] {
		return optional(key, "What whoever is "+key+" or more of a stack's project in GitLab may do with that stack.", choice("role", upgrade.Roles(), nil), in)
	}
	member := object(
		of("guest", func(m *members) *upgrade.Role { return &m.guest }), of("reporter", func(m *members) *upgrade.Role { return &m.reporter }),
		of("developer", func(m *members) *upgrade.Role { return &m.developer }), of("maintainer", func(m *members) *upgrade.Role { return &m.maintainer }),
		of("owner", func(m *members) *upgrade.Role { return &m.owner }),
	)
	return object(
		optional("give", "Who has which role; of several the highest counts.", list(give, 1), func(r *rawRoles) *[]rawRole { return &r.give }),
		optional("project_members", "Roles that membership of a stack's project in GitLab gives, for that project's stacks.", member, func(r *rawRoles) *members { return &r.members }),
	)
}

// anyPath is for addresses that may have one.
func anyPath(string) (wrong, hint string) { return "", "" }
