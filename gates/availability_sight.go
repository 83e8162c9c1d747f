package gates

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// sight is what a watch saw, over all streams, vantages and addresses of the site.
type sight struct {
	watched      time.Duration
	addresses    []netip.AddrPort // that were probed, ascending
	sent, failed int
	unsent       int
	p50, p99     time.Duration // of the first stream, of the address where it is longest
	strips       []seenStrip   // in the order of feeds
	outages      []located     // of the site, in the order of time
	controls     []located     // of controls, in the order of time
	longest      located       // by its most likely length, of those that are charged to the site
	total        time.Duration // in which some part of the site was down, most likely
	surely       time.Duration // in which some part of the site was down, at least
	atMost       time.Duration // in which some part of the site was down
	classes      map[probe.Class]classSight
	blind        time.Duration // in which an outage could hide, over all
	longestBlind time.Duration
	own          time.Duration // of blind, a control was out: the network of the vantage itself
	longestOwn   time.Duration
	quiet        []*feed // that told nothing about the site
	failure      probe.Sample
	trouble      probe.Sample
}

// seenStrip is one strip with what was seen of it.
type seenStrip struct {
	*feed
	address netip.AddrPort
	strip   *strip
	seen    probe.Watched
}

// located is an outage with where it was; no address: of the lookups of the name.
type located struct {
	probe.Outage // Certain is without own, Blind with it
	*feed
	strip   int // in sight.strips
	address netip.AddrPort
	own     time.Duration // of it, a control was out too
}

// charged reports whether it is the site's, for its most part.
func (o located) charged() bool { return o.own == 0 || o.own < o.Best/2 }

// classSight is what probes met of one class.
type classSight struct {
	probes int
	surely time.Duration // outages of the class together, at least
	likely time.Duration
}

// strayed are failed probes of one strip that were in no outage.
type strayed struct {
	failed, sent int
	failure      probe.Sample
}

// spans are pieces of time that are united when they are added up.
type spans [][2]time.Duration

// middle adds the middle of a stretch.
func (s *spans) middle(from, to, of time.Duration) {
	at := from + (to-from-of)/2
	*s = append(*s, [2]time.Duration{at, at + of})
}

// sight adds up what was seen until now.
func (w *outageWatch) sight() sight {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := sight{failure: w.failure, trouble: w.trouble, classes: map[probe.Class]classSight{}}
	for _, f := range w.feeds {
		w.see(&s, f)
	}
	slices.SortFunc(s.addresses, netip.AddrPort.Compare)
	s.addresses = slices.Compact(s.addresses)
	for _, list := range [][]located{s.outages, s.controls} {
		slices.SortStableFunc(list, func(a, b located) int {
			return cmp.Or(cmp.Compare(a.From, b.From), a.address.Compare(b.address))
		})
	}
	w.forgive(&s)
	w.sum(&s)
	return s
}

// see adds what one feed saw.
func (w *outageWatch) see(s *sight, f *feed) {
	addresses := make([]netip.AddrPort, 0, len(f.strips))
	for addr := range f.strips {
		addresses = append(addresses, addr)
	}
	slices.SortFunc(addresses, netip.AddrPort.Compare)
	sent := 0
	for _, addr := range addresses {
		one := seenStrip{f, addr, f.strips[addr], f.strips[addr].tally.Watched(f.last)}
		s.strips = append(s.strips, one)
		if addr.IsValid() {
			sent += one.seen.Sent
		}
		for _, o := range one.seen.Outages {
			at := located{Outage: o, feed: f, strip: len(s.strips) - 1, address: addr}
			if f.control != "" {
				s.controls = append(s.controls, at)
				continue
			}
			s.outages = append(s.outages, at)
		}
		if f.control == "" && addr.IsValid() {
			w.addUp(s, one)
		}
	}
	if f.control == "" {
		s.watched = max(s.watched, f.last)
		if sent == 0 {
			s.quiet = append(s.quiet, f)
		}
	}
}

// addUp counts the probes of one address of the site.
func (w *outageWatch) addUp(s *sight, one seenStrip) {
	s.addresses = append(s.addresses, one.address)
	s.sent, s.failed, s.unsent = s.sent+one.seen.Sent, s.failed+one.seen.Failed, s.unsent+one.seen.Unsent
	if one.stream.Name == w.streamOfNames() {
		s.p50, s.p99 = max(s.p50, one.seen.P50), max(s.p99, one.seen.P99)
	}
}

// forgive takes out of the count what failed one by one while a control was out. What is no longer kept of the
// failed probes stays counted.
func (w *outageWatch) forgive(s *sight) {
	for i := range s.strips {
		one := &s.strips[i]
		if one.control != "" || !one.address.IsValid() {
			continue
		}
		w.addSlow(s, one)
		for class, n := range one.seen.Classes {
			c := s.classes[class]
			c.probes += n
			s.classes[class] = c
		}
		for _, failed := range slices.Concat(one.strip.failures, one.strip.later) {
			if !s.isControlOut(one.feed, failed.at) || one.seen.Classes[failed.class] == 0 {
				continue
			}
			c := s.classes[failed.class]
			c.probes--
			s.classes[failed.class] = c
			inside := func(o probe.Outage) bool { return failed.at >= o.From && failed.at < o.To }
			if !slices.ContainsFunc(one.seen.Outages, inside) {
				one.seen.Stray--
			}
		}
	}
}

