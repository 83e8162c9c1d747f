package config

import (
	"cmp"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// leastProbes is how many probes the shortest outage of a budget must span: fewer cannot be told from
// nothing (varnish.md §6.3).
const leastProbes = 4

func (r *reader) checkOutage(raw *rawFile, g *rawGate, gate *gates.Gate, at string) gates.OutageSettings {
	o := &g.outage
	settings := gates.OutageSettings{
		Every: o.every, Connections: o.connections, Vantages: o.from, Strict: o.strict, Baseline: o.baseline, Longest: o.longest,
		Limits: probe.Limits{Connect: o.connect, Response: o.response},
		Budget: gates.Budget{Longest: cmp.Or(o.budget.longest, gates.DefaultLongest), Total: cmp.Or(o.budget.total, gates.DefaultTotal)},
	}
	settings.Budget.Failed, _ = ratio(o.budget.failed)
	settings.Slow = o.slow
	settings.Budget.Slow, _ = ratio(o.budget.slow)
	for _, one := range o.budget.classes {
		if settings.Budget.Classes == nil {
			settings.Budget.Classes = map[probe.Class]time.Duration{}
		}
		settings.Budget.Classes[probe.Class(one.key)] = one.value
	}
	if o.onBlind == blindFail {
		settings.OnBlind = upgrade.OutcomeFailed
	}
	if o.target.path != nil {
		settings.Path = r.checkPath(o.target.path, under(at, "path"), raw.network.allow, fromHere(o.from))
	}
	r.checkFrom(raw, o.from, under(at, "from"))
	settings.Past, settings.Deep = pageOf(o.past), pageOf(o.deep)
	settings.Controls = r.checkControls(raw, o, at)
	r.checkRates(&settings, at)
	budget := under(at, "budget")
	if settings.Budget.Total < settings.Budget.Longest && !r.broken(budget) {
		r.problem(under(budget, "total"), "", "%s for all outages together is less than %s for one", span(settings.Budget.Total), span(settings.Budget.Longest))
	}
	if settings.Baseline >= gate.Deadline && !r.broken(under(at, "deadline")) {
		r.problem(under(at, "baseline"), "set deadline to more, or this to less",
			"%s leaves no time within the deadline of %s", span(settings.Baseline), span(gate.Deadline))
	}
	return settings
}

// pageOf returns a page as gates want it.
func pageOf(p *rawPage) gates.Page {
	if p == nil {
		return gates.Page{}
	}
	page := gates.Page{Page: p.page, Every: p.every, Slow: p.slow, Expect: probe.Expect{Status: p.expect.status, BodyContains: p.expect.bodyContains}}
	for _, one := range p.expect.headers {
		if page.Expect.Headers == nil {
			page.Expect.Headers = map[string]string{}
		}
		page.Expect.Headers[one.key] = one.value
	}
	return page
}

// checkRates refuses probes that come too seldom for the budget, or too often for the site.
func (r *reader) checkRates(settings *gates.OutageSettings, at string) {
	budget, connect, every := under(at, "budget"), under(at, "connect_timeout"), under(at, "every")
	if settings.Limits.Connect >= beyondConnect {
		r.problem(connect, "write less than 1s, such as "+span(gates.DefaultConnect),
			"connecting for %s hides outages: what was dropped is sent again after a second, and then all looks well", span(settings.Limits.Connect))
	}
	if settings.Every <= 0 || r.broken(every) {
		return
	}
	if settings.Budget.Longest < leastProbes*settings.Every && !r.broken(budget) {
		r.problem(every, "probe every "+span(max(leastEvery, settings.Budget.Longest/leastProbes).Truncate(time.Millisecond))+" or more often, or allow longer outages",
			"an outage of %s, which is the limit, is not seen by probes every %s", span(settings.Budget.Longest), span(settings.Every))
	}
	if rate := settings.Rate(); rate > gates.MostRate {
		r.problem(every, "probe less often, or set connections to one of the two",
			"%.0f probes a second of each address in all streams together, where %d are the most", rate, gates.MostRate)
	}
}

// checkControls returns what must fail independently of the site.
func (r *reader) checkControls(raw *rawFile, o *rawOutage, at string) []gates.Control {
	var list []gates.Control
	seen := map[string]string{}
	for i, one := range o.controls {
		at := nth(under(at, "control"), i)
		r.uniqueName(seen, one.name, under(at, "name"), "the name "+quoted(one.name)+" is taken", "")
		r.checkFrom(raw, one.from, under(at, "from"))
		if r.has(under(at, "tcp")) == r.has(under(at, "url")) {
			r.problem(at, "set one of the two", "a control is reached by tcp or by url")
			continue
		}
		list = append(list, r.checkControl(raw, o, one, at))
	}
	return list
}

func (r *reader) checkControl(raw *rawFile, o *rawOutage, one rawControl, at string) gates.Control {
	control := gates.Control{Name: one.name, Every: one.every, Vantages: one.from, Path: probe.Path{Plain: true}}
	below := under(at, "tcp")
	host, port, _ := hostPort(one.tcp)
	control.Path.URL = "tcp://" + one.tcp
	if u, err := url.Parse(one.url); err == nil && one.url != "" {
		below, host, port = under(at, "url"), u.Hostname(), portOf(u)
		control.Path.URL, control.Path.Expect = one.url, probe.Expect{Status: one.status}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		r.checkReachable(netip.AddrPortFrom(addr, port), below, raw.network.allow, fromHere(one.from, o.from))
	}
	if p := o.target.path; p != nil && host != "" && !r.broken(below) {
		if u, err := url.Parse(p.url); err == nil && strings.EqualFold(u.Hostname(), host) {
			r.problem(below, "name something that does not go down with it, such as the gateway", "%s is the site itself", quoted(host))
		}
	}
	return control
}

// aim gives availability gates the paths of the gates that they name, wherever in the file these are.
func (r *reader) aim(raw *rawFile, list []Gate) {
	paths := map[upgrade.GateName]probe.Path{}
	for _, gate := range list {
		if settings, ok := gate.Settings.(gates.VarnishSettings); ok && len(settings.Paths) > 0 {
			paths[gate.Name] = settings.Paths[0]
		}
	}
	for i := range raw.gates {
		if g := &raw.gates[i]; g.kind == gates.KindOutage && g.outage.target.gate != "" {
			r.checkTarget(raw, g, under(nth("gates", i), "path"))
		}
	}
	for i := range list {
		settings, ok := list[i].Settings.(gates.OutageSettings)
		if !ok {
			continue
		}
		for _, g := range raw.gates {
			if g.name == list[i].Name && g.outage.target.gate != "" {
				settings.Path = paths[g.outage.target.gate]
				list[i].Settings = settings
			}
		}
	}
}

// checkTarget refuses the name of a gate that has no paths.
func (r *reader) checkTarget(raw *rawFile, g *rawGate, at string) {
	var known []string
	for _, other := range raw.gates {
		if other.kind == gates.KindVarnish && other.name != "" {
			known = append(known, string(other.name))
		}
	}
	for _, other := range raw.gates {
		switch {
		case other.name != g.outage.target.gate:
		case other.kind == gates.KindVarnish || other.kind == "":
			return // what is wrong with it is said there
		default:
			r.problem(at, cmp.Or(oneOf("", known), "write a path: {url: …}"), "gate %s is of kind %s, which has no path", other.name, other.kind)
			return
		}
	}
	r.problem(at, cmp.Or(oneOf(string(g.outage.target.gate), known), "write a path: {url: …}"), "there is no varnish gate %s", quoted(string(g.outage.target.gate)))
}
