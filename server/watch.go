package server

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// What a page draws of a watch at most. The tables have more, the CSV has all.
const (
	maxStrips = 10
	maxZooms  = 3
)

// watchView is what a gate saw that watched a site: the whole watch as strips on one axis with Terraform's
// steps, and each outage from near. All positions are percent, so that it fits every width without a script.
type watchView struct {
	Numbers []numberView
	Strips  chartView
	Zooms   []zoomView
	Ladders []ladderView
	Legend  []legendView
	Facts   []factView
	Tables  []tableView
	CSV     []link
	Beside  string // from where was probed
}

// numberView is one of the large numbers above the picture.
type numberView struct {
	Name, Value, Beside string
	Tone                upgrade.Tone
}

// legendView says what a colour means.
type legendView struct{ Class, Text string }

// watched is a watch on its way to a picture.
type watched struct {
	watch  *upgrade.Watch
	marks  []upgrade.Mark
	words  words
	events []outageEvent // in the order of time
}

// outageEvent is one time in which the site was out, on one strip or on several at once.
type outageEvent struct {
	from, to time.Duration
	worst    upgrade.Outage // the longest of them
	all      []upgrade.Outage
	own      bool // the vantage's own network was out too: never charged to the site
}

// watchOf draws what a gate watched; nil if it watched nothing, or its evidence is older than pictures.
func watchOf(d runData, r upgrade.Result) *watchView {
	w := r.Evidence.Watch
	if w == nil || w.Long <= 0 || len(w.Strips) == 0 {
		return nil
	}
	s := watched{watch: w, marks: r.Evidence.Marks, words: d.words, events: eventsOf(w)}
	v := &watchView{Numbers: s.numbers(), Strips: s.strips(), Tables: s.tables(), CSV: csvLinks(d.run.ID, r), Beside: s.beside()}
	v.Legend = s.legend(v.Strips.Rows)
	for _, e := range s.worth() {
		v.Zooms = append(v.Zooms, s.zoom(e))
	}
	if worst, ok := s.worst(); ok {
		if l, ok := s.ladderAt(worst); ok {
			v.Ladders = append(v.Ladders, l)
		}
	}
	return v
}

// eventsOf puts outages together that were at the same time. Those of controls are none of the site's.
func eventsOf(w *upgrade.Watch) []outageEvent {
	var events []outageEvent
	ordered := slices.Clone(w.Outages)
	slices.SortStableFunc(ordered, func(a, b upgrade.Outage) int { return cmp.Compare(a.From, b.From) })
	for _, o := range ordered {
		if o.Strip < 0 || o.Strip >= len(w.Strips) || w.Strips[o.Strip].Control {
			continue
		}
		if n := len(events); n > 0 && o.From < events[n-1].to {
			e := &events[n-1]
			e.to, e.own, e.all = max(e.to, o.To), e.own && o.Own, append(e.all, o)
			if o.Best > e.worst.Best {
				e.worst = o
			}
			continue
		}
		events = append(events, outageEvent{from: o.From, to: o.To, worst: o, all: []upgrade.Outage{o}, own: o.Own})
	}
	return events
}

// worth returns the events that are drawn from near: the longest, in the order of time.
func (s watched) worth() []outageEvent {
	longest := slices.Clone(s.events)
	slices.SortStableFunc(longest, func(a, b outageEvent) int { return cmp.Compare(b.worst.Best, a.worst.Best) })
	longest = longest[:min(len(longest), maxZooms)]
	slices.SortStableFunc(longest, func(a, b outageEvent) int { return cmp.Compare(a.from, b.from) })
	return longest
}

// worst returns the longest outage that is charged to the site.
func (s watched) worst() (upgrade.Outage, bool) {
	var worst upgrade.Outage
	found := false
	for _, e := range s.events {
		for _, o := range e.all {
			if !o.Own && (!found || o.Best > worst.Best) {
				worst, found = o, true
			}
		}
	}
	return worst, found
}

// numbers are the four numbers above the picture.
func (s watched) numbers() []numberView {
	longest := numberView{Name: "Longest outage", Value: "none", Tone: upgrade.ToneOK}
	broke := numberView{Name: "Broke at", Value: "nowhere"}
	if o, ok := s.worst(); ok {
		longest.Value, longest.Tone = exactly(o.Best), upgrade.ToneWarn
		if o.Best > s.watch.Limit {
			longest.Tone = upgrade.ToneBad
		}
		longest.Beside = "± " + exactly((o.Most-o.Certain)/2)
		if o.Open {
			longest.Beside = "and not ended"
		}
		broke.Value = cmp.Or(o.Layer, "no layer")
		if o.Layer == string(probe.LayerTCP) {
			if at := strings.LastIndexByte(s.watch.Strips[o.Strip].Address, ':'); at >= 0 {
				broke.Value += " " + s.watch.Strips[o.Strip].Address[at+1:]
			}
		}
	}
	sent, failed := 0, 0
	for _, strip := range s.watch.Strips {
		if !strip.Control {
			sent, failed = sent+strip.Sent, failed+strip.Failed
		}
	}
	out := []numberView{longest}
	if s.watch.Limit > 0 {
		out = append(out, numberView{Name: "Allowed", Value: exactly(s.watch.Limit)})
	}
	return append(out, numberView{Name: "Failed probes", Value: thousands(failed), Beside: "of " + thousands(sent)}, broke)
}

