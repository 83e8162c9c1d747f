package awssim

// vpc is a network.
type vpc struct {
	id, cidr string
	standard bool // the account's default one
	tags     map[string]string
}

// subnet is a part of one, in one zone.
type subnet struct {
	id, vpc, cidr, zone string
	standard            bool
	hosts               int // addresses given out so far
	tags                map[string]string
}

// realm returns what an account has in a region, made at the first use: a default VPC with three
// subnets and a default security group.
func (w *world) realm(account, region string) *realm {
	key := realmKey{account, region}
	if r := w.realms[key]; r != nil {
		return r
	}
	r := &realm{realmKey: key, launches: map[string][]node{}}
	w.realms[key] = r
	role := Role{ARN: key.defaultRole()}
	w.roles[role.ARN] = &role
	net := &vpc{id: w.id("vpc"), cidr: "172.31.0.0/16", standard: true, tags: map[string]string{}}
	r.vpcs = append(r.vpcs, net)
	for i, zone := range []string{"a", "b", "c"} {
		r.subnets = append(r.subnets, &subnet{
			id: w.id("subnet"), vpc: net.id, cidr: "172.31." + itoa(16*i) + ".0/20", zone: region + zone,
			standard: true, tags: map[string]string{},
		})
	}
	r.addFirewall(w, "default", "default VPC security group", net.id)
	return r
}

func describeZones(c *call) (any, error) {
	names := c.p.strs("ZoneName")
	var zones []string
	for _, letter := range []string{"a", "b", "c"} {
		zones = append(zones, c.realm.region+letter)
	}
	if len(names) > 0 {
		for _, name := range names {
			if name == "" || name[:len(name)-1] != c.realm.region {
				return nil, refuse("InvalidParameterValue", "Invalid availability zone: [%s]", name)
			}
		}
		zones = names
	}
	return []node{list("availabilityZoneInfo", zones, func(zone string) node {
		return item(tx("zoneName", zone), tx("zoneState", "available"), tx("regionName", c.realm.region),
			tx("zoneId", c.realm.region+"-az"+zone[len(zone)-1:]), tx("optInStatus", "opt-in-not-required"), tx("zoneType", "availability-zone"))
	})}, nil
}

func describeVPCs(c *call) (any, error) {
	all, err := chosen(c.realm.vpcs, c.p.strs("VpcId"), func(v *vpc) string { return v.id })
	if err != nil {
		return nil, err
	}
	all, err = keep(all, filtersOf(c.p, "Value"), "vpc-id cidr state is-default isDefault owner-id", func(v *vpc, name string) []string {
		switch name {
		case "vpc-id":
			return []string{v.id}
		case "cidr":
			return []string{v.cidr}
		case "state":
			return []string{"available"}
		case "is-default", "isDefault":
			return []string{truth(v.standard)}
		case "owner-id":
			return []string{c.realm.account}
		}
		return tagValues(v.tags, name)
	})
	if err != nil {
		return nil, err
	}
	return described(c, "vpcSet", all, func(v *vpc) node {
		return item(tx("vpcId", v.id), tx("ownerId", c.realm.account), tx("state", "available"), tx("cidrBlock", v.cidr),
			tx("dhcpOptionsId", "dopt-0123456789abcdef0"), tx("instanceTenancy", "default"), flag("isDefault", v.standard), tagSet(v.tags))
	})
}

func describeSubnets(c *call) (any, error) {
	all, err := chosen(c.realm.subnets, c.p.strs("SubnetId"), func(s *subnet) string { return s.id })
	if err != nil {
		return nil, err
	}
	all, err = keep(all, filtersOf(c.p, "Value"), "subnet-id vpc-id availability-zone default-for-az state owner-id", func(s *subnet, name string) []string {
		switch name {
		case "subnet-id":
			return []string{s.id}
		case "vpc-id":
			return []string{s.vpc}
		case "availability-zone":
			return []string{s.zone}
		case "default-for-az":
			return []string{truth(s.standard)}
		case "state":
			return []string{"available"}
		case "owner-id":
			return []string{c.realm.account}
		}
		return tagValues(s.tags, name)
	})
	if err != nil {
		return nil, err
	}
	return described(c, "subnetSet", all, func(s *subnet) node {
		return item(tx("subnetId", s.id), tx("subnetArn", c.realm.arn("ec2", "subnet/"+s.id)), tx("state", "available"),
			tx("ownerId", c.realm.account), tx("vpcId", s.vpc), tx("cidrBlock", s.cidr), num("availableIpAddressCount", 4091-s.hosts),
			tx("availabilityZone", s.zone), tx("availabilityZoneId", c.realm.region+"-az"+s.zone[len(s.zone)-1:]),
			flag("defaultForAz", s.standard), flag("mapPublicIpOnLaunch", s.standard), tagSet(s.tags))
	})
}

func truth(v bool) string {
	if v {
		return "true"
	}
	return "false"
}

// describeInterfaces lists the interfaces of instances: the one thing that keeps a security group alive.
func describeInterfaces(c *call) (any, error) {
	var all []*instance
	for _, i := range c.realm.instances {
		if i.alive() {
			all = append(all, i)
		}
	}
	all, err := chosen(all, c.p.strs("NetworkInterfaceId"), func(i *instance) string { return i.eni })
	if err != nil {
		return nil, err
	}
	known := "network-interface-id group-id subnet-id vpc-id status attachment.instance-id description requester-id"
	all, err = keep(all, filtersOf(c.p, "Value"), known, func(i *instance, name string) []string {
		switch name {
		case "network-interface-id":
			return []string{i.eni}
		case "group-id":
			return i.firewalls
		case "subnet-id":
			return []string{i.subnet.id}
		case "vpc-id":
			return []string{i.subnet.vpc}
		case "status":
			return []string{"in-use"}
		case "attachment.instance-id":
			return []string{i.id}
		case "description":
			return []string{"Primary network interface"}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return described(c, "networkInterfaceSet", all, func(i *instance) node {
		return item(tx("networkInterfaceId", i.eni), tx("subnetId", i.subnet.id), tx("vpcId", i.subnet.vpc),
			tx("availabilityZone", i.subnet.zone), tx("description", "Primary network interface"), tx("ownerId", c.realm.account),
			flag("requesterManaged", false), tx("status", "in-use"), tx("privateIpAddress", i.address), flag("sourceDestCheck", true),
			c.realm.groupSet(i.firewalls), tx("interfaceType", "interface"),
			nd("attachment", tx("attachmentId", "eni-attach-"+i.eni[4:]), tx("instanceId", i.id), tx("instanceOwnerId", c.realm.account),
				num("deviceIndex", 0), tx("status", "attached"), stamp("attachTime", i.launched), flag("deleteOnTermination", true)),
			nd("tagSet"))
	})
}

// groupSet prints security groups with their names.
func (r *realm) groupSet(ids []string) node {
	return list("groupSet", ids, func(id string) node {
		name := ""
		if g := find(r.firewalls, func(g *firewall) bool { return g.id == id }); g != nil {
			name = g.name
		}
		return item(tx("groupId", id), tx("groupName", name))
	})
}
