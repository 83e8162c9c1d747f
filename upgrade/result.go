package upgrade

import (
	"slices"
	"time"
)

// Stage says when a gate is asked.
type Stage string

// The stages.
const (
	StagePlan     Stage = "plan"     // of the plan, before anything changes
	StageBefore   Stage = "before"   // a gate's look at what there is before an apply; configured for none
	StageDuring   Stage = "during"   // while the apply changes things
	StageAfter    Stage = "after"    // of the result
	StageStanding Stage = "standing" // again and again, of an environment
)

// Outcome is what came of a gate.
type Outcome string

// The outcomes. OutcomeUnknown is never a pass.
const (
	OutcomePassed  Outcome = "passed"
	OutcomeFailed  Outcome = "failed"
	OutcomeUnknown Outcome = "unknown" // it could not tell
	OutcomeSkipped Outcome = "skipped" // by configuration, with a reason and an end
)

// Marks for a result that is still to come, shown on pages only.
const (
	OutcomeWaiting Outcome = "waiting" // will be asked
	OutcomeRunning Outcome = "running" // is being asked
)

// Result is one answer of one gate to one run. A gate asked again makes a further result; the newest
// of a name and environment counts.
type Result struct {
	Run         RunID
	Gate        GateName
	Kind        string
	Stage       Stage
	Environment EnvName
	Round       int // of checking, from 1; a rerun of the gates is the next round
	Apply       int // plan, before, during: the run's apply that it is about, from 1
	Required    bool
	TouchesLive bool // the gate touches the running system (launch, varnish, http, command): S5
	Early       bool // asked before settling: a no is final, a yes counts for nothing
	Agreeable   bool // plan: a release manager may agree to what it says no to
	Outcome     Outcome
	Message     string // one sentence without full stop: what it saw, with the limit
	Brief       string // the effect in at most 80 characters, for headlines: "staging cannot start instances"
	Hint        string // what to do about a no, or about what it could not tell; may be empty
	Warnings    []string
	StartedAt   time.Time
	Took        time.Duration
	GoodFor     time.Duration // from StartedAt on; 0: while nothing changes
	Memo        string        // before, standing: what the gate keeps for itself, opaque; may be large
	Pending     string        // what it could not know yet and may learn later, opaque; "": nothing
	Evidence    Evidence
}

// Learned is what a gate learned later about what a result had left open.
type Learned struct {
	Result   ResultID
	Evidence Evidence // as it is now
	Pending  string   // what is still open; "": nothing
}

// Open is a result that left something open.
type Open struct {
	ID     ResultID
	Result Result
}

// Expired reports whether the result is older than its limit at now.
func (r Result) Expired(now time.Time) bool {
	return r.GoodFor > 0 && now.Sub(r.StartedAt) > r.GoodFor
}

// Evidence is what a gate saw. It holds no secret: the gate's runner masks it before it is kept.
type Evidence struct {
	Facts  []Fact
	Tables []Table
	Quotes []Quote
	Spans  []Span
	Marks  []Mark // what Terraform did meanwhile, in the order of time
	Log    []LogLine
	Watch  *Watch `json:",omitempty"` // of a gate that watched a site
	// About names what a no comes of: addresses of Terraform's resources, ARNs of keys. Noes about the same thing have
	// one cause.
	About []string `json:",omitempty"`
}

// Fact is one named value, such as "AMI" → "ami-0abc".
type Fact struct{ Name, Value string }

// Table is rows under headings, such as the rungs of a ladder.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string
}

// Quote is another system's own words, never edited.
type Quote struct {
	Source string // such as "EC2 Auto Scaling"
	Text   string
	At     time.Time
}

// Span is a piece of a timeline, such as "Pending to running".
type Span struct {
	Name     string
	From, To time.Time // To is zero while it goes on or if it was not reached
	Failed   bool
}

// Mark is one step of Terraform's, as it stands beside what a gate watched. A replacement is one step, from the
// beginning of its first half to the end of its second.
type Mark struct {
	Address  string // of the resource
	Action   string // as plan.Action has it: create, update, delete, replace
	From, To time.Time
	Open     bool // it had not ended; To is zero
	Failed   bool
}

// LogLine is one line of a gate's own log.
type LogLine struct {
	At   time.Time
	Text string
}

