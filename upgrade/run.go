package upgrade

import (
	"slices"
	"time"
)

// Upgrade is one change on its way: a project and a tree.
type Upgrade struct {
	ID        UpgradeID
	ProjectID int64
	Project   string // path with namespace
	Tree      Tree
	CreatedAt time.Time
}

// Run is one attempt to take one upgrade through one stack. Only its own job writes it; everybody
// else asks by a Request.
type Run struct {
	ID          RunID
	Upgrade     UpgradeID
	ProjectID   int64
	Project     string
	Stack       StackName
	Environment EnvName // the staging environment that it changes
	Tree        Tree
	Commit      Commit // that is checked out
	Version     string // nearest tag, else the short commit
	Base        string // version that production has, for "old → new"; may be empty
	Title       string // of the merge request or commit
	Author      string
	Attempt     int // per upgrade and stack, from 1
	Answers     []Answer

	Phase    Phase
	Since    time.Time // when it entered Phase
	From     Phase     // the phase that it left for Phase
	Reason   string    // what it waits for; may be empty
	Deadline time.Time // of Phase in world time; zero: none
	Verdict  Verdict
	Causes   []Cause
	Tally    Tally
	Progress Progress

	Plan       PlanFacts
	Applies    int       // begun by this run
	ChangedAt  time.Time // end of the last apply, from which settling counts
	Round      int       // of checking
	StoppedBy  string
	PromotedAt time.Time
	Production ProductionFacts

	Half     Half        // which half of a rehearsal; empty: no rehearsal
	Agreed   []Agreement // to changes that need a person's yes, newest last
	Override *Override   // nil: none was asked for
	Warnings []string    // what should be looked at but closes nothing

	CreatedAt time.Time
	Rev       int64 // grows with each commit; the store compares and sets it
}

// Answer is one (ref, commit, merge request) for which a run answers: its status goes there.
type Answer struct {
	Ref          string // branch name without refs/heads/
	Commit       Commit // the commit that GitLab shows there
	MergeRequest int64  // iid; 0: none
	At           time.Time
}

// Half is a half of a rehearsal: staging is taken back to the base, and then forth to the run's tree.
type Half string

// The halves of a rehearsal.
const (
	HalfBack  Half = "back"
	HalfForth Half = "forth"
)

// Agreement is a release manager's yes to one change, whichever plan file it is in.
type Agreement struct {
	ChangeDigest string // PlanFacts.ChangeDigest
	By           string
	Reason       string
	At           time.Time
}

// AgreedTo returns the agreement to the change; ok is false if nobody agreed to exactly that.
func (r Run) AgreedTo(changeDigest string) (agreement Agreement, ok bool) {
	for _, agreement := range r.Agreed {
		if changeDigest != "" && agreement.ChangeDigest == changeDigest {
			return agreement, true
		}
	}
	return Agreement{}, false
}

// Tally counts the gates of a run's present round, required or not.
type Tally struct{ Gates, Passed, Failed, Unknown, Skipped int }

// Progress counts the resources of an apply.
type Progress struct {
	Done, Total int
	Failed      string // address of the resource at which Terraform stopped
}

// PlanFacts says what was planned.
type PlanFacts struct {
	File         string // path on the worker that made it; removed after the run
	FileDigest   string // SHA-256 of the plan file, hexadecimal: what is applied (S2)
	ChangeDigest string // SHA-256 of the change: what a person agrees to
	LockDigest   string // SHA-256 of the provider lock file it was made with (S2)
	Create       int
	Update       int
	Replace      int
	Destroy      int
	Forget       int
	Tool         string // such as "terraform 1.11.4"
}

// Changes returns how many resources the plan changes.
func (p PlanFacts) Changes() int { return p.Create + p.Update + p.Replace + p.Destroy + p.Forget }

// ProductionFacts says what is known of the production pipeline after an unlock.
type ProductionFacts struct {
	Started bool
	Failed  bool
	JobURL  string
}

// ApplyState is what is known of an apply.
type ApplyState string

// The states of an apply.
const (
	ApplyIntended ApplyState = "intended" // written before anything is started
	ApplyStarted  ApplyState = "started"  // the shim runs
	ApplyExited   ApplyState = "exited"   // it ended and its result is known
	ApplyLost     ApplyState = "lost"     // it ended and nobody knows how; never run again
)

