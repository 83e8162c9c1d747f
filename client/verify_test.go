package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

const idToken = "an-id-token-that-must-not-be-seen"

// jumpClock is a clock on which waiting takes no time.
type jumpClock struct {
	upgrade.SystemClock
	mu sync.Mutex
	at time.Time
}

func (c *jumpClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *jumpClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(max(d, 0))
	return context.Cause(ctx)
}

// reply is one answer of a scripted service: a status and a body, or a connection that is cut.
type reply struct {
	status     int // 0: cut
	body       string
	retryAfter string
}

func answer(state string, told int, sentence string) reply {
	return reply{status: 200, body: fmt.Sprintf(`{"id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","state":%q,"told":%d,"sentence":%q,"commit":"8f2c1ab04d5e6f708192a3b4c5d6e7f8091a2b3c","project":"a/b"}`, state, told, sentence)}
}

func no(status int, code upgrade.Code) reply {
	return reply{status: status, body: fmt.Sprintf(`{"code":%q,"detail":"the service says %s","hint":"look"}`, code, code)}
}

// service answers requests in turn, and the last answer for ever.
type service struct {
	*httptest.Server
	mu      sync.Mutex
	replies []reply
	asked   []string // method, path, query
	keys    []string
	bearers []string
}

func newService(t *testing.T, replies ...reply) *service {
	t.Helper()
	s := &service{replies: replies}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, r.Method+" "+r.URL.RequestURI())
		s.bearers = append(s.bearers, r.Header.Get("Authorization"))
		if r.Method == http.MethodPost {
			s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
		}
		next := s.replies[0]
		if len(s.replies) > 1 {
			s.replies = s.replies[1:]
		}
		if next.status == 0 {
			panic(http.ErrAbortHandler)
		}
		if next.retryAfter != "" {
			w.Header().Set("Retry-After", next.retryAfter)
		}
		w.WriteHeader(next.status)
		_, _ = fmt.Fprint(w, next.body)
	}))
	s.Config.SetKeepAlivesEnabled(false) // net/http itself repeats what fails on a connection that was used before
	t.Cleanup(s.Close)
	return s
}

