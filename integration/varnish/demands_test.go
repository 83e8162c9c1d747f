package varnish

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestDNSDemands: every address is held against those that are expected, and an unexpected one is not dialled.
func TestDNSDemands(t *testing.T) {
	addr := said(t, reply("200 OK", "Via: varnish", "X-Varnish: 5", "Age: 0"))
	p := New(Config{
		Limits: quick(), Guard: Guard{Allow: allow(t, "127.0.0.0/8:"+portString(addr))},
		Resolver: answering{addrs: []netip.Addr{addr.Addr(), netip.MustParseAddr("127.0.0.77")}},
	})
	path := probe.Path{URL: "http://site.test:" + portString(addr) + "/", Addresses: []netip.Prefix{netip.PrefixFrom(addr.Addr(), 32), netip.MustParsePrefix("10.0.0.0/8")}}
	ladders, err := p.Climb(t.Context(), path)
	if err != nil || len(ladders) != 2 {
		t.Fatalf("%d ladders, %v", len(ladders), err)
	}
	if _, broken := ladders[0].Broken(); broken {
		t.Errorf("the expected one: %+v", ladders[0].Rungs)
	}
	wellFormed(t, ladders[1])
	rung, _ := ladders[1].Broken()
	if want := "DNS gives 127.0.0.77 for site.test, where only 127.0.0.1 or 10.0.0.0/8 is expected: a record was changed, or points at what was replaced"; rung.Layer != probe.LayerDNS || rung.Class != probe.ClassDNSUnexpected || rung.Detail != want {
		t.Errorf("the other: %+v", rung)
	}
}

// TestTLSDemands: what is expected of a certificate and of the version.
func TestTLSDemands(t *testing.T) {
	cert, ca := selfSigned(t, "site.test", time.Now().Add(9*24*time.Hour+time.Hour))
	long, longCA := selfSigned(t, "site.test", time.Now().Add(90*24*time.Hour))
	tests := []struct {
		name   string
		cert   tls.Certificate
		ca     string
		most   uint16
		expect probe.Expect
		class  probe.Class
		says   string
		warns  bool
	}{
		{"good", long, longCA, 0, probe.Expect{}, "", "", false},
		{"ends_soon", cert, ca, 0, probe.Expect{}, "", "the certificate of site.test is good for 9 days more", true},
		{"late_enough", cert, ca, 0, probe.Expect{MinDays: 9}, "", "", false},
		{"too_soon", cert, ca, 0, probe.Expect{MinDays: 10}, probe.ClassTLSExpires, "is good for 9 days more, until " + time.Now().Add(9*24*time.Hour+time.Hour).UTC().Format(time.DateOnly) + ", where 10 days is the least: renew it", false},
		{"name_there", long, longCA, 0, probe.Expect{CertNames: []string{"site.test"}}, "", "", false},
		{"name_missing", long, longCA, 0, probe.Expect{CertNames: []string{"www.site.test"}}, probe.ClassTLSWrongName, "the certificate is not for www.site.test (it is for site.test)", false},
		{"new_enough", long, longCA, 0, probe.Expect{MinTLS: tls.VersionTLS13}, "", "", false},
		{"too_old", long, longCA, tls.VersionTLS12, probe.Expect{MinTLS: tls.VersionTLS13}, probe.ClassTLSOld, "the terminator agrees to TLS 1.2 only, where TLS 1.3 is the least", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := serve(t, func(_ int, conn net.Conn) {
				secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{tt.cert}, MaxVersion: tt.most, MinVersion: tls.VersionTLS12})
				if secure.Handshake() != nil {
					return
				}
				_, _ = secure.Read(make([]byte, 2000))
				_, _ = io.WriteString(secure, reply("200 OK", "X-Varnish: 5", "Via: 1.1 varnish"))
				_ = secure.Close()
			})
			l := climbOne(t, addr, probe.Path{URL: "https://site.test/", CAFile: tt.ca, ViaVarnish: true, Expect: tt.expect})
			rung, _ := l.Broken()
			var told strings.Builder
			told.WriteString(rung.Detail)
			for _, w := range l.Warnings {
				told.WriteString(w.Detail)
			}
			if rung.Class != tt.class || tt.class != "" && rung.Layer != probe.LayerTLS || !strings.Contains(told.String(), tt.says) || (len(l.Warnings) > 0) != tt.warns {
				t.Errorf("got %s %q and %d warnings, want %s that says %q", rung.Class, told.String(), len(l.Warnings), tt.class, tt.says)
			}
		})
	}
}

