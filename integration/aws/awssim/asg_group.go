package awssim

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

func createGroup(c *call) (any, error) {
	name := c.p.str("AutoScalingGroupName")
	if name == "" || len(name) > 255 {
		return nil, invalid("1 validation error detected: Value '%.300s' at 'autoScalingGroupName' failed to satisfy constraint: Member must have length between 1 and 255", name)
	}
	if g, err := c.realm.group(name); err == nil {
		if g.status != "" {
			return nil, refuse("AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name %s already exists and is pending delete", name)
		}
		return nil, refuse("AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name %s already exists", name)
	}
	g := &group{
		realmKey: c.realm.realmKey, name: name, uuid: c.uuid(), created: c.now, role: c.realm.defaultRole(), healthType: "EC2",
		cooldown: 300, policies: []string{"Default"}, deletionProtection: c.p.or("DeletionProtection", "none"),
	}
	for _, need := range []string{"MinSize", "MaxSize"} {
		if !c.p.has(need) {
			return nil, invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", lower(need))
		}
	}
	if !c.p.has("LaunchTemplate") && !c.p.has("MixedInstancesPolicy") {
		return nil, invalid("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
	}
	if err := g.apply(c, true); err != nil {
		return nil, err
	}
	if len(g.subnets) == 0 {
		return nil, invalid("At least one Availability Zone or VPC Subnet is required.")
	}
	tags, err := readGroupTags(c.p, name)
	if err != nil {
		return nil, err
	}
	g.tags = tags
	for _, spec := range c.p.items("LifecycleHookSpecificationList") {
		h, err := readHook(spec)
		if err != nil {
			return nil, err
		}
		g.hooks = append(g.hooks, h)
	}
	if _, err := c.realm.group(name); err == nil {
		return nil, refuse("AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name %s already exists", name)
	}
	c.realm.groups = append(c.realm.groups, g)
	g.because = "a user request created an AutoScalingGroup changing the desired capacity from 0 to " + itoa(g.desired)
	c.look(c.realm, g, c.now.Add(c.cfg.Timing.Reconcile))
	return []node(nil), nil
}

// apply takes over what a create or update request says, and refuses what does not fit together. It
// works on g only when all is well.
func (g *group) apply(c *call, fresh bool) error {
	draft := *g
	if err := draft.sizes(c, fresh); err != nil {
		return err
	}
	for field, name := range map[*int]string{&draft.grace: "HealthCheckGracePeriod", &draft.cooldown: "DefaultCooldown"} {
		n, err := c.p.num(name, *field)
		if err != nil {
			return invalid("%s must be a number", name)
		}
		*field = n
	}
	draft.healthType = c.p.or("HealthCheckType", draft.healthType)
	draft.protect = c.p.or("NewInstancesProtectedFromScaleIn", truth(draft.protect)) == "true"
	draft.rebalance = c.p.or("CapacityRebalance", truth(draft.rebalance)) == "true"
	draft.lifetime = c.p.or("MaxInstanceLifetime", draft.lifetime)
	draft.warmup = c.p.or("DefaultInstanceWarmup", draft.warmup)
	draft.deletionProtection = c.p.or("DeletionProtection", draft.deletionProtection)
	if list := c.p.strs("TerminationPolicies"); len(list) > 0 {
		draft.policies = list
	}
	draft.targetGroups = append(draft.targetGroups, c.p.strs("TargetGroupARNs")...)
	draft.loadBalancers = append(draft.loadBalancers, c.p.strs("LoadBalancerNames")...)
	if role := c.p.str("ServiceLinkedRoleARN"); role != "" {
		if c.roles[role] == nil || !isServiceLinked(role) {
			return invalid("ARN specified for Service-Linked Role does not exist.")
		}
		if role != c.realm.defaultRole() {
			if err := c.may(passRole(role, "autoscaling.amazonaws.com")); err != nil {
				return err
			}
		}
		draft.role = role
	}
	if err := draft.places(c); err != nil {
		return err
	}
	if err := draft.source(c); err != nil {
		return err
	}
	*g = draft
	return nil
}

func (g *group) sizes(c *call, fresh bool) error {
	var err error
	if g.min, err = c.p.num("MinSize", g.min); err != nil {
		return invalid("MinSize must be a number")
	}
	if g.max, err = c.p.num("MaxSize", g.max); err != nil {
		return invalid("MaxSize must be a number")
	}
	def := min(max(g.desired, g.min), g.max)
	if fresh {
		def = g.min
	}
	if g.desired, err = c.p.num("DesiredCapacity", def); err != nil {
		return invalid("DesiredCapacity must be a number")
	}
	switch {
	case g.min < 0 || g.max < 0:
		return invalid("Sizes must not be negative")
	case g.min > g.max:
		return invalid("Min bound, %d, must be less than or equal to max bound, %d", g.min, g.max)
	case g.desired < g.min || g.desired > g.max:
		return invalid("Desired capacity:%d must be between the specified min size:%d and max size:%d", g.desired, g.min, g.max)
	}
	return nil
}

// places reads subnets or zones.
func (g *group) places(c *call) error {
	ids := strings.FieldsFunc(c.p.str("VPCZoneIdentifier"), func(r rune) bool { return r == ',' || r == ' ' })
	zones := c.p.strs("AvailabilityZones")
	if len(ids) == 0 && len(zones) == 0 {
		return nil
	}
	var subnets []*subnet
	for _, id := range ids {
		s := find(c.realm.subnets, func(s *subnet) bool { return s.id == id })
		if s == nil {
			return invalid("The subnet ID '%s' does not exist", id)
		}
		subnets = append(subnets, s)
	}
	if len(ids) == 0 {
		for _, zone := range zones {
			s := find(c.realm.subnets, func(s *subnet) bool { return s.zone == zone && s.standard })
			if s == nil {
				return invalid("Invalid availability zone: [%s]", zone)
			}
			subnets = append(subnets, s)
		}
	}
	g.subnets = subnets
	return nil
}

// source reads the launch template, alone or in a mixed instances policy. Auto Scaling tries it with the
// caller's rights, though the role will launch.
func (g *group) source(c *call) error {
	spec := c.p.at("LaunchTemplate")
	if c.p.has("MixedInstancesPolicy") {
		g.mixed = c.p.at("MixedInstancesPolicy").useAll().clone()
		spec = g.mixed.at("LaunchTemplate").at("LaunchTemplateSpecification")
	} else if len(spec.kids) > 0 {
		g.mixed = nil
	}
	if len(spec.kids) == 0 {
		return nil
	}
	t, err := c.realm.template(spec.str("LaunchTemplateId"), spec.str("LaunchTemplateName"))
	if err != nil {
		return formed(err)
	}
	g.template = templateRef{t.id, t.name, spec.or("Version", "$Default")}
	if g.mixed != nil {
		g.template.complete(g.mixed.child("LaunchTemplate").child("LaunchTemplateSpecification"))
		if err := g.overriding(c.realm); err != nil {
			return formed(err)
		}
	}
	var into *subnet
	if len(g.subnets) > 0 {
		into = g.subnets[0]
	}
	for _, ref := range g.sources() {
		t, err := c.realm.template(ref.id, "")
		if err != nil {
			return formed(err)
		}
		v, err := t.version(ref.version)
		if err != nil {
			return formed(err)
		}
		p, err := c.prepare(c.realm, v.data, into)
		if err != nil {
			return formed(err)
		}
		p.template, p.version = t, v.number
		if c.may(c.runNeeds(p, into != nil)...) != nil {
			return notAuthorized(t)
		}
	}
	return nil
}

// notAuthorized is all that Auto Scaling says when the caller may not run instances, or not pass the role
// of their profile.
func notAuthorized(t *template) error {
	return &apiError{http.StatusForbidden, "AccessDenied", "You are not authorized to use launch template: " + t.id}
}

// formed wraps EC2's refusal of a template in Auto Scaling's words.
func formed(err error) error {
	if refusal, ok := errors.AsType[*apiError](err); ok {
		return invalid("You must use a valid fully-formed launch template. %s", refusal.message)
	}
	return err
}

func updateGroup(c *call, g *group) (any, error) {
	if g.status != "" {
		return nil, pendingDelete(g)
	}
	was := g.desired
	if err := g.apply(c, false); err != nil {
		return nil, err
	}
	if g.desired != was {
		g.because = "a user request update of AutoScalingGroup constraints to min: " + itoa(g.min) + ", max: " + itoa(g.max) +
			", desired: " + itoa(g.desired) + " changing the desired capacity from " + itoa(was) + " to " + itoa(g.desired)
	}
	c.look(c.realm, g, c.now.Add(c.cfg.Timing.Reconcile))
	return []node(nil), nil
}

func pendingDelete(g *group) error {
	return refuse("ScalingActivityInProgress", "AutoScalingGroup '%s' is pending delete and cannot be changed", g.name)
}

func setDesired(c *call, g *group) (any, error) {
	if g.status != "" {
		return nil, pendingDelete(g)
	}
	_ = c.p.str("HonorCooldown") // cooldowns belong to scaling policies, of which there are none
	if !c.p.has("DesiredCapacity") {
		return nil, invalid("1 validation error detected: Value null at 'desiredCapacity' failed to satisfy constraint: Member must not be null")
	}
	n, err := c.p.num("DesiredCapacity", 0)
	if err != nil {
		return nil, invalid("DesiredCapacity must be a number")
	}
	switch {
	case n > g.max:
		return nil, invalid("New SetDesiredCapacity value %d is above max value %d for the AutoScalingGroup.", n, g.max)
	case n < g.min:
		return nil, invalid("New SetDesiredCapacity value %d is below min value %d for the AutoScalingGroup.", n, g.min)
	}
	g.because = "a user request explicitly set group desired capacity changing the desired capacity from " + itoa(g.desired) + " to " + itoa(n)
	g.desired = n
	c.look(c.realm, g, c.now.Add(c.cfg.Timing.Reconcile))
	return []node(nil), nil
}

func deleteGroup(c *call, g *group) (any, error) {
	force := c.p.is("ForceDelete")
	switch {
	case g.deletionProtection == "prevent-all-deletion" || force && g.deletionProtection == "prevent-force-deletion":
		return nil, refuse("ResourceInUse", "AutoScalingGroup '%s' has deletion protection '%s'", g.name, g.deletionProtection)
	case force:
	case slices.ContainsFunc(g.activities, func(a *activity) bool { return a.end.IsZero() }):
		return nil, refuse("ScalingActivityInProgress", "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.")
	case len(g.members) > 0:
		return nil, refuse("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
	}
	g.status = "Delete in progress"
	g.min, g.desired = 0, 0
	g.because = "a user request to delete the AutoScalingGroup"
	c.look(c.realm, g, c.now)
	c.advance(c.now)
	return []node(nil), nil
}

// bury takes a group off the list. Its activities can be read for six weeks more.
func (w *world) bury(r *realm, g *group, now time.Time) {
	r.groups = slices.DeleteFunc(r.groups, func(x *group) bool { return x == g })
	r.buried = append(r.buried, g)
	w.at(now.Add(w.cfg.Timing.ActivityStays), func(time.Time) {
		r.buried = slices.DeleteFunc(r.buried, func(x *group) bool { return x == g })
	})
}
