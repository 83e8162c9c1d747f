package lifecycle

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// judging asks all plan gates, each to its end, before anything changes.
func (l *Lifecycle) judging(ctx context.Context, run upgrade.Run) (upgrade.Step, error) {
	stack, err := l.stack(run)
	if err != nil {
		return l.ended(run, upgrade.PhaseBlocked, upgrade.Cause{Kind: upgrade.CauseGateUnknown, Message: upgrade.Public(err)}), nil
	}
	asked := l.gatesOf(run.Stack, upgrade.StagePlan)
	if len(asked) == 0 {
		return l.to(run, upgrade.PhaseApplying), nil
	}
	summary, err := l.plan(run.ID)
	if err != nil {
		return upgrade.Step{}, err
	}
	results := l.runner.Run(ctx, asked, gates.Input{Run: run, Stack: stack, Round: run.Round, Plan: summary}, nil)
	if ctx.Err() != nil {
		return upgrade.Step{}, fmt.Errorf("judge the plan: %w", context.Cause(ctx))
	}
	causes := upgrade.Against(results)
	if len(causes) > 0 {
		step := l.ended(run, upgrade.PhaseBlocked, causes...)
		step.Results = results
		return step, nil
	}
	step := l.to(run, upgrade.PhaseApplying)
	step.Results = results
	return step, nil
}
