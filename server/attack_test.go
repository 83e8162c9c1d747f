package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// disguises are ways to write a path so that what guards it and what serves it may not agree on it.
func disguises(path string) []string {
	last := strings.LastIndex(path, "/")
	encoded := func(slash string) string { return path[:last] + slash + path[last+1:] }
	var all []string
	if last > 0 {
		all = append(all, encoded("%2f"), encoded("%2F"), encoded("%252f"), encoded("%5c"), encoded("/%252e/"))
	}
	all = append(all,
		"/"+path, path+"/", path+"//", path[:last]+"/"+path[last:], "/."+path, "/x/.."+path, path+"/.", path+"/x/..",
		"/%2e"+path, "/x/%2e%2e"+path, "/x%2f.."+path, path+"%2f", path+"/%2e", path+"%00", path+"%20", path+"%0a", path+";x=1", path+";.css", path+".json", path+"%3fx",
		path[:last+1]+"%"+hexOf(path[last+1])+path[last+2:], strings.ToUpper(path), path+"?a=1&a=2;b",
	)
	for _, open := range []string{"/healthz", "/login", "/static", "/webhooks/gitlab", "/api/v1/agent", "/api/v1/verify"} {
		all = append(all, open+"/.."+path, open+"/%2e%2e"+path, open+"%2f.."+path, open+"/../../../.."+path, open+path)
	}
	return all
}

func hexOf(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

// TestPathsInDisguise: however the address of something is written, and whatever else a stranger's headers ask for,
// they are not answered with it.
func TestPathsInDisguise(t *testing.T) {
	s := newSite(t, fullWorld())
	asked := 0
	for _, path := range []string{"/runs/481", "/runs/481/plan", "/audit", "/configuration", "/metrics", "/api/v1/runs", "/api/v1/runs/481", "/api/v1/audit/export", "/events"} {
		for _, target := range disguises(path) {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				asked++
				switch w := s.do(method, target, "", ""); w.Code {
				case http.StatusSeeOther:
					if at := w.Header().Get("Location"); at != "/login" && !strings.HasPrefix(at, "/login?next=") {
						t.Errorf("%s %s: sent to %s", method, target, at)
					}
				case http.StatusUnauthorized:
				case http.StatusNotFound, http.StatusMethodNotAllowed: // of what is open
					if body := w.Body.String(); strings.Contains(body, "ecs-master") {
						t.Errorf("%s %s: answered %s", method, target, body)
					}
				default:
					t.Errorf("%s %s: answered %d", method, target, w.Code)
				}
			}
		}
		for _, header := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "X-Forwarded-Prefix"} {
			if w := s.do(http.MethodGet, "/healthz", "", "", header, path); w.Code != http.StatusOK || w.Body.Len() > 100 {
				t.Errorf("%s: answered %d %s", header, w.Code, w.Body)
			}
		}
	}
	t.Logf("%d requests", asked)
}

// TestMethodsInDisguise: a request that may only look does not act, whatever its headers say.
func TestMethodsInDisguise(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		for _, target := range []string{"/api/v1/runs/481/retry", "/api/v1/runs/481/retry?_method=POST"} {
			if got := s.do(http.MethodGet, target, managerToken, "", header, "POST"); got.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s with %s: answered %d", target, header, got.Code)
			}
		}
	}
}

// TestHostIsNotBelieved: addresses that are shown or led to are of the configuration, not of what the request says.
func TestHostIsNotBelieved(t *testing.T) {
	s := newSite(t, fullWorld())
	for _, target := range []string{"/", "/runs/481", "/runs/512", "/history", "/audit", "/access", "/configuration", "/login", "/login?token=" + managerToken, "/api/v1/runs", "/api/v1/runs/481", "/nothing"} {
		for _, token := range []string{"", managerToken} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			r.Host = "evil.example.net"
			for _, header := range []string{"X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "X-Original-Host"} {
				r.Header.Set(header, "evil.example.net")
			}
			r.Header.Set("Forwarded", "host=evil.example.net;proto=http")
			r.Header.Set("X-Forwarded-Proto", "http")
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if strings.Contains(w.Body.String(), "evil.example.net") {
				t.Errorf("%s shows the name that the request came with", target)
			}
			for name, values := range w.Header() {
				if strings.Contains(strings.Join(values, " "), "evil") {
					t.Errorf("%s: %s is %q", target, name, values)
				}
			}
			for _, c := range w.Result().Cookies() {
				if !c.Secure {
					t.Errorf("%s: cookie %s would go over plain HTTP", target, c.Name)
				}
			}
		}
	}
}

// TestNotModifiedIsGuarded: whoever may not read something is not told either that it is as it was.
func TestNotModifiedIsGuarded(t *testing.T) {
	s := newSite(t, fullWorld())
	tagged := 0
	for _, target := range []string{"/", "/runs/481", "/runs/481/parts/verdict", "/board/parts/lead", "/api/v1/runs", "/api/v1/runs/481", "/api/v1/runs/481/gates", "/api/v1/openapi.json"} {
		tag := s.do(http.MethodGet, target, managerToken, "").Header().Get("ETag")
		if tag == "" {
			continue
		}
		tagged++
		if w := s.do(http.MethodGet, target, managerToken, "", "If-None-Match", tag); w.Code != http.StatusNotModified {
			t.Errorf("%s with its tag is answered %d", target, w.Code)
		}
		for _, match := range []string{tag, "*", "W/" + tag} {
			if w := s.do(http.MethodGet, target, "", "", "If-None-Match", match); w.Code == http.StatusNotModified || w.Code == http.StatusOK || w.Header().Get("ETag") != "" {
				t.Errorf("%s with %s is answered %d to a stranger", target, match, w.Code)
			}
		}
	}
	if tagged < 3 {
		t.Errorf("only %d of them have a tag", tagged)
	}
}

// TestTrailingSlash: whoever is signed in and types one slash too many gets there, and nowhere else.
func TestTrailingSlash(t *testing.T) {
	s := newSite(t, fullWorld())
	for path, want := range map[string]string{
		"/runs/481/": "/runs/481", "/history/": "/history", "/runs/481///": "/runs/481", "//evil.example.net/": "/", "///evil.example.net/": "/", "/\\evil.example.net/": "/%5Cevil.example.net",
		"/nothing/": "/nothing",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.Path = path
		r.Header.Set("Authorization", "Bearer "+managerToken)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if at := w.Header().Get("Location"); w.Code != http.StatusSeeOther || at != want {
			t.Errorf("%s: answered %d, sent to %q, want %q", path, w.Code, at, want)
		}
	}
	if w := s.get("/api/v1/runs/"); w.Code != http.StatusNotFound {
		t.Errorf("the API answers %d", w.Code)
	}
}
