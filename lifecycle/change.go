package lifecycle

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// change is the open change of a stack: every apply to its staging that was begun since its base (S12).
type change struct {
	base    upgrade.Base
	known   bool            // the base is
	applies []upgrade.Apply // in the order in which they were begun
}

// openChange reads the open change of the run's stack.
func (l *Lifecycle) openChange(ctx context.Context, run upgrade.Run) (change, error) {
	var c change
	var err error
	if c.base, c.known, err = l.Store.Base(ctx, run.Stack); err != nil {
		return c, fmt.Errorf("read the base of %s: %w", run.Stack, err)
	}
	if c.applies, err = l.Store.AppliesSince(ctx, run.Stack, run.Environment, c.base.Since); err != nil {
		return c, fmt.Errorf("read the open change of %s: %w", run.Stack, err)
	}
	return c, nil
}

// against says what stands against an open change: the plan and during gates that did not pass for one
// of its applies, whichever run made it. A second try does not wash a no clean (S12): its plan is
// smaller, and what it interrupted the first time is not interrupted again. What the way back to the
// base was told is kept, but does not count.
func (l *Lifecycle) against(ctx context.Context, run upgrade.Run, c change) ([]upgrade.Cause, error) {
	asked := append(l.gatesOf(run.Stack, upgrade.StagePlan), l.gatesOf(run.Stack, upgrade.StageDuring)...)
	if len(asked) == 0 {
		return nil, nil
	}
	answers := map[upgrade.RunID][]upgrade.Result{}
	var causes []upgrade.Cause
	for _, apply := range c.applies {
		if apply.Back {
			continue
		}
		results, read := answers[apply.Run]
		if !read {
			var err error
			if results, err = l.Store.Outcomes(ctx, apply.Run); err != nil {
				return nil, fmt.Errorf("read results of run %d: %w", apply.Run, err)
			}
			answers[apply.Run] = results
		}
		for _, cause := range upgrade.Against(l.ofApply(asked, apply, results)) {
			if apply.Run != run.ID {
				cause.Run = apply.Run
				if cause.Brief != "" {
					cause.Brief = fmt.Sprintf("run %d: %s", apply.Run, cause.Brief)
				}
				cause.Message = fmt.Sprintf("run %d, which is part of this change: %s", apply.Run, cause.Message)
				cause.Hint = "rehearse it again: staging goes back to the base, and this change is made and judged anew"
			}
			causes = append(causes, cause)
		}
	}
	return causes, nil
}

// ofApply returns each gate's newest answer about the apply. A gate without one could not tell: it was
// not there, or nobody watched.
func (l *Lifecycle) ofApply(asked []gates.Gate, apply upgrade.Apply, results []upgrade.Result) []upgrade.Result {
	newest := map[gateKey]upgrade.Result{}
	for _, result := range results {
		if result.Apply == apply.N && (result.Stage == upgrade.StagePlan || result.Stage == upgrade.StageDuring) {
			newest[keyOf(result)] = result
		}
	}
	answers := make([]upgrade.Result, 0, len(asked))
	for _, gate := range asked {
		result, answered := newest[gateKey{gate.Name, gate.Environment}]
		if !answered {
			result = unanswered(gate, "it was not asked about this apply")
		}
		result.Required = gate.Required // the file of today decides, not that of the asking
		answers = append(answers, result)
	}
	return answers
}

// unanswered is the result of a gate that was not asked: it could not tell (S5).
func unanswered(gate gates.Gate, why string) upgrade.Result {
	return upgrade.Result{
		Gate: gate.Name, Kind: gate.Kind, Stage: gate.Stage, Environment: gate.Environment, Required: gate.Required,
		Outcome: upgrade.OutcomeUnknown, Message: why,
	}
}

// mustRehearse reports whether the run has to take staging back to the base first: another tree's apply
// left a no in the open change, which nothing but a rehearsal or a person makes good (S12). Without a
// base there is nothing to go back to: then the no is inherited.
func (l *Lifecycle) mustRehearse(ctx context.Context, run upgrade.Run) (why string, err error) {
	c, err := l.openChange(ctx, run)
	if err != nil || !c.known || c.base.Tree == "" {
		return "", err
	}
	trees := map[upgrade.RunID]upgrade.Tree{}
	for _, apply := range c.applies {
		trees[apply.Run] = apply.Tree
	}
	causes, err := l.against(ctx, run, c)
	if err != nil {
		return "", err
	}
	for _, cause := range causes {
		if cause.Run != 0 && trees[cause.Run] != run.Tree {
			return fmt.Sprintf("run %d changed %s and %s did not pass", cause.Run, run.Environment, cause.Gate), nil
		}
	}
	return "", nil
}
