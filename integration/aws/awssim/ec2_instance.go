package awssim

import (
	"slices"
	"time"
)

// instance is an EC2 instance.
type instance struct {
	id, image, kind        string
	subnet                 *subnet
	firewalls              []string
	profile, keyName       string
	state                  string // pending, running, shutting-down, terminated
	reasonCode, reasonText string
	launched, ran, ended   time.Time
	reservation, eni       string
	address                string
	volumes                []*volume
	tags                   map[string]string
	impaired               bool
	doomed                 *Failure
	group                  *group // that it belongs to
	userData               string // decoded
	spoil                  Spoil
	container              *container
}

// alive reports whether it still has its interface and volumes.
func (i *instance) alive() bool { return i.state != "terminated" }

// volume is an EBS volume of an instance.
type volume struct {
	device

	id      string
	keyARN  string
	created time.Time
	tags    map[string]string
}

func instanceActions() map[string]action {
	return map[string]action{
		"RunInstances":           runInstances,
		"TerminateInstances":     terminateInstances,
		"DescribeInstances":      describeInstances,
		"DescribeInstanceStatus": describeInstanceStatus,
		"GetConsoleOutput":       getConsoleOutput,
	}
}

// runInstances launches with the rights of the caller. That is why it proves nothing about a group.
func runInstances(c *call) (any, error) {
	data := c.p
	var tmpl *template
	var v *version
	if ref := c.p.at("LaunchTemplate"); len(ref.kids) > 0 {
		var err error
		if tmpl, err = c.realm.template(ref.str("LaunchTemplateId"), ref.str("LaunchTemplateName")); err != nil {
			return nil, err
		}
		if v, err = tmpl.version(ref.str("Version")); err != nil {
			return nil, err
		}
		data = v.data.clone()
		for name, kid := range c.p.kids {
			*data.child(name) = *kid
		}
	}
	token := c.p.str("ClientToken")
	if again := c.realm.launches[token]; token != "" && again != nil {
		return again, nil
	}
	low, err := c.p.num("MinCount", 0)
	if err != nil {
		return nil, err
	}
	high, err := c.p.num("MaxCount", 0)
	if err != nil {
		return nil, err
	}
	if low < 1 || high < low {
		return nil, refuse("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. Count must be positive and at most maxCount", low)
	}
	p, err := c.prepare(c.realm, data, nil)
	if err != nil {
		return nil, err
	}
	if tmpl != nil {
		p.template, p.version = tmpl, v.number
	}
	if err := c.may(c.runNeeds(p, c.p.has("SubnetId") || c.p.has("NetworkInterface"))...); err != nil {
		return nil, err
	}
	if c.p.is("DryRun") {
		return nil, dryRun()
	}
	if err := c.realm.room(low); err != nil {
		return nil, err
	}
	var started []*instance
	nothing := func(time.Time) {}
	for range high {
		started = append(started, c.launch(c.realm, p, c.who, c.now, nothing, nothing))
	}
	for _, i := range started {
		i.reservation = started[0].reservation
	}
	out := []node{
		tx("reservationId", started[0].reservation), tx("ownerId", c.realm.account), nd("groupSet"),
		list("instancesSet", started, c.instanceNode),
	}
	if token != "" {
		c.realm.launches[token] = out
	}
	return out, nil
}

// room refuses what the account's quota does not allow.
func (r *realm) room(n int) error {
	if r.limit == 0 {
		return nil
	}
	for _, i := range r.instances {
		if i.alive() {
			n++
		}
	}
	if n > r.limit {
		return refuse("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit of %d allows for the instance bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.", r.limit)
	}
	return nil
}

func stateCode(state string) int {
	switch state {
	case "pending":
		return 0
	case "running":
		return 16
	case "shutting-down":
		return 32
	case "terminated":
		return 48
	}
	return 80
}

func stateNode(name, state string) node {
	return nd(name, num("code", stateCode(state)), tx("name", state))
}

func (c *call) instanceNode(i *instance) node {
	out := item(tx("instanceId", i.id), tx("imageId", i.image), stateNode("instanceState", i.state),
		tx("privateDnsName", "ip-"+i.address+".internal"), opt("keyName", i.keyName), num("amiLaunchIndex", 0),
		tx("instanceType", i.kind), stamp("launchTime", i.launched), nd("placement", tx("availabilityZone", i.subnet.zone), tx("tenancy", "default")),
		nd("monitoring", tx("state", "disabled")), tx("architecture", "x86_64"), tx("rootDeviceType", "ebs"), tx("virtualizationType", "hvm"),
		tx("hypervisor", "xen"), tagSet(i.tags))
	if i.reasonCode != "" {
		out.kids = append(out.kids, nd("stateReason", tx("code", i.reasonCode), tx("message", i.reasonText)))
		if !i.ended.IsZero() {
			out.kids = append(out.kids, tx("reason", reasonWord(i)+" ("+i.ended.UTC().Format("2006-01-02 15:04:05 GMT")+")"))
		}
	}
	if !i.alive() {
		return out
	}
	out.kids = append(out.kids, tx("subnetId", i.subnet.id), tx("vpcId", i.subnet.vpc), tx("privateIpAddress", i.address), c.realm.groupSet(i.firewalls),
		list("blockDeviceMapping", i.volumes, func(v *volume) node {
			return item(tx("deviceName", v.name), nd("ebs", tx("volumeId", v.id), tx("status", "attached"),
				stamp("attachTime", v.created), flag("deleteOnTermination", true)))
		}))
	if i.profile != "" {
		out.kids = append(out.kids, nd("iamInstanceProfile", tx("arn", c.profileARN(i.profile)), tx("id", "AIPA"+short(i.profile))))
	}
	return out
}

