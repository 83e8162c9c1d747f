package gitlab_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// jumpClock is a clock on which waiting takes no time.
type jumpClock struct {
	upgrade.SystemClock
	mu     sync.Mutex
	waited []time.Duration
}

func (c *jumpClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waited = append(c.waited, d)
	return ctx.Err()
}

func (c *jumpClock) total() (sum time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.waited {
		sum += d
	}
	return sum
}

// TestFaultsOfReads: what a read makes of an answer, how often it asks, and how long it waits in between.
func TestFaultsOfReads(t *testing.T) {
	status := func(code, times int) gitlabsim.Fault { return gitlabsim.Fault{Status: code, Times: times} }
	for _, tc := range []struct {
		name     string
		fault    gitlabsim.Fault
		code     upgrade.Code // empty: it works in the end
		requests int
		waitMin  time.Duration
		waitMax  time.Duration
		after    time.Duration // RetryAfter of the error
	}{
		{name: "bad_request", fault: status(400, 1), code: upgrade.CodeInvalid, requests: 1},
		{name: "unauthorized", fault: status(401, 1), code: upgrade.CodeUnauthorized, requests: 1},
		{name: "forbidden", fault: status(403, 1), code: upgrade.CodeForbidden, requests: 1},
		{name: "not_found", fault: status(404, 1), code: upgrade.CodeNotFound, requests: 1},
		{name: "conflict", fault: status(409, 1), code: upgrade.CodeConflict, requests: 1},
		{name: "unprocessable", fault: status(422, 1), code: upgrade.CodeInvalid, requests: 1},
		{name: "limited_without_a_word", fault: status(429, 3), code: upgrade.CodeLimited, requests: 3, waitMin: 600 * time.Millisecond, waitMax: 600 * time.Millisecond},
		{name: "limited_once", fault: gitlabsim.Fault{Status: 429, RetryAfter: 3 * time.Second}, requests: 2, waitMin: 3 * time.Second, waitMax: 3 * time.Second},
		{name: "limited_until_reset", fault: gitlabsim.Fault{Status: 429, Reset: 6 * time.Second}, requests: 2, waitMin: 4 * time.Second, waitMax: 6 * time.Second},
		{name: "retry_after_before_reset", fault: gitlabsim.Fault{Status: 429, RetryAfter: time.Second, Reset: time.Hour}, requests: 2, waitMin: time.Second, waitMax: time.Second},
		{name: "limited_too_long", fault: gitlabsim.Fault{Status: 429, RetryAfter: time.Minute}, code: upgrade.CodeLimited, requests: 1, after: time.Minute},
		{name: "trouble_twice", fault: status(500, 2), requests: 3, waitMin: 600 * time.Millisecond, waitMax: 600 * time.Millisecond},
		{name: "trouble", fault: status(502, 9), code: upgrade.CodeUnavailable, requests: 3, waitMin: 600 * time.Millisecond, waitMax: 600 * time.Millisecond},
		{name: "trouble_with_a_wait", fault: gitlabsim.Fault{Status: 503, RetryAfter: 2 * time.Second}, requests: 2, waitMin: 2 * time.Second, waitMax: 2 * time.Second},
		{name: "maintenance", fault: gitlabsim.Fault{Status: 503, RetryAfter: time.Hour}, code: upgrade.CodeUnavailable, requests: 1, after: time.Hour},
		{name: "cut_once", fault: gitlabsim.Fault{Kind: gitlabsim.FaultCut}, requests: 2, waitMin: 200 * time.Millisecond, waitMax: 200 * time.Millisecond},
		{name: "cut", fault: gitlabsim.Fault{Kind: gitlabsim.FaultCut, Times: 9}, code: upgrade.CodeUnavailable, requests: 3, waitMin: 600 * time.Millisecond, waitMax: 600 * time.Millisecond},
		{name: "half_an_answer", fault: gitlabsim.Fault{Kind: gitlabsim.FaultHalf}, requests: 2, waitMin: 200 * time.Millisecond, waitMax: 200 * time.Millisecond},
		{name: "a_sign_in_page", fault: gitlabsim.Fault{Status: 200, Body: "<html>Sign in</html>"}, code: upgrade.CodeUnavailable, requests: 1},
		{name: "another_shape", fault: gitlabsim.Fault{Status: 200, Body: `{"id": 1}`}, code: upgrade.CodeUnavailable, requests: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			clock := &jumpClock{}
			c := w.client(t, gitlab.Config{Clock: clock})
			w.sim.Fail(tc.fault)
			got, err := c.Branches(t.Context(), w.project.ID)
			switch {
			case tc.code == "" && (err != nil || len(got) != 2):
				t.Errorf("Branches() = %v, %v", got, err)
			case tc.code != "":
				wantCode(t, tc.code, err)
				if err != nil && upgrade.RetryAfterOf(err) != tc.after {
					t.Errorf("retry after %s, want %s", upgrade.RetryAfterOf(err), tc.after)
				}
			}
			if n := len(w.sim.Requests()); n != tc.requests {
				t.Errorf("%d requests, want %d", n, tc.requests)
			}
			if sum := clock.total(); sum < tc.waitMin || sum > tc.waitMax {
				t.Errorf("waited %s, want %s to %s", sum, tc.waitMin, tc.waitMax)
			}
		})
	}
}

