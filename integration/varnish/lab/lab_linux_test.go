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
	l, err := Start(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
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
	all := varnish.Allow{Prefix: netip.MustParsePrefix("10.77.0.0/16"), Ports: []uint16{80, 443, 6086, 8080}}
	return varnish.Config{Guard: varnish.Guard{Allow: []varnish.Allow{all}}, Limits: limits, Dial: l.Dialer(from), Resolver: l.Resolver(from)}
}

func limits() probe.Limits {
	return probe.Limits{DNS: 800 * time.Millisecond, Connect: 800 * time.Millisecond, Response: 1500 * time.Millisecond}
}

// row is a line of the fault table: what is broken, and what a prober must say from where.
type row struct {
	name   string
	fault  Fault
	scheme string // empty: http
	page   string // empty: /nocache
	layer  probe.Layer
	class  probe.Class
	peer   probe.Class // class that a prober beside Varnish must give; empty: it must find nothing wrong
	bypass bool        // ask past the cache too
	or     probe.Class // as good: what is seen depends on how answers are cut into packets, and on what a reset overtakes
}

func rows() []row {
	return []row{
		{name: "dns_missing", fault: NameMissing, layer: probe.LayerDNS, class: probe.ClassDNSMissing, peer: probe.ClassDNSMissing},
		{name: "dns_servfail", fault: NameServfail, layer: probe.LayerDNS, class: probe.ClassDNSServfail, peer: probe.ClassDNSServfail},
		{name: "dns_silent", fault: NameSilent, layer: probe.LayerDNS, class: probe.ClassDNSTimeout, peer: probe.ClassDNSTimeout},
		{name: "dns_down", fault: NameServerDown, layer: probe.LayerDNS, class: probe.ClassDNSRefused, peer: probe.ClassDNSRefused},

		{name: "no_route", fault: NoRoute, layer: probe.LayerTCP, class: probe.ClassNetUnreachable},
		{name: "router_unreachable", fault: RouteUnreachable, layer: probe.LayerTCP, class: probe.ClassHostUnreachable},
		{name: "router_prohibits", fault: RouteProhibited, layer: probe.LayerTCP, class: probe.ClassHostUnreachable},
		{name: "router_blackhole", fault: RouteBlackhole, layer: probe.LayerTCP, class: probe.ClassTCPTimeout},
		{name: "no_return_route", fault: NoReturnRoute, layer: probe.LayerTCP, class: probe.ClassTCPTimeout},

		{name: "drop", fault: Filtered("tcp dport 80 drop"), layer: probe.LayerTCP, class: probe.ClassTCPTimeout, peer: probe.ClassTCPTimeout},
		{name: "users_dropped", fault: UsersDropped, layer: probe.LayerTCP, class: probe.ClassTCPTimeout},
		{name: "reset", fault: Filtered("tcp dport 80 reject with tcp reset"), layer: probe.LayerTCP, class: probe.ClassTCPRefused, peer: probe.ClassTCPRefused},
		{name: "port_unreachable", fault: Filtered("tcp dport 80 reject"), layer: probe.LayerTCP, class: probe.ClassTCPRefused, peer: probe.ClassTCPRefused},
		{name: "admin_prohibited", fault: Filtered("tcp dport 80 reject with icmpx type admin-prohibited"), layer: probe.LayerTCP, class: probe.ClassHostUnreachable, peer: probe.ClassHostUnreachable},
		{name: "net_unreachable", fault: Filtered("tcp dport 80 reject with icmp type net-unreachable"), layer: probe.LayerTCP, class: probe.ClassNetUnreachable, peer: probe.ClassNetUnreachable},
		{name: "large_packets_lost", fault: LargePacketsLost, page: "/big", layer: probe.LayerBackend, class: probe.ClassHTTPBody, or: probe.ClassHTTPFirstByte},

		{name: "varnish_down", fault: VarnishDown, layer: probe.LayerTCP, class: probe.ClassTCPRefused, peer: probe.ClassTCPRefused},
		{name: "varnish_frozen", fault: VarnishFrozen, layer: probe.LayerVarnish, class: probe.ClassHTTPFirstByte, peer: probe.ClassHTTPFirstByte},
		{name: "varnish_down_behind_tls", fault: VarnishDown, scheme: "https", layer: probe.LayerVarnish, class: probe.ClassHTTPEOF, peer: probe.ClassHTTPEOF},
		{name: "terminator_down", fault: TerminatorDown, scheme: "https", layer: probe.LayerTCP, class: probe.ClassTCPRefused, peer: probe.ClassTCPRefused},
		{name: "terminator_frozen", fault: TerminatorFrozen, scheme: "https", layer: probe.LayerTLS, class: probe.ClassTLSTimeout, peer: probe.ClassTLSTimeout},
		{name: "certificate_expired", fault: CertExpired, scheme: "https", layer: probe.LayerTLS, class: probe.ClassTLSExpired, peer: probe.ClassTLSExpired},
		{name: "certificate_of_another", fault: CertWrongName, scheme: "https", layer: probe.LayerTLS, class: probe.ClassTLSWrongName, peer: probe.ClassTLSWrongName},
		{name: "certificate_unknown", fault: CertUnknown, scheme: "https", layer: probe.LayerTLS, class: probe.ClassTLSUnknownCA, peer: probe.ClassTLSUnknownCA},
		{name: "proxy_to_plain_port", fault: TerminatorToPlainPort, scheme: "https", layer: probe.LayerVarnish, class: probe.ClassProxyMismatch, peer: probe.ClassProxyMismatch, or: probe.ClassHTTPEOF},
		{name: "plain_to_proxy_port", fault: TerminatorWithoutProxy, scheme: "https", layer: probe.LayerVarnish, class: probe.ClassHTTPEOF, peer: probe.ClassHTTPEOF},

		{name: "backends_down", fault: BackendsDown, layer: probe.LayerBackend, class: probe.ClassBackendFetch, peer: probe.ClassBackendFetch},
		{name: "backends_down_cached_page", fault: BackendsDown, page: "/", bypass: true, layer: probe.LayerBackend, class: probe.ClassBackendFetch, peer: probe.ClassBackendFetch},
		{name: "backends_down_cached_page_no_bypass", fault: aged(BackendsDown), page: "/", layer: probe.LayerBackend, class: probe.ClassStale, peer: probe.ClassStale},
		{name: "backends_hang", fault: BackendsHang, layer: probe.LayerBackend, class: probe.ClassHTTPFirstByte, peer: probe.ClassHTTPFirstByte},
		{name: "pages_fail", fault: PagesFail, layer: probe.LayerBackend, class: probe.ClassBackendStatus, peer: probe.ClassBackendStatus},
		{name: "other_site", fault: OtherSite, layer: probe.LayerContent, class: probe.ClassWrongContent, peer: probe.ClassWrongContent},
		{name: "other_site_cached_page", fault: OtherSite, page: "/", bypass: true, layer: probe.LayerContent, class: probe.ClassWrongContent, peer: probe.ClassWrongContent},
		{name: "backends_dropped", fault: BackendsFiltered("tcp dport 8080 drop"), layer: probe.LayerBackend, peer: probe.ClassHTTPFirstByte, class: probe.ClassHTTPFirstByte},
	}
}

