package upgrade

import "slices"

// Phase is where a run is.
type Phase string

// The phases of a run.
const (
	PhaseQueued           Phase = "queued"            // waits for its slot, for other stacks, for a freeze
	PhasePreparing        Phase = "preparing"         // checkout by commit, init
	PhasePlanning         Phase = "planning"          // plan to a file, both digests
	PhaseJudging          Phase = "judging"           // plan gates, then each gate's Before
	PhaseAwaitingApproval Phase = "awaiting_approval" // a person must agree before staging is touched
	PhaseApplying         Phase = "applying"          // Terraform applies the judged plan
	PhaseSettling         Phase = "settling"          // waits until what was changed has taken effect
	PhaseChecking         Phase = "checking"          // all after gates, to the end
	PhaseUnlocking        Phase = "unlocking"         // passed; orders to GitLab are delivered
	PhaseUnlocked         Phase = "unlocked"          // production may be started
	PhasePromoted         Phase = "promoted"          // production runs this tree
	PhaseBlocked          Phase = "blocked"           // a gate said no, or nobody could tell in time
	PhaseRelocked         Phase = "relocked"          // was unlocked; no longer counts
	PhaseFailed           Phase = "failed"            // checkout or Terraform failed
	PhaseInterrupted      Phase = "interrupted"       // an apply was lost; a person must look
	PhaseStopped          Phase = "stopped"           // by a person
	PhaseSuperseded       Phase = "superseded"        // by a newer tree, before the apply began
)

// Phases returns every phase, in the order in which a run meets them.
func Phases() []Phase {
	return []Phase{
		PhaseQueued, PhasePreparing, PhasePlanning, PhaseJudging, PhaseAwaitingApproval, PhaseApplying,
		PhaseSettling, PhaseChecking, PhaseUnlocking, PhaseUnlocked, PhasePromoted, PhaseBlocked,
		PhaseRelocked, PhaseFailed, PhaseInterrupted, PhaseStopped, PhaseSuperseded,
	}
}

// Next returns the phases that may follow p. It is the only place that says so.
func (p Phase) Next() []Phase {
	switch p {
	case PhaseQueued:
		return []Phase{PhasePreparing, PhaseBlocked, PhaseSuperseded, PhaseStopped}
	case PhasePreparing:
		return []Phase{PhasePlanning, PhaseFailed, PhaseSuperseded, PhaseStopped}
	case PhasePlanning:
		return []Phase{PhaseJudging, PhaseFailed, PhaseSuperseded, PhaseStopped}
	case PhaseJudging:
		return []Phase{PhaseApplying, PhaseAwaitingApproval, PhaseBlocked, PhaseSuperseded, PhaseStopped}
	case PhaseAwaitingApproval:
		return []Phase{PhaseJudging, PhasePlanning, PhaseBlocked, PhaseSuperseded, PhaseStopped}
	case PhaseApplying:
		return []Phase{PhaseSettling, PhasePlanning, PhaseFailed, PhaseStopped, PhaseInterrupted}
	case PhaseSettling:
		return []Phase{PhaseChecking, PhaseStopped}
	case PhaseChecking:
		return []Phase{PhaseUnlocking, PhaseBlocked, PhaseStopped}
	case PhaseUnlocking:
		return []Phase{PhaseUnlocked, PhaseChecking, PhaseRelocked, PhaseStopped}
	case PhaseUnlocked:
		return []Phase{PhasePromoted, PhaseRelocked}
	case PhaseBlocked:
		return []Phase{PhaseChecking, PhaseUnlocking, PhaseApplying}
	case PhaseRelocked:
		return []Phase{PhaseChecking, PhaseUnlocking}
	case PhaseInterrupted:
		return []Phase{PhaseFailed}
	case PhasePromoted, PhaseFailed, PhaseStopped, PhaseSuperseded:
		return nil
	}
	return nil
}

// CanFollow reports whether a run may go from p to next.
func (p Phase) CanFollow(next Phase) bool { return slices.Contains(p.Next(), next) }

// Final reports whether p has no successor.
func (p Phase) Final() bool { return len(p.Next()) == 0 }

// Valid reports whether p is one of Phases.
func (p Phase) Valid() bool { return slices.Contains(Phases(), p) }

