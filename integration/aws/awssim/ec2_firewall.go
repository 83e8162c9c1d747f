package awssim

import (
	"cmp"
	"regexp"
	"slices"
)

// firewall is a security group.
type firewall struct {
	id, name, description, vpc string
	tags                       map[string]string
	rules                      []*rule
}

// rule is one rule of a security group, for one peer.
type rule struct {
	id          string
	egress      bool
	protocol    string // tcp, udp, icmp, -1 …
	from, to    int    // -1 where there are no ports
	cidr4       string
	cidr6       string
	prefixes    string // id of a prefix list
	group       string // id of the security group that is the peer
	description string
	tags        map[string]string
}

// same reports whether two rules allow the same, so that the second would be a duplicate.
func (r *rule) same(o *rule) bool {
	return r.egress == o.egress && r.protocol == o.protocol && r.from == o.from && r.to == o.to &&
		r.cidr4 == o.cidr4 && r.cidr6 == o.cidr6 && r.prefixes == o.prefixes && r.group == o.group
}

func firewallActions() map[string]action {
	return map[string]action{
		"CreateSecurityGroup":                        createFirewall,
		"DescribeSecurityGroups":                     describeFirewalls,
		"DeleteSecurityGroup":                        deleteFirewall,
		"AuthorizeSecurityGroupIngress":              authorize(false),
		"AuthorizeSecurityGroupEgress":               authorize(true),
		"RevokeSecurityGroupIngress":                 revokeRules(false),
		"RevokeSecurityGroupEgress":                  revokeRules(true),
		"DescribeSecurityGroupRules":                 describeRules,
		"ModifySecurityGroupRules":                   modifyRules,
		"UpdateSecurityGroupRuleDescriptionsIngress": describeAgain(false),
		"UpdateSecurityGroupRuleDescriptionsEgress":  describeAgain(true),
	}
}

// addFirewall makes a security group with the rule that each new one has: everything may go out. The
// default group also lets its members reach each other.
func (r *realm) addFirewall(w *world, name, description, net string) *firewall {
	g := &firewall{id: w.id("sg"), name: name, description: description, vpc: net, tags: map[string]string{}}
	g.rules = []*rule{{id: w.id("sgr"), egress: true, protocol: "-1", from: -1, to: -1, cidr4: "0.0.0.0/0", tags: map[string]string{}}}
	if name == "default" {
		g.rules = append(g.rules, &rule{id: w.id("sgr"), protocol: "-1", from: -1, to: -1, group: g.id, tags: map[string]string{}})
	}
	r.firewalls = append(r.firewalls, g)
	w.announce()
	return g
}

