package vantages_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/agent"
	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// trap counts who connects.
type trap struct {
	addr netip.AddrPort
	hits atomic.Int64
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trap{addr: netip.MustParseAddrPort(listener.Addr().String())}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tr.hits.Add(1)
			_ = conn.Close()
		}
	}()
	return tr
}

// lies is DNS that says something else than the system's.
type lies map[string]netip.Addr

func (l lies) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return []netip.Addr{l[host]}, nil
}

// TestS9HostileGate: whatever a gate orders, and wherever the site sends its visitors, the agent connects to nothing
// that is not on its own list.
func TestS9HostileGate(t *testing.T) {
	hole := newTrap(t)
	t.Setenv("HTTP_PROXY", "http://"+hole.addr.String())
	t.Setenv("http_proxy", "http://"+hole.addr.String())
	t.Setenv("ALL_PROXY", "http://"+hole.addr.String())
	g, site := newGate(t), newPage(t)
	sends := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+hole.addr.String()+"/", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(sends.Close)
	rebound := netip.MustParseAddr("127.0.0.2")
	g.agent("staging-a", site, func(c *agent.Config) {
		at := (&page{Server: sends}).allow(t)
		trapped := at
		trapped.Prefix, trapped.Ports = netip.PrefixFrom(rebound, 32), []uint16{hole.addr.Port()}
		c.Policy.Allow = append(c.Policy.Allow, at, trapped)
		c.Resolver = lies{"localhost": rebound} // at the first look, and something else at the second
	})
	at := g.at("staging-a")
	port := strings.TrimPrefix(hole.addr.String(), "127.0.0.1")
	for name, path := range map[string]probe.Path{
		"plain":           {URL: "http://" + hole.addr.String() + "/"},
		"mapped":          {URL: "http://[::ffff:127.0.0.1]" + port + "/"},
		"unspecified":     {URL: "http://0.0.0.0" + port + "/"},
		"unspecified_six": {URL: "http://[::]" + port + "/"},
		"loopback_six":    {URL: "http://[::1]" + port + "/"},
		"metadata":        {URL: "http://169.254.169.254/latest/meta-data/"},
		"metadata_six":    {URL: "http://[fd00:ec2::254]/"},
		"metadata_mapped": {URL: "http://[::ffff:169.254.169.254]/"},
		"nat64":           {URL: "http://[64:ff9b::7f00:1]" + port + "/"},
		"decimal":         {URL: "http://2130706433" + port + "/"},
		"resolved_to":     {URL: "http://site.test/", Resolve: map[string]string{"site.test": hole.addr.String()}},
		"rebound":         {URL: "http://localhost" + port + "/"},
		"redirected":      {URL: sends.URL + "/", Expect: probe.Expect{Status: []int{200}}},
		"door":            {URL: site.URL + "/", Closed: []probe.Door{{Addr: hole.addr.Addr(), Port: hole.addr.Port()}}},
		"large":           {URL: site.URL + "/", Large: probe.Large{Page: "//" + hole.addr.String() + "/"}},
		"large_absolute":  {URL: site.URL + "/", Large: probe.Large{Page: "http://" + hole.addr.String() + "/"}},
		"user_info":       {URL: "http://" + strings.TrimPrefix(site.URL, "http://") + "@" + hole.addr.String() + "/"},
	} {
		t.Run(name, func(t *testing.T) {
			ladders, err := at.Climb(t.Context(), path)
			if n := hole.hits.Load(); n != 0 {
				t.Fatalf("it was reached %d times: %+v (%v)", n, ladders, err)
			}
			if err == nil && name != "door" {
				for _, l := range ladders {
					if _, broken := l.Broken(); !broken {
						t.Errorf("it looks whole: %+v", l)
					}
				}
			}
			stream := probe.Stream{Name: "cached", Path: path, Every: 100 * ms}
			limited, cancel := context.WithTimeout(t.Context(), 250*ms)
			defer cancel()
			_ = at.Stream(limited, stream, func(probe.Sample) {}) // refused, or blind
			if n := hole.hits.Load(); n != 0 {
				t.Errorf("a stream reached it %d times", n)
			}
		})
	}
}

