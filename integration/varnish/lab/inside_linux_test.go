package lab

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestOneBackendDown: until Varnish's own probe has found out, requests fail in turn; then none does.
func TestOneBackendDown(t *testing.T) {
	l := open(t)
	path := l.Path("http", "/nocache")
	path.Bypass = probe.Bypass{}
	undo, err := OneBackendDown(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	p := varnish.New(prober(l, User, limits()))
	var classes []probe.Class
	for range 4 {
		ladders, err := p.Climb(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		rung, _ := ladders[0].Broken()
		classes = append(classes, rung.Class)
	}
	t.Log(classes)
	if !slices.Contains(classes, probe.ClassBackendFetch) || !slices.Contains(classes, "") {
		t.Errorf("got %v, want failed and good ones in turn", classes)
	}
	time.Sleep(2 * time.Second)
	for range 4 {
		expect(t, l, User, path, "", "")
	}
	inside := inspect(t, l)
	if b := backendNamed(inside, "web1"); !b.Sick() || b.Forced() || b.Of != 4 {
		t.Errorf("web1: %+v", b)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
}

func inspect(t *testing.T, l *Lab) probe.Inside {
	t.Helper()
	node, err := l.Node()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	inside, err := varnish.NewInspector(varnish.InspectorConfig{}).Inspect(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("asked Varnish in %s", time.Since(start).Round(time.Millisecond))
	return inside
}

func backendNamed(inside probe.Inside, name string) probe.Backend {
	for _, one := range inside.Backends {
		if one.Name == name {
			return one
		}
	}
	return probe.Backend{}
}

// TestInspect reads what a real Varnish says while things go wrong behind it.
func TestInspect(t *testing.T) {
	l := open(t)
	path := l.Path("http", "/nocache")
	path.Bypass = probe.Bypass{}
	t.Run("whole", func(t *testing.T) {
		inside := inspect(t, l)
		if len(inside.VCLs) != 1 || inside.VCLs[0].Name != "boot" || inside.VCLs[0].Status != "active" || len(inside.Backends) != 3 {
			t.Errorf("got %+v", inside)
		}
		if b := backendNamed(inside, "web2"); b.Sick() || b.Admin != "probe" || b.Of != 4 || b.Since.IsZero() {
			t.Errorf("web2: %+v", b)
		}
		if d := backendNamed(inside, "d"); d.Type == "backend" || d.Of != 2 {
			t.Errorf("the director: %+v", d)
		}
	})
	for _, tt := range []struct {
		name    string
		fault   Fault
		counter string // that must rise: Varnish holds a back end down for a moment after a refused connection
		forced  bool
	}{
		{"nothing_listens", WrongBackendPort, ".helddown", false},
		{"dropped", BackendsFiltered("tcp dport 8080 tcp flags & (syn | ack) == syn drop"), ".fail_etimedout", false},
		{"no_route", change(edge, "route add unreachable 10.77.3.0/24", "route del unreachable 10.77.3.0/24"), ".fail_other", false},
		{"forced_sick", ForcedSick, "MAIN.fetch_failed", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := l.answers(t.Context(), "http", "/nocache"); err != nil {
				t.Fatal(err)
			}
			undo, err := tt.fault(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range l.Backends { // so that Varnish has to connect anew
				if !tt.forced && b.Stop() == nil && b.Start() != nil {
					t.Fatal("the back end does not start again")
				}
			}
			before := inspect(t, l)
			for range 3 {
				_, _ = varnish.New(prober(l, User, limits())).Climb(t.Context(), path)
			}
			after := inspect(t, l)
			var rose []string
			for name, value := range after.Counters {
				if value > before.Counters[name] {
					rose = append(rose, name)
				}
			}
			slices.Sort(rose)
			t.Log(rose)
			if !slices.ContainsFunc(rose, func(name string) bool { return strings.HasSuffix(name, tt.counter) }) {
				t.Errorf("%s did not rise, but %v", tt.counter, rose)
			}
			if got := backendNamed(after, "web1").Forced(); got != tt.forced {
				t.Errorf("forced is %v", got)
			}
			if err := undo(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestDoors: Varnish's port for the PROXY protocol takes forged addresses, so users must not reach it.
func TestDoors(t *testing.T) {
	l := open(t)
	path := l.Path("http", "/nocache")
	path.Closed = []probe.Door{{Port: 6082}, {Port: 6086}, {Addr: placeAddr(web1), Port: 8080}, {Port: 22}}
	doors := func(from Place) string {
		t.Helper()
		var words []string
		for _, knock := range expect(t, l, from, path, "", "").Doors {
			words = append(words, knock.Address.String()+" "+string(knock.State)+" "+knock.Detail)
		}
		return strings.Join(words, "\n")
	}
	const open = "TCP 6086 of 10.77.2.10 is open: a security group, network ACL or firewall lets it through"
	if got := doors(User); !strings.Contains(got, open) || !strings.Contains(got, "10.77.3.11:8080 broken") || !strings.Contains(got, "10.77.2.10:6082 ok closed: refused") ||
		!strings.Contains(got, "10.77.2.10:22 not_asked") {
		t.Errorf("got %s", got)
	}
	undo, err := UsersShut(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	if got := doors(User); strings.Contains(got, open) || !strings.Contains(got, "10.77.2.10:6086 ok closed: no answer within 0.8 s") {
		t.Errorf("shut, but got %s", got)
	}
	if got := doors(Peer); !strings.Contains(got, open) {
		t.Errorf("from beside Varnish: got %s", got)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
}
