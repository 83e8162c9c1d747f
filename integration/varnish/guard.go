package varnish

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Guard decides which addresses may be dialled: public ones, and what Allow lists. The zero value allows
// public addresses only. Multicast, the unspecified address, link-local addresses and the metadata
// services of clouds are never allowed, whatever Allow says; loopback only by an entry that lies within
// loopback.
type Guard struct {
	Allow []Allow
	Only  bool // nothing but what Allow lists: not public addresses either
}

// Check reports whether addr may be dialled. Error: CodeForbidden, saying what kind of address it is.
func (g Guard) Check(addr netip.AddrPort) error {
	given := addr.Addr()
	at := plain(given)
	if !at.IsValid() {
		return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "an empty address is not dialled"}
	}
	if what := never(at); what != "" {
		return &upgrade.Error{
			Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("%s is %s: probes never go there", given, what),
			Hint: "probe the site by an address that its users have",
		}
	}
	if public(at) && !g.Only {
		return nil
	}
	addr = netip.AddrPortFrom(at, addr.Port())
	for _, entry := range g.Allow {
		if entry.covers(addr) {
			return nil
		}
	}
	if g.Only {
		return &upgrade.Error{
			Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("%s is not among what this agent may reach", addr),
			Hint: fmt.Sprintf("start it with --allow \"%s:%d\" as well, if it should", netip.PrefixFrom(at, at.BitLen()), addr.Port()),
		}
	}
	return &upgrade.Error{
		Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("%s is not public and not among what probes may reach", addr),
		Hint: fmt.Sprintf("add \"%s:%d\" to network.allow", netip.PrefixFrom(at, at.BitLen()), addr.Port()),
	}
}

// Control is for [net.Dialer]: it sees the address that is really dialled, after every name has been
// resolved, so that a name whose address changes between check and use gains nothing. Anything but TCP
// is refused.
func (g Guard) Control(network, address string, _ syscall.RawConn) error {
	return control(network, address, g.Check)
}

func control(network, address string, check func(netip.AddrPort) error) error {
	if !strings.HasPrefix(network, "tcp") {
		return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("probes use TCP, not %s", network)}
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("%q is not an address", address), Cause: err}
	}
	return check(addr)
}

// keptVerdicts is how many addresses a prober remembers what its guard says of.
const keptVerdicts = 64

// verdicts remembers what a guard, which never changes, says of addresses: a stream asks it twice for each probe.
type verdicts struct {
	mu sync.Mutex // guards of
	of map[netip.AddrPort]error
}

// check is the guard's Check.
func (p *Prober) check(addr netip.AddrPort) error {
	v := p.checked
	v.mu.Lock()
	defer v.mu.Unlock()
	err, known := v.of[addr]
	if known {
		return err
	}
	if v.of == nil || len(v.of) >= keptVerdicts {
		v.of = map[netip.AddrPort]error{}
	}
	err = p.guard.Check(addr)
	v.of[addr] = err
	return err
}

// control is the guard's Control.
func (p *Prober) control(network, address string, _ syscall.RawConn) error {
	return control(network, address, p.check)
}

// plain returns addr without its zone and out of its IPv6 wrapping, so that one address has one form.
func plain(addr netip.Addr) netip.Addr { return addr.WithZone("").Unmap() }

// block is a range with the words for it.
type block struct {
	prefix netip.Prefix
	what   string
}

func blocks(pairs ...string) []block {
	list := make([]block, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, block{netip.MustParsePrefix(pairs[i]), pairs[i+1]})
	}
	return list
}

// forbidden lists what nothing opens. The metadata services: AWS (documented addresses in fd00:ec2::/32
// beside 169.254.0.0/16), Azure 168.63.129.16, Alibaba 100.100.100.200, Google fd20:ce::254, Oracle
// 192.0.0.192. Ranges that carry an IPv4 address inside are listed because the address inside could be
// any of the others; no site is published by them.
func forbidden() []block {
	return blocks(
		"0.0.0.0/8", "an address of this host",
		"169.254.0.0/16", "link-local, where clouds keep their metadata service",
		"224.0.0.0/4", "multicast",
		"240.0.0.0/4", "reserved",
		"168.63.129.16/32", "a cloud's metadata service",
		"100.100.100.200/32", "a cloud's metadata service",
		"192.0.0.192/32", "a cloud's metadata service",
		"fd00:ec2::/32", "a cloud's metadata service",
		"fd20:ce::254/128", "a cloud's metadata service",
		"fe80::/10", "link-local",
		"ff00::/8", "multicast",
		"::/128", "the unspecified address",
		"::/96", "IPv4 wrapped in IPv6",
		"::ffff:0:0:0/96", "IPv4 wrapped in IPv6",
		"64:ff9b::/96", "IPv4 wrapped in IPv6",
		"64:ff9b:1::/48", "IPv4 wrapped in IPv6",
		"2001::/32", "IPv4 wrapped in IPv6",
		"2002::/16", "IPv4 wrapped in IPv6",
	)
}

// private lists what is neither public nor forbidden: IANA's special-purpose registries for IPv4; of
// IPv6 nothing but 2000::/3 is public in the first place.
func private() []block {
	return blocks(
		"10.0.0.0/8", "private",
		"100.64.0.0/10", "shared",
		"127.0.0.0/8", "loopback",
		"172.16.0.0/12", "private",
		"192.0.0.0/24", "reserved",
		"192.0.2.0/24", "for documentation",
		"192.168.0.0/16", "private",
		"198.18.0.0/15", "for benchmarks",
		"198.51.100.0/24", "for documentation",
		"203.0.113.0/24", "for documentation",
		"2001:db8::/32", "for documentation",
		"3fff::/20", "for documentation",
	)
}

// never says why addr may not be dialled at all, or nothing. Loopback of IPv6 lies in ::/96 and is the
// exception.
func never(addr netip.Addr) string {
	if addr.IsLoopback() {
		return ""
	}
	for _, b := range forbidden() {
		if b.prefix.Contains(addr) {
			return b.what
		}
	}
	return ""
}

// within says why nothing in prefix may be dialled, or nothing.
func within(prefix netip.Prefix) string {
	if loopback(prefix) {
		return ""
	}
	for _, b := range forbidden() {
		if b.prefix.Bits() <= prefix.Bits() && b.prefix.Contains(prefix.Addr()) {
			return b.what
		}
	}
	return ""
}

// public reports whether addr is one that anybody on the internet may be given.
func public(addr netip.Addr) bool {
	if addr.Is6() && !netip.MustParsePrefix("2000::/3").Contains(addr) {
		return false
	}
	for _, b := range private() {
		if b.prefix.Contains(addr) {
			return false
		}
	}
	return true
}

// loopback reports whether prefix lies within loopback.
func loopback(prefix netip.Prefix) bool {
	switch {
	case prefix.Addr().Is4():
		return prefix.Bits() >= 8 && prefix.Addr().IsLoopback()
	default:
		return prefix.Bits() == 128 && prefix.Addr().IsLoopback()
	}
}
