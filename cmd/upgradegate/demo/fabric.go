package demo

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/varnish/lab"
	"github.com/upgradegate/upgradegate/internal/world"
)

// spread is how long a rule that is new takes to be in force, in real time: the site is real, and so is
// who probes it. AWS's network takes a moment too, and promises no time.
const spread = time.Second

// fabric makes simulated security groups act on the real Varnish: it watches the groups in the
// simulated AWS and opens or closes the way in front of Varnish accordingly, as AWS's network does. It
// knows no gate.
type fabric struct {
	aws   *awssim.Sim
	clock *world.Clock
	site  *lab.Site
	name  string // of the security group that guards the site
	group string // name of the one that the load balancer is in
	log   *slog.Logger
}

func (f *fabric) run(ctx context.Context) {
	inForce := f.rules()
	f.set(ctx, inForce)
	for {
		changed := f.aws.Changed()
		inForce = f.follow(ctx, inForce)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// follow brings the network to what the group says now: what it no longer admits is shut at once, what it
// admits anew takes a while, in which world time must not jump ahead of it. It returns what is in force then.
func (f *fabric) follow(ctx context.Context, inForce []lab.Rule) []lab.Rule {
	rules := f.rules()
	kept := slices.DeleteFunc(slices.Clone(inForce), func(r lab.Rule) bool { return !slices.Contains(rules, r) })
	if len(kept) < len(inForce) {
		f.set(ctx, kept)
	}
	if !slices.ContainsFunc(rules, func(r lab.Rule) bool { return !slices.Contains(kept, r) }) {
		return kept
	}
	defer f.clock.Begin()()
	select {
	case <-time.After(spread):
	case <-ctx.Done():
		return kept
	}
	rules = f.rules() // as they are by now
	f.set(ctx, rules)
	return rules
}

func (f *fabric) set(ctx context.Context, rules []lab.Rule) {
	if err := f.site.SetIngress(ctx, rules); err != nil && ctx.Err() == nil {
		f.log.WarnContext(ctx, "the way to Varnish could not be changed", "err", err)
	}
}

// rules returns the group's ingress as the site's network takes it. What no rule admits is dropped, as
// a security group does. Without a group nothing is admitted.
func (f *fabric) rules() []lab.Rule {
	var rules []lab.Rule
	groups := f.aws.SecurityGroups()
	members := map[string]netip.Prefix{} // by the group's id
	for _, group := range groups {
		if group.Name == f.group {
			lb := f.site.Addr(lab.LB)
			members[group.ID] = netip.PrefixFrom(lb, lb.BitLen())
		}
	}
	for _, group := range groups {
		if group.Name != f.name {
			continue
		}
		for _, rule := range group.Rules {
			from, known := members[rule.Group]
			if rule.Group == "" {
				prefix, err := netip.ParsePrefix(rule.CIDR)
				from, known = prefix, err == nil
			}
			if rule.Egress || !known || rule.Protocol != "tcp" && rule.Protocol != "-1" {
				continue
			}
			admitted := lab.Admit(from, 0)
			if rule.Protocol == "tcp" {
				admitted.Port, admitted.PortEnd = uint16(rule.From), uint16(rule.To) //nolint:gosec // ports, checked by the simulator
			}
			rules = append(rules, admitted)
		}
	}
	return rules
}
