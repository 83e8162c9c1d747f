package standin

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// bench is a proxy in front of one backend, with a clock moved by hand.
type bench struct {
	t       *testing.T
	proxy   *Proxy
	site    *httptest.Server
	backend *httptest.Server
	asked   atomic.Int32
	now     atomic.Int64 // seconds
}

func setUp(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t}
	b.now.Store(1_000_000)
	b.backend = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked.Add(1)
		w.Header().Set("Server", "origin")
		switch r.URL.Path {
		case "/short":
			w.Header().Set("Cache-Control", "max-age=2")
		case "/private":
			w.Header().Set("Cache-Control", "private, max-age=9")
		case "/cookie":
			w.Header().Set("Set-Cookie", "a=b")
		case "/fail":
			w.WriteHeader(http.StatusInternalServerError)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "page for "+r.Header.Get("Cookie"))
	}))
	t.Cleanup(b.backend.Close)
	var err error
	b.proxy, err = New(Config{
		Backends: []string{strings.TrimPrefix(b.backend.URL, "http://")}, BypassHeader: "X-Gate-Bypass", BypassValue: "s",
		BypassCookie: "MoodleSession", HealthPath: "/varnish-health", FirstByte: 300 * time.Millisecond,
		Now: func() time.Time { return time.Unix(b.now.Load(), 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.site = httptest.NewServer(b.proxy)
	t.Cleanup(func() { b.site.Close(); b.proxy.Close() })
	return b
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
}

// get returns the answer, "NAME: VALUE" headers given.
func (b *bench) get(path string, headers ...string) (answer, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, b.site.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header}, string(body)
}

func ids(a answer) int { return len(strings.Fields(a.header.Get("X-Varnish"))) }

func TestHitAndMiss(t *testing.T) {
	b := setUp(t)
	resp, _ := b.get("/")
	if ids(resp) != 1 || resp.header.Get("Age") != "0" || resp.header.Get("Via") != Via || resp.header.Get("Server") != "origin" {
		t.Errorf("miss: %v", resp.header)
	}
	b.now.Add(7)
	resp, body := b.get("/", "Cookie: track=1")
	if ids(resp) != 2 || resp.header.Get("Age") != "7" || body != "page for " {
		t.Errorf("hit: %v %q", resp.header, body)
	}
	if got := b.asked.Load(); got != 1 {
		t.Errorf("backend asked %d times", got)
	}
}

func TestPasses(t *testing.T) {
	b := setUp(t)
	tests := []struct{ name, path, header string }{
		{"bypass", "/", "X-Gate-Bypass: s"},
		{"session", "/", "Cookie: MoodleSession=1"},
		{"authorization", "/", "Authorization: Basic x"},
		{"private", "/private", "A: b"},
		{"set_cookie", "/cookie", "A: b"},
		{"failure", "/fail", "A: b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.get(tt.path)
			before := b.asked.Load()
			resp, _ := b.get(tt.path, tt.header)
			if ids(resp) != 1 || resp.header.Get("Age") != "0" || b.asked.Load() != before+1 {
				t.Errorf("%v, backend asked %d times", resp.header, b.asked.Load()-before)
			}
		})
	}
	b.get("/")
	if resp, _ := b.get("/", "X-Gate-Bypass: wrong"); ids(resp) != 2 {
		t.Error("a wrong value goes past the cache")
	}
}

func TestGrace(t *testing.T) {
	b := setUp(t)
	b.get("/short")
	b.now.Add(10)
	resp, _ := b.get("/short")
	if ids(resp) != 2 || resp.header.Get("Age") != "10" {
		t.Errorf("first after expiry: %v, want the old page", resp.header)
	}
	b.proxy.behind.Wait()
	if resp, _ = b.get("/short"); ids(resp) != 2 || resp.header.Get("Age") != "0" {
		t.Errorf("second: %v, want the new page", resp.header)
	}
}

func TestBackendGone(t *testing.T) {
	b := setUp(t)
	b.get("/short")
	b.backend.Close()
	b.now.Add(60)
	for range 2 {
		resp, _ := b.get("/short")
		if resp.status != 200 || ids(resp) != 2 || resp.header.Get("Age") != "60" {
			t.Errorf("cached: %d %v, want the old page", resp.status, resp.header)
		}
		b.proxy.behind.Wait()
	}
	resp, body := b.get("/other")
	if resp.status != 503 || resp.header.Get("Server") != "Varnish" || resp.header.Get("Via") != Via || ids(resp) != 1 || !strings.Contains(body, "Error 503 Backend fetch failed") || !strings.Contains(body, "Guru Meditation:") {
		t.Errorf("uncached: %d %v\n%s", resp.status, resp.header, body)
	}
	resp, _ = b.get("/varnish-health")
	if resp.status != 200 || resp.header.Get("Via") != "" || resp.header.Get("Age") != "" || resp.header.Get("Server") != "Varnish stand-in" {
		t.Errorf("health: %d %v", resp.status, resp.header)
	}
	b.now.Add(2 * 3600)
	if resp, _ := b.get("/short"); resp.status != 503 {
		t.Errorf("after grace: %d, want 503", resp.status)
	}
}

func TestHead(t *testing.T) {
	b := setUp(t)
	resp, err := http.Head(b.site.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if _, body := b.get("/"); body != "page for " {
		t.Errorf("after HEAD: %q", body)
	}
}

func TestNeedsBackend(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a proxy without a backend")
	}
}