func TestNoAnswer(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, gitlab.Config{Timeout: 150 * time.Millisecond})
	w.sim.Fail(gitlabsim.Fault{Kind: gitlabsim.FaultHang})
	_, err := c.Project(t.Context(), w.project.Path)
	wantCode(t, upgrade.CodeUnavailable, err)
	if !errors.Is(err, context.DeadlineExceeded) || !upgrade.Transient(err) || !strings.Contains(upgrade.Public(err), "150ms") {
		t.Errorf("the error is %v", err)
	}
	if n := len(w.sim.Requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	w.sim.SetLatency(50 * time.Millisecond)
	if _, err := c.Project(t.Context(), w.project.Path); err != nil {
		t.Errorf("a slow answer: %v", err)
	}
}

func TestCallerLeaves(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, gitlab.Config{})
	w.sim.Fail(gitlabsim.Fault{Kind: gitlabsim.FaultHang, Times: 2})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := c.Project(ctx, w.project.Path)
	if err == nil || !errors.Is(err, context.Canceled) || upgrade.Transient(err) {
		t.Errorf("the error is %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c, err := gitlab.New(gitlab.Config{URL: gone.URL, Token: "glpat-x", Clock: &jumpClock{}})
	check(t, err)
	_, _, err = c.Me(t.Context())
	wantCode(t, upgrade.CodeUnavailable, err)
}

// TestRedirect: the token goes nowhere but to the GitLab that was configured.
func TestRedirect(t *testing.T) {
	var stolen []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stolen = append(stolen, r.Header.Get("PRIVATE-TOKEN"))
	}))
	defer thief.Close()
	from := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusFound))
	defer from.Close()
	c, err := gitlab.New(gitlab.Config{URL: from.URL, Token: "glpat-x", Clock: &jumpClock{}})
	check(t, err)
	_, _, err = c.Me(t.Context())
	wantCode(t, upgrade.CodeInvalid, err)
	if upgrade.HintOf(err) == "" || len(stolen) > 0 {
		t.Errorf("hint %q, the thief has %v", upgrade.HintOf(err), stolen)
	}
}

