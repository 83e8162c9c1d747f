package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/config"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
	"github.com/upgradegate/upgradegate/vantages"
)

// agentsOf reads the agents of the vantages that are configured.
func agentsOf(ctx context.Context, o Options, db *store.Store) (*vantages.Room, error) {
	var names []upgrade.AgentName
	for _, v := range o.Config.Vantages {
		if v.Kind == config.KindAgent {
			names = append(names, upgrade.AgentName(v.Name))
		}
	}
	return vantages.New(ctx, vantages.Config{Store: db, Names: names, Now: time.Now, Log: o.Log})
}

// askedFrom lists the gates that probe from each vantage.
func askedFrom(all []config.Gate) map[upgrade.AgentName][]string {
	out := map[upgrade.AgentName][]string{}
	for _, gate := range all {
		for _, from := range places(gate.Settings) {
			name := upgrade.AgentName(from)
			if text := string(gate.Name); !slices.Contains(out[name], text) {
				out[name] = append(out[name], text)
			}
		}
	}
	return out
}

// places are the vantages from which a gate with these settings probes.
func places(settings gates.Settings) []probe.Vantage {
	var from []probe.Vantage
	switch s := settings.(type) {
	case gates.OutageSettings:
		from = s.Vantages
	case gates.VarnishSettings:
		from = s.Vantages
	case gates.HTTPSettings:
		from = s.Vantages
	default:
		return nil
	}
	if len(from) == 0 {
		from = []probe.Vantage{probe.Here}
	}
	return from
}

// vantage returns the prober at a vantage other than this host.
func (out *outside) vantage(name probe.Vantage) (gates.Prober, error) {
	if out.agents == nil { // a gate that is asked by hand
		return elsewhere{name}, nil
	}
	return out.agents.At(name)
}

// elsewhere is a vantage that only the running service reaches. To ask again does not help.
type elsewhere struct{ name probe.Vantage }

func (e elsewhere) err() error {
	return &upgrade.Error{
		Code: upgrade.CodeConflict, Msg: fmt.Sprintf("agent %s talks to the running service alone", e.name),
		Hint: "have the service ask the gate: `upgradegate run recheck RUN` in a run, `upgradegate invariant check GATE/ENVIRONMENT` if it is a standing one",
	}
}

// Climb cannot.
func (e elsewhere) Climb(context.Context, probe.Path) ([]probe.Ladder, error) { return nil, e.err() }

// Stream cannot.
func (e elsewhere) Stream(context.Context, probe.Stream, func(probe.Sample)) error { return e.err() }
