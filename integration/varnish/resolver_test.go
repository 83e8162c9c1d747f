package varnish

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// answered returns the answer of a server.
func answered(tb testing.TB, name string, kind dnsmessage.Type, code dnsmessage.RCode, id uint16, ttls ...uint32) []byte {
	tb.Helper()
	msg := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, Response: true, RecursionAvailable: true, RCode: code},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
	}
	for i, ttl := range ttls {
		one := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl}}
		switch {
		case i == 0 && len(ttls) > 1:
			one.Body = &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(name)}
		case kind == dnsmessage.TypeA:
			one.Body = &dnsmessage.AResource{A: [4]byte{192, 0, 2, byte(i)}}
		default:
			one.Body = &dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}}
		}
		msg.Answers = append(msg.Answers, one)
	}
	packed, err := msg.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return packed
}

func TestLeastTTL(t *testing.T) {
	for name, test := range map[string]struct {
		msg []byte
		ttl uint32
		ok  bool
	}{
		"one":     {answered(t, "Site.test.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1, 60), 60, true},
		"alias":   {answered(t, "site.test.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, 1, 300, 20, 40), 20, true},
		"shorter": {answered(t, "site.test.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1, 5, 20, 40), 5, true},
		"nothing": {answered(t, "site.test.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1), 0, false},
		"missing": {answered(t, "site.test.", dnsmessage.TypeA, dnsmessage.RCodeNameError, 1), 0, false},
		"text":    {answered(t, "site.test.", dnsmessage.TypeTXT, dnsmessage.RCodeSuccess, 1), 0, false},
		"cut":     {answered(t, "site.test.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1, 60)[:20], 0, false},
		"empty":   {nil, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			host, _, ttl, ok := leastTTL(test.msg)
			if ttl != test.ttl || ok != test.ok || ok && host != "site.test" {
				t.Errorf("got %q %d %v, want %d %v", host, ttl, ok, test.ttl, test.ok)
			}
		})
	}
}

// TestResolverTTL: what a real server answers arrives as ever, with its TTL beside it.
func TestResolverTTL(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() { // ends with the socket
		buf := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			var p dnsmessage.Parser
			head, err := p.Start(buf[:n])
			if err != nil {
				continue
			}
			q, err := p.Question()
			if err != nil {
				continue
			}
			ttl := uint32(60)
			if q.Type == dnsmessage.TypeAAAA {
				ttl = 30
			}
			_, _ = server.WriteTo(answered(t, q.Name.String(), q.Type, dnsmessage.RCodeSuccess, head.ID, ttl), from)
		}
	}()
	r := NewResolver(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.LocalAddr().String())
	})
	addrs, err := r.LookupNetIP(t.Context(), "ip", "site.test.")
	if err != nil || len(addrs) != 2 {
		t.Fatalf("%v, %v", addrs, err)
	}
	if got := r.TTL("Site.Test"); got != 30*time.Second {
		t.Errorf("TTL %s", got)
	}
	if got := r.TTL("other.test"); got != 0 {
		t.Errorf("TTL of another %s", got)
	}
	p := New(Config{Resolver: r})
	found, err := p.lookUp(t.Context(), &target{host: "site.test", to: 80})
	if err != nil || found.ttl != 30*time.Second || found.addrs[0].Addr() == (netip.Addr{}) {
		t.Errorf("%+v, %v", found, err)
	}
}

func FuzzLeastTTL(f *testing.F) {
	f.Add(answered(f, "site.test.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1, 300, 20, 40))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, msg []byte) {
		name, kind, _, ok := leastTTL(msg)
		if ok && (len(name) > 255*4 || kind != dnsmessage.TypeA && kind != dnsmessage.TypeAAAA) {
			t.Errorf("of %q %v", name, kind)
		}
		(&Resolver{}).hear(msg)
	})
}
