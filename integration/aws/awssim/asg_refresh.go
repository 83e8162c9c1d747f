package awssim

import (
	"slices"
	"strings"
	"time"
)

// refresh is an instance refresh: the group's instances are replaced one by one.
type refresh struct {
	id, status, reason string
	started, ended     time.Time
	stuck              time.Time // since when nothing moved
	old                []*groupMember
	total              int
	preferences        *tree
	desired            *tree
}

// refreshPatience is how long a replacement may take: the user guide, "Instance refresh", on timeouts.
const refreshPatience = time.Hour

func (f *refresh) active() bool { return f.status == "InProgress" || f.status == "Pending" }

func (g *group) refreshing() *refresh { return find(g.refreshes, (*refresh).active) }

// startRefresh begins an instance refresh. guess: a configuration that it brings is the group's at once, not
// at the end.
func startRefresh(c *call, g *group) (any, error) {
	if g.refreshing() != nil {
		return nil, refuse("InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.")
	}
	_ = c.p.str("Strategy") // Rolling is the only one
	f := &refresh{id: c.uuid(), status: "InProgress", started: c.now, stuck: c.now, preferences: c.p.at("Preferences").useAll().clone()}
	if spec := c.p.at("DesiredConfiguration"); len(spec.kids) > 0 {
		f.desired = spec.useAll().clone()
		if lt := spec.at("LaunchTemplate"); len(lt.kids) > 0 {
			t, err := c.realm.template(lt.str("LaunchTemplateId"), lt.str("LaunchTemplateName"))
			if err != nil {
				return nil, formed(err)
			}
			g.template = templateRef{t.id, t.name, lt.or("Version", "$Default")}
		}
	}
	current := ""
	if t, err := c.realm.template(g.template.id, ""); err == nil {
		if v, err := t.version(g.template.version); err == nil {
			current = itoa(v.number)
		}
	}
	for _, m := range g.members {
		matches := m.ref.id == g.template.id && m.ref.version == current
		if !strings.HasPrefix(m.lifecycle, "Terminating") && (!matches || !f.preferences.is("SkipMatching")) {
			f.old = append(f.old, m)
		}
	}
	f.total = len(f.old)
	g.refreshes = append(g.refreshes, f)
	c.at(c.now.Add(c.cfg.Timing.Reconcile), func(now time.Time) { c.renew(c.realm, g, f, now) })
	return []node{tx("InstanceRefreshId", f.id)}, nil
}

// renew takes the next old instance away once all others are in service.
func (w *world) renew(r *realm, g *group, f *refresh, now time.Time) {
	if !f.active() {
		return
	}
	left := len(f.old)
	f.old = slices.DeleteFunc(f.old, func(m *groupMember) bool {
		return !slices.Contains(g.members, m) || strings.HasPrefix(m.lifecycle, "Terminating")
	})
	ready := 0
	for _, m := range g.members {
		if m.lifecycle == "InService" {
			ready++
		}
	}
	whole := ready == g.desired && len(g.members) == ready
	switch {
	case len(f.old) < left:
		f.stuck = now
	case g.status != "" || now.Sub(f.stuck) > refreshPatience:
		f.status, f.reason, f.ended = "Failed", "Replacement instances did not become healthy in time.", now
		return
	}
	switch {
	case whole && len(f.old) == 0:
		f.status, f.ended = "Successful", now
		return
	case whole:
		g.because = "an instance refresh"
		f.stuck = now
		w.dismiss(r, g, f.old[0], now)
		w.look(r, g, now.Add(w.cfg.Timing.Reconcile))
	}
	w.at(now.Add(max(w.cfg.Timing.Reconcile, time.Second)), func(now time.Time) { w.renew(r, g, f, now) })
}

func cancelRefresh(c *call, g *group) (any, error) {
	f := g.refreshing()
	if f == nil {
		return nil, refuse("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found for Auto Scaling group %s", g.name)
	}
	f.status, f.reason, f.ended = "Cancelled", "Cancelled due to user request.", c.now
	return []node{tx("InstanceRefreshId", f.id)}, nil
}

func describeRefreshes(c *call, g *group) (any, error) {
	ids := c.p.strs("InstanceRefreshIds")
	all := slices.DeleteFunc(slices.Clone(g.refreshes), func(f *refresh) bool { return len(ids) > 0 && !slices.Contains(ids, f.id) })
	slices.Reverse(all)
	return asgPage(c, "InstanceRefreshes", all, 100, func(f *refresh) node {
		done := 100
		if f.total > 0 {
			done = 100 * (f.total - len(f.old)) / f.total
		}
		out := member(tx("InstanceRefreshId", f.id), tx("AutoScalingGroupName", g.name), tx("Status", f.status), opt("StatusReason", f.reason),
			stamp("StartTime", f.started), stamp("EndTime", f.ended), num("PercentageComplete", done), num("InstancesToUpdate", len(f.old)),
			echo("Preferences", f.preferences))
		if f.desired != nil {
			out.kids = append(out.kids, echo("DesiredConfiguration", f.desired))
		}
		return out
	})
}
