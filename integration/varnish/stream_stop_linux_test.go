package varnish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// probesAt tells a second process of this test to probe an address, for so long.
const (
	probesAt  = "UPGRADEGATE_TEST_PROBES_AT"
	probesFor = 3 * time.Second
)

func TestMain(m *testing.M) {
	at := os.Getenv(probesAt)
	if at == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithTimeout(context.Background(), probesFor)
	defer cancel()
	const every = 20 * time.Millisecond
	tally := probe.NewTally(every)
	var last time.Duration
	addr := netip.MustParseAddrPort(at)
	p := New(Config{Guard: Guard{Allow: []Allow{{Prefix: netip.PrefixFrom(addr.Addr(), addr.Addr().BitLen()), Ports: []uint16{addr.Port()}}}}})
	path := probe.Path{URL: "http://site.test/", Resolve: map[string]string{"site.test": at}, ViaVarnish: true}
	// Half of what it is stopped for at a time: what was begun before runs out of time meanwhile.
	err := p.Stream(ctx, probe.Stream{Path: path, Every: every, Limits: probe.Limits{Connect: 150 * time.Millisecond, Response: 150 * time.Millisecond}}, func(s probe.Sample) {
		tally.Add(s)
		last = max(last, s.Sched)
	})
	if err != nil {
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(tally.Watched(last)); err != nil {
		os.Exit(1)
	}
}

// TestStreamStopped: a prober that is stopped for a while, as on a machine that has too much to do, was blind; the
// site, which answered all along, is charged with nothing.
func TestStreamStopped(t *testing.T) {
	if raced {
		t.Skip("it measures milliseconds, which the race detector makes too slow")
	}
	const stops, long = 3, 300 * time.Millisecond
	site := newBreakable(t)
	for try := 1; ; try++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), probesAt+"="+site.addr.String())
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			time.Sleep(700 * time.Millisecond)
			for range stops {
				_ = cmd.Process.Signal(syscall.SIGSTOP)
				time.Sleep(long)
				_ = cmd.Process.Signal(syscall.SIGCONT)
				time.Sleep(400 * time.Millisecond)
			}
		}()
		err := cmd.Wait()
		<-stopped
		var w probe.Watched
		if err := errors.Join(err, json.Unmarshal(out.Bytes(), &w)); err != nil {
			t.Fatal(err)
		}
		var blind, charged time.Duration
		for _, b := range w.Blind {
			blind += b.Most
		}
		for _, o := range w.Outages {
			charged += o.Best
		}
		t.Logf("blind %s in %d pieces, %d of %d failed, outages %s: %+v", blind, len(w.Blind), w.Failed, w.Sent, charged, w.Outages)
		// What is charged may be this machine's, on which the site runs too.
		good := charged == 0 && w.Failed == 0 && w.Sent > 50 && blind >= stops*long*8/10
		if good || try == 3 {
			if !good {
				t.Errorf("blind for %s of %s, charged with %s and %d failed probes", blind, stops*long, charged, w.Failed)
			}
			return
		}
	}
}

// TestOwnDelay: only what gave up while the prober was held up for the half of it is nobody's.
func TestOwnDelay(t *testing.T) {
	const took = 800 * time.Millisecond
	for name, test := range map[string]struct {
		class probe.Class
		lost  time.Duration
		own   bool
	}{
		"all_of_it":        {probe.ClassTCPTimeout, took, true},
		"half":             {probe.ClassTLSTimeout, took / 2, true},
		"less":             {probe.ClassTCPTimeout, took/2 - 1, false},
		"none":             {probe.ClassTCPTimeout, 0, false},
		"refused":          {probe.ClassTCPRefused, took, false},
		"a_wrong_answer":   {probe.ClassBackendFetch, took, false},
		"a_missing_answer": {probe.ClassHTTPFirstByte, took, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ownDelay(test.class, took, test.lost); got != test.own {
				t.Errorf("got %v", got)
			}
		})
	}
}
