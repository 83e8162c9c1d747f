package agent

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// names is DNS.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, text := range n[host] {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	if len(addrs) == 0 {
		return nil, errors.New("no such host")
	}
	return addrs, nil
}

// TestReachable: what no address of may be dialled is refused before anything is sent; the rest is the guard's.
func TestReachable(t *testing.T) {
	entry, err := varnish.ParseAllow("10.20.0.0/16:80,443")
	if err != nil {
		t.Fatal(err)
	}
	policy := Policy{Allow: []varnish.Allow{entry}}
	dns := names{"inside.test": {"10.20.0.5"}, "outside.test": {"93.184.216.34"}, "both.test": {"93.184.216.34", "10.20.0.5"}, "meta.test": {"169.254.169.254", "fd00:ec2::254"}}
	for name, test := range map[string]struct {
		path probe.Path
		ok   bool
	}{
		"inside":          {probe.Path{URL: "http://inside.test/"}, true},
		"inside_https":    {probe.Path{URL: "https://inside.test/"}, true},
		"another_port":    {probe.Path{URL: "http://inside.test:8080/"}, false},
		"outside":         {probe.Path{URL: "http://outside.test/"}, false},
		"one_of_two":      {probe.Path{URL: "http://both.test/"}, true},
		"metadata":        {probe.Path{URL: "http://meta.test/"}, false},
		"literal":         {probe.Path{URL: "http://10.20.0.5/"}, true},
		"literal_outside": {probe.Path{URL: "http://10.21.0.5/"}, false},
		"wrapped":         {probe.Path{URL: "http://[::ffff:10.21.0.5]/"}, false},
		"resolved":        {probe.Path{URL: "http://outside.test/", Resolve: map[string]string{"outside.test": "10.20.0.5"}}, true},
		"resolved_away":   {probe.Path{URL: "http://inside.test/", Resolve: map[string]string{"inside.test": "10.21.0.5"}}, false},
		"resolved_port":   {probe.Path{URL: "http://inside.test/", Resolve: map[string]string{"inside.test": "10.20.0.5:22"}}, false},
		"bare":            {probe.Path{URL: "tcp://10.20.0.1:80"}, true},
		"bare_outside":    {probe.Path{URL: "tcp://10.20.0.1:53"}, false},
		"no_such_name":    {probe.Path{URL: "http://nothing.test/"}, true}, // the probe says so
	} {
		t.Run(name, func(t *testing.T) {
			err := policy.reachable(t.Context(), dns, test.path)
			if (err == nil) != test.ok || err != nil && (upgrade.CodeOf(err) != upgrade.CodeForbidden || upgrade.HintOf(err) == "") {
				t.Errorf("got %v, want it taken: %t", err, test.ok)
			}
		})
	}
}

func TestRate(t *testing.T) {
	policy := Policy{MaxRate: 100}
	for name, test := range map[string]struct {
		running float64
		every   time.Duration
		code    upgrade.Code
	}{
		"fits":     {0, 20 * time.Millisecond, ""},
		"just":     {50, 20 * time.Millisecond, ""},
		"too_many": {60, 20 * time.Millisecond, upgrade.CodeForbidden},
		"never":    {0, 0, upgrade.CodeInvalid},
		"backward": {0, -time.Second, upgrade.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			err := policy.rateFits("a", test.running, test.every)
			if (err == nil) != (test.code == "") || err != nil && upgrade.CodeOf(err) != test.code {
				t.Errorf("got %v, want %q", err, test.code)
			}
		})
	}
}

// TestLooks: many at once pass, then one after another at the pace of people, and never too many at the same time.
func TestLooks(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	a := &Agent{cfg: Config{Now: func() time.Time { return now }}, works: map[string]*work{}}
	take := func() (n int) {
		for a.climbFitsLocked() == nil {
			if n++; n > 1000 {
				t.Fatal("no end of looks")
			}
		}
		return n
	}
	for _, test := range []struct {
		after time.Duration
		want  int
	}{{0, climbsBurst}, {0, 0}, {climbsEvery, 1}, {climbsEvery / 2, 0}, {climbsEvery / 2, 1}, {10 * climbsEvery, 10}, {time.Hour, climbsBurst}} {
		now = now.Add(test.after)
		if got := take(); got != test.want {
			t.Errorf("%s later %d looks passed, want %d", test.after, got, test.want)
		}
	}
	now = now.Add(time.Hour)
	for i := range climbsAtOnce {
		a.works[strconv.Itoa(i)] = &work{state: wire.StateRunning}
	}
	if err := a.climbFitsLocked(); upgrade.CodeOf(err) != upgrade.CodeLimited || upgrade.HintOf(err) == "" {
		t.Errorf("one more beside %d: %v", climbsAtOnce, err)
	}
	a.works["0"].state = wire.StateEnded
	a.works["1"].stream = true
	if got := take(); got != climbsBurst { // they end at once here
		t.Errorf("%d looks passed when two had ended", got)
	}
}

