package probe_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

const ms = time.Millisecond

// site is a make-believe one: what probes meet depends on when they start.
type site struct {
	every, latency time.Duration
	until          time.Duration // the last probe is due before
	outages        []outage
	stalls         [][2]time.Duration // of the prober: what is due in one starts at its end
}

// outage is what happens to probes that start in a time.
type outage struct {
	from, to time.Duration
	how      probe.Class // ClassTCPRefused, ClassTCPTimeout or ClassLate
}

// samples returns what a prober sees of the site.
func (s site) samples() []probe.Sample {
	var list []probe.Sample
	for due := time.Duration(0); due < s.until; due += s.every {
		start := due
		for _, stall := range s.stalls {
			if start >= stall[0] && start < stall[1] {
				start = stall[1]
			}
		}
		one := probe.Sample{Sched: due, Start: start, End: start + s.latency, OK: true, Class: probe.ClassOK}
		for _, o := range s.outages {
			if start < o.from || start >= o.to {
				continue
			}
			switch o.how { //nolint:exhaustive // no other happens here
			case probe.ClassLate:
				one.End = o.to + s.latency
			case probe.ClassTCPTimeout:
				one.OK, one.Class, one.Layer, one.End = false, o.how, probe.LayerTCP, start+800*ms
			default:
				one.OK, one.Class, one.Layer = false, o.how, probe.LayerTCP
			}
		}
		list = append(list, one)
	}
	return list
}

func (s site) watched() probe.Watched { return tallied(s.every, s.until, s.samples()) }

func tallied(every, until time.Duration, samples []probe.Sample) probe.Watched {
	tally := probe.NewTally(every)
	for _, one := range samples {
		tally.Add(one)
	}
	return tally.Watched(until)
}

func TestTally(t *testing.T) {
	refused, dropped, stalled := probe.ClassTCPRefused, probe.ClassTCPTimeout, probe.ClassLate
	type want struct {
		outages int
		length  time.Duration // of the first, ±2T
		class   probe.Class
		open    bool
		blind   int
	}
	tests := []struct {
		name string
		site site
		want want
	}{
		{"quiet", site{}, want{}},
		{"slow_all_the_time", site{latency: 400 * ms}, want{}},
		{"refused", site{outages: []outage{{2000 * ms, 2337 * ms, refused}}}, want{outages: 1, length: 337 * ms, class: refused}},
		{"dropped", site{outages: []outage{{2000 * ms, 2337 * ms, dropped}}}, want{outages: 1, length: 337 * ms, class: dropped}},
		{"stalled", site{outages: []outage{{2010 * ms, 2337 * ms, stalled}}}, want{outages: 1, length: 327 * ms, class: stalled}},
		{"stalled_and_slow", site{latency: 400 * ms, outages: []outage{{2010 * ms, 3337 * ms, stalled}}}, want{outages: 1, length: 1327 * ms, class: stalled}},
		{"one_failed", site{outages: []outage{{2000 * ms, 2040 * ms, refused}}}, want{}},
		{"two_failed", site{outages: []outage{{2000 * ms, 2090 * ms, refused}}}, want{}},
		{"from_the_beginning", site{outages: []outage{{0, 700 * ms, refused}}}, want{outages: 1, length: 700 * ms, class: refused}},
		{"to_the_end", site{outages: []outage{{4000 * ms, 9000 * ms, dropped}}}, want{outages: 1, length: time.Second, class: dropped, open: true}},
		{"three_at_the_end", site{outages: []outage{{4850 * ms, 9000 * ms, refused}}}, want{outages: 1, length: 150 * ms, class: refused, open: true}},
		{"two_at_the_end", site{outages: []outage{{4900 * ms, 9000 * ms, refused}}}, want{}},
		{"all_the_time", site{outages: []outage{{0, 9000 * ms, refused}}}, want{outages: 1, length: 5 * time.Second, class: refused, open: true}},
		{"stall_that_ends_after_the_watch", site{outages: []outage{{4500 * ms, 5600 * ms, stalled}}}, want{outages: 1, length: 1100 * ms, class: stalled}},
		{"two_outages", site{outages: []outage{{1000 * ms, 1300 * ms, refused}, {3000 * ms, 3900 * ms, dropped}}}, want{outages: 2, length: 300 * ms, class: refused}},
		{"mixed", site{outages: []outage{{2000 * ms, 2200 * ms, refused}, {2200 * ms, 2900 * ms, dropped}}}, want{outages: 1, length: 900 * ms, class: dropped}},
		{"prober_stopped", site{stalls: [][2]time.Duration{{2000 * ms, 2700 * ms}}}, want{blind: 1}},
		{"prober_stopped_in_an_outage", site{outages: []outage{{1800 * ms, 2500 * ms, refused}}, stalls: [][2]time.Duration{{2100 * ms, 2400 * ms}}}, want{outages: 1, length: 700 * ms, class: refused}},
		{"outage_while_stopped", site{outages: []outage{{2100 * ms, 2400 * ms, refused}}, stalls: [][2]time.Duration{{2000 * ms, 2700 * ms}}}, want{blind: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.site.every, test.site.until = 50*ms, 5*time.Second
			if test.site.latency == 0 {
				test.site.latency = 3 * ms
			}
			w := test.site.watched()
			if len(w.Outages) != test.want.outages || len(w.Blind) != test.want.blind || w.Sent != 100 {
				t.Fatalf("got %+v, want %+v", w, test.want)
			}
			if test.want.outages == 0 {
				return
			}
			o := w.Outages[0]
			if o.Class != test.want.class || o.Open != test.want.open || o.Best < test.want.length-100*ms || o.Best > test.want.length+100*ms {
				t.Errorf("got %+v, want %+v", o, test.want)
			}
			if o.Certain > test.want.length || o.Most < test.want.length && !o.Open {
				t.Errorf("it lasted %s, which is not between %s and %s", test.want.length, o.Certain, o.Most)
			}
		})
	}
}

