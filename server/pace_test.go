package server

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPace: a caller has a burst and is then let in at a steady pace; nobody else pays for it.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, fullWorld(), func(c *Config) { c.Pace = Pace{PerSecond: 2, Burst: 3} })
		ask := func(token string, want int) {
			t.Helper()
			w := s.do(http.MethodGet, "/api/v1/runs/481", token, "")
			if w.Code != want {
				t.Fatalf("%d, want %d: %s", w.Code, want, w.Body)
			}
			if limited := want == http.StatusTooManyRequests; limited != (w.Header().Get("Retry-After") == "1") || limited && !strings.Contains(w.Body.String(), `"hint"`) {
				t.Errorf("Retry-After %q, %s", w.Header().Get("Retry-After"), w.Body)
			}
		}
		for range 3 {
			ask(managerToken, http.StatusOK)
		}
		ask(managerToken, http.StatusTooManyRequests)
		ask(viewerToken, http.StatusOK)
		time.Sleep(500 * time.Millisecond)
		ask(managerToken, http.StatusOK)
		ask(managerToken, http.StatusTooManyRequests)
		time.Sleep(time.Hour) // no more than the burst is saved up
		for range 3 {
			ask(managerToken, http.StatusOK)
		}
		ask(managerToken, http.StatusTooManyRequests)
	})
}

func TestPaceForgetsThoseWhoRest(t *testing.T) {
	p, now := newPacer(Pace{PerSecond: 1, Burst: 1}), fakeNow()
	for i := range maxBuckets {
		p.take(string(rune(i)), now)
	}
	p.take("one more", now.Add(time.Minute))
	if len(p.buckets) != 1 {
		t.Errorf("%d are remembered", len(p.buckets))
	}
}

// TestUnchangedIsNotSentAgain: who has what there is gets 304 and no body.
func TestUnchangedIsNotSentAgain(t *testing.T) {
	w := fullWorld()
	s := newSite(t, w)
	for _, path := range []string{"/api/v1/runs", "/api/v1/runs/481", "/api/v1/runs/481/gates", "/api/v1/invariants", "/api/v1/hooks", "/api/v1/openapi.json"} {
		first := s.get(path)
		tag := first.Header().Get("ETag")
		if first.Code != http.StatusOK || tag == "" {
			t.Errorf("%s: %d without an ETag", path, first.Code)
			continue
		}
		for _, given := range []string{tag, `"other", ` + tag, "W/" + tag, "*"} {
			again := s.do(http.MethodGet, path, managerToken, "", "If-None-Match", given)
			if again.Code != http.StatusNotModified || again.Body.Len() != 0 || again.Header().Get("ETag") != tag || again.Header().Get("Content-Type") != "" {
				t.Errorf("%s with %s: %d %s", path, given, again.Code, again.Body)
			}
		}
		if again := s.do(http.MethodGet, path, managerToken, "", "If-None-Match", `"other"`); again.Code != http.StatusOK || again.Body.String() != first.Body.String() {
			t.Errorf("%s with another: %d", path, again.Code)
		}
	}
	tag := s.get("/api/v1/runs/481").Header().Get("ETag")
	w.runs[0].Rev++
	for i := range w.runs {
		w.runs[i].Rev++
	}
	if again := s.do(http.MethodGet, "/api/v1/runs/481", managerToken, "", "If-None-Match", tag); again.Code != http.StatusOK || again.Header().Get("ETag") == tag {
		t.Errorf("a run that moved on: %d", again.Code)
	}
	if missing := s.do(http.MethodGet, "/api/v1/runs/999", managerToken, "", "If-None-Match", "*"); missing.Code != http.StatusNotFound || missing.Header().Get("ETag") != "" {
		t.Errorf("none: %d", missing.Code)
	}
}
