package server

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/crypto/argon2"

	"github.com/upgradegate/upgradegate/upgrade"
)

// provider is somebody who says who people are, by OpenID Connect: authorization code with PKCE.
type provider interface {
	// Begin returns where the browser is sent. CodeUnavailable while the provider does not answer.
	Begin(ctx context.Context, state, nonce, verifier string) (string, error)
	// Finish returns who came back. CodeUnauthorized when the provider does not stand by it.
	Finish(ctx context.Context, code, nonce, verifier string) (upgrade.Identity, error)
}

// SignIn says how people sign in besides by token, and what they may do.
type SignIn struct {
	Providers  []Provider
	BreakGlass *BreakGlass // nil: there is none
	Limits     SessionLimits
	Roles      Roles
	Members    members // needed by roles from GitLab
}

// Provider is one way to sign in.
type Provider struct {
	Name  string // in addresses
	Title string // as the page shows it
	OIDC  provider
}

// BreakGlass is a local account for when no provider answers. It is an administrator's, for one hour at a
// time, and each use is shouted into log and audit log.
type BreakGlass struct {
	Name string
	Hash upgrade.Secret // argon2id, as HashPassword writes it
}

// SessionLimits are how long a session lasts.
type SessionLimits struct {
	Idle     time.Duration // without anybody using it; default 8 h
	Absolute time.Duration // whatever is done; default 24 h
}

const (
	signInCookie  = "upgradegate_signin"
	signInWithin  = 10 * time.Minute
	maxSignIns    = 1000 // begun and not finished
	maxRefusals   = 30   // kept per minute
	maxGuesses    = 5    // of the break-glass password, per minute and address
	maxAllGuesses = 60   // of it from everywhere: the cost of each is a good part of a second of one processor
	breakGlassFor = time.Hour
	maxPassword   = 1024 // bytes
)

func (in *SignIn) check() error {
	if in.Limits.Idle <= 0 {
		in.Limits.Idle = 8 * time.Hour
	}
	if in.Limits.Absolute <= 0 {
		in.Limits.Absolute = 24 * time.Hour
	}
	for i, p := range in.Providers {
		if p.Name == "" || p.OIDC == nil {
			return invalid("sign_in: provider %d is not complete", i+1)
		}
	}
	if in.BreakGlass != nil {
		if _, err := readHash(in.BreakGlass.Hash.Reveal()); err != nil {
			return err
		}
	}
	return nil
}

// signIns are the sign-ins under way.
type signIns struct {
	SignIn
	mu       sync.Mutex // guards begun
	begun    map[string]begun
	refusals bucket
	guesses  guesses
	purges   bucket
	hashing  sync.Mutex // held by who computes a password's hash
}

// begun is a sign-in that was sent to a provider.
type begun struct {
	provider, nonce, verifier, next string
	browser                         string // digest of the cookie of the browser that began it
	until                           time.Time
}

// put keeps a sign-in by its state. When there are too many, all are forgotten: somebody begins them by the
// thousand, and whoever is among them begins again.
func (s *signIns) put(state string, b begun, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, old := range s.begun {
		if now.After(old.until) {
			delete(s.begun, key)
		}
	}
	if s.begun == nil || len(s.begun) >= maxSignIns {
		s.begun = map[string]begun{}
	}
	s.begun[state] = b
}

// take returns a sign-in, once.
func (s *signIns) take(state string, now time.Time) (begun, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.begun[state]
	delete(s.begun, state)
	return b, ok && now.Before(b.until)
}

func (s *signIns) provider(name string) (Provider, error) {
	for _, p := range s.Providers {
		if p.Name == name {
			return p, nil
		}
	}
	return Provider{}, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no such way to sign in", Hint: "see /login"}
}