// Verdict is what the results of a run mean for production.
type Verdict string

// The verdicts. A run that is not finished is closed.
const (
	VerdictOpen   Verdict = "open"
	VerdictClosed Verdict = "closed"
)

// CauseKind groups causes by what they mean for the headline.
type CauseKind string

// The kinds of causes.
const (
	CauseGateFailed  CauseKind = "gate_failed"  // a gate said no
	CauseGateUnknown CauseKind = "gate_unknown" // a gate could not tell
	CauseNoGates     CauseKind = "no_gates"     // nothing was asked, or nothing that touches the running system
	CauseCheckout    CauseKind = "checkout"     // the commit could not be had
	CausePlan        CauseKind = "plan"         // Terraform cannot plan it
	CauseApply       CauseKind = "apply"        // Terraform stopped in the middle
	CauseInterrupted CauseKind = "interrupted"  // an apply was lost
	CauseAfter       CauseKind = "after"        // a stack that this one comes after ended badly
	CauseRelocked    CauseKind = "relocked"     // the result no longer counts
	CauseStopped     CauseKind = "stopped"      // by a person
	CauseSuperseded  CauseKind = "superseded"   // a newer run took its place
	CauseApproval    CauseKind = "approval"     // a person said no, or nobody agreed in time
	CauseSibling     CauseKind = "sibling"      // another stack of the upgrade ended other than open
)

// Cause is one reason for a closed verdict.
type Cause struct {
	Kind    CauseKind
	Gate    GateName  // for the kinds of gates
	Run     RunID     // the earlier run of the open change that it comes from (S12); 0: this one
	Stack   StackName // sibling, after: the other stack
	Effect  Effect    // what it means for people, for the order of headlines
	Message string    // one sentence without full stop
	Brief   string    // the effect in at most 80 characters, for headlines; may be empty
	Hint    string    // what to do; may be empty
}

// Effect ranks what a failed gate means, worst first: dashboard.md §6.
type Effect int

// The effects, worst first. The zero value ranks last.
const (
	EffectOther Effect = iota
	EffectNotComplete
	EffectShortOutage
	EffectGrants
	EffectUnreachable
	EffectCannotStart
	EffectLongOutage
	EffectProductionBroken
)

// Against returns one cause for each required gate that did not pass and is not skipped by
// configuration, worst effect first; of one effect those last to which a person may agree. Each result
// must be the newest of its gate and environment, early passes left out.
func Against(results []Result) []Cause {
	var causes []Cause
	agreeable := slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return !r.Agreeable })
	others := slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return r.Agreeable })
	for _, r := range slices.Concat(others, agreeable) {
		if !r.Required {
			continue
		}
		cause := Cause{Gate: r.Gate, Kind: CauseGateUnknown, Effect: EffectNotComplete, Message: r.Message, Brief: r.Brief, Hint: r.Hint}
		switch r.Outcome {
		case OutcomePassed, OutcomeSkipped:
			continue
		case OutcomeFailed:
			cause.Kind, cause.Effect = CauseGateFailed, EffectOf(r)
		case OutcomeUnknown, OutcomeWaiting, OutcomeRunning:
		default:
			cause.Message = "unheard-of outcome " + string(r.Outcome)
		}
		causes = append(causes, cause)
	}
	sortCauses(causes)
	return causes
}

// Worst returns the causes with the worst effect first, those of one effect in their order.
func Worst(causes []Cause) []Cause {
	sortCauses(causes)
	return causes
}

// Fold says what results mean for a run: open only if nothing is Against it, and at least one
// required after gate that touches the running system passed (S5). An early pass counts for nothing.
func Fold(results []Result) (Verdict, []Cause) {
	causes := Against(results)
	touched := slices.ContainsFunc(results, func(r Result) bool {
		return r.Required && r.Outcome == OutcomePassed && r.Stage == StageAfter && r.TouchesLive && !r.Early
	})
	if len(causes) == 0 && !touched {
		causes = append(causes, Cause{
			Kind: CauseNoGates, Effect: EffectNotComplete,
			Message: "no gate touched the running system",
			Hint:    "configure a required launch, varnish, http or command gate for this stack",
		})
	}
	if len(causes) > 0 {
		return VerdictClosed, causes
	}
	return VerdictOpen, nil
}