// aged breaks something and waits until a page that was in the cache may no longer be served as fresh.
func aged(f Fault) Fault {
	return func(ctx context.Context, l *Lab) (func() error, error) {
		undo, err := f(ctx, l)
		if err != nil {
			return nil, err
		}
		return undo, wait(ctx, 3200*time.Millisecond)
	}
}

// TestFaults stages what varnish.md lists and compares what a prober says, from outside and from beside
// Varnish; then it repairs and waits for the site to be whole again.
func TestFaults(t *testing.T) {
	l := open(t)
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			if r.scheme == "" {
				r.scheme = "http"
			}
			if r.page == "" {
				r.page = "/nocache"
			}
			path := l.Path(r.scheme, r.page)
			if r.scheme == "https" && !l.TLS {
				t.Skip("hitch is not installed")
			}
			if !r.bypass {
				path.Bypass = probe.Bypass{}
			}
			if err := l.answers(t.Context(), r.scheme, r.page); err != nil {
				t.Fatalf("before: %v", err)
			}
			undo, err := r.fault(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, l, User, path, r.layer, r.class, r.or)
			if r.peer != "" {
				expect(t, l, Peer, path, r.layer, r.peer, r.or)
			} else {
				expect(t, l, Peer, path, "", "")
			}
			if err := undo(); err != nil {
				t.Fatal(err)
			}
			if err := l.answers(t.Context(), r.scheme, r.page); err != nil {
				t.Fatalf("after: %v", err)
			}
		})
	}
}

// expect probes from a place and compares the broken rung.
func expect(t *testing.T, l *Lab, from Place, path probe.Path, layer probe.Layer, classes ...probe.Class) probe.Ladder {
	t.Helper()
	start := time.Now()
	ladders, err := varnish.New(prober(l, from, limits())).Climb(t.Context(), path)
	if err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	if len(ladders) != 1 {
		t.Fatalf("%s: %d ladders", from, len(ladders))
	}
	rung, _ := ladders[0].Broken()
	if rung.Layer != layer || !slices.Contains(classes, rung.Class) {
		t.Errorf("%s: broken at %q with %q, want %q with %q", from, rung.Layer, rung.Class, layer, classes)
	}
	t.Logf("%-4s %6s  %s %s: %s", from, time.Since(start).Round(time.Millisecond), rung.Layer, rung.Class, rung.Detail)
	return ladders[0]
}

