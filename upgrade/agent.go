package upgrade

import "time"

// AgentName is the name of an agent, which is also that of the vantage that it is.
type AgentName string

// Agent is a prober in another place: invited, enrolled, or no longer wanted.
type Agent struct {
	Name       AgentName
	Key        []byte    // public, Ed25519; nil: not enrolled yet
	Token      string    // SHA-256 of the token with which it may enrol, in hexadecimal; empty: none is open
	TokenUntil time.Time // when that token ends
	InvitedBy  string
	InvitedAt  time.Time
	EnrolledAt time.Time
	RevokedBy  string
	RevokedAt  time.Time // zero: it may come in
	HeardAt    time.Time // its last word; zero: none
	Facts      AgentFacts

	// What is not kept, but true while the service runs.
	Unlisted bool         // no vantage of the configuration has its name any more
	Watches  []AgentWatch // that it was told to, in the order in which it was
}

// AgentWatch is one stream that an agent was told to send.
type AgentWatch struct {
	Target string // URL
	Stream string // such as "cached"
	Since  time.Time
}

// Enrolled reports whether the agent may come in.
func (a Agent) Enrolled() bool { return len(a.Key) > 0 && a.RevokedAt.IsZero() }

// AgentFacts are what an agent says of itself.
type AgentFacts struct {
	Version     string
	Host        string
	Allow       []string      // ranges of addresses with ports that it reaches, and nothing else
	MaxRate     float64       // probes a second that it sends at most, to each address
	MaxDuration time.Duration // of one watch
	Offset      time.Duration // its clock minus the gate's, as last measured
	RTT         time.Duration // of that measurement: Offset is right within half of it
	MeasuredAt  time.Time     // by the gate's clock; zero: never
}

// AgentOpen is what of an agent's streams outlives the gate's restart: that one was asked for, and when.
type AgentOpen struct {
	ID    string
	Agent AgentName
	Begun time.Time // when it was asked for first; whole milliseconds
}
