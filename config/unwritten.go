package config

import (
	"slices"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// always are the gates that exist for every stack without being written, each by the name of its kind.
// A written gate of the kind takes the place of ours for the stacks that it applies to.
func always() []gates.Settings {
	return []gates.Settings{gates.GuardSettings{}, gates.OwnerSettings{MaxAge: defaultAge}, gates.SettledSettings{}}
}

// unwritten returns the gates that stacks have without the file saying so.
func unwritten(raw *rawFile, written []Gate) []Gate {
	var list []Gate
	for _, settings := range always() {
		kind, known := gates.KindOf(settings.Kind())
		if !known {
			continue
		}
		var without []upgrade.StackName
		for _, stack := range raw.stacks {
			has := func(g Gate) bool {
				return g.Kind == kind.Name && g.Stage != upgrade.StageStanding && g.Environment == staging && g.AppliesTo(stack.name)
			}
			if stack.name != "" && !slices.ContainsFunc(written, has) {
				without = append(without, stack.name)
			}
		}
		if len(without) == 0 {
			continue
		}
		if len(without) == len(raw.stacks) {
			without = nil // all
		}
		one := rawGate{name: upgrade.GateName(kind.Name), kind: kind.Name, stacks: without, required: true}
		gate := one.checked(kind)
		gate.Environment = staging
		list = append(list, Gate{Gate: gate, Settings: settings})
	}
	return list
}

// checkReserved refuses the name of a gate that exists without being written for one of another kind:
// their results could not be told apart.
func (r *reader) checkReserved(g *rawGate, at string) {
	for _, settings := range always() {
		if kind := settings.Kind(); string(g.name) == kind && g.kind != kind && !r.broken(under(at, "kind")) {
			r.problem(under(at, "name"), "choose another name", "%s is the name of the gate of that kind, which every stack has", quoted(kind))
		}
	}
}
