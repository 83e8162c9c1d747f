package varnish

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestStreamIPv6: a site is probed by IPv6 as by IPv4; a machine that has no IPv6 charges the site with nothing, while
// an address that a router calls unreachable is the site's.
func TestStreamIPv6(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Varnish", "5")
		w.Header().Set("Via", "1.1 varnish")
		_, _ = io.WriteString(w, "site-marker")
	}), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }() // ends with the server
	t.Cleanup(func() { _ = server.Close() })
	addr := netip.MustParseAddrPort(listener.Addr().String())
	var dialer net.Dialer
	unreachable := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}
	for name, test := range map[string]struct {
		dial  func(ctx context.Context, network, address string) (net.Conn, error)
		class probe.Class
	}{
		"reached": {dialer.DialContext, probe.ClassOK},
		"no_ipv6_here": {func(context.Context, string, string) (net.Conn, error) {
			return nil, unreachable // for UDP as well, which sends nothing: there is no route
		}, probe.ClassProber},
		"unreachable_beyond": {func(ctx context.Context, network, address string) (net.Conn, error) {
			if network == "udp" {
				return dialer.DialContext(ctx, network, address)
			}
			return nil, unreachable
		}, probe.ClassNetUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			p := New(Config{Guard: Guard{Allow: []Allow{{Prefix: netip.PrefixFrom(addr.Addr(), 128), Ports: []uint16{addr.Port()}}}}, Dial: test.dial})
			path := probe.Path{URL: "http://" + addr.String() + "/", ViaVarnish: true, Expect: probe.Expect{BodyContains: "site-marker"}}
			samples := streamedOf(t, p, probe.Stream{Path: path, Every: 50 * time.Millisecond}, 300*time.Millisecond, nil)
			if len(samples) == 0 {
				t.Fatal("nothing was probed")
			}
			for _, s := range samples {
				if s.Class != test.class && !s.Blind() {
					t.Fatalf("got %+v, want %s", s, test.class)
				}
			}
			if last := samples[0]; last.Class != test.class {
				t.Errorf("got %+v, want %s", last, test.class)
			}
		})
	}
}