// TestTallyBlind: samples that say nothing about the site are neither failures nor successes.
func TestTallyBlind(t *testing.T) {
	samples := site{every: 50 * ms, latency: 3 * ms, until: 5 * time.Second}.samples()
	for i := 40; i < 60; i++ {
		samples[i].OK, samples[i].Class = false, probe.ClassUnsent
	}
	w := tallied(50*ms, 5*time.Second, samples)
	if len(w.Outages) != 0 || len(w.Blind) != 1 || w.Blind[0].Most != time.Second || w.Unsent != 20 || w.Sent != 80 || w.Failed != 0 {
		t.Errorf("got %+v", w)
	}
	if w := probe.NewTally(50 * ms).Watched(time.Second); w.Sent != 0 || len(w.Outages) != 0 {
		t.Errorf("of nothing: got %+v", w)
	}
}

// TestTallyDropped: an address that DNS drops after it broke had an outage that came to an end.
func TestTallyDropped(t *testing.T) {
	s := site{every: 50 * ms, latency: 3 * ms, until: 3 * time.Second, outages: []outage{{2000 * ms, 9000 * ms, probe.ClassTCPRefused}}}
	w := tallied(s.every, 5*time.Second, s.samples())
	if len(w.Outages) != 1 || w.Outages[0].Open || w.Outages[0].Best < 900*ms || w.Outages[0].Best > 1100*ms {
		t.Errorf("got %+v", w)
	}
}

func TestTallyQuantiles(t *testing.T) {
	tally := probe.NewTally(50 * ms)
	for i := range 1000 {
		at := time.Duration(i) * 50 * ms
		tally.Add(probe.Sample{Sched: at, Start: at, End: at + time.Duration(i+1)*10*time.Microsecond, OK: true})
	}
	w := tally.Watched(50 * time.Second)
	if w.P50 < 5*ms || w.P50 > 5500*time.Microsecond || w.P99 < 9900*time.Microsecond || w.P99 > 10*ms || w.Max != 10*ms {
		t.Errorf("got p50 %s, p99 %s, max %s", w.P50, w.P99, w.Max)
	}
}

