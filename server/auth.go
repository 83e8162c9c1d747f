package server

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	sessionCookie = "upgradegate_session"
	sessionAge    = 12 * 60 * 60 // seconds
	personKey     = "person"
)

// keyring knows who may come in. A session is the name of a token and its HMAC under a key that is
// made at start: a restart signs everybody out, and a stolen disk signs nobody in.
type keyring struct {
	people  []upgrade.Person
	digests [][sha256.Size]byte // of the tokens, in the same order
	key     []byte
	secure  bool // cookies over TLS only
}

func newKeyring(tokens []Token, secure bool) *keyring {
	k := &keyring{key: make([]byte, 32), secure: secure}
	_, _ = rand.Read(k.key) // never fails: it would end the program
	for _, t := range tokens {
		k.people = append(k.people, t.Person)
		k.digests = append(k.digests, sha256.Sum256([]byte(t.Secret.Reveal())))
	}
	return k
}

// byToken returns whose token given is. It compares with all of them, in constant time.
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

func (k *keyring) mac(name string) []byte {
	m := hmac.New(sha256.New, k.key)
	m.Write([]byte(name))
	return m.Sum(nil)
}

func (k *keyring) session(p upgrade.Person) string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.Name)) + "." + base64.RawURLEncoding.EncodeToString(k.mac(p.Name))
}

// bySession returns whose session the value of a cookie is.
func (k *keyring) bySession(value string) (upgrade.Person, bool) {
	encoded, sum, ok := strings.Cut(value, ".")
	name, err := base64.RawURLEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return upgrade.Person{}, false
	}
	given, err := base64.RawURLEncoding.DecodeString(sum)
	if err != nil || !hmac.Equal(given, k.mac(string(name))) {
		return upgrade.Person{}, false
	}
	for _, p := range k.people {
		if p.Name == string(name) {
			return p, true
		}
	}
	return upgrade.Person{}, false
}

// who returns who asks: by bearer token, which must be good if there is one, else by session.
func (k *keyring) who(r *http.Request) (upgrade.Person, bool) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return upgrade.Person{}, false
		}
		return k.byToken(strings.TrimSpace(token))
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return upgrade.Person{}, false
	}
	return k.bySession(cookie.Value)
}

func (k *keyring) setSession(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever the service is reached by https
		Name: sessionCookie, Value: value, Path: "/", MaxAge: age,
		Secure: k.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// person returns who asks; the guards have put it there.
func person(c *gin.Context) upgrade.Person {
	p, _ := c.MustGet(personKey).(upgrade.Person)
	return p
}

// guardAPI answers 401 to whoever did not sign in.
func (s *Server) guardAPI(c *gin.Context) {
	p, ok := s.keys.who(c.Request)
	if !ok {
		s.answerProblem(c, &upgrade.Error{
			Code: upgrade.CodeUnauthorized, Msg: "this needs a token",
			Hint: "send one of server.tokens as Authorization: Bearer …",
		})
		return
	}
	c.Set(personKey, p)
}

// guardPage sends whoever did not sign in to the page for that. A part of a page or a stream gets a
// plain 401: a script asks for it, and it must not be given another page instead.
func (s *Server) guardPage(c *gin.Context) {
	p, ok := s.keys.who(c.Request)
	switch path := c.Request.URL.Path; {
	case ok:
		c.Set(personKey, p)
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
