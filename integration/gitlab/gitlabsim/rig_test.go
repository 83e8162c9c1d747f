package gitlabsim_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// stillClock stands at one time and moves only by what is slept.
type stillClock struct {
	mu   sync.Mutex
	now  time.Time
	in   int        // pieces of work that have begun and not ended
	rest *sync.Cond // in became 0
}

func newStillClock() *stillClock {
	c := &stillClock{now: time.Date(2026, 3, 6, 9, 16, 0, 0, time.UTC)}
	c.rest = sync.NewCond(&c.mu)
	return c
}

func (c *stillClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stillClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

func (c *stillClock) Begin() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.in--
		if c.in == 0 {
			c.rest.Broadcast()
		}
	}
}

func (c *stillClock) Idle(wait func()) { wait() }

// quiet waits until nothing is under way.
func (c *stillClock) quiet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.in > 0 {
		c.rest.Wait()
	}
}

// rig is a simulated GitLab that runs, with the example project.
type rig struct {
	*gitlabsim.Server
	gitlabsim.Seeded
	clock *stillClock
	url   string
}

func newRig(t *testing.T, cfg gitlabsim.Config) *rig {
	t.Helper()
	r := &rig{clock: newStillClock()}
	if cfg.Clock == nil {
		cfg.Clock = r.clock
	}
	cfg.Dir = t.TempDir()
	var err error
	r.Server, err = gitlabsim.New(cfg)
	check(t, err)
	t.Cleanup(func() { check(t, r.Close()) })
	r.url, err = r.Start(t.Context(), "127.0.0.1:0")
	check(t, err)
	r.Seeded, err = r.Seed(t.Context(), "")
	check(t, err)
	return r
}

// change commits a file to a branch as the developer.
func (r *rig) change(t *testing.T, branch, file, content string) upgrade.Commit {
	t.Helper()
	head, err := r.Commit(t.Context(), r.Seeded.Project.ID, gitlabsim.CommitSpec{
		Branch: branch, Message: "change " + file + "\n", Author: r.Developer.ID, Files: map[string]string{file: content},
	})
	check(t, err)
	return head
}

// request opens a merge request from a branch to main.
func (r *rig) request(t *testing.T, branch string) gitlabsim.MergeRequest {
	t.Helper()
	mr, err := r.CreateMR(t.Context(), r.Seeded.Project.ID, gitlabsim.MergeRequestSpec{Title: "Change " + branch, Source: branch, Author: r.Developer.ID})
	check(t, err)
	return mr
}

// call asks the API below /projects/ID and returns status and body.
func (r *rig) call(t *testing.T, as gitlabsim.User, method, path string, fields map[string]any) (status int, body string, header http.Header) {
	t.Helper()
	raw, err := json.Marshal(fields)
	check(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+"/api/v4/projects/platform%2Fexample"+path, strings.NewReader(string(raw)))
	check(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("PRIVATE-TOKEN", as.Token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, strings.TrimSpace(string(got)), resp.Header
}

// sink takes webhooks and keeps them.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []arrival
}

type arrival struct {
	header http.Header
	body   []byte
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{status: http.StatusOK}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, arrival{r.Header.Clone(), body})
		w.WriteHeader(s.status)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *sink) all() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]arrival(nil), s.got...)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// jobs returns the status of each job of a pipeline by name.
func jobs(r *gitlabsim.Server, pipeline int64) map[string]gitlabsim.Job {
	out := map[string]gitlabsim.Job{}
	for _, j := range r.Jobs(pipeline) {
		if !j.Retried {
			out[j.Name] = j
		}
	}
	return out
}
