package server

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// tokenPrefix begins every API token, so that one that is found somewhere is known for what it is.
	tokenPrefix   = "ugt_"
	longestToken  = 366 * 24 * time.Hour
	defaultToken  = 90 * 24 * time.Hour
	maxTokens     = 50 // of one owner that count at a time
	maxTokenBytes = 200
)

// byAPIToken returns for whom a program asks. CodeUnauthorized.
func (k *keyring) byAPIToken(r *http.Request, given string) (caller, error) {
	if !strings.HasPrefix(given, tokenPrefix) || len(given) > maxTokenBytes {
		return caller{}, errSignIn()
	}
	t, err := k.access.Token(r.Context(), digestOf(given))
	if upgrade.Transient(orNil(err)) {
		return caller{}, fmt.Errorf("look for a token: %w", err)
	}
	now := k.now()
	switch {
	case err != nil:
		return caller{}, errSignIn()
	case !t.EndedAt.IsZero():
		return caller{}, &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: fmt.Sprintf("token %s was revoked by %s", t.ID, t.EndedBy), Hint: "make a new one with: upgradegate token make"}
	case !now.Before(t.EndsAt):
		return caller{}, &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: fmt.Sprintf("token %s expired on %s", t.ID, t.EndsAt.UTC().Format(time.DateOnly)), Hint: "make a new one with: upgradegate token make"}
	}
	p, err := k.personOf(r.Context(), t.Owner)
	if err != nil {
		return caller{}, err
	}
	return caller{person: t.Capped(p), identity: t.Owner, via: "api token " + t.Name, token: t.ID, used: t}, nil
}

// wireMakeToken is the body of the post that makes an API token. Only the name is needed.
type wireMakeToken struct {
	Name     string       `json:"name"`
	Role     upgrade.Role `json:"role"`     // at most; default: viewer
	Projects []string     `json:"projects"` // paths; none: wherever its owner may
	Within   string       `json:"within"`   // how long it counts, such as 720h
}

type wireAPIToken struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Owner     string       `json:"owner"`
	Role      upgrade.Role `json:"role"`
	Projects  []string     `json:"projects"`
	State     string       `json:"state"` // active, expired, revoked
	MadeAt    time.Time    `json:"made_at"`
	EndsAt    time.Time    `json:"ends_at"`
	UsedAt    time.Time    `json:"used_at,omitzero"`
	UsedFrom  string       `json:"used_from,omitempty"`
	RevokedAt time.Time    `json:"revoked_at,omitzero"`
	RevokedBy string       `json:"revoked_by,omitempty"`
}

type wireMadeToken struct {
	Token  string       `json:"token,omitempty"` // shown this once
	Listed wireAPIToken `json:"listed"`
}

func (s *Server) wireToken(t upgrade.APIToken) wireAPIToken {
	w := wireAPIToken{
		ID: t.ID, Name: t.Name, Owner: t.Owner.Name, Role: t.Role, Projects: append([]string{}, t.Projects...), State: "active", MadeAt: t.MadeAt.UTC(),
		EndsAt: t.EndsAt.UTC(), UsedAt: utc(t.UsedAt), UsedFrom: t.UsedFrom, RevokedAt: utc(t.EndedAt), RevokedBy: t.EndedBy,
	}
	switch {
	case !t.EndedAt.IsZero():
		w.State = "revoked"
	case !s.keys.now().Before(t.EndsAt):
		w.State = "expired"
	}
	return w
}

// subject returns whose sessions or tokens are listed: the caller's own, or everybody's for ?all=true.
func (s *Server) subject(c *gin.Context) (string, error) {
	q := newQuery(c, "all", "after", "limit")
	all := q.values.Get("all")
	switch {
	case q.err != nil:
		return "", q.err
	case all == "" || all == "false":
		return callerOf(c).identity.Subject, upgrade.May(person(c), upgrade.ActOwnAccess, upgrade.Object{})
	case all == "true":
		return "", upgrade.May(person(c), upgrade.ActOthersAccess, upgrade.Object{})
	}
	return "", invalid("all=%q is neither true nor false", all)
}

func (s *Server) apiTokens(c *gin.Context) error {
	subject, err := s.subject(c)
	if err != nil {
		return err
	}
	all, err := s.keys.access.Tokens(c.Request.Context(), subject)
	if err != nil {
		return fmt.Errorf("list tokens: %w", err)
	}
	out := make([]wireAPIToken, 0, len(all))
	for _, t := range all {
		out = append(out, s.wireToken(t))
	}
	return writeAfter(c, out, func(t wireAPIToken) (time.Time, string) { return t.MadeAt, t.ID })
}

// withoutSecret is what is remembered.
func (w wireMadeToken) withoutSecret() any {
	w.Token = ""
	return w
}

// apiMakeToken makes a token. A post that is sent again with the same key is told of the one that was made,
// without the token itself: nothing that is kept can be turned into it.
func (s *Server) apiMakeToken(c *gin.Context) error {
	in := wireMakeToken{Role: upgrade.RoleViewer}
	body, err := readJSON(c, &in)
	if err != nil {
		return err
	}
	return s.once(c, body, func() (int, any, error) {
		made, err := s.makeToken(c, in)
		return http.StatusCreated, made, err
	})
}

