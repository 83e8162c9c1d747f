package server

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestEveryPostCanBeSentAgain: with the same Idempotency-Key a post has one effect, after a restart too, and no
// secret is kept for the second answer.
func TestEveryPostCanBeSentAgain(t *testing.T) {
	doc := readDocument(t)
	var secretly []string
	for _, c := range calls() {
		method, target := c.request(doc)
		if method != http.MethodPost || c.Status >= http.StatusBadRequest || c.Op == "askForProduction" { // which has its own memory
			continue
		}
		t.Run(c.Op, func(t *testing.T) {
			kept := &fakePosts{}
			s, token := calledSite(t, func(c *Config) { c.Posts = kept }), c.Token
			if token == "" {
				token = managerToken
			}
			first := s.do(method, target, token, c.Body, "Idempotency-Key", "k")
			again := s.do(method, target, token, c.Body, "Idempotency-Key", "k")
			restarted := calledSite(t, func(c *Config) { c.Posts = kept }).do(method, target, token, c.Body, "Idempotency-Key", "k")
			for name, w := range map[string]*httptest.ResponseRecorder{"again": again, "after a restart": restarted} {
				same := w.Body.String() == first.Body.String()
				if !same && strings.Contains(first.Body.String(), `"secret"`) || strings.Contains(first.Body.String(), `"token"`) {
					same = true
					secretly = append(secretly, c.Op)
				}
				if w.Code != first.Code || !same || w.Header().Get("Idempotent-Replayed") != "true" {
					t.Errorf("first %d %s\n%s %d %s", first.Code, first.Body, name, w.Code, w.Body)
				}
				if strings.Contains(w.Body.String(), `"secret":`) || strings.Contains(w.Body.String(), `"token":`) {
					t.Errorf("%s a secret is told again: %s", name, w.Body)
				}
			}
			other := s.do(method, target, token, `{"reason":"another","name":"another","commit":"`+string(commitA)+`"}`, "Idempotency-Key", "k")
			if p := decode[problem](t, other); other.Code != http.StatusUnprocessableEntity || p.Hint == "" {
				t.Errorf("something else under the key: %d %+v", other.Code, p)
			}
			for _, p := range kept.all {
				if strings.Contains(string(p.Body), "secret\"") || strings.Contains(string(p.Body), tokenPrefix) {
					t.Errorf("a secret is kept: %s", p.Body)
				}
			}
		})
	}
	slices.Sort(secretly)
	if got := slices.Compact(secretly); !slices.Equal(got, []string{"addHook", "inviteAgent", "makeToken", "rotateHookSecret"}) {
		t.Errorf("these tell a secret: %v", got)
	}
}

func TestIdempotencyKey(t *testing.T) {
	now := time.Now()
	s := newSite(t, fullWorld(), func(c *Config) { c.Now = func() time.Time { return now } })
	post := func(target, body, token, key string) *httptest.ResponseRecorder {
		return s.do("POST", target, token, body, "Idempotency-Key", key)
	}
	first := post("/api/v1/runs/481/recheck", "", managerToken, "k")
	again := post("/api/v1/runs/481/recheck", "", managerToken, "k")
	if first.Code != 202 || again.Code != 202 || first.Body.String() != again.Body.String() || again.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("answered %d, then %d", first.Code, again.Code)
	}
	if len(s.world.asked) != 1 {
		t.Errorf("asked %d times", len(s.world.asked))
	}
	if w := post("/api/v1/runs/483/recheck", "", managerToken, "k"); w.Code != 422 {
		t.Errorf("the key for another run is answered %d", w.Code)
	}
	if w := post("/api/v1/runs/481/stop", "", managerToken, "k"); w.Header().Get("Idempotent-Replayed") != "" || w.Code != 202 || len(s.world.asked) != 2 {
		t.Errorf("the key at another route is answered %d", w.Code)
	}
	if w := post("/api/v1/runs/481/recheck", "", viewerToken, "k"); w.Code != 403 {
		t.Errorf("somebody else's key is answered %d", w.Code)
	}
	if w := post("/api/v1/runs/481/recheck", "", managerToken, "other"); w.Code != 202 || len(s.world.asked) != 3 {
		t.Errorf("another key is answered %d", w.Code)
	}
	s.world.askErr = &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the database is busy"}
	if w := post("/api/v1/runs/481/recheck", "", managerToken, "third"); w.Code != 503 {
		t.Errorf("answered %d", w.Code)
	}
	s.world.askErr = nil
	if w := post("/api/v1/runs/481/recheck", "", managerToken, "third"); w.Code != 202 {
		t.Errorf("after a failure the same key is answered %d", w.Code)
	}
	now = now.Add(24*time.Hour + time.Second)
	if w := post("/api/v1/runs/481/recheck", "", managerToken, "k"); w.Code != 202 || w.Header().Get("Idempotent-Replayed") != "" {
		t.Errorf("a day later the same key is answered %d", w.Code)
	}
	if w := post("/api/v1/runs/481/recheck", "", managerToken, strings.Repeat("k", 201)); w.Code != 400 {
		t.Errorf("a long key is answered %d", w.Code)
	}
}

