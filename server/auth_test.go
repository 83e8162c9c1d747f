package server

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestEveryRouteIsGuarded asks for each route without a token. What is open is listed here; whatever
// is added is guarded or has to be listed.
func TestEveryRouteIsGuarded(t *testing.T) {
	open := map[string]int{
		"GET /healthz": 200, "GET /readyz": 200, "GET /static/:name": 404, "GET /login": 200, "POST /login": 401,
		"GET /login/:provider": 404, "GET /login/:provider/callback": 404, // of none that is configured
		"POST /webhooks/gitlab":  200,
		"GET /api/v1/verify/:id": 404, // an id cannot be guessed
		// Agents have no token of people's: what they sign, or their invitation, is looked at behind the route.
		"POST /api/v1/agent/enrol": 200, "POST /api/v1/agent/ping": 200, "POST /api/v1/agent/poll": 200, "POST /api/v1/agent/samples": 200,
	}
	hook := func(r gin.IRouter) { r.POST("/webhooks/gitlab", func(c *gin.Context) { c.Status(http.StatusOK) }) }
	s := newSite(t, fullWorld(), func(c *Config) { c.Mount = []func(gin.IRouter){hook} })
	cfg := s.world.config(s.log)
	cfg.Mount = []func(gin.IRouter){hook}
	cfg, err := cfg.check()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.routes(cfg).Routes() {
		name := r.Method + " " + r.Path
		t.Run(strings.NewReplacer(" ", "_", "/", "_").Replace(name), func(t *testing.T) {
			target := strings.NewReplacer(":id", "481", ":stage", "apply", ":part", "verdict", ":name", "none").Replace(r.Path)
			for _, token := range []string{"", "wrong"} {
				w := s.do(r.Method, target, token, "")
				switch code, isOpen := open[name]; {
				case isOpen && w.Code != code:
					t.Errorf("answered %d, want %d", w.Code, code)
				case isOpen:
				case strings.HasPrefix(r.Path, "/api/"), r.Path == "/metrics":
					if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" || decode[problem](t, w).Code != upgrade.CodeUnauthorized {
						t.Errorf("answered %d %s, want a problem 401", w.Code, w.Body)
					}
				case strings.Contains(r.Path, "/parts/"), r.Path == "/events":
					if w.Code != 401 || w.Body.Len() != 0 {
						t.Errorf("answered %d %s, want an empty 401", w.Code, w.Body)
					}
				default:
					if to := w.Header().Get("Location"); w.Code != 303 || !strings.HasPrefix(to, "/login") {
						t.Errorf("answered %d to %q, want a way to the sign-in page", w.Code, to)
					}
				}
			}
		})
	}
	if w := s.do("GET", "/nothing", "", ""); w.Code != 303 {
		t.Errorf("what is not there is answered %d", w.Code)
	}
	if w := s.do("GET", "/api/v1/nothing", "", ""); w.Code != 401 {
		t.Errorf("what is not in the API is answered %d", w.Code)
	}
	if len(s.world.asked) != 0 {
		t.Errorf("asked %+v", s.world.asked)
	}
}

func TestOpenMetrics(t *testing.T) {
	s := newSite(t, fullWorld(), func(c *Config) { c.OpenMetrics = true })
	s.get("/api/v1/runs/512")
	w := s.do("GET", "/metrics", "", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `upgradegate_http_requests_total{code="404",method="GET",route="/api/v1/runs/:id"} 1`) {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
}

func session(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if strings.TrimPrefix(c.Name, hostPrefix) == sessionCookie {
			return c
		}
	}
	t.Fatalf("no session: %d %v", w.Code, w.Header())
	return nil
}

