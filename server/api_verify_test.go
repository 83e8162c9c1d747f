package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const jobToken = "id-token-of-job-4711"

// fakeTokens knows two tokens of jobs, and two that nothing can be said of.
type fakeTokens struct{}

func (fakeTokens) Verify(_ context.Context, raw string) (upgrade.PipelineToken, error) {
	token := upgrade.PipelineToken{
		ID: "https://gitlab.example.org 7f0e", ProjectID: 12, Project: "platform/ecs-master", Commit: commitA,
		Ref: "main", RefType: "branch", Protected: true, Pipeline: 401, Job: 4711,
	}
	switch raw {
	case jobToken:
		return token, nil
	case jobToken + "-2":
		token.ID, token.Job = "https://gitlab.example.org 7f0f", 4712
		return token, nil
	case "unavailable":
		return upgrade.PipelineToken{}, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "GitLab's keys cannot be had", RetryAfter: 3 * time.Second}
	}
	return upgrade.PipelineToken{}, &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: "the ID token was not signed by GitLab"}
}

// fakeQuestions keeps questions in memory.
type fakeQuestions struct {
	mu   sync.Mutex
	all  []upgrade.Verification
	read int
}

func (q *fakeQuestions) Verify(_ context.Context, v upgrade.Verification) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, old := range q.all {
		if old.Token == v.Token {
			return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "this ID token was used before"}
		}
	}
	q.all = append(q.all, v)
	return nil
}

func (q *fakeQuestions) Verification(_ context.Context, id upgrade.VerificationID) (upgrade.Verification, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.read++
	for _, v := range q.all {
		if v.ID == id {
			return v, nil
		}
	}
	return upgrade.Verification{}, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "nobody asked that"}
}

// answer answers the first question, as the lifecycle would.
func (w *world) answer(state upgrade.VerificationState, sentence string) {
	w.asks.mu.Lock()
	v := &w.asks.all[0]
	v.State, v.Sentence, v.Run = state, sentence, 481
	v.Told++
	w.asks.mu.Unlock()
	w.write(upgrade.Event{Run: 481})
}

func (s *site) ask(token, body string, header ...string) *httptest.ResponseRecorder {
	return s.do("POST", "/api/v1/verify", token, body, header...)
}

func TestVerifyAsk(t *testing.T) {
	s := newSite(t, fullWorld())
	w := s.ask(jobToken, `{"commit":"`+string(commitA)+`"}`)
	got := decode[wireVerification](t, w)
	if w.Code != 201 || got.State != upgrade.VerifyWaiting || len(got.ID) != 26 || got.Commit != commitA || got.Project != "platform/ecs-master" ||
		!got.Until.Equal(fakeNow().Add(24*time.Hour)) || got.Run != 0 || w.Header().Get("Location") != "/api/v1/verify/"+string(got.ID) {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	want := upgrade.Verification{
		ID: got.ID, Token: "https://gitlab.example.org 7f0e", ProjectID: 12, Project: "platform/ecs-master", Commit: commitA, Ref: "main",
		RefType: "branch", Protected: true, Pipeline: 401, Job: 4711, AskedAt: fakeNow(), Until: fakeNow().Add(24 * time.Hour), State: upgrade.VerifyWaiting,
	}
	if len(s.world.asks.all) != 1 || s.world.asks.all[0] != want {
		t.Errorf("kept %+v", s.world.asks.all)
	}
	second := decode[wireVerification](t, s.ask(jobToken+"-2", ""))
	if second.ID == got.ID || second.ID == "" {
		t.Errorf("the second question has the id %q", second.ID)
	}
	if strings.Contains(s.log.String(), jobToken) {
		t.Errorf("the token is in the log:\n%s", s.log)
	}
}

func TestVerifyRefuses(t *testing.T) {
	other := strings.Repeat("ab", 20)
	for _, tc := range []struct {
		name, token, body string
		status            int
		code              upgrade.Code
		says              string
	}{
		{"no_token", "", "", 401, upgrade.CodeUnauthorized, "this needs the ID token"},
		{"token_of_the_dashboard", managerToken, "", 401, upgrade.CodeUnauthorized, "not signed by GitLab"},
		{"gitlab_away", "unavailable", "", 503, upgrade.CodeUnavailable, "GitLab's keys"},
		{"another_commit", jobToken, `{"commit":"` + other + `"}`, 403, upgrade.CodeForbidden, "is of commit 8f2c1ab, and the question is about abababa"},
		{"short_commit", jobToken, `{"commit":"8f2c1ab"}`, 400, upgrade.CodeInvalid, "is not a commit"},
		{"no_json", jobToken, `commit=1`, 400, upgrade.CodeInvalid, "not JSON"},
		{"too_large", jobToken, strings.Repeat(" ", maxForm+1), 413, upgrade.CodeInvalid, "too large"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t, fullWorld())
			w := s.ask(tc.token, tc.body)
			p := decode[problem](t, w)
			if w.Code != tc.status || p.Code != tc.code || !strings.Contains(p.Detail, tc.says) {
				t.Errorf("answered %d %+v", w.Code, p)
			}
			if len(s.world.asks.all) != 0 {
				t.Errorf("kept %+v", s.world.asks.all)
			}
			if tc.code == upgrade.CodeUnavailable && w.Header().Get("Retry-After") == "" {
				t.Error("does not say when to come back")
			}
		})
	}
	s := newSite(t, fullWorld())
	r := httptest.NewRequest(http.MethodPost, "/api/v1/verify", http.NoBody)
	r.Header.Set("Authorization", "Basic "+jobToken)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("another scheme is answered %d", w.Code)
	}
}

