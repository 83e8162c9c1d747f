package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// pastView is what an invariant said over time, as a strip of bins of equal length.
type pastView struct {
	Label string // what the chart finds, for those who do not see it
	Bars  []pastBar
}

// pastBar is one bin, or several of one look side by side.
type pastBar struct{ Class, X, W, Y, H string }

// sureness is what a piece of time on the strip was; the zero value is not known.
type sureness int

const (
	notKnown sureness = iota
	wasHeld
	wasBroken
	notVerified
	wasPaused
)

// piece is a time in which an invariant was one thing.
type piece struct {
	from, to time.Time
	was      sureness
}

// pieces puts what a gate said, oldest first, into times. A pass counts for goodFor from its asking on, a no
// until something else is said, and what is not told is not known. Nothing reaches beyond now.
func pieces(stretches []upgrade.Stretch, goodFor time.Duration, now time.Time) []piece {
	var out []piece
	add := func(from, to time.Time, was sureness) {
		if to.After(from) {
			out = append(out, piece{from, to, was})
		}
	}
	var heldUntil time.Time
	for i, st := range stretches {
		end := now
		if i+1 < len(stretches) && stretches[i+1].Since.Before(end) {
			end = stretches[i+1].Since
		}
		switch st.Outcome {
		case upgrade.OutcomePassed:
			heldUntil = st.Until.Add(goodFor)
			until := earliest(heldUntil, end)
			add(st.Since, until, wasHeld)
			add(until, end, notVerified)
		case upgrade.OutcomeFailed:
			heldUntil = time.Time{}
			add(st.Since, end, wasBroken)
		case upgrade.OutcomeSkipped:
			add(st.Since, end, wasPaused)
		case upgrade.OutcomeUnknown, upgrade.OutcomeWaiting, upgrade.OutcomeRunning:
			until := st.Since // an earlier pass may still count
			if heldUntil.After(st.Since) {
				until = earliest(heldUntil, end)
				add(st.Since, until, wasHeld)
			}
			add(until, end, notVerified)
		}
	}
	return out
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// strip draws what was said within span before now in so many bins.
func past(stretches []upgrade.Stretch, goodFor time.Duration, now time.Time, span time.Duration, bins int) pastView {
	begin, each := now.Add(-span), span/time.Duration(bins)
	var total [wasPaused + 1]time.Duration
	all := pieces(stretches, goodFor, now)
	v := pastView{}
	type shape struct {
		class  string
		height float64
	}
	open, from := shape{}, 0
	flush := func(to int) {
		if open.class != "" {
			v.Bars = append(v.Bars, pastBar{
				Class: open.class, X: share(from, bins), W: share(to-from, bins), Y: pixels(9 - open.height/2), H: pixels(open.height),
			})
		}
		from = to
	}
	for i := range bins {
		var had [wasPaused + 1]time.Duration
		a, b := begin.Add(time.Duration(i)*each), begin.Add(time.Duration(i+1)*each)
		for _, p := range all {
			if d := earliest(p.to, b).Sub(latest(p.from, a)); d > 0 {
				had[p.was] += d
				total[p.was] += d
			}
		}
		next := shape{}
		switch {
		case had[wasBroken] > 0:
			next = shape{"f-bad", 6 + 10*float64(had[wasBroken])/float64(each)}
		case had[notVerified]*15 >= each:
			next = shape{"f-ghost", 9}
		case had[wasPaused] > 0:
			next = shape{"f-idle", 5}
		case had[wasHeld] > 0:
			next = shape{"f-okl", 5}
		}
		if next != open {
			flush(i)
			open = next
		}
	}
	flush(bins)
	v.Label = pastLabel(total, span)
	return v
}

func pastLabel(total [wasPaused + 1]time.Duration, length time.Duration) string {
	var said []string
	for _, one := range []struct {
		was  sureness
		word string
	}{{wasBroken, "broken"}, {notVerified, "not verified"}, {wasPaused, "paused"}} {
		if d := total[one.was]; d > 0 {
			said = append(said, one.word+" for "+coarse(d))
		}
	}
	of := "the last " + coarse(length)
	held := total[wasHeld]
	switch known := held + total[wasBroken] + total[notVerified] + total[wasPaused]; {
	case known == 0:
		return "Nothing is known of " + of
	case known < length-time.Minute:
		of = fmt.Sprintf("the last %s, of which %s are known", coarse(length), coarse(known))
	}
	if len(said) == 0 {
		return "Held for all of " + of
	}
	return upperFirst(strings.Join(said, ", ")) + " in " + of
}

// coarse is span without the seconds of what lasted minutes.
func coarse(d time.Duration) string {
	if d >= time.Minute {
		d = d.Truncate(time.Minute)
	}
	return span(d)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// share returns n of so many as percent, to two decimals.
func share(n, of int) string { return percent(time.Duration(n), time.Duration(of)) }

func pixels(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
