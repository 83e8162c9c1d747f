package awssim

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// maxRules is the default quota of rules a group and direction.
const maxRules = 60

// ruleOf reads protocol and ports.
func (c *call) ruleOf(p *tree, egress bool) (rule, error) {
	r := rule{egress: egress, protocol: strings.ToLower(p.str("IpProtocol")), from: -1, to: -1, tags: map[string]string{}}
	var err error
	if r.from, err = p.num("FromPort", -1); err != nil {
		return r, err
	}
	if r.to, err = p.num("ToPort", -1); err != nil {
		return r, err
	}
	switch r.protocol {
	case "":
		return r, missing("ipProtocol")
	case "6":
		r.protocol = "tcp"
	case "17":
		r.protocol = "udp"
	case "1":
		r.protocol = "icmp"
	case "all":
		r.protocol = "-1"
	}
	switch r.protocol {
	case "-1":
		r.from, r.to = -1, -1 // whatever ports are given mean nothing here
	case "tcp", "udp":
		if r.from < 0 || r.to > 65535 || r.from > r.to {
			return r, refuse("InvalidParameterValue", "Invalid value '%d-%d' for port range. Must specify both from and to ports with TCP/UDP.", r.from, r.to)
		}
	}
	return r, nil
}

// rulesOf reads the rules of an Authorize or Revoke request, one per peer.
func (c *call) rulesOf(egress bool) ([]*rule, error) {
	var out []*rule
	specs := c.p.items("IpPermissions")
	if len(specs) == 0 && c.p.has("IpProtocol") {
		specs = []*tree{c.p} // the old form, all on the top level
	}
	for _, spec := range specs {
		base, err := c.ruleOf(spec, egress)
		if err != nil {
			return nil, err
		}
		add := func(from *tree, set func(*rule)) {
			r := base
			r.tags, r.description = map[string]string{}, from.str("Description")
			set(&r)
			out = append(out, &r)
		}
		before := len(out)
		for _, peer := range spec.items("IpRanges") {
			add(peer, func(r *rule) { r.cidr4 = peer.str("CidrIp") })
		}
		for _, peer := range spec.items("Ipv6Ranges") {
			add(peer, func(r *rule) { r.cidr6 = peer.str("CidrIpv6") })
		}
		for _, peer := range spec.items("PrefixListIds") {
			add(peer, func(r *rule) { r.prefixes = peer.str("PrefixListId") })
		}
		for _, peer := range spec.items("Groups") {
			_ = peer.str("UserId") // peers of other accounts are not modelled
			add(peer, func(r *rule) { r.group = c.groupID(peer) })
		}
		if cidr := spec.str("CidrIp"); cidr != "" {
			add(spec, func(r *rule) { r.cidr4 = cidr })
		}
		if len(out) == before {
			return nil, missing("ipPermissions")
		}
	}
	for _, r := range out {
		if err := c.checkPeer(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *call) groupID(peer *tree) string {
	if id := peer.str("GroupId"); id != "" {
		return id
	}
	name := peer.str("GroupName")
	if g := find(c.realm.firewalls, func(g *firewall) bool { return g.name == name }); g != nil {
		return g.id
	}
	return name
}

// checkPeer refuses an address block that is none, and a security group that is not there.
func (c *call) checkPeer(r *rule) error {
	for _, cidr := range []string{r.cidr4, r.cidr6} {
		if cidr == "" {
			continue
		}
		block, err := netip.ParsePrefix(cidr)
		if err != nil || block.Addr().Is4() != (cidr == r.cidr4) {
			return refuse("InvalidParameterValue", "CIDR block %.60s is malformed", cidr)
		}
		if block.Masked() != block {
			return refuse("InvalidParameterValue", "CIDR block %s is not a valid network address; did you mean %s", cidr, block.Masked())
		}
	}
	if r.group != "" && find(c.realm.firewalls, func(g *firewall) bool { return g.id == r.group }) == nil {
		return refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", r.group)
	}
	return nil
}

func authorize(egress bool) action {
	return func(c *call) (any, error) {
		g, err := c.firewall()
		if err != nil {
			return nil, err
		}
		add, err := c.rulesOf(egress)
		if err != nil {
			return nil, err
		}
		if len(add) == 0 {
			return nil, missing("ipPermissions")
		}
		tags := tagsFor(c.p, "security-group-rule")
		count := len(add)
		for _, have := range g.rules {
			if have.egress == egress {
				count++
			}
		}
		if count > maxRules {
			return nil, refuse("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
		}
		for _, r := range add {
			if find(g.rules, r.same) != nil {
				return nil, refuse("InvalidPermission.Duplicate", "the specified rule \"peer: %s, %s, from port: %d, to port: %d, ALLOW\" already exists",
					r.peer(), strings.ToUpper(r.protocol), r.from, r.to)
			}
		}
		for _, r := range add {
			r.id = c.id("sgr")
			maps.Copy(r.tags, tags)
		}
		g.rules = append(g.rules, add...)
		c.announce()
		return append(returnTrue(), list("securityGroupRuleSet", add, func(r *rule) node { return c.ruleNode(g, r) })), nil
	}
}

func (r *rule) peer() string { return r.cidr4 + r.cidr6 + r.prefixes + r.group }

// ruleNode prints a rule the new way: with its id.
func (c *call) ruleNode(g *firewall, r *rule) node {
	entry := item(tx("securityGroupRuleId", r.id), tx("securityGroupRuleArn", c.realm.arn("ec2", "security-group-rule/"+r.id)),
		tx("groupId", g.id), tx("groupOwnerId", c.realm.account), flag("isEgress", r.egress), tx("ipProtocol", r.protocol),
		num("fromPort", r.from), num("toPort", r.to), opt("cidrIpv4", r.cidr4), opt("cidrIpv6", r.cidr6),
		opt("prefixListId", r.prefixes), opt("description", r.description), tagSet(r.tags))
	if r.group != "" {
		entry.kids = append(entry.kids, nd("referencedGroupInfo", tx("groupId", r.group), tx("userId", c.realm.account), tx("vpcId", g.vpc)))
	}
	return entry
}

func revokeRules(egress bool) action {
	return func(c *call) (any, error) {
		g, err := c.firewall()
		if err != nil {
			return nil, err
		}
		var gone []*rule
		for _, id := range c.p.strs("SecurityGroupRuleId") {
			r := find(g.rules, func(r *rule) bool { return r.id == id && r.egress == egress })
			if r == nil {
				return nil, notFoundByID(id)
			}
			gone = append(gone, r)
		}
		specs, err := c.rulesOf(egress)
		if err != nil {
			return nil, err
		}
		for _, spec := range specs {
			r := find(g.rules, spec.same)
			if r == nil {
				return nil, refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
			gone = append(gone, r)
		}
		g.rules = slices.DeleteFunc(g.rules, func(r *rule) bool { return slices.Contains(gone, r) })
		c.announce()
		return returnTrue(), nil
	}
}

// ownedRule is a rule with its group.
type ownedRule struct {
	*rule

	of *firewall
}

func (r *realm) allRules() []ownedRule {
	var out []ownedRule
	for _, g := range r.firewalls {
		for _, one := range g.rules {
			out = append(out, ownedRule{one, g})
		}
	}
	return out
}

func describeRules(c *call) (any, error) {
	all, err := chosen(c.realm.allRules(), c.p.strs("SecurityGroupRuleId"), func(r ownedRule) string { return r.id })
	if err != nil {
		return nil, err
	}
	all, err = keep(all, filtersOf(c.p, "Value"), "group-id security-group-rule-id", func(r ownedRule, name string) []string {
		switch name {
		case "group-id":
			return []string{r.of.id}
		case "security-group-rule-id":
			return []string{r.id}
		}
		return tagValues(r.tags, name)
	})
	if err != nil {
		return nil, err
	}
	return described(c, "securityGroupRuleSet", all, func(r ownedRule) node { return c.ruleNode(r.of, r.rule) })
}

func modifyRules(c *call) (any, error) {
	g, err := c.firewall()
	if err != nil {
		return nil, err
	}
	for _, change := range c.p.items("SecurityGroupRule") {
		id := change.str("SecurityGroupRuleId")
		r := find(g.rules, func(r *rule) bool { return r.id == id })
		if r == nil {
			return nil, notFoundByID(id)
		}
		spec := change.at("SecurityGroupRule")
		now, err := c.ruleOf(spec, r.egress)
		if err != nil {
			return nil, err
		}
		now.id, now.tags, now.description = r.id, r.tags, spec.str("Description")
		now.cidr4, now.cidr6 = spec.str("CidrIpv4"), spec.str("CidrIpv6")
		now.prefixes, now.group = spec.str("PrefixListId"), spec.str("ReferencedGroupId")
		if now.peer() == "" {
			return nil, missing("CidrIpv4, CidrIpv6, PrefixListId or ReferencedGroupId")
		}
		if err := c.checkPeer(&now); err != nil {
			return nil, err
		}
		if dup := find(g.rules, now.same); dup != nil && dup != r {
			return nil, refuse("InvalidPermission.Duplicate", "the specified rule already exists")
		}
		*r = now
	}
	c.announce()
	return returnTrue(), nil
}

// describeAgain changes descriptions of rules and nothing else.
func describeAgain(egress bool) action {
	return func(c *call) (any, error) {
		g, err := c.firewall()
		if err != nil {
			return nil, err
		}
		for _, change := range c.p.items("SecurityGroupRuleDescription") {
			if r := find(g.rules, func(r *rule) bool { return r.id == change.str("SecurityGroupRuleId") }); r != nil {
				r.description = change.str("Description")
			}
		}
		specs, err := c.rulesOf(egress)
		if err != nil {
			return nil, err
		}
		for _, spec := range specs {
			r := find(g.rules, spec.same)
			if r == nil {
				return nil, refuse("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
			r.description = spec.description
		}
		return returnTrue(), nil
	}
}
