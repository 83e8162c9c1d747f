package config

import (
	"cmp"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// leastProbes is how many probes the shortest outage of a budget must span: fewer cannot be told from
// nothing (varnish.md §6.3).
const leastProbes = 4

func (r *reader) checkOutage(raw *rawFile, g *rawGate, gate *gates.Gate, at string) gates.OutageSettings {
	settings := gates.OutageSettings{
		Every: g.outage.every, Baseline: g.outage.baseline,
		Budget: gates.Budget{
			Longest: cmp.Or(g.outage.budget.longest, gates.DefaultLongest), Total: cmp.Or(g.outage.budget.total, gates.DefaultTotal),
		},
	}
	if g.outage.target.path != nil {
		settings.Path = r.checkPath(g.outage.target.path, under(at, "path"), raw.network.allow)
		if bypass := under(under(at, "path"), "bypass"); r.has(bypass) {
			r.problem(bypass, "give the url of a page that is never cached, if the backend is meant", "kind %s probes as users do, never past the cache", g.kind)
		}
	}
	budget := under(at, "budget")
	if every := settings.Every; every > 0 && settings.Budget.Longest < leastProbes*every && !r.broken(budget) && !r.broken(under(at, "every")) {
		r.problem(under(at, "every"), "probe every "+span(max(10*time.Millisecond, settings.Budget.Longest/leastProbes).Truncate(time.Millisecond))+" or more often, or allow longer outages",
			"an outage of %s, which is the limit, is not seen by probes every %s", span(settings.Budget.Longest), span(every))
	}
	if settings.Budget.Total < settings.Budget.Longest && !r.broken(budget) {
		r.problem(under(budget, "total"), "", "%s for all outages together is less than %s for one", span(settings.Budget.Total), span(settings.Budget.Longest))
	}
	if settings.Baseline >= gate.Deadline && !r.broken(under(at, "deadline")) {
		r.problem(under(at, "baseline"), "set deadline to more, or this to less",
			"%s leaves no time within the deadline of %s", span(settings.Baseline), span(gate.Deadline))
	}
	return settings
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
				settings.Path.Bypass = probe.Bypass{} // probed as users do
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
