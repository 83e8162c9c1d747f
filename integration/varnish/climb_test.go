package varnish

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// quick are limits for tests on loopback.
func quick() probe.Limits {
	return probe.Limits{DNS: time.Second, Connect: time.Second, Response: time.Second, Body: 4096}
}

// serve listens on loopback and hands each connection to handle, with its number from 0.
func serve(t *testing.T, handle func(n int, conn net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			n := int(count.Add(1)) - 1
			go func() {
				defer func() { _ = conn.Close() }()
				handle(n, conn)
			}()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// said answers each request with the next of the given answers, the last one for all that follow. An
// answer is written as it is.
func said(t *testing.T, answers ...string) netip.AddrPort {
	t.Helper()
	return serve(t, func(n int, conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		_, _ = io.WriteString(conn, answers[min(n, len(answers)-1)])
	})
}

func reply(status string, headers ...string) string {
	const body = "site-marker"
	return "HTTP/1.1 " + status + "\r\n" + strings.Join(headers, "\r\n") + "\r\nContent-Length: 11\r\n\r\n" + body
}

// prober may reach addr.
func prober(t *testing.T, addr netip.AddrPort) *Prober {
	t.Helper()
	return New(Config{Limits: quick(), Guard: Guard{Allow: allow(t, "127.0.0.1/32:"+portString(addr))}})
}

// climbOne probes path at addr and returns the only ladder.
func climbOne(t *testing.T, addr netip.AddrPort, path probe.Path) probe.Ladder {
	t.Helper()
	if path.URL == "" {
		path.URL = "http://site.test/"
	}
	path.Resolve = map[string]string{"site.test": addr.String()}
	ladders, err := prober(t, addr).Climb(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if len(ladders) != 1 {
		t.Fatalf("%d ladders, want 1", len(ladders))
	}
	wellFormed(t, ladders[0])
	return ladders[0]
}

// wellFormed checks what is true of every ladder.
func wellFormed(t *testing.T, l probe.Ladder) {
	t.Helper()
	broken := false
	isHTTP := func(r probe.Rung) bool { return r.Layer == probe.LayerHTTP }
	want := layers(probe.Path{Plain: slices.ContainsFunc(l.Rungs, isHTTP)})
	if len(want) != len(l.Rungs) {
		t.Errorf("%d rungs, want %d", len(l.Rungs), len(want))
	}
	for i, r := range l.Rungs {
		if r.Layer != want[i] {
			t.Errorf("rung %d is %s", i, r.Layer)
		}
		switch r.State {
		case probe.RungBroken:
			if broken {
				t.Errorf("%s is broken above a broken rung", r.Layer)
			}
			broken = true
			if r.Detail == "" || r.Class == "" || r.Class == probe.ClassOK || strings.HasSuffix(r.Detail, ".") {
				t.Errorf("broken rung says %+v", r)
			}
		case probe.RungNotReached:
			if !broken {
				t.Errorf("%s is not reached, but nothing below it is broken", r.Layer)
			}
		case probe.RungOK, probe.RungNotAsked:
			if broken {
				t.Errorf("%s is %s above a broken rung", r.Layer, r.State)
			}
		default:
			t.Errorf("%s has state %q", r.Layer, r.State)
		}
	}
}

func rungAt(l probe.Ladder, layer probe.Layer) probe.Rung {
	for _, r := range l.Rungs {
		if r.Layer == layer {
			return r
		}
	}
	return probe.Rung{}
}

func verdict(l probe.Ladder) (probe.Layer, probe.Class) {
	r, _ := l.Broken()
	return r.Layer, r.Class
}

// markerSum is the SHA-256 of the page that reply gives.
const markerSum = "1671adc3f268ef6d9c3a41cf07c54b1934356f9434af337c1c7e3184c5634fa4"

func TestAnswers(t *testing.T) {
	const via = "Via: 1.1 varnish (Varnish/7.1)"
	hit := reply("200 OK", via, "X-Varnish: 5 3", "Age: 7", "Server: nginx")
	miss := reply("200 OK", via, "X-Varnish: 5", "Age: 0", "Server: nginx")
	old := reply("200 OK", via, "X-Varnish: 5 3", "Age: 70", "Cache-Control: public, max-age=2")
	guru := "HTTP/1.1 503 Backend fetch failed\r\nServer: Varnish\r\n" + via + "\r\nX-Varnish: 7\r\nAge: 0\r\nContent-Length: 9\r\n\r\nError 503"
	demand := probe.Path{ViaVarnish: true, Expect: probe.Expect{BodyContains: "site-marker"}}
	bypass := demand
	bypass.Bypass = probe.Bypass{Header: "X-Gate-Bypass", Value: "open-sesame"}
	tests := []struct {
		name    string
		path    probe.Path
		answers []string
		layer   probe.Layer
		class   probe.Class
		backend probe.State
	}{
		{"miss", demand, []string{miss}, "", "", probe.RungOK},
		{"hit", demand, []string{hit}, "", "", probe.RungNotAsked},
		{"early_hints", demand, []string{"HTTP/1.1 103 Early Hints\r\n\r\n" + miss}, "", "", probe.RungOK},
		{"bypass", bypass, []string{hit, miss}, "", "", probe.RungOK},
		{"bypass_hit", bypass, []string{hit, hit}, probe.LayerBackend, probe.ClassBypassNotHonoured, probe.RungBroken},
		{"bypass_aged", bypass, []string{hit, reply("200 OK", via, "Age: 3")}, probe.LayerBackend, probe.ClassBypassNotHonoured, probe.RungBroken},
		{"bypass_no_proof", bypass, []string{hit, reply("200 OK", via)}, probe.LayerBackend, probe.ClassBypassNotHonoured, probe.RungBroken},
		{"bypass_ids_hidden", bypass, []string{hit, reply("200 OK", via, "Age: 0")}, "", "", probe.RungOK},
		{"bypass_guru", bypass, []string{hit, guru}, probe.LayerBackend, probe.ClassBackendFetch, probe.RungBroken},
		{"bypass_500", bypass, []string{hit, reply("500 Oops", via, "X-Varnish: 5", "Age: 0")}, probe.LayerBackend, probe.ClassBackendStatus, probe.RungBroken},
		{"bypass_cut", bypass, []string{hit, ""}, probe.LayerVarnish, probe.ClassHTTPEOF, probe.RungNotReached},
		{"bypass_other_page", bypass, []string{hit, strings.ReplaceAll(miss, "site-marker", "welcome to ")}, probe.LayerContent, probe.ClassWrongContent, probe.RungOK},
		{"guru", demand, []string{guru}, probe.LayerBackend, probe.ClassBackendFetch, probe.RungBroken},
		{"guru_headers_hidden", probe.Path{}, []string{"HTTP/1.1 503 x\r\nContent-Length: 15\r\n\r\nGuru Meditation"}, probe.LayerBackend, probe.ClassBackendFetch, probe.RungBroken},
		{"synth_error", demand, []string{reply("403 Forbidden", "Server: Varnish", "X-Varnish: 5")}, probe.LayerVarnish, probe.ClassSynth, probe.RungNotReached},
		{"synth_ok", demand, []string{reply("200 OK", "Server: Varnish", "X-Varnish: 5")}, "", "", probe.RungNotAsked},
		{"not_via", demand, []string{reply("200 OK", "Server: nginx")}, probe.LayerVarnish, probe.ClassNotViaVarnish, probe.RungNotReached},
		{"not_via_not_demanded", probe.Path{}, []string{reply("200 OK", "Server: nginx")}, "", "", probe.RungOK},
		{"proxy_mismatch", demand, []string{"HTTP/1.1 400 Bad Request\r\n\r\n"}, probe.LayerProxy, probe.ClassProxyMismatch, probe.RungNotReached},
		{"load_balancer", demand, []string{reply("503 Service Unavailable", "Server: awselb/2.0")}, probe.LayerVarnish, probe.ClassLoadBalancer, probe.RungNotReached},
		{"stale", demand, []string{old, old}, probe.LayerCache, probe.ClassStale, probe.RungNotAsked},
		{"stale_past_the_cache", bypass, []string{old, miss, old}, probe.LayerCache, probe.ClassStale, probe.RungOK},
		{"slow_to_renew", demand, []string{old, old, strings.ReplaceAll(old, "Age: 70", "Age: 1")}, "", "", probe.RungOK},
		{"older_than_expected", probe.Path{Expect: probe.Expect{MaxAge: 5 * time.Second}}, []string{hit, hit}, probe.LayerCache, probe.ClassStale, probe.RungNotAsked},
		{"young_enough", probe.Path{Expect: probe.Expect{MaxAge: 9 * time.Second}}, []string{hit}, "", "", probe.RungNotAsked},
		{"hash", probe.Path{Expect: probe.Expect{BodySHA256: "B3C5217B12A0B1BB9FEFB3CFD4F4B90B5B4C8E4A37D9E4C5E0D5D1A5C7B4E1F0"}}, []string{miss}, probe.LayerContent, probe.ClassWrongContent, probe.RungOK},
		{"hash_right", probe.Path{Expect: probe.Expect{BodySHA256: markerSum}}, []string{miss}, "", "", probe.RungOK},
		{"own_header", probe.Path{ViaVarnish: true, VarnishHeader: "X-Cache"}, []string{reply("200 OK", "X-Cache: HIT"), miss}, "", "", probe.RungOK},
		{"own_header_missing", probe.Path{ViaVarnish: true, VarnishHeader: "X-Cache"}, []string{reply("200 OK", "Server: nginx")}, probe.LayerVarnish, probe.ClassNotViaVarnish, probe.RungNotReached},
		{"grace", demand, []string{old, strings.ReplaceAll(old, "Age: 70", "Age: 0")}, "", "", probe.RungOK},
		{"fail_500", demand, []string{reply("500 Oops", via, "X-Varnish: 5", "Age: 0")}, probe.LayerBackend, probe.ClassBackendStatus, probe.RungBroken},
		{"not_found", demand, []string{reply("404 Not Found", via, "X-Varnish: 5", "Age: 0")}, probe.LayerContent, probe.ClassBackendStatus, probe.RungOK},
		{"redirect", demand, []string{reply("302 Found", via, "X-Varnish: 5", "Age: 0", "Location: /login")}, probe.LayerContent, probe.ClassBackendStatus, probe.RungOK},
		{"other_content", demand, []string{strings.ReplaceAll(miss, "site-marker", "welcome to ")}, probe.LayerContent, probe.ClassWrongContent, probe.RungOK},
		{"header_missing", probe.Path{Expect: probe.Expect{Headers: map[string]string{"X-Served-By": "^web"}}}, []string{miss}, probe.LayerContent, probe.ClassWrongContent, probe.RungOK},
		{"expected_404", probe.Path{Expect: probe.Expect{Status: []int{404}}}, []string{reply("404 Not Found", via, "X-Varnish: 5")}, "", "", probe.RungOK},
		{"eof", demand, []string{""}, probe.LayerVarnish, probe.ClassHTTPEOF, probe.RungNotReached},
		{"not_http", demand, []string{"220 smtp ready\r\n"}, probe.LayerVarnish, probe.ClassHTTPMalformed, probe.RungNotReached},
		{"cut_headers", demand, []string{"HTTP/1.1 200 OK\r\nServer: ng"}, probe.LayerVarnish, probe.ClassHTTPCut, probe.RungNotReached},
		{"cut_body_hit", demand, []string{hit[:len(hit)-3]}, probe.LayerVarnish, probe.ClassHTTPCut, probe.RungNotReached},
		{"cut_body_miss", demand, []string{miss[:len(miss)-3]}, probe.LayerBackend, probe.ClassHTTPCut, probe.RungBroken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := climbOne(t, said(t, tt.answers...), tt.path)
			if layer, class := verdict(l); layer != tt.layer || class != tt.class {
				t.Errorf("broken at %q with %q, want %q with %q\n%+v", layer, class, tt.layer, tt.class, l.Rungs)
			}
			if got := rungAt(l, probe.LayerBackend).State; got != tt.backend {
				t.Errorf("backend is %s, want %s", got, tt.backend)
			}
			if _, broken := l.Broken(); !broken && l.Quote != "" {
				t.Errorf("quote of a good answer: %q", l.Quote)
			}
		})
	}
}

func TestConnections(t *testing.T) {
	tests := []struct {
		name   string
		url    string
		handle func(n int, conn net.Conn)
		layer  probe.Layer
		class  probe.Class
	}{
		{"silent", "http://site.test/", func(_ int, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, probe.LayerVarnish, probe.ClassHTTPFirstByte},
		{"backend_hangs", "http://site.test/", func(n int, conn net.Conn) {
			if n > 0 {
				_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			}
			_, _ = io.Copy(io.Discard, conn)
		}, probe.LayerBackend, probe.ClassHTTPFirstByte},
		{"reset", "http://site.test/", func(_ int, conn net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_ = conn.(*net.TCPConn).SetLinger(0)
		}, probe.LayerVarnish, probe.ClassHTTPReset},
		{"body_stalls", "http://site.test/", func(_ int, conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Varnish: 5 3\r\nContent-Length: 11\r\n\r\nsite")
			_, _ = io.Copy(io.Discard, conn)
		}, probe.LayerVarnish, probe.ClassHTTPBody},
		{"proxy_port", "http://site.test/", func(_ int, conn net.Conn) {
			start := make([]byte, len(proxyLocal))
			if _, err := io.ReadFull(conn, start); err != nil || string(start) != proxyLocal {
				return
			}
			_, _ = io.WriteString(conn, reply("200 OK", "X-Varnish: 5"))
		}, probe.LayerProxy, probe.ClassProxyPort},
		{"tls_silent", "https://site.test/", func(_ int, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, probe.LayerTLS, probe.ClassTLSTimeout},
		{"tls_cut", "https://site.test/", func(_ int, conn net.Conn) { _, _ = conn.Read(make([]byte, 100)) }, probe.LayerTLS, probe.ClassTLSReset},
		{"tls_told_http", "https://site.test/", func(_ int, conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }, probe.LayerTLS, probe.ClassTLSNotTLS},
		{"tls_waits_for_http", "https://site.test/", func(_ int, conn net.Conn) {
			for start := make([]byte, 2000); ; {
				n, err := conn.Read(start)
				if err != nil {
					return
				}
				if strings.HasPrefix(string(start[:n]), "GET ") {
					_, _ = io.WriteString(conn, reply("200 OK", "X-Varnish: 5"))
					return
				}
			}
		}, probe.LayerTLS, probe.ClassTLSNotTLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := climbOne(t, serve(t, tt.handle), probe.Path{URL: tt.url})
			if layer, class := verdict(l); layer != tt.layer || class != tt.class {
				t.Errorf("broken at %q with %q, want %q with %q\n%+v", layer, class, tt.layer, tt.class, l.Rungs)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	_ = ln.Close()
	l := climbOne(t, addr, probe.Path{})
	if layer, class := verdict(l); layer != probe.LayerTCP || class != probe.ClassTCPRefused {
		t.Errorf("broken at %s with %s", layer, class)
	}
	r, _ := l.Broken()
	if want := "TCP " + portString(addr) + " is refused: nothing listens there, or a firewall rejects"; r.Detail != want {
		t.Errorf("detail = %q, want %q", r.Detail, want)
	}
}

// What dialling says, sorted; and this machine's own trouble, which is no class at all.
func TestDialErrors(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		class probe.Class
	}{
		{"refused", syscall.ECONNREFUSED, probe.ClassTCPRefused},
		{"net", syscall.ENETUNREACH, probe.ClassNetUnreachable},
		{"host", syscall.EHOSTUNREACH, probe.ClassHostUnreachable},
		{"reset", syscall.ECONNRESET, probe.ClassTCPReset},
		{"system_timeout", syscall.ETIMEDOUT, probe.ClassTCPTimeout},
		{"deadline", context.DeadlineExceeded, probe.ClassTCPTimeout},
		{"files", syscall.EMFILE, ""},
		{"ports", syscall.EADDRNOTAVAIL, ""},
		{"own_firewall", syscall.EPERM, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := New(Config{
				Guard: Guard{Allow: allow(t, "10.0.0.1:80")},
				Dial: func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: tt.err}
				},
			})
			ladders, err := p.Climb(t.Context(), probe.Path{URL: "http://10.0.0.1/"})
			if tt.class == "" {
				if upgrade.CodeOf(err) != upgrade.CodeUnavailable || !errors.Is(err, tt.err) {
					t.Errorf("err = %v, want unavailable because of %v", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wellFormed(t, ladders[0])
			if layer, class := verdict(ladders[0]); layer != probe.LayerTCP || class != tt.class {
				t.Errorf("broken at %s with %s, want TCP with %s", layer, class, tt.class)
			}
		})
	}
}

func TestContextEnds(t *testing.T) {
	addr := serve(t, func(_ int, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	for _, url := range []string{"http://site.test/", "https://site.test/"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := prober(t, addr).Climb(ctx, probe.Path{URL: url, Resolve: map[string]string{"site.test": addr.String()}})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: err = %v, want the context's", url, err)
		}
	}
}

func TestSeveralAddresses(t *testing.T) {
	addr := said(t, reply("200 OK", "X-Varnish: 5"))
	p := New(Config{
		Limits: quick(), Guard: Guard{Allow: allow(t, "127.0.0.0/8:"+portString(addr))},
		Resolver: answering{addrs: []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:127.0.0.1")}},
	})
	ladders, err := p.Climb(t.Context(), probe.Path{URL: "http://site.test:" + portString(addr) + "/"})
	if err != nil || len(ladders) != 2 {
		t.Fatalf("%d ladders, %v; want 2", len(ladders), err)
	}
	if _, class := verdict(ladders[0]); class != probe.ClassTCPRefused || ladders[0].Address.Addr().String() != "127.0.0.2" {
		t.Errorf("first: %v %s, want 127.0.0.2 refused", ladders[0].Address, class)
	}
	if r, broken := ladders[1].Broken(); broken || ladders[1].Status != 200 {
		t.Errorf("second: %+v", r)
	}
	if got := ladders[1].Rungs[0].Detail; got != "127.0.0.2, 127.0.0.1" {
		t.Errorf("DNS says %q", got)
	}
}

// answering is a resolver with one answer.
type answering struct {
	addrs []netip.Addr
	err   error
}

func (a answering) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return a.addrs, a.err
}

func TestInvalidPaths(t *testing.T) {
	tests := []struct {
		name string
		path probe.Path
		want string
	}{
		{"scheme", probe.Path{URL: "ftp://site.test/"}, "only http and https"},
		{"no_host", probe.Path{URL: "http:///x"}, "no host"},
		{"garbage", probe.Path{URL: "http://[::1"}, "not an address of a page"},
		{"port", probe.Path{URL: "http://site.test:99999/"}, "not a port"},
		{"password", probe.Path{URL: "http://a:swordfish@site.test/"}, "name and password"},
		{"resolve", probe.Path{URL: "http://site.test/", Resolve: map[string]string{"site.test": "elsewhere"}}, "not an address"},
		{"regexp", probe.Path{URL: "http://site.test/", Expect: probe.Expect{Headers: map[string]string{"A": "("}}}, "regular expression"},
		{"bypass_name", probe.Path{URL: "http://site.test/", Bypass: probe.Bypass{Header: "a b"}}, "not a name of a header"},
		{"bypass_split", probe.Path{URL: "http://site.test/", Bypass: probe.Bypass{Header: "A", Value: "swordfish\r\nHost: b"}}, "cannot carry"},
		{"bypass_host", probe.Path{URL: "http://site.test/", Bypass: probe.Bypass{Header: "Host", Value: "swordfish"}}, "cannot carry"},
		{"cookie", probe.Path{URL: "http://site.test/", Bypass: probe.Bypass{Cookie: "swordfish"}}, "name=value"},
		{"ca_file", probe.Path{URL: "https://site.test/", CAFile: "/nonexistent.pem"}, "cannot be read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Config{}).Climb(t.Context(), tt.path)
			if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want invalid with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "swordfish") {
				t.Errorf("a secret is in %q", err)
			}
		})
	}
}