// TestIdempotencyKeyUnderWay: of many at a time one acts, and the others are told to wait.
func TestIdempotencyKeyUnderWay(t *testing.T) {
	s := newSite(t, fullWorld())
	s.world.mu.Lock() // whoever acts waits for this
	codes := make([]int, 8)
	var group sync.WaitGroup
	for i := range codes {
		group.Go(func() {
			w := s.do("POST", "/api/v1/runs/481/recheck", managerToken, "", "Idempotency-Key", "k")
			codes[i] = w.Code
			if w.Code == 409 && (decode[problem](t, w).Hint == "" || w.Header().Get("Retry-After") == "") {
				t.Errorf("told %s", w.Body)
			}
		})
	}
	for waiting := true; waiting; { // until all but one are answered
		s.memory.mu.Lock()
		waiting = len(s.memory.running) == 0
		s.memory.mu.Unlock()
	}
	s.world.mu.Unlock()
	group.Wait()
	if len(s.world.asked) != 1 || !slices.Contains(codes, 202) {
		t.Errorf("answered %v, asked %d times", codes, len(s.world.asked))
	}
	if len(s.memory.running) != 0 {
		t.Errorf("%v are said to run still", s.memory.running)
	}
}

// TestIdempotencyKeyCutOff: the service ended while it worked on a post.
func TestIdempotencyKeyCutOff(t *testing.T) {
	for name, test := range map[string]struct {
		acted       bool
		code, asked int
	}{
		"nothing_was_done": {false, 202, 1},
		"it_was_done":      {true, 409, 0},
	} {
		t.Run(name, func(t *testing.T) {
			kept := &fakePosts{}
			s := newSite(t, fullWorld(), func(c *Config) { c.Posts = kept })
			s.do("POST", "/api/v1/runs/481/recheck", managerToken, "", "Idempotency-Key", "k")
			for key, p := range kept.all {
				p.Done, p.Acted = false, test.acted
				kept.all[key] = p
			}
			s = newSite(t, fullWorld(), func(c *Config) { c.Posts = kept })
			w := s.do("POST", "/api/v1/runs/481/recheck", managerToken, "", "Idempotency-Key", "k")
			if w.Code != test.code || len(s.world.asked) != test.asked {
				t.Errorf("answered %d %s, asked %d times", w.Code, w.Body, len(s.world.asked))
			}
		})
	}
}

// TestIdempotencyKeyWithoutMemory: what cannot be remembered is not done.
func TestIdempotencyKeyWithoutMemory(t *testing.T) {
	s := newSite(t, fullWorld(), func(c *Config) {
		c.Posts = &fakePosts{fails: &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the database did not answer"}}
	})
	if w := s.do("POST", "/api/v1/runs/481/recheck", managerToken, "", "Idempotency-Key", "k"); w.Code != 503 || len(s.world.asked) != 0 {
		t.Errorf("answered %d, asked %d times", w.Code, len(s.world.asked))
	}
}
