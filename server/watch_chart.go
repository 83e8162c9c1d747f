package server

import (
	"cmp"
	"fmt"
	"math"
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

// The picture of a strip.
const (
	maxColumns   = 600 // about one for each pixel
	stripHeight  = 26  // px, of the slowest answer that is told apart
	lowest       = 5   // px, of the fastest
	slowestDrawn = 5 * time.Second
	// A shorter watch has tenths on its axis.
	tenthsBelow = 30 * time.Second
)

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

// strip draws one row of the whole watch.
func (s watched) strip(i int, a axis) stripView {
	strip := s.watch.Strips[i]
	v := s.row(i)
	v.Bands = s.bands(a)
	good := columns(strip, a)
	v.Columns, v.Area, v.Stray = len(good), area(good), s.stray(i, a, len(good))
	for _, b := range strip.Blind {
		v.Bars = append(v.Bars, a.bar(b.From, b.To, "f-blind", "The prober could not see: an outage of "+exactly(b.Most)+" could hide here"))
	}
	for _, o := range s.watch.Outages {
		if o.Strip != i {
			continue
		}
		if n := len(v.Bars); n > 0 && len(v.Bars) >= maxBars {
			break
		}
		doubt := o.Most - o.Best // its true size: not the bounds of what it may have been
		end := o.To - doubt/2
		if o.Open {
			end = o.To
		}
		v.Bars = append(v.Bars, a.bar(end-o.Best, end, outageClass(o), s.outageText(o)))
	}
	return v
}

// maxBars is how many outages and blind times of one strip are drawn; they are narrower than a pixel by then.
const maxBars = 80

// row names a strip.
func (s watched) row(i int) stripView {
	strip := s.watch.Strips[i]
	v := stripView{Name: upperFirst(cmp.Or(strip.Stream, "probes")), Control: strip.Control}
	where := strip.Address
	if where == "" {
		where = "DNS"
	}
	if strip.Control {
		v.Name = "Control"
		where = cmp.Or(strip.Target, where)
	}
	beside := []string{where}
	if strip.Every > 0 {
		beside = append(beside, "every "+exactly(strip.Every))
	}
	if s.places() > 1 {
		beside = append(beside, "from "+vantageName(strip.Vantage))
	}
	v.Beside = strings.Join(beside, ", ")
	return v
}

// places is from how many places was probed.
func (s watched) places() int {
	all := map[string]bool{}
	for _, strip := range s.watch.Strips {
		all[vantageName(strip.Vantage)] = true
	}
	return len(all)
}

// columns reduces a strip's buckets to columns: how high the good answers stand in each.
func columns(strip upgrade.Strip, a axis) []int {
	b := strip.Buckets
	if b.Width <= 0 || b.Len() == 0 || a.long() <= 0 {
		return nil
	}
	n := int(min(max((a.long()+b.Width-1)/b.Width, 1), maxColumns))
	good := make([]int, n)
	for i := range b.Len() {
		at := time.Duration(i) * b.Width
		if at >= a.to {
			break
		}
		first := min(int(int64(at)*int64(n)/int64(a.long())), n-1)
		last := min(max(first, int((int64(at+b.Width)*int64(n)-1)/int64(a.long()))), n-1)
		for c := first; c <= last; c++ {
			if b.Good[i] > 0 {
				good[c] = max(good[c], height(b.Max[i]))
			}
		}
	}
	return good
}

// stray is the path of single probes that failed without making an outage, on so many columns.
func (s watched) stray(i int, a axis, columns int) string {
	var b strings.Builder
	samples, known, last := s.watch.Strips[i].Samples, s.known(i), -1.0
	for j := range samples.Len() {
		one := samples.Get(j)
		x := math.Round(a.x(one.At)*float64(columns)*10/100) / 10
		if sampleClass(one, nil) == "t-ok" || sampleClass(one, nil) == "t-blind" || known(one.At) || x == last || one.At > a.to {
			continue
		}
		fmt.Fprintf(&b, "M%s %dv6", strconv.FormatFloat(x, 'f', -1, 64), stripHeight-6)
		if last = x; b.Len() > maxStray {
			break
		}
	}
	return b.String()
}

// maxStray is how long the path of single failed probes may become, in bytes.
const maxStray = 3000

// known reports whether a moment lies in an outage of a strip or in a blind time.
func (s watched) known(strip int) func(at time.Duration) bool {
	return func(at time.Duration) bool {
		return slices.ContainsFunc(s.watch.Outages, func(o upgrade.Outage) bool { return o.Strip == strip && o.From <= at && at <= o.To }) ||
			slices.ContainsFunc(s.watch.Strips[strip].Blind, func(b upgrade.Blind) bool { return b.From <= at && at <= b.To })
	}
}

// height is how high an answer of so many microseconds stands: logarithmic, from 1 ms on.
func height(us int64) int {
	most := math.Log(float64(slowestDrawn.Microseconds()) / 1000)
	share := math.Log(math.Max(float64(us), 1000)/1000) / most
	return lowest + int(math.Round(math.Min(share, 1)*(stripHeight-lowest)))
}

// area is the path of columns that stand on the ground; 0 is a gap.
func area(heights []int) string {
	var b strings.Builder
	for i := 0; i < len(heights); {
		if heights[i] == 0 {
			i++
			continue
		}
		fmt.Fprintf(&b, "M%d %d", i, stripHeight)
		for i < len(heights) && heights[i] > 0 {
			h := heights[i]
			for i < len(heights) && heights[i] == h {
				i++
			}
			fmt.Fprintf(&b, "V%dH%d", stripHeight-h, i)
		}
		fmt.Fprintf(&b, "V%dz", stripHeight)
	}
	return b.String()
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

// How near to each other the middles of two texts above the rows may be, in percent: on a wide screen, and on a
// narrow one. Outages closer than sharing share a text.
const (
	nearWide   = 11
	nearNarrow = 24
	sharing    = 1.5
)

// head is an outage with its text, or several that share one.
type head struct {
	from, to float64
	sum      time.Duration
	n        int
	open     bool
}

// heads are the lengths of the outages above the rows.
func (s watched) heads(a axis) []chartText {
	var heads []head
	for _, e := range s.events {
		h := head{a.x(e.from), a.x(e.to), e.worst.Best, 1, e.worst.Open}
		if n := len(heads); n > 0 && (h.from-heads[n-1].to < sharing || h.middle()-heads[n-1].middle() < nearWide) {
			last := &heads[n-1]
			last.to, last.sum, last.n, last.open = h.to, last.sum+h.sum, last.n+1, h.open
			continue
		}
		heads = append(heads, h)
	}
	var out []chartText
	last := -100.0
	for _, h := range heads {
		text := placed(h.from, h.to, h.text())
		text.Hot = true
		if text.Min = h.middle()-last < nearNarrow; !text.Min {
			last = h.middle()
		}
		out = append(out, text)
	}
	return out
}

func (h head) middle() float64 { return (h.from + h.to) / 2 }

func (h head) text() string {
	text := exactly(h.sum) + " out"
	if h.n > 1 {
		text = fmt.Sprintf("%d outages, %s together", h.n, exactly(h.sum))
	}
	if h.open {
		text += ", not ended"
	}
	return text
}

// How wide a letter is, in percent of a chart: on a wide screen and on a phone.
const (
	letterWide   = 0.9
	letterNarrow = 1.9
)

// placed puts a text under or above what goes from one place to another, as far as it fits on a narrow screen.
func placed(from, to float64, text string) chartText {
	middle, half := (from+to)/2, letterNarrow/2*float64(len([]rune(text)))
	t := chartText{Anchor: "middle", Text: text, x: middle}
	switch {
	case middle < half:
		t.Anchor, t.x = "start", min(from, max(0, 100-2*half))
	case middle > 100-half:
		t.Anchor, t.x = "end", max(to, min(100, 2*half))
	}
	t.X = inPercent(t.x)
	return t
}

// takes is the room that a text takes where a letter is so wide.
func (t chartText) takes(letter float64) occupied {
	wide := letter * float64(len([]rune(t.Text)))
	switch t.Anchor {
	case "start":
		return occupied{t.x, t.x + wide}
	case "end":
		return occupied{t.x - wide, t.x}
	}
	return occupied{t.x - wide/2, t.x + wide/2}
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
