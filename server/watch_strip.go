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

// The picture of a strip.
const (
	maxColumns   = 600 // about one for each pixel
	stripHeight  = 26  // px, of the slowest answer that is told apart
	lowest       = 5   // px, of the fastest
	slowestDrawn = 5 * time.Second
	// A shorter watch has tenths on its axis.
	tenthsBelow = 30 * time.Second
)

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
	var times []axis
	for _, o := range s.watch.Outages {
		if o.Strip == strip {
			times = append(times, axis{o.From, o.To})
		}
	}
	for _, b := range s.watch.Strips[strip].Blind {
		times = append(times, axis{b.From, b.To})
	}
	slices.SortFunc(times, func(a, b axis) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(times); i++ { // so that the last that began before a moment ends last
		times[i].to = max(times[i].to, times[i-1].to)
	}
	return func(at time.Duration) bool {
		i, _ := slices.BinarySearchFunc(times, at, func(a axis, at time.Duration) int { return cmp.Compare(a.from, at+1) })
		return i > 0 && at <= times[i-1].to
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
