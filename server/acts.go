package server

import (
	"strconv"

	"github.com/upgradegate/upgradegate/upgrade"
)

// act is something that a person may do with a run: ask its own job for something, or ask for another
// attempt. Each has one route in the API, and one page that asks before it is done.
type act struct {
	name  string              // in the API
	page  string              // last part of its page's address
	kind  upgrade.RequestKind // what the run is asked; empty with again
	again upgrade.HintKind    // the further attempt that is asked for; empty with kind
}

func theActs() []act {
	return []act{
		{name: "stop", page: "stop", kind: upgrade.RequestStop},
		{name: "recheck", page: "rerun", kind: upgrade.RequestRecheck},
		{name: "retry", page: "retry", again: upgrade.HintRetry},
		{name: "rehearse", page: "rehearse", again: upgrade.HintRehearse},
		{name: "relock", page: "lock", kind: upgrade.RequestRelock},
		{name: "approve", page: "approve", kind: upgrade.RequestApprove},
		{name: "refuse", page: "refuse", kind: upgrade.RequestRefuse},
		{name: "resolve", page: "resolve", kind: upgrade.RequestResolve},
		{name: "override", page: "override", kind: upgrade.RequestOverride},
	}
}

// actNamed returns the act of that name in the API; one that does not exist is a mistake of ours.
func actNamed(name string) act {
	for _, a := range theActs() {
		if a.name == name {
			return a
		}
	}
	panic("there is no act " + name)
}

// allowed reports whether it makes sense to offer the act. Whether it is done is decided elsewhere.
func (a act) allowed(r upgrade.Run) bool {
	p := r.Phase
	switch a.kind {
	case upgrade.RequestRecheck:
		return !p.Live() && p.CanFollow(upgrade.PhaseChecking) && r.Applies > 0
	case upgrade.RequestStop:
		return p.CanFollow(upgrade.PhaseStopped)
	case upgrade.RequestRelock:
		return p.CanFollow(upgrade.PhaseRelocked)
	case upgrade.RequestApprove, upgrade.RequestRefuse:
		return p == upgrade.PhaseAwaitingApproval
	case upgrade.RequestResolve:
		return p == upgrade.PhaseInterrupted
	case upgrade.RequestOverride:
		return p == upgrade.PhaseRelocked || p == upgrade.PhaseBlocked && r.From != upgrade.PhaseQueued
	case upgrade.RequestSupersede:
		return false
	}
	switch p {
	case upgrade.PhaseBlocked, upgrade.PhaseRelocked, upgrade.PhaseFailed, upgrade.PhaseStopped:
		return true
	case upgrade.PhaseQueued, upgrade.PhasePreparing, upgrade.PhasePlanning, upgrade.PhaseJudging, upgrade.PhaseAwaitingApproval,
		upgrade.PhaseApplying, upgrade.PhaseSettling, upgrade.PhaseChecking, upgrade.PhaseUnlocking, upgrade.PhaseUnlocked,
		upgrade.PhasePromoted, upgrade.PhaseInterrupted, upgrade.PhaseSuperseded:
	}
	return false
}

// needs is the role that the domain demands for the act: pages say it to those who lack it.
func (a act) needs() upgrade.Role { return a.act().Needs() }

// done is what the run's page says after the act.
func (a act) done() string {
	switch a.name {
	case "stop":
		return "Asked to stop. The run ends as soon as it can."
	case "recheck":
		return "Asked to run the gates again."
	case "retry":
		return "Asked for another attempt from the plan. It is a run of its own, and appears on the board."
	case "rehearse":
		return "Asked to rehearse it again. It is a run of its own, and appears on the board."
	case "relock":
		return "Asked to lock it again."
	case "approve":
		return "Agreed. The plan is judged again with it."
	case "refuse":
		return "Said no. The run ends without touching anything."
	case "resolve":
		return "Said what is true. The stack is freed."
	case "override":
		return "Asked to override. It counts once two release managers have asked for it."
	}
	return ""
}

// flash is what the run's page says after the act whose page has that name.
func flash(page string) string {
	for _, a := range theActs() {
		if a.page == page {
			return a.done()
		}
	}
	return ""
}

// requestVerb is what was asked of a run, behind "asked to".
func requestVerb(kind upgrade.RequestKind) string {
	switch kind {
	case upgrade.RequestStop:
		return "stop"
	case upgrade.RequestRecheck:
		return "run the gates again"
	case upgrade.RequestRelock:
		return "lock it again"
	case upgrade.RequestSupersede:
		return "replace it by a newer run"
	case upgrade.RequestApprove:
		return "go on with this change"
	case upgrade.RequestRefuse:
		return "leave it"
	case upgrade.RequestResolve:
		return "free the stack"
	case upgrade.RequestOverride:
		return "override it"
	}
	return strconv.Quote(string(kind))
}
