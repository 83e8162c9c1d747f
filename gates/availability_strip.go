package gates

import (
	"cmp"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// What is kept of one strip: varnish.md §6.4.
const (
	aroundOutage  = 5 * time.Second  // single probes are kept that long before and after
	bucketWidth   = time.Second      // of what is kept otherwise
	inFlight      = 12 * time.Second // for so long an answer may come in: the limits of a probe
	keptFailures  = 1500             // of the first
	lastFailures  = 500              // of the last
	keptNear      = 3000             // good ones near outages
	gapForSamples = 3                // periods without a good answer after which single probes are kept
)

// single is one probe that is kept.
type single struct {
	at, lag, took time.Duration
	class         probe.Class
	status        int
}

// slot is a bucket that is still being filled.
type slot struct {
	n, good  int
	took     []time.Duration // of good ones
	max, lag time.Duration
}

// bucket is one that is full. Latencies in microseconds.
type bucket struct {
	n, good            int32
	p50, p99, max, lag uint32
}

// strip collects what one stream sees of one address, within bounds whatever is seen.
type strip struct {
	every time.Duration
	width time.Duration
	tally *probe.Tally
	from  time.Duration // of the first sample
	to    time.Duration // when the last was due

	full []bucket // those that are over
	open []slot   // those behind them

	failures []single // the first
	later    []single // a ring of the last
	laterAt  int
	recent   []single // good ones of late, ascending as they ended
	near     []single // good ones near an outage
	lastGood time.Duration
	until    time.Duration // to which good ones are kept
	left     bool          // not all could be kept
}

func newStrip(every time.Duration) *strip {
	return &strip{every: every, width: max(bucketWidth, every), tally: probe.NewTally(every), from: -1, lastGood: -1, until: -1}
}

// add adds one sample, in any order, though not by more than inFlight late.
func (s *strip) add(one probe.Sample) {
	s.tally.Add(one)
	if one.Class == probe.ClassStalled {
		s.stalled(one)
		return
	}
	s.to = max(s.to, one.Sched)
	if s.from < 0 || one.Sched < s.from {
		s.from = one.Sched
	}
	s.count(one)
	kept := single{at: one.Sched, lag: max(0, one.Start-one.Sched), took: max(0, one.End-one.Start), class: one.Class, status: one.Status}
	if !one.OK {
		s.keepFailure(kept)
		return
	}
	kept.class = probe.ClassOK
	if s.lastGood >= 0 && one.End-s.lastGood > gapForSamples*s.every {
		s.keepNear(s.lastGood, one.End)
	}
	s.lastGood = max(s.lastGood, one.End)
	if kept.at <= s.until {
		s.keepGood(kept)
		return
	}
	s.recent = append(s.recent, kept)
	if len(s.recent) > 64 && s.recent[len(s.recent)/2].at < one.Sched-aroundOutage-inFlight {
		s.recent = slices.Delete(s.recent, 0, len(s.recent)/2)
	}
}

// stalled notes that the prober did not get round to anything. It is no probe.
func (s *strip) stalled(one probe.Sample) {
	lag := one.Start - one.Sched
	switch at := max(0, int(one.Sched/s.width)); {
	case at < len(s.full):
		s.full[at].lag = max(s.full[at].lag, inMicros(lag))
	case at < len(s.full)+len(s.open):
		b := &s.open[at-len(s.full)]
		b.lag = max(b.lag, lag)
	}
}

// count adds a sample to its bucket.
func (s *strip) count(one probe.Sample) {
	at := max(0, int(one.Sched/s.width))
	if at < len(s.full) {
		b := &s.full[at]
		b.n++
		b.lag = max(b.lag, inMicros(one.Start-one.Sched))
		if one.OK {
			b.good++
			b.max = max(b.max, inMicros(one.End-one.Start))
		}
		return
	}
	for at >= len(s.full)+len(s.open) {
		s.open = append(s.open, slot{})
	}
	b := &s.open[at-len(s.full)]
	b.n++
	b.lag = max(b.lag, one.Start-one.Sched)
	if one.OK {
		b.good++
		b.took = append(b.took, one.End-one.Start)
		b.max = max(b.max, one.End-one.Start)
	}
	if over := len(s.open) - 1 - int(inFlight/s.width); over > 0 {
		s.fill(over)
	}
}

// fill closes the first of the open buckets.
func (s *strip) fill(n int) {
	for i := range s.open[:n] {
		b := &s.open[i]
		slices.Sort(b.took)
		closed := bucket{n: int32(b.n), good: int32(b.good), max: inMicros(b.max), lag: inMicros(b.lag)} //nolint:gosec // probes of one bucket
		if len(b.took) > 0 {
			closed.p50 = inMicros(b.took[len(b.took)/2])
			closed.p99 = inMicros(b.took[min(len(b.took)-1, len(b.took)*99/100)])
		}
		s.full = append(s.full, closed)
	}
	s.open = slices.Delete(s.open, 0, n)
}

// inMicros returns microseconds, an hour at most.
func inMicros(d time.Duration) uint32 {
	return uint32(min(max(d, 0), time.Hour) / time.Microsecond)
}

func (s *strip) keepFailure(one single) {
	switch {
	case len(s.failures) < keptFailures:
		s.failures = append(s.failures, one)
	case len(s.later) < lastFailures:
		s.later = append(s.later, one)
	default:
		s.left = true
		s.later[s.laterAt] = one
		s.laterAt = (s.laterAt + 1) % lastFailures
	}
}

func (s *strip) keepGood(one single) {
	if len(s.near) >= keptNear {
		s.left = true
		return
	}
	s.near = append(s.near, one)
}

// keepNear keeps the good probes around both ends of a gap.
func (s *strip) keepNear(from, to time.Duration) {
	s.recent = slices.DeleteFunc(s.recent, func(one single) bool {
		if one.at < from-aroundOutage || one.at > from+aroundOutage && one.at < to-aroundOutage {
			return false
		}
		s.keepGood(one)
		return true
	})
	s.until = to + aroundOutage
}

// finish returns what is kept, in columns. What was seen of it is in the tally's words.
func (s *strip) finish(seen probe.Watched) (row upgrade.Strip, left bool) {
	s.fill(len(s.open))
	if n := len(seen.Outages); n > 0 && seen.Outages[n-1].Open {
		s.keepNear(seen.Outages[n-1].From, seen.To)
	}
	row = upgrade.Strip{
		Every: s.every, Sent: seen.Sent, Failed: seen.Failed, Unsent: seen.Unsent, P50: seen.P50, P99: seen.P99, Max: seen.Max,
		Buckets: columns(s.full, s.width), Samples: singles(slices.Concat(s.failures, s.later, s.near)),
	}
	for _, b := range seen.Blind {
		row.Blind = append(row.Blind, upgrade.Blind{From: b.From, To: b.To, Most: b.Most})
	}
	return row, s.left
}

func columns(list []bucket, width time.Duration) upgrade.Buckets {
	b := upgrade.Buckets{
		Width: width, N: make([]int, len(list)), Good: make([]int, len(list)), P50: make([]int64, len(list)),
		P99: make([]int64, len(list)), Max: make([]int64, len(list)), Lag: make([]int64, len(list)),
	}
	for i, one := range list {
		b.N[i], b.Good[i] = int(one.n), int(one.good)
		b.P50[i], b.P99[i], b.Max[i], b.Lag[i] = int64(one.p50), int64(one.p99), int64(one.max), int64(one.lag)
	}
	return b
}

func singles(list []single) upgrade.Samples {
	slices.SortStableFunc(list, func(a, b single) int { return cmp.Compare(a.at, b.at) })
	s := upgrade.Samples{Classes: []string{string(probe.ClassOK)}}
	at := map[probe.Class]int{probe.ClassOK: 0}
	for _, one := range list {
		class, known := at[one.class]
		if !known {
			class = len(s.Classes)
			at[one.class] = class
			s.Classes = append(s.Classes, string(one.class))
		}
		s.At, s.Lag, s.Took = append(s.At, one.at.Microseconds()), append(s.Lag, one.lag.Microseconds()), append(s.Took, one.took.Microseconds())
		s.Class, s.Status = append(s.Class, class), append(s.Status, one.status)
	}
	return s
}