func (s *Server) makeToken(c *gin.Context, in wireMakeToken) (wireMadeToken, error) {
	t, err := s.newToken(c, in)
	if err != nil {
		return wireMadeToken{}, err
	}
	secret := tokenPrefix + rand.Text() + rand.Text()
	t.Digest = digestOf(secret)
	if e := upgrade.ActingOf(c.Request.Context()); e != nil {
		e.On, e.Detail = "token "+t.ID, fmt.Sprintf("%s, as %s until %s", t.Name, t.Role, t.EndsAt.UTC().Format(time.DateOnly))
	}
	if err := s.keys.access.AddToken(c.Request.Context(), t); err != nil {
		return wireMadeToken{}, fmt.Errorf("keep the token: %w", err)
	}
	return wireMadeToken{Token: secret, Listed: s.wireToken(t)}, nil
}

// onlyThemselves is why somebody whose way in is lent may not make a token.
const onlyThemselves = "neither an API token nor the break-glass account may make tokens: they would outlive it"

// lent reports whether the caller's way in is not that of a person themselves.
func (w caller) lent() bool {
	return strings.HasPrefix(w.via, "api token") || strings.HasPrefix(w.identity.Subject, "local/")
}

// newToken checks what is asked for: never more than the caller has.
func (s *Server) newToken(c *gin.Context, in wireMakeToken) (upgrade.APIToken, error) {
	who, within := callerOf(c), defaultToken
	if err := upgrade.May(who.person, upgrade.ActOwnAccess, upgrade.Object{}); err != nil {
		return upgrade.APIToken{}, err
	}
	if who.lent() {
		return upgrade.APIToken{}, &upgrade.Error{Code: upgrade.CodeForbidden, Msg: onlyThemselves, Hint: "sign in as yourself"}
	}
	if in.Within != "" {
		var err error
		if within, err = time.ParseDuration(in.Within); err != nil || within < time.Minute || within > longestToken {
			return upgrade.APIToken{}, invalid("within: %q is not a duration from 1m to %s", in.Within, longestToken)
		}
	}
	in.Name = strings.TrimSpace(in.Name)
	switch {
	case in.Name == "" || len(in.Name) > 63 || strings.ContainsAny(in.Name, "\r\n\t\x00"):
		return upgrade.APIToken{}, invalid("name: say in 1 to 63 characters what the token is for")
	case !in.Role.Includes(upgrade.RoleViewer):
		return upgrade.APIToken{}, invalid("role: %q is not a role", in.Role)
	case len(in.Projects) > 100:
		return upgrade.APIToken{}, invalid("projects: at most 100, not %d", len(in.Projects))
	case len(in.Projects) == 0 && !who.person.Highest().Includes(in.Role):
		return upgrade.APIToken{}, &upgrade.Error{Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("you are %s nowhere", in.Role), Hint: "ask for a lower role"}
	}
	for _, project := range in.Projects {
		if !who.person.RoleIn(project).Includes(in.Role) {
			return upgrade.APIToken{}, &upgrade.Error{Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("you are not %s in %s", in.Role, project), Hint: "ask for a lower role, or for another project"}
		}
	}
	has, err := s.keys.access.Tokens(c.Request.Context(), who.identity.Subject)
	if err != nil {
		return upgrade.APIToken{}, fmt.Errorf("list tokens: %w", err)
	}
	now, active := s.keys.now(), 0
	for _, t := range has {
		if t.EndedAt.IsZero() && now.Before(t.EndsAt) {
			active++
		}
	}
	if active >= maxTokens {
		return upgrade.APIToken{}, &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("you have %d tokens, and no more than %d may count at a time", active, maxTokens), Hint: "revoke those that are not used"}
	}
	return upgrade.APIToken{
		ID: rand.Text()[:12], Name: in.Name, Owner: who.identity, Role: in.Role, Projects: in.Projects, MadeAt: now, EndsAt: now.Add(within),
	}, nil
}

func (s *Server) apiRevokeToken(c *gin.Context) error {
	body, err := readJSON(c, &struct{}{})
	if err != nil {
		return err
	}
	return s.once(c, body, func() (int, any, error) {
		t, err := s.revokeToken(c, c.Param("id"))
		return http.StatusOK, t, err
	})
}

func (s *Server) revokeToken(c *gin.Context, id string) (wireAPIToken, error) {
	ctx := c.Request.Context()
	t, err := s.keys.access.TokenByID(ctx, id)
	if err == nil {
		err = s.mayEnd(c, t.Owner.Subject, "token", id)
	}
	if err == nil {
		err = s.keys.access.EndToken(ctx, id, person(c).Name, s.keys.now())
	}
	if err == nil {
		s.revoked(id)
		t, err = s.keys.access.TokenByID(ctx, id)
	}
	if err != nil {
		return wireAPIToken{}, fmt.Errorf("revoke token %s: %w", id, err)
	}
	return s.wireToken(t), nil
}

// mayEnd asks whether the caller may end a session or token of that subject. To others than admins what is
// not theirs does not exist.
func (s *Server) mayEnd(c *gin.Context, subject, what, id string) error {
	if subject == callerOf(c).identity.Subject {
		return upgrade.May(person(c), upgrade.ActOwnAccess, upgrade.Object{Name: what + " " + id})
	}
	if err := upgrade.May(person(c), upgrade.ActOthersAccess, upgrade.Object{Name: what + " " + id}); err != nil {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("you have no %s %s", what, id)}
	}
	return nil
}
