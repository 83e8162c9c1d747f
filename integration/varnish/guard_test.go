package varnish

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

func allow(t *testing.T, entries ...string) []Allow {
	t.Helper()
	list := make([]Allow, len(entries))
	for i, entry := range entries {
		var err error
		if list[i], err = ParseAllow(entry); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestGuardCheck(t *testing.T) {
	lab := []string{"10.20.0.0/16:80,443", "127.0.0.1/32:8080", "fd12::/48:443", "0.0.0.0/0:80", "::/0:80", "100.64.0.0/10:80"}
	tests := []struct {
		name  string
		allow []string
		addr  string
		ok    bool
	}{
		{"public", nil, "93.184.216.34:443", true},
		{"public_any_port", nil, "93.184.216.34:8443", true},
		{"public_v6", nil, "[2606:2800:220:1::1]:443", true},
		{"private", nil, "10.20.0.5:80", false},
		{"private_listed", lab, "10.20.0.5:80", true},
		{"private_other_port", lab, "10.20.0.5:22", false},
		{"private_mapped", nil, "[::ffff:10.20.0.5]:443", false},
		{"private_mapped_listed", lab, "[::ffff:10.20.0.5]:443", true},
		{"unique_local", nil, "[fd12::5]:443", false},
		{"unique_local_listed", lab, "[fd12::5]:443", true},
		{"loopback", nil, "127.0.0.1:8080", false},
		{"loopback_listed", lab, "127.0.0.1:8080", true},
		{"loopback_mapped_listed", lab, "[::ffff:127.0.0.1]:8080", true},
		{"loopback_not_by_a_wide_range", lab, "127.0.0.1:80", false},
		{"loopback_v6_not_by_a_wide_range", lab, "[::1]:80", false},
		{"loopback_other", lab, "127.0.0.2:8080", false},
		{"metadata", lab, "169.254.169.254:80", false},
		{"metadata_mapped", lab, "[::ffff:169.254.169.254]:80", false},
		{"metadata_compatible", lab, "[::169.254.169.254]:80", false},
		{"metadata_nat64", lab, "[64:ff9b::a9fe:a9fe]:80", false},
		{"metadata_6to4", lab, "[2002:a9fe:a9fe::1]:80", false},
		{"metadata_teredo", lab, "[2001:0:a9fe:a9fe::1]:80", false},
		{"metadata_v6", lab, "[fd00:ec2::254]:80", false},
		{"metadata_azure", lab, "168.63.129.16:80", false},
		{"metadata_alibaba", lab, "100.100.100.200:80", false},
		{"link_local", lab, "169.254.1.1:80", false},
		{"link_local_v6", lab, "[fe80::1]:80", false},
		{"link_local_zone", lab, "[fe80::1%lo]:80", false},
		{"multicast", lab, "224.0.0.1:80", false},
		{"multicast_v6", lab, "[ff02::1]:80", false},
		{"broadcast", lab, "255.255.255.255:80", false},
		{"unspecified", lab, "0.0.0.0:80", false},
		{"unspecified_v6", lab, "[::]:80", false},
		{"documentation", nil, "203.0.113.10:443", false},
		{"shared", nil, "100.64.0.1:80", false},
		{"shared_listed", lab, "100.64.0.1:80", true},
		{"site_local", nil, "[fec0::1]:80", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			guard := Guard{Allow: allow(t, tt.allow...)}
			err := guard.Check(netip.MustParseAddrPort(tt.addr))
			if got := err == nil; got != tt.ok {
				t.Errorf("Check(%s) = %v, want allowed %v", tt.addr, err, tt.ok)
			}
			if err != nil && upgrade.CodeOf(err) != upgrade.CodeForbidden {
				t.Errorf("code = %s, want forbidden", upgrade.CodeOf(err))
			}
			if ctl := guard.Control("tcp4", tt.addr, nil); (ctl == nil) != tt.ok {
				t.Errorf("Control(%s) = %v, want allowed %v", tt.addr, ctl, tt.ok)
			}
		})
	}
	if err := (Guard{}).Check(netip.AddrPort{}); err == nil {
		t.Error("an empty address is allowed")
	}
	if err := (Guard{}).Control("udp4", "93.184.216.34:53", nil); err == nil {
		t.Error("UDP is allowed")
	}
	if err := (Guard{}).Control("tcp4", "example.org:80", nil); err == nil {
		t.Error("a name is allowed")
	}
}

// The hint of a refusal must be an entry that lifts it.
func TestGuardHintOpens(t *testing.T) {
	for _, addr := range []string{"10.1.2.3:80", "127.0.0.1:81", "[::1]:82", "[fd12::5]:443", "203.0.113.9:8080"} {
		at := netip.MustParseAddrPort(addr)
		err := (Guard{}).Check(at)
		_, entry, _ := strings.Cut(upgrade.HintOf(err), `"`)
		entry, _, _ = strings.Cut(entry, `"`)
		parsed, perr := ParseAllow(entry)
		if perr != nil {
			t.Errorf("%s: hint %q: %v", addr, upgrade.HintOf(err), perr)
			continue
		}
		if err := (Guard{Allow: []Allow{parsed}}).Check(at); err != nil {
			t.Errorf("%s: with %q still refused: %v", addr, entry, err)
		}
	}
}

func TestParseAllow(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"range", "10.20.0.0/16:80,443", "10.20.0.0/16:80,443"},
		{"order", "10.20.0.0/16:443,80,443", "10.20.0.0/16:80,443"},
		{"address", "10.20.0.5:80", "10.20.0.5/32:80"},
		{"loopback", "127.0.0.1/32:8080", "127.0.0.1/32:8080"},
		{"loopback_all", "127.0.0.0/8:8080", "127.0.0.0/8:8080"},
		{"v6", "fd12::/48:443", "fd12::/48:443"},
		{"v6_brackets", "[fd12::/48]:443", "fd12::/48:443"},
		{"v6_address", "[fd12::5]:443", "fd12::5/128:443"},
		{"v6_loopback", "[::1]:443", "::1/128:443"},
		{"everything", "0.0.0.0/0:80", "0.0.0.0/0:80"},

		{"empty", "", "!no ports"},
		{"no_ports", "10.20.0.0/16", "!no ports"},
		{"no_port", "10.20.0.0/16:", `!"" is not a port`},
		{"port_zero", "10.20.0.0/16:0", `!"0" is not a port`},
		{"port_large", "10.20.0.0/16:65536", `!"65536" is not a port`},
		{"port_sign", "10.20.0.0/16:+80", `!"+80" is not a port`},
		{"port_name", "10.20.0.0/16:http", `!"http" is not a port`},
		{"host_bits", "10.20.1.0/16:80", "!10.20.1.0/16 has bits set"},
		{"name", "example.org:80", `!"example.org" is neither`},
		{"v6_ambiguous", "fd12::1:80", "!no ports"},
		{"mapped", "[::ffff:10.0.0.0/104]:80", "!neither"},
		{"zone", "[fe80::1%lo]:80", "!neither"},
		{"metadata", "169.254.169.254:80", "!link-local"},
		{"link_local", "169.254.0.0/16:80", "!link-local"},
		{"link_local_v6", "fe80::/64:80", "!link-local"},
		{"metadata_v6", "[fd00:ec2::254]:80", "!metadata"},
		{"multicast", "224.0.0.0/24:80", "!multicast"},
		{"unspecified", "0.0.0.0:80", "!this host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseAllow(tt.in)
			if want, bad := strings.CutPrefix(tt.want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), want) || upgrade.CodeOf(err) != upgrade.CodeInvalid || upgrade.HintOf(err) == "" {
					t.Errorf("ParseAllow(%q) = %v, %v (hint %q), want an error with %q and a hint", tt.in, got, err, upgrade.HintOf(err), want)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("ParseAllow(%q) = %v, %v, want %s", tt.in, got, err, tt.want)
			}
		})
	}
}

