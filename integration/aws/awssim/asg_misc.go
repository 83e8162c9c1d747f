package awssim

import (
	"slices"
	"strings"
)

// processes are those that can be suspended.
func processes() []string {
	return strings.Fields("Launch Terminate AddToLoadBalancer AlarmNotification AZRebalance HealthCheck InstanceRefresh ReplaceUnhealthy ScheduledActions")
}

func suspend(stop bool) func(*call, *group) (any, error) {
	return func(c *call, g *group) (any, error) {
		named := c.p.strs("ScalingProcesses")
		if len(named) == 0 {
			named = processes()
		}
		for _, name := range named {
			if !slices.Contains(processes(), name) {
				return nil, invalid("Process type %.80q is not a valid process type", name)
			}
		}
		g.suspended = slices.DeleteFunc(g.suspended, func(p string) bool { return slices.Contains(named, p) })
		if stop {
			g.suspended = append(g.suspended, named...)
		} else {
			c.look(c.realm, g, c.now.Add(c.cfg.Timing.Reconcile))
		}
		return []node(nil), nil
	}
}

func terminateMember(c *call) (any, error) {
	id := c.p.str("InstanceId")
	decrement := c.p.is("ShouldDecrementDesiredCapacity")
	for _, g := range c.realm.groups {
		m := find(g.members, func(m *groupMember) bool { return m.id == id })
		if m == nil {
			continue
		}
		if decrement {
			if g.desired-1 < g.min {
				return nil, invalid("Currently, desiredSize equals minSize (%d). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.", g.min)
			}
			g.desired--
		}
		g.because = "instance " + id + " was taken out of service in response to a user request"
		c.dismiss(c.realm, g, m, c.now)
		return []node{nd("Activity", g.activities[len(g.activities)-1].nodes()...)}, nil
	}
	return nil, invalid("Instance Id not found - No managed instance found for instance ID %s", id)
}

func setProtection(c *call, g *group) (any, error) {
	for _, id := range c.p.strs("InstanceIds") {
		m := find(g.members, func(m *groupMember) bool { return m.id == id })
		if m == nil {
			return nil, invalid("The instance %s is not part of Auto Scaling group %s.", id, g.name)
		}
		if m.lifecycle != "InService" {
			return nil, invalid("The instance %s is not in InService or EnteringStandby or Standby.", id)
		}
		m.protected = c.p.is("ProtectedFromScaleIn")
	}
	return []node(nil), nil
}

func enableMetrics(c *call, g *group) (any, error) {
	if c.p.str("Granularity") != "1Minute" {
		return nil, invalid("Invalid granularity: %s", c.p.str("Granularity"))
	}
	named := c.p.strs("Metrics")
	if len(named) == 0 {
		named = strings.Fields("GroupMinSize GroupMaxSize GroupDesiredCapacity GroupInServiceInstances GroupPendingInstances GroupStandbyInstances GroupTerminatingInstances GroupTotalInstances")
	}
	for _, m := range named {
		if !slices.Contains(g.metrics, m) {
			g.metrics = append(g.metrics, m)
		}
	}
	return []node(nil), nil
}

func disableMetrics(c *call, g *group) (any, error) {
	named := c.p.strs("Metrics")
	g.metrics = slices.DeleteFunc(g.metrics, func(m string) bool { return len(named) == 0 || slices.Contains(named, m) })
	return []node(nil), nil
}

// readGroupTags reads the tags of a request about one group, or about any if group is "".
func readGroupTags(p *tree, group string) ([]groupTag, error) {
	var out []groupTag
	for _, t := range p.items("Tags") {
		tag := groupTag{t.str("Key"), t.str("Value"), t.is("PropagateAtLaunch")}
		kind, id := t.or("ResourceType", "auto-scaling-group"), t.or("ResourceId", group)
		switch {
		case tag.key == "" || len(tag.key) > 128 || len(tag.value) > 256:
			return nil, invalid("1 validation error detected: Value '%.140s' at 'tags.member.key' failed to satisfy constraint: Member must have length between 1 and 128", tag.key)
		case strings.HasPrefix(strings.ToLower(tag.key), "aws:"):
			return nil, invalid("Tag keys must not start with aws:")
		case kind != "auto-scaling-group":
			return nil, invalid("Resource type %.80q is not valid", kind)
		case group != "" && id != group:
			return nil, invalid("The resource id %.80q of a tag is not the group's name", id)
		}
		out = append(out, tag)
	}
	return out, nil
}

func (g *group) tagNode(t groupTag) node {
	return member(tx("ResourceId", g.name), tx("ResourceType", "auto-scaling-group"), tx("Key", t.key), tx("Value", t.value),
		flag("PropagateAtLaunch", t.propagate))
}

// eachGroupTag calls do for each tag of a request with the group it is of.
func (c *call) eachGroupTag(do func(*group, groupTag)) (any, error) {
	tags, err := readGroupTags(c.p, "")
	if err != nil {
		return nil, err
	}
	var groups []*group
	for _, t := range c.p.items("Tags") {
		g, err := c.realm.group(t.str("ResourceId"))
		if err != nil {
			return nil, err
		}
		c.lag(g)
		groups = append(groups, g)
	}
	for i, tag := range tags {
		do(groups[i], tag)
	}
	return []node(nil), nil
}

func createGroupTags(c *call) (any, error) {
	return c.eachGroupTag(func(g *group, tag groupTag) {
		if at := slices.IndexFunc(g.tags, func(t groupTag) bool { return t.key == tag.key }); at >= 0 {
			g.tags[at] = tag
			return
		}
		g.tags = append(g.tags, tag)
	})
}

func deleteGroupTags(c *call) (any, error) {
	return c.eachGroupTag(func(g *group, tag groupTag) {
		g.tags = slices.DeleteFunc(g.tags, func(t groupTag) bool { return t.key == tag.key })
	})
}

func describeGroupTags(c *call) (any, error) {
	type owned struct {
		groupTag

		of *group
	}
	var all []owned
	for _, g := range c.realm.groups {
		for _, t := range g.tags {
			all = append(all, owned{t, g})
		}
	}
	all, err := keep(all, filtersOf(c.p, "Values"), "auto-scaling-group key value propagate-at-launch", func(t owned, name string) []string {
		switch name {
		case "auto-scaling-group":
			return []string{t.of.name}
		case "key":
			return []string{t.key}
		case "value":
			return []string{t.value}
		case "propagate-at-launch":
			return []string{truth(t.propagate)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return asgPage(c, "Tags", all, 100, func(t owned) node { return t.of.tagNode(t.groupTag) })
}