// announce tells those who watch that a security group changed.
func (w *world) announce() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func createFirewall(c *call) (any, error) {
	name, description, net := c.p.str("GroupName"), c.p.str("GroupDescription"), c.p.str("VpcId")
	if name == "" || description == "" {
		return nil, missing("GroupDescription")
	}
	if !regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}$`).MatchString(description) {
		return nil, refuse("InvalidParameterValue", "Value (%.80s) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.", description)
	}
	if net == "" {
		net = c.realm.vpcs[0].id
	}
	if find(c.realm.vpcs, func(v *vpc) bool { return v.id == net }) == nil {
		return nil, notFoundByID(net)
	}
	if find(c.realm.firewalls, func(g *firewall) bool { return g.name == name && g.vpc == net }) != nil {
		return nil, refuse("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, net)
	}
	tags := tagsFor(c.p, "security-group")
	g := c.realm.addFirewall(c.world, name, description, net)
	g.tags = tags
	return []node{tx("groupId", g.id), tx("securityGroupArn", c.realm.arn("ec2", "security-group/"+g.id)), tagSet(g.tags)}, nil
}

func describeFirewalls(c *call) (any, error) {
	all, err := chosen(c.realm.firewalls, c.p.strs("GroupId"), func(g *firewall) string { return g.id })
	if err != nil {
		return nil, err
	}
	if names := c.p.strs("GroupName"); len(names) > 0 {
		for _, name := range names {
			if find(all, func(g *firewall) bool { return g.name == name }) == nil {
				return nil, refuse("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC '%s'", name, c.realm.vpcs[0].id)
			}
		}
		all = slices.DeleteFunc(slices.Clone(all), func(g *firewall) bool { return !slices.Contains(names, g.name) })
	}
	all, err = keep(all, filtersOf(c.p, "Value"), "group-id group-name vpc-id description owner-id", func(g *firewall, name string) []string {
		switch name {
		case "group-id":
			return []string{g.id}
		case "group-name":
			return []string{g.name}
		case "vpc-id":
			return []string{g.vpc}
		case "description":
			return []string{g.description}
		case "owner-id":
			return []string{c.realm.account}
		}
		return tagValues(g.tags, name)
	})
	if err != nil {
		return nil, err
	}
	return described(c, "securityGroupInfo", all, func(g *firewall) node {
		return item(tx("ownerId", c.realm.account), tx("groupId", g.id), tx("groupName", g.name), tx("groupDescription", g.description),
			tx("vpcId", g.vpc), tx("securityGroupArn", c.realm.arn("ec2", "security-group/"+g.id)),
			c.permissions("ipPermissions", g, false), c.permissions("ipPermissionsEgress", g, true), tagSet(g.tags))
	})
}

// permissions prints a group's rules the old way: peers gathered under protocol and ports.
func (c *call) permissions(name string, g *firewall, egress bool) node {
	type ports struct {
		protocol string
		from, to int
	}
	var order []ports
	gathered := map[ports][]*rule{}
	for _, r := range g.rules {
		if r.egress != egress {
			continue
		}
		key := ports{r.protocol, r.from, r.to}
		if gathered[key] == nil {
			order = append(order, key)
		}
		gathered[key] = append(gathered[key], r)
	}
	return list(name, order, func(key ports) node {
		rules := gathered[key]
		entry := item(tx("ipProtocol", key.protocol))
		if key.protocol != "-1" {
			entry.kids = append(entry.kids, num("fromPort", key.from), num("toPort", key.to))
		}
		entry.kids = append(entry.kids,
			peers("groups", rules, func(r *rule) node {
				if r.group == "" {
					return node{}
				}
				return item(tx("groupId", r.group), tx("userId", c.realm.account), opt("description", r.description))
			}),
			peers("ipRanges", rules, func(r *rule) node { return peer("cidrIp", r.cidr4, r) }),
			peers("ipv6Ranges", rules, func(r *rule) node { return peer("cidrIpv6", r.cidr6, r) }),
			peers("prefixListIds", rules, func(r *rule) node { return peer("prefixListId", r.prefixes, r) }))
		return entry
	})
}

func peers(name string, rules []*rule, each func(*rule) node) node { return list(name, rules, each) }

func peer(name, value string, r *rule) node {
	if value == "" {
		return node{}
	}
	return item(tx(name, value), opt("description", r.description))
}

func deleteFirewall(c *call) (any, error) {
	g, err := c.firewall()
	if err != nil {
		return nil, err
	}
	if g.name == "default" {
		return nil, refuse("CannotDelete", "the specified group: \"%s\" name: \"default\" cannot be deleted by a user", g.id)
	}
	for _, i := range c.realm.instances {
		if i.alive() && slices.Contains(i.firewalls, g.id) {
			return nil, refuse("DependencyViolation", "resource %s has a dependent object", g.id)
		}
	}
	for _, other := range c.realm.firewalls {
		if other != g && find(other.rules, func(r *rule) bool { return r.group == g.id }) != nil {
			return nil, refuse("DependencyViolation", "resource %s has a dependent object", g.id)
		}
	}
	c.realm.firewalls = slices.DeleteFunc(c.realm.firewalls, func(x *firewall) bool { return x == g })
	c.announce()
	return []node{flag("return", true), tx("groupId", g.id)}, nil
}

// firewall finds the group that a request names.
func (c *call) firewall() (*firewall, error) {
	id, name := c.p.str("GroupId"), c.p.str("GroupName")
	if id == "" && name == "" {
		return nil, missing("GroupId")
	}
	g := find(c.realm.firewalls, func(g *firewall) bool {
		return g.id == id || id == "" && g.name == name && g.vpc == c.realm.vpcs[0].id
	})
	if g == nil {
		return nil, refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", cmp.Or(id, name))
	}
	return g, nil
}
