package gates

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// verdict holds what was seen against the budget: varnish.md §6.2. What is certainly beyond it is a no; what
// could be hidden where nobody saw is "could not tell"; what lies within the resolution of the probes is a
// warning, or a no where the gate is strict.
func (w *outageWatch) verdict(rec *Recorder, s sight, unrest bool) error {
	if err := w.certainly(s, unrest); err != nil {
		return err
	}
	if err := w.doubt(s); err != nil {
		return err
	}
	limit := w.Budget
	if s.longest.Most > limit.Longest || s.atMost > limit.Total {
		const cannot = "probes every %s cannot tell exactly"
		if w.Strict {
			return FailBrief("the site was perhaps down for longer than it may", "perhaps over the budget: %s; "+cannot, w.told(s), probe.Length(s.longest.every()))
		}
		rec.Warnf("perhaps over the budget: %s; "+cannot, w.told(s), probe.Length(s.longest.every()))
	}
	if s.own > 0 {
		rec.Warnf("%s", upgrade.Public(w.ownNetwork(s)))
	}
	if len(s.charged()) == 0 {
		rec.Passed("%s answered all along: %s, one every %s", w.Path.URL, counted(s.sent, "probe"), probe.Length(w.Every))
		return nil
	}
	rec.Passed("%s", w.told(s))
	return nil
}

// every returns how often what was out was probed.
func (o located) every() time.Duration {
	switch {
	case o.feed == nil:
		return 0
	case !o.address.IsValid():
		return probe.LookupEvery
	}
	return o.stream.Every
}

// overBudget reports whether the budget is certainly spent.
func (w *outageWatch) overBudget(s sight) bool {
	var certain time.Duration
	for _, o := range s.outages {
		certain = max(certain, o.Certain)
	}
	return certain > w.Budget.Longest || s.surely > w.Budget.Total
}

// certainly returns the no that what was seen means for sure.
func (w *outageWatch) certainly(s sight, unrest bool) error {
	if o, ok := s.open(); ok {
		return FailBrief("the site went down and did not recover, "+upgrade.LongOutage,
			"%s was down when the watch ended, for %s by then: %s", w.where(s, o), probe.Length(o.Best), w.told(s))
	}
	if w.overBudget(s) {
		return w.no(s)
	}
	if err := w.overClass(s); err != nil {
		return err
	}
	if stray, bad := s.stray(w.Budget.Failed); bad {
		return FailBrief("the site failed now and then during the apply", "%d of %s failed one by one (%s), limit %s: %s",
			stray.failed, counted(stray.sent, "probe"), percent(float64(stray.failed)/float64(stray.sent)), percent(w.Budget.Failed), inWords(stray.failure.Class, stray.failure.Status))
	}
	if slow, bad := s.slowest(w.Budget.Slow); bad {
		return FailBrief("the site was slow during the apply", "%s, limit %s", w.slowly(slow), percent(w.Budget.Slow))
	}
	if unrest {
		return FailBrief("the site did not come to rest after the apply", "outages went on after the apply, when the site was to be well for %s: %s", probe.Length(w.settle), w.told(s))
	}
	return nil
}

// percent writes a part of a whole.
func percent(part float64) string {
	return trimmed(strconv.FormatFloat(100*part, 'f', 2, 64)) + " %"
}

// doubt returns why nobody could tell, nil if somebody could.
func (w *outageWatch) doubt(s sight) error {
	if err := w.unseen(s); err != nil {
		return err
	}
	limit := w.Budget
	var certain, doubtful time.Duration
	for _, o := range s.outages {
		certain, doubtful = max(certain, o.Certain), max(doubtful, o.Certain+o.Blind)
	}
	switch {
	case s.longestBlind > limit.Longest, doubtful > limit.Longest, s.blind > 0 && s.total+s.blind > limit.Total:
		if s.own > 0 && 2*s.own >= s.blind {
			return w.blindly(w.ownNetwork(s))
		}
		return w.blindly(w.tooBlind(s, max(s.longestBlind, doubtful-certain)))
	case s.trouble.Class == probe.ClassGuarded:
		return w.nothing(sight{trouble: s.trouble}) // an address of the site that nobody looked at
	case w.before.Probes == 0:
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "nobody looked at the site before the apply, so nothing can be said about the apply",
			Hint: "rehearse again",
		}
	}
	return nil
}

// tooBlind says that more could hide than may.
func (w *outageWatch) tooBlind(s sight, longest time.Duration) *upgrade.Error {
	err := &upgrade.Error{
		Code: upgrade.CodeConflict,
		Msg: fmt.Sprintf("this machine could not look at the site for %s at a time, %s in all, in which more could hide than the limits of %s and %s allow",
			probe.Length(longest), probe.Length(s.blind), probe.Length(w.Budget.Longest), probe.Length(w.Budget.Total)),
		Hint: "rehearse again; if it happens often, give the service more CPU",
	}
	from := s.blindest()
	switch {
	case w.stopped <= w.Longest && from != probe.Here:
		err.Msg = fmt.Sprintf("nobody at %s could look at the site for %s at a time, %s in all, in which more could hide than the limits of %s and %s allow",
			from, probe.Length(longest), probe.Length(s.blind), probe.Length(w.Budget.Longest), probe.Length(w.Budget.Total))
		err.Hint = fmt.Sprintf("look into the log of agent %s: it was restarted, or its host was too busy; then rehearse again", from)
	case w.stopped > w.Longest:
		err.Msg = fmt.Sprintf("the apply went on for longer than the %s that are watched at most, so nobody looked at the site for %s", probe.Length(w.Longest), probe.Length(w.stopped-w.Longest))
		err.Hint = "set max_duration to more, and rehearse again"
	case w.missed > 0:
		err.Msg = fmt.Sprintf("the service was restarted during the apply, so this host did not look at the site for %s, in which more could hide than the limits of %s and %s allow",
			probe.Length(s.longestBlind), probe.Length(w.Budget.Longest), probe.Length(w.Budget.Total))
		err.Hint = "rehearse again; an agent goes on watching while the service is restarted"
	}
	return err
}

