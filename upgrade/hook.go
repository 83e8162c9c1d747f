package upgrade

import (
	"slices"
	"time"
)

// HookName names a subscription to events: letters, digits, dot, dash and underscore, at most 63.
type HookName string

// HookState says whether a subscription is delivered to.
type HookState string

// The states of a subscription.
const (
	HookActive HookState = "active"
	HookPaused HookState = "paused" // by a person; events wait
	HookGone   HookState = "gone"   // its receiver answered 410 Gone; events wait until somebody resumes it
)

// HookKey is one of the secrets that deliveries of a subscription are signed with.
type HookKey struct {
	Secret Secret    // whsec_ and at least 24 bytes in base64
	Until  time.Time // zero: for as long as the subscription is
}

// Hook is a subscription to events of the journal, which are posted to its address.
type Hook struct {
	Name    HookName
	URL     string      // may hold what only its receiver and those who may change it are to know
	Events  []string    // types, as HookTypes lists them; empty: all
	Stacks  []StackName // empty: all
	File    bool        // it is in the configuration: only that changes it
	State   HookState
	Why     string    // of State; empty when active
	By      string    // who made it or changed its state last
	At      time.Time // when
	Keys    []HookKey // newest first; of a subscription in the configuration never in the store
	Cursor  int64     // ID of the last journal event that was looked at
	Rev     int64     // grows with each change but that of Cursor
	Pending int       // messages that wait; only read
	Dead    int       // messages that were given up; only read
}

// Wants reports whether an event of that type and stack is delivered.
func (h Hook) Wants(typ string, stack StackName) bool {
	if len(h.Stacks) > 0 && !slices.Contains(h.Stacks, stack) {
		return false
	}
	return len(h.Events) == 0 || slices.Contains(h.Events, typ) || IsPhaseType(typ) && slices.Contains(h.Events, TypePhase)
}

// TypePhase is what a subscription to every change of phase lists; no event has this type.
const TypePhase = "run.phase"

// TypeTest is the type of a delivery that somebody asked for to try a subscription out.
const TypeTest = "hook.test"

// HookType returns the type of an event as subscriptions name it: run. and its kind, or the phase that was
// entered, such as run.unlocked.
func HookType(e Event) string {
	if e.Kind == EventPhase && Phase(e.Data["to"]).Valid() {
		return "run." + e.Data["to"]
	}
	return "run." + string(e.Kind)
}

// IsPhaseType reports whether a type is that of a run entering a phase.
func IsPhaseType(typ string) bool {
	return slices.ContainsFunc(Phases(), func(p Phase) bool { return typ == "run."+string(p) })
}

// HookTypes returns every type that a subscription may list.
func HookTypes() []string {
	types := []string{TypePhase}
	for _, p := range Phases() {
		types = append(types, "run."+string(p))
	}
	for _, k := range []EventKind{
		EventCreated, EventAnswer, EventWaiting, EventGate, EventResource, EventApply, EventOrder, EventStatus, EventRequest, EventRetry, EventNote,
	} {
		types = append(types, "run."+string(k))
	}
	return types
}

// MessageState is how far a message to a subscription has come.
type MessageState string

// The states of a message.
const (
	MessagePending   MessageState = "pending"
	MessageDelivered MessageState = "delivered"
	MessageDead      MessageState = "dead" // given up after three days, or when its receiver was gone
)

// MessageStates returns all of them.
func MessageStates() []MessageState {
	return []MessageState{MessagePending, MessageDelivered, MessageDead}
}

// HookMessage is one event on its way to one subscription. What is sent is made of the journal anew each
// time, and is the same each time.
type HookMessage struct {
	ID      int64 // grows in the order of the journal
	Hook    HookName
	Event   int64 // ID of the journal event
	Run     RunID
	Type    string
	State   MessageState
	Tries   int       // since it was made or sent again by hand
	MadeAt  time.Time // or sent again by hand: from then on it is tried for three days
	NextAt  time.Time // pending: not tried before
	TriedAt time.Time // zero: never
	Answer  string    // to the last try, in words
}

// MessageFilter chooses messages of one subscription, newest first.
type MessageFilter struct {
	Hook   HookName
	States []MessageState // empty: all
	Before int64          // keyset: only messages with a smaller ID
	Limit  int            // 0: 50; at most 500
}

// HookTest is what came of trying a subscription out.
type HookTest struct {
	ID     string // webhook-id of what was sent
	OK     bool   // it was answered with 2xx
	Answer string // in words
}
