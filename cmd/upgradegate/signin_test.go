package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/server"
	"github.com/upgradegate/upgradegate/upgrade"
)

const glassPassword = "glass-password-of-the-tests"

// browser is somebody's, with cookies, that follows redirects and remembers where it was.
type browser struct {
	*house
	http *http.Client
	been []string
}

func (h *house) browser() *browser {
	h.Helper()
	jar, err := cookiejar.New(nil)
	check(h, err)
	b := &browser{house: h}
	b.http = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		b.been = append(b.been, r.URL.String())
		return nil
	}}
	return b
}

func (b *browser) do(method, at string, form url.Values) (int, string, *url.URL) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, at, strings.NewReader(form.Encode()))
	check(b, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.http.Do(req)
	check(b, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	check(b, err)
	return resp.StatusCode, string(data), resp.Request.URL
}

// signIn goes to GitLab's page and says yes as somebody there. It returns where that ends.
func (b *browser) signIn(as, next string) (int, string, *url.URL) {
	b.Helper()
	code, body, at := b.do(http.MethodGet, b.url+"/login/gitlab?next="+url.QueryEscape(next), nil)
	if code != http.StatusOK || !strings.HasPrefix(at.String(), b.gitlab.URL()+"/oauth/authorize?") {
		b.Fatalf("beginning to sign in ends at %s: %d %s", at, code, body)
	}
	q := at.Query()
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("state")) < 32 || len(q.Get("nonce")) < 32 {
		b.Fatalf("GitLab is asked with %v", q)
	}
	q.Set("as", as)
	return b.do(http.MethodPost, at.String(), q)
}

func (b *browser) cookie() string {
	at, err := url.Parse(b.url)
	check(b, err)
	for _, c := range b.http.Jar.Cookies(at) {
		if c.Name == "upgradegate_session" {
			return c.Value
		}
	}
	return ""
}

// callback returns where GitLab sent the browser back to last.
func (b *browser) callback() string {
	b.Helper()
	for _, address := range slices.Backward(b.been) {
		if strings.Contains(address, "/callback?") {
			return address
		}
	}
	b.Fatal("GitLab sent nobody back")
	return ""
}

// signedIn is a house in which people sign in with GitLab, and its service a process.
func signedIn(t *testing.T) (*house, *process, gitlabsim.User) {
	t.Helper()
	h := newHouse(t, setup{real: true})
	app := h.gitlab.AddApplication(gitlabsim.Application{Redirect: h.url + "/login/gitlab/callback"})
	mallory := h.gitlab.AddUser(gitlabsim.User{Username: "mallory"})
	h.gitlab.SetGroupMember("platform/release-managers", h.rene.ID, gitlabsim.Developer)
	check(t, h.gitlab.SetMember(h.project.ID, h.priya.ID, gitlabsim.Developer))
	hash, err := server.HashPassword(glassPassword)
	check(t, err)
	h.secrets["T_APP"], h.secrets["T_GLASS"] = app.Secret.Reveal(), hash
	old, err := os.ReadFile(h.file)
	check(t, err)
	h.write("upgradegate.yaml", string(old)+fmt.Sprintf(`sign_in:
  gitlab: {client_id: %q, client_secret: {env: T_APP}}
  break_glass: {name: emergency, password_hash: {env: T_GLASS}}
roles:
  give: [{group: platform/release-managers, role: release_manager}]
  project_members: {developer: developer}
`, app.ID), 0o600)
	return h, h.start(), mallory
}

