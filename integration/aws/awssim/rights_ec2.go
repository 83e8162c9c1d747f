package awssim

import "strings"

// ec2Needs are those of EC2: nothing that describes has a resource.
func (c *call) ec2Needs(perm string) []access {
	one := func(kind, id string) []access { return []access{c.ec2Access(perm, kind, id)} }
	switch c.action {
	case "RunInstances":
		return nil // asked when it is known what is launched
	case "GetConsoleOutput":
		return one("instance", c.p.str("InstanceId"))
	case "TerminateInstances":
		var out []access
		for _, id := range c.p.strs("InstanceId") {
			out = append(out, c.ec2Access(perm, "instance", id))
		}
		return out
	case "CreateTags", "DeleteTags":
		return c.ec2TagNeeds(perm)
	case "CreateLaunchTemplate":
		return c.ec2Creates(perm, "launch-template")
	case "CreateLaunchTemplateVersion", "ModifyLaunchTemplate", "DeleteLaunchTemplate":
		id := c.p.str("LaunchTemplateId")
		if t := find(c.realm.templates, func(t *template) bool { return t.name == c.p.str("LaunchTemplateName") }); t != nil {
			id = t.id
		}
		return one("launch-template", id)
	case "CreateSecurityGroup":
		out := c.ec2Creates(perm, "security-group")
		if id := c.p.str("VpcId"); id != "" {
			out = append(out, c.ec2Access(perm, "vpc", id))
		}
		return out
	}
	if readOnly(c.action) {
		return []access{{perm: perm, resource: "*"}}
	}
	return one("security-group", c.p.or("GroupId", "*")) // all others change one
}

// ec2Access is an action on something with an id, with its tags.
func (c *call) ec2Access(perm, kind, id string) access {
	account := c.realm.account
	if kind == "image" || kind == "snapshot" {
		account = "" // their ARNs have none
	}
	f := tagged(c.realm.taggable(c.world, id), "aws:ResourceTag/", "ec2:ResourceTag/")
	return access{perm, "arn:aws:ec2:" + c.realm.region + ":" + account + ":" + kind + "/" + id, f}
}

// ec2Creates is an action that makes something, and that of tagging it, if the request does.
func (c *call) ec2Creates(perm, kind string) []access {
	tags := tagsFor(c.p, kind)
	a := access{perm, c.realm.arn(serviceEC2, kind+"/*"), requestTags(tags)}
	if len(tags) == 0 {
		return []access{a}
	}
	return []access{a, {permission(serviceEC2, "CreateTags"), a.resource, a.facts.with(facts{"ec2:createaction": {c.action}})}}
}

func (c *call) ec2TagNeeds(perm string) []access {
	kinds := map[string]string{
		"vpc": "vpc", "subnet": "subnet", "sg": "security-group", "sgr": "security-group-rule", "lt": "launch-template", "i": "instance",
		"ami": "image", "snap": "snapshot", "vol": "volume", "eni": "network-interface",
	}
	var out []access
	for _, id := range c.p.strs("ResourceId") {
		prefix, _, _ := strings.Cut(id, "-")
		a := c.ec2Access(perm, kinds[prefix], id)
		a.facts = a.facts.with(requestTags(c.p.pairs("Tag")))
		out = append(out, a)
	}
	return out
}

// runNeeds is what a launch needs to be allowed: RunInstances on everything that it uses or makes, tagging
// what it makes, and to hand the instance the role of its profile. chosen says that the subnet is not the
// template's. guess: then neither is the interface that is made in it.
func (c *call) runNeeds(p *plan, chosen bool) []access {
	perm := permission(serviceEC2, "RunInstances")
	common := facts{"ec2:islaunchtemplateresource": {truth(p.template != nil)}, "ec2:instancetype": {p.kind}}
	if p.template != nil {
		common["ec2:launchtemplate"] = []string{c.realm.arn(serviceEC2, "launch-template/"+p.template.id)}
	}
	var out []access
	add := func(kind, id string, more facts) {
		a := c.ec2Access(perm, kind, id)
		a.facts = a.facts.with(common).with(more)
		out = append(out, a)
	}
	own := facts{}
	if chosen {
		own["ec2:islaunchtemplateresource"] = []string{"false"}
	}
	add("image", p.image.id, nil)
	add("instance", "*", requestTags(p.tags))
	add("volume", "*", requestTags(p.volumeTags))
	add("subnet", p.subnet.id, own)
	add("network-interface", "*", own)
	for _, id := range p.firewalls {
		add("security-group", id, nil)
	}
	if p.keyName != "" {
		add("key-pair", p.keyName, nil)
	}
	if p.template != nil {
		add("launch-template", p.template.id, nil)
	}
	for kind, tags := range map[string]map[string]string{"instance": p.tags, "volume": p.volumeTags} {
		if len(tags) > 0 {
			f := requestTags(tags).with(facts{"ec2:createaction": {"RunInstances"}})
			out = append(out, access{permission(serviceEC2, "CreateTags"), c.realm.arn(serviceEC2, kind+"/*"), f})
		}
	}
	if p.parameter != "" {
		out = append(out, access{perm: permission(serviceSSM, "GetParameters"), resource: c.realm.parameterARN(p.parameter)})
	}
	if p.profile != "" {
		out = append(out, passRole(c.profileRole(p.profile), "ec2.amazonaws.com"))
	}
	return out
}

// passRole is the right to give a service a role.
func passRole(role, service string) access {
	return access{permission(serviceIAM, "PassRole"), role, facts{"iam:passedtoservice": {service}}}
}

// profileRole returns the role of an instance profile: the one that AddProfile said, else that of the same
// name.
func (c *call) profileRole(profile string) string {
	name := lastOf(profile)
	if role := c.profiles[c.realm.account+" "+name]; role != "" {
		return role
	}
	return "arn:aws:iam::" + c.realm.account + ":role/" + name
}
