package awssim

import (
	"slices"
	"strings"
	"time"
)

// group is an Auto Scaling group.
type group struct {
	realmKey

	name, uuid         string
	min, max, desired  int
	template           templateRef
	mixed              *tree // MixedInstancesPolicy as it was sent
	subnets            []*subnet
	role               string // ARN of the service-linked role
	healthType         string
	grace, cooldown    int
	protect            bool // new instances from scale-in
	rebalance          bool
	policies           []string // termination
	lifetime, warmup   string
	status             string
	created            time.Time
	tags               []groupTag
	hooks              []*hook
	suspended          []string
	metrics            []string
	loadBalancers      []string
	targetGroups       []string
	members            []*groupMember
	activities         []*activity // oldest first
	because            string      // what asked for the present capacity, for the next activity's cause
	planned            time.Time   // of the next look; zero: none
	turn               int         // of the subnets
	deletionProtection string
	launches           map[string][]node // answers of LaunchInstances by token
	refreshes          []*refresh
	shown              *node     // what reads still see of it
	shownUntil         time.Time // until then
}

// templateRef names a launch template as a group does: the version may be $Latest.
type templateRef struct{ id, name, version string }

// groupMember is an instance in a group.
type groupMember struct {
	*instance

	lifecycle string // Pending, Pending:Wait, Pending:Proceed, InService, Terminating
	health    string
	protected bool
	ref       templateRef // version as a number
	waits     []*wait
	activity  *activity // its launch
}

// groupTag is a tag of a group.
type groupTag struct {
	key, value string
	propagate  bool
}

func (g *group) arn() string {
	return g.realmKey.arn(serviceASG, "autoScalingGroup:"+g.uuid+":autoScalingGroupName/"+g.name)
}

func (g *group) stopped(process string) bool { return slices.Contains(g.suspended, process) }

func autoscalingActions() map[string]action {
	return map[string]action{
		"CreateAutoScalingGroup":              createGroup,
		"UpdateAutoScalingGroup":              onGroup(updateGroup),
		"SetDesiredCapacity":                  onGroup(setDesired),
		"DeleteAutoScalingGroup":              onGroup(deleteGroup),
		"DescribeAutoScalingGroups":           describeGroups,
		"DescribeAutoScalingInstances":        describeMembers,
		"DescribeScalingActivities":           describeActivities,
		"SuspendProcesses":                    onGroup(suspend(true)),
		"ResumeProcesses":                     onGroup(suspend(false)),
		"CompleteLifecycleAction":             onGroup(completeHook),
		"RecordLifecycleActionHeartbeat":      onGroup(heartbeat),
		"PutLifecycleHook":                    onGroup(putHook),
		"DeleteLifecycleHook":                 onGroup(deleteHook),
		"DescribeLifecycleHooks":              onGroup(describeHooks),
		"TerminateInstanceInAutoScalingGroup": terminateMember,
		"SetInstanceProtection":               onGroup(setProtection),
		"EnableMetricsCollection":             onGroup(enableMetrics),
		"DisableMetricsCollection":            onGroup(disableMetrics),
		"LaunchInstances":                     onGroup(launchInstances),
		"StartInstanceRefresh":                onGroup(startRefresh),
		"CancelInstanceRefresh":               onGroup(cancelRefresh),
		"DescribeInstanceRefreshes":           onGroup(describeRefreshes),
		"CreateOrUpdateTags":                  createGroupTags,
		"DeleteTags":                          deleteGroupTags,
		"DescribeTags":                        describeGroupTags,
	}
}

// onGroup finds the group that a request names.
func onGroup(do func(*call, *group) (any, error)) action {
	return func(c *call) (any, error) {
		g, err := c.realm.group(c.p.str("AutoScalingGroupName"))
		if err != nil {
			return nil, err
		}
		if !readOnly(c.action) {
			c.lag(g)
		}
		return do(c, g)
	}
}

func (r *realm) group(name string) (*group, error) {
	if name == "" {
		return nil, invalid("1 validation error detected: Value null at 'autoScalingGroupName' failed to satisfy constraint: Member must not be null")
	}
	g := find(r.groups, func(g *group) bool { return g.name == name })
	if g == nil {
		return nil, invalid("AutoScalingGroup name not found - AutoScalingGroup '%s' not found", name)
	}
	return g, nil
}

// asgPage cuts an answer of EC2 Auto Scaling into pages.
func asgPage[T any](c *call, name string, all []T, most int, each func(T) node) (any, error) {
	asked, err := c.p.num("MaxRecords", 0)
	if err != nil {
		return nil, invalid("MaxRecords must be a number")
	}
	limit := 50
	if asked > 0 {
		limit = min(asked, most)
	}
	page, next, ok := cut(all, c.p.str("NextToken"), c.smaller(limit, most))
	if !ok {
		return nil, refuse("InvalidNextToken", "The token is invalid.")
	}
	return []node{list(name, page, each), opt("NextToken", next)}, nil
}