// TestAuthority: the certificates of an order are a file of the agent's user for as long as somebody uses them, and
// no disk is filled with them.
func TestAuthority(t *testing.T) {
	a := &Agent{cfg: Config{Data: t.TempDir()}, works: map[string]*work{}}
	kept := func() int {
		files, err := filepath.Glob(filepath.Join(a.cfg.Data, "ca-*.pem"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v: %v", file, info.Mode(), err)
			}
		}
		return len(files)
	}
	begin := func(id string, pem []byte) (*work, error) {
		w := &work{id: id, order: wire.Order{CA: pem}}
		a.works[id] = w
		path, err := a.path(w, probe.Path{CAFile: "/etc/passwd"})
		if err == nil && len(pem) > 0 && filepath.Dir(path.CAFile) != a.cfg.Data || len(pem) == 0 && path.CAFile != "" {
			t.Errorf("%s reads %s", id, path.CAFile)
		}
		return w, err
	}
	first, err1 := begin("first", []byte("one"))
	same, err2 := begin("same", []byte("one"))
	_, err3 := begin("other", []byte("two"))
	_, err4 := begin("none", nil)
	if err := errors.Join(err1, err2, err3, err4); err != nil || kept() != 2 {
		t.Fatalf("%d files: %v", kept(), err)
	}
	a.dropLocked(first)
	if kept() != 2 {
		t.Error("removed though another order uses it")
	}
	if a.dropLocked(same); kept() != 1 {
		t.Error("kept though nobody uses it")
	}
	if a.removeAuthorities(); kept() != 0 {
		t.Error("what an earlier start left behind is kept")
	}
	if _, err := begin("most", make([]byte, mostAuthority)); err != nil {
		t.Error(err)
	}
	if _, err := begin("more", make([]byte, mostAuthority+1)); upgrade.CodeOf(err) != upgrade.CodeInvalid || upgrade.HintOf(err) == "" || kept() != 1 {
		t.Errorf("took more than it may: %v", err)
	}
}

// TestBuffer: what is asked for is found, whatever was packed, and quotes are bounded.
func TestBuffer(t *testing.T) {
	var b buffer
	for i := range 1300 {
		full := b.add(probe.Sample{Sched: time.Duration(i), Class: probe.ClassTCPRefused, Quote: "no"})
		if full || i == 700 {
			if err := b.pack(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if b.count() != 1300 || b.quotes != 1300 {
		t.Errorf("%d samples, %d quotes seen", b.count(), b.quotes)
	}
	next := int64(0)
	for {
		c, ok := b.at(next)
		if !ok {
			break
		}
		if c.first > next || c.first+c.n <= next {
			t.Fatalf("asked for %d, got %d and %d after it", next, c.first, c.n)
		}
		next = c.first + c.n
	}
	if next != b.first || next < 1200 {
		t.Errorf("packed up to %d of %d", next, b.first)
	}
	if _, ok := b.at(-1); ok {
		t.Error("there is something before the first")
	}
}

// TestBackoff: pauses grow, differ, and end below the time after which an agent counts as gone.
func TestBackoff(t *testing.T) {
	var b backoff
	var last time.Duration
	for range 20 {
		last = b.next(0)
		if last > lastPause {
			t.Fatalf("a pause of %s", last)
		}
	}
	if last < lastPause/2 {
		t.Errorf("the last pause is %s", last)
	}
	if got := b.next(time.Minute); got != time.Minute {
		t.Errorf("asked to wait a minute, waits %s", got)
	}
	b.reset()
	if got := b.next(0); got > firstPause {
		t.Errorf("after a success: %s", got)
	}
}
