package gitlabsim

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Application is an OAuth application, as an administrator of GitLab adds one.
type Application struct {
	ID       string // default: a random one
	Secret   upgrade.Secret
	Redirect string // the only address that people are sent back to
	// Trusted asks nobody: whoever is signed in goes straight on.
	Trusted bool
}

// grant is a code that was given out.
type grant struct {
	app, redirect, nonce, challenge string
	user                            int64
	until                           time.Time
	used                            bool
}

// codeFor is how long a code counts, as in GitLab.
const codeFor = 10 * time.Minute

// AddApplication adds an application and returns it whole.
func (s *Server) AddApplication(a Application) Application {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.ID == "" {
		a.ID = rand.Text()
	}
	if !a.Secret.Set() {
		a.Secret = upgrade.Secret("gloas-" + rand.Text())
	}
	s.applications = append(s.applications, a)
	return a
}

// SetGroupMember changes what somebody is in a group, which need not have projects; NoAccess removes them.
func (s *Server) SetGroupMember(group string, user int64, access Access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups == nil {
		s.groups = map[string]map[int64]Access{}
	}
	if s.groups[group] == nil {
		s.groups[group] = map[int64]Access{}
	}
	s.groups[group][user] = access
}

// groupLevel returns what somebody is in a group or in one above it. mu is held.
func (s *Server) groupLevel(group string, user int64) (level Access, known bool) {
	for path := group; path != ""; path, _ = cutLast(path) {
		members, ok := s.groups[path]
		if path == group {
			known = ok
		}
		level = max(level, members[user])
	}
	return level, known
}

func (s *Server) signInRoutes(mux *http.ServeMux) {
	s.handle(mux, "GET /api/v4/groups/{group}/members/all/{user}", func(c *call) (any, *refusal) {
		id := c.pathNum("user")
		u, _ := s.userJSON(id).(map[string]any)
		level, known := s.groupLevel(c.r.PathValue("group"), id)
		switch {
		case !known:
			return nil, notFound("Group")
		case u == nil || level == NoAccess:
			return nil, notFound("")
		}
		u["access_level"] = int(level)
		return u, nil
	})
	mux.HandleFunc("GET /oauth/authorize", s.authorize)
	mux.HandleFunc("POST /oauth/authorize", s.authorize)
	mux.HandleFunc("POST /oauth/token", s.giveTokens)
	mux.HandleFunc("GET /oauth/userinfo", s.userinfo)
}