func TestSignIn(t *testing.T) {
	s := newSite(t, fullWorld())
	form := url.Values{"token": {managerToken}, "next": {"/runs/481"}}.Encode()
	for _, tc := range []struct {
		name string
		w    *httptest.ResponseRecorder
	}{
		{"by_link", s.do("GET", "/login?token="+managerToken+"&next=/runs/481", "", "")},
		{"by_form", s.do("POST", "/login", "", form, "Content-Type", "application/x-www-form-urlencoded")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.w.Code != 303 || tc.w.Header().Get("Location") != "/runs/481" {
				t.Fatalf("answered %d %v", tc.w.Code, tc.w.Header())
			}
			c := session(t, tc.w)
			if c.Name != hostPrefix+sessionCookie || c.Domain != "" || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
				t.Errorf("cookie %+v", c)
			}
			if strings.Contains(c.Value, managerToken) {
				t.Error("the cookie holds the token")
			}
			if w := s.do("GET", "/", "", "", "Cookie", c.Name+"="+c.Value); w.Code != 200 || !strings.Contains(w.Body.String(), "Mira Holt") {
				t.Errorf("the board is answered %d", w.Code)
			}
			if w := s.do("GET", "/api/v1/runs", "", "", "Cookie", c.Name+"="+c.Value); w.Code != 200 {
				t.Errorf("the API is answered %d", w.Code)
			}
			other := newSite(t, fullWorld())
			if w := other.do("GET", "/", "", "", "Cookie", c.Name+"="+c.Value); w.Code != 303 {
				t.Errorf("a session of another start is answered %d", w.Code)
			}
		})
	}
	if strings.Contains(s.log.String(), managerToken) {
		t.Errorf("the log shows the token:\n%s", s.log)
	}
	for _, bad := range []string{"", ".", "a.b", "TWlyYSBIb2x0", "TWlyYSBIb2x0.", "TWlyYSBIb2x0.AAAA", strings.ToLower(session(t, s.do("GET", "/login?token="+managerToken, "", "")).Value)} {
		if w := s.do("GET", "/", "", "", "Cookie", hostPrefix+sessionCookie+"="+bad); w.Code != 303 {
			t.Errorf("session %q is answered %d", bad, w.Code)
		}
	}
}

func TestSignInRefused(t *testing.T) {
	s := newSite(t, fullWorld())
	w := s.do("GET", "/login?token=token-of-mira-manageR", "", "")
	if w.Code != 401 || len(w.Result().Cookies()) != 0 || !strings.Contains(w.Body.String(), "not known") {
		t.Errorf("answered %d %v", w.Code, w.Header())
	}
	if strings.Contains(s.log.String(), "manageR") || strings.Contains(w.Body.String(), "manageR") {
		t.Error("the token is shown")
	}
	plain := newSite(t, fullWorld(), func(c *Config) { c.PublicURL = "http://127.0.0.1:8080" })
	if c := session(t, plain.do("GET", "/login?token="+managerToken, "", "")); c.Secure {
		t.Error("over plain HTTP the cookie would never come back")
	}
}

func TestSignOut(t *testing.T) {
	s := newSite(t, fullWorld())
	w := s.do("POST", "/logout", managerToken, "")
	if c := session(t, w); w.Code != 303 || c.Value != "" || c.MaxAge >= 0 {
		t.Errorf("answered %d, cookie %+v", w.Code, c)
	}
}

