package awssim

import (
	"errors"
	"slices"
)

// launchInstances launches at once, into one subnet, and says what it got an id for: the API reference of
// LaunchInstances. What has an id may still die. guess: KMS sees the group's role, as in launches that the
// group makes by itself; the caller must hold ec2:CreateFleet.
func launchInstances(c *call, g *group) (any, error) {
	token := c.p.str("ClientToken")
	n, err := c.p.num("RequestedCapacity", 0)
	switch {
	case token == "":
		return nil, invalid("1 validation error detected: Value null at 'clientToken' failed to satisfy constraint: Member must not be null")
	case err != nil || n < 1 || n > 100:
		return nil, invalid("1 validation error detected: Value '%d' at 'requestedCapacity' failed to satisfy constraint: Member must have value between 1 and 100", n)
	case g.status != "":
		return nil, pendingDelete(g)
	case g.stopped("Launch"):
		return nil, invalid("The Launch process of AutoScalingGroup '%s' is suspended.", g.name)
	}
	if again := g.launches[token]; again != nil {
		return again, nil
	}
	into, err := g.one(c.p.strs("SubnetIds"), c.p.strs("AvailabilityZones"))
	if err != nil {
		return nil, err
	}
	if g.desired+n > g.max {
		return nil, invalid("RequestedCapacity %d would raise the desired capacity above the max size %d of the AutoScalingGroup.", n, g.max)
	}
	if err := c.may(access{perm: permission(serviceEC2, "CreateFleet"), resource: c.realm.arn(serviceEC2, "fleet/*")}); err != nil {
		return nil, err
	}
	g.because = "a user request to launch " + itoa(n) + " instances"
	var ids []string
	var refusal *apiError
	kind := ""
	for have := len(g.members); n > 0; n-- {
		m, err := c.launchInto(c.realm, g, into, have, c.now)
		if errors.As(err, &refusal) {
			continue
		}
		have++
		kind = m.kind
		ids = append(ids, m.id)
		g.desired++
	}
	if refusal != nil && c.p.str("RetryStrategy") == "retry-with-group-configuration" {
		want, _ := c.p.num("RequestedCapacity", 0) // read above
		g.desired += want - len(ids)
		c.look(c.realm, g, c.now.Add(c.relaunch(g)))
	}
	where := []node{tx("SubnetId", into.id), tx("AvailabilityZone", into.zone), tx("MarketType", "OnDemand")}
	out := []node{tx("AutoScalingGroupName", g.name), tx("ClientToken", token)}
	instances, failures := nd("Instances"), nd("Errors")
	if len(ids) > 0 {
		instances.kids = append(instances.kids, member(slices.Concat(where, []node{opt("InstanceType", kind), texts("InstanceIds", ids)})...))
	}
	if refusal != nil {
		failures.kids = append(failures.kids, member(slices.Concat(where, []node{tx("ErrorCode", refusal.code), tx("ErrorMessage", refusal.message)})...))
	}
	out = append(out, instances, failures)
	if g.launches == nil {
		g.launches = map[string][]node{}
	}
	g.launches[token] = out
	return out, nil
}

// one finds the subnet of the group that a request names by its id or its zone.
func (g *group) one(subnets, zones []string) (*subnet, error) {
	if len(subnets)+len(zones) == 0 {
		if len(g.subnets) > 1 {
			return nil, invalid("A subnet or Availability Zone is required for an AutoScalingGroup with more than one.")
		}
		return g.subnets[0], nil
	}
	into := find(g.subnets, func(s *subnet) bool { return slices.Contains(subnets, s.id) || slices.Contains(zones, s.zone) })
	if into == nil {
		return nil, invalid("The subnet or Availability Zone is not one of the AutoScalingGroup '%s'.", g.name)
	}
	return into, nil
}