func describeGroups(c *call) (any, error) {
	names := c.p.strs("AutoScalingGroupNames")
	var all []*group
	for _, g := range c.realm.groups {
		// A name that is not there is no error: the answer is just without it.
		if (len(names) == 0 || slices.Contains(names, g.name)) && !c.unseen(g.created) {
			all = append(all, g)
		}
	}
	for _, f := range filtersOf(c.p, "Values") {
		if !strings.HasPrefix(f.name, "tag") {
			return nil, invalid("Filter type %s is not correct. Allowed Filter types are: tag-key tag-value tag:<key>", f.name)
		}
		all = slices.DeleteFunc(all, func(g *group) bool { return !f.matches(tagValues(g.tagMap(), f.name)) })
	}
	return asgPage(c, "AutoScalingGroups", all, 100, func(g *group) node {
		if g.shown != nil && c.now.Before(g.shownUntil) {
			return *g.shown
		}
		return g.describe()
	})
}

func (g *group) tagMap() map[string]string {
	out := map[string]string{}
	for _, t := range g.tags {
		out[t.key] = t.value
	}
	return out
}

func (t templateRef) node(name string) node {
	return nd(name, tx("LaunchTemplateId", t.id), tx("LaunchTemplateName", t.name), opt("Version", t.version))
}

func (g *group) describe() node {
	var ids, zones []string
	for _, s := range g.subnets {
		ids = append(ids, s.id)
		if !slices.Contains(zones, s.zone) {
			zones = append(zones, s.zone)
		}
	}
	out := member(tx("AutoScalingGroupName", g.name), tx("AutoScalingGroupARN", g.arn()))
	if g.mixed != nil {
		out.kids = append(out.kids, echo("MixedInstancesPolicy", g.mixed))
	} else {
		out.kids = append(out.kids, g.template.node("LaunchTemplate"))
	}
	out.kids = append(out.kids, num("MinSize", g.min), num("MaxSize", g.max), num("DesiredCapacity", g.desired),
		num("DefaultCooldown", g.cooldown), texts("AvailabilityZones", zones), texts("LoadBalancerNames", g.loadBalancers),
		texts("TargetGroupARNs", g.targetGroups), tx("HealthCheckType", g.healthType), num("HealthCheckGracePeriod", g.grace),
		list("Instances", g.members, func(m *groupMember) node { return member(m.describe()...) }), stamp("CreatedTime", g.created),
		list("SuspendedProcesses", g.suspended, func(p string) node {
			return member(tx("ProcessName", p), tx("SuspensionReason", "User suspended"))
		}),
		tx("VPCZoneIdentifier", strings.Join(ids, ",")), opt("Status", g.status),
		list("EnabledMetrics", g.metrics, func(m string) node { return member(tx("Metric", m), tx("Granularity", "1Minute")) }),
		list("Tags", g.tags, g.tagNode), texts("TerminationPolicies", g.policies),
		flag("NewInstancesProtectedFromScaleIn", g.protect), tx("ServiceLinkedRoleARN", g.role), opt("MaxInstanceLifetime", g.lifetime),
		flag("CapacityRebalance", g.rebalance), opt("DefaultInstanceWarmup", g.warmup), opt("DeletionProtection", g.deletionProtection),
		nd("TrafficSources"))
	return out
}

// describe prints a member as its group sees it.
func (m *groupMember) describe() []node {
	return []node{
		tx("InstanceId", m.id), tx("InstanceType", m.kind), tx("AvailabilityZone", m.subnet.zone), tx("LifecycleState", m.lifecycle),
		tx("HealthStatus", m.health), m.ref.node("LaunchTemplate"), flag("ProtectedFromScaleIn", m.protected),
	}
}

// echo prints a part of a request as it was sent; the query services spell both ways alike.
func echo(name string, t *tree) node {
	out := node{name: name, text: t.value}
	listed := t.listed()
	for _, key := range t.names() {
		if listed {
			out.kids = append(out.kids, echo("member", t.kids[key]))
			continue
		}
		out.kids = append(out.kids, echo(key, t.kids[key]))
	}
	return out
}

func describeMembers(c *call) (any, error) {
	type owned struct {
		*groupMember

		of *group
	}
	ids := c.p.strs("InstanceIds")
	var all []owned
	for _, g := range c.realm.groups {
		for _, m := range g.members {
			if len(ids) == 0 || slices.Contains(ids, m.id) {
				all = append(all, owned{m, g})
			}
		}
	}
	return asgPage(c, "AutoScalingInstances", all, 50, func(m owned) node {
		health := strings.ToUpper(m.health)
		return member(tx("InstanceId", m.id), tx("InstanceType", m.kind), tx("AutoScalingGroupName", m.of.name),
			tx("AvailabilityZone", m.subnet.zone), tx("LifecycleState", m.lifecycle), tx("HealthStatus", health),
			m.ref.node("LaunchTemplate"), flag("ProtectedFromScaleIn", m.protected))
	})
}
