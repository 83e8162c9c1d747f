package server

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// zoomView is one outage from near, probe by probe.
type zoomView struct {
	Title string // "Those 4 s, probe by probe"
	When  string // from when to when
	Label string // what it shows, for those who do not see it
	Rows  []probesView
	Lanes []laneView
	Ticks []tick
	Notes []string // each outage in it in words
}

// probesView is the single probes of one strip.
type probesView struct {
	Name, Beside string
	Bands        []barView // at most, and certainly
	Ticks        []ticksView
	Width        int // of the paths
}

// ticksView are ticks of one colour, as one path.
type ticksView struct{ Class, Path string }

// The picture of a zoom.
const (
	zoomWidth  = 1000
	zoomHeight = 28
	maxTicks   = 220 // single probes in a row; more are told in bins
	bins       = 60
	maxRowsIn  = 6
	leastPad   = 500 * time.Millisecond
	mostPad    = 5 * time.Second
)

// zoom draws an event with as much around it as it is long, within limits.
func (s watched) zoom(e outageEvent) zoomView {
	pad := min(max(e.to-e.from, leastPad), mostPad)
	a := axis{max(0, e.from-pad), min(s.watch.Long, e.to+pad)}
	v := zoomView{
		Title: fmt.Sprintf("Those %s, probe by probe", span(a.long())), When: s.tenth(a.from) + " to " + s.tenth(a.to),
		Ticks: s.ticks(a, s.tenth),
	}
	v.Lanes, _ = s.lanes(a)
	for _, i := range s.involved(e, a) {
		v.Rows = append(v.Rows, s.probes(i, a, e))
	}
	text := s.outageText(e.worst)
	if e.worst.While != "" {
		text += ", " + e.worst.While
	}
	v.Notes = append(v.Notes, text+".")
	if n := len(e.all); n > 1 {
		v.Notes = append(v.Notes, fmt.Sprintf("That is the longest of %d outages of streams and addresses at that time; the table has each.", n))
	}
	v.Label = strings.Join(v.Notes, " ")
	return v
}

// involved returns the strips that an event is drawn on: those that were out, then controls and others that
// have single probes of that time.
func (s watched) involved(e outageEvent, a axis) []int {
	var out []int
	for _, o := range e.all {
		if !slices.Contains(out, o.Strip) {
			out = append(out, o.Strip)
		}
	}
	slices.Sort(out)
	others := make([]int, 0, len(s.watch.Strips))
	for i := range s.watch.Strips {
		if !slices.Contains(out, i) && len(near(s.watch.Strips[i].Samples, a)) > 0 {
			others = append(others, i)
		}
	}
	slices.SortStableFunc(others, func(x, y int) int { // controls first: they say whose fault it is
		return cmp.Compare(b2i(s.watch.Strips[y].Control), b2i(s.watch.Strips[x].Control))
	})
	out = append(out, others...)
	return out[:min(len(out), maxRowsIn)]
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// near returns the samples of a stretch of time, by when they were begun.
func near(samples upgrade.Samples, a axis) []upgrade.Sample {
	var out []upgrade.Sample
	for i := range samples.Len() {
		one := samples.Get(i)
		if begun := one.At + one.Lag; begun >= a.from && begun <= a.to {
			out = append(out, one)
		}
	}
	return out
}

// probes draws the single probes of a strip.
func (s watched) probes(i int, a axis, e outageEvent) probesView {
	row := s.row(i)
	v := probesView{Name: row.Name, Beside: row.Beside, Width: zoomWidth}
	var mine []upgrade.Outage
	for _, o := range e.all {
		if o.Strip != i {
			continue
		}
		mine = append(mine, o)
		v.Bands = append(v.Bands, a.bar(o.From, o.To, "f-most", "out for at most "+exactly(o.Most)))
		if from, to := o.To-o.Certain, o.From+o.Certain; from < to {
			v.Bands = append(v.Bands, a.bar(from, to, "f-sure", "certainly out"))
		}
	}
	samples := near(s.watch.Strips[i].Samples, a)
	if len(samples) > maxTicks {
		v.Ticks = binned(samples, a, mine)
		return v
	}
	paths := map[string]*strings.Builder{}
	for _, one := range samples {
		class := sampleClass(one, mine)
		if paths[class] == nil {
			paths[class] = &strings.Builder{}
		}
		tall := zoomHeight
		if class == "t-ok" {
			tall = 12
		}
		fmt.Fprintf(paths[class], "M%d %dv%d", int(math.Round(zoomWidth*a.x(one.At+one.Lag)/100)), (zoomHeight-tall)/2, tall)
	}
	v.Ticks = inOrder(paths)
	return v
}

// tickClasses are the colours of single probes, in the order in which they are drawn.
func tickClasses() []string { return []string{"t-ok", "t-blind", "t-late", "t-http", "t-tls", "t-bad"} }

func inOrder(paths map[string]*strings.Builder) []ticksView {
	var out []ticksView
	for _, class := range tickClasses() {
		if b := paths[class]; b != nil {
			out = append(out, ticksView{class, b.String()})
		}
	}
	return out
}

// sampleClass is the colour of one probe. A good one that was begun in an outage came late.
func sampleClass(one upgrade.Sample, outages []upgrade.Outage) string {
	switch {
	case (probe.Sample{Class: probe.Class(one.Class)}).Blind():
		return "t-blind"
	case one.Class == string(probe.ClassLate):
		return "t-late"
	case one.Class != string(probe.ClassOK):
		return "t" + strings.TrimPrefix(failureClass(one.Class, ""), "f")
	}
	for _, o := range outages {
		if begun := one.At + one.Lag; begun > o.From && begun < o.To && begun+one.Took >= o.To {
			return "t-late"
		}
	}
	return "t-ok"
}

// binned tells many probes in few bins: each as high as the share of its probes that failed, in the colour of
// most of them.
func binned(samples []upgrade.Sample, a axis, outages []upgrade.Outage) []ticksView {
	type bin struct {
		n     int
		class map[string]int
	}
	all := make([]bin, bins)
	for _, one := range samples {
		b := &all[min(int(a.x(one.At+one.Lag)*bins/100), bins-1)]
		if b.n++; b.class == nil {
			b.class = map[string]int{}
		}
		b.class[sampleClass(one, outages)]++
	}
	paths := map[string]*strings.Builder{}
	const wide = zoomWidth / bins
	for i, b := range all {
		if b.n == 0 {
			continue
		}
		class, failed := "t-ok", b.n-b.class["t-ok"]
		for _, one := range tickClasses()[1:] {
			if b.class[one] > 0 && (class == "t-ok" || b.class[one] > b.class[class]) {
				class = one
			}
		}
		tall := 12 + (zoomHeight-12)*failed/b.n
		if paths[class] == nil {
			paths[class] = &strings.Builder{}
		}
		fmt.Fprintf(paths[class], "M%d %dh%dv%dh-%dz", i*zoomWidth/bins+2, (zoomHeight-tall)/2, wide-4, tall, wide-4)
	}
	var out []ticksView
	for _, one := range inOrder(paths) {
		out = append(out, ticksView{one.Class + " bin", one.Path})
	}
	return out
}
