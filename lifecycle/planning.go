package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// planning makes the plan that is judged and applied. In the first half of a rehearsal it is a plan of
// the base; when that is empty, staging is back at the base and the second half begins.
func (l *Lifecycle) planning(ctx context.Context, w *engine.Work, run upgrade.Run) (upgrade.Step, error) {
	stack, err := l.stack(run)
	if err != nil {
		return l.orFail(ctx, run, upgrade.CausePlan, err)
	}
	if due := run.ChangedAt.Add(l.settle(run.Stack)); run.Half == upgrade.HalfForth && run.Plan.File == "" && l.Clock.Now().Before(due) {
		return l.waits(run, "what going back set in motion settles until "+due.UTC().Format("15:04:05"), upgrade.Park(due)), nil
	}
	ctx, done := l.interruptible(ctx, w, run)
	defer done()
	root, err := l.ready(ctx, &run, stack)
	if err != nil {
		return l.orFail(ctx, run, upgrade.CausePlan, err)
	}
	planned, summary, err := l.makePlan(ctx, run.ID, root, StagePlan)
	if err != nil {
		return l.orFail(ctx, run, upgrade.CausePlan, err)
	}
	if run.Half == upgrade.HalfBack && planned.Empty && summary.Empty() {
		step, err := l.backAtBase(ctx, run, stack)
		if err != nil {
			return l.orFail(ctx, run, upgrade.CausePlan, perhaps(err))
		}
		return step, nil
	}
	if run.Half == upgrade.HalfBack {
		if wentBack, err := l.wentBack(ctx, run); wentBack || err != nil {
			return l.notBack(run, summary), err
		}
	}
	if err := l.keepPlan(run.ID, summary); err != nil {
		return upgrade.Step{}, err
	}
	run.Plan = facts(planned, summary)
	step := l.to(run, upgrade.PhaseJudging)
	step.Events = append(step.Events, l.event(run, upgrade.EventNote, "", planDoes(run.Plan)))
	return step, nil
}

// planDoes says what a plan does, without what it does not.
func planDoes(p upgrade.PlanFacts) string {
	var does []string
	for _, one := range []struct {
		verb string
		n    int
	}{{"creates", p.Create}, {"updates", p.Update}, {"replaces", p.Replace}, {"destroys", p.Destroy}, {"forgets", p.Forget}} {
		if one.n > 0 {
			does = append(does, fmt.Sprintf("%s %d", one.verb, one.n))
		}
	}
	if len(does) == 0 {
		return "The plan changes no resource."
	}
	last := len(does) - 1
	if last > 0 {
		does = []string{strings.Join(does[:last], ", "), does[last]}
	}
	return "The plan " + strings.Join(does, " and ") + "."
}

// makePlan plans in the root and reads the plan.
func (l *Lifecycle) makePlan(ctx context.Context, run upgrade.RunID, root plan.Root, stage string) (planned plan.Planned, summary plan.Summary, err error) {
	err = l.logged(run, stage, func(log io.Writer) (err error) {
		planned, err = l.Terraform.Plan(ctx, root, log)
		return err
	})
	if err == nil {
		summary, err = l.Terraform.Show(ctx, root, planned)
	}
	return planned, summary, err
}

func facts(planned plan.Planned, summary plan.Summary) upgrade.PlanFacts {
	facts := upgrade.PlanFacts{
		File: planned.File, FileDigest: planned.FileDigest, LockDigest: planned.LockDigest,
		ChangeDigest: summary.Digest, Tool: planned.Tool,
	}
	for _, change := range summary.Changes {
		switch change.Action {
		case plan.Create:
			facts.Create++
		case plan.Update:
			facts.Update++
		case plan.Replace:
			facts.Replace++
		case plan.Delete:
			facts.Destroy++
		case plan.Forget:
			facts.Forget++
		case plan.NoOp, plan.Read:
		}
	}
	return facts
}

// keepPlan writes the summary beside the plan, for the gates and the page.
func (l *Lifecycle) keepPlan(run upgrade.RunID, summary plan.Summary) error {
	data, err := json.Marshal(summary)
	if err != nil {
		return fmt.Errorf("encode the plan: %w", err)
	}
	if l.Mask != nil { // it stays when the plan file is gone
		data = []byte(l.Mask(string(data)))
	}
	if !json.Valid(data) { // a mask may reach from one value into the next: then no value is kept
		if data, err = json.Marshal(valueless(summary)); err != nil {
			return fmt.Errorf("encode the plan: %w", err)
		}
	}
	if err := os.WriteFile(l.planFile(run), data, 0o600); err != nil {
		return fmt.Errorf("keep the plan: %w", err)
	}
	return nil
}

// valueless returns the summary without any value of an attribute or output.
func valueless(summary plan.Summary) plan.Summary {
	bare := plan.Summary{Header: summary.Header, Digest: summary.Digest}
	for _, change := range summary.Changes {
		change.Before, change.After, change.AfterUnknown = nil, nil, nil
		bare.Changes = append(bare.Changes, change)
	}
	for _, output := range summary.Outputs {
		output.Before, output.After = nil, nil
		bare.Outputs = append(bare.Outputs, output)
	}
	return bare
}

func (l *Lifecycle) planFile(run upgrade.RunID) string {
	return filepath.Join(l.folder(run), "plan.json")
}

// plan returns the summary that planning kept.
func (l *Lifecycle) plan(run upgrade.RunID) (plan.Summary, error) {
	data, err := os.ReadFile(l.planFile(run))
	if err != nil {
		return plan.Summary{}, fmt.Errorf("read the plan: %w", err)
	}
	var summary plan.Summary
	if err := json.Unmarshal(data, &summary); err != nil {
		return plan.Summary{}, fmt.Errorf("decode the plan: %w", err)
	}
	return summary, nil
}