// TestS9GateThatSendsElsewhere: an agent follows no redirect of its gate: the call would take the token, or the
// signature, to where the gate says.
func TestS9GateThatSendsElsewhere(t *testing.T) {
	t.Parallel()
	hole := newTrap(t)
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+hole.addr.String()+"/", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(gate.Close)
	site := newPage(t)
	a, err := agent.New(agent.Config{
		URL: gate.URL, Data: filepath.Join(t.TempDir(), "agent"), Token: "uga_x", Policy: agent.Policy{Allow: []varnish.Allow{site.allow(t)}},
		HTTP: &http.Client{Transport: &http.Transport{}}, Log: logTo(t), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 700*ms)
	defer cancel()
	if err := a.Run(ctx); err != nil {
		t.Errorf("got %v", err)
	}
	if n := hole.hits.Load(); n != 0 {
		t.Errorf("it was followed %d times", n)
	}
}

// liar is an agent with a key of its own that says what it likes.
type liar struct {
	*gate
	name upgrade.AgentName
	key  ed25519.PrivateKey
	n    int64
}

func (g *gate) liar(name upgrade.AgentName) *liar {
	g.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		g.Fatal(err)
	}
	body, err := json.Marshal(wire.Enrolment{Token: g.invite(name).Reveal(), Key: public, Version: "\x1b[31mred", Host: "a\x07b\u202ec"})
	if err != nil {
		g.Fatal(err)
	}
	if _, err := g.room.Enrol(g.Context(), body); err != nil {
		g.Fatal(err)
	}
	return &liar{gate: g, name: name, key: key}
}

func (l *liar) say(path string, in any) (any, error) {
	l.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		l.Fatal(err)
	}
	h := http.Header{}
	wire.Sign(l.key, l.name, http.MethodPost, path, body, time.Now()).Write(h)
	return l.room.Call(l.Context(), http.MethodPost, path, h, body, nil)
}

// poll says how far it is, and returns what is wanted of it.
func (l *liar) poll(epoch string, works ...wire.Work) wire.Orders {
	l.Helper()
	l.n++
	got, err := l.say(wire.PathPoll, wire.Poll{Instance: "i", About: upgrade.AgentFacts{Version: "\x1b[31mred", Host: "a\x07b\u202ec"}, N: l.n, Epoch: epoch, Known: -1, Works: works})
	if err != nil {
		l.Fatal(err)
	}
	orders, ok := got.(wire.Orders)
	if !ok {
		l.Fatalf("got %T", got)
	}
	return orders
}

// watched has a stream asked of it, and returns the order and how the stream ends.
func (l *liar) watched() (wire.Orders, <-chan error) {
	l.Helper()
	ended := make(chan error, 1)
	go func() {
		ended <- l.at(probe.Vantage(l.name)).Stream(l.Context(), probe.Stream{ID: "run-1", Name: "cached", Target: "http://s", Path: probe.Path{URL: "http://s"}, Every: 20 * ms}, func(probe.Sample) {})
	}()
	var orders wire.Orders
	until(l.T, "it is asked", func() bool { orders = l.poll(""); return len(orders.Orders) == 1 })
	return orders, ended
}

