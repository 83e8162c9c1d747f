package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// Over TLS the names of cookies begin with hostPrefix: a browser takes such a one from this very host only, so
	// that no other host of the domain can plant one (RFC 6265bis §4.1.3.2).
	hostPrefix    = "__Host-"
	sessionCookie = "upgradegate_session"
	personKey     = "person"
	callerKey     = "caller"
)

// access is where sessions and API tokens are kept. CodeNotFound for what does not exist.
type access interface {
	AddSession(ctx context.Context, s upgrade.Session) error
	Session(ctx context.Context, digest string) (upgrade.Session, error)
	Sessions(ctx context.Context, subject string) ([]upgrade.Session, error)
	SeeSession(ctx context.Context, digest string, at time.Time) error
	EndSession(ctx context.Context, id string) error
	PurgeSessions(ctx context.Context, ended, unused time.Time) error
	AddToken(ctx context.Context, t upgrade.APIToken) error
	Token(ctx context.Context, digest string) (upgrade.APIToken, error)
	TokenByID(ctx context.Context, id string) (upgrade.APIToken, error)
	Tokens(ctx context.Context, subject string) ([]upgrade.APIToken, error)
	UseToken(ctx context.Context, t upgrade.APIToken) error
	EndToken(ctx context.Context, id, by string, at time.Time) error
}

// seenEvery is how often it is noted that a session or token is used.
const seenEvery = time.Minute

// caller is who asks, and how that is known.
type caller struct {
	person   upgrade.Person
	identity upgrade.Identity
	via      string // "token", "session", "api token"
	session  string // id; empty: none
	token    string // id of the API token; empty: none
	used     any    // the upgrade.Session or upgrade.APIToken that was shown; nil: none
}

// keyring knows who may come in.
type keyring struct {
	people  []upgrade.Person
	digests [][sha256.Size]byte // of the tokens, in the same order
	access  access
	roles   *roleBook
	limits  SessionLimits
	secure  bool             // cookies over TLS only
	now     func() time.Time // real time: how long somebody is signed in is no matter of the world's clock
}

func newKeyring(cfg Config) *keyring {
	k := &keyring{access: cfg.Access, limits: cfg.SignIn.Limits, secure: strings.HasPrefix(cfg.PublicURL, "https:"), now: cfg.Now}
	for _, t := range cfg.Tokens {
		k.people = append(k.people, t.Person)
		k.digests = append(k.digests, sha256.Sum256([]byte(t.Secret.Reveal())))
	}
	k.roles = newRoleBook(cfg)
	return k
}

func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// byToken returns whose token of the configuration given is. It compares with all of them, in constant time.
func (k *keyring) byToken(given string) (upgrade.Person, bool) {
	digest, found := sha256.Sum256([]byte(given)), -1
	for i := range k.digests {
		if subtle.ConstantTimeCompare(digest[:], k.digests[i][:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return upgrade.Person{}, false
	}
	return k.people[found], true
}

// listed returns the person whose token the configuration has, with a proof of that token.
func (k *keyring) listed(name string) (p upgrade.Person, proof string, ok bool) {
	for i, p := range k.people {
		if p.Name == name {
			sum := sha256.Sum256(k.digests[i][:])
			return p, hex.EncodeToString(sum[:]), true
		}
	}
	return upgrade.Person{}, "", false
}

func identityOfToken(p upgrade.Person) upgrade.Identity {
	return upgrade.Identity{Subject: "token/" + p.Name, Name: p.Name, GitLabUser: p.GitLabUser}
}

// personOf returns what somebody may do now. CodeUnauthorized for whoever is not known any more.
func (k *keyring) personOf(ctx context.Context, who upgrade.Identity) (upgrade.Person, error) {
	if name, ok := strings.CutPrefix(who.Subject, "token/"); ok {
		if p, _, ok := k.listed(name); ok {
			return p, nil
		}
		return upgrade.Person{}, errSignIn()
	}
	return k.roles.person(ctx, who)
}

func errSignIn() error {
	return &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: "this needs a token", Hint: "sign in, or send a token as Authorization: Bearer …"}
}

// begin begins a session, always with a value that nobody has seen before, and ends the one that the browser
// came with: a cookie that somebody planted is worth nothing.
func (k *keyring) begin(c *gin.Context, who upgrade.Identity, limit time.Duration) error {
	ctx := c.Request.Context()
	if old, err := k.sessionOf(c.Request); err == nil {
		_ = k.access.EndSession(ctx, old.ID) // its end is near anyway
	}
	value, now := rand.Text()+rand.Text(), k.now()
	_, proof, _ := k.listed(strings.TrimPrefix(who.Subject, "token/"))
	if !strings.HasPrefix(who.Subject, "token/") {
		proof = ""
	}
	if limit <= 0 || limit > k.limits.Absolute {
		limit = k.limits.Absolute
	}
	err := k.access.AddSession(ctx, upgrade.Session{
		Digest: digestOf(value), ID: rand.Text()[:12], Who: who, BegunAt: now, SeenAt: now, EndsAt: now.Add(limit), From: remote(c.Request),
		Browser: short(c.Request.UserAgent()), Proof: proof,
	})
	if err != nil {
		return fmt.Errorf("begin a session: %w", err)
	}
	k.setSession(c.Writer, value, int(limit.Seconds()))
	return nil
}

// short is what a browser says of itself, as far as it is kept.
func short(text string) string {
	const most = 120
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// sessionOf returns the session that a request shows, if it still counts. CodeUnauthorized.
func (k *keyring) sessionOf(r *http.Request) (upgrade.Session, error) {
	cookie, err := r.Cookie(k.cookieName(sessionCookie))
	if err != nil || cookie.Value == "" || len(cookie.Value) > 200 {
		return upgrade.Session{}, errSignIn()
	}
	session, err := k.access.Session(r.Context(), digestOf(cookie.Value))
	if upgrade.Transient(orNil(err)) {
		return session, fmt.Errorf("look for a session: %w", err)
	}
	if now := k.now(); err != nil || !now.Before(session.EndsAt) || now.Sub(session.SeenAt) > k.limits.Idle {
		return session, errSignIn()
	}
	if name, ok := strings.CutPrefix(session.Who.Subject, "token/"); ok {
		if _, proof, known := k.listed(name); !known || proof != session.Proof { // removed, or changed, in the file
			return session, errSignIn()
		}
	}
	return session, nil
}

// orNil gives an error that is no fault for none.
func orNil(err error) error {
	if err == nil {
		return &upgrade.Error{Code: upgrade.CodeNotFound}
	}
	return err
}

// who returns who asks: by bearer token, which must be good if there is one, else by session.
// CodeUnauthorized.
func (k *keyring) who(r *http.Request) (caller, error) {
	who, err := k.known(r)
	if err != nil {
		return caller{}, err
	}
	return who, k.noteUse(r, who)
}

// known is who without a note that a session or token was used.
func (k *keyring) known(r *http.Request) (caller, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		token = strings.TrimSpace(token)
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return caller{}, errSignIn()
		}
		if p, ok := k.byToken(token); ok {
			return caller{person: p, identity: identityOfToken(p), via: "token"}, nil
		}
		return k.byAPIToken(r, token)
	}
	session, err := k.sessionOf(r)
	if err != nil {
		return caller{}, err
	}
	p, err := k.personOf(r.Context(), session.Who)
	if err != nil {
		return caller{}, err
	}
	return caller{person: p, identity: session.Who, via: "session", session: session.ID, used: session}, nil
}

