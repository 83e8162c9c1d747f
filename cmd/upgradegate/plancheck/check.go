// Package plancheck asks the plan gates about a plan that Terraform or OpenTofu wrote as JSON, without a
// service, and tells what came of it: on a terminal, as JSON, or as a JUnit report.
package plancheck

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Asked is a gate that is asked, and how.
type Asked struct {
	Gate     gates.Gate
	Settings gates.Settings
}

// Options say what is checked.
type Options struct {
	Plan   io.Reader // what `terraform show -json` prints
	Name   string    // of the plan, for people: its file
	Stack  upgrade.StackName
	Gates  []Asked // of the stage plan; empty: Defaults
	States *States // nil: none were given
	Clock  upgrade.Clock
}

// Report is what came of a check.
type Report struct {
	Name    string
	Stack   upgrade.StackName
	Header  plan.Header
	Digest  string // change digest: what a person would agree to
	Counts  Counts
	Results []upgrade.Result
	Hints   []string
}

// Stdin is the name of a plan that is no file.
const Stdin = "standard input"

// Counts is how many resources a plan does what to.
type Counts struct{ Destroy, Replace, Update, Create, Forget, Move int }

// Defaults returns the plan gates as they are where nothing is configured.
func Defaults(guard gates.GuardSettings) []Asked {
	var list []Asked
	for _, settings := range []gates.Settings{guard, gates.OwnerSettings{}} {
		kind, _ := gates.KindOf(settings.Kind())
		list = append(list, Asked{Settings: settings, Gate: gates.Gate{
			Name: upgrade.GateName(kind.Name), Kind: kind.Name, Stage: upgrade.StagePlan, Required: true, Deadline: kind.Deadline,
		}})
	}
	return list
}

// Check reads the plan and asks the gates about it. It holds only what they look at, not the plan.
// Error: CodeInvalid when the plan cannot be read.
func Check(ctx context.Context, o Options) (Report, error) {
	summary, err := plan.SummarizeKeeping(o.Plan, gates.Judged)
	if err != nil {
		return Report{}, fmt.Errorf("read %s: %w", o.Name, err)
	}
	if len(o.Gates) == 0 {
		o.Gates = Defaults(gates.GuardSettings{})
	}
	deps := gates.Deps{Clock: o.Clock}
	if o.States != nil {
		deps.States = o.States
	}
	asked := make([]gates.Gate, len(o.Gates))
	for i, one := range o.Gates {
		asked[i] = one.Gate
		if err := one.Settings.Bind(&asked[i], deps); err != nil {
			return Report{}, fmt.Errorf("set up gate %s: %w", one.Gate.Name, err)
		}
	}
	in := gates.Input{
		Plan: summary, Round: 1, Apply: 1,
		Run: upgrade.Run{Stack: o.Stack, Plan: upgrade.PlanFacts{ChangeDigest: summary.Digest}},
	}
	defer o.Clock.Begin()()
	report := Report{Name: o.Name, Stack: o.Stack, Header: summary.Header, Digest: summary.Digest, Counts: count(summary)}
	report.Results = gates.Runner{Clock: o.Clock}.Run(ctx, asked, in, nil)
	report.explain(o)
	return report, nil
}

func count(s plan.Summary) Counts {
	c := Counts{Move: len(s.Moves)}
	for _, change := range s.Changes {
		if change.PreviousAddress != "" {
			c.Move++
		}
		switch change.Action {
		case plan.Delete:
			c.Destroy++
		case plan.Replace:
			c.Replace++
		case plan.Update:
			c.Update++
		case plan.Create:
			c.Create++
		case plan.Forget:
			c.Forget++
		case plan.NoOp, plan.Read:
		}
	}
	return c
}

// explain says what only this way of asking knows: that no states were given, and which file may be the
// plan's own.
func (r *Report) explain(o Options) {
	onlyYes := !slices.ContainsFunc(r.Results, func(r upgrade.Result) bool {
		return r.Outcome == upgrade.OutcomeFailed && r.Required && !r.Agreeable
	})
	for i := range r.Results {
		result := &r.Results[i]
		switch {
		case result.Agreeable && onlyYes:
			r.Hints = append(r.Hints, "there is nobody here to agree; the change to agree to is "+r.Digest)
		case result.Kind != gates.KindOwner:
		case o.States == nil && result.Outcome == upgrade.OutcomeUnknown && !r.Header.Errored:
			// Nothing was asked that could be told: not a pass, and nothing that somebody could mend in
			// the plan. A race or a policy that loses a role has been found without states.
			result.Outcome = upgrade.OutcomeSkipped
			result.Message = "whether another state owns what the plan takes away was not asked, because no states were given (--states)"
		case o.States != nil && result.Outcome == upgrade.OutcomeFailed:
			if own := ownState(*result); own != "" {
				r.Hints = append(r.Hints, fmt.Sprintf("if %s is this plan's own state, say so with --stack %s", own, own))
			}
		}
	}
}

// ownState returns the state that has something at the very address that the plan has it at, which is
// likely the plan's own; "" for none.
func ownState(result upgrade.Result) string {
	for _, table := range result.Evidence.Tables {
		for _, row := range table.Rows {
			if table.Title == gates.OwnedElsewhere && len(row) == 5 && row[0] == row[4] {
				return row[3]
			}
		}
	}
	return ""
}

// Outcome returns what the whole comes to: failed if a required gate failed, unknown if one could not
// tell, else passed.
func (r Report) Outcome() upgrade.Outcome {
	outcome := upgrade.OutcomePassed
	for _, cause := range upgrade.Against(r.Results) {
		if cause.Kind == upgrade.CauseGateFailed {
			return upgrade.OutcomeFailed
		}
		outcome = upgrade.OutcomeUnknown
	}
	return outcome
}