// beside says from where was probed, and how well the times of other places are known.
func (s watched) beside() string {
	var from []string
	for _, strip := range s.watch.Strips {
		name := vantageName(strip.Vantage)
		if strip.Clock > 0 {
			name += " (its clock within " + exactly(strip.Clock) + ")"
		}
		if !slices.Contains(from, name) {
			from = append(from, name)
		}
	}
	text := "Probed from " + strings.Join(from, ", ")
	if s.watch.Coarse {
		text += ". More was seen than is kept"
	}
	return text
}

func vantageName(v string) string {
	if v == "" || v == string(probe.Here) {
		return "this service's host"
	}
	return v
}

// likelyCause is the note about the one step during which the site was out longest. It is a guess: that two
// things were at the same time proves nothing.
func likelyCause(d runData, r upgrade.Result) (factView, bool) {
	w := r.Evidence.Watch
	if w == nil {
		return factView{}, false
	}
	s := watched{watch: w, marks: r.Evidence.Marks, words: d.words, events: eventsOf(w)}
	o, ok := s.worst()
	if !ok || !o.Sure || len(o.Marks) != 1 || o.Marks[0] < 0 || o.Marks[0] >= len(s.marks) {
		return factView{}, false
	}
	m := s.marks[o.Marks[0]]
	from, to := s.stepSpan(m)
	until := "to " + s.tenth(to)
	if m.Open {
		until = "on"
	}
	out := fmt.Sprintf("the site was out from %s to %s", s.tenth(o.From), s.tenth(o.To))
	if o.Open {
		out = "the site was out from " + s.tenth(o.From) + " on"
	}
	return factView{Name: "Likely cause", Value: fmt.Sprintf("%s was %s from %s %s, and %s. No other step overlaps it.", m.Address, done(m.Action), s.tenth(from), until, out)}, true
}

// second is a moment of the watch by the clock of pages, with seconds.
func (s watched) second(d time.Duration) string {
	return s.watch.Began.Add(d).In(s.words.zone).Format("15:04:05")
}

// tenth is a moment of the watch with tenths.
func (s watched) tenth(d time.Duration) string {
	return s.watch.Began.Add(d).In(s.words.zone).Format("15:04:05.0")
}

// since is when something happened, as time of the watch.
func (s watched) since(t time.Time) time.Duration { return t.Sub(s.watch.Began) }

// exactly writes a length of time as outages need it: "38 ms", "1.29 s", "2 min 5 s".
func exactly(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return strconv.FormatInt(max(0, d.Round(time.Millisecond)).Milliseconds(), 10) + nb + "ms"
	case d < 10*time.Second:
		return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(d.Seconds(), 'f', 2, 64), "0"), ".") + nb + "s"
	}
	return span(d)
}

// thousands writes a number in groups of three: "2,430".
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// ladderAt is the ladder during an outage: what lies before the layer that broke answered.
func (s watched) ladderAt(o upgrade.Outage) (ladderView, bool) {
	strip := s.watch.Strips[o.Strip]
	order := []string{"DNS", "TCP", "TLS", "Varnish", "Backend"}
	switch {
	case o.Layer == "":
		return ladderView{}, false
	case o.Layer == string(probe.LayerProxy):
		order = slices.Insert(order, 3, o.Layer)
	case o.Layer == string(probe.LayerHTTP):
		order = append(order[:3], o.Layer)
	case !slices.Contains(order, o.Layer):
		order = append(order, o.Layer)
	}
	row := ladderRow{Path: strip.Target, Beside: fmt.Sprintf("at %s, during the outage", s.tenth(o.From+(o.To-o.From)/2))}
	broken := false
	for _, layer := range order {
		one := rung{Layer: layer, Text: "Answered", Icon: upgrade.IconOK, Class: "ok"}
		switch {
		case layer == o.Layer:
			one.Text, one.Icon, one.Class, broken = brokenWord(o), upgrade.IconBad, "bad", true
		case broken:
			one = rung{Layer: layer, Text: "Not reached", Icon: upgrade.IconSkip, Class: "ghost", Broken: true}
		case layer == "TLS" && strings.HasPrefix(strip.Target, "http://"):
			one.Text, one.Icon, one.Class = "Not asked", upgrade.IconSkip, "ghost"
		}
		row.Rungs = append(row.Rungs, one)
	}
	return ladderView{Layers: order, Paths: []ladderRow{row}}, true
}

// brokenWord says in a word or two how a layer broke.
func brokenWord(o upgrade.Outage) string {
	switch class := o.Class; {
	case o.Status > 0:
		return strconv.Itoa(o.Status)
	case strings.Contains(class, "timeout"):
		return "No answer"
	case strings.Contains(class, "refused"):
		return "Refused"
	case strings.Contains(class, "reset"), strings.Contains(class, "eof"), strings.Contains(class, "cut"):
		return "Broke off"
	case strings.Contains(class, "unreachable"):
		return "No way there"
	case strings.HasPrefix(class, "tls"):
		return "Wrong certificate"
	}
	return upperFirst(strings.ReplaceAll(o.Class, "_", " "))
}
