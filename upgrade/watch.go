package upgrade

import (
	"math"
	"time"
)

// Watch is what streams of probes saw of a site over a time: the strips that pages draw, and the outages in
// them. Offsets count from Began as time really passed; on the axis of an apply they lie at Began plus offset.
type Watch struct {
	Began   time.Time // by the world's clock, to the millisecond; from other places right within Strip.Clock
	Long    time.Duration
	Strips  []Strip  // those of the site, vantage by vantage, then the controls
	Outages []Outage // in the order of time; those of controls too
	Names   []Named  // the addresses behind names, in the order of time
	Limit   time.Duration
	Total   time.Duration // limits of the budget, for one outage and for all
	Coarse  bool          // more was seen than is kept: buckets were widened, or samples left out
}

// Strip is one row of the picture: what one stream saw of one address from one place.
type Strip struct {
	Vantage string // probe.Here, or the name of another place
	Target  string // the page's address, without secrets; of a control its name
	Stream  string // such as "cached", "past the cache", "deep page", "control"
	Address string // that was dialled; empty: lookups of the name
	Control bool   // it must fail independently of the site: an outage here too is the vantage's own network
	Every   time.Duration
	Clock   time.Duration // how far its offsets may be off; 0 for this very host
	Sent    int           // without those that say nothing about the site
	Failed  int
	Unsent  int           // of which nothing follows: the prober's own trouble
	P50     time.Duration // of good probes
	P99     time.Duration
	Max     time.Duration
	Buckets Buckets
	Samples Samples
	Blind   []Blind // in the order of time
}

// Blind is a piece of time in which an outage of Most could be that nobody saw.
type Blind struct{ From, To, Most time.Duration }

// Buckets are the whole of a strip, in columns: element i is about the probes due from i·Width on, for Width.
// Latencies are in microseconds, of good probes, and 0 where there were none.
type Buckets struct {
	Width time.Duration
	N     []int // probes, those not sent included
	Good  []int // of them
	P50   []int64
	P99   []int64
	Max   []int64
	Lag   []int64 // the longest by which the prober itself was late, in microseconds
}

// Samples are single probes, in columns, in the order of At: all that were not good and all near an outage, as
// far as there is room. Times are in microseconds.
type Samples struct {
	Classes []string // as probe.Class; the first is "ok"
	At      []int64  // when it was due
	Lag     []int64  // how much later it was begun
	Took    []int64  // from its beginning until the answer was complete, or the probe gave up
	Class   []int    // in Classes
	Status  []int    // HTTP status; 0 if none came
}

// Outage is a time without good answers. Its true length is certainly Certain, most likely Best, and never more
// than Most.
type Outage struct {
	Strip    int // in Watch.Strips
	From, To time.Duration
	Certain  time.Duration
	Best     time.Duration
	Most     time.Duration
	Open     bool   // it had not ended when the watch did
	Attempts int    // that failed or came late
	Class    string // as probe.Class, of most of them
	Layer    string // as probe.Layer
	Status   int
	Words    string // what probes met, for people: "connections were refused"
	Own      bool   // a control was out too: the vantage's own network, not charged to the site
	Marks    []int  // in Evidence.Marks: the steps of Terraform's that may have been under way
	While    string // what Terraform did meanwhile, as far as it is known, to stand behind a comma; may be empty
	Sure     bool   // Marks is one step, and it certainly was under way
}

// Named is what a name meant from some time on.
type Named struct {
	At        time.Duration
	Vantage   string
	Target    string
	Addresses []string // ascending
}

// Sample is one of [Samples].
type Sample struct {
	At, Lag, Took time.Duration
	Class         string
	Status        int
}

// Len returns how many there are.
func (s Samples) Len() int {
	return min(len(s.At), len(s.Lag), len(s.Took), len(s.Class), len(s.Status))
}

// Get returns one of them.
func (s Samples) Get(i int) Sample {
	class := ""
	if at := s.Class[i]; at >= 0 && at < len(s.Classes) {
		class = s.Classes[at]
	}
	return Sample{At: micros(s.At[i]), Lag: micros(s.Lag[i]), Took: micros(s.Took[i]), Class: class, Status: s.Status[i]}
}

// Len returns how many buckets there are.
func (b Buckets) Len() int {
	return min(len(b.N), len(b.Good), len(b.P50), len(b.P99), len(b.Max), len(b.Lag))
}

func micros(n int64) time.Duration {
	return time.Duration(min(max(n, 0), math.MaxInt64/int64(time.Microsecond))) * time.Microsecond
}