// FuzzTally holds synthetic outages against what is found of them: nothing long enough is missed, the
// truth lies within the bounds, and the order in which samples come in does not matter.
func FuzzTally(f *testing.F) {
	f.Add(uint16(50), uint16(3), uint16(2000), uint16(337), uint8(0), uint64(1))
	f.Add(uint16(20), uint16(30), uint16(1990), uint16(137), uint8(1), uint64(2))
	f.Add(uint16(100), uint16(250), uint16(2001), uint16(1500), uint8(2), uint64(3))
	f.Fuzz(func(t *testing.T, every, latency, from, length uint16, how uint8, seed uint64) {
		s := site{
			every: time.Duration(10+every%491) * ms, latency: time.Duration(1+latency%400) * ms, until: 30 * time.Second,
		}
		class := []probe.Class{probe.ClassTCPRefused, probe.ClassTCPTimeout, probe.ClassLate}[how%3]
		o := outage{how: class, from: time.Duration(2000+from%5000) * ms}
		o.to = o.from + time.Duration(length%8000)*ms
		s.outages = []outage{o}
		samples := s.samples()
		random := rand.New(rand.NewPCG(seed, 0))
		random.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
		got := tallied(s.every, s.until, samples)
		truth := o.to - o.from
		if truth == 0 {
			if len(got.Outages) > 0 {
				t.Fatalf("found %+v where nothing was", got.Outages)
			}
			return
		}
		if len(got.Outages) > 1 || len(got.Outages) == 0 && truth >= 5*s.every || len(got.Blind) > 0 {
			t.Fatalf("found %+v and %+v, want one of %s at %s with T = %s", got.Outages, got.Blind, truth, o.from, s.every)
		}
		for _, found := range got.Outages {
			if found.Open || found.Certain > truth || found.Most < truth {
				t.Fatalf("%s is not between %s and %s with T = %s", truth, found.Certain, found.Most, s.every)
			}
			if found.Certain > found.Best || found.Best > found.Most || found.Most < found.To-found.From {
				t.Fatalf("out of order: %+v", found)
			}
		}
	})
}

// FuzzTallySamples feeds it what no prober sends.
func FuzzTallySamples(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		tally := probe.NewTally(10 * ms)
		classes := []probe.Class{probe.ClassOK, probe.ClassTCPRefused, probe.ClassUnsent, probe.ClassLate}
		for ; len(data) >= 4; data = data[4:] {
			s := probe.Sample{Sched: time.Duration(data[0]) * 10 * ms, Class: classes[data[3]%4]}
			s.Start = s.Sched + time.Duration(data[1])*ms
			s.End = s.Start + time.Duration(data[2])*5*ms
			s.OK = s.Class == probe.ClassOK
			tally.Add(s)
		}
		w := tally.Watched(3 * time.Second)
		last := time.Duration(-1)
		for _, o := range w.Outages {
			if o.Certain < 0 || o.Certain > o.Best || o.Best > o.Most || o.From < last || o.To < o.From || o.Attempts < 3 || o.Class == "" {
				t.Fatalf("got %+v", o)
			}
			last = o.To
		}
	})
}

// TestTallyStray: failed probes that are in no outage are told apart, and all are counted by class.
func TestTallyStray(t *testing.T) {
	s := site{every: 50 * ms, latency: 3 * ms, until: 5 * time.Second, outages: []outage{
		{1000 * ms, 1020 * ms, probe.ClassTCPReset}, {2000 * ms, 3000 * ms, probe.ClassTCPRefused}, {4000 * ms, 4020 * ms, probe.ClassTCPRefused},
	}}
	w := s.watched()
	if len(w.Outages) != 1 || w.Outages[0].Failed != 20 || w.Failed != 22 || w.Stray != 2 || w.Classes[probe.ClassTCPRefused] != 21 || w.Classes[probe.ClassTCPReset] != 1 {
		t.Errorf("got %+v", w)
	}
}

