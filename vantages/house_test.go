package vantages_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/agent"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
	"github.com/upgradegate/upgradegate/vantages"
)

const ms = time.Millisecond

func manager() upgrade.Person { return upgrade.Person{Name: "Mira", Role: upgrade.RoleReleaseManager} }

// gate is the gate's side over real HTTP. It can go away without a word and come back at the same address.
type gate struct {
	*testing.T
	db    *store.Store
	room  *vantages.Room
	addr  string
	gone  time.Duration
	wrap  func(http.Handler) http.Handler
	calls atomic.Int64
	down  func()
}

func newGate(t *testing.T) *gate {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "gate.db"), Log: logTo(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	g := &gate{T: t, db: db, gone: 2 * time.Second, addr: "127.0.0.1:0"}
	g.up()
	t.Cleanup(func() { g.down() })
	return g
}

func logTo(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// up starts a gate that knows nothing but what is stored.
func (g *gate) up() {
	g.Helper()
	room, err := vantages.New(g.Context(), vantages.Config{
		Store: g.db, Names: []upgrade.AgentName{"staging-a", "staging-b"}, Now: time.Now, Log: logTo(g.T), Gone: g.gone,
	})
	if err != nil {
		g.Fatal(err)
	}
	listener, err := net.Listen("tcp", g.addr)
	if err != nil {
		g.Fatal(err)
	}
	g.room, g.addr = room, listener.Addr().String()
	ending := make(chan struct{})
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.calls.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var answer any
		if r.URL.Path == "/api/v1/agent/enrol" {
			answer, err = room.Enrol(r.Context(), body)
		} else {
			answer, err = room.Call(r.Context(), r.Method, r.URL.Path, r.Header, body, ending)
		}
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			name, value := room.Stamp()
			w.Header().Set(name, value)
			status := http.StatusBadRequest
			switch upgrade.CodeOf(err) { //nolint:exhaustive // the server's own test has all
			case upgrade.CodeUnauthorized:
				status = http.StatusUnauthorized
			case upgrade.CodeInternal:
				status = http.StatusInternalServerError
			}
			w.WriteHeader(status)
			answer = map[string]string{"code": string(upgrade.CodeOf(err)), "detail": upgrade.Public(err), "hint": upgrade.HintOf(err)}
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	if g.wrap != nil {
		handler = g.wrap(handler)
	}
	server := &http.Server{Handler: handler}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			g.Errorf("serve: %v", err)
		}
	}()
	g.down = sync.OnceFunc(func() {
		_ = server.Close()
		close(ending)
		<-ended
	})
}

func (g *gate) invite(name upgrade.AgentName) upgrade.Secret {
	g.Helper()
	token, _, err := g.room.Invite(g.Context(), name, 0, manager())
	if err != nil {
		g.Fatal(err)
	}
	return token
}

func (g *gate) at(name probe.Vantage) *vantages.Prober {
	g.Helper()
	p, err := g.room.At(name)
	if err != nil {
		g.Fatal(err)
	}
	return p
}

// page is a page that can be taken away; it counts who asked.
type page struct {
	*httptest.Server
	asked  atomic.Int64
	broken atomic.Bool
}

func newPage(t *testing.T) *page {
	t.Helper()
	p := &page{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		if p.broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, "site-marker")
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *page) path() probe.Path {
	return probe.Path{URL: p.URL + "/", Expect: probe.Expect{Status: []int{200}, BodyContains: "site-marker"}}
}

func (p *page) allow(t *testing.T) varnish.Allow {
	t.Helper()
	addr := netip.MustParseAddrPort(strings.TrimPrefix(p.URL, "http://"))
	return varnish.Allow{Prefix: netip.PrefixFrom(addr.Addr(), 32), Ports: []uint16{addr.Port()}}
}

// running is an agent at work.
type running struct {
	cfg  agent.Config
	stop func()
}

func (g *gate) agent(name upgrade.AgentName, site *page, change ...func(*agent.Config)) *running {
	g.Helper()
	cfg := agent.Config{
		URL: "http://" + g.addr, Data: filepath.Join(g.TempDir(), "agent"), Token: g.invite(name), Version: "test", Host: "host-a",
		Policy: agent.Policy{Allow: []varnish.Allow{site.allow(g.T)}}, HTTP: &http.Client{Transport: &http.Transport{}}, Log: logTo(g.T), Now: time.Now,
	}
	for _, c := range change {
		c(&cfg)
	}
	r := &running{cfg: cfg}
	g.start(r)
	return r
}

func (g *gate) start(r *running) {
	g.Helper()
	a, err := agent.New(r.cfg)
	if err != nil {
		g.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Run(ctx); err != nil {
			g.Errorf("agent: %v", err)
		}
	}()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	g.Cleanup(r.stop)
	until(g.T, "enrolled", func() bool {
		agents, err := g.room.Agents(g.Context())
		return err == nil && agents[0].Enrolled()
	})
}

// collected is what a stream told.
type collected struct {
	mu      sync.Mutex
	samples []probe.Sample
}

func (c *collected) add(s probe.Sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samples = append(c.samples, s)
}

func (c *collected) list() []probe.Sample {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]probe.Sample(nil), c.samples...)
}

func (c *collected) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samples = nil
}

// whole fails the test unless there is one sample for each moment that was due, in a row.
func (c *collected) whole(t *testing.T, every time.Duration, atLeast int) {
	t.Helper()
	seen := map[int64]int{}
	var first, last int64 = 1 << 62, -1
	list := slices.DeleteFunc(c.list(), func(s probe.Sample) bool { return s.Class == probe.ClassStalled }) // beside the probes
	if len(list) == 0 {
		t.Fatal("no samples")
	}
	from := list[0].Sched
	for _, s := range list {
		from = min(from, s.Sched)
	}
	for _, s := range list {
		n := int64((s.Sched - from + every/2) / every)
		seen[n]++
		first, last = min(first, n), max(last, n)
	}
	for n := first; n <= last; n++ {
		if seen[n] != 1 {
			t.Fatalf("sample %d of %d to %d came %d times", n, first, last, seen[n])
		}
	}
	if int(last-first+1) < atLeast {
		t.Fatalf("%d samples, want %d at least", last-first+1, atLeast)
	}
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * ms) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func refused(t *testing.T, err error, code upgrade.Code, words ...string) {
	t.Helper()
	if err == nil || upgrade.CodeOf(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	for _, word := range words {
		if !strings.Contains(err.Error()+upgrade.HintOf(err), word) {
			t.Errorf("%v (%s) does not say %q", err, upgrade.HintOf(err), word)
		}
	}
}