func packed(t *testing.T, samples ...probe.Sample) []byte {
	t.Helper()
	data, err := wire.Pack(samples)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestS5HostileAgent: an agent that tells of what it cannot have seen is not believed, and its gate could not tell.
func TestS5HostileAgent(t *testing.T) {
	t.Parallel()
	good := func(at time.Duration) probe.Sample {
		return probe.Sample{Sched: at, Start: at, End: at + ms, Address: netip.MustParseAddrPort("10.0.0.1:80"), OK: true, Class: probe.ClassOK}
	}
	now := time.Now
	for name, test := range map[string]struct {
		do    func(l *liar, epoch, id string) error
		words string
	}{
		"the_future": {func(l *liar, _, id string) error {
			_, err := l.say(wire.PathSamples, wire.Delivery{Stream: id, Origin: "o", Begun: now().UnixNano(), Packed: packed(l.T, good(time.Minute))})
			return err
		}, "not come yet"},
		"too_many": {func(l *liar, _, id string) error {
			var all []probe.Sample
			for range wire.MaxSamples {
				all = append(all, good(0))
			}
			data, next := packed(l.T, all...), int64(0)
			for next < 60*wire.MaxSamples {
				got, err := l.say(wire.PathSamples, wire.Delivery{Stream: id, Origin: "o", Begun: now().UnixNano(), First: next, Packed: data})
				wanted, ok := got.(wire.Wanted)
				if err != nil || !ok || wanted.Next < 0 {
					return err
				}
				next = wanted.Next // the same as before while the gate has no room
			}
			return nil
		}, "more probes than it can have sent"},
		"another_beginning": {func(l *liar, _, id string) error {
			for _, origin := range []string{"o", "p"} {
				if _, err := l.say(wire.PathSamples, wire.Delivery{Stream: id, Origin: origin, Begun: now().UnixNano(), Packed: packed(l.T, good(0))}); err != nil {
					return err
				}
			}
			return nil
		}, "was restarted in the middle"},
		"begun_later": {func(l *liar, _, id string) error {
			_, err := l.say(wire.PathSamples, wire.Delivery{Stream: id, Origin: "o", Begun: now().Add(time.Hour).UnixNano(), Packed: packed(l.T, good(0))})
			return err
		}, "watched only from"},
		"fewer_than_it_said": {func(l *liar, epoch, id string) error {
			if _, err := l.say(wire.PathSamples, wire.Delivery{Stream: id, Origin: "o", Begun: now().UnixNano(), Packed: packed(l.T, good(0), good(20*ms))}); err != nil {
				return err
			}
			l.poll(epoch, wire.Work{ID: id, Origin: "o", State: wire.StateEnded, Begun: now().UnixNano(), Count: 1})
			return nil
		}, "was restarted in the middle"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGate(t).liar("staging-a")
			orders, ended := l.watched()
			if err := test.do(l, orders.Epoch, orders.Orders[0].ID); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err == nil || !strings.Contains(err.Error(), test.words) {
					t.Errorf("got %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("it is believed")
			}
		})
	}
}

// TestS5SilentAgent: a look that says nothing is no pass, nor is one that leaves out the ports that must be closed.
func TestS5SilentAgent(t *testing.T) {
	t.Parallel()
	path := probe.Path{URL: "http://10.0.0.1/", Closed: []probe.Door{{Port: 6082}, {Addr: netip.MustParseAddr("10.0.0.9"), Port: 22}}}
	ok := []probe.Rung{{Layer: probe.LayerTCP, State: probe.RungOK, Class: probe.ClassOK}}
	knock := func(at string) probe.Knock {
		return probe.Knock{Address: netip.MustParseAddrPort(at), State: probe.RungOK, Class: probe.ClassTCPRefused}
	}
	address := netip.MustParseAddrPort("10.0.0.1:80")
	for name, test := range map[string]struct {
		ladders []probe.Ladder
		words   string
	}{
		"nothing":     {nil, "came back with nothing"},
		"no_rung":     {[]probe.Ladder{{URL: "http://10.0.0.1/", Address: address}}, "without having looked"},
		"not_reached": {[]probe.Ladder{{Address: address, Rungs: []probe.Rung{{Layer: probe.LayerTCP, State: probe.RungNotReached}}}}, "without having looked"},
		"no_door":     {[]probe.Ladder{{Address: address, Rungs: ok}}, "whether it is closed"},
		"one_door":    {[]probe.Ladder{{Address: address, Rungs: ok, Doors: []probe.Knock{knock("10.0.0.1:6082")}}}, "whether it is closed"},
		"both":        {[]probe.Ladder{{Address: address, Rungs: ok, Doors: []probe.Knock{knock("10.0.0.1:6082"), knock("10.0.0.9:22")}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGate(t).liar("staging-a")
			ended := make(chan error, 1)
			go func() {
				_, err := l.at("staging-a").Climb(t.Context(), path)
				ended <- err
			}()
			var orders wire.Orders
			until(t, "it is asked", func() bool { orders = l.poll(""); return len(orders.Orders) == 1 })
			l.poll(orders.Epoch, wire.Work{ID: orders.Orders[0].ID, Origin: "o", State: wire.StateEnded, Ladders: test.ladders})
			err := <-ended
			if test.words == "" && err != nil || test.words != "" && (upgrade.CodeOf(err) != upgrade.CodeUnavailable || !strings.Contains(err.Error(), test.words)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestS9AgentOfAnotherName: an agent speaks for itself alone: not by another's name, and not of another's watch. What
// it says of itself does not reach the terminal of whoever reads it.
func TestS9AgentOfAnotherName(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	l := g.liar("staging-a")
	victim := g.liar("staging-b")
	orders, ended := victim.watched()
	got, err := l.say(wire.PathSamples, wire.Delivery{Stream: orders.Orders[0].ID, Origin: "o", Begun: time.Now().UnixNano(), Packed: packed(t, probe.Sample{OK: true, Class: probe.ClassOK})})
	if wanted, ok := got.(wire.Wanted); err != nil || !ok || wanted.Next != -1 {
		t.Errorf("samples of another's watch: %+v (%v)", got, err)
	}
	l.poll(orders.Epoch, wire.Work{ID: orders.Orders[0].ID, Origin: "o", State: wire.StateFailed, Failure: &wire.Failure{Code: upgrade.CodeForbidden, Msg: "no"}})
	l.name = "staging-b"
	_, err = l.say(wire.PathPing, struct{}{})
	refused(t, err, upgrade.CodeUnauthorized, "does not know the key of agent staging-b")
	select {
	case err := <-ended:
		t.Errorf("the watch of the other ended: %v", err)
	default:
	}
	agents, err := g.room.Agents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range agents {
		if text := a.Facts.Version + a.Facts.Host; strings.ContainsAny(text, "\x1b\x07\u202e") || !strings.Contains(text, "red") {
			t.Errorf("it says %q", text)
		}
	}
}

// TestS9ReplayWindow: a call counts once, for as long as its time is good; after that its time is not, and the gate
// has forgotten neither in between.
func TestS9ReplayWindow(t *testing.T) {
	t.Parallel()
	l := newGate(t).liar("staging-a")
	body := []byte("{}")
	for name, test := range map[string]struct {
		at    time.Duration
		first bool
		words string
	}{
		"now":           {0, true, "made before"},
		"nearly_old":    {-wire.Window + 5*time.Second, false, "not the gate's"}, // from before this gate was started
		"nearly_future": {wire.Window - 5*time.Second, true, "made before"},
		"old":           {-wire.Window - time.Second, false, "not the gate's"},
		"future":        {wire.Window + 5*time.Second, false, "not the gate's"},
	} {
		h := http.Header{}
		wire.Sign(l.key, l.name, http.MethodPost, wire.PathPing, body, time.Now().Add(test.at)).Write(h)
		_, err := l.room.Call(t.Context(), http.MethodPost, wire.PathPing, h, body, nil)
		if (err == nil) != test.first {
			t.Errorf("%s: the first time: %v", name, err)
		}
		for range 3 {
			_, err = l.room.Call(t.Context(), http.MethodPost, wire.PathPing, h, bytes.Clone(body), nil)
			refused(t, err, upgrade.CodeUnauthorized, test.words)
		}
	}
}