// noteUse notes, once a minute, that a session or token was used.
func (k *keyring) noteUse(r *http.Request, who caller) error {
	now := k.now()
	switch used := who.used.(type) {
	case upgrade.Session:
		if now.Sub(used.SeenAt) >= seenEvery && !inBackground(r) {
			if err := k.access.SeeSession(r.Context(), used.Digest, now); err != nil {
				return fmt.Errorf("note that a session was used: %w", err)
			}
		}
	case upgrade.APIToken:
		if now.Sub(used.UsedAt) >= seenEvery || used.UsedFrom != remote(r) {
			used.UsedAt, used.UsedFrom = now, remote(r)
			if err := k.access.UseToken(r.Context(), used); err != nil {
				return fmt.Errorf("note that a token was used: %w", err)
			}
		}
	}
	return nil
}

// inBackground reports whether a page asks by itself: nobody need sit before it.
func inBackground(r *http.Request) bool {
	return r.URL.Path == "/events" || strings.Contains(r.URL.Path, "/parts/")
}

// cookieName returns the name of a cookie where the service is.
func (k *keyring) cookieName(name string) string {
	if k.secure {
		return hostPrefix + name
	}
	return name
}

func (k *keyring) setSession(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever the service is reached by https
		Name: k.cookieName(sessionCookie), Value: value, Path: "/", MaxAge: age,
		Secure: k.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// person returns who asks; the guards have put it there.
func person(c *gin.Context) upgrade.Person {
	p, _ := c.MustGet(personKey).(upgrade.Person)
	return p
}

func callerOf(c *gin.Context) caller {
	who, _ := c.MustGet(callerKey).(caller)
	return who
}

// remote returns the address that a request came from, without the port.
func remote(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// admit notes who asks, and has what they do kept in the audit log.
func (s *Server) admit(c *gin.Context, who caller) {
	c.Set(personKey, who.person)
	c.Set(callerKey, who)
	s.recordAct(c, who)
}

// guardAPI answers 401 to whoever did not sign in.
func (s *Server) guardAPI(c *gin.Context) {
	who, err := s.keys.who(c.Request)
	if err != nil {
		s.answerProblem(c, err)
		return
	}
	s.admit(c, who)
}

// guardPage sends whoever did not sign in to the page for that. A part of a page or a stream gets a
// plain 401: a script asks for it, and it must not be given another page instead.
func (s *Server) guardPage(c *gin.Context) {
	who, err := s.keys.who(c.Request)
	switch path := c.Request.URL.Path; {
	case err == nil:
		s.admit(c, who)
	case upgrade.CodeOf(err) != upgrade.CodeUnauthorized:
		s.answer(c, err)
	case c.GetHeader("HX-Request") != "" || path == "/events" || strings.Contains(path, "/parts/"):
		c.AbortWithStatus(http.StatusUnauthorized)
	case c.Request.Method == http.MethodGet || c.Request.Method == http.MethodHead:
		to := "/login"
		if target := c.Request.URL.RequestURI(); target != "/" {
			to += "?next=" + url.QueryEscape(target)
		}
		c.Redirect(http.StatusSeeOther, to)
		c.Abort()
	default:
		c.Redirect(http.StatusSeeOther, "/login")
		c.Abort()
	}
}

// localPath returns next if it is a path of ours, else "/".
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(u.Path, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return u.RequestURI()
}
