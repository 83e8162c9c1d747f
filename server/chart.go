package server

import (
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// timelineView is the pieces of a timeline, a row each, on one axis.
type timelineView struct {
	Label string // what the chart finds, for those who do not see it
	Rows  []timelineRow
	Ticks []tick
}

type timelineRow struct {
	Name  string
	Icon  upgrade.Icon
	Tone  upgrade.Tone
	X, W  string // percent
	Class string
	Mark  bool // a line of 3 px, so that a short failure is never invisible
	Text  string
}

type tick struct{ X, Anchor, Text string }

// timeline draws spans on an axis from the first one's start to the last one's end, rounded up. It is
// nil if there is nothing to draw.
func timeline(spans []upgrade.Span, r upgrade.Result) *timelineView {
	var first, last time.Time
	for _, s := range spans {
		if s.From.IsZero() {
			continue
		}
		if first.IsZero() || s.From.Before(first) {
			first = s.From
		}
		if end := endOf(s, r); end.After(last) {
			last = end
		}
	}
	if first.IsZero() {
		return nil
	}
	axis := roundUp(last.Sub(first))
	v := &timelineView{}
	var found []string
	for _, s := range spans {
		row := timelineRow{Name: s.Name, Icon: upgrade.IconSkip, Tone: upgrade.ToneIdle, Text: "not reached"}
		if !s.From.IsZero() {
			took := endOf(s, r).Sub(s.From)
			row.X, row.W = percent(s.From.Sub(first), axis), percent(took, axis)
			row.Icon, row.Tone, row.Class, row.Text = upgrade.IconOK, upgrade.ToneOK, "f-okl", span(took)
			switch {
			case s.Failed:
				row.Icon, row.Tone, row.Class, row.Text, row.Mark = upgrade.IconBad, upgrade.ToneBad, "f-bad", "failed "+span(took), took*100 < axis
			case s.To.IsZero():
				row.Icon, row.Tone, row.Class, row.Text = upgrade.IconRun, upgrade.ToneRun, "f-runl", span(took)+" so far"
			}
		}
		found = append(found, row.Name+" "+row.Text)
		v.Rows = append(v.Rows, row)
	}
	v.Label = strings.Join(found, "; ")
	for i := range 6 {
		at := axis * time.Duration(i) / 5
		anchor := "middle"
		switch i {
		case 0:
			anchor = "start"
		case 5:
			anchor = "end"
		}
		v.Ticks = append(v.Ticks, tick{X: percent(at, axis), Anchor: anchor, Text: span(at)})
	}
	v.Ticks[0].Text = "0" + nb + "s"
	return v
}

// endOf is where a span ends on the chart: one that has no end goes on until the answer.
func endOf(s upgrade.Span, r upgrade.Result) time.Time {
	end := s.To
	if end.IsZero() {
		end = r.StartedAt.Add(r.Took)
	}
	if end.Before(s.From) {
		return s.From
	}
	return end
}

// roundUp returns a length whose fifths read well.
func roundUp(d time.Duration) time.Duration {
	for _, nice := range []time.Duration{
		5 * time.Second, 10 * time.Second, 20 * time.Second, 50 * time.Second, 100 * time.Second, 200 * time.Second, 300 * time.Second,
		10 * time.Minute, 20 * time.Minute, 50 * time.Minute, 100 * time.Minute,
	} {
		if d <= nice {
			return nice
		}
	}
	return (d + 5*time.Hour - 1).Truncate(5 * time.Hour)
}

// percent returns part of whole, to two decimals.
func percent(part, whole time.Duration) string {
	if whole <= 0 {
		return "0%"
	}
	s := strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 2, 64)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

// ladderView is the rungs of paths: a row per path, a column per layer.
type ladderView struct {
	Layers []string
	Paths  []ladderRow
}

type ladderRow struct {
	Path, Beside string
	Rungs        []rung
}

type rung struct {
	Layer, Text string
	Icon        upgrade.Icon
	Class       string // ok, bad, ghost
	Broken      bool   // the line that leads here is dotted
}

// ladder reads an evidence table of that title: a path, maybe from where it was probed and its address, then a cell per layer,
// which says "✗ …" where it broke, "Not reached" behind that, and "–" where nothing was asked.
func ladder(t upgrade.Table) ladderView {
	v := ladderView{}
	beside := func(i int) bool {
		return strings.EqualFold(t.Columns[i], "Address") || strings.EqualFold(t.Columns[i], "From")
	}
	for i, column := range t.Columns {
		if i > 0 && !beside(i) {
			v.Layers = append(v.Layers, column)
		}
	}
	for _, row := range t.Rows {
		if len(row) == 0 {
			continue
		}
		lr, broken := ladderRow{Path: row[0]}, false
		for i := 1; i < len(row) && i < len(t.Columns); i++ {
			if beside(i) {
				lr.Beside = strings.Trim(lr.Beside+" · "+row[i], " ·")
				continue
			}
			r := rungOf(row[i], broken)
			r.Layer, broken = t.Columns[i], broken || r.Class == "bad"
			lr.Rungs = append(lr.Rungs, r)
		}
		v.Paths = append(v.Paths, lr)
	}
	return v
}

func rungOf(cell string, broken bool) rung {
	text, bad := strings.CutPrefix(cell, "✗")
	text = strings.TrimSpace(text)
	switch {
	case bad && !broken:
		if text == "" {
			text = "Broken"
		}
		return rung{Text: text, Icon: upgrade.IconBad, Class: "bad"}
	case broken, strings.EqualFold(text, "not reached"), text == "":
		return rung{Text: "Not reached", Icon: upgrade.IconSkip, Class: "ghost", Broken: true}
	case text == "–":
		return rung{Text: "Not asked", Icon: upgrade.IconSkip, Class: "ghost"}
	}
	return rung{Text: strings.ReplaceAll(text, " ms", nb+"ms"), Icon: upgrade.IconOK, Class: "ok"}
}