// TestWrongDoors looks at addresses and ports that are not the site's front door.
func TestWrongDoors(t *testing.T) {
	l := open(t)
	at := func(scheme, page, address string) probe.Path {
		path := l.Path(scheme, page)
		path.Resolve = map[string]string{Host: address}
		return path
	}
	tests := []struct {
		name  string
		from  Place
		path  probe.Path
		layer probe.Layer
		class probe.Class
		tls   bool
	}{
		{"whole", User, l.Path("http", "/"), "", "", false},
		{"whole_tls", User, l.Path("https", "/"), "", "", true},
		{"whole_from_load_balancer", LB, l.Path("http", "/"), "", "", false},
		{"big_page", User, l.Path("http", "/big"), "", "", false},
		{"origin", Peer, at("http", "/", "10.77.3.11:8080"), probe.LayerVarnish, probe.ClassNotViaVarnish, false},
		{"proxy_port", Peer, at("http", "/", "10.77.2.10:6086"), probe.LayerVarnish, probe.ClassProxyPort, false},
		{"tls_to_plain_port", User, at("https", "/", "10.77.2.10:80"), probe.LayerTLS, probe.ClassTLSNotTLS, true},
		{"plain_to_tls_port", User, at("http", "/", "10.77.2.10:443"), probe.LayerVarnish, probe.ClassHTTPReset, true},
		{"no_host_there", User, at("http", "/", "10.77.2.77"), probe.LayerTCP, probe.ClassTCPTimeout, false},
		{"nothing_listens", User, at("http", "/", "10.77.2.20"), probe.LayerTCP, probe.ClassTCPRefused, false},
		{"not_allowed", User, at("http", "/", "10.77.2.10:6082"), probe.LayerTCP, probe.ClassGuarded, false},
		{"unknown_name", User, probe.Path{URL: "http://other.lab/"}, probe.LayerDNS, probe.ClassDNSMissing, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.tls && !l.TLS {
				t.Skip("hitch is not installed")
			}
			expect(t, l, tt.from, tt.path, tt.layer, tt.class)
		})
	}
	t.Run("health_page_proves_nothing", func(t *testing.T) {
		ladder := expect(t, l, User, probe.Path{URL: "http://" + Host + HealthPath, ViaVarnish: true}, "", "")
		if got := ladder.Rungs[4].State; got != probe.RungNotAsked {
			t.Errorf("backend is %s", got)
		}
	})
	t.Run("bypass_by_cookie", func(t *testing.T) {
		path := l.Path("http", "/")
		path.Bypass = probe.Bypass{Cookie: BypassCookie + "=x"}
		expect(t, l, User, path, "", "")
	})
	t.Run("bypass_with_wrong_secret", func(t *testing.T) {
		path := l.Path("http", "/")
		path.Bypass.Value = "not-the-secret"
		expect(t, l, User, path, probe.LayerBackend, probe.ClassBypassNotHonoured)
	})
	t.Run("one_dead_address_of_two", func(t *testing.T) {
		undo, err := NameOfNobody(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = undo() }()
		lim := limits()
		lim.Connect = 4 * time.Second // ARP gives up after three
		ladders, err := varnish.New(prober(l, User, lim)).Climb(t.Context(), l.Path("http", "/"))
		if err != nil || len(ladders) != 2 {
			t.Fatalf("%d ladders, %v", len(ladders), err)
		}
		for _, ladder := range ladders {
			rung, broken := ladder.Broken()
			if alive := ladder.Address.Addr() == VarnishAddr(); alive == broken {
				t.Errorf("%s: %+v", ladder.Address, rung)
			} else if broken && rung.Class != probe.ClassHostUnreachable {
				t.Errorf("%s: %s, want %s", ladder.Address, rung.Class, probe.ClassHostUnreachable)
			}
		}
	})
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

// With time enough a lost packet is no outage, but it is told.
func TestPacketLoss(t *testing.T) {
	l := open(t)
	undo, err := Filtered("tcp dport 80 tcp flags & (syn | ack) == syn numgen inc mod 2 0 drop")(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = undo() }()
	lim := limits()
	lim.Connect = 3 * time.Second
	path := l.Path("http", "/nocache")
	path.Bypass = probe.Bypass{}
	ladders, err := varnish.New(prober(l, User, lim)).Climb(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if rung, broken := ladders[0].Broken(); broken {
		t.Errorf("broken: %+v", rung)
	}
	if got, want := ladders[0].Rungs[1].Detail, "connected, but 1 packet had to be repeated: packets get lost"; got != want {
		t.Errorf("TCP says %q, want %q", got, want)
	}
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
