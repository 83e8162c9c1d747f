package varnish

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// nameServer answers every question of a UDP socket on loopback with code, or not at all.
func nameServer(t *testing.T, code dnsmessage.RCode, silent bool) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		for buf := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var msg dnsmessage.Message
			if msg.Unpack(buf[:n]) != nil || silent {
				continue
			}
			msg.Response, msg.RecursionAvailable, msg.RCode, msg.Additionals = true, true, code, nil
			if answer, err := msg.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// The resolver says most of what is wrong by text, so its real texts are pinned here.
func TestNames(t *testing.T) {
	closed := nameServer(t, dnsmessage.RCodeSuccess, true)
	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	tests := []struct {
		name   string
		server string
		class  probe.Class
	}{
		{"missing", nameServer(t, dnsmessage.RCodeNameError, false), probe.ClassDNSMissing},
		{"no_address", nameServer(t, dnsmessage.RCodeSuccess, false), probe.ClassDNSMissing},
		{"servfail", nameServer(t, dnsmessage.RCodeServerFailure, false), probe.ClassDNSServfail},
		{"refused_by_server", nameServer(t, dnsmessage.RCodeRefused, false), probe.ClassDNSServfail},
		{"silent", closed, probe.ClassDNSTimeout},
		{"nothing_listens", gone.LocalAddr().String(), probe.ClassDNSRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := New(Config{Limits: quick(), Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, tt.server)
			}}})
			start := time.Now()
			ladders, err := p.Climb(t.Context(), probe.Path{URL: "http://site.test/"})
			if err != nil || len(ladders) != 1 {
				t.Fatalf("%v, %v", ladders, err)
			}
			wellFormed(t, ladders[0])
			if layer, class := verdict(ladders[0]); layer != probe.LayerDNS || class != tt.class {
				t.Errorf("broken at %s with %s, want DNS with %s", layer, class, tt.class)
			}
			if ladders[0].Address.IsValid() {
				t.Errorf("address = %s, want none", ladders[0].Address)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// A machine without IPv6 does not judge the IPv6 half of a name, and does not pass a name that has no other.
func TestNoIPv6(t *testing.T) {
	six, four := netip.MustParseAddr("2606:2800:220:1::1"), netip.MustParseAddr("93.184.216.34")
	dial := func(_ context.Context, network, address string) (net.Conn, error) {
		if network != "udp" && address != "93.184.216.34:80" {
			t.Errorf("dialled %s %s", network, address)
		}
		return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
	}
	ladders, err := New(Config{Resolver: answering{addrs: []netip.Addr{six, four}}, Dial: dial}).Climb(t.Context(), probe.Path{URL: "http://site.test/"})
	if err != nil || len(ladders) != 2 {
		t.Fatalf("%d ladders, %v", len(ladders), err)
	}
	for _, r := range ladders[0].Rungs[1:] {
		if r.State != probe.RungNotAsked {
			t.Errorf("%s is %s", r.Layer, r.State)
		}
	}
	if _, class := verdict(ladders[1]); class != probe.ClassNetUnreachable {
		t.Errorf("IPv4: %s", class)
	}
	_, err = New(Config{Resolver: answering{addrs: []netip.Addr{six}}, Dial: dial}).Climb(t.Context(), probe.Path{URL: "http://site.test/"})
	if err == nil || upgrade.CodeOf(err) != upgrade.CodeUnavailable {
		t.Errorf("IPv6 only: %v, want unavailable", err)
	}
}