// TestVerifyTwice: a token is good for one question; only who asked it may get the same question again.
func TestVerifyTwice(t *testing.T) {
	s := newSite(t, fullWorld())
	first := decode[wireVerification](t, s.ask(jobToken, "", "Idempotency-Key", "k"))
	s.world.answer(upgrade.VerifyWaiting, "run 481 is being checked")
	again := s.ask(jobToken, "", "Idempotency-Key", "k")
	if got := decode[wireVerification](t, again); again.Code != 201 || got.ID != first.ID || got.Told != 1 || again.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("answered %d %s", again.Code, again.Body)
	}
	for name, header := range map[string][]string{"another_key": {"Idempotency-Key", "l"}, "no_key": nil} {
		if w := s.ask(jobToken, "", header...); w.Code != 409 || decode[problem](t, w).Code != upgrade.CodeConflict {
			t.Errorf("%s is answered %d %s", name, w.Code, w.Body)
		}
	}
	if second := decode[wireVerification](t, s.ask(jobToken+"-2", "", "Idempotency-Key", "k")); second.ID == first.ID {
		t.Error("the key alone gives the id")
	}
	if w := s.ask(jobToken, "", "Idempotency-Key", strings.Repeat("k", 201)); w.Code != 400 {
		t.Errorf("a long key is answered %d", w.Code)
	}
}

// TestVerifyCrowd: who floods us with tokens is told to come back before any is looked at.
func TestVerifyCrowd(t *testing.T) {
	s := newSite(t, fullWorld())
	s.asking.Store(maxAsking)
	w := s.ask(jobToken, "")
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || len(s.world.asks.all) != 0 {
		t.Errorf("answered %d", w.Code)
	}
	s.asking.Store(0)
	if w := s.ask(jobToken, ""); w.Code != 201 || s.asking.Load() != 0 {
		t.Errorf("answered %d, %d still there", w.Code, s.asking.Load())
	}
}

