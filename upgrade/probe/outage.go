package probe

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Watched is what the samples of a [Tally] say. Times count from the beginning of the stream.
type Watched struct {
	From, To time.Duration // in which there were probes
	Every    time.Duration
	Sent     int // without those that say nothing about the site
	Failed   int
	Stray    int           // of Failed, those in no outage
	Classes  map[Class]int // of Failed
	Slow     int           // good, but beyond the limit; without those in an outage, or for which the prober was late itself
	Unsent   int           // of which nothing follows about the site: the prober's own trouble
	P50      time.Duration // of what good probes took
	P99      time.Duration
	Max      time.Duration
	Outages  []Outage // in the order of time
	Blind    []Blind  // in the order of time
}

// Outage is a time without good answers. How long it really was is known only as well as the probes are
// dense: certainly Certain, most likely Best, never more than Most, which is longer than from From to To by what
// the last good answer before took: the site may have gone down as soon as that was asked for.
type Outage struct {
	From, To            time.Duration // last good completion before, first after; the end of the watch if Open
	Certain, Best, Most time.Duration
	Blind               time.Duration // of it, the prober was not at its work: could be more than Certain, cannot be told
	Open                bool          // it had not ended when the watch did
	Attempts            int           // started inside that failed or came late
	Failed              int           // of Attempts
	Class               Class         // of most of them
	Layer               Layer         // of the first of Class
	Status              int           // of the first of Class; 0 if no answer came
	Quote               string        // of the first that has one
}

// Blind is a time in which an outage could have been without having been seen.
type Blind struct {
	From, To time.Duration
	Most     time.Duration // the longest outage that could hide in it
}

// Watched returns what was seen until end, when the last probe was begun at the latest. Samples that came
// in later, of probes begun before, count like any other. An address that was no longer probed at the
// end, because DNS had dropped it, has no outage that goes on.
func (t *Tally) Watched(end time.Duration) Watched {
	w := Watched{
		Every: t.every, Sent: t.sent, Failed: t.failed, Stray: t.failed, Classes: maps.Clone(t.classes), Unsent: t.unsent,
		P50: t.quantile(0.5), P99: t.quantile(0.99), Max: t.longest,
	}
	if t.last < 0 {
		return w
	}
	dropped := end-t.last > gapPeriods*t.every
	if dropped {
		end = t.last + t.every
	}
	w.From, w.To = t.first, max(end, t.last)
	lags := united(t.lags)
	// The beginning counts as if a probe had been sent and answered before the first: an outage from before
	// is one in the watch too, and a site that is always slow has none.
	last, asked := t.first, t.first
	if t.good > 0 {
		last += t.least
	}
	for _, run := range t.runs {
		t.gap(&w, stretch{last, run.from}, last-asked, lags, false)
		last, asked = run.to, run.asked
	}
	t.gap(&w, stretch{last, w.To}, last-asked, lags, !dropped)
	w.Slow = t.slower
	for _, s := range t.slow {
		within := func(o Outage) bool { return s.from < o.To && s.to > o.From }
		if s.to-s.from-overlap(s, lags) > t.limit && !slices.ContainsFunc(w.Outages, within) {
			w.Slow++
		}
	}
	return w
}

// gap decides what a time between two good completions was, the first of which took so long.
func (t *Tally) gap(w *Watched, gap stretch, took time.Duration, lags []stretch, atEnd bool) {
	length := gap.to - gap.from
	o := Outage{From: gap.from, To: gap.to, Open: atEnd, Most: length + took, Blind: overlap(gap, lags)}
	var inside []attempt
	for _, a := range t.tries {
		if a.start >= gap.from && (a.start < gap.to || atEnd) {
			inside = append(inside, a)
		}
	}
	o.Best, o.Certain = max(0, length-t.every), max(0, length-2*t.every-o.Blind)
	o.describe(inside)
	// Where the prober did not keep up for as long as that, and nothing came of what it asked but late answers, and
	// none at all, it may have been the prober's alone. An answer that was wrong, or a refusal, is the site's.
	told := func(a attempt) bool { return a.class != ClassLate && !a.class.TimedOut() }
	perhaps := o.Certain == 0 && o.Blind > 0 && !slices.ContainsFunc(inside, told)
	switch {
	case len(inside) >= badAttempts && !perhaps && (length > gapPeriods*t.every || atEnd):
		w.Outages = append(w.Outages, o)
		w.Stray -= o.Failed
	case length > gapPeriods*t.every && o.Blind > 0:
		w.Blind = append(w.Blind, Blind{gap.from, gap.to, length - t.every})
	}
}

// describe says what the attempts inside met.
func (o *Outage) describe(inside []attempt) {
	slices.SortStableFunc(inside, func(a, b attempt) int { return cmp.Compare(a.start, b.start) })
	o.Attempts = len(inside)
	count := map[Class]int{}
	for _, a := range inside {
		count[a.class]++
		if a.class != ClassLate {
			o.Failed++
		}
	}
	for _, a := range inside {
		if o.Class == "" || count[a.class] > count[o.Class] {
			o.Class, o.Layer, o.Status = a.class, a.layer, a.status
		}
		if o.Quote == "" {
			o.Quote = a.quote
		}
	}
}

// united returns stretches in order, those that touch made one.
func united(list []stretch) []stretch {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	var out []stretch
	for _, s := range list {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// overlap returns how much of a stretch the others cover; these are united.
func overlap(s stretch, others []stretch) time.Duration {
	var sum time.Duration
	for _, other := range others {
		sum += max(0, min(s.to, other.to)-max(s.from, other.from))
	}
	return sum
}

// Union returns how long at least one of the spans, each a beginning and an end, was going on.
func Union(spans [][2]time.Duration) time.Duration {
	list := make([]stretch, len(spans))
	for i, span := range spans {
		list[i] = stretch{span[0], span[1]}
	}
	var sum time.Duration
	for _, s := range united(list) {
		sum += s.to - s.from
	}
	return sum
}
