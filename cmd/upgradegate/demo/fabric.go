package demo

import (
	"context"
	"log/slog"
	"net/netip"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/integration/varnish/lab"
)

// fabric makes simulated security groups act on the real Varnish: it watches the groups in the
// simulated AWS and opens or closes the way in front of Varnish accordingly, as AWS's network does. It
// knows no gate.
type fabric struct {
	aws  *awssim.Sim
	site *lab.Site
	name string // of the security group that guards the site
	log  *slog.Logger
}

func (f *fabric) run(ctx context.Context) {
	for {
		changed := f.aws.Changed()
		if err := f.site.SetIngress(ctx, f.rules()); err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "the way to Varnish could not be changed", "err", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// rules returns the group's ingress as the site's network takes it. What no rule admits is dropped, as
// a security group does. Without a group nothing is admitted.
func (f *fabric) rules() []lab.Rule {
	var rules []lab.Rule
	for _, group := range f.aws.SecurityGroups() {
		if group.Name != f.name {
			continue
		}
		for _, rule := range group.Rules {
			from, err := netip.ParsePrefix(rule.CIDR)
			if rule.Egress || err != nil || rule.Protocol != "tcp" && rule.Protocol != "-1" {
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