// HoldsSlot reports whether a run in p holds its stack's slot: nobody else may run Terraform there.
func (p Phase) HoldsSlot() bool {
	switch p {
	case PhasePreparing, PhasePlanning, PhaseJudging, PhaseAwaitingApproval, PhaseApplying, PhaseSettling,
		PhaseChecking, PhaseInterrupted:
		return true
	case PhaseQueued, PhaseUnlocking, PhaseUnlocked, PhasePromoted, PhaseBlocked, PhaseRelocked, PhaseFailed,
		PhaseStopped, PhaseSuperseded:
		return false
	}
	return false
}

// Touched reports whether staging may have been changed by a run that is or ended in p, judging by
// the phase alone. A run that was stopped or failed has to look at its applies.
func (p Phase) Touched() bool {
	switch p {
	case PhaseApplying, PhaseSettling, PhaseChecking, PhaseUnlocking, PhaseUnlocked, PhasePromoted,
		PhaseRelocked, PhaseInterrupted:
		return true
	case PhaseQueued, PhasePreparing, PhasePlanning, PhaseJudging, PhaseAwaitingApproval, PhaseBlocked,
		PhaseFailed, PhaseStopped, PhaseSuperseded:
		return false
	}
	return false
}

// Live reports whether something still goes on in p by itself or is about to.
func (p Phase) Live() bool {
	switch p {
	case PhaseQueued, PhasePreparing, PhasePlanning, PhaseJudging, PhaseAwaitingApproval, PhaseApplying,
		PhaseSettling, PhaseChecking, PhaseUnlocking:
		return true
	case PhaseUnlocked, PhasePromoted, PhaseBlocked, PhaseRelocked, PhaseFailed, PhaseInterrupted,
		PhaseStopped, PhaseSuperseded:
		return false
	}
	return false
}

// Opens reports whether the verdict of a run in p is open.
func (p Phase) Opens() bool {
	return p == PhaseUnlocking || p == PhaseUnlocked || p == PhasePromoted
}

// RailStep is one of the five steps that pages group phases into.
type RailStep string

// The five steps of the rail.
const (
	StepPlan   RailStep = "Plan"
	StepPolicy RailStep = "Policy"
	StepApply  RailStep = "Apply"
	StepGates  RailStep = "Gates"
	StepUnlock RailStep = "Unlock"
)

// RailSteps returns the five steps from left to right.
func RailSteps() []RailStep {
	return []RailStep{StepPlan, StepPolicy, StepApply, StepGates, StepUnlock}
}

// Rail returns the step in which p is shown; "" for a phase that can end a run at any step.
func (p Phase) Rail() RailStep {
	switch p {
	case PhaseQueued, PhasePreparing, PhasePlanning:
		return StepPlan
	case PhaseJudging, PhaseAwaitingApproval:
		return StepPolicy
	case PhaseApplying, PhaseInterrupted:
		return StepApply
	case PhaseSettling, PhaseChecking:
		return StepGates
	case PhaseUnlocking, PhaseUnlocked, PhasePromoted, PhaseRelocked:
		return StepUnlock
	case PhaseBlocked, PhaseFailed, PhaseStopped, PhaseSuperseded:
		return ""
	}
	return ""
}

// CommitState is a state of a GitLab commit status.
type CommitState string

// The states that GitLab knows and this product uses.
const (
	CommitPending  CommitState = "pending"
	CommitRunning  CommitState = "running"
	CommitSuccess  CommitState = "success"
	CommitFailed   CommitState = "failed"
	CommitCanceled CommitState = "canceled"
)

// CommitState returns the state of the commit status that tells p.
func (p Phase) CommitState() CommitState {
	switch p {
	case PhaseQueued, PhasePreparing, PhasePlanning, PhaseJudging:
		return CommitPending
	case PhaseAwaitingApproval, PhaseApplying, PhaseSettling, PhaseChecking, PhaseUnlocking:
		return CommitRunning
	case PhaseUnlocked, PhasePromoted:
		return CommitSuccess
	case PhaseBlocked, PhaseFailed, PhaseInterrupted, PhaseRelocked:
		return CommitFailed
	case PhaseStopped, PhaseSuperseded:
		return CommitCanceled
	}
	return CommitFailed
}

// Final reports whether GitLab accepts the state again after itself; it refuses pending after pending
// and running after running (gitlab.md §4).
func (s CommitState) Final() bool { return s != CommitPending && s != CommitRunning }
