package upgrade

import (
	"cmp"
	"fmt"
	"time"
)

// StandingKey names what a standing gate asks of: an environment, and there one stack where the gate looks
// at what belongs to a stack, as settled does.
type StandingKey struct {
	Gate        GateName
	Environment EnvName
	Stack       StackName // empty: it is not about one stack
}

// String returns the key for people and addresses: "grants/production", "drift/staging/ecs-master".
func (k StandingKey) String() string {
	text := string(k.Gate) + "/" + string(k.Environment)
	if k.Stack != "" {
		text += "/" + string(k.Stack)
	}
	return text
}

// Compare orders keys by gate, environment and stack.
func (k StandingKey) Compare(other StandingKey) int {
	return cmp.Or(cmp.Compare(k.Gate, other.Gate), cmp.Compare(k.Environment, other.Environment), cmp.Compare(k.Stack, other.Stack))
}

// Standing is what is known by a standing gate: its newest answer, and how long it has been so.
type Standing struct {
	Key    StandingKey
	Result Result        // the newest answer; its Memo is what the next asking gets
	Since  time.Time     // since when answers have had the outcome of the newest
	HeldAt time.Time     // when the newest pass was begun; zero: there was none
	Every  time.Duration // how often it is asked
	// Settings is the digest of the gate's settings under which it was asked: under others it said nothing.
	Settings string
	Rev      int64 // grows when an answer has another outcome than the one before; 0: it was never asked
}

// Stretch is a time in which a standing gate gave one outcome again and again.
type Stretch struct {
	Key          StandingKey
	Outcome      Outcome
	Message      string    // of the newest answer in it
	Since, Until time.Time // when the first and the newest answer in it were begun
	Checks       int
}

// InvariantState is what a standing gate says about an environment, in the words of pages.
type InvariantState string

// The states of an invariant.
const (
	InvariantHeld        InvariantState = "held"
	InvariantWarning     InvariantState = "warning" // held, and something should be looked at
	InvariantBroken      InvariantState = "broken"
	InvariantNotVerified InvariantState = "not_verified"
	InvariantPaused      InvariantState = "paused" // skipped by configuration
)

// State returns what is known at now. A pass counts for as long as its GoodFor says, also when later
// askings could not tell; a no counts at once, and until there is a pass.
func (s Standing) State(now time.Time) InvariantState {
	switch {
	case s.Result.Outcome == OutcomeFailed:
		return InvariantBroken
	case s.Result.Outcome == OutcomeSkipped:
		return InvariantPaused
	case s.HeldAt.IsZero() || now.Sub(s.HeldAt) > s.Result.GoodFor:
		return InvariantNotVerified
	case len(s.Result.Warnings) > 0:
		return InvariantWarning
	}
	return InvariantHeld
}

// Against returns what stands against opening production, and whether anything does.
func (s Standing) Against(now time.Time) (Cause, bool) {
	cause := Cause{Gate: s.Key.Gate, Kind: CauseGateUnknown, Effect: EffectNotComplete, Brief: s.Result.Brief, Hint: s.Result.Hint}
	switch s.State(now) {
	case InvariantHeld, InvariantWarning, InvariantPaused:
		return Cause{}, false
	case InvariantBroken:
		cause.Kind, cause.Effect = CauseGateFailed, EffectOf(s.Result)
		cause.Message = s.Result.Message
	case InvariantNotVerified:
		cause.Message = fmt.Sprintf("%s of %s was not verified", s.Key.Gate, s.Key.Environment)
		switch {
		case !s.HeldAt.IsZero():
			cause.Message += fmt.Sprintf(" since %s, and counts for %s", s.HeldAt.UTC().Format("2 Jan 15:04 UTC"), s.Result.GoodFor)
		case s.Rev == 0:
			cause.Message += " yet"
		}
		if s.Result.Outcome == OutcomeUnknown && s.Result.Message != "" {
			cause.Message += ": " + s.Result.Message
		}
	}
	return cause, true
}
