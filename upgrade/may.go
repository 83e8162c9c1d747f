package upgrade

import (
	"fmt"
	"strings"
)

// Act is something that somebody may do, or not.
type Act string

// The acts.
const (
	ActRead         Act = "read" // whatever a page shows
	ActReadBodies   Act = "delivery.read"
	ActPlay         Act = "delivery.play"
	ActStop         Act = "run.stop"
	ActRecheck      Act = "run.recheck"
	ActRetry        Act = "run.retry"
	ActRehearse     Act = "run.rehearse"
	ActRelock       Act = "run.relock"
	ActApprove      Act = "run.approve"
	ActRefuse       Act = "run.refuse"
	ActResolve      Act = "run.resolve"
	ActOverride     Act = "run.override"
	ActSetBase      Act = "stack.base"
	ActRefreshState Act = "state.refresh"
	ActCheck        Act = "invariant.check"
	ActInvite       Act = "vantage.enrol"
	ActRevokeAgent  Act = "vantage.revoke"
	ActHooks        Act = "hook.change"
	ActOwnAccess    Act = "access.own"    // one's own sessions and tokens
	ActOthersAccess Act = "access.others" // those of others
	ActSignIn       Act = "sign_in"       // nobody is asked whether they may: the audit log names it so
	ActSignOut      Act = "sign_out"
	ActByRule       Act = "rule" // what the service does by itself
)

// Acts returns every act that somebody is asked to be allowed to, in the order of the documentation.
func Acts() []Act {
	return []Act{
		ActRead, ActOwnAccess, ActReadBodies, ActPlay, ActStop, ActRecheck, ActRetry, ActRefreshState, ActCheck, ActRehearse, ActRelock, ActApprove, ActRefuse,
		ActResolve, ActOverride, ActSetBase, ActInvite, ActRevokeAgent, ActHooks, ActOthersAccess,
	}
}

// Needs returns the lowest role that may do it; for what nobody may, a role that nobody has.
func (a Act) Needs() Role {
	switch a {
	case ActRead, ActOwnAccess, ActSignOut:
		return RoleViewer
	case ActReadBodies, ActPlay, ActStop, ActRecheck, ActRetry, ActRefreshState, ActCheck:
		return RoleDeveloper
	case ActRehearse, ActRelock, ActApprove, ActRefuse, ActResolve, ActOverride, ActSetBase, ActInvite, ActRevokeAgent:
		return RoleReleaseManager
	case ActHooks, ActOthersAccess:
		return RoleAdmin
	case ActSignIn, ActByRule:
	}
	return "nobody"
}

// Object is what an act is done to.
type Object struct {
	Name    string // such as "run 481", for messages
	Project string // path of the project that it belongs to; empty: it is the installation's
}

// May asks whether somebody may do something: the one place in which that is decided, for pages, the API and
// the command line alike. What belongs to a project asks for the role in that project; what is the
// installation's, for the role everywhere. Error: CodeForbidden, with who may.
func May(by Person, act Act, on Object) error {
	needs := act.Needs()
	if by.RoleIn(on.Project).Includes(needs) {
		return nil
	}
	name := by.Name
	if name == "" {
		name = "you"
	}
	e := &Error{Code: CodeForbidden, Msg: fmt.Sprintf("%s may not %s", name, act.words()), Hint: "ask somebody with the role " + strings.ReplaceAll(string(needs), "_", " ")}
	if on.Project != "" {
		e.Msg += fmt.Sprintf(" for %s", on.Project)
		e.Hint += " in " + on.Project
	}
	return e
}

// ActOfRequest returns the act of asking a run for something.
func ActOfRequest(kind RequestKind) Act {
	switch kind {
	case RequestStop:
		return ActStop
	case RequestRecheck:
		return ActRecheck
	case RequestRelock:
		return ActRelock
	case RequestApprove:
		return ActApprove
	case RequestRefuse:
		return ActRefuse
	case RequestResolve:
		return ActResolve
	case RequestOverride:
		return ActOverride
	case RequestSupersede:
	}
	return ActByRule // only a newer commit supersedes a run
}

// ActOfHint returns the act of asking for a further attempt.
func ActOfHint(kind HintKind) Act {
	if kind == HintRetry {
		return ActRetry
	}
	if kind == HintRehearse {
		return ActRehearse
	}
	return ActPlay
}

// words is the act behind "may not".
func (a Act) words() string {
	switch a {
	case ActRead:
		return "look at this"
	case ActReadBodies:
		return "read what was delivered"
	case ActPlay:
		return "play a delivery again"
	case ActStop:
		return "stop a run"
	case ActRecheck:
		return "run the gates again"
	case ActRetry:
		return "run it from the plan"
	case ActRehearse:
		return "rehearse it again"
	case ActRelock:
		return "lock it again"
	case ActApprove:
		return "agree to a change"
	case ActRefuse:
		return "refuse a change"
	case ActResolve:
		return "free a stack"
	case ActOverride:
		return "override a verdict"
	case ActSetBase:
		return "set the base of a stack"
	case ActRefreshState:
		return "have a state read"
	case ActCheck:
		return "have a standing gate asked"
	case ActInvite, ActRevokeAgent:
		return "invite or revoke agents"
	case ActHooks:
		return "change who is told of events"
	case ActOwnAccess:
		return "keep sessions and tokens"
	case ActOthersAccess:
		return "see or end the sessions and tokens of others"
	case ActSignIn, ActSignOut, ActByRule:
	}
	return "do that"
}
