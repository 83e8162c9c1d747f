package awssim

import (
	"slices"
	"time"
)

const (
	launching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	terminating = "autoscaling:EC2_INSTANCE_TERMINATING" // stored, but nothing waits for it
)

// hook is a lifecycle hook.
type hook struct {
	name, transition, result string
	timeout                  int // seconds
	metadata, target, role   string
}

// wait is an instance waiting in a hook.
type wait struct {
	*hook

	token    string
	deadline time.Time
	longest  time.Time // after which no heartbeat helps
}

func readHook(p *tree) (*hook, error) {
	h := &hook{
		name: p.str("LifecycleHookName"), transition: p.str("LifecycleTransition"), result: p.or("DefaultResult", "ABANDON"),
		metadata: p.str("NotificationMetadata"), target: p.str("NotificationTargetARN"), role: p.str("RoleARN"),
	}
	var err error
	if h.timeout, err = p.num("HeartbeatTimeout", 3600); err != nil {
		return nil, invalid("HeartbeatTimeout must be a number")
	}
	switch {
	case h.name == "":
		return nil, invalid("1 validation error detected: Value null at 'lifecycleHookName' failed to satisfy constraint: Member must not be null")
	case h.transition != launching && h.transition != terminating:
		return nil, invalid("Invalid Lifecycle Transition %.80q", h.transition)
	case h.result != "CONTINUE" && h.result != "ABANDON":
		return nil, invalid("Invalid Lifecycle Action Result. It must be one of CONTINUE, ABANDON")
	case h.timeout < 30 || h.timeout > 7200:
		return nil, invalid("Heartbeat Timeout must be between 30 and 7200 seconds")
	}
	return h, nil
}

func putHook(c *call, g *group) (any, error) {
	h, err := readHook(c.p)
	if err != nil {
		return nil, err
	}
	if old := find(g.hooks, func(x *hook) bool { return x.name == h.name }); old != nil {
		*old = *h
	} else {
		g.hooks = append(g.hooks, h)
	}
	return []node(nil), nil
}

func deleteHook(c *call, g *group) (any, error) {
	name := c.p.str("LifecycleHookName")
	if find(g.hooks, func(h *hook) bool { return h.name == name }) == nil {
		return nil, invalid("No Lifecycle Hook found with name %s", name)
	}
	g.hooks = slices.DeleteFunc(g.hooks, func(h *hook) bool { return h.name == name })
	return []node(nil), nil
}

func describeHooks(c *call, g *group) (any, error) {
	names := c.p.strs("LifecycleHookNames")
	all := slices.DeleteFunc(slices.Clone(g.hooks), func(h *hook) bool { return len(names) > 0 && !slices.Contains(names, h.name) })
	return []node{list("LifecycleHooks", all, func(h *hook) node {
		return member(tx("LifecycleHookName", h.name), tx("AutoScalingGroupName", g.name), tx("LifecycleTransition", h.transition),
			opt("NotificationTargetARN", h.target), opt("RoleARN", h.role), opt("NotificationMetadata", h.metadata),
			num("HeartbeatTimeout", h.timeout), num("GlobalTimeout", min(100*h.timeout, 172800)), tx("DefaultResult", h.result))
	})}, nil
}

// hold makes a member wait in a hook. Who does not answer in time gets the default result.
func (w *world) hold(r *realm, g *group, m *groupMember, h *hook, now time.Time) {
	timeout := time.Duration(h.timeout) * time.Second
	held := &wait{hook: h, token: w.uuid(), deadline: now.Add(timeout), longest: now.Add(min(100*timeout, 48*time.Hour))}
	m.waits = append(m.waits, held)
	w.expire(r, g, m, held)
}

func (w *world) expire(r *realm, g *group, m *groupMember, held *wait) {
	deadline := held.deadline
	w.at(deadline, func(now time.Time) {
		if slices.Contains(m.waits, held) && held.deadline.Equal(deadline) {
			w.release(r, g, m, held, held.result, "Heartbeat Timeout", now)
		}
	})
}

// release ends a wait. guess: an abandoned launch ends Cancelled.
func (w *world) release(r *realm, g *group, m *groupMember, held *wait, result, why string, now time.Time) {
	m.waits = slices.DeleteFunc(m.waits, func(x *wait) bool { return x == held })
	if result == "ABANDON" {
		message := "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token " + held.token + " was abandoned: " + why
		m.activity.description += ".  Status Reason: " + message
		m.activity.finish("Cancelled", message, now)
		g.because = ""
		w.dismiss(r, g, m, now)
		w.look(r, g, now.Add(w.relaunch(g)))
		return
	}
	if len(m.waits) > 0 {
		return
	}
	m.lifecycle = "Pending:Proceed"
	w.at(now.Add(w.cfg.Timing.Reconcile), func(now time.Time) {
		if m.lifecycle == "Pending:Proceed" {
			w.serveMember(m, now)
		}
	})
}

// waiting finds the wait that a request is about, by token or by instance.
func (c *call) waiting(g *group) (*groupMember, *wait, error) {
	name, token, id := c.p.str("LifecycleHookName"), c.p.str("LifecycleActionToken"), c.p.str("InstanceId")
	if find(g.hooks, func(h *hook) bool { return h.name == name }) == nil {
		return nil, nil, invalid("No Lifecycle Hook found with name %s", name)
	}
	for _, m := range g.members {
		for _, held := range m.waits {
			if held.name == name && (token != "" && held.token == token || token == "" && m.id == id) {
				return m, held, nil
			}
		}
	}
	if token != "" {
		return nil, nil, invalid("No active Lifecycle Action found with token %s", token)
	}
	return nil, nil, invalid("No active Lifecycle Action found with instance ID %s", id)
}

func completeHook(c *call, g *group) (any, error) {
	result := c.p.str("LifecycleActionResult")
	if result != "CONTINUE" && result != "ABANDON" {
		return nil, invalid("Invalid Lifecycle Action Result. It must be one of CONTINUE, ABANDON")
	}
	m, held, err := c.waiting(g)
	if err != nil {
		return nil, err
	}
	c.release(c.realm, g, m, held, result, "Lifecycle Action Completed with ABANDON Result", c.now)
	return []node(nil), nil
}

func heartbeat(c *call, g *group) (any, error) {
	m, held, err := c.waiting(g)
	if err != nil {
		return nil, err
	}
	held.deadline = c.now.Add(time.Duration(held.timeout) * time.Second)
	if held.deadline.After(held.longest) {
		held.deadline = held.longest
	}
	c.expire(c.realm, g, m, held)
	return []node(nil), nil
}
