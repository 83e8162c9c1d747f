package gitlabsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Config is how a simulated GitLab is set up. The zero value is a working one.
type Config struct {
	Clock upgrade.Clock // world time: when things happened, how long jobs take; default upgrade.SystemClock
	Log   *slog.Logger  // default: nothing is logged
	Dir   string        // where the bare repositories are; default: a temporary folder, removed by Close
	// URL is what GitLab calls external_url, without a slash at the end; default: where Start listens.
	URL         string
	Version     string        // default 18.7.0
	HookTimeout time.Duration // how long a webhook may take; default 10 s, real time
	// RateLimit is how many API requests a user may send in a minute; default 0: no limit, as in an
	// installation of one's own. The headers are sent all the same.
	RateLimit int
	// AutoDisable switches a webhook off for a while after four failures in a row.
	AutoDisable bool
	// OldApprovals leaves approved_at out of approvals, as older GitLabs do.
	OldApprovals bool
}

// Server is a simulated GitLab. Its methods may be called by several goroutines.
type Server struct {
	cfg     Config
	clock   upgrade.Clock
	log     *slog.Logger
	git     string // the program
	ownDir  bool
	life    context.Context //nolint:containedctx // from New to Close: jobs and deliveries outlive the request that caused them
	end     context.CancelFunc
	work    sync.WaitGroup
	client  *http.Client // sends webhooks
	handler http.Handler

	mu sync.Mutex // guards the fields below
	state
}

// state is everything that GitLab knows.
type state struct {
	url        string
	ids        ids
	users      map[int64]*User
	tokens     map[string]int64
	projects   []*project
	deliveries []*delivery
	acts       []Act
	requests   []*Request
	faults     []*Fault
	latency    time.Duration
	mishaps    []*mishap
	limits     map[int64]*window
	closed     bool
	keys       []signingKey

	applications []Application
	grants       map[string]*grant
	signedIn     map[string]int64 // access tokens of those who signed in
	spoilt       map[string]any   // claims of their ID tokens
	groups       map[string]map[int64]Access
}

// ids are the last ones given out, one row of numbers per table, as in GitLab's database.
type ids struct{ user, project, pipeline, job, deployment, environment, mergeRequest, note, hook, delivery, version, key int64 }

func next(id *int64) int64 {
	*id++
	return *id
}

// New returns a GitLab without users and projects. Close it.
func New(cfg Config) (*Server, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("find git: %w", err)
	}
	s := &Server{cfg: cfg, clock: cfg.Clock, log: cfg.Log, git: git}
	if s.clock == nil {
		s.clock = upgrade.SystemClock{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.cfg.Version = cmp.Or(cfg.Version, "18.7.0")
	s.cfg.HookTimeout = cmp.Or(cfg.HookTimeout, 10*time.Second)
	if s.cfg.Dir == "" {
		if s.cfg.Dir, err = os.MkdirTemp("", "gitlabsim-"); err != nil {
			return nil, fmt.Errorf("make a folder for the repositories: %w", err)
		}
		s.ownDir = true
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.client = &http.Client{
		Timeout: s.cfg.HookTimeout,
		// A redirect is an answer like another, and counts as success.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.state = state{
		url: strings.TrimRight(cmp.Or(cfg.URL, "http://gitlab.invalid"), "/"), users: map[int64]*User{}, tokens: map[string]int64{}, limits: map[int64]*window{},
		// Tables that never have the same number make mistakes show.
		ids: ids{pipeline: 400, job: 4700, deployment: 80, mergeRequest: 3000, note: 9000, delivery: 60000, version: 7000},
	}
	s.handler = s.routes()
	return s, nil
}

// Handler returns the whole of GitLab: API, git and pages.
func (s *Server) Handler() http.Handler { return s.handler }

// URL returns the address that GitLab gives out in its answers.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// Start serves on addr, such as 127.0.0.1:0, until ctx ends or Close, and returns its address, such as
// http://127.0.0.1:40123, once it listens.
func (s *Server) Start(ctx context.Context, addr string) (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen for the simulated gitlab: %w", err)
	}
	url := "http://" + ln.Addr().String()
	if s.cfg.URL == "" {
		s.mu.Lock()
		s.url = url
		s.mu.Unlock()
	}
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, s.end)
	context.AfterFunc(s.life, func() { _ = srv.Close() }) //nolint:contextcheck // the server's life, not the caller's; and nobody waits for answers any more
	s.work.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.log.ErrorContext(ctx, "simulated gitlab stopped", "err", err)
		}
	})
	return url, nil
}

// Close stops everything, waits for it, and removes the repositories if they were in a folder of its
// own. It may be called twice.
func (s *Server) Close() error {
	s.end()
	s.mu.Lock()
	s.closed = true // nothing begins any more
	s.mu.Unlock()
	s.work.Wait()
	s.client.CloseIdleConnections()
	if !s.ownDir {
		return nil
	}
	if err := os.RemoveAll(s.cfg.Dir); err != nil {
		return fmt.Errorf("remove the repositories: %w", err)
	}
	return nil
}