// beginSignIn sends the browser to a provider.
func (s *Server) beginSignIn(c *gin.Context) error {
	p, err := s.signIns.provider(c.Param("provider"))
	if err != nil {
		return err
	}
	browser, now := rand.Text(), s.keys.now()
	state, b := rand.Text()+rand.Text(), begun{
		provider: p.Name, nonce: rand.Text() + rand.Text(), verifier: rand.Text() + rand.Text() + rand.Text(), next: localPath(c.Query("next")),
		browser: digestOf(browser), until: now.Add(signInWithin),
	}
	to, err := p.OIDC.Begin(c.Request.Context(), state, b.nonce, b.verifier)
	if err != nil {
		return s.signInFailed(c, p, b.next, err)
	}
	s.signIns.put(state, b, now)
	s.setSignIn(c, browser, int(signInWithin.Seconds()))
	c.Redirect(http.StatusSeeOther, to)
	return nil
}

func (s *Server) setSignIn(c *gin.Context, value string, age int) {
	http.SetCookie(c.Writer, &http.Cookie{ //nolint:gosec // Secure wherever the service is reached by https
		Name: s.keys.cookieName(signInCookie), Value: value, Path: "/", MaxAge: age, Secure: s.keys.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// finishSignIn lets in whom a provider sends back. The state counts once, and only in the browser that began.
func (s *Server) finishSignIn(c *gin.Context) error {
	p, err := s.signIns.provider(c.Param("provider"))
	if err != nil {
		return err
	}
	b, known := s.signIns.take(c.Query("state"), s.keys.now())
	cookie, err := c.Request.Cookie(s.keys.cookieName(signInCookie))
	s.setSignIn(c, "", -1)
	switch {
	case !known || b.provider != p.Name:
		return s.signInFailed(c, p, "/", unauthorized("this sign-in is not known, was finished before, or took longer than "+signInWithin.String()))
	case err != nil || subtle.ConstantTimeCompare([]byte(digestOf(cookie.Value)), []byte(b.browser)) != 1:
		return s.signInFailed(c, p, "/", unauthorized("this sign-in was begun in another browser"))
	case c.Query("error") != "":
		return s.signInFailed(c, p, b.next, unauthorized(p.Title+" said no: "+shortText(c.Query("error"))))
	case c.Query("code") == "":
		return s.signInFailed(c, p, b.next, unauthorized(p.Title+" sent no code"))
	}
	who, err := p.OIDC.Finish(c.Request.Context(), c.Query("code"), b.nonce, b.verifier)
	if err != nil {
		return s.signInFailed(c, p, b.next, err)
	}
	s.keys.roles.forget(who.Subject)
	if _, err := s.keys.personOf(c.Request.Context(), who); err != nil {
		return s.signInFailed(c, p, b.next, err)
	}
	return s.enter(c, who, p.Name, b.next, 0)
}

func unauthorized(msg string) error {
	return &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: msg, Hint: "sign in again"}
}

// shortText is what somebody else says, as far as it is shown.
func shortText(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return text[:min(len(text), 80)]
}

func (s *Server) signInFailed(c *gin.Context, p Provider, next string, err error) error {
	s.logUnexpected(c, err)
	s.refuseSignIn(c, "", p.Name, upgrade.Public(err))
	v := s.loginView(next)
	v.Problem, v.Hint = stop(upperFirst(upgrade.Public(err))), stop(upgrade.HintOf(err))
	return s.showLogin(c, problemOf(err, requestID(c)).Status, v)
}

// breakGlass lets the local account in. It is slow on purpose, and counts guesses.
func (s *Server) breakGlass(c *gin.Context, account, password, next string) error {
	v := s.loginView(next)
	local := s.signIns.BreakGlass
	if local == nil {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no local account", Hint: "it is off unless sign_in.break_glass is configured"}
	}
	if !s.signIns.guesses.allow(remote(c.Request), s.keys.now()) {
		s.refuseSignIn(c, local.Name, "break-glass", "too many tries")
		v.Problem, v.Hint = "Too many tries.", "Wait a minute."
		return s.showLogin(c, http.StatusTooManyRequests, v)
	}
	if len(password) > maxPassword {
		s.refuseSignIn(c, local.Name, "break-glass", "a password of that length")
		v.Problem, v.Hint = "The account or its password is wrong.", ""
		return s.showLogin(c, http.StatusUnauthorized, v)
	}
	hash, err := readHash(local.Hash.Reveal())
	if err != nil {
		return err
	}
	// One at a time: each takes its memory, and guesses that came together must not take the service's.
	s.signIns.hashing.Lock()
	right := hash.matches(password)
	s.signIns.hashing.Unlock()
	if subtle.ConstantTimeCompare([]byte(account), []byte(local.Name)) != 1 || !right {
		s.log.ErrorContext(c.Request.Context(), "BREAK-GLASS ACCOUNT: a sign-in was refused", "from", c.Request.RemoteAddr, "request_id", requestID(c))
		s.refuseSignIn(c, local.Name, "break-glass", "wrong account or password")
		v.Problem, v.Hint = "The account or its password is wrong.", ""
		return s.showLogin(c, http.StatusUnauthorized, v)
	}
	s.log.ErrorContext(c.Request.Context(), "BREAK-GLASS ACCOUNT IN USE: somebody is signed in past the provider", "who", local.Name, "from", c.Request.RemoteAddr, "request_id", requestID(c))
	return s.enter(c, upgrade.Identity{Subject: "local/" + local.Name, Name: local.Name}, "BREAK-GLASS", next, breakGlassFor)
}

// bucket allows so many of something in a time.
type bucket struct {
	mu   sync.Mutex // guards the fields below
	from time.Time
	n    int
}

func (b *bucket) allow(now time.Time, most int, within time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.from.IsZero() || now.Sub(b.from) >= within {
		b.from, b.n = now, 0
	}
	b.n++
	return b.n <= most
}

// guesses allows so many guesses of a password from each address, and so many in all: a stranger must not lock the
// one out who needs the account.
type guesses struct {
	mu   sync.Mutex // guards the fields below
	from time.Time
	by   map[string]int
	n    int
}

func (g *guesses) allow(address string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.from.IsZero() || now.Sub(g.from) >= time.Minute {
		g.from, g.n, g.by = now, 0, map[string]int{}
	}
	if g.n >= maxAllGuesses || g.by[address] >= maxGuesses {
		return false
	}
	g.n++
	g.by[address]++
	return true
}

// passwordHash is what argon2id made of a password.
type passwordHash struct {
	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

var hashForm = regexp.MustCompile(`^\$argon2id\$v=19\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)

// readHash reads a hash in the form of PHC. CodeInvalid for another form or one that is weak.
func readHash(text string) (passwordHash, error) {
	m := hashForm.FindStringSubmatch(text)
	bad := invalid("sign_in.break_glass: the password's hash is not argon2id with at least 19 MiB of memory")
	if m == nil {
		return passwordHash{}, bad
	}
	memory, _ := strconv.ParseUint(m[1], 10, 32) // digits: the pattern says so
	rounds, _ := strconv.ParseUint(m[2], 10, 32) // as above
	threads, _ := strconv.ParseUint(m[3], 10, 8) // as above
	salt, saltErr := base64.RawStdEncoding.DecodeString(m[4])
	sum, sumErr := base64.RawStdEncoding.DecodeString(m[5])
	if saltErr != nil || sumErr != nil || memory < 19<<10 || memory > 1<<20 || rounds < 1 || rounds > 10 || threads < 1 || threads > 16 || len(salt) < 8 || len(sum) < 16 {
		return passwordHash{}, bad
	}
	return passwordHash{uint32(memory), uint32(rounds), uint8(threads), salt, sum}, nil
}

func (h passwordHash) matches(password string) bool {
	sum := argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, uint32(len(h.sum))) //nolint:gosec // shorter than the pattern's line
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// HashPassword returns the argon2id hash of a password, as the configuration takes it. CodeInvalid for one of
// fewer than 16 characters.
func HashPassword(password string) (string, error) {
	if len([]rune(password)) < 16 {
		return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the password has fewer than 16 characters", Hint: "make one with: openssl rand -base64 24"}
	}
	const memory, rounds, threads = 64 << 10, 3, 2
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails: it would end the program
	sum := argon2.IDKey([]byte(password), salt, rounds, memory, threads, sha256.Size)
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", memory, rounds, threads, base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum)), nil
}

// withoutAct is ctx without the act under way: what is done under it is no act.
func withoutAct(ctx context.Context) context.Context { return upgrade.Acting(ctx, nil) }
