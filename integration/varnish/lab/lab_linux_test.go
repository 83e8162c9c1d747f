package lab

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// open starts a lab for a test. Where there can be none the test is skipped, unless UPGRADEGATE_TEST_NEED
// lists what it takes.
func open(t *testing.T) *Lab {
	t.Helper()
	if err := Available(); err != nil {
		needs(t, err, "varnish", "netns")
	}
	start := time.Now()
	l, err := Start(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("set up in %s", time.Since(start).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		noLeaks(t, l)
	})
	return l
}

// needs skips a test for want of something, or fails it when UPGRADEGATE_TEST_NEED lists any of names.
func needs(t *testing.T, missing error, names ...string) {
	t.Helper()
	for name := range strings.SplitSeq(os.Getenv("UPGRADEGATE_TEST_NEED"), ",") {
		if slices.Contains(names, name) {
			t.Fatalf("UPGRADEGATE_TEST_NEED lists %s, but: %v", name, missing)
		}
	}
	t.Skipf("skipped: %v", missing)
}

// noLeaks fails when anything of a lab is left.
func noLeaks(t *testing.T, l *Lab) {
	t.Helper()
	entries, err := os.ReadDir("/run/netns")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.Contains(entry.Name(), l.suffix) {
			t.Errorf("namespace %s is left", entry.Name())
		}
	}
	if _, err := os.Stat(l.dir); !os.IsNotExist(err) {
		t.Errorf("folder is left: %v", err)
	}
	for _, pid := range children(t) {
		t.Errorf("child %s is left", pid)
	}
}

// children lists the processes whose parent this test is, zombies too.
func children(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("ps", "-o", "pid=,stat=,comm=", "--ppid", pid()).Output()
	if err != nil && len(out) > 0 {
		t.Fatal(err)
	}
	var left []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasSuffix(strings.TrimSpace(line), " ps") {
			left = append(left, strings.TrimSpace(line))
		}
	}
	return left
}

func pid() string {
	link, _ := os.Readlink("/proc/self")
	return link
}

// prober returns what a prober needs to look at a lab from a place.
func prober(l *Lab, from Place, limits probe.Limits) varnish.Config {
	all := varnish.Allow{Prefix: netip.MustParsePrefix("10.77.0.0/16"), Ports: []uint16{80, 443, 6082, 6086, 8080}}
	return varnish.Config{Guard: varnish.Guard{Allow: []varnish.Allow{all}}, Limits: limits, Within: l.Within(from), Resolver: l.Resolver(from)}
}

func limits() probe.Limits {
	return probe.Limits{DNS: 800 * time.Millisecond, Connect: 800 * time.Millisecond, Response: 1500 * time.Millisecond}
}

// expect probes from a place and compares the broken rung.
func expect(t *testing.T, l *Lab, from Place, path probe.Path, layer probe.Layer, class probe.Class) probe.Ladder {
	t.Helper()
	ladders, err := varnish.New(prober(l, from, limits())).Climb(t.Context(), path)
	if err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	if len(ladders) != 1 {
		t.Fatalf("%s: %d ladders", from, len(ladders))
	}
	rung, _ := ladders[0].Broken()
	if rung.Layer != layer || rung.Class != class {
		t.Errorf("%s: broken at %q with %q, want %q with %q: %s", from, rung.Layer, rung.Class, layer, class, rung.Detail)
	}
	return ladders[0]
}

func TestSetIngress(t *testing.T) {
	l := open(t)
	users, edgeNet := netip.MustParsePrefix("10.77.1.0/24"), netip.MustParsePrefix("10.77.2.0/24")
	path := l.Path("http", "/nocache")
	timeout := func(from Place) { t.Helper(); expect(t, l, from, path, probe.LayerTCP, probe.ClassTCPTimeout) }
	good := func(from Place) { t.Helper(); expect(t, l, from, path, "", "") }
	set := func(rules ...Rule) {
		t.Helper()
		start := time.Now()
		if err := l.SetIngress(t.Context(), rules); err != nil {
			t.Fatal(err)
		}
		t.Logf("%v in %s", rules, time.Since(start).Round(100*time.Microsecond))
	}
	good(User)
	kept, err := l.Dialer(User)(t.Context(), "tcp", "10.77.2.10:80")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	set(Admit(edgeNet, 80))
	timeout(User)
	good(Peer)
	good(LB)
	_ = kept.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(kept, "GET /nocache HTTP/1.1\r\nHost: "+Host+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(kept).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Errorf("a connection from before the change: %q, %v", line, err)
	}
	set(Admit(edgeNet, 80), Admit(users, 80))
	good(User)
	set(Admit(edgeNet, 0), Refuse(users, 80))
	expect(t, l, User, path, probe.LayerTCP, probe.ClassTCPRefused)
	set()
	timeout(Peer)
	set(Rule{From: Anywhere(), Port: 79, PortEnd: 443})
	good(User)
	set(Rule{From: Anywhere(), Port: 443, PortEnd: 443})
	timeout(User)
}

// A rule for IPv6 lets nobody of IPv4 in, not even "::/0".
func TestSetIngressIPv6(t *testing.T) {
	l := open(t)
	if err := l.SetIngress(t.Context(), []Rule{Admit(netip.MustParsePrefix("::/0"), 80)}); err != nil {
		t.Fatal(err)
	}
	expect(t, l, User, l.Path("http", "/nocache"), probe.LayerTCP, probe.ClassTCPTimeout)
}

// The namespaces of a program that was killed are removed by the next lab, those of a living one are not.
func TestSweep(t *testing.T) {
	alive := open(t)
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("vl-p%dxtest-user", dead.Process.Pid)
	if err := exec.Command("ip", "netns", "add", name).Run(); err != nil {
		t.Fatal(err)
	}
	sweep()
	if _, err := os.Stat("/run/netns/" + name); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", name, err)
	}
	expect(t, alive, User, alive.Path("http", "/"), "", "")
}

// Labs do not know of each other.
func TestTwoLabs(t *testing.T) {
	one, two := open(t), func() *Lab {
		l, err := Start(t.Context(), Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}()
	undo, err := VarnishDown(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, one, User, one.Path("http", "/"), probe.LayerTCP, probe.ClassTCPRefused)
	expect(t, two, User, two.Path("http", "/"), "", "")
	if err := two.Close(); err != nil {
		t.Error(err)
	}
	if err := undo(); err != nil {
		t.Error(err)
	}
}

// What cannot come up says why, and leaves nothing.
func TestStartFails(t *testing.T) {
	l := open(t)
	_, err := Start(t.Context(), Config{Dir: t.TempDir(), Suffix: l.suffix})
	if err == nil {
		t.Fatal("two labs with one name")
	}
	expect(t, l, User, l.Path("http", "/"), "", "")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if half, err := Start(ctx, Config{Dir: t.TempDir()}); err == nil {
		t.Error("a lab within 100 ms")
		_ = half.Close()
	}
}
