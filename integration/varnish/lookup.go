package varnish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// manyAddresses is how many addresses of one name are probed at most; large sites have a handful.
const manyAddresses = 16

// found is what came of looking a name up.
type found struct {
	addrs []netip.AddrPort
	rung  probe.Rung
	ttl   time.Duration // of the answer; 0: not known
}

// lookUp finds the addresses of a target. A name that DNS does not know is no error but a broken rung.
func (p *Prober) lookUp(ctx context.Context, t *target) (found, error) {
	rung := probe.Rung{Layer: probe.LayerDNS}
	if t.given.IsValid() {
		rung.State, rung.Detail = probe.RungNotAsked, "the address is given"
		return found{addrs: []netip.AddrPort{netip.AddrPortFrom(t.given, t.to)}, rung: rung}, nil
	}
	limited, cancel := context.WithTimeout(ctx, p.limits.DNS)
	defer cancel()
	start := p.now()
	name := t.host
	if strings.Contains(name, ".") {
		// A final dot keeps the search list of resolv.conf out of it: it would turn a missing name into
		// several questions, and perhaps into somebody else's answer.
		name += "."
	}
	answer, err := p.resolver.LookupNetIP(limited, "ip", name)
	rung.Took = p.now().Sub(start)
	if ctx.Err() != nil {
		return found{}, context.Cause(ctx)
	}
	if err != nil {
		if local := localTrouble(err); local != nil {
			return found{}, local
		}
		rung.State, rung.Class = probe.RungBroken, dnsClass(err)
		rung.Detail = sentence(rung.Class, t, netip.AddrPort{}, p.limits)
		return found{rung: rung}, nil
	}
	var addrs []netip.AddrPort
	for _, addr := range answer {
		pair := netip.AddrPortFrom(addr.Unmap(), t.to)
		if !slices.Contains(addrs, pair) && len(addrs) < manyAddresses {
			addrs = append(addrs, pair)
		}
	}
	rung.State, rung.Class, rung.Detail = probe.RungOK, probe.ClassOK, listed(addrs)
	f := found{addrs: addrs, rung: rung}
	if told, ok := p.resolver.(interface {
		TTL(host string) time.Duration
	}); ok {
		f.ttl = told.TTL(name)
	}
	return f, nil
}

// expects reports whether DNS may give an address.
func (t *target) expects(addr netip.Addr) bool {
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	return len(t.path.Addresses) == 0 || slices.ContainsFunc(t.path.Addresses, contains)
}

// unexpected says that DNS gives an address that it should not.
func unexpected(t *target, addr netip.Addr) string {
	words := make([]string, len(t.path.Addresses))
	for i, prefix := range t.path.Addresses {
		words[i] = prefix.String()
		if prefix.IsSingleIP() {
			words[i] = prefix.Addr().String()
		}
	}
	return fmt.Sprintf("DNS gives %s for %s, where only %s is expected: a record was changed, or points at what was replaced", addr, t.host, strings.Join(words, " or "))
}

// listed returns the addresses without their ports, for people.
func listed(addrs []netip.AddrPort) string {
	words := make([]string, len(addrs))
	for i, addr := range addrs {
		words[i] = addr.Addr().String()
	}
	return strings.Join(words, ", ")
}

// dnsClass sorts an error of the resolver. The resolver gives most of it as text only: its DNSError
// wraps nothing but the ends of contexts (net.newDNSError, Go 1.26), so a refused question is known by
// the ending that the operating system's own text gives it. A test pins this on a real resolver.
func dnsClass(err error) probe.Class {
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		if errors.Is(err, context.DeadlineExceeded) {
			return probe.ClassDNSTimeout
		}
		return probe.ClassDNSServfail
	}
	switch {
	case dns.IsNotFound:
		return probe.ClassDNSMissing
	case strings.HasSuffix(dns.Err, syscall.ECONNREFUSED.Error()):
		return probe.ClassDNSRefused
	case dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return probe.ClassDNSTimeout
	}
	return probe.ClassDNSServfail
}

// noRoute reports whether this machine has no route to addr at all: connecting a UDP socket looks the
// route up and sends nothing.
func (p *Prober) noRoute(ctx context.Context, addr netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := p.route(ctx, "udp", addr.String())
	if err != nil {
		return errors.Is(err, syscall.ENETUNREACH)
	}
	_ = conn.Close() // nothing was sent, so nothing can be lost
	return false
}
