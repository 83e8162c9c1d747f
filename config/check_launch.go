package config

import (
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

func probeShape() shape[rawProbe] {
	return object(
		required("gate", "Name of a varnish or http gate, whose paths they are; secrets of a bypass are not sent to the instance.", name[upgrade.GateName]("a gate"), func(p *rawProbe) *upgrade.GateName { return &p.gate }),
	)
}

// aimLaunches gives instance-launch gates the paths of the gates that they name, wherever in the file these are.
func (r *reader) aimLaunches(raw *rawFile, list []Gate) {
	paths := map[upgrade.GateName][]probe.Path{}
	for _, gate := range list {
		switch settings := gate.Settings.(type) {
		case gates.VarnishSettings:
			paths[gate.Name] = settings.Paths
		case gates.HTTPSettings:
			paths[gate.Name] = settings.Paths
		}
	}
	var reach []string
	for _, one := range raw.network.allow {
		reach = append(reach, one.text())
	}
	for i := range raw.gates {
		g := &raw.gates[i]
		if g.kind != gates.KindLaunch || g.launch.probe.gate == "" {
			continue
		}
		r.checkProbe(raw, g, under(under(nth("gates", i), "probe"), "gate"))
		for j := range list {
			if settings, ok := list[j].Settings.(gates.LaunchSettings); ok && list[j].Name == g.name {
				settings.Probe, settings.Reach = fromInside(paths[g.launch.probe.gate]), reach
				list[j].Settings = settings
			}
		}
	}
}

// fromInside returns paths as an instance may be told them: without secrets, and without what users alone are
// asked about.
func fromInside(paths []probe.Path) []probe.Path {
	var list []probe.Path
	for _, path := range paths {
		path.Bypass, path.Closed = probe.Bypass{Query: path.Bypass.Query}, nil
		list = append(list, path)
	}
	return list
}

// text returns an entry as the file has it.
func (a Allow) text() string {
	ports := make([]string, 0, len(a.Ports))
	for _, port := range a.Ports {
		ports = append(ports, strconv.Itoa(int(port)))
	}
	return a.Prefix.String() + ":" + strings.Join(ports, ",")
}

// checkProbe refuses the name of a gate that has no paths.
func (r *reader) checkProbe(raw *rawFile, g *rawGate, at string) {
	var known []string
	for _, other := range raw.gates {
		if (other.kind == gates.KindVarnish || other.kind == gates.KindHTTP) && other.name != "" {
			known = append(known, string(other.name))
		}
	}
	for _, other := range raw.gates {
		switch {
		case other.name != g.launch.probe.gate:
		case other.kind == gates.KindVarnish || other.kind == gates.KindHTTP || other.kind == "":
			return // what is wrong with it is said there
		default:
			r.problem(at, oneOf("", known), "gate %s is of kind %s, which has no paths", other.name, other.kind)
			return
		}
	}
	r.problem(at, oneOf(string(g.launch.probe.gate), known), "there is no varnish or http gate %s", quoted(string(g.launch.probe.gate)))
}