// What parses prints back as the same entry, and opens nothing that is never open.
func FuzzParseAllow(f *testing.F) {
	for _, seed := range []string{"10.20.0.0/16:80,443", "[fd12::5]:443", "0.0.0.0/0:80", "::/0:1", "127.0.0.1:8080", "[::1%lo]:1", "fe80::/10:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		entry, err := ParseAllow(s)
		if err != nil {
			return
		}
		again, err := ParseAllow(entry.String())
		if err != nil || again.String() != entry.String() {
			t.Fatalf("%q is %q, which parses to %v, %v", s, entry, again, err)
		}
		guard := Guard{Allow: []Allow{entry}}
		for _, addr := range []string{"169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1", "224.0.0.1", "0.0.0.0", "::", "64:ff9b::7f00:1"} {
			for _, port := range entry.Ports {
				if guard.Check(netip.AddrPortFrom(netip.MustParseAddr(addr), port)) == nil {
					t.Fatalf("%q opens %s", s, addr)
				}
			}
		}
		if guard.Check(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), entry.Ports[0])) == nil && !entry.Prefix.Addr().IsLoopback() {
			t.Fatalf("%q opens loopback", s)
		}
	})
}

// flipping is a DNS server that gives a harmless address first and another afterwards.
type flipping struct{ answers []netip.Addr }

func (f *flipping) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	answer := f.answers[0]
	if len(f.answers) > 1 {
		f.answers = f.answers[1:]
	}
	return []netip.Addr{answer}, nil
}

// A name that becomes an inner address is refused at the socket, and nothing arrives.
func TestRebinding(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{}, 10)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			arrived <- struct{}{}
		}
	}()
	t.Cleanup(func() { _ = ln.Close() })
	inner := ln.Addr().(*net.TCPAddr).AddrPort()
	p := New(Config{Resolver: &flipping{[]netip.Addr{inner.Addr()}}, Guard: Guard{Allow: allow(t, "10.0.0.0/8:80")}})
	ladders, err := p.Climb(t.Context(), probe.Path{URL: "http://rebind.test:" + portString(inner) + "/"})
	if err != nil {
		t.Fatal(err)
	}
	rung, broken := ladders[0].Broken()
	if !broken || rung.Layer != probe.LayerTCP || rung.Class != probe.ClassGuarded {
		t.Errorf("rung = %+v, want TCP %s", rung, probe.ClassGuarded)
	}
	// The socket's own check stands behind the first one.
	_, err = p.dial(t.Context(), "tcp", inner.String())
	if upgrade.CodeOf(err) != upgrade.CodeForbidden {
		t.Errorf("dial = %v, want forbidden", err)
	}
	if _, ok := errors.AsType[*net.OpError](err); !ok {
		t.Errorf("dial = %T, want the dialer's own refusal", err)
	}
	select {
	case <-arrived:
		t.Error("something arrived at the inner address")
	default:
	}
}

func portString(addr netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(addr.String())
	return port
}
