package server

import (
	"fmt"
	"time"
)

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
