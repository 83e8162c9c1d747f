package awssim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// scalingNeeds are those of EC2 Auto Scaling: nothing that describes has a resource, everything else is
// about a group.
func (c *call) scalingNeeds(perm string) []access {
	switch {
	case readOnly(c.action):
		return []access{{perm: perm, resource: "*"}}
	case c.action == "CreateAutoScalingGroup":
		return c.createGroupNeeds(perm)
	case c.action == "CreateOrUpdateTags" || c.action == "DeleteTags":
		return c.groupTagNeeds(perm)
	}
	name := c.p.str("AutoScalingGroupName")
	if c.action == "TerminateInstanceInAutoScalingGroup" {
		id := c.p.str("InstanceId")
		for _, g := range c.realm.groups {
			if find(g.members, func(m *groupMember) bool { return m.id == id }) != nil {
				name = g.name
			}
		}
	}
	a := c.groupAccess(perm, name)
	if c.action == "UpdateAutoScalingGroup" {
		a.facts = a.facts.with(c.groupFacts())
	}
	return []access{a}
}

// groupAccess is an action on a group, with its tags. One that is not there has no id yet.
func (c *call) groupAccess(perm, name string) access {
	g := find(c.realm.groups, func(g *group) bool { return g.name == name })
	if g == nil {
		return access{perm: perm, resource: c.realm.arn(serviceASG, "autoScalingGroup:*:autoScalingGroupName/"+name)}
	}
	return access{perm, g.arn(), tagged(g.tagMap(), "autoscaling:ResourceTag/", "aws:ResourceTag/")}
}

// groupFacts are what a request says of a group's settings, as far as there are condition keys for it.
func (c *call) groupFacts() facts {
	f := facts{}
	for key, name := range map[string]string{"autoscaling:maxsize": "MaxSize", "autoscaling:minsize": "MinSize"} {
		if c.p.has(name) {
			f[key] = []string{c.p.kids[name].value}
		}
	}
	if zones := c.p.kids["VPCZoneIdentifier"]; zones != nil {
		f["autoscaling:vpczoneidentifiers"] = strings.FieldsFunc(zones.value, func(r rune) bool { return r == ',' || r == ' ' })
	}
	if groups := c.p.kids["TargetGroupARNs"]; groups != nil {
		for _, n := range groups.names() {
			f["autoscaling:targetgrouparns"] = append(f["autoscaling:targetgrouparns"], groups.kids[n].value)
		}
	}
	spec := c.p.kids["LaunchTemplate"]
	if mixed := c.p.kids["MixedInstancesPolicy"]; mixed != nil {
		spec = mixed.clone().at("LaunchTemplate").at("LaunchTemplateSpecification")
	}
	if spec != nil {
		// $Latest and $Default do not count as a version that somebody chose.
		version := ""
		if v := spec.kids["Version"]; v != nil {
			version = v.value
		}
		_, err := strconv.Atoi(version)
		f["autoscaling:launchtemplateversionspecified"] = []string{truth(err == nil)}
	}
	return f
}

// createGroupNeeds: the tags of a new group count as tags of the request and, as in the user guide's own
// examples, of the resource. guess: who tags it needs CreateOrUpdateTags as well.
func (c *call) createGroupNeeds(perm string) []access {
	tags := map[string]string{}
	for _, t := range c.p.items("Tags") {
		tags[t.str("Key")] = t.str("Value")
	}
	a := c.groupAccess(perm, c.p.str("AutoScalingGroupName"))
	a.facts = a.facts.with(requestTags(tags)).with(c.groupFacts())
	if find(c.realm.groups, func(g *group) bool { return g.name == c.p.str("AutoScalingGroupName") }) == nil {
		a.facts = a.facts.with(tagged(tags, "autoscaling:ResourceTag/", "aws:ResourceTag/"))
	}
	if len(tags) == 0 {
		return []access{a}
	}
	return []access{a, {permission(serviceASG, "CreateOrUpdateTags"), a.resource, a.facts}}
}

// groupTagNeeds: one access for each group whose tags are set or taken away.
func (c *call) groupTagNeeds(perm string) []access {
	tags := map[string]map[string]string{}
	for _, t := range c.p.items("Tags") {
		of := t.str("ResourceId")
		if tags[of] == nil {
			tags[of] = map[string]string{}
		}
		tags[of][t.str("Key")] = t.str("Value")
	}
	var out []access
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		a := c.groupAccess(perm, name)
		a.facts = a.facts.with(requestTags(tags[name]))
		out = append(out, a)
	}
	return out
}
