package varnish

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// knock tries the doors that must be closed, one after another: those of the path, at its addresses where
// none is given. Nothing is sent on a connection that opens. A door that the guard keeps shut, or that
// this machine cannot try, is not asked, which is no proof of anything.
func (p *Prober) knock(ctx context.Context, t *target, addrs []netip.AddrPort) []probe.Knock {
	var list []probe.Knock
	for _, door := range t.path.Closed {
		at := []netip.Addr{door.Addr.Unmap()}
		if !door.Addr.IsValid() {
			at = at[:0]
			for _, addr := range addrs {
				at = append(at, addr.Addr())
			}
		}
		for _, addr := range at {
			pair := netip.AddrPortFrom(addr, door.Port)
			known := func(k probe.Knock) bool { return k.Address == pair }
			if slices.ContainsFunc(list, known) {
				continue
			}
			list = append(list, p.tryDoor(ctx, pair))
		}
	}
	return list
}

func (p *Prober) tryDoor(ctx context.Context, addr netip.AddrPort) probe.Knock {
	k := probe.Knock{Address: addr, State: probe.RungOK}
	if err := p.check(addr); err != nil {
		k.State, k.Class, k.Detail = probe.RungNotAsked, probe.ClassGuarded, guarded(err)
		return k
	}
	ctx, cancel := context.WithTimeout(ctx, p.limits.Connect)
	defer cancel()
	conn, err := p.dial(ctx, "tcp", addr.String())
	if err == nil {
		_ = conn.Close() // nothing was said
		k.State, k.Class = probe.RungBroken, probe.ClassPortOpen
		k.Detail = fmt.Sprintf("TCP %d of %s is open: a security group, network ACL or firewall lets it through", addr.Port(), addr.Addr())
		return k
	}
	if local := localTrouble(err); local != nil {
		k.State, k.Class, k.Detail = probe.RungNotAsked, probe.ClassProber, local.Error()
		return k
	}
	switch k.Class = tcpClass(err); k.Class { //nolint:exhaustive // the others are all the same
	case probe.ClassTCPRefused:
		k.Detail = "closed: refused"
	case probe.ClassTCPTimeout:
		k.Detail = "closed: no answer within " + probe.Length(p.limits.Connect)
	case probe.ClassNetUnreachable:
		if p.noRoute(ctx, addr) {
			k.State, k.Detail = probe.RungNotAsked, fmt.Sprintf("this machine has no route to %s", addr.Addr())
			break
		}
		k.Detail = "closed: unreachable"
	default:
		k.Detail = "closed: unreachable"
	}
	return k
}
