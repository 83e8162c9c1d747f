package probe

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// The rule for outages, measured over 360 true ones in varnish.md §6.3: a gap between completions of good
// probes longer than three periods, with at least three attempts started inside that failed or came late.
const (
	gapPeriods  = 3
	badAttempts = 3
)

// What a tally keeps at most of what it does not need to count.
const (
	keptQuotes = 20
	keptSlow   = 20_000
	pruneFrom  = 1024 // attempts
)

// Tally adds up the samples of one address, or of the lookups of one name, and finds the outages in them.
// It takes samples in any order, and keeps of the good ones hardly anything, so that a watch may go on for
// hours. It is not for several goroutines at once.
//
// Why gaps, and not errors: a dropped SYN is sent again after a second and a process that was stopped
// answers late, both without any error, while the time between two good answers shows them.
type Tally struct {
	every       time.Duration
	first, last time.Duration // of Sched
	sent        int
	good        int
	failed      int
	unsent      int           // said nothing about the site
	runs        []run         // in which good completions follow each other closely; ascending, none touch
	tries       []attempt     // failed or late ones outside of runs, as far as known
	prune       int           // length of tries from which it is worth looking again
	lags        []stretch     // in which the prober was late or sent nothing
	classes     map[Class]int // failed ones
	took        map[int]int   // good probes by the logarithm of what they took
	least       time.Duration // that a good probe took
	longest     time.Duration // that a good probe took
	quotes      int
	limit       time.Duration // longer answers are slow; 0: none is
	slow        []stretch     // the first of them, from beginning to end
	slower      int           // those beyond
}

// stretch is a piece of time.
type stretch struct{ from, to time.Duration }

// run is a stretch of good completions. The site was up at some time between when the last of them was asked for
// and when it came.
type run struct {
	from, to time.Duration
	asked    time.Duration // when what completed at to was
}

// attempt is a probe that failed or was late.
type attempt struct {
	start  time.Duration
	class  Class
	layer  Layer
	status int
	quote  string
}

// NewTally returns the tally of probes that are due once per every.
func NewTally(every time.Duration) *Tally {
	return &Tally{every: every, first: math.MaxInt64, last: -1, prune: pruneFrom, least: math.MaxInt64, took: map[int]int{}, classes: map[Class]int{}}
}

// SlowBeyond has good answers that take longer than limit counted as slow. It must come before the first Add.
func (t *Tally) SlowBeyond(limit time.Duration) { t.limit = limit }

// Add adds one sample.
func (t *Tally) Add(s Sample) {
	if s.Class == ClassStalled {
		t.lag(stretch{s.Sched, s.Start})
		return
	}
	t.first, t.last = min(t.first, s.Sched), max(t.last, s.Sched)
	if s.Start-s.Sched > t.every/2 {
		t.lag(stretch{s.Sched, s.Start})
	}
	switch {
	case s.Blind():
		t.unsent++
		t.lag(stretch{s.Sched, max(s.Start, s.Sched+t.every)})
		return
	case s.OK:
		t.sent++
		t.good++
		took := s.End - s.Start
		t.took[bucket(took)]++
		t.least, t.longest = min(t.least, took), max(t.longest, took)
		t.completed(s.Start, s.End)
		if t.limit > 0 && took > t.limit {
			if len(t.slow) < keptSlow {
				t.slow = append(t.slow, stretch{s.Start, s.End})
			} else {
				t.slower++
			}
		}
		if took > t.every && !t.inRun(s.Start) {
			t.tries = append(t.tries, attempt{start: s.Start, class: ClassLate})
		}
	default:
		t.sent++
		t.failed++
		t.classes[s.Class]++
		if t.inRun(s.Start) {
			break
		}
		if s.Quote != "" {
			if t.quotes++; t.quotes > keptQuotes {
				s.Quote = ""
			}
		}
		t.tries = append(t.tries, attempt{s.Start, s.Class, s.Layer, s.Status, s.Quote})
	}
	if len(t.tries) >= t.prune { // runs have grown over some of them
		t.tries = slices.DeleteFunc(t.tries, func(a attempt) bool { return t.inRun(a.start) })
		t.prune = max(pruneFrom, 2*len(t.tries))
	}
}

// completed adds a good completion to the run that it belongs to, and joins runs that it connects.
func (t *Tally) completed(asked, at time.Duration) {
	limit := gapPeriods * t.every
	i, _ := slices.BinarySearchFunc(t.runs, at-limit, func(r run, from time.Duration) int { return cmp.Compare(r.to, from) })
	if i == len(t.runs) || t.runs[i].from > at+limit {
		t.runs = slices.Insert(t.runs, i, run{at, at, asked})
		return
	}
	r := &t.runs[i]
	r.from = min(r.from, at)
	if at >= r.to {
		r.to, r.asked = at, asked
	}
	if next := i + 1; next < len(t.runs) && t.runs[next].from-r.to <= limit {
		r.to, r.asked = t.runs[next].to, t.runs[next].asked
		t.runs = slices.Delete(t.runs, next, next+1)
	}
}

// inRun reports whether a moment lies inside a run, where no gap will ever be.
func (t *Tally) inRun(at time.Duration) bool {
	i, _ := slices.BinarySearchFunc(t.runs, at, func(r run, at time.Duration) int { return cmp.Compare(r.to, at) })
	return i < len(t.runs) && t.runs[i].from <= at
}

// lag notes that the prober was not at its work. A burst of late probes is one stretch.
func (t *Tally) lag(s stretch) {
	if n := len(t.lags); n > 0 && s.from <= t.lags[n-1].to && s.to >= t.lags[n-1].from {
		t.lags[n-1] = stretch{min(s.from, t.lags[n-1].from), max(s.to, t.lags[n-1].to)}
		return
	}
	t.lags = append(t.lags, s)
}

// bucket returns the logarithm of what a probe took, in steps of a tenth.
func bucket(took time.Duration) int {
	return int(math.Ceil(math.Log(float64(max(took, time.Microsecond))/float64(time.Microsecond)) / math.Log(1.1)))
}

// quantile returns what so many of the good probes took at most, a tenth too much at worst.
func (t *Tally) quantile(of float64) time.Duration {
	want, seen := int(math.Ceil(of*float64(t.good))), 0
	buckets := make([]int, 0, len(t.took))
	for b := range t.took {
		buckets = append(buckets, b)
	}
	slices.Sort(buckets)
	for _, b := range buckets {
		if seen += t.took[b]; seen >= want {
			return min(t.longest, time.Duration(math.Pow(1.1, float64(b))*float64(time.Microsecond)))
		}
	}
	return 0
}
