package lifecycle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// lost deals with an apply that no process works on any more and that left no result. Its plan is never
// run again (S3). What is left of it, a new plan says: nothing, then the run goes on; only what was
// judged already, then it is planned, judged and applied anew; anything else, then nobody knows whether
// staging is whole, and a person must look.
func (a *apply) lost(ctx context.Context, why string) (upgrade.Step, error) {
	if a.row.State != upgrade.ApplyLost {
		a.row.State, a.row.EndedAt = upgrade.ApplyLost, a.Clock.Now()
		a.run.ChangedAt = a.row.EndedAt
		text := fmt.Sprintf("The apply was cut off: %s. A new plan says what is left of it.", why)
		if err := a.checkpoint(ctx, upgrade.EventNote, text, nil); err != nil {
			return upgrade.Step{}, fmt.Errorf("write down that the apply was lost: %w", err)
		}
	}
	left, err := a.remainder(ctx)
	if err != nil && (ctx.Err() != nil || upgrade.Transient(err) && a.Clock.Now().Sub(a.row.EndedAt) < prepareLimit) {
		return upgrade.Step{}, fmt.Errorf("plan what is left of the apply: %w", err)
	}
	if err != nil {
		return a.unclear(ctx, fmt.Sprintf("%s, and a new plan could not be made: %s", why, upgrade.Public(err))), nil
	}
	if left.Empty() {
		a.row.OK = true
		step := a.after(ctx, plan.Ended{OK: true}, nil)
		step.Applies = []upgrade.Apply{a.row}
		step.Events[0].Text = "Nothing is left of the apply that was cut off: a new plan is empty. " + step.Events[0].Text
		return step, nil
	}
	if stranger, err := a.stranger(ctx, left); stranger != "" || err != nil {
		return a.unclear(ctx, why+", and "+stranger), err
	}
	watched := a.endWatch(ctx, a.run)
	step := a.to(a.run, upgrade.PhasePlanning)
	step.Events[0].Text = fmt.Sprintf("%d changes are left of the apply that was cut off, all of them judged already. They are planned and judged anew.", len(left.Changes))
	step.Applies, step.Results = []upgrade.Apply{a.row}, watched
	return step, nil
}

// unclear ends an apply of which nobody knows whether it left staging whole.
func (a *apply) unclear(ctx context.Context, why string) upgrade.Step {
	watched := a.endWatch(ctx, a.run)
	if a.row.State != upgrade.ApplyLost {
		a.row.State, a.row.EndedAt = upgrade.ApplyLost, a.Clock.Now()
		a.run.ChangedAt = a.row.EndedAt
	}
	step := a.ended(a.run, upgrade.PhaseInterrupted, upgrade.Cause{Kind: upgrade.CauseInterrupted, Message: "the apply was lost: " + why})
	step.Applies, step.Results = []upgrade.Apply{a.row}, watched
	return step
}

// remainder plans what the lost apply should have made, in its own checkout. The lock of the state is
// broken only if it is provably that apply's own.
func (a *apply) remainder(ctx context.Context) (plan.Summary, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, prepareLimit, errTooLong)
	defer cancel()
	stack, err := a.stack(a.run)
	if err != nil {
		return plan.Summary{}, err
	}
	root, err := a.ready(ctx, &a.run, stack)
	if err != nil {
		return plan.Summary{}, err
	}
	_, left, err := a.makePlan(ctx, a.run.ID, root, StagePlan)
	if err == nil {
		return left, a.dropPlan(a.run.ID)
	}
	broken, breaking := a.Terraform.BreakLock(ctx, root, a.attempt(), err)
	if breaking != nil || !broken {
		return plan.Summary{}, errors.Join(err, breaking)
	}
	a.Logger.InfoContext(ctx, "the lock that a lost apply left was broken", "run", int64(a.run.ID), "apply", a.row.N)
	_, left, err = a.makePlan(ctx, a.run.ID, root, StagePlan)
	return left, errors.Join(err, a.dropPlan(a.run.ID))
}

// stranger says what of a remainder was not judged before, or may have happened without Terraform knowing;
// "" if there is nothing of that kind.
func (a *apply) stranger(ctx context.Context, left plan.Summary) (string, error) {
	judged, err := a.plan(a.run.ID)
	if err != nil {
		return "the plan that was judged cannot be read", nil //nolint:nilerr // then nothing of the remainder is known to be judged
	}
	begun, err := a.begun(ctx)
	if err != nil {
		return "", err
	}
	for _, change := range left.Changes {
		at := slices.IndexFunc(judged.Changes, func(was plan.Change) bool { return was.Address == change.Address && was.Deposed == change.Deposed })
		switch {
		case at < 0 || !within(change, judged.Changes[at]):
			return fmt.Sprintf("a new plan would %s %s, which was not judged", change.Action, change.Address), nil
		case change.Action == plan.Create && begun[change.Address]:
			return change.Address + " was being created: it may exist without Terraform knowing", nil
		}
	}
	for _, output := range left.Outputs {
		if !slices.ContainsFunc(judged.Outputs, func(was plan.Output) bool { return was.Name == output.Name }) {
			return fmt.Sprintf("a new plan would change the output %s, which was not judged", output.Name), nil
		}
	}
	if len(left.Changes) == 0 && len(left.Outputs) == 0 {
		return "a new plan would change the state in a way that was not judged", nil
	}
	return "", nil
}

// begun returns the addresses at which the lost apply began something and did not tell its end.
func (a *apply) begun(ctx context.Context) (map[string]bool, error) {
	open := map[string]bool{}
	err := a.eachTick(ctx, a.run.ID, a.row.N, func(event upgrade.Event) {
		open[event.Data["address"]] = event.Data["state"] == string(plan.TickStart)
	})
	return open, err
}

// within reports whether a change is one that was judged, or what is left of it: of a replacement, one of
// its halves.
func within(change, judged plan.Change) bool {
	switch {
	case change.Action == judged.Action:
	case judged.Action == plan.Replace && (change.Action == plan.Create || change.Action == plan.Delete):
	default:
		return false
	}
	return change.Action == plan.Delete || contains(judged.After, change.After)
}

// contains reports whether each value that was foreseen is there: what Terraform could not know before is
// not in it.
func contains(foreseen, now json.RawMessage) bool {
	var want, have map[string]json.RawMessage
	if json.Unmarshal(foreseen, &want) != nil || json.Unmarshal(now, &have) != nil || want == nil || have == nil {
		return bytes.Equal(bytes.TrimSpace(foreseen), bytes.TrimSpace(now))
	}
	for name, value := range want {
		if is, ok := have[name]; !ok || !bytes.Equal(value, is) {
			return false
		}
	}
	return true
}

// hostPatience is how long a run waits for the host that applies for it to come back.
const hostPatience = 15 * time.Minute

// elsewhere deals with an apply that another host began: only there it can be seen whether it still goes on.
func (a *apply) elsewhere(ctx context.Context) upgrade.Step {
	since := a.Clock.Now().Sub(a.run.Since)
	if since < hostPatience {
		return a.waits(a.run, fmt.Sprintf("host %s applies, and only it can tell", a.row.Host), upgrade.Park(a.run.Since.Add(hostPatience)))
	}
	return a.unclear(ctx, fmt.Sprintf("host %s applied and has not come back", a.row.Host))
}
