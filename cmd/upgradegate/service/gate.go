package service

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
)

// AskGate asks one configured gate in each of its environments, by hand, without a run. CodeNotFound if
// no gate has that name.
func AskGate(ctx context.Context, o Options, name upgrade.GateName) ([]upgrade.Result, error) {
	var names []string
	o.Config.Gates = slices.Clone(o.Config.Gates)
	kept := o.Config.Gates[:0]
	for _, gate := range o.Config.Gates {
		names = append(names, string(gate.Name))
		if gate.Name == name {
			kept = append(kept, gate)
		}
	}
	if len(kept) == 0 {
		return nil, &upgrade.Error{
			Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("no gate is called %s", name),
			Hint: "there are " + strings.Join(slices.Compact(names), ", "),
		}
	}
	o.Config.Gates = kept
	out := &outside{mask: terraform.NewMasker(o.Config.Secrets...).Mask}
	if err := out.bind(o); err != nil {
		return nil, err
	}
	end := o.Clock.Begin()
	defer end()
	runner := gates.Runner{Clock: o.Clock, Mask: out.mask}
	var asked, looking []gates.Gate
	for _, gate := range out.gates {
		if gate.Check != nil {
			asked = append(asked, gate)
		} else {
			looking = append(looking, gate) // it watches applies, and there is none: its look before one is what it can tell
		}
	}
	in := gates.Input{Round: 1}
	return append(runner.Run(ctx, asked, in, nil), runner.Before(ctx, looking, in)...), nil
}
