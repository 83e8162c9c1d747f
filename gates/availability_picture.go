package gates

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// picture returns what pages draw of a watch that has ended.
func (w *outageWatch) picture(s sight) *upgrade.Watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &upgrade.Watch{Began: w.began, Long: max(s.watched, w.stopped), Limit: w.Budget.Longest, Total: w.Budget.Total}
	if p.Long == 0 {
		p.Long = w.elapsed()
	}
	for _, one := range s.strips {
		row, left := one.strip.finish(one.seen)
		row.Vantage, row.Stream, row.Control = string(one.vantage), one.stream.Name, one.control != ""
		if row.Target = one.stream.Path.URL; one.control != "" {
			row.Target = one.control
		}
		if one.address.IsValid() {
			row.Address = one.address.String()
		}
		p.Strips, p.Coarse = append(p.Strips, row), p.Coarse || left
	}
	for _, list := range [][]located{s.outages, s.controls} {
		for _, o := range list {
			p.Outages = append(p.Outages, w.drawn(o))
		}
	}
	slices.SortStableFunc(p.Outages, func(a, b upgrade.Outage) int { return int((a.From - b.From) / time.Microsecond) })
	if len(p.Outages) > maxOutages {
		p.Outages, p.Coarse = p.Outages[:maxOutages], true
	}
	p.Names = w.names(s)
	fit(p)
	return p
}

// maxOutages is how many outages are kept with a watch.
const maxOutages = 500

// drawn returns an outage as it is kept, with what Terraform did meanwhile.
func (w *outageWatch) drawn(o located) upgrade.Outage {
	out := upgrade.Outage{
		Strip: o.strip, From: o.From, To: o.To, Certain: o.Certain, Best: o.Best, Most: o.Most, Open: o.Open, Attempts: o.Attempts,
		Class: string(o.Class), Layer: string(o.Layer), Status: o.Status, Words: inWords(o.Class, o.Status), Own: !o.charged(),
	}
	meanwhile := w.within(o, w.kept...)
	for _, step := range meanwhile.steps {
		out.Marks = append(out.Marks, slices.Index(w.kept, step))
	}
	out.While = meanwhile.String()
	_, out.Sure = meanwhile.only()
	return out
}

// names returns what the site's name meant from each vantage, by when which address was probed.
func (w *outageWatch) names(s sight) []upgrade.Named {
	var list []upgrade.Named
	for _, vantage := range w.Vantages {
		var strips []seenStrip
		var moments []time.Duration
		for _, one := range s.strips {
			if one.control == "" && one.vantage == vantage && one.address.IsValid() && one.stream.Name == w.streamOfNames() {
				strips = append(strips, one)
				moments = append(moments, one.strip.from)
				if gone := one.strip.to + one.stream.Every; one.last-gone > probe.LookupEvery {
					moments = append(moments, gone)
				}
			}
		}
		slices.Sort(moments)
		known := ""
		for _, at := range slices.Compact(moments) {
			addresses := addressesAt(strips, at)
			if text := strings.Join(addresses, " "); text != known {
				known = text
				list = append(list, upgrade.Named{At: at, Vantage: string(vantage), Target: w.Path.URL, Addresses: addresses})
			}
		}
	}
	return list
}

// addressesAt returns the addresses that were probed at a moment, or within a lookup of it.
func addressesAt(strips []seenStrip, at time.Duration) []string {
	var list []netip.AddrPort
	for _, one := range strips {
		if one.strip.from <= at && one.strip.to+one.stream.Every > at {
			list = append(list, one.address)
		}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	words := make([]string, len(list))
	for i, addr := range list {
		words[i] = addr.String()
	}
	return words
}