func TestLocalPath(t *testing.T) {
	for _, tc := range []struct{ name, next, want string }{
		{"path", "/runs/481", "/runs/481"},
		{"with_query", "/history?stack=a%2Fb", "/history?stack=a%2Fb"},
		{"empty", "", "/"},
		{"other_site", "https://evil.example.org/", "/"},
		{"other_site_without_scheme", "//evil.example.org/", "/"},
		{"three_slashes", "///evil.example.org/", "/"},
		{"backslash", "/\\evil.example.org", "/"},
		{"relative", "runs/481", "/"},
		{"script", "javascript:alert(1)", "/"},
		{"tab", "/\t/evil.example.org", "/"},
		{"new_line", "/a\nSet-Cookie: x", "/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := localPath(tc.next); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCrossSitePostRefused(t *testing.T) {
	s := newSite(t, fullWorld())
	for _, tc := range []struct {
		name   string
		header []string
		want   int
	}{
		{"program", nil, 202},
		{"own_page", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://gate.example.org"}, 202},
		{"own_page_behind_a_proxy", []string{"Origin", "https://gate.example.org"}, 202},
		{"other_site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.org"}, 403},
		{"other_site_old_browser", []string{"Origin", "https://evil.example.org"}, 403},
		{"sister_site", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://other.example.org"}, 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if w := s.do("POST", "/api/v1/runs/481/retry", managerToken, "", tc.header...); w.Code != tc.want {
				t.Errorf("answered %d, want %d", w.Code, tc.want)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	s := newSite(t, fullWorld())
	for _, target := range []string{"/", "/runs/481", "/runs/512", "/api/v1/runs", "/login", "/healthz"} {
		h := s.get(target).Header()
		if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("Cache-Control") != "no-store" || h.Get("Strict-Transport-Security") == "" || h.Get("X-Request-Id") == "" {
			t.Errorf("%s has %v", target, h)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no_runs":        func(c *Config) { c.Runs = nil },
		"no_clock":       func(c *Config) { c.Clock = nil },
		"no_tokens":      func(c *Config) { c.Tokens = nil },
		"empty_token":    func(c *Config) { c.Tokens[0].Secret = "" },
		"no_name":        func(c *Config) { c.Tokens[0].Person.Name = "" },
		"no_role":        func(c *Config) { c.Tokens[0].Person.Role = "king" },
		"same_name":      func(c *Config) { c.Tokens[0].Person.Name = c.Tokens[1].Person.Name },
		"same_token":     func(c *Config) { c.Tokens[0].Secret = c.Tokens[1].Secret },
		"public_url":     func(c *Config) { c.PublicURL = "gate.example.org" },
		"gitlab_url":     func(c *Config) { c.GitLabURL = "javascript:alert(1)" },
		"no_log":         func(c *Config) { c.Log = nil },
		"no_deliveries":  func(c *Config) { c.Deliveries = nil },
		"no_acts":        func(c *Config) { c.Acts = nil },
		"metrics_in_use": func(c *Config) { c.Metrics = newRegistry(t) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := fullWorld().config(&syncBuffer{})
			change(&cfg)
			if _, err := New(cfg); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestHealth(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	if got := s.do("GET", "/healthz", "", ""); got.Code != 200 {
		t.Errorf("healthz answers %d", got.Code)
	}
	if got := s.do("GET", "/readyz", "", ""); got.Code != 200 {
		t.Errorf("readyz answers %d", got.Code)
	}
	w.pingErr = &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "disk of host db7 is full"}
	if got := s.do("GET", "/readyz", "", ""); got.Code != 503 || strings.Contains(got.Body.String(), "db7") {
		t.Errorf("readyz answers %d %s", got.Code, got.Body)
	}
	if got := s.do("GET", "/healthz", "", ""); got.Code != 200 {
		t.Errorf("healthz answers %d while the database is away", got.Code)
	}
	w.pingErr = nil
	s.EndStreams()
	if got := s.do("GET", "/readyz", "", ""); got.Code != 503 {
		t.Errorf("readyz answers %d while shutting down", got.Code)
	}
}

func TestReadinessDoesNotHang(t *testing.T) {
	w := fullWorld()
	w.pingWait = true
	s := newSite(t, w)
	if got := s.do("GET", "/readyz", "", ""); got.Code != 503 {
		t.Errorf("answers %d", got.Code)
	}
}

// TestEveryPostRefusesOtherSites: whatever is posted by the page of another site has no effect, signed in or
// not.
func TestEveryPostRefusesOtherSites(t *testing.T) {
	s := newSite(t, fullWorld())
	cookie := session(t, s.do("GET", "/login?token="+managerToken, "", ""))
	before := s.audit.(*fakeAudit).last().Seq
	cfg, err := s.world.config(s.log).check()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, r := range s.routes(cfg).Routes() {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			continue
		}
		tried++
		target := strings.NewReplacer(":id", "481", ":name", "none", ":message", "1").Replace(r.Path)
		w := s.do(r.Method, target, "", "", "Cookie", cookie.Name+"="+cookie.Value, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.org")
		if w.Code != http.StatusForbidden {
			t.Errorf("%s %s is answered %d", r.Method, r.Path, w.Code)
		}
	}
	if tried < 20 || s.audit.(*fakeAudit).last().Seq != before || len(s.world.asked) != 0 {
		t.Errorf("%d posts were tried, asked %v", tried, s.world.asked)
	}
}

// TestEveryActIsAudited: what is done and what is refused is kept, with who, on what, why and from where.
func TestEveryActIsAudited(t *testing.T) {
	s := newSite(t, fullWorld())
	log := s.audit.(*fakeAudit)
	for _, tc := range []struct {
		name, path, token, body string
		result                  upgrade.AuditResult
	}{
		{"done", "/api/v1/runs/481/relock", managerToken, `{"reason":"too early"}`, upgrade.AuditDone},
		{"refused", "/api/v1/runs/481/relock", viewerToken, `{"reason":"too early"}`, upgrade.AuditRefused},
		{"stale", "/api/v1/runs/481/relock", managerToken, `{"reason":"too early","rev":1}`, upgrade.AuditRefused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s.do("POST", tc.path, tc.token, tc.body)
			e := log.last()
			if e.Act != upgrade.ActRelock || e.On != "run 481" || e.Run != 481 || e.Project == "" || e.Stack == "" || e.Why != "too early" || e.From != "192.0.2.1" || e.Via != "token" || e.Result != tc.result || e.Who == "" {
				t.Errorf("kept %+v", e)
			}
			if (e.Result == upgrade.AuditRefused) != (e.Detail != "") {
				t.Errorf("why: %q", e.Detail)
			}
		})
	}
	n := log.last().Seq
	for range 2 {
		s.do("POST", "/api/v1/runs/481/relock", managerToken, `{"reason":"twice"}`, "Idempotency-Key", "k")
	}
	if log.last().Seq != n+1 {
		t.Errorf("a post that was sent twice is kept %d times", log.last().Seq-n)
	}
	s.do("GET", "/login?token=wrong-token-of-nobody", "", "")
	if e := log.last(); e.Act != upgrade.ActSignIn || e.Result != upgrade.AuditRefused {
		t.Errorf("a refused sign-in is kept as %+v", e)
	}
	for range 3 * maxRefusals {
		s.do("GET", "/login?token=wrong-token-of-nobody", "", "")
	}
	if got := log.last().Seq - n; got > maxRefusals+2 {
		t.Errorf("strangers wrote %d entries", got)
	}
}

// TestSessionEnds: a session ends when nobody uses it, and when its time is over.
func TestSessionEnds(t *testing.T) {
	now := fakeNow()
	s := newSite(t, fullWorld(), func(c *Config) {
		c.Now = func() time.Time { return now }
		c.SignIn.Limits = SessionLimits{Idle: time.Hour, Absolute: 3 * time.Hour}
	})
	in := func(cookie *http.Cookie, path string) bool {
		code := s.do("GET", path, "", "", "Cookie", cookie.Name+"="+cookie.Value).Code
		return code != 303 && code != 401
	}
	used, unused, watched := session(t, s.do("GET", "/login?token="+managerToken, "", "")), session(t, s.do("GET", "/login?token="+managerToken, "", "")), session(t, s.do("GET", "/login?token="+viewerToken, "", ""))
	for i := range 8 {
		now = now.Add(25 * time.Minute)
		if want := now.Sub(fakeNow()) < 3*time.Hour; in(used, "/") != want {
			t.Errorf("step %d: the session that is used counts: %v", i, !want)
		}
		if want := now.Sub(fakeNow()) <= time.Hour; in(watched, "/board/parts/lead") != want {
			t.Errorf("step %d: a page that asks by itself keeps somebody signed in: %v", i, !want)
		}
	}
	if in(unused, "/") {
		t.Error("the session that nobody used counts")
	}
}
