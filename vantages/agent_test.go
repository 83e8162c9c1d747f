package vantages_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/agent"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

func TestClimb(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	g.agent("staging-a", site)
	ladders, err := g.at("staging-a").Climb(t.Context(), site.path())
	if err != nil {
		t.Fatal(err)
	}
	if len(ladders) != 1 || ladders[0].Vantage != "staging-a" || ladders[0].Status != 200 {
		t.Fatalf("got %+v", ladders)
	}
	if rung, broken := ladders[0].Broken(); broken {
		t.Errorf("broken at %+v", rung)
	}
	site.broken.Store(true)
	if ladders, err = g.at("staging-a").Climb(t.Context(), site.path()); err != nil {
		t.Fatal(err)
	}
	if _, broken := ladders[0].Broken(); !broken {
		t.Error("a broken site looks whole")
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	g.agent("staging-a", site)
	var got collected
	ctx, cancel := context.WithTimeout(t.Context(), 1500*ms)
	defer cancel()
	if err := g.at("staging-a").Stream(ctx, probe.Stream{Name: "cached", Path: site.path(), Every: 20 * ms}, got.add); err != nil {
		t.Fatal(err)
	}
	got.whole(t, 20*ms, 50)
	n := 0
	for _, s := range got.list() {
		switch {
		case s.Blind(): // due as it ended
		case !s.OK:
			t.Fatalf("got %+v", s)
		default:
			n++
		}
	}
	asked := site.asked.Load()
	if int64(n) != asked {
		t.Errorf("%d samples of %d probes", n, asked)
	}
	time.Sleep(100 * ms)
	if site.asked.Load() != asked {
		t.Error("it goes on")
	}
}

// TestS5AgentThroughRestart: the gate is gone in the middle of a watch and comes back as another process that
// asks for the same stream. The site broke meanwhile: the samples of the gap say so, each once.
func TestS5AgentThroughRestart(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	g.agent("staging-a", site)
	stream := probe.Stream{ID: "run-7-apply-1-cached", Name: "cached", Path: site.path(), Every: 20 * ms}
	var before collected
	first, kill := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.at("staging-a").Stream(first, stream, before.add) }()
	until(t, "samples before", func() bool { return len(before.list()) > 30 })
	asked := time.Now()
	g.down() // nothing more reaches the agent: neither a stop nor anything else
	kill()
	time.Sleep(300 * ms)
	site.broken.Store(true)
	time.Sleep(400 * ms)
	site.broken.Store(false)
	time.Sleep(300 * ms)
	gap := time.Since(asked)
	g.up()
	var after collected
	second, stop := context.WithCancel(t.Context())
	defer stop()
	again := make(chan error, 1)
	go func() { again <- g.at("staging-a").Stream(second, stream, after.add) }()
	until(t, "samples after", func() bool { return len(after.list()) > len(before.list())+int(gap/(20*ms))+20 })
	stop()
	if err := <-again; err != nil {
		t.Fatal(err)
	}
	after.whole(t, 20*ms, len(before.list())+int(gap/(20*ms)))
	bad := 0
	for _, s := range after.list() {
		if !s.OK && !s.Blind() {
			bad++
		}
	}
	if bad < 15 || bad > 25 {
		t.Errorf("%d samples of the gap say that the site was broken, want about 20", bad)
	}
	if err := <-ended; err == nil {
		t.Error("the stream of the process that was killed ended well")
	}
}

// TestS5AgentRestarted: an agent that was restarted has not seen what was before. Nobody believes that it has.
func TestS5AgentRestarted(t *testing.T) {
	t.Parallel()
	for name, gateToo := range map[string]bool{"agent_alone": false, "both": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, site := newGate(t), newPage(t)
			a := g.agent("staging-a", site)
			stream := probe.Stream{ID: "run-8", Path: site.path(), Every: 20 * ms}
			var got collected
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- g.at("staging-a").Stream(ctx, stream, got.add) }()
			until(t, "samples", func() bool { return len(got.list()) > 10 })
			if !gateToo {
				a.stop()
				g.start(a)
				refused(t, <-ended, upgrade.CodeUnavailable, "staging-a", "restarted")
				return
			}
			g.down()
			cancel()
			a.stop()
			time.Sleep(5500 * ms) // more than an agent may be late
			g.up()
			g.start(a)
			err := g.at("staging-a").Stream(t.Context(), stream, got.add)
			refused(t, err, upgrade.CodeUnavailable, "staging-a", "watched only from")
		})
	}
}

