package upgrade

import "time"

// HintKind is what a delivery says it is about. Deliveries are hints (S7): what is true is read from
// GitLab's API.
type HintKind string

// The kinds of deliveries that are understood. Everything else is HintOther: kept, counted, ignored.
const (
	HintPush         HintKind = "push"
	HintMergeRequest HintKind = "merge_request"
	HintPipeline     HintKind = "pipeline"
	HintJob          HintKind = "job"
	HintDeployment   HintKind = "deployment"
	HintNote         HintKind = "note"
	HintReconcile    HintKind = "reconcile" // our own: the reconciler saw a move that no delivery told
	HintRetry        HintKind = "retry"     // our own: a person wants a further attempt; Run, By
	HintRehearse     HintKind = "rehearse"  // our own: a person wants it back to the base and forth again; Run, By
	HintOther        HintKind = "other"
)

// Hint is the few fields that are read from a delivery. Absent ones are zero.
type Hint struct {
	Kind         HintKind
	ProjectID    int64
	Project      string // path with namespace
	Ref          string // branch name without refs/heads/; empty for tags
	Before       Commit
	After        Commit // zero for a deleted branch
	MergeRequest int64  // iid
	TargetBranch string
	Action       string // of a merge request: open, update, approved, merge …
	Pipeline     int64
	Job          int64
	JobName      string
	Status       string // of a pipeline, job or deployment
	Environment  string
	Run          RunID  // retry, rehearse: whose upgrade and stack
	By           string // retry, rehearse: who asked
	Why          string // retry, rehearse: why; may be empty
}

// Delivery is one message that came in, as kept.
type Delivery struct {
	Number     int64 // order of arrival, from 1; given by the store
	ID         DeliveryID
	Event      string // the sender's own name of the event, such as "Push Hook"
	ReceivedAt time.Time
	Body       []byte // as sent; at most 25 MB
	Hint       Hint
	Fate       Fate
	Reason     string // why, one sentence
	Runs       []RunID
}

// Fate is what came of a delivery.
type Fate string

// The fates.
const (
	FatePending Fate = "pending" // kept, not looked at yet
	FateStarted Fate = "started" // one or more runs
	FateJoined  Fate = "joined"  // a run that exists answers for it too
	FateRefused Fate = "refused" // it would have started a run, but may not (S13), or cannot
	FateIgnored Fate = "ignored" // nothing to do
)

// RefKey names a ref of a project that is watched: "heads/staging", "merge-requests/12".
type RefKey struct {
	ProjectID int64
	Ref       string
}

// RefState is where a watched ref leads, as we last acted on it. Tree is empty as long as it was only
// seen, or when it leads nowhere any more.
type RefState struct {
	Key    RefKey
	Tree   Tree
	Commit Commit
	Why    string // why what is there now is not tested (S13), one sentence; empty: it is, or nothing is there
	Rev    int64  // compare-and-set; 0: the ref was not known
	At     time.Time
}

// Base is the tree that production of a stack has.
type Base struct {
	Stack   StackName
	Tree    Tree
	Commit  Commit
	Assumed bool // not proven by a promotion
	// Since is the Seq of the apply that brought staging to this tree: the open change is every later
	// one. 0: every one.
	Since  int64
	By     string // who set it by hand; empty: a promotion, or assumed
	Reason string // why it was set by hand
	Rev    int64  // grows with each change; given by the store
	At     time.Time
}
