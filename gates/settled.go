package gates

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// SettledSettings are the settings of a settled gate, which needs none.
type SettledSettings struct{}

// Kind returns "settled".
func (SettledSettings) Kind() string { return KindSettled }

// Bind gives the gate its check: a new plan is empty, so what was applied is what is there.
func (SettledSettings) Bind(gate *Gate, _ Deps) error {
	gate.Check = settled
	return nil
}

func settled(ctx context.Context, in Input, rec *Recorder) error {
	if in.Replan == nil {
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "there is nothing of which a new plan could be made",
			Hint: "this gate is asked after an apply, in a run",
		}
	}
	again, err := in.Replan(ctx)
	if err != nil {
		return fmt.Errorf("plan anew: %w", err)
	}
	if err := readable(again); err != nil {
		return err
	}
	rec.Fact("Planned with", "%s", again.Header.Tool)
	if again.Empty() {
		rec.Passed("a new plan is empty")
		return nil
	}
	rows := make([][]string, 0, len(again.Changes)+len(again.Outputs))
	var words []string
	for _, change := range again.Changes {
		rows = append(rows, []string{change.Address, what(change), why(change)})
		words = append(words, change.Address)
	}
	for _, output := range again.Outputs {
		rows = append(rows, []string{"output." + output.Name, "changed", ""})
		words = append(words, "output."+output.Name)
	}
	rec.Table("Still to change", []string{"Resource", "What would happen", "Why"}, rows)
	left := leftover(again)
	return FailBrief("a new plan of "+string(envOf(in))+" still changes "+left,
		"a new plan still changes %s%s", left, prefixed(": ", andMore(words[:min(len(words), listed)], len(words))))
}

// leftover counts what a plan changes.
func leftover(p plan.Summary) string {
	switch {
	case len(p.Changes) > 0 && len(p.Outputs) > 0:
		return counted(len(p.Changes), "resource") + " and " + counted(len(p.Outputs), "output")
	case len(p.Changes) > 0:
		return counted(len(p.Changes), "resource")
	case len(p.Outputs) > 0:
		return counted(len(p.Outputs), "output")
	}
	return "the state" // a move, an import, an action
}

// envOf returns the environment that a run changes, for a sentence.
func envOf(in Input) upgrade.EnvName {
	if in.Run.Environment == "" {
		return "staging"
	}
	return in.Run.Environment
}

// prefixed returns text behind prefix, or nothing if there is no text.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