// TestS5AgentGone: an agent that is not there could not tell, whatever it is asked.
func TestS5AgentGone(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	refused(t, g.at("staging-a").Stream(t.Context(), probe.Stream{Path: site.path(), Every: 20 * ms}, nil), upgrade.CodeUnavailable, "staging-a", "not enrolled", "vantage enrol")
	a := g.agent("staging-a", site)
	if _, err := g.at("staging-a").Climb(t.Context(), site.path()); err != nil {
		t.Fatal(err)
	}
	a.stop()
	_, err := g.at("staging-a").Climb(t.Context(), site.path())
	refused(t, err, upgrade.CodeUnavailable, "agent staging-a has not been heard since")
	refused(t, g.at("staging-a").Stream(t.Context(), probe.Stream{Path: site.path(), Every: 20 * ms}, nil), upgrade.CodeUnavailable, "has not been heard since")
	if _, err := g.room.At("staging-c"); err == nil || upgrade.CodeOf(err) != upgrade.CodeNotFound {
		t.Errorf("an unknown vantage: %v", err)
	}
}

// TestAgentCutOff: an agent that cannot reach the gate for a while goes on, and tells all of it afterwards.
func TestAgentCutOff(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	g.wrap = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if g.calls.Load() < 0 {
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	}
	g.down()
	g.up()
	g.agent("staging-a", site)
	var got collected
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- g.at("staging-a").Stream(ctx, probe.Stream{Path: site.path(), Every: 20 * ms}, got.add)
	}()
	until(t, "samples", func() bool { return len(got.list()) > 10 })
	g.calls.Store(-1 << 40)
	time.Sleep(3 * time.Second) // longer than an agent may be silent when it is asked something
	n := len(got.list())
	g.calls.Store(0)
	until(t, "samples of the gap", func() bool { return len(got.list()) > n+150 })
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	got.whole(t, 20*ms, 150)
}

// TestS9AgentRefuses: what is beyond the agent's own list, rate or duration is not done, and the reason is told.
func TestS9AgentRefuses(t *testing.T) {
	t.Parallel()
	g, site, other := newGate(t), newPage(t), newPage(t)
	g.agent("staging-a", site, func(c *agent.Config) { c.Policy.MaxRate, c.Policy.MaxDuration = 50, time.Second })
	at := g.at("staging-a")
	_, err := at.Climb(t.Context(), other.path())
	refused(t, err, upgrade.CodeForbidden, "agent staging-a refuses", strings.TrimPrefix(other.URL, "http://"), "--allow")
	_, err = at.Climb(t.Context(), probe.Path{URL: "http://93.184.216.34/"}) // public, and not on the list
	refused(t, err, upgrade.CodeForbidden, "93.184.216.34:80")
	path := site.path()
	path.URL = "http://rebound.test/"
	path.Resolve = map[string]string{"rebound.test": "169.254.169.254"}
	_, err = at.Climb(t.Context(), path)
	refused(t, err, upgrade.CodeForbidden, "169.254.169.254")
	err = at.Stream(t.Context(), probe.Stream{Path: site.path(), Every: 10 * ms}, nil)
	refused(t, err, upgrade.CodeForbidden, "50 probes a second at most", "100", "--max-rate")
	err = at.Stream(t.Context(), probe.Stream{Path: site.path(), Every: 20 * ms, Limits: probe.Limits{Body: 1 << 30}}, nil)
	refused(t, err, upgrade.CodeForbidden, "8 MiB at most")
	var got collected
	err = at.Stream(t.Context(), probe.Stream{Path: site.path(), Every: 20 * ms}, got.add)
	refused(t, err, upgrade.CodeForbidden, "1s at most", "--max-duration")
	if other.asked.Load() != 0 {
		t.Error("it was asked all the same")
	}
}