func (c *call) profileARN(profile string) string {
	if accountOf(profile) != "" {
		return profile
	}
	return "arn:aws:iam::" + c.realm.account + ":instance-profile/" + profile
}

func reasonWord(i *instance) string {
	if i.reasonCode == "Client.UserInitiatedShutdown" {
		return "User initiated"
	}
	return "Server error"
}

func describeInstances(c *call) (any, error) {
	all, err := chosen(c.seenInstances(), c.p.strs("InstanceId"), func(i *instance) string { return i.id })
	if err != nil {
		return nil, err
	}
	known := "instance-id instance-state-name instance-state-code image-id subnet-id vpc-id instance-type availability-zone " +
		"instance.group-id network-interface.group-id private-ip-address"
	all, err = keep(all, filtersOf(c.p, "Value"), known, (*instance).values)
	if err != nil {
		return nil, err
	}
	return described(c, "reservationSet", all, func(i *instance) node {
		return item(tx("reservationId", i.reservation), tx("ownerId", c.realm.account), nd("groupSet"), nd("instancesSet", c.instanceNode(i)))
	})
}

// values answers the filters of DescribeInstances.
func (i *instance) values(name string) []string {
	switch name {
	case "instance-id":
		return []string{i.id}
	case "instance-state-name":
		return []string{i.state}
	case "instance-state-code":
		return []string{itoa(stateCode(i.state))}
	case "image-id":
		return []string{i.image}
	case "subnet-id":
		return []string{i.subnet.id}
	case "vpc-id":
		return []string{i.subnet.vpc}
	case "instance-type":
		return []string{i.kind}
	case "availability-zone":
		return []string{i.subnet.zone}
	case "private-ip-address":
		return []string{i.address}
	case "instance.group-id", "network-interface.group-id":
		return i.firewalls
	}
	return tagValues(i.tags, name)
}

// describeInstanceStatus tells of running instances only, unless it is asked for all.
func describeInstanceStatus(c *call) (any, error) {
	all, err := chosen(c.seenInstances(), c.p.strs("InstanceId"), func(i *instance) string { return i.id })
	if err != nil {
		return nil, err
	}
	if !c.p.is("IncludeAllInstances") {
		all = slices.DeleteFunc(slices.Clone(all), func(i *instance) bool { return i.state != "running" })
	}
	known := "instance-state-name instance-status.status system-status.status availability-zone"
	all, err = keep(all, filtersOf(c.p, "Value"), known, func(i *instance, name string) []string {
		switch name {
		case "instance-status.status", "system-status.status":
			return []string{c.health(i)}
		}
		return i.values(name)
	})
	if err != nil {
		return nil, err
	}
	return described(c, "instanceStatusSet", all, func(i *instance) node {
		check := func(name string) node {
			status := c.health(i)
			out := nd(name, tx("status", status))
			if detail := map[string]string{"ok": "passed", "initializing": "initializing", "impaired": "failed"}[status]; detail != "" {
				out.kids = append(out.kids, nd("details", item(tx("name", "reachability"), tx("status", detail))))
			}
			return out
		}
		return item(tx("instanceId", i.id), tx("availabilityZone", i.subnet.zone), stateNode("instanceState", i.state),
			check("systemStatus"), check("instanceStatus"), check("attachedEbsStatus"))
	})
}

// health is the word of the status checks.
func (c *call) health(i *instance) string {
	switch {
	case i.state != "running":
		return "not-applicable"
	case c.now.Before(i.ran.Add(c.cfg.Timing.Checks)):
		return "initializing"
	case i.impaired:
		return "impaired"
	}
	return "ok"
}

func terminateInstances(c *call) (any, error) {
	ids := c.p.strs("InstanceId")
	if len(ids) == 0 {
		return nil, missing("InstanceId")
	}
	all, err := chosen(c.realm.instances, ids, func(i *instance) string { return i.id })
	if err != nil {
		return nil, err
	}
	return []node{list("instancesSet", all, func(i *instance) node {
		was := i.state
		c.terminate(c.realm, i, "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown", c.now, func(now time.Time) {
			c.lost(i, now)
		})
		return item(tx("instanceId", i.id), stateNode("currentState", i.state), stateNode("previousState", was))
	})}, nil
}
