package awssim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// look plans the next time that a group compares what it has with what it wants.
func (w *world) look(r *realm, g *group, when time.Time) {
	if !g.planned.IsZero() && !when.Before(g.planned) {
		return // an earlier look is planned, and it plans the next if it must
	}
	g.planned = when
	w.at(when, func(now time.Time) {
		if g.planned.Equal(when) {
			g.planned = time.Time{}
			w.reconcile(r, g, now)
		}
	})
}

// reconcile makes a group launch or terminate.
func (w *world) reconcile(r *realm, g *group, now time.Time) {
	var kept []*groupMember
	for _, m := range g.members {
		if !strings.HasPrefix(m.lifecycle, "Terminating") {
			kept = append(kept, m)
		}
	}
	if g.status != "" {
		for _, m := range kept {
			w.dismiss(r, g, m, now)
		}
		if len(g.members) == 0 {
			w.bury(r, g, now)
		}
		return
	}
	for n := len(kept); n < g.desired && !g.stopped("Launch"); n++ {
		w.launchMember(r, g, n, now)
	}
	if len(kept) <= g.desired || g.stopped("Terminate") {
		return
	}
	// Those that are not in service yet go first, then the oldest.
	slices.SortStableFunc(kept, func(a, b *groupMember) int {
		return strings.Compare(inService(a), inService(b))
	})
	surplus := len(kept) - g.desired
	for _, m := range kept {
		if surplus > 0 && !m.protected {
			w.dismiss(r, g, m, now)
			surplus--
		}
	}
}

func inService(m *groupMember) string {
	if m.lifecycle == "InService" {
		return "1"
	}
	return "0"
}

// cause says why a group acts, in the words of Auto Scaling.
func (g *group) cause(what string, now time.Time) string {
	at := now.UTC().Format("2006-01-02T15:04:05Z")
	out := ""
	if g.because != "" {
		out = "At " + at + " " + g.because + ".  "
	}
	return out + "At " + at + " " + what
}

// launchMember starts one instance in the next subnet.
func (w *world) launchMember(r *realm, g *group, have int, now time.Time) {
	into := g.subnets[g.turn%len(g.subnets)]
	g.turn++
	if _, err := w.launchInto(r, g, into, have, now); err != nil {
		w.look(r, g, now.Add(w.relaunch(g)))
	}
}

// launchInto starts one instance with the rights of the group's service-linked role. Error: EC2's refusal,
// for which there is no instance; its activity ended in the second in which it began.
func (w *world) launchInto(r *realm, g *group, into *subnet, have int, now time.Time) (*groupMember, error) {
	cause := g.cause(fmt.Sprintf("an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d.", have, have+1), now)
	a := w.begin(g, "Launching a new EC2 instance", cause, into, now)
	p, err := w.recipe(r, g, into)
	if err == nil {
		err = r.room(1)
	}
	if refusal, ok := errors.AsType[*apiError](err); ok {
		message := strings.TrimSuffix(refusal.message, ".") + ". Launching EC2 instance failed."
		a.description += ".  Status Reason: " + message
		a.finish("Failed", message, now)
		return nil, err
	}
	m := &groupMember{lifecycle: "Pending", health: "Healthy", protected: g.protect, activity: a}
	m.ref = templateRef{p.template.id, p.template.name, itoa(p.version)}
	role := identity{ARN: g.role, Principal: g.role, Account: g.account}
	m.instance = w.launch(r, p, role, now, func(now time.Time) { w.arrived(r, g, m, now) }, func(now time.Time) {
		w.at(now.Add(w.cfg.Timing.Notice), func(now time.Time) { w.stillborn(r, g, m, now) })
	})
	m.group = g
	a.description += ": " + m.id
	a.status, a.progress = "PreInService", 30
	g.members = append(g.members, m)
	return m, nil
}

// relaunch is how long a group waits after a failed launch. guess: after five failures in a row it takes
// ten times as long.
func (w *world) relaunch(g *group) time.Duration {
	failed := 0
	for _, a := range slices.Backward(g.activities) {
		if a.status != "Failed" && a.status != "Cancelled" {
			break
		}
		failed++
	}
	if failed > 5 {
		return 10 * w.cfg.Timing.Relaunch
	}
	return w.cfg.Timing.Relaunch
}

