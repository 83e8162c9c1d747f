package awssim

import (
	"fmt"
	"slices"
	"time"
)

// activity is a scaling activity.
type activity struct {
	id, group, groupARN string
	description, cause  string
	status, message     string
	details             string
	progress            int
	start, end          time.Time
}

// begin starts an activity of a group.
func (w *world) begin(g *group, description, cause string, in *subnet, now time.Time) *activity {
	a := &activity{
		id: w.uuid(), group: g.name, groupARN: g.arn(), description: description, cause: cause, start: now,
		status: "InProgress", details: fmt.Sprintf(`{"Subnet ID":%q,"Availability Zone":%q}`, in.id, in.zone),
	}
	g.activities = append(g.activities, a)
	return a
}

func (a *activity) finish(status, message string, now time.Time) {
	a.status, a.message, a.end, a.progress = status, message, now, 100
}

func (a *activity) nodes() []node {
	return []node{
		tx("ActivityId", a.id), tx("AutoScalingGroupName", a.group), tx("Description", a.description), tx("Cause", a.cause),
		stamp("StartTime", a.start), stamp("EndTime", a.end), tx("StatusCode", a.status), opt("StatusMessage", a.message),
		num("Progress", a.progress), tx("Details", a.details), tx("AutoScalingGroupARN", a.groupARN),
	}
}

func describeActivities(c *call) (any, error) {
	name, ids := c.p.str("AutoScalingGroupName"), c.p.strs("ActivityIds")
	groups := slices.Clone(c.realm.groups)
	if c.p.is("IncludeDeletedGroups") {
		groups = append(groups, c.realm.buried...)
	}
	known := name == ""
	var all []*activity
	for _, g := range groups {
		if name != "" && g.name != name && g.arn() != name {
			continue
		}
		known = true
		for _, a := range g.activities {
			if len(ids) == 0 || slices.Contains(ids, a.id) {
				all = append(all, a)
			}
		}
	}
	if !known {
		return nil, invalid("AutoScalingGroup name not found - AutoScalingGroup '%s' not found", name)
	}
	slices.SortStableFunc(all, func(a, b *activity) int { return b.start.Compare(a.start) })
	return asgPage(c, "Activities", all, 100, func(a *activity) node { return member(a.nodes()...) })
}
