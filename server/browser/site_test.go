package browser

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab"
	"github.com/upgradegate/upgradegate/lifecycle"
	"github.com/upgradegate/upgradegate/server"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/vantages"
)

const managerToken = "token-of-mira-manager"

// site is a server on a port, which can go away and come back there.
type site struct {
	t     *testing.T
	world *world
	db    *store.Store
	url   string
	addr  string

	change []func(*server.Config)

	mu     sync.Mutex
	refuse string // path that is not answered
	stop   func()
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteOf(t, readWorld(t))
}

// newSiteOf is a site of a world, with its configuration changed.
func newSiteOf(t *testing.T, w *world, change ...func(*server.Config)) *site {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite://" + filepath.Join(t.TempDir(), "site.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, world: w, db: db, addr: "127.0.0.1:0", change: change}
	s.start()
	t.Cleanup(s.end)
	return s
}

// clock is the world's time, which stands still.
type clock struct {
	upgrade.SystemClock
	world *world
}

// someAgents lists agents, and does nothing else.
type someAgents struct {
	*vantages.Room
	now func() time.Time
}

func (s someAgents) Agents(context.Context) ([]upgrade.Agent, error) {
	now := s.now()
	return []upgrade.Agent{
		{
			Name: "staging-a", Key: []byte("k"), HeardAt: now, Facts: upgrade.AgentFacts{Version: "1.4.0", Host: "ip-10-20-4-17", Allow: []string{"10.20.0.0/16:80,443"}, MaxRate: 200, MaxDuration: time.Hour, RTT: time.Millisecond, MeasuredAt: now},
			Watches: []upgrade.AgentWatch{{Target: "https://staging.example.org/a/page/with/quite/a/long/address/index.php?with=words", Stream: "cached", Since: now}},
		},
		{Name: "staging-b", Key: []byte("k"), HeardAt: now.Add(-time.Hour)},
		{Name: "staging-c"},
		{Name: "staging-d", Key: []byte("k"), RevokedAt: now, RevokedBy: "Mira Holt"},
	}, nil
}

func (c clock) Now() time.Time { return c.world.Now() }

// start serves, at the same address as before.
func (s *site) start() {
	s.t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	s.url = "http://" + s.addr
	cfg := server.Config{
		Runs: s.world, Searches: s.world, Evidence: s.world, Journal: s.world, Deliveries: s.world, Logs: s.world, Plans: s.world, Invariants: s.world,
		Health: s.db, Questions: s.db, Changes: s.db, States: s.db, Stretches: s.world, Access: s.db, Audit: s.db, Posts: s.db,
		// No page asks these, and a page that does is answered 500.
		Acts: (*lifecycle.Lifecycle)(nil), IDTokens: (*gitlab.Tokens)(nil), Agents: someAgents{(*vantages.Room)(nil), time.Now}, Hooks: hooks{now: s.world.Now},
		Stacks: []upgrade.Stack{
			{Name: "ecs-master", Project: "platform/ecs-master", Dir: "stacks/ecs", After: []upgrade.StackName{"cms-web"}, Staging: upgrade.Site{Environment: "staging"}},
			{Name: "cms-web", Project: "platform/cms", Staging: upgrade.Site{Environment: "staging"}},
		},
		Tokens:    []server.Token{{Person: upgrade.Person{Name: "Mira Holt", Role: upgrade.RoleReleaseManager, GitLabUser: 17}, Secret: managerToken}},
		PublicURL: s.url, GitLabURL: "https://gitlab.example.org", Clock: clock{world: s.world}, Version: "1.4.0", Log: slog.New(slog.DiscardHandler),
	}
	for _, change := range s.change {
		change(&cfg)
	}
	pages, err := server.New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	h := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: s.gate(pages.Handler()), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := h.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.t.Error(err)
		}
	}()
	s.stop = sync.OnceFunc(func() {
		pages.EndStreams()
		if err := h.Close(); err != nil {
			s.t.Error(err)
		}
		<-served
	})
}

// end ends the server and every connection, as if it had been killed.
func (s *site) end() { s.stop() }

// gate closes the connection of whoever asks for what is refused.
func (s *site) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		refused := s.refuse != "" && r.URL.Path == s.refuse
		s.mu.Unlock()
		if refused {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
}

func (s *site) refusing(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = path
}
