package gates

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// sight is what a watch saw, over all addresses of the site.
type sight struct {
	began        time.Time
	watched      time.Duration
	addresses    []netip.AddrPort // that were probed, ascending
	sent, failed int
	unsent       int
	p50, p99     time.Duration // of the address where it is longest
	outages      []located     // in the order of time
	longest      located       // by its most likely length
	total        time.Duration // in which some address was down, most likely
	surely       time.Duration // in which some address was down, at least
	atMost       time.Duration // in which some address was down
	blind        time.Duration // in which an outage could hide, over all
	longestBlind time.Duration
	failure      probe.Sample
	trouble      probe.Sample
}

// located is an outage with where it was; no address: of the lookups of the name.
type located struct {
	probe.Outage
	address netip.AddrPort
	every   time.Duration
}

// sight adds up what was seen until now.
func (w *outageWatch) sight() sight {
	s := sight{began: w.began, watched: w.last, failure: w.failure, trouble: w.trouble}
	var likely, surely, atMost, blind [][2]time.Duration
	for addr, tally := range w.tallies {
		seen := tally.Watched(w.last)
		if addr.IsValid() {
			s.addresses = append(s.addresses, addr)
			s.sent, s.failed, s.unsent = s.sent+seen.Sent, s.failed+seen.Failed, s.unsent+seen.Unsent
			s.p50, s.p99 = max(s.p50, seen.P50), max(s.p99, seen.P99)
		}
		for _, o := range seen.Outages {
			one := located{o, addr, seen.Every}
			s.outages = append(s.outages, one)
			if o.Best > s.longest.Best || s.longest.Class == "" {
				s.longest = one
			}
			middle := func(of time.Duration) [2]time.Duration {
				from := o.From + (o.Most-of)/2
				return [2]time.Duration{from, from + of}
			}
			likely, surely, atMost = append(likely, middle(o.Best)), append(surely, middle(o.Certain)), append(atMost, middle(o.Most))
		}
		if !addr.IsValid() {
			continue // while DNS cannot be asked the addresses are probed all the same
		}
		for _, b := range seen.Blind {
			from := b.From + (b.To-b.From-b.Most)/2
			blind = append(blind, [2]time.Duration{from, from + b.Most})
			s.longestBlind = max(s.longestBlind, b.Most)
		}
	}
	s.total, s.surely, s.atMost, s.blind = probe.Union(likely), probe.Union(surely), probe.Union(atMost), probe.Union(blind)
	slices.SortFunc(s.addresses, netip.AddrPort.Compare)
	slices.SortFunc(s.outages, func(a, b located) int {
		return cmp.Or(cmp.Compare(a.From, b.From), a.address.Compare(b.address))
	})
	return s
}

// open returns an outage that had not ended.
func (s sight) open() (located, bool) {
	i := slices.IndexFunc(s.outages, func(o located) bool { return o.Open })
	if i < 0 {
		return located{}, false
	}
	return s.outages[i], true
}

// verdict holds what was seen against the budget: varnish.md §6.2. What is certainly beyond it is a no;
// what could be hidden where the prober did not see is "could not tell"; what lies within the resolution
// of the probes is a warning.
func (w *outageWatch) verdict(rec *Recorder, s sight) error {
	limit := w.Budget
	if o, ok := s.open(); ok {
		return FailBrief("the site went down and did not recover, "+upgrade.LongOutage,
			"%s was down when the watch ended, for %s by then: %s", w.where(s, o), length(o.Best), w.told(s))
	}
	var certain, doubtful time.Duration
	for _, o := range s.outages {
		certain, doubtful = max(certain, o.Certain), max(doubtful, o.Certain+o.Blind)
	}
	if certain > limit.Longest || s.surely > limit.Total {
		return w.no(s)
	}
	switch {
	case s.sent == 0:
		return w.nothing(s)
	case s.longestBlind > limit.Longest, doubtful > limit.Longest, s.blind > 0 && s.total+s.blind > limit.Total:
		return &upgrade.Error{
			Code: upgrade.CodeConflict,
			Msg: fmt.Sprintf("this machine could not look at the site for %s at a time, %s in all, in which more could hide than the limits of %s and %s allow",
				length(max(s.longestBlind, doubtful-certain)), length(s.blind), length(limit.Longest), length(limit.Total)),
			Hint: "rehearse again; if it happens often, give the service more CPU",
		}
	case s.trouble.Class == probe.ClassGuarded:
		return w.nothing(sight{trouble: s.trouble}) // an address of the site that nobody looked at
	case w.before.Probes == 0:
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "nobody looked at the site before the apply, so nothing can be said about the apply",
			Hint: "rehearse again",
		}
	}
	if s.longest.Most > limit.Longest || s.atMost > limit.Total {
		rec.Warnf("perhaps over the budget: %s; probes every %s cannot tell exactly", w.told(s), length(w.Every))
	}
	if len(s.outages) == 0 {
		rec.Passed("%s answered all along: %s, one every %s", w.Path.URL, counted(s.sent, "probe"), length(w.Every))
		return nil
	}
	rec.Passed("%s", w.told(s))
	return nil
}

// brief is the outage for a headline.
func (w *outageWatch) brief(s sight) string {
	text := fmt.Sprintf("%s was down for %s", w.where(s, s.longest), roughly(s.longest.Best))
	inAll := s.longest.Certain <= w.Budget.Longest // it is the sum that counts
	if inAll {
		text = fmt.Sprintf("the site was down for %s in all", roughly(s.total))
	}
	switch far := s.longest.Best > 10*w.Budget.Longest; {
	case far:
		return text + " during the apply, " + upgrade.LongOutage
	case inAll:
		return text + " during the apply"
	}
	return w.whileWhat(text, s)
}

// where says what was down.
func (w *outageWatch) where(s sight, o located) string {
	switch {
	case !o.address.IsValid():
		return "the site's name"
	case len(s.addresses) > 1:
		down := map[netip.AddrPort]bool{}
		for _, other := range s.outages {
			if other.From < o.To && other.To > o.From {
				down[other.address] = true
			}
		}
		if len(down) < len(s.addresses) {
			return fmt.Sprintf("1 of %d addresses of the site", len(s.addresses))
		}
	}
	return "the site"
}

// sentence says all outages in one, with the limits beside them and what the longest was like.
func (a availability) sentence(s sight) string {
	if len(s.outages) == 0 {
		return "no outage"
	}
	return fmt.Sprintf("longest outage %s, limit %s; %s, %s in total, limit %s; %s",
		length(s.longest.Best), length(a.Budget.Longest), counted(len(s.outages), "outage"), length(s.total), length(a.Budget.Total),
		inWords(s.longest.Class, s.longest.Status))
}