// recipe resolves the group's template into something to launch.
func (w *world) recipe(r *realm, g *group, into *subnet) (*plan, error) {
	// guess: the first override is what is launched; in reality the allocation strategy decides.
	from := override{template: g.template}
	if overrides := g.overrides(); len(overrides) > 0 {
		from = overrides[0]
	}
	t, err := r.template(from.template.id, "")
	if err != nil {
		return nil, err
	}
	v, err := t.version(from.template.version)
	if err != nil {
		return nil, err
	}
	p, err := w.prepare(r, v.data, into)
	if err != nil {
		return nil, err
	}
	p.template, p.version = t, v.number
	p.kind = cmp.Or(from.kind, p.kind)
	p.tags = maps.Clone(p.tags)
	for _, tag := range g.tags {
		if tag.propagate {
			p.tags[tag.key] = tag.value
		}
	}
	p.tags["aws:autoscaling:groupName"] = g.name
	return p, nil
}

// arrived is called when a member runs: hooks hold it, or it goes into service.
func (w *world) arrived(r *realm, g *group, m *groupMember, now time.Time) {
	if m.lifecycle != "Pending" {
		return
	}
	for _, h := range g.hooks {
		if h.transition == launching {
			w.hold(r, g, m, h, now)
		}
	}
	if len(m.waits) == 0 {
		w.serveMember(m, now)
		return
	}
	m.lifecycle = "Pending:Wait"
	m.activity.status, m.activity.progress = "MidLifecycleAction", 60
}

func (w *world) serveMember(m *groupMember, now time.Time) {
	m.lifecycle = "InService"
	m.activity.finish("Successful", "", now)
}

// stillborn is called when the group notices that an instance died at launch. It tries again for ever.
func (w *world) stillborn(r *realm, g *group, m *groupMember, now time.Time) {
	if !slices.Contains(g.members, m) || !m.activity.end.IsZero() {
		return
	}
	message := "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: " + m.doomed.reason()
	m.activity.description += ".  Status Reason: " + message
	m.activity.finish(m.doomed.Status, message, now)
	g.remove(m)
	g.because = ""
	w.look(r, g, now.Add(w.relaunch(g)))
	if g.status != "" {
		w.look(r, g, now)
	}
}

func (g *group) remove(m *groupMember) {
	g.members = slices.DeleteFunc(g.members, func(x *groupMember) bool { return x == m })
}

// dismiss terminates a member.
func (w *world) dismiss(r *realm, g *group, m *groupMember, now time.Time) {
	if m.activity != nil && m.activity.end.IsZero() {
		m.activity.finish("Cancelled", "Instance was terminated before it was in service", now)
	}
	a := w.begin(g, "Terminating EC2 instance: "+m.id, g.cause("instance "+m.id+" was selected for termination.", now), m.subnet, now)
	a.status, a.progress = "InProgress", 50
	m.lifecycle = "Terminating"
	m.waits = nil
	w.terminate(r, m.instance, "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown", now, func(now time.Time) {
		a.finish("Successful", "", now)
		g.remove(m)
		w.look(r, g, now)
	})
}

// lost is called when an instance ended that no group had ordered to. Its group replaces it.
func (w *world) lost(i *instance, now time.Time) {
	g := i.group
	if g == nil {
		return
	}
	r := w.realm(g.account, g.region)
	m := find(g.members, func(m *groupMember) bool { return m.instance == i })
	if m == nil || m.lifecycle == "Terminating" {
		return
	}
	if m.activity != nil && m.activity.end.IsZero() {
		f := Failure{Code: i.reasonCode, Message: "User initiated shutdown", Status: "Cancelled"}
		m.doomed = &f
		w.stillborn(r, g, m, now)
		return
	}
	m.health = "Unhealthy"
	if g.stopped("ReplaceUnhealthy") || g.stopped("HealthCheck") {
		return
	}
	g.because = "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped"
	w.dismiss(r, g, m, now)
}