// TestPlain: the rungs and sentences of a site without Varnish.
func TestPlain(t *testing.T) {
	tests := []struct {
		name    string
		answers []string
		expect  probe.Expect
		layer   probe.Layer
		class   probe.Class
		says    string
	}{
		{"good", []string{reply("200 OK", "Server: nginx")}, probe.Expect{}, "", "", ""},
		{"through_varnish_too", []string{reply("200 OK", "X-Varnish: 5 3", "Age: 70", "Cache-Control: max-age=2")}, probe.Expect{}, "", "", ""},
		{"fails", []string{reply("503 Service Unavailable", "Server: nginx")}, probe.Expect{}, probe.LayerContent, probe.ClassBackendStatus, "the answer is 503, expected 200"},
		{"load_balancer", []string{reply("504 Gateway Timeout", "Server: awselb/2.0")}, probe.Expect{}, probe.LayerHTTP, probe.ClassLoadBalancer, "the load balancer answers 504 itself: it has no healthy target"},
		{"closed", []string{""}, probe.Expect{}, probe.LayerHTTP, probe.ClassHTTPEOF, "what listens there is no HTTP port"},
		{"other_page", []string{reply("200 OK")}, probe.Expect{BodyContains: "welcome"}, probe.LayerContent, probe.ClassWrongContent, `the page does not contain "welcome"`},
		{"other_bytes", []string{reply("200 OK", "Server: nginx")}, probe.Expect{BodySHA256: strings.Repeat("ab", 32)}, probe.LayerContent, probe.ClassWrongContent, "its SHA-256 is " + markerSum[:60] + ", not abababababab…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := climbOne(t, said(t, tt.answers...), probe.Path{Plain: true, Expect: tt.expect})
			rung, _ := l.Broken()
			if rung.Layer != tt.layer || rung.Class != tt.class || !strings.Contains(rung.Detail, tt.says) {
				t.Errorf("got %s %s %q, want %s %s %q", rung.Layer, rung.Class, rung.Detail, tt.layer, tt.class, tt.says)
			}
			if strings.Contains(rung.Detail, "Varnish") {
				t.Errorf("speaks of Varnish: %s", rung.Detail)
			}
		})
	}
}

// TestLargeObject: everything small is well, and what does not come whole is told by its own name.
func TestLargeObject(t *testing.T) {
	page := reply("200 OK", "X-Varnish: 5", "Age: 0")
	for _, tt := range []struct {
		name, big string
		min       int
		class     probe.Class
		says      string
	}{
		{"whole", "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + strings.Repeat("x", 3000), 3000, "", ""},
		{"longer_than_is_read", "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000), 5000, "", ""},
		{"short", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nshort", 3000, probe.ClassWrongContent, "/big.css?v=1: it has 5 bytes, where 3000 bytes is the least"},
		{"missing", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 1, probe.ClassBackendStatus, "/big.css?v=1: the answer is 404, expected 200"},
		{"cut", "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\nxxx", 1, probe.ClassHTTPCut, "/big.css?v=1: the answer is cut off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := climbOne(t, said(t, page, tt.big), probe.Path{Large: probe.Large{Page: "/big.css?v=1", MinBytes: tt.min}})
			rung, _ := l.Broken()
			if rung.Class != tt.class || !strings.Contains(rung.Detail, tt.says) {
				t.Errorf("got %+v, want %s that says %q", rung, tt.class, tt.says)
			}
		})
	}
	for _, page := range []string{"big.css", "//other.test/x", "http://other.test/", "/x#y"} {
		if _, err := New(Config{}).Climb(t.Context(), probe.Path{URL: "http://93.184.216.34/", Large: probe.Large{Page: page}}); err == nil {
			t.Errorf("%q is accepted", page)
		}
	}
}

// TestDoors: open is broken, closed is well whatever way it is closed, and what cannot be tried is neither.
func TestDoors(t *testing.T) {
	addr := said(t, reply("200 OK", "X-Varnish: 5", "Age: 0"))
	shut := netip.AddrPortFrom(addr.Addr(), 1)
	p := New(Config{Limits: quick(), Guard: Guard{Allow: allow(t, "127.0.0.1/32:1,"+portString(addr))}})
	path := probe.Path{
		URL: "http://site.test/", Resolve: map[string]string{"site.test": addr.String()},
		Closed: []probe.Door{{Port: addr.Port()}, {Port: 1}, {Addr: shut.Addr(), Port: 1}, {Port: 2}},
	}
	ladders, err := p.Climb(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, broken := ladders[0].Broken(); broken {
		t.Errorf("an open door breaks a rung: %+v", ladders[0].Rungs)
	}
	doors := ladders[0].Doors
	if len(doors) != 3 || doors[0].State != probe.RungBroken || doors[1].State != probe.RungOK || doors[1].Class != probe.ClassTCPRefused || doors[2].State != probe.RungNotAsked {
		t.Fatalf("got %+v", doors)
	}
	if want := "TCP " + portString(addr) + " of 127.0.0.1 is open: a security group, network ACL or firewall lets it through"; doors[0].Detail != want {
		t.Errorf("says %q, want %q", doors[0].Detail, want)
	}
}

// TestLargeObjectTakesItsTime: what it may take is the limit of answers, not of connecting, over TLS too.
func TestLargeObjectTakesItsTime(t *testing.T) {
	cert, ca := selfSigned(t, "site.test", time.Now().Add(90*24*time.Hour))
	addr := serve(t, func(n int, conn net.Conn) {
		secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		if secure.Handshake() != nil {
			return
		}
		_, _ = secure.Read(make([]byte, 2000))
		if n > 0 {
			time.Sleep(500 * time.Millisecond)
		}
		_, _ = io.WriteString(secure, reply("200 OK", "X-Varnish: 5", "Age: 0"))
		_ = secure.Close()
	})
	p := New(Config{
		Limits: probe.Limits{Connect: 300 * time.Millisecond, Response: 3 * time.Second},
		Guard:  Guard{Allow: allow(t, "127.0.0.1/32:"+portString(addr))},
	})
	ladders, err := p.Climb(t.Context(), probe.Path{
		URL: "https://site.test/", Resolve: map[string]string{"site.test": addr.String()}, CAFile: ca, Large: probe.Large{Page: "/big", MinBytes: 5},
	})
	if err != nil {
		t.Fatal(err)
	}
	if rung, broken := ladders[0].Broken(); broken {
		t.Errorf("got %+v", rung)
	}
}
