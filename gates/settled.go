package gates

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

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
		if in.Standing {
			rec.Passed("a plan of %s in %s is empty", in.Stack.Name, envOf(in))
		}
		return nil
	}
	var drifted int
	rows := make([][]string, 0, len(again.Changes)+len(again.Outputs))
	var words []string
	for i := range again.Changes {
		change := &again.Changes[i]
		from := origin(*change, again, in)
		if from == fromOutside {
			drifted++
		}
		rows = append(rows, []string{change.Address, what(change), differences(*change), from, why(change)})
		words = append(words, change.Address+" ("+from+")")
	}
	for _, output := range again.Outputs {
		rows = append(rows, []string{"output." + output.Name, "changed", "", "", ""})
		words = append(words, "output."+output.Name)
	}
	rec.Table("Still to change", []string{"Resource", "What would happen", "How it differs", "Since when", "Why"}, rows)
	left, env := leftover(again), string(envOf(in))
	listing := prefixed(": ", andMore(words[:min(len(words), listed)], len(words)))
	if in.Standing {
		return Advise(FailBrief(fmt.Sprintf("%s of %s is not as its configuration says", in.Stack.Name, env),
			"a plan of %s in %s changes %s%s", in.Stack.Name, env, left, listing),
			"find out what else changes %s, and bring it back to its configuration or the configuration to it", env)
	}
	no := FailBrief("a new plan of "+env+" still changes "+left, "a new plan still changes %s%s", left, listing)
	switch {
	case drifted == len(again.Changes) && drifted > 0:
		return Advise(no, "find out what else changes %s, then run the gates again", env)
	case len(again.Changes) > drifted:
		return Advise(no, "change the configuration so that a second plan is empty, and push")
	}
	return no
}

// Where a difference between the configuration and what is there comes from.
const (
	fromOutside = "changed by something else since the apply"
	fromApply   = "the apply was to make it so, and did not"
	fromNowhere = "the plan that was applied left it alone"
	fromConfig  = "the configuration asks for it, and it was not applied"
)

// origin tells drift from what the apply did not reach.
func origin(change plan.Change, again plan.Summary, in Input) string {
	switch {
	case slices.Contains(again.Drifted, change.Address):
		return fromOutside
	case in.Standing:
		return fromConfig
	case slices.ContainsFunc(in.Plan.Changes, func(c plan.Change) bool { return c.Address == change.Address }):
		return fromApply
	}
	return fromNowhere
}

// The bounds of what is shown of a difference: attributes of a resource, and characters of a value.
const (
	shownAttributes = 4
	shownValue      = 40
)

// differences names the attributes that are not as configured: "from_port 80 → 443, tags …".
func differences(change plan.Change) string {
	var before, after, later map[string]json.RawMessage
	if json.Unmarshal(change.Before, &before) != nil || json.Unmarshal(change.After, &after) != nil || before == nil || after == nil {
		return "" // made anew or destroyed, or of a form that is not known
	}
	_ = json.Unmarshal(change.AfterUnknown, &later) // then nothing is known to be unknown
	var words []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		is, want := before[name], after[name]
		switch {
		case want == nil && later[name] != nil:
			words = append(words, name+" "+shown(is)+" → known after the apply")
		case want != nil && !bytes.Equal(is, want):
			words = append(words, name+" "+shown(is)+" → "+shown(want))
		}
	}
	return andMore(words[:min(len(words), shownAttributes)], len(words))
}

// shown returns a value as far as it has room in a line; "…" for one that has not.
func shown(value json.RawMessage) string {
	if utf8.RuneCount(value) > shownValue {
		return "…"
	}
	return string(value)
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
