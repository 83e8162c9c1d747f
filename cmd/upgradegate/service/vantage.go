package service

import (
	"context"
	"fmt"
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

// vantage returns the prober at a vantage other than this host.
func (out *outside) vantage(name probe.Vantage) (gates.Prober, error) {
	if out.agents == nil { // a gate that is asked by hand
		return elsewhere{name}, nil
	}
	return out.agents.At(name)
}

// elsewhere is a vantage that only the running service reaches.
type elsewhere struct{ name probe.Vantage }

func (e elsewhere) err() error {
	return &upgrade.Error{
		Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("agent %s talks to the running service alone", e.name), Hint: "ask the gate through a run: `upgradegate run recheck`",
	}
}

// Climb cannot.
func (e elsewhere) Climb(context.Context, probe.Path) ([]probe.Ladder, error) { return nil, e.err() }

// Stream cannot.
func (e elsewhere) Stream(context.Context, probe.Stream, func(probe.Sample)) error { return e.err() }
