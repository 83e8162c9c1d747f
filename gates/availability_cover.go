package gates

import (
	"cmp"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// coverPeriods is how many periods of a stream may pass without a probe: what is shorter is no outage either, by the
// rule of probe.Tally.
const coverPeriods = 3

// cover is when a stream did its work, or said that it did not. Of any other time nothing is known, and nobody says
// so: samples were lost on their way, or a prober was restarted and does not know it.
type cover struct {
	every time.Duration
	spans [][2]time.Duration // ascending; none is within coverPeriods of the next
}

// add notes that something was said of a time. It comes in any order, as samples do.
func (c *cover) add(from, to time.Duration) {
	limit := coverPeriods * c.every
	first, _ := slices.BinarySearchFunc(c.spans, from-limit, func(s [2]time.Duration, at time.Duration) int { return cmp.Compare(s[1], at) })
	end := first
	for ; end < len(c.spans) && c.spans[end][0] <= to+limit; end++ {
		from, to = min(from, c.spans[end][0]), max(to, c.spans[end][1])
	}
	c.spans = slices.Replace(c.spans, first, end, [2]time.Duration{from, to})
}

// holes returns when nobody looked, between the first probe and the last.
func (c *cover) holes() []probe.Blind {
	var list []probe.Blind
	for i := 1; i < len(c.spans); i++ {
		from, to := c.spans[i-1][1], c.spans[i][0]
		list = append(list, probe.Blind{From: from, To: to, Most: to - from - c.every})
	}
	return list
}