// TestTokenStaysSecret: S9, also when the other side repeats it.
func TestTokenStaysSecret(t *testing.T) {
	const token = "glpat-very-secret"
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"message": "no good: ` + r.Header.Get("PRIVATE-TOKEN") + `"}`))
	}))
	defer echo.Close()
	c, err := gitlab.New(gitlab.Config{URL: echo.URL, Token: token})
	check(t, err)
	_, err = c.Project(t.Context(), "a/b")
	wantCode(t, upgrade.CodeInvalid, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), token) {
			t.Errorf("the token is in %q", e.Error())
		}
	}
	if !strings.Contains(upgrade.Public(err), "no good") {
		t.Errorf("what GitLab said is missing: %q", upgrade.Public(err))
	}
}

// TestFaultsOfWrites: a POST is sent once, whatever comes of it, save for a status that GitLab has locked.
func TestFaultsOfWrites(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault gitlabsim.Fault
		code  upgrade.Code // empty: it works
		posts int
		rows  int // that GitLab has afterwards
	}{
		{"trouble", gitlabsim.Fault{Status: 500}, upgrade.CodeUnavailable, 1, 0},
		{"answer_lost", gitlabsim.Fault{Kind: gitlabsim.FaultCut, After: true}, upgrade.CodeUnavailable, 1, 1},
		{"limited", gitlabsim.Fault{Status: 429, RetryAfter: time.Second}, upgrade.CodeLimited, 1, 0},
		{"forbidden", gitlabsim.Fault{Status: 403}, upgrade.CodeForbidden, 1, 0},
		{"locked_twice", gitlabsim.Fault{Status: 409, Times: 2}, "", 3, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			pl := w.production(t)
			c := w.client(t, gitlab.Config{Clock: &jumpClock{}})
			tc.fault.Method = http.MethodPost
			w.sim.Fail(tc.fault)
			err := c.PostStatus(t.Context(), w.status(pl, upgrade.CommitPending))
			if tc.code != "" {
				wantCode(t, tc.code, err)
			} else {
				check(t, err)
			}
			if n := w.posts(); n != tc.posts {
				t.Errorf("%d posts, want %d", n, tc.posts)
			}
			if rows := w.sim.Statuses(pl.ID); len(rows) != tc.rows {
				t.Errorf("rows are %+v", rows)
			}
			// Whatever came of it, the next attempt puts it right.
			check(t, c.PostStatus(t.Context(), w.status(pl, upgrade.CommitPending)))
			if rows := w.sim.Statuses(pl.ID); len(rows) != 1 || rows[0].Status != "pending" {
				t.Errorf("at last the rows are %+v", rows)
			}
		})
	}
}

// TestLockedForEver: a lock that stays ends with the deadline.
func TestLockedForEver(t *testing.T) {
	w := newWorld(t)
	pl := w.production(t)
	w.sim.Fail(gitlabsim.Fault{Method: http.MethodPost, Status: 409, Times: 1000})
	c := w.client(t, gitlab.Config{Timeout: 700 * time.Millisecond})
	wantCode(t, upgrade.CodeConflict, c.PostStatus(t.Context(), w.status(pl, upgrade.CommitPending)))
	if n := w.posts(); n != 2 {
		t.Errorf("%d posts, want 2", n)
	}
}

// TestPlayFaults: a lost answer is found out by reading.
func TestPlayFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		fault  gitlabsim.Fault
		code   upgrade.Code
		status string // of the job afterwards
	}{
		{"trouble", gitlabsim.Fault{Status: 500}, upgrade.CodeUnavailable, "manual"},
		{"done_and_trouble", gitlabsim.Fault{Status: 500, After: true}, "", "success"},
		{"done_and_cut", gitlabsim.Fault{Kind: gitlabsim.FaultCut, After: true}, "", "success"},
		{"somebody_was_quicker", gitlabsim.Fault{Status: 400, After: true}, "", "success"},
		{"unplayable", gitlabsim.Fault{Status: 400}, upgrade.CodeInvalid, "manual"},
		{"forbidden", gitlabsim.Fault{Status: 403}, upgrade.CodeForbidden, "manual"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			pl := w.production(t)
			c := w.client(t, gitlab.Config{Clock: &jumpClock{}})
			gate := jobsByName(t, c, w.project.ID, pl.ID)["upgrade-gate"]
			tc.fault.Method, tc.fault.Path = http.MethodPost, "/play$"
			w.sim.Fail(tc.fault)
			_, err := c.Play(t.Context(), w.project.ID, gate.ID)
			if tc.code != "" {
				wantCode(t, tc.code, err)
			} else {
				check(t, err)
			}
			if n := w.posts(); n != 1 {
				t.Errorf("%d posts, want 1", n)
			}
			if now := jobsByName(t, c, w.project.ID, pl.ID)["upgrade-gate"]; now.Status != tc.status {
				t.Errorf("the job is %s, want %s", now.Status, tc.status)
			}
		})
	}
}

// TestPlayReadsFirst: nothing is sent for a job that does not wait to be played.
func TestPlayReadsFirst(t *testing.T) {
	w := newWorld(t)
	pl := w.production(t)
	c := w.client(t, gitlab.Config{})
	jobs := jobsByName(t, c, w.project.ID, pl.ID)
	_, err := c.Play(t.Context(), w.project.ID, jobs["deploy-production"].ID)
	wantCode(t, upgrade.CodeConflict, err)
	if n := w.posts(); n != 0 {
		t.Errorf("%d posts for a job that is held, want none", n)
	}
	for range 2 {
		_, err := c.Play(t.Context(), w.project.ID, jobs["upgrade-gate"].ID)
		check(t, err)
	}
	if n := w.posts(); n != 1 {
		t.Errorf("%d posts, want 1", n)
	}
}

// TestPlayForbidden: whom the environment's protection leaves out may not play, and GitLab says so.
func TestPlayForbidden(t *testing.T) {
	w := newWorld(t)
	pl := w.production(t)
	c := w.client(t, gitlab.Config{Token: w.rev.Token})
	gate := jobsByName(t, c, w.project.ID, pl.ID)["upgrade-gate"]
	_, err := c.Play(t.Context(), w.project.ID, gate.ID)
	wantCode(t, upgrade.CodeForbidden, err)
	if upgrade.HintOf(err) == "" {
		t.Error("no hint")
	}
}

// TestNoteIsNeverTwo: neither after a lost answer nor from several goroutines at once.
func TestNoteIsNeverTwo(t *testing.T) {
	w := newWorld(t)
	c := w.client(t, gitlab.Config{})
	_, err := w.sim.Commit(t.Context(), w.project.ID, gitlabsim.CommitSpec{Branch: "feature", Message: "x", Author: w.dev.ID, Files: map[string]string{"x": "x"}})
	check(t, err)
	mr, err := w.sim.CreateMR(t.Context(), w.project.ID, gitlabsim.MergeRequestSpec{Title: "X", Source: "feature", Author: w.dev.ID})
	check(t, err)
	_, err = w.sim.AddNote(w.project.ID, mr.IID, w.dev.ID, "<!-- gate:1 --> quoting the bot")
	check(t, err)
	w.sim.Fail(gitlabsim.Fault{Method: http.MethodPost, Path: "/notes$", Status: 500, After: true})
	wantCode(t, upgrade.CodeUnavailable, c.UpsertNote(t.Context(), w.project.ID, mr.IID, "gate:1", "one"))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if err := c.UpsertNote(t.Context(), w.project.ID, mr.IID, "gate:1", strings.Repeat("x", i+1)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	now, _ := w.sim.MergeRequest(w.project.ID, mr.IID)
	if len(now.Notes) != 2 {
		t.Errorf("notes are %+v", now.Notes)
	}
}