// TestTallySlow: slow answers are counted where they are no outage's, and not the prober's own.
func TestTallySlow(t *testing.T) {
	const every, limit = 20 * time.Millisecond, 100 * time.Millisecond
	for name, test := range map[string]struct {
		took func(due time.Duration) time.Duration // 0: 3 ms
		lag  [2]time.Duration                      // the prober stood still
		want int
	}{
		"none": {func(time.Duration) time.Duration { return limit }, [2]time.Duration{}, 0},
		"some": {func(due time.Duration) time.Duration {
			return map[bool]time.Duration{true: limit + 1}[due%(200*time.Millisecond) == 0]
		}, [2]time.Duration{}, 10},
		"a_stall": {func(due time.Duration) time.Duration {
			return max(0, 1500*time.Millisecond-due) * time.Duration(b2i(due >= time.Second))
		}, [2]time.Duration{}, 0},
		"own": {func(due time.Duration) time.Duration {
			return map[bool]time.Duration{true: 120 * time.Millisecond}[due == time.Second]
		}, [2]time.Duration{1010 * time.Millisecond, 1090 * time.Millisecond}, 0},
		"not_only_own": {func(due time.Duration) time.Duration {
			return map[bool]time.Duration{true: 220 * time.Millisecond}[due == time.Second]
		}, [2]time.Duration{1010 * time.Millisecond, 1090 * time.Millisecond}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tally := probe.NewTally(every)
			tally.SlowBeyond(limit)
			if test.lag[1] > 0 {
				tally.Add(probe.Sample{Sched: test.lag[0], Start: test.lag[1], End: test.lag[1], Class: probe.ClassStalled})
			}
			for due := time.Duration(0); due < 2*time.Second; due += every {
				tally.Add(probe.Sample{Sched: due, Start: due, End: due + max(3*time.Millisecond, test.took(due)), OK: true, Class: probe.ClassOK})
			}
			if got := tally.Watched(2 * time.Second); got.Slow != test.want {
				t.Errorf("%d are slow, want %d: %+v", got.Slow, test.want, got.Outages)
			}
		})
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestTallyOwnDelay: what a prober that was held up itself did not see, or gave up on, is blind, and charged to
// nobody; without its word for that it is an outage, and so is what the site refused meanwhile.
func TestTallyOwnDelay(t *testing.T) {
	const every = 20 * time.Millisecond
	from, to := time.Second, 1300*time.Millisecond
	for name, test := range map[string]struct {
		told  bool        // the prober says that it was held up
		class probe.Class // of what was begun in time, and of what was begun late
		late  bool        // they were begun late instead
		out   int
		blind int
	}{
		"gave_up":            {true, probe.ClassTCPTimeout, false, 0, 1},
		"gave_up_on_answers": {true, probe.ClassHTTPFirstByte, false, 0, 1},
		"late_answers":       {true, probe.ClassLate, false, 0, 1},
		"sent_late":          {false, probe.ClassLate, true, 0, 1},
		"not_said":           {false, probe.ClassTCPTimeout, false, 1, 0},
		"late_and_not_said":  {false, probe.ClassLate, false, 1, 0},
		"refused_meanwhile":  {true, probe.ClassTCPRefused, false, 1, 0},
		"broken_meanwhile":   {true, probe.ClassBackendFetch, false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tally := probe.NewTally(every)
			if test.told {
				tally.Add(probe.Sample{Sched: from, Start: to, End: to, Class: probe.ClassStalled})
			}
			for due := time.Duration(0); due < 3*time.Second; due += every {
				s := probe.Sample{Sched: due, Start: due, End: due + 3*time.Millisecond, OK: true, Class: probe.ClassOK}
				if due >= from && due < to {
					s.End = to + 3*time.Millisecond
					if test.late {
						s.Start = to
					}
					if test.class != probe.ClassLate {
						s.OK, s.Class = false, test.class
					}
				}
				tally.Add(s)
			}
			w := tally.Watched(3 * time.Second)
			if len(w.Outages) != test.out || len(w.Blind) != test.blind {
				t.Errorf("outages %+v, blind %v; want %d and %d", w.Outages, w.Blind, test.out, test.blind)
			}
			for _, b := range w.Blind {
				if b.Most < 250*time.Millisecond || b.Most > 350*time.Millisecond {
					t.Errorf("blind for %s", b.Most)
				}
			}
		})
	}
}