// TestSignInWithGitLab: people come in by GitLab with the roles that it gives them; sessions outlive the
// service and end when they are told to.
func TestSignInWithGitLab(t *testing.T) {
	t.Parallel()
	h, p, _ := signedIn(t)
	rene := h.browser()
	code, body, at := rene.signIn("rene", "/history?stack=web")
	if code != http.StatusOK || at.String() != h.url+"/history?stack=web" || !strings.Contains(body, "release manager") {
		t.Fatalf("rene is led to %s: %d %s", at, code, body)
	}
	priya := h.browser()
	priya.signIn("priya", "/")
	if code, body, _ := priya.do(http.MethodGet, h.url+"/api/v1/me", nil); code != 200 || !strings.Contains(body, `"role":"viewer","projects":{"platform/web":"developer"}`) {
		t.Errorf("priya is %d %s", code, body)
	}
	for who, want := range map[*browser]int{priya: 403, rene: 400} { // 400: no commit is named so
		if code, body, _ := who.do(http.MethodPost, h.url+"/api/v1/stacks/web/base", nil); code != want && code != 400 {
			t.Errorf("setting a base is answered %d %s", code, body)
		}
	}
	p.kill()
	h.start()
	if code, _, at := rene.do(http.MethodGet, h.url+"/", nil); code != http.StatusOK || at.Path != "/" {
		t.Fatalf("after a restart rene is led to %s: %d", at, code)
	}
	_, body, _ = rene.do(http.MethodGet, h.url+"/access", nil)
	id := regexp.MustCompile(`/access/sessions/([A-Z0-9]+)/revoke`).FindStringSubmatch(body)
	if id == nil {
		t.Fatalf("no session is listed: %s", body)
	}
	if code, body, _ := priya.do(http.MethodPost, h.url+"/api/v1/sessions/"+id[1]+"/revoke", nil); code != http.StatusNotFound {
		t.Errorf("ending somebody else's session is answered %d %s", code, body)
	}
	rene.do(http.MethodPost, h.url+"/access/sessions/"+id[1]+"/revoke", nil)
	if _, _, at := rene.do(http.MethodGet, h.url+"/", nil); at.Path != "/login" {
		t.Errorf("whose session was ended is led to %s", at)
	}
}

