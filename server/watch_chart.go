package server

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// chartView is rows on one axis of time, with Terraform's steps beneath.
type chartView struct {
	Label  string // what it finds, for those who do not see it
	Heads  []chartText
	Rows   []stripView
	More   string // rows that are not drawn
	Lanes  []laneView
	Ticks  []tick
	Crowds string // steps that found no room
}

// chartText is a text in a chart. Min: it goes on narrow screens.
type chartText struct {
	X, Anchor, Text string
	Min, Hot        bool
	x               float64 // as X
}

// stripView is one row: what one stream saw of one address.
type stripView struct {
	Name, Beside string
	Control      bool
	Columns      int    // of the paths
	Area         string // path of the columns with good answers, as high as the slowest was slow
	Stray        string // path of the columns in which probes failed that make no outage
	Bands        []barView
	Bars         []barView // blind times, then outages
}

// barView is a piece of a row.
type barView struct {
	X, W, Class string
	Mark        bool // a line of 3 px, so that it is never invisible
	Text        string
}

// laneView is a row of Terraform's steps that do not overlap.
type laneView struct {
	Bars  []barView
	Texts []chartText
}

// axis is the stretch of a watch that a chart shows.
type axis struct{ from, to time.Duration }

func (a axis) long() time.Duration { return a.to - a.from }

// x is where a moment lies, as percent.
func (a axis) x(at time.Duration) float64 {
	if a.long() <= 0 {
		return 0
	}
	return 100 * float64(min(max(at, a.from), a.to)-a.from) / float64(a.long())
}

// bar is a piece of a row from one moment to another.
func (a axis) bar(from, to time.Duration, class, text string) barView {
	x, end := a.x(from), a.x(to)
	return barView{X: inPercent(x), W: inPercent(end - x), Class: class, Text: text, Mark: end-x < 0.5}
}

func inPercent(x float64) string {
	s := strconv.FormatFloat(x, 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

// strips draws the whole watch.
func (s watched) strips() chartView {
	a := axis{0, s.watch.Long}
	v := chartView{Label: s.finding(), Heads: s.heads(a), Ticks: s.ticks(a, s.second)}
	if a.long() < tenthsBelow {
		v.Ticks = s.ticks(a, s.tenth)
	}
	v.Lanes, v.Crowds = s.lanes(a)
	shown, left := s.shown()
	for _, i := range shown {
		v.Rows = append(v.Rows, s.strip(i, a))
	}
	if left > 0 {
		v.More = fmt.Sprintf("%s more without an outage, in the table below", plural(left, "row"))
	}
	return v
}

// shown returns which strips are drawn: those with an outage before others, the controls last.
func (s watched) shown() (strips []int, left int) {
	out := map[int]bool{}
	for _, o := range s.watch.Outages {
		out[o.Strip] = true
	}
	for i := range s.watch.Strips {
		strips = append(strips, i)
	}
	rank := func(i int) int {
		switch {
		case out[i]:
			return 0
		case s.watch.Strips[i].Control:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(strips, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	left = max(0, len(strips)-maxStrips)
	strips = strips[:len(strips)-left]
	slices.SortFunc(strips, func(a, b int) int {
		if one, other := s.watch.Strips[a].Control, s.watch.Strips[b].Control; one != other {
			if other {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	return strips, left
}

// bands are the steps of Terraform's that overlap an outage, drawn behind the rows.
func (s watched) bands(a axis) []barView {
	var out []barView
	for i, m := range s.marks {
		if s.hot(i) {
			from, to := s.stepSpan(m)
			if to >= a.from && from <= a.to {
				out = append(out, a.bar(from, to, "f-step", ""))
			}
		}
	}
	return out
}

// hot reports whether a step overlaps an outage of the site, as far as is known.
func (s watched) hot(mark int) bool {
	for _, e := range s.events {
		for _, o := range e.all {
			if slices.Contains(o.Marks, mark) {
				return true
			}
		}
	}
	return false
}

// stepSpan is from when to when a step was under way, as time of the watch.
func (s watched) stepSpan(m upgrade.Mark) (from, to time.Duration) {
	from, to = s.since(m.From), s.since(m.To)
	if m.Open {
		to = s.watch.Long
	}
	return from, max(from, to)
}

// ticks are five times along the axis.
func (s watched) ticks(a axis, text func(time.Duration) string) []tick {
	var out []tick
	for i := range 5 {
		anchor := "middle"
		switch i {
		case 0:
			anchor = "start"
		case 4:
			anchor = "end"
		}
		out = append(out, tick{X: strconv.Itoa(25*i) + "%", Anchor: anchor, Text: text(a.from + a.long()*time.Duration(i)/4)})
	}
	return out
}

// finding says in words what the strips show.
func (s watched) finding() string {
	if len(s.events) == 0 {
		return fmt.Sprintf("Reachable for the whole watch from %s to %s", s.second(0), s.second(s.watch.Long))
	}
	var out []string
	for i, e := range s.events {
		if i == 5 {
			out = append(out, fmt.Sprintf("and %d more times", len(s.events)-i))
			break
		}
		until := "to " + s.tenth(e.to)
		if e.worst.Open {
			until = "and not ended"
		}
		out = append(out, fmt.Sprintf("%s %s", s.tenth(e.from), until))
	}
	return "Reachable for the whole watch except " + strings.Join(out, ", ")
}

// outageText says one outage in words.
func (s watched) outageText(o upgrade.Outage) string {
	text := fmt.Sprintf("%s from %s to %s: out for %s, certainly %s, at most %s", cmp.Or(o.Words, o.Class), s.tenth(o.From), s.tenth(o.To), exactly(o.Best), exactly(o.Certain), exactly(o.Most))
	if o.Own {
		text += "; a control was out too, so it is not charged to the site"
	}
	return upperFirst(text)
}
