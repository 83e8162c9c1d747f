package lab

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// staged breaks the lab for a while during a stream and returns what was seen, of the site and of its
// name, and how long it was broken at least and at most.
func staged(t *testing.T, l *Lab, path probe.Path, every, before, down, after time.Duration, fault Fault) (site, name probe.Watched, least, most time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tallies := map[bool]*probe.Tally{true: probe.NewTally(every), false: probe.NewTally(probe.LookupEvery)}
	var last time.Duration
	ended := make(chan error, 1)
	go func() {
		p := varnish.New(varnish.Config{
			Guard: guard(t), Limits: limits(), Within: l.Within(User), Resolver: l.Resolver(User),
		})
		ended <- p.Stream(ctx, probe.Stream{Path: path, Every: every}, func(s probe.Sample) {
			tallies[s.Address.IsValid()].Add(s)
			last = max(last, s.Sched)
		})
	}()
	time.Sleep(before)
	begun := time.Now()
	undo, err := fault(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	broken := time.Now()
	time.Sleep(down)
	least = time.Since(broken)
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	most = time.Since(begun)
	time.Sleep(after)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return tallies[true].Watched(last), tallies[false].Watched(last), least, most
}

// guard lets probes reach the site of a lab.
func guard(t *testing.T) varnish.Guard {
	t.Helper()
	return varnish.Guard{Allow: []varnish.Allow{{Prefix: netip.PrefixFrom(VarnishAddr(), 32), Ports: []uint16{80, 443}}}}
}

// TestStream stages outages of a known length and holds what a stream finds against it. The slack is for
// a machine that is busy with other tests as well.
func TestStream(t *testing.T) {
	if raced {
		t.Skip("it measures milliseconds, which the race detector makes too slow")
	}
	const every, slack = 20 * time.Millisecond, 60 * time.Millisecond
	tests := []struct {
		name, scheme, page string
		fault              Fault
		class              probe.Class // "": no outage
		grows              bool        // what is undone takes its time to come back
	}{
		{"dropped", "http", "/", Filtered("tcp dport 80 drop"), probe.ClassTCPTimeout, false},
		{"refused", "http", "/", Filtered("tcp dport 80 reject with tcp reset"), probe.ClassTCPRefused, false},
		{"new_connections_dropped", "https", "/", Filtered("tcp dport 443 ct state new drop"), probe.ClassTCPTimeout, false},
		{"varnish_stopped", "http", "/", VarnishFrozen, probe.ClassLate, false},
		{"varnish_restarted", "http", "/", VarnishDown, probe.ClassTCPRefused, true},
		{"back_ends_down", "http", "/nocache", BackendsDown, probe.ClassBackendFetch, true},
		{"back_ends_down_behind_the_cache", "http", "/", BackendsDown, "", false},
		{"another_site", "http", "/nocache", OtherSite, probe.ClassWrongContent, false},
	}
	l := open(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.scheme == "https" && l.hitch == nil {
				needs(t, errNotHere, "hitch")
			}
			path := l.Path(test.scheme, test.page)
			for try := 1; ; try++ {
				calm := unlessBusy(t)
				w, _, least, most := staged(t, l, path, every, 400*time.Millisecond, 337*time.Millisecond, time.Second, test.fault)
				calm()
				t.Logf("broken for %s to %s; %d of %d probes failed, blind %v", least, most, w.Failed, w.Sent, w.Blind)
				if len(w.Blind) > 0 && try < 3 {
					continue // this machine stood still itself
				}
				if test.class == "" {
					if len(w.Outages) > 0 {
						t.Errorf("found %+v", w.Outages)
					}
					return
				}
				if len(w.Outages) == 0 {
					t.Fatal("found nothing")
				}
				o := w.Outages[0]
				t.Logf("found %s (%s to %s), %s", o.Best, o.Certain, o.Most, o.Class)
				if o.Class != test.class || o.Most < least-slack || !test.grows && o.Certain > most+slack || o.Open {
					t.Errorf("broken for %s to %s, found %+v", least, most, o)
				}
				return
			}
		})
	}
}

// TestStreamName: a name that DNS loses is an outage, although the addresses that were known answer.
func TestStreamName(t *testing.T) {
	l := open(t)
	path := l.Path("http", "/")
	path.Resolve = nil
	site, name, least, most := staged(t, l, path, 50*time.Millisecond, 1200*time.Millisecond, 4*time.Second, 1500*time.Millisecond, NameMissing)
	if len(site.Outages) > 0 || site.Sent < 120 {
		t.Errorf("of the site: %+v", site)
	}
	if len(name.Outages) != 1 || name.Outages[0].Class != probe.ClassDNSMissing || name.Outages[0].Certain > most || name.Outages[0].Most < least {
		t.Errorf("of the name, broken for %s to %s: %+v", least, most, name)
	}
}