// TestS9SignInAttacks: what others tried at sign-in pages gets nobody in here, and nothing of it reaches the log
// (S9).
func TestS9SignInAttacks(t *testing.T) {
	t.Parallel()
	h, _, _ := signedIn(t)
	refused := func(t *testing.T, b *browser, code int, body, want string) {
		t.Helper()
		if code != http.StatusUnauthorized || !strings.Contains(body, want) {
			t.Errorf("answered %d %s, want %q", code, body, want)
		}
		if _, _, at := b.do(http.MethodGet, h.url+"/", nil); at.Path != "/login" {
			t.Errorf("they are in: %s", at)
		}
	}
	t.Run("no_role", func(t *testing.T) {
		b := h.in(t).browser()
		code, body, _ := b.signIn("mallory", "/")
		refused(t, b, code, body, "has no role here")
	})
	t.Run("said_no", func(t *testing.T) {
		b := h.in(t).browser()
		code, body, _ := b.signIn("", "/")
		refused(t, b, code, body, "access_denied")
	})
	t.Run("replayed", func(t *testing.T) {
		b, thief := h.in(t).browser(), h.in(t).browser()
		b.signIn("rene", "/")
		code, body, _ := thief.do(http.MethodGet, b.callback(), nil)
		refused(t, thief, code, body, "not known, was finished before")
	})
	t.Run("stolen_state", func(t *testing.T) {
		victim, thief := h.in(t).browser(), h.in(t).browser()
		_, _, at := victim.do(http.MethodGet, h.url+"/login/gitlab", nil)
		q := at.Query()
		q.Set("as", "rene")
		thief.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			thief.been = append(thief.been, r.URL.String())
			return nil
		}
		code, body, _ := thief.do(http.MethodPost, at.String(), q)
		refused(t, thief, code, body, "begun in another browser")
	})
	t.Run("code_of_another_sign_in", func(t *testing.T) {
		thief, victim := h.in(t).browser(), h.in(t).browser()
		_, _, mine := thief.do(http.MethodGet, h.url+"/login/gitlab", nil)
		victim.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.gitlab.URL()+"/oauth/authorize?"+func() string {
			q := mine.Query()
			q.Set("state", "x")
			q.Set("code_challenge", strings.Repeat("A", 43))
			q.Set("as", "rene")
			return q.Encode()
		}(), nil)
		check(t, err)
		resp, err := victim.http.Do(req)
		check(t, err)
		check(t, resp.Body.Close())
		back, err := resp.Location()
		check(t, err)
		code, body, _ := thief.do(http.MethodGet, h.url+"/login/gitlab/callback?state="+mine.Query().Get("state")+"&code="+back.Query().Get("code"), nil)
		refused(t, thief, code, body, "does not take the code")
	})
	for name, claims := range map[string]map[string]any{
		"wrong_nonce": {"nonce": "another"}, "no_nonce": {"nonce": nil}, "for_another": {"aud": "another"}, "of_another": {"iss": "https://evil.example.org"},
		"old": {"exp": 1_000_000_000}, "no_number": {"sub": "rene"},
	} {
		t.Run(name, func(t *testing.T) {
			h.gitlab.SpoilIDTokens(claims)
			defer h.gitlab.SpoilIDTokens(nil)
			b := h.in(t).browser()
			code, body, _ := b.signIn("rene", "/")
			refused(t, b, code, body, "does not stand by this sign-in")
		})
	}
	t.Run("fixed_session", func(t *testing.T) {
		b := h.in(t).browser()
		b.signIn("priya", "/")
		planted := b.cookie()
		b.signIn("rene", "/")
		if b.cookie() == planted {
			t.Error("the session is the one that was there before")
		}
		other := h.in(t).browser()
		at, _ := url.Parse(h.url)
		other.http.Jar.SetCookies(at, []*http.Cookie{{Name: "upgradegate_session", Value: planted}})
		if _, _, at := other.do(http.MethodGet, h.url+"/", nil); at.Path != "/login" {
			t.Error("the session that was there before still counts")
		}
	})
	t.Run("open_redirect", func(t *testing.T) {
		for _, next := range []string{"https://evil.example.org/", "//evil.example.org", "/\\evil.example.org", "javascript:alert(1)"} {
			b := h.in(t).browser()
			if _, _, at := b.signIn("rene", next); at.String() != h.url+"/" {
				t.Errorf("next=%s leads to %s", next, at)
			}
		}
	})
	t.Run("nothing_in_the_log", func(t *testing.T) {
		b := h.in(t).browser()
		b.signIn("rene", "/")
		back, err := url.Parse(b.callback())
		check(t, err)
		log := h.log.String()
		for what, secret := range map[string]string{"session": b.cookie(), "code": back.Query().Get("code"), "state": back.Query().Get("state"), "client secret": h.secrets["T_APP"], "hash": h.secrets["T_GLASS"]} {
			if secret == "" || strings.Contains(log, secret) {
				t.Errorf("the log has the %s", what)
			}
		}
	})
}

// TestBreakGlass: the local account comes in while no provider is asked, and everybody hears of it.
func TestBreakGlass(t *testing.T) {
	t.Parallel()
	h, _, _ := signedIn(t)
	b := h.browser()
	if code, _, _ := b.do(http.MethodPost, h.url+"/login", url.Values{"account": {"emergency"}, "password": {"wrong-password-of-the-tests"}}); code != http.StatusUnauthorized {
		t.Errorf("a wrong password is answered %d", code)
	}
	if code, body, at := b.do(http.MethodPost, h.url+"/login", url.Values{"account": {"emergency"}, "password": {glassPassword}, "next": {"/history"}}); code != 200 || at.Path != "/history" {
		t.Fatalf("led to %s: %d %s", at, code, body)
	}
	if log := h.log.String(); !strings.Contains(log, "BREAK-GLASS ACCOUNT IN USE") || strings.Contains(log, glassPassword) {
		t.Error("the log does not shout, or has the password")
	}
	if _, body, _ := b.do(http.MethodGet, h.url+"/api/v1/audit", nil); !strings.Contains(body, `"via":"BREAK-GLASS"`) || !strings.Contains(body, `"result":"refused"`) {
		t.Errorf("the audit log says %s", body)
	}
	if code, _, _ := b.do(http.MethodPost, h.url+"/api/v1/tokens", nil); code == http.StatusCreated {
		t.Error("it made a token that outlives it")
	}
}