// isControlOut reports whether a control was out at a moment, from where a feed probes.
func (s *sight) isControlOut(f *feed, at time.Duration) bool {
	return slices.ContainsFunc(s.controls, func(c located) bool { return c.vantage == f.vantage && at >= c.From && at < c.To })
}

// sum adds up how long what was out.
func (w *outageWatch) sum(s *sight) {
	var likely, surely, atMost, blind, own spans
	byClass := map[probe.Class]*[2]spans{}
	for i := range s.outages {
		o := &s.outages[i]
		o.own = s.controlOut(o.feed, o.From, o.To)
		o.Certain, o.Blind = max(0, o.Certain-o.own), min(o.Most, o.Blind+o.own)
		if o.own > 0 {
			own.middle(o.From, o.To, o.own)
			blind.middle(o.From, o.To, o.own)
			s.longestOwn, s.longestBlind = max(s.longestOwn, o.own), max(s.longestBlind, o.own)
		}
		surely.middle(o.From, o.To, o.Certain)
		if byClass[o.Class] == nil {
			byClass[o.Class] = &[2]spans{}
		}
		byClass[o.Class][0].middle(o.From, o.To, o.Certain)
		if !o.charged() {
			continue
		}
		likely.middle(o.From, o.To, o.Best)
		atMost.middle(o.From, o.To, o.Most)
		byClass[o.Class][1].middle(o.From, o.To, o.Best)
		if o.Best > s.longest.Best || s.longest.Class == "" {
			s.longest = *o
		}
	}
	for class, of := range byClass {
		c := s.classes[class]
		c.surely, c.likely = probe.Union(of[0]), probe.Union(of[1])
		s.classes[class] = c
	}
	for _, b := range w.unwatched(s) {
		blind.middle(b.From, b.To, b.Most)
		s.longestBlind = max(s.longestBlind, b.Most)
	}
	s.total, s.surely, s.atMost, s.blind, s.own = probe.Union(likely), probe.Union(surely), probe.Union(atMost), probe.Union(blind), probe.Union(own)
}

// leastUnwatched is how late a stream may begin, and how early it may end, beyond its own period.
const leastUnwatched = 2 * time.Second

// unwatched returns when streams of the site could not see: the prober was not at its work, or there was no
// stream. While DNS cannot be asked the addresses are probed all the same.
func (w *outageWatch) unwatched(s *sight) []probe.Blind {
	var list []probe.Blind
	for _, one := range s.strips {
		if one.control == "" && one.address.IsValid() {
			list = append(list, one.seen.Blind...)
		}
	}
	for _, f := range w.feeds {
		if f.control != "" || len(f.strips) == 0 {
			continue
		}
		first := f.last
		for _, strip := range f.strips {
			first = min(first, strip.from)
		}
		list = append(list, f.cover.holes()...)
		least := max(leastUnwatched, 3*f.stream.Every)
		if first > least {
			list = append(list, probe.Blind{From: 0, To: first, Most: first})
		}
		if w.stopped-f.last > least {
			list = append(list, probe.Blind{From: f.last, To: w.stopped, Most: w.stopped - f.last})
		}
	}
	return list
}

// controlOut returns for how long of a time a control was out from where a feed probes.
func (s *sight) controlOut(f *feed, from, to time.Duration) time.Duration {
	var out spans
	for _, c := range s.controls {
		if c.vantage == f.vantage && c.From < to && c.To > from {
			out = append(out, [2]time.Duration{max(from, c.From), min(to, c.To)})
		}
	}
	return probe.Union(out)
}

// charged returns the outages that are the site's.
func (s sight) charged() []located {
	return slices.DeleteFunc(slices.Clone(s.outages), func(o located) bool { return !o.charged() })
}

// open returns an outage of the site that had not ended.
func (s sight) open() (located, bool) {
	i := slices.IndexFunc(s.outages, func(o located) bool { return o.Open && o.charged() })
	if i < 0 {
		return located{}, false
	}
	return s.outages[i], true
}

// stray returns the strip of the site of which the largest part of probes failed in no outage, and whether that
// is more than may.
func (s sight) stray(limit float64) (strayed, bool) {
	var worst strayed
	for _, one := range s.strips {
		if one.control != "" || !one.address.IsValid() || one.seen.Stray < leastStray {
			continue
		}
		if worst.sent == 0 || one.seen.Stray*worst.sent > worst.failed*one.seen.Sent {
			worst = strayed{one.seen.Stray, one.seen.Sent, s.failure}
		}
	}
	return worst, worst.sent > 0 && float64(worst.failed) > limit*float64(worst.sent)
}
