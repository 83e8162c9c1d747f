package varnish

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// keeper is a site that answers many requests on one connection.
type keeper struct {
	addr     netip.AddrPort
	conns    atomic.Int32
	requests atomic.Int32
}

// newKeeper answers with reply, and closes each connection, without a word, after so many requests.
func newKeeper(t *testing.T, reply string, closeAfter int) *keeper {
	t.Helper()
	k := &keeper{}
	k.addr = serve(t, func(_ int, conn net.Conn) {
		k.conns.Add(1)
		reader := bufio.NewReader(conn)
		for range closeAfter {
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if r.Close {
				t.Error("the request says that the connection is to be closed")
			}
			k.requests.Add(1)
			_, _ = io.WriteString(conn, reply)
		}
	})
	return k
}

// TestStreamKeepsConnections: probes go over one connection while it lives; that the site closes it between two
// requests is no failure.
func TestStreamKeepsConnections(t *testing.T) {
	good := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\nok"
	tests := []struct {
		name       string
		reply      string
		closeAfter int
		conns      [2]int32 // at least, at most
	}{
		{"kept", fmt.Sprintf(good, ""), 1000, [2]int32{1, 2}},
		{"closed_by_the_site", fmt.Sprintf(good, ""), 5, [2]int32{6, 12}},
		{"said_to_be_closed", fmt.Sprintf(good, "Connection: close\r\n"), 1000, [2]int32{25, 100}},
		{"until_the_end", "HTTP/1.1 200 OK\r\n\r\nok", 1, [2]int32{25, 100}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := newKeeper(t, test.reply, test.closeAfter)
			stream := probe.Stream{Path: probe.Path{URL: "http://" + k.addr.String() + "/", Plain: true}, Every: 20 * time.Millisecond, KeepAlive: true}
			samples := streamedOf(t, prober(t, k.addr), stream, 600*time.Millisecond, nil)
			for _, s := range samples {
				if !s.OK && s.Class != probe.ClassUnsent { // due when the stream had ended
					t.Fatalf("got %+v", s)
				}
			}
			if n := k.conns.Load(); len(samples) < 29 || n < test.conns[0] || n > test.conns[1] {
				t.Errorf("%d samples over %d connections, want %d to %d", len(samples), n, test.conns[0], test.conns[1])
			}
		})
	}
}

// TestStreamKeptIsOpenLoop: while an answer is outstanding the next probes do not wait for it.
func TestStreamKeptIsOpenLoop(t *testing.T) {
	b := newBreakable(t)
	b.hold.Lock()
	defer b.hold.Unlock()
	stream := probe.Stream{Path: b.path(), Every: 20 * time.Millisecond, KeepAlive: true}
	samples := streamedOf(t, prober(t, b.addr), stream, 400*time.Millisecond, nil)
	if len(samples) < 19 {
		t.Errorf("%d samples", len(samples))
	}
	for _, s := range samples {
		if s.OK || s.Class != probe.ClassHTTPFirstByte && s.Class != probe.ClassUnsent {
			t.Errorf("got %+v", s)
		}
	}
}

// TestStreamPast: an answer from the cache is none to a probe past it, and the request says how to get there.
func TestStreamPast(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nVia: 1.1 varnish\r\n%s\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	tests := []struct {
		name, headers string
		class         probe.Class
	}{
		{"past", "X-Varnish: 7\r\nAge: 0", probe.ClassOK},
		{"hit", "X-Varnish: 7 3\r\nAge: 2", probe.ClassBypassNotHonoured},
		{"old", "X-Varnish: 7\r\nAge: 2", probe.ClassBypassNotHonoured},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var secret atomic.Int32
			addr := serve(t, func(_ int, conn net.Conn) {
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				if r.Header.Get("X-Gate-Bypass") == "open-sesame" {
					secret.Add(1)
				}
				_, _ = fmt.Fprintf(conn, head, test.headers)
			})
			path := probe.Path{URL: "http://" + addr.String() + "/", ViaVarnish: true, Bypass: probe.Bypass{Header: "X-Gate-Bypass", Value: "open-sesame"}}
			samples := streamedOf(t, prober(t, addr), probe.Stream{Path: path, Every: 50 * time.Millisecond, Past: true}, 120*time.Millisecond, nil)
			if len(samples) < 2 || int(secret.Load()) < 2 {
				t.Errorf("%d samples, %d with the secret", len(samples), secret.Load())
			}
			for _, s := range samples {
				if s.Class != test.class && s.Class != probe.ClassUnsent || strings.Contains(s.Quote, "open-sesame") {
					t.Errorf("got %+v", s)
				}
			}
		})
	}
}

// TestStreamBare: of tcp:// a connection is all that is wanted.
func TestStreamBare(t *testing.T) {
	addr := serve(t, func(_ int, conn net.Conn) { _ = conn.Close() })
	for _, s := range streamedOf(t, prober(t, addr), probe.Stream{Path: probe.Path{URL: "tcp://" + addr.String()}, Every: 20 * time.Millisecond}, 100*time.Millisecond, nil) {
		if !s.OK && s.Class != probe.ClassUnsent { // due when the stream had ended
			t.Errorf("got %+v", s)
		}
	}
	for _, url := range []string{"tcp://127.0.0.1", "tcp://127.0.0.1:80/page", "tcp://:80", "tcp://127.0.0.1:80?a=b"} {
		if err := New(Config{}).Stream(t.Context(), probe.Stream{Path: probe.Path{URL: url}, Every: time.Second}, nil); upgrade.CodeOf(err) != upgrade.CodeInvalid {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestStreamUnexpected: an address that DNS should not give is said, and not dialled.
func TestStreamUnexpected(t *testing.T) {
	b := newBreakable(t)
	strange := netip.MustParseAddr("127.0.0.2")
	resolver := &turning{answers: [][]netip.Addr{{strange, b.addr.Addr()}}}
	p := New(Config{Limits: quick(), Resolver: resolver, Guard: Guard{Allow: allow(t, "127.0.0.0/30:"+portString(b.addr))}})
	path := probe.Path{URL: "http://site.test:" + portString(b.addr) + "/", Addresses: []netip.Prefix{netip.PrefixFrom(b.addr.Addr(), 32)}}
	seen := map[probe.Class]int{}
	for _, s := range streamed(t, p, path, 50*time.Millisecond, 300*time.Millisecond, nil) {
		if s.Address.Addr() == strange {
			t.Errorf("got %+v", s)
		}
		seen[s.Class]++
	}
	if seen[probe.ClassDNSUnexpected] != 1 || seen[probe.ClassOK] < 4 {
		t.Errorf("got %v", seen)
	}
}