// blindest returns the vantage from which nobody could look for the longest time at once.
func (s *sight) blindest() probe.Vantage {
	from, longest := probe.Here, time.Duration(0)
	for _, one := range s.strips {
		if one.control != "" {
			continue
		}
		for _, b := range one.seen.Blind {
			if b.Most > longest {
				from, longest = one.vantage, b.Most
			}
		}
		for _, o := range one.seen.Outages {
			if o.Blind > longest {
				from, longest = one.vantage, o.Blind
			}
		}
	}
	return from
}

// blindly returns what it means that nobody could see.
func (w *outageWatch) blindly(err error) error {
	if w.OnBlind != upgrade.OutcomeFailed {
		return err
	}
	return Advise(FailBrief("nobody could see whether the site was up", "%s", upgrade.Public(err)), "%s", upgrade.HintOf(err))
}

// ownNetwork says that a control was out: whatever happened to the site meanwhile, nobody could tell from there.
func (w *outageWatch) ownNetwork(s sight) error {
	names, from := map[string]bool{}, map[string]bool{}
	for _, c := range s.controls {
		names[c.control], from[string(c.vantage)] = true, true
	}
	return &upgrade.Error{
		Code: upgrade.CodeConflict,
		Msg: fmt.Sprintf("the network of %s itself was out for %s: control %s was out too, so what happened to the site meanwhile cannot be told, limit %s",
			strings.Join(slices.Sorted(maps.Keys(from)), " and "), probe.Length(max(s.own, s.longestOwn)), strings.Join(slices.Sorted(maps.Keys(names)), " and "), probe.Length(w.Budget.Longest)),
		Hint: "rehearse again; if it happens often, probe from another place as well",
	}
}

// unseen returns why some stream told nothing about the site.
func (w *outageWatch) unseen(s sight) error {
	for _, f := range w.feeds {
		if f.err != nil && f.control == "" {
			return fmt.Errorf("probe %s: %w", w.Path.URL, f.err)
		}
	}
	for _, f := range w.feeds {
		if f.err != nil {
			return fmt.Errorf("probe control %s: %w", f.control, f.err)
		}
	}
	if len(s.quiet) == 0 {
		return nil
	}
	err := w.nothing(s)
	if f := s.quiet[0]; s.sent > 0 { // the others told something
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("no probe of stream %s could be sent from %s to %s", f.stream.Name, f.vantage, f.stream.Path.URL),
			Hint: upgrade.HintOf(err),
		}
	}
	return err
}

// nothing says why no probe told anything about the site.
func (w *outageWatch) nothing(s sight) error {
	switch {
	case s.failure.Class != "":
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the site could not be probed at all: " + inWords(s.failure.Class, s.failure.Status)}
	case s.trouble.Class == probe.ClassGuarded:
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s is not among what probes may reach", s.trouble.Address),
			Hint: "add the address to network.allow, if it is really the site's",
		}
	}
	return &upgrade.Error{
		Code: upgrade.CodeConflict, Msg: "no probe could be sent to " + w.Path.URL,
		Hint: "look at this machine's limits on open files and ports, at its load, and whether it has the site's kind of IP",
	}
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
		if whole := text + " during the apply, " + upgrade.LongOutage; len([]rune(whole)) <= longestBrief {
			return whole
		}
		return text + ", " + upgrade.LongOutage
	case inAll:
		return text + " during the apply"
	}
	return w.whileWhat(text, s)
}

// where says what was down, as users would: the site, unless only a part of what is watched of it was.
func (w *outageWatch) where(s sight, o located) string {
	if !o.address.IsValid() {
		return "the site's name"
	}
	down, streams, vantages := map[netip.AddrPort]bool{}, map[string]bool{}, map[probe.Vantage]bool{}
	for _, other := range s.charged() {
		if other.From < o.To && other.To > o.From && other.address.IsValid() {
			down[other.address], streams[other.stream.Name], vantages[other.vantage] = true, true, true
		}
	}
	what := "the site"
	switch {
	case len(down) < len(s.addresses):
		what = fmt.Sprintf("1 of %d addresses of the site", len(s.addresses))
		if len(down) > 1 {
			what = fmt.Sprintf("a part of the %d addresses of the site", len(s.addresses))
		}
	case streams[streamCached]:
	case streams[streamKept] && slices.Contains(w.Connections, ConnFresh):
		what = "the site on kept connections"
	case streams[streamPast]:
		what = "the site past its cache"
	case streams[streamDeep]:
		what = "the deep page"
	}
	if len(w.Vantages) > 1 && len(vantages) == 1 {
		for vantage := range vantages {
			what += " seen from " + string(vantage)
		}
	}
	return what
}

// sentence says all outages in one, with the limits beside them and what the longest was like.
func (w *outageWatch) sentence(s sight) string {
	outages := len(s.charged())
	if outages == 0 {
		return "no outage"
	}
	return fmt.Sprintf("longest outage %s, limit %s; %s, %s in total, limit %s; %s",
		probe.Length(s.longest.Best), probe.Length(w.Budget.Longest), counted(outages, "outage"), probe.Length(s.total), probe.Length(w.Budget.Total),
		inWords(s.longest.Class, s.longest.Status))
}