//nolint:gochecknoglobals // parsed once; it is constant
var authorizePage = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><title>Authorize</title>
<h1>Authorize upgradegate to use your account?</h1>
<form method="post">{{range $k, $v := .Fields}}<input type="hidden" name="{{$k}}" value="{{$v}}">{{end}}
{{range .Users}}<button name="as" value="{{.Username}}">{{.Name}}</button> {{end}}<button name="as" value="">Cancel</button></form>`))

// authorize is the page on which somebody says yes. What cannot be trusted with an answer gets a page and is
// never sent back.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "bad form", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	app := s.application(r.Form.Get("client_id"))
	switch {
	case app == nil:
		http.Error(w, "Client authentication failed due to unknown client, no client authentication included, or unsupported authentication method.", http.StatusUnauthorized)
		return
	case r.Form.Get("redirect_uri") != app.Redirect:
		http.Error(w, "The redirect URI included is not valid.", http.StatusBadRequest)
		return
	}
	back := func(fields ...string) {
		q := url.Values{"state": {r.Form.Get("state")}}
		for i := 0; i+1 < len(fields); i += 2 {
			q.Set(fields[i], fields[i+1])
		}
		http.Redirect(w, r, app.Redirect+"?"+q.Encode(), http.StatusFound)
	}
	switch {
	case r.Form.Get("response_type") != "code":
		back("error", "unsupported_response_type")
		return
	case !slices.Contains(strings.Fields(r.Form.Get("scope")), "openid"):
		back("error", "invalid_scope")
		return
	case r.Form.Get("code_challenge") != "" && r.Form.Get("code_challenge_method") != "S256":
		back("error", "invalid_code_challenge_method")
		return
	}
	if !r.Form.Has("as") {
		s.askYes(w, r)
		return
	}
	for _, u := range s.users {
		if u.Username == r.Form.Get("as") && u.Username != "" {
			code := rand.Text()
			if s.grants == nil {
				s.grants = map[string]*grant{}
			}
			s.grants[code] = &grant{app.ID, app.Redirect, r.Form.Get("nonce"), r.Form.Get("code_challenge"), u.ID, s.clock.Now().Add(codeFor), false}
			back("code", code)
			return
		}
	}
	back("error", "access_denied", "error_description", "The resource owner or authorization server denied the request.")
}

func (s *Server) askYes(w http.ResponseWriter, r *http.Request) {
	page := struct {
		Fields map[string]string
		Users  []*User
	}{Fields: map[string]string{}}
	for key := range r.Form {
		page.Fields[key] = r.Form.Get(key)
	}
	for _, u := range s.users {
		if !u.Bot {
			page.Users = append(page.Users, u)
		}
	}
	slices.SortFunc(page.Users, func(a, b *User) int { return strings.Compare(a.Username, b.Username) })
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = authorizePage.Execute(w, page) // the browser has gone
}

func (s *Server) application(id string) *Application {
	for i := range s.applications {
		if s.applications[i].ID == id {
			return &s.applications[i]
		}
	}
	return nil
}

// giveTokens gives tokens for a code, once.
func (s *Server) giveTokens(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, text string) {
		answer(w, status, map[string]any{"error": code, "error_description": text})
	}
	const invalid = "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client."
	if err := r.ParseForm(); err != nil {
		refuse(http.StatusBadRequest, "invalid_request", "The request is missing a required parameter.")
		return
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	s.mu.Lock()
	app, g := s.application(id), s.grants[r.PostForm.Get("code")]
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	now := s.clock.Now()
	var refused string
	switch {
	case app == nil || subtle.ConstantTimeCompare([]byte(secret), []byte(app.Secret.Reveal())) != 1:
		s.mu.Unlock()
		refuse(http.StatusUnauthorized, "invalid_client", "Client authentication failed due to unknown client, no client authentication included, or unsupported authentication method.")
		return
	case r.PostForm.Get("grant_type") != "authorization_code":
		refused = "unsupported_grant_type"
	case g == nil || g.used || now.After(g.until) || g.app != app.ID || g.redirect != r.PostForm.Get("redirect_uri"),
		g.challenge != "" && base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge:
		refused = "invalid_grant"
	}
	if refused != "" {
		s.mu.Unlock()
		refuse(http.StatusBadRequest, refused, invalid)
		return
	}
	g.used = true
	access := rand.Text()
	if s.signedIn == nil {
		s.signedIn = map[string]int64{}
	}
	s.signedIn[access] = g.user
	claims := s.signInClaims(g, app.ID, now)
	for name, value := range s.spoilt {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	s.mu.Unlock()
	token, err := s.SignClaims(nil, claims)
	if err != nil {
		refuse(http.StatusInternalServerError, "server_error", err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": 7200, "scope": "openid profile", "created_at": now.Unix(), "id_token": token, "refresh_token": rand.Text(),
	})
}

// signInClaims are those of an ID token of somebody who signs in. mu is held.
func (s *Server) signInClaims(g *grant, client string, now time.Time) map[string]any {
	u := s.users[g.user]
	return map[string]any{
		"iss": s.url, "sub": strconv.FormatInt(u.ID, 10), "aud": client, "exp": now.Add(2 * time.Minute).Unix(), "iat": now.Unix(), "nonce": g.nonce, "auth_time": now.Unix(),
		"name": u.Name, "nickname": u.Username, "preferred_username": u.Username, "profile": s.url + "/" + u.Username, "groups_direct": []string{},
	}
}

// SpoilIDTokens changes claims of the ID tokens of those who sign in from now on; nil takes a claim away.
func (s *Server) SpoilIDTokens(claims map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoilt = claims
}

func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[s.signedIn[tokenOf(r)]]
	if u == nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="Doorkeeper", error="invalid_token", error_description="The access token is invalid"`)
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"sub": strconv.FormatInt(u.ID, 10), "name": u.Name, "nickname": u.Username, "preferred_username": u.Username})
}
