package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// judging asks all plan gates, each to its end, before anything changes; and then, if the apply is to
// go on, has every gate that wants it look at what there is before it.
func (l *Lifecycle) judging(ctx context.Context, w *engine.Work, run upgrade.Run) (upgrade.Step, error) {
	stack, err := l.stack(run)
	if err != nil {
		return l.ended(run, upgrade.PhaseBlocked, upgrade.Cause{Kind: upgrade.CauseGateUnknown, Message: upgrade.Public(err)}), nil
	}
	ctx, done := l.interruptible(ctx, w, run)
	defer done()
	in := gates.Input{Run: run, Stack: stack, Round: run.Round, Apply: run.Applies + 1}
	asked := l.gatesOf(run.Stack, upgrade.StagePlan)
	if len(asked) > 0 {
		if in.Plan, err = l.plan(run.ID); err != nil {
			return upgrade.Step{}, err
		}
	}
	results := l.runner.Run(ctx, asked, in, nil)
	if ctx.Err() != nil {
		return l.cutOff(ctx, "judge the plan")
	}
	step, goes := l.judged(run, stack, results)
	if goes {
		results = append(results, l.runner.Before(ctx, l.watchful(run.Stack), in)...)
		if ctx.Err() != nil {
			return l.cutOff(ctx, "look at what there is before the apply")
		}
	}
	step.Results = results
	return step, nil
}

// judged decides what the plan gates' answers mean; goes reports that the apply is next.
func (l *Lifecycle) judged(run upgrade.Run, stack upgrade.Stack, results []upgrade.Result) (step upgrade.Step, goes bool) {
	causes := upgrade.Against(results)
	if run.Half == upgrade.HalfBack { // the way back is shown, and only what needs a person's yes holds it up
		causes = needYes(results)
	}
	run.Deadline = time.Time{}
	switch {
	case len(causes) == 0:
		run.Causes = nil
		return l.to(run, upgrade.PhaseApplying), true
	case run.Override.Counts(l.Clock.Now()) && run.Override.Covers(causes):
		step = l.to(run, upgrade.PhaseApplying)
		step.Events = append(step.Events, l.event(run, upgrade.EventNote, "", fmt.Sprintf(
			"%s stands against it; %s and %s override that.", causes[0].Gate, run.Override.By[0].Name, run.Override.By[1].Name)))
		return step, true
	case len(needYes(results)) == len(causes):
		run.Verdict, run.Causes = upgrade.VerdictClosed, causes
		run.Deadline = l.Clock.Now().Add(stack.Staging.ApprovalDeadline)
		step = l.to(run, upgrade.PhaseAwaitingApproval)
		step.Runs[0].Reason = orWord(causes[0].Brief, causes[0].Message)
		step.Events[0].Text = upgrade.Tell(step.Runs[0]).Headline
		return step, false
	}
	return l.ended(run, upgrade.PhaseBlocked, causes...), false
}

// needYes returns the causes to which a release manager may agree.
func needYes(results []upgrade.Result) []upgrade.Cause {
	var agreeable []upgrade.Result
	for _, result := range results {
		if result.Agreeable {
			agreeable = append(agreeable, result)
		}
	}
	return upgrade.Against(agreeable)
}

// watchful returns the stack's gates that may want to look before an apply.
func (l *Lifecycle) watchful(stack upgrade.StackName) []gates.Gate {
	return append(l.gatesOf(stack, upgrade.StageDuring), l.gatesOf(stack, upgrade.StageAfter)...)
}

// cutOff is what comes of work that a request, or the end of the service, cut off.
func (l *Lifecycle) cutOff(ctx context.Context, what string) (upgrade.Step, error) {
	if errors.Is(context.Cause(ctx), errAsked) {
		return upgrade.Step{Next: upgrade.Go()}, nil // the next step answers it
	}
	return upgrade.Step{}, fmt.Errorf("%s: %w", what, context.Cause(ctx))
}

// awaiting waits for a person's yes to the change, until the deadline.
func (l *Lifecycle) awaiting(run upgrade.Run) (upgrade.Step, error) {
	if l.Clock.Now().Before(run.Deadline) {
		return upgrade.Step{Next: upgrade.Park(run.Deadline)}, nil
	}
	cause := upgrade.Cause{
		Kind: upgrade.CauseApproval, Message: fmt.Sprintf("nobody agreed within %s: %s", run.Deadline.Sub(run.Since), run.Reason),
		Hint: "run it from the plan when somebody is there to agree",
	}
	return l.ended(run, upgrade.PhaseBlocked, cause), nil
}