// Apply is one application of one plan file, ever: the store refuses a second one of the same digest.
type Apply struct {
	Run         RunID
	N           int // from 1
	Stack       StackName
	Environment EnvName
	Tree        Tree
	Seq         int64 // order in which applies were begun, over all stacks; given by the store
	Back        bool  // it took staging back to the base: the first half of a rehearsal
	FileDigest  string
	State       ApplyState
	Host        string
	BootID      string
	Dir         string // attempt's folder on Host
	OK          bool   // Ended: staging is whole, as Terraform exited 0 or a plan after a lost apply was empty
	BegunAt     time.Time
	EndedAt     time.Time
}

// Ended reports whether nothing of the apply goes on any more.
func (a Apply) Ended() bool { return a.State == ApplyExited || a.State == ApplyLost }

// RequestKind is what somebody asks of a run.
type RequestKind string

// The kinds of requests.
const (
	RequestStop      RequestKind = "stop"
	RequestRecheck   RequestKind = "recheck"   // run the gates again
	RequestSupersede RequestKind = "supersede" // by rule: a newer tree
	RequestRelock    RequestKind = "relock"
	RequestApprove   RequestKind = "approve"  // Digest: of the change that was seen
	RequestRefuse    RequestKind = "refuse"   // Digest: of the change that was seen
	RequestResolve   RequestKind = "resolve"  // Reason: what is true of staging now
	RequestOverride  RequestKind = "override" // Digest: of the causes that were seen; a second person's makes it count
)

// RequestID identifies a request.
type RequestID int64

// Request is what somebody asks of a run; the run's own job grants or refuses it.
type Request struct {
	ID     RequestID
	Run    RunID
	Kind   RequestKind
	By     Person
	Reason string
	Other  RunID     // supersede: the newer run; 0 in a step: what it starts on the same stack, if anything
	Digest string    // approve, refuse, override: what was seen
	Until  time.Time // override: its end
	At     time.Time
}

// EventKind is what a journal event is about.
type EventKind string

// The kinds of journal events.
const (
	EventCreated  EventKind = "created"
	EventAnswer   EventKind = "answer"   // the run answers for one more ref or merge request
	EventPhase    EventKind = "phase"    // Data: from, to
	EventWaiting  EventKind = "waiting"  // what it waits for changed
	EventGate     EventKind = "gate"     // Data: gate, environment, outcome
	EventResource EventKind = "resource" // Data: address, action, state (started, done, failed)
	EventApply    EventKind = "apply"    // Data: n, state
	EventOrder    EventKind = "order"    // Data: hold, state
	EventStatus   EventKind = "status"   // Data: commit, state
	EventRequest  EventKind = "request"  // Data: kind
	EventRetry    EventKind = "retry"    // something failed that may pass
	EventNote     EventKind = "note"
)

// Event is one entry of a run's journal. The store gives Seq (per run, from 1) and ID (over all runs).
type Event struct {
	ID   int64
	Run  RunID
	Seq  int64
	At   time.Time // world time
	Kind EventKind
	Who  string // person or "by rule"
	Text string // one sentence
	Data map[string]string
}

// OrderState is how far an unlock order has come.
type OrderState string

// The states of an order.
const (
	OrderOpen    OrderState = "open"    // to be delivered
	OrderArmed   OrderState = "armed"   // its object does not exist yet; delivered when it appears
	OrderClaimed OrderState = "claimed" // being delivered: no apply begins on a stack of its upgrade
	OrderDone    OrderState = "done"
	OrderVoid    OrderState = "void" // no longer wanted: locked again, superseded
)

// OrderID identifies an order.
type OrderID int64

// Order is one act in GitLab that opens production for an upgrade. (Upgrade, HoldKey) is unique
// among orders that are not void.
type Order struct {
	ID       OrderID
	Upgrade  UpgradeID
	Run      RunID // whose job delivers it
	Hold     Hold
	State    OrderState
	Target   string // what was acted on, such as "job 4711"; empty until known
	Result   string // one sentence, such as "played"
	Attempts int
	At       time.Time
}

// Posted is the commit status that was last posted for one (run, commit, pipeline).
type Posted struct {
	Run      RunID
	Commit   Commit
	Pipeline int64
	State    CommitState
	Text     string
	At       time.Time
}

// AnswersFor reports whether the run answers for the commit.
func (r Run) AnswersFor(commit Commit) bool {
	return slices.ContainsFunc(r.Answers, func(a Answer) bool { return a.Commit == commit })
}