// TestAgentClock: an agent whose clock is wrong is heard, its offset is known, and its times are the gate's.
func TestAgentClock(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	const wrong = 17 * time.Minute
	g.agent("staging-a", site, func(c *agent.Config) { c.Now = func() time.Time { return time.Now().Add(wrong) } })
	var got collected
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	ended := make(chan error, 1)
	go func() {
		ended <- g.at("staging-a").Stream(ctx, probe.Stream{Path: site.path(), Every: 20 * ms}, got.add)
	}()
	until(t, "samples", func() bool { return len(got.list()) > 60 })
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	list := got.list()
	if first := list[0].Sched; first < 0 || first > time.Second {
		t.Errorf("the first sample is %s after the asking", first)
	}
	if last := list[len(list)-1].End; last > took {
		t.Errorf("the last sample is %s after the asking, and only %s have passed", last, took)
	}
	var a upgrade.Agent
	until(t, "the clocks were compared", func() bool {
		agents, err := g.room.Agents(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a = agents[0]
		return !a.Facts.MeasuredAt.IsZero()
	})
	if off := (a.Facts.Offset - wrong).Abs(); off > a.Facts.RTT/2+ms {
		t.Errorf("offset %s ± %s, want %s", a.Facts.Offset, a.Facts.RTT/2, wrong)
	}
}

// TestAgentBehindProxy: the gate is behind a proxy that takes a prefix off and changes the host.
func TestAgentBehindProxy(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	target, err := url.Parse("http://" + g.addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.StripPrefix("/gate", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() }}))
	t.Cleanup(proxy.Close)
	g.agent("staging-a", site, func(c *agent.Config) { c.URL = proxy.URL + "/gate" })
	if _, err := g.at("staging-a").Climb(t.Context(), site.path()); err != nil {
		t.Fatal(err)
	}
}

func TestAgentConfig(t *testing.T) {
	t.Parallel()
	allow := []varnish.Allow{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ports: []uint16{80}}}
	for name, test := range map[string]struct {
		url   string
		allow []varnish.Allow
		token upgrade.Secret
		code  upgrade.Code
		words string
	}{
		"no_gate":      {"", allow, "uga_x", upgrade.CodeInvalid, "--gate"},
		"not_https":    {"http://gate.example.org", allow, "uga_x", upgrade.CodeInvalid, "https"},
		"password":     {"https://a:b@gate.example.org", allow, "uga_x", upgrade.CodeInvalid, "--gate"},
		"no_allow":     {"https://gate.example.org", nil, "uga_x", upgrade.CodeInvalid, "--allow"},
		"not_enrolled": {"https://gate.example.org", allow, "", upgrade.CodeUnauthorized, "vantage enrol"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := agent.New(agent.Config{URL: test.url, Data: t.TempDir(), Token: test.token, Policy: agent.Policy{Allow: test.allow}, Now: time.Now, Log: logTo(t)})
			refused(t, err, test.code, test.words)
		})
	}
}

// TestOneAgentAFolder: a second process with the same key or the same kept watches ends at once, and disturbs nothing.
func TestOneAgentAFolder(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	a := g.agent("staging-a", site, withState(t))
	for name, change := range map[string]func(*agent.Config){
		"data":  func(c *agent.Config) { c.State = t.TempDir() },
		"state": func(c *agent.Config) { c.Data = t.TempDir() },
	} {
		cfg := a.cfg
		cfg.Token = "uga_x"
		change(&cfg)
		second, err := agent.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = second.Run(t.Context())
		t.Log(name)
		refused(t, err, upgrade.CodeConflict, "in use by another upgradegate", "stop that one first")
	}
	if _, err := g.at("staging-a").Climb(t.Context(), site.path()); err != nil {
		t.Fatal(err)
	}
}

// TestAgentKey: the key is nobody else's, and stays.
func TestAgentKey(t *testing.T) {
	t.Parallel()
	g, site := newGate(t), newPage(t)
	a := g.agent("staging-a", site)
	if _, err := g.at("staging-a").Climb(t.Context(), site.path()); err != nil {
		t.Fatal(err)
	}
	a.stop()
	key := filepath.Join(a.cfg.Data, "agent.key")
	info, err := os.Stat(key)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the key has mode %v (%v)", info.Mode(), err)
	}
	a.cfg.Token = "" // it is enrolled
	g.start(a)
	if _, err := g.at("staging-a").Climb(t.Context(), site.path()); err != nil {
		t.Fatal(err)
	}
	a.stop()
	a.cfg.URL = "https://other.example.org"
	_, err = agent.New(a.cfg)
	refused(t, err, upgrade.CodeConflict, "staging-a", "--data")
	a.cfg.URL = "http://" + g.addr
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = agent.New(a.cfg)
	refused(t, err, upgrade.CodeInvalid, "chmod 600")
}