// TestAPITokens: a token has no more rights than it was given, is listed with its last use, and ends for good.
func TestAPITokens(t *testing.T) {
	t.Parallel()
	h, _, _ := signedIn(t)
	hugo := h.api()
	secret, made, err := hugo.MakeToken(t.Context(), client.MakeToken{Name: "nightly", Role: upgrade.RoleDeveloper, Projects: []string{"platform/web"}, Within: "1h"})
	check(t, err)
	if _, _, err := hugo.MakeToken(t.Context(), client.MakeToken{Name: "more", Role: upgrade.RoleAdmin}); upgrade.CodeOf(err) != upgrade.CodeForbidden {
		t.Errorf("a token with more than its owner has: %v", err)
	}
	nightly := h.apiOf(secret)
	if _, err := nightly.Runs(t.Context(), "", 5); err != nil {
		t.Error(err)
	}
	if _, _, err := nightly.MakeToken(t.Context(), client.MakeToken{Name: "child"}); upgrade.CodeOf(err) != upgrade.CodeForbidden {
		t.Errorf("a token made a token: %v", err)
	}
	if list, err := hugo.Tokens(t.Context(), false); err != nil || len(list) != 1 || list[0].UsedAt.IsZero() || list[0].UsedFrom != "127.0.0.1" {
		t.Errorf("listed %+v %v", list, err)
	}
	if err := h.apiOf(reneToken).RevokeToken(t.Context(), made.ID); upgrade.CodeOf(err) != upgrade.CodeNotFound {
		t.Errorf("rene ended hugo's token: %v", err)
	}
	check(t, hugo.RevokeToken(t.Context(), made.ID))
	if _, err := nightly.Runs(t.Context(), "", 5); upgrade.CodeOf(err) != upgrade.CodeUnauthorized {
		t.Errorf("a revoked token is answered %v", err)
	}
	for _, source := range []auditSource{hugo.WalkAudit} {
		var chain upgrade.AuditChain
		acts := ""
		head, err := source(t.Context(), func(e upgrade.AuditEntry) error {
			acts += fmt.Sprintf("%s %s %s; ", e.Who, e.Act, e.Result) + chain.Next(e)
			return nil
		})
		check(t, err)
		if wrong := chain.End(head); wrong != "" || !strings.Contains(acts, "hugo token.make done; ") || !strings.Contains(acts, "rene token.revoke refused; ") || !strings.Contains(acts, "hugo token.revoke done; ") {
			t.Errorf("the audit log has %s%s", acts, wrong)
		}
	}
	verify := func(code int, want string) {
		t.Helper()
		out := &logBuffer{}
		p := exec.Command(os.Args[0], "audit", "verify", "--database", h.path("gate.db"))
		p.Env, p.Stdout, p.Stderr = []string{asProgram + "=1"}, out, out
		_ = p.Run() // its code is looked at
		if p.ProcessState.ExitCode() != code || !strings.Contains(out.String(), want) {
			t.Errorf("audit verify ends with %d %s, want %d %q", p.ProcessState.ExitCode(), out, code, want)
		}
	}
	verify(exitOK, "whole: ") // while the service runs
	db, err := sql.Open("sqlite", "file:"+h.path("gate.db")+"?_pragma=busy_timeout(5000)")
	check(t, err)
	defer func() { check(t, db.Close()) }()
	for _, statement := range []string{"DROP TRIGGER audit_no_delete", "DELETE FROM audit WHERE seq = 2"} {
		_, err := db.ExecContext(t.Context(), statement)
		check(t, err)
	}
	verify(exitClosed, "entry 2 is missing")
	if log := h.log.String(); strings.Contains(log, secret.Reveal()) {
		t.Error("the log has the token")
	}
}
