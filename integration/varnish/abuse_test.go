package varnish

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestTenAddresses: whatever the list allows and however an address is come by, these are never dialled.
func TestTenAddresses(t *testing.T) {
	for _, tt := range []struct{ name, addr string }{
		{"metadata", "169.254.169.254"},
		{"metadata_mapped", "::ffff:169.254.169.254"},
		{"metadata_v6", "fd00:ec2::254"},
		{"link_local_v6", "fe80::1"},
		{"loopback", "127.0.0.1"},
		{"loopback_v6", "::1"},
		{"unspecified", "0.0.0.0"},
		{"unspecified_v6", "::"},
		{"multicast", "224.0.0.1"},
		{"multicast_v6", "ff02::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := netip.MustParseAddr(tt.addr)
			guard := Guard{Allow: allow(t, "0.0.0.0/0:80,443", "::/0:80,443", "10.0.0.0/8:80")}
			var dialled atomic.Int32
			dial := func(context.Context, string, string) (net.Conn, error) { dialled.Add(1); return nil, io.EOF }
			p := New(Config{Guard: guard, Dial: dial, Resolver: &flipping{[]netip.Addr{addr}}, Limits: quick()})
			paths := map[string]probe.Path{
				"by_name":    {URL: "http://rebind.test/"},
				"by_address": {URL: "http://" + netip.AddrPortFrom(addr, 80).String() + "/"},
				"by_resolve": {URL: "http://site.test/", Resolve: map[string]string{"site.test": tt.addr}},
			}
			for how, path := range paths {
				path.Closed = []probe.Door{{Addr: addr, Port: 80}}
				path.Large = probe.Large{Page: "/big"}
				ladders, err := p.Climb(t.Context(), path)
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if _, class := verdict(ladders[0]); class != probe.ClassGuarded {
					t.Errorf("%s: class %s, want %s", how, class, probe.ClassGuarded)
				}
				if knock := ladders[0].Doors[0]; knock.State != probe.RungNotAsked || knock.Class != probe.ClassGuarded {
					t.Errorf("%s: the door was tried: %+v", how, knock)
				}
			}
			if n := dialled.Load(); n > 0 {
				t.Errorf("%d connections were tried", n)
			}
			// The real dialer's own check stands behind that.
			if err := guard.Control("tcp", netip.AddrPortFrom(addr, 80).String(), nil); err == nil {
				t.Error("the socket would be allowed")
			}
		})
	}
}

// TestOnlyReads: whatever a path demands and however often it is looked at, what is sent is a GET under
// the fixed name, or nothing but the beginning of one; no proxy of the environment is asked, and no
// redirect followed.
func TestOnlyReads(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	var mu sync.Mutex
	var seen []*http.Request
	addr := serve(t, func(_ int, conn net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		mu.Lock()
		seen = append(seen, req)
		mu.Unlock()
		answer := reply("200 OK", "Via: varnish", "X-Varnish: 5 3", "Age: 70", "Cache-Control: max-age=2")
		switch {
		case strings.Contains(req.URL.Path, "/moved"):
			answer = reply("302 Found", "Location: http://169.254.169.254/", "Via: varnish", "X-Varnish: 5", "Age: 0")
		case req.Header.Get("X-Gate") != "":
			answer = reply("200 OK", "Via: varnish", "X-Varnish: 5", "Age: 0")
		}
		_, _ = io.WriteString(conn, answer)
	})
	full := probe.Path{
		Bypass: probe.Bypass{Header: "X-Gate", Value: "open-sesame", Query: "fresh"}, ViaVarnish: true,
		Large: probe.Large{Page: "/big?x=1", MinBytes: 5}, Closed: []probe.Door{{Port: 1}},
	}
	climbOne(t, addr, full)
	moved := probe.Path{URL: "http://site.test/moved", Expect: probe.Expect{Status: []int{302}}, ViaVarnish: true}
	if _, broken := climbOne(t, addr, moved).Broken(); broken {
		t.Error("a redirect that is expected is broken")
	}
	if len(seen) < 5 {
		t.Fatalf("%d requests", len(seen))
	}
	for _, req := range seen {
		if req.Method != http.MethodGet || req.UserAgent() != DefaultUserAgent || req.Host != "site.test" || req.ContentLength > 0 {
			t.Errorf("sent %s %s to %s as %s", req.Method, req.URL, req.Host, req.UserAgent())
		}
	}
}

// TestBodyIsCapped: an endless answer is read to the limit and no further.
func TestBodyIsCapped(t *testing.T) {
	var sent atomic.Int64
	addr := serve(t, func(_ int, conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nVia: varnish\r\nX-Varnish: 5\r\nAge: 0\r\n\r\n")
		for block := make([]byte, 1<<10); ; {
			n, err := conn.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	start := time.Now()
	l := climbOne(t, addr, probe.Path{ViaVarnish: true, Expect: probe.Expect{BodyContains: "never"}})
	rung, _ := l.Broken()
	if rung.Class != probe.ClassWrongContent || !strings.Contains(rung.Detail, "the first 4096 bytes of the page") {
		t.Errorf("got %+v", rung)
	}
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("read for %s", took)
	}
}

// TestS9BypassStaysOut: what lets a probe past the cache is nowhere in what a ladder says, whatever the
// site does with it.
func TestS9BypassStaysOut(t *testing.T) {
	const header, cookie = "open-sesame-4711", "hush-hush-0815"
	bypass := probe.Bypass{Header: "X-Gate-Bypass", Value: header, Cookie: "MoodleSession=" + cookie}
	hit := reply("200 OK", "Via: varnish", "X-Varnish: 5 3", "Age: 1")
	echo := "X-Varnish: 5 " + header + "\r\nVia: varnish " + header + "\r\nServer: " + cookie + "\r\nLocation: /?" + header + "\r\nX-Served-By: " + cookie +
		"\r\nAge: 0\r\nSet-Cookie: MoodleSession=" + cookie + "\r\n\r\n<p>Error: " + header + " and MoodleSession=" + cookie + "</p>"
	for _, status := range []string{"200 OK", "302 " + header, "403 Forbidden", "503 Backend fetch failed", "700 " + cookie} {
		t.Run(status[:3], func(t *testing.T) {
			path := probe.Path{
				ViaVarnish: true, Bypass: bypass,
				Expect: probe.Expect{BodyContains: "site-marker", Headers: map[string]string{"X-Served-By": "^web"}},
				Large:  probe.Large{Page: "/big"},
			}
			l := climbOne(t, said(t, hit, "HTTP/1.1 "+status+"\r\n"+echo), path)
			all, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{header, cookie} {
				if strings.Contains(string(all), secret) || strings.Contains(fmt.Sprintf("%+v", l), secret) {
					t.Errorf("%q is in %s", secret, all)
				}
			}
			if _, broken := l.Broken(); !broken {
				t.Error("nothing is broken, so nothing was quoted")
			}
		})
	}
}