func TestVerifyAnswer(t *testing.T) {
	s := newSite(t, fullWorld())
	id := string(decode[wireVerification](t, s.ask(jobToken, "")).ID)
	read := func(query string) *httptest.ResponseRecorder { return s.do("GET", "/api/v1/verify/"+query, "", "") }
	if got := decode[wireVerification](t, read(id)); got.State != upgrade.VerifyWaiting || got.Told != 0 {
		t.Errorf("got %+v", got)
	}
	s.world.answer(upgrade.VerifyClosed, "run 481 is blocked")
	got := decode[wireVerification](t, read(id+"?told=1&wait=25s")) // final: nothing to wait for
	if got.State != upgrade.VerifyClosed || got.Sentence != "run 481 is blocked" || got.Run != 481 || got.RunURL != "https://gate.example.org/runs/481" {
		t.Errorf("got %+v", got)
	}
	for query, code := range map[string]int{
		"x": 404, strings.Repeat("A", 26): 404, strings.Repeat("A", 26) + "?wait=25s": 404, id + "?wait=soon": 400, id + "?wait=-1s": 400, id + "?told=x": 400, id + "?tell=1": 400,
	} {
		if w := read(query); w.Code != code || decode[problem](t, w).Detail == "" {
			t.Errorf("%s is answered %d %s", query, w.Code, w.Body)
		}
	}
}

// TestVerifyWaits: an answer comes when there is something new, when the wait is over, or when the
// service stops; and many changes of other things cost few looks.
func TestVerifyWaits(t *testing.T) {
	type end struct {
		wireVerification
		after time.Duration
	}
	wait := func(s *site, query string) <-chan end {
		id := s.world.asks.all[0].ID
		done, begun := make(chan end, 1), time.Now()
		go func() {
			w := s.do("GET", "/api/v1/verify/"+string(id)+query, "", "")
			done <- end{decode[wireVerification](t, w), time.Since(begun)}
		}()
		synctest.Wait()
		return done
	}
	for _, tc := range []struct {
		name, query string
		meanwhile   func(s *site)
		told        int
		atLeast     time.Duration
		atMost      time.Duration
	}{
		{"new_sentence", "?told=0&wait=25s", func(s *site) { s.world.answer(upgrade.VerifyWaiting, "it is applied") }, 1, 0, time.Second},
		{"decided", "?told=0&wait=25s", func(s *site) { s.world.answer(upgrade.VerifyOpen, "it may go") }, 1, 0, time.Second},
		{"nothing", "?told=0&wait=10s", func(*site) {}, 0, 10 * time.Second, 10 * time.Second},
		{"longer_than_the_longest", "?told=0&wait=1h", func(*site) {}, 0, 25 * time.Second, 25 * time.Second},
		{"not_at_all", "?told=0", func(*site) {}, 0, 0, 0},
		{"stopped", "?told=0&wait=25s", func(s *site) { s.EndStreams() }, 0, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, fullWorld())
				decode[wireVerification](t, s.ask(jobToken, ""))
				done := wait(s, tc.query)
				tc.meanwhile(s)
				got := <-done
				if got.Told != tc.told || got.after < tc.atLeast || got.after > tc.atMost {
					t.Errorf("got %+v after %s", got.wireVerification, got.after)
				}
				if n := s.world.listeners(); n != 0 || s.open.Load() != 0 {
					t.Errorf("%d listeners are left, %d are open", n, s.open.Load())
				}
			})
		})
	}
	t.Run("noise", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, fullWorld())
			decode[wireVerification](t, s.ask(jobToken, ""))
			done := wait(s, "?told=0&wait=10s")
			for range 1000 {
				s.world.write(upgrade.Event{Run: 483})
				time.Sleep(10 * time.Millisecond)
			}
			if got := <-done; got.Told != 0 || s.world.asks.read > 25 {
				t.Errorf("%d looks in 10 s", s.world.asks.read)
			}
		})
	})
}

// TestVerifyWaitersAreFew: those who wait share the limit of the live streams.
func TestVerifyWaitersAreFew(t *testing.T) {
	s := newSite(t, fullWorld())
	id := string(decode[wireVerification](t, s.ask(jobToken, "")).ID)
	s.open.Store(maxStreams)
	if w := s.do("GET", "/api/v1/verify/"+id+"?wait=1s", "", ""); w.Code != 429 || s.open.Load() != maxStreams {
		t.Errorf("answered %d", w.Code)
	}
	if w := s.do("GET", "/api/v1/verify/"+id, "", ""); w.Code != 200 {
		t.Errorf("one who does not wait is answered %d", w.Code)
	}
}
