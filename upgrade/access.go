package upgrade

import "time"

// Identity is who somebody is, as they proved it. What they may do is looked up anew each time.
type Identity struct {
	// Subject never changes for one person: "token/hugo" of the file, "gitlab/17", "oidc/corp/3f2a", "local/name".
	Subject    string
	Name       string   // as records show it
	Username   string   // in GitLab, or at the provider; may be empty
	GitLabUser int64    // 0: not known
	Groups     []string // that the provider says they are in
}

// Session is somebody's being signed in, in one browser. Its times are real ones.
type Session struct {
	Digest  string // SHA-256 of the cookie's value, hexadecimal: nobody can make a cookie of it
	ID      string // by which it is listed and ended
	Who     Identity
	BegunAt time.Time
	SeenAt  time.Time
	EndsAt  time.Time // whatever is done until then
	From    string    // address of the sign-in, without the port
	Browser string    // as it names itself, shortened
	Proof   string    // digest of the secret that it was begun with: another secret ends it; empty for providers
}

// APIToken is a secret with which a program acts for its owner: with the owner's rights as they are then, and
// never more than the token's own. Its times are real ones.
type APIToken struct {
	Digest   string // SHA-256 of the token, hexadecimal
	ID       string
	Name     string // what it is for
	Owner    Identity
	Role     Role     // at most
	Projects []string // only there; empty: wherever its owner may
	MadeAt   time.Time
	EndsAt   time.Time
	UsedAt   time.Time // zero: never
	UsedFrom string
	EndedAt  time.Time // when it was revoked; zero: it was not
	EndedBy  string
}

// Capped returns the person with no more rights than the token gives.
func (t APIToken) Capped(p Person) Person {
	if len(t.Projects) == 0 {
		rights := Rights{}
		if p.Rights != nil {
			for project, role := range *p.Rights {
				rights[project] = Lower(role, t.Role)
			}
		}
		p.Role, p.Rights = Lower(p.Role, t.Role), &rights
		return p
	}
	rights := Rights{}
	for _, project := range t.Projects {
		rights[project] = Lower(p.RoleIn(project), t.Role)
	}
	p.Role, p.Rights = Lower(p.Role, RoleViewer), &rights
	return p
}

// Lower returns the lower one of two roles.
func Lower(a, b Role) Role {
	if a.rank() < b.rank() {
		return a
	}
	return b
}