func TestVerify(t *testing.T) {
	const commit = "8f2c1ab04d5e6f708192a3b4c5d6e7f8091a2b3c"
	waiting := func(told int, sentence string) reply { return answer("waiting", told, sentence) }
	for _, test := range []struct {
		name    string
		replies []reply
		commit  upgrade.Commit
		state   upgrade.VerificationState
		code    upgrade.Code // of the error
		says    []string     // "…" stands for any text
		took    time.Duration
	}{
		{name: "open_at_once", replies: []reply{answer("open", 1, "it may go")}, state: upgrade.VerifyOpen},
		{name: "closed_at_once", replies: []reply{answer("closed", 1, "no")}, state: upgrade.VerifyClosed, commit: commit},
		{
			name: "sentences", state: upgrade.VerifyOpen, took: time.Second, // one of them brought nothing new
			replies: []reply{waiting(0, ""), waiting(1, "it is applied"), waiting(1, "it is applied"), waiting(3, "it is checked"), answer("open", 4, "it may go")},
			says:    []string{"it is applied", "it is checked"},
		},
		{
			name: "answer_lost", state: upgrade.VerifyOpen, replies: []reply{{}, waiting(0, ""), answer("open", 1, "it may go")},
			says: []string{"… does not answer; trying again for up to 5m0s", "… answers again"}, took: time.Second,
		},
		{
			name: "restarted_while_waiting", state: upgrade.VerifyClosed, took: 3 * time.Second,
			replies: []reply{waiting(1, "it is applied"), {}, {status: 502, body: "<html>proxy"}, answer("closed", 2, "no")},
			says:    []string{"it is applied", "… does not answer; trying again for up to 5m0s", "… answers again"},
		},
		{
			name: "asked_to_wait", state: upgrade.VerifyOpen, took: 9 * time.Second,
			replies: []reply{{status: 429, body: `{"code":"limited","detail":"a key that GitLab did not have a moment ago"}`, retryAfter: "9"}, answer("open", 1, "it may go")},
			says:    []string{"a key that GitLab did not have a moment ago; trying again for up to 5m0s", "… answers again"},
		},
		{
			name: "gitlab_away", state: upgrade.VerifyOpen, took: time.Second, replies: []reply{no(503, upgrade.CodeUnavailable), answer("open", 1, "it may go")},
			says: []string{"the service says unavailable; trying again for up to 5m0s", "… answers again"},
		},
		{name: "away_for_good", replies: []reply{{}}, code: upgrade.CodeUnavailable, says: []string{"… does not answer; trying again for up to 5m0s"}, took: 4*time.Minute + 45*time.Second},
		{name: "bad_token", replies: []reply{no(401, upgrade.CodeUnauthorized)}, code: upgrade.CodeUnauthorized},
		{name: "used_token", replies: []reply{no(409, upgrade.CodeConflict)}, code: upgrade.CodeConflict},
		{name: "other_commit", replies: []reply{no(403, upgrade.CodeForbidden)}, code: upgrade.CodeForbidden},
		{name: "forgotten", replies: []reply{waiting(0, ""), no(404, upgrade.CodeNotFound)}, code: upgrade.CodeNotFound},
		{name: "no_such_page", replies: []reply{{status: 404, body: "<html>"}}, code: upgrade.CodeInvalid},
		{name: "of_another_commit", replies: []reply{answer("open", 1, "it may go")}, commit: "ffff1ab04d5e6f708192a3b4c5d6e7f8091a2b3c", code: upgrade.CodeInternal},
		{name: "no_state", replies: []reply{{status: 200, body: `{"id":"x"}`}}, code: upgrade.CodeUnavailable, says: []string{"… makes no sense; trying again for up to 5m0s"}, took: 4*time.Minute + 45*time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newService(t, test.replies...)
			clock := &jumpClock{at: time.Date(2026, 3, 6, 9, 0, 0, 0, time.UTC)}
			begun := clock.at
			c, err := client.New(client.Config{URL: s.URL, Token: idToken, HTTP: s.Client(), Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			got, err := c.Verify(t.Context(), client.Question{Commit: test.commit, Each: func(sentence string) { said = append(said, sentence) }})
			switch {
			case test.code == "" && err != nil:
				t.Fatal(err)
			case test.code != "" && (err == nil || upgrade.CodeOf(err) != test.code || strings.Contains(err.Error(), idToken)):
				t.Errorf("got %v, want %s", err, test.code)
			case test.code == "" && got.State != test.state:
				t.Errorf("got %s, want %s", got.State, test.state)
			}
			if !slices.EqualFunc(said, test.says, like) {
				t.Errorf("said %q, want %q", said, test.says)
			}
			if took := clock.at.Sub(begun); took != test.took && (test.took < time.Minute || took < test.took || took > 5*time.Minute) {
				t.Errorf("waited for %s, want %s", took, test.took)
			}
			s.isConsistent(t)
		})
	}
}

func like(got, want string) bool {
	if end, ok := strings.CutPrefix(want, "…"); ok {
		return strings.HasSuffix(got, end)
	}
	return got == want
}

// isConsistent: each attempt to ask has the same key, which is a secret, and only they show the token.
func (s *service) isConsistent(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, asked := range s.asked {
		posted := asked == "POST /api/v1/verify"
		if posted != (s.bearers[i] == "Bearer "+idToken) || !posted && s.bearers[i] != "" {
			t.Errorf("%s is sent with %q", asked, s.bearers[i])
		}
		if !posted && !strings.HasPrefix(asked, "GET /api/v1/verify/ABCDEFGHIJKLMNOPQRSTUVWXYZ?told=") {
			t.Errorf("asked %s", asked)
		}
	}
	for _, key := range s.keys {
		if key != s.keys[0] || len(key) < 26 {
			t.Errorf("asked with the keys %q", s.keys)
		}
	}
}

// TestVerifyEnds: who stops waiting gets the cause, and at once.
func TestVerifyEnds(t *testing.T) {
	for name, replies := range map[string][]reply{"waiting": {answer("waiting", 1, "it is applied")}, "away": {{}}} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, replies...)
			c, err := client.New(client.Config{URL: s.URL, Token: idToken, HTTP: s.Client()})
			if err != nil {
				t.Fatal(err)
			}
			enough := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			_, err = c.Verify(ctx, client.Question{Each: func(string) { cancel(enough) }})
			if !errors.Is(err, enough) {
				t.Errorf("got %v", err)
			}
		})
	}
}
