package gates

import (
	"slices"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// meaning says what a difference between places means, nothing where there is one place only, or nothing
// is broken by it. Here is the users' view; the other places stand inside.
func meaning(looks []look) string {
	var out, in tried
	for _, one := range looks {
		side := &in
		if one.from == probe.Here || one.from == "" {
			side = &out
		}
		side.add(one)
	}
	if !out.known() || !in.known() {
		return ""
	}
	switch {
	case out.bad() && !in.bad():
		return "users are cut off while " + places(in.from) + " inside gets through: look at the edge's security group or network ACL, the load balancer, or DNS"
	case !out.bad() && in.bad() && len(in.broken) < len(in.from):
		return "users get through, but " + places(in.broken) + " inside does not, unlike the others: look at the security group, network ACL or route of its subnet"
	case !out.bad() && in.bad():
		return "users get through, but " + places(in.broken) + " inside does not: look at the internal security group or route"
	case out.bad() && in.bad() && behind(out.layers) && behind(in.layers):
		return "it is broken from everywhere, behind Varnish: look at the backends and the way from Varnish to them"
	case out.bad() && in.bad():
		return "it is broken from everywhere: look at Varnish and what is behind it"
	}
	return ""
}

// tried is what the places of one side saw.
type tried struct {
	from, broken []probe.Vantage // that could look; of these, that found something broken
	layers       []probe.Layer
}

func (s *tried) add(one look) {
	if one.err != nil {
		return
	}
	if !slices.Contains(s.from, one.from) {
		s.from = append(s.from, one.from)
	}
	for _, ladder := range one.ladders {
		rung, bad := ladder.Broken()
		if !bad || void(rung) {
			continue
		}
		s.layers = append(s.layers, rung.Layer)
		if !slices.Contains(s.broken, one.from) {
			s.broken = append(s.broken, one.from)
		}
	}
}

func (s *tried) known() bool { return len(s.from) > 0 }
func (s *tried) bad() bool   { return len(s.broken) > 0 }

// behind reports whether all layers are those behind Varnish.
func behind(layers []probe.Layer) bool {
	front := func(l probe.Layer) bool {
		return l != probe.LayerBackend && l != probe.LayerContent && l != probe.LayerCache
	}
	return !slices.ContainsFunc(layers, front)
}
