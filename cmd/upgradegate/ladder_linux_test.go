package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/integration/varnish/lab"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestVarnishGateInTheLab: the whole gate on a real Varnish, from outside and from beside it.
func TestVarnishGateInTheLab(t *testing.T) {
	if err := lab.Available(); err != nil {
		for need := range strings.SplitSeq(os.Getenv("UPGRADEGATE_TEST_NEED"), ",") {
			if need == "netns" || need == "varnish" {
				t.Fatalf("UPGRADEGATE_TEST_NEED lists %s, but: %v", need, err)
			}
		}
		t.Skipf("skipped: %v", err)
	}
	l, err := lab.Start(t.Context(), lab.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	tests := []struct {
		name  string
		fault lab.Fault
		want  upgrade.Outcome
		says  string
		hint  string
		cause string
		cells []string // in the ladder, somewhere
	}{
		{"whole", lab.UsersShut, upgrade.OutcomePassed, "from the backend, from here and in-vpc", "", "", []string{"answered 200 past the cache"}},
		{
			"users_dropped", lab.UsersDropped, upgrade.OutcomeFailed, "TCP 80 does not answer within 0.8 s: a security group, network ACL or route drops it",
			"users are cut off while in-vpc inside gets through", "",
			[]string{"✗ No answer", "Not reached"},
		},
		{"proxy_port_open", nil, upgrade.OutcomeFailed, "TCP 6086 of 10.77.2.10 is open from here and must be closed: a security group, network ACL or firewall lets it through", "", "", nil},
		{"forced_sick", lab.ForcedSick, upgrade.OutcomeFailed, "Varnish runs but asks no backend: web1 and web2 are set sick by hand", "put the back ends back: varnishadm backend.set_health '*' auto", "Cause: web1 and web2 are set sick by hand", []string{"✗ Set sick"}},
		{"wrong_port", lab.WrongBackendPort, upgrade.OutcomeFailed, "Backend fetch failed", "behind Varnish", "nothing listens on its port, or a firewall rejects", []string{"✗ 503"}},
		{"varnish_down", lab.VarnishDown, upgrade.OutcomeFailed, "TCP 80 is refused: nothing listens there, or a firewall rejects", "look at Varnish and what is behind it", "", []string{"✗ Refused"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.fault != nil {
				undo, err := tt.fault(t.Context(), l)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := undo(); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Second)
				}()
			}
			got := askLab(t, l)
			shown := shownResult(got)
			t.Log(shown)
			if got.Outcome != tt.want || !strings.Contains(got.Message, tt.says) || !strings.Contains(got.Hint, tt.hint) {
				t.Errorf("got %s %q (%q), want %s that says %q and %q", got.Outcome, got.Message, got.Hint, tt.want, tt.says, tt.hint)
			}
			for _, cell := range append(slices.Clone(tt.cells), tt.cause) {
				if !strings.Contains(shown, cell) {
					t.Errorf("the evidence lacks %q", cell)
				}
			}
		})
	}
}

// askLab asks a varnish gate about the lab's site.
func askLab(t *testing.T, l *lab.Lab) upgrade.Result {
	t.Helper()
	node, err := l.Node()
	if err != nil {
		t.Fatal(err)
	}
	at := func(from lab.Place) gates.Prober {
		reach := varnish.Allow{Prefix: netip.MustParsePrefix("10.77.0.0/16"), Ports: []uint16{80, 443, 6082, 6086, 8080}}
		return varnish.New(varnish.Config{
			Guard: varnish.Guard{Allow: []varnish.Allow{reach}}, Within: l.Within(from), Resolver: l.Resolver(from),
			Limits: probe.Limits{Response: 1500 * time.Millisecond},
		})
	}
	settings := gates.VarnishSettings{
		Paths: []probe.Path{l.Path("http", "/"), l.Path("https", "/nocache")}, Tries: 1, Node: node,
		Vantages: []probe.Vantage{probe.Here, "in-vpc"}, Closed: []gates.Closed{{Ports: []uint16{6082, 6086}}},
	}
	gate := gates.Gate{Name: "site", Kind: gates.KindVarnish, Stage: upgrade.StageAfter, Environment: "staging", Required: true, TouchesLive: true, Deadline: time.Minute}
	err = settings.Bind(&gate, gates.Deps{
		Clock: upgrade.SystemClock{}, Prober: at(lab.User), Varnish: varnish.NewInspector(varnish.InspectorConfig{}),
		Vantage: func(probe.Vantage) (gates.Prober, error) { return at(lab.Peer), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return gates.Runner{Clock: upgrade.SystemClock{}}.Ask(t.Context(), gate, gates.Input{})
}

// shownResult prints a result as a page would.
func shownResult(r upgrade.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\nbrief: %s\nnext: %s\n", r.Outcome, r.Message, r.Brief, r.Hint)
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	for _, fact := range r.Evidence.Facts {
		fmt.Fprintf(&b, "%s: %s\n", fact.Name, fact.Value)
	}
	for _, table := range r.Evidence.Tables {
		fmt.Fprintf(&b, "%s\n  %s\n", table.Title, strings.Join(table.Columns, " | "))
		for _, row := range table.Rows {
			fmt.Fprintf(&b, "  %s\n", strings.Join(row, " | "))
		}
	}
	return b.String()
}
