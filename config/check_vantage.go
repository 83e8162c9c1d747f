package config

import (
	"slices"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// testInstance is the vantage that an instance-launch gate is: it has no entry in the file.
const testInstance probe.Vantage = "test-instance"

func vantageShape() shape[rawVantage] {
	return object(
		required("name", "Name of the place, as gates say it under from.", name[probe.Vantage]("a vantage"), func(v *rawVantage) *probe.Vantage { return &v.name }),
		required("kind", "What probes there: agent is `upgradegate agent`, enrolled under the same name.", choice("kind", []string{KindAgent}, nil), func(v *rawVantage) *string { return &v.kind }),
	)
}

func (r *reader) checkVantages(raw []rawVantage) []Vantage {
	var list []Vantage
	seen := map[string]string{}
	for i, one := range raw {
		at := under(nth("vantages", i), "name")
		switch one.name {
		case probe.Here:
			r.problem(at, "leave it out: it is always there", "%s is this very host", quoted(string(one.name)))
		case testInstance:
			r.problem(at, "leave it out, and set probe of the instance-launch gate", "%s is what an instance-launch gate starts", quoted(string(one.name)))
		}
		r.uniqueName(seen, string(one.name), at, "the name "+quoted(string(one.name))+" is taken", "")
		list = append(list, Vantage{Name: one.name, Kind: one.kind})
	}
	return list
}

// checkFrom refuses vantages of a gate that do not exist; at is the place of the list.
func (r *reader) checkFrom(raw *rawFile, from []probe.Vantage, at string) {
	known := []string{string(probe.Here)}
	for _, one := range raw.vantages {
		if one.name != "" {
			known = append(known, string(one.name))
		}
	}
	for i, one := range from {
		if below := nth(at, i); one != "" && !slices.Contains(known, string(one)) && !r.broken(below) && !r.broken("vantages") {
			r.unknownName(below, "vantage", string(one), known)
		}
	}
}
