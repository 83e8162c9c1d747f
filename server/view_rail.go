package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// railStep is one of the five cells of the rail, and one of the five segments on the board.
type railStep struct {
	Name    upgrade.RailStep
	Icon    upgrade.Icon
	Tone    upgrade.Tone
	Text    string // result in 2 to 5 words
	Href    string
	Current bool   // the deciding step
	Percent int    // of the step's progress, 0: none shown
	Class   string // of the segment: done, half, fail, warn, open, hand
}

// deciding is the step at which the run is, or at which it ended.
func deciding(r upgrade.Run) upgrade.RailStep {
	if step := r.Phase.Rail(); step != "" {
		return step
	}
	if step := r.From.Rail(); step != "" {
		return step
	}
	return upgrade.StepPlan
}

// rail describes the five steps of a run. results are the newest of each gate; applied is how long
// the last apply took or takes, 0 if there was none.
func rail(r upgrade.Run, results []upgrade.Result, applied time.Duration, w words) []railStep {
	look, at, steps := upgrade.Tell(r).Look, deciding(r), []railStep{}
	before := true
	for _, name := range upgrade.RailSteps() {
		step := railStep{Name: name, Href: railHref(name), Text: railText(name, r, results, applied, w)}
		switch {
		case name == at:
			before = false
			step.Current, step.Icon, step.Tone = true, look.Icon, look.Tone
			step.Class = segment(look.Tone)
			if name == upgrade.StepApply && r.Phase == upgrade.PhaseApplying && r.Progress.Total > 0 {
				step.Percent = 100 * r.Progress.Done / r.Progress.Total
			}
			if name == upgrade.StepGates && r.Phase == upgrade.PhaseChecking && r.Tally.Gates > 0 {
				step.Percent = 100 * (r.Tally.Passed + r.Tally.Failed + r.Tally.Unknown + r.Tally.Skipped) / r.Tally.Gates
			}
		case before && overrode(name, r, results):
			step.Icon, step.Tone, step.Class = upgrade.IconHand, upgrade.ToneOver, "hand"
		case before:
			step.Icon, step.Tone, step.Class = upgrade.IconOK, upgrade.ToneOK, "done"
			if name == upgrade.StepPolicy && warnings(results) > 0 {
				step.Icon, step.Tone, step.Class = upgrade.IconWarn, upgrade.ToneWarn, "warn"
			}
		default:
			step.Icon, step.Tone, step.Class = upgrade.IconWait, upgrade.ToneIdle, "open"
			if name == upgrade.StepUnlock {
				step.Icon = upgrade.IconLock
			}
			if !r.Phase.Live() && name != upgrade.StepUnlock {
				step.Icon = upgrade.IconSkip
			}
		}
		steps = append(steps, step)
	}
	return steps
}

// overrode reports whether people let a run go past a step that it did not pass.
func overrode(step upgrade.RailStep, r upgrade.Run, results []upgrade.Result) bool {
	o := r.Override
	if o == nil || o.Given.IsZero() {
		return false
	}
	plan := slices.ContainsFunc(o.Causes, func(c upgrade.Cause) bool {
		return slices.ContainsFunc(results, func(r upgrade.Result) bool {
			return r.Stage == upgrade.StagePlan && r.Gate == c.Gate && r.Outcome != upgrade.OutcomePassed
		})
	})
	switch step {
	case upgrade.StepPolicy:
		return plan
	case upgrade.StepGates:
		return r.Verdict != upgrade.VerdictOpen
	case upgrade.StepPlan, upgrade.StepApply, upgrade.StepUnlock:
	}
	return false
}

func segment(t upgrade.Tone) string {
	switch t {
	case upgrade.ToneOK:
		return "done"
	case upgrade.ToneBad:
		return "fail"
	case upgrade.ToneRun:
		return "half"
	case upgrade.ToneWarn:
		return "warn"
	case upgrade.ToneOver:
		return "hand"
	case upgrade.ToneIdle:
	}
	return "open"
}

func railHref(name upgrade.RailStep) string {
	switch name {
	case upgrade.StepPlan, upgrade.StepApply:
		return "#plan"
	case upgrade.StepPolicy, upgrade.StepGates:
		return "#gates"
	case upgrade.StepUnlock:
		return "#verdict"
	}
	return "#verdict"
}

func railText(name upgrade.RailStep, r upgrade.Run, results []upgrade.Result, applied time.Duration, w words) string {
	switch name {
	case upgrade.StepPlan:
		return planText(r)
	case upgrade.StepPolicy:
		return policyText(r, results)
	case upgrade.StepApply:
		return applyText(r, applied)
	case upgrade.StepGates:
		return gatesText(r)
	case upgrade.StepUnlock:
		return unlockText(r, w)
	}
	return ""
}

func planText(r upgrade.Run) string {
	switch {
	case r.Phase == upgrade.PhaseQueued:
		return "waiting"
	case r.Phase == upgrade.PhasePreparing:
		return "checking out"
	case r.Phase == upgrade.PhasePlanning:
		return "planning"
	case r.Plan.ChangeDigest == "":
		return "not planned"
	case r.Plan.Changes() == 0:
		return "no changes"
	}
	return plural(r.Plan.Changes(), "change")
}

func warnings(results []upgrade.Result) int {
	n := 0
	for _, r := range results {
		if r.Stage == upgrade.StagePlan {
			n += len(r.Warnings)
		}
	}
	return n
}

func policyText(r upgrade.Run, results []upgrade.Result) string {
	all, passed := 0, 0
	for _, res := range results {
		if res.Stage == upgrade.StagePlan {
			all++
			if res.Outcome == upgrade.OutcomePassed {
				passed++
			}
		}
	}
	switch n := warnings(results); {
	case r.Phase == upgrade.PhaseAwaitingApproval:
		return "needs a yes"
	case r.Phase == upgrade.PhaseJudging && all == 0:
		return "being judged"
	case n > 0 && passed == all:
		return plural(n, "warning")
	case all > 0:
		return fmt.Sprintf("%d of %s", passed, plural(all, "rule"))
	case r.Applies > 0:
		return "nothing against it"
	}
	return "not asked"
}

func applyText(r upgrade.Run, applied time.Duration) string {
	if r.Applies == 0 && r.Phase != upgrade.PhaseApplying {
		return "not applied"
	}
	text := "starting"
	if r.Progress.Total > 0 {
		text = fmt.Sprintf("%d of %d", r.Progress.Done, r.Progress.Total)
	} else if r.Phase != upgrade.PhaseApplying {
		text = "done"
	}
	if applied > 0 {
		text += " · " + span(applied)
	}
	return text
}

// gatesText counts the gates of the result. Those that watched the apply are told only if they did not pass: the
// causes have them.
func gatesText(r upgrade.Run) string {
	t := r.Tally
	if r.Phase == upgrade.PhaseSettling {
		return "settling"
	}
	if t.Gates == 0 {
		return "not asked"
	}
	failed, unknown := 0, 0
	var inherited upgrade.RunID
	for _, cause := range r.Causes {
		switch {
		case cause.Run != 0:
			inherited = cause.Run
		case cause.Kind == upgrade.CauseGateFailed:
			failed++
		case cause.Kind == upgrade.CauseGateUnknown:
			unknown++
		}
	}
	failed, unknown = max(failed, t.Failed), max(unknown, t.Unknown)
	var said []string
	if failed > 0 {
		said = append(said, fmt.Sprintf("%d failed", failed))
	}
	if unknown > 0 {
		said = append(said, fmt.Sprintf("%d not complete", unknown))
	}
	if len(said) == 0 && inherited != 0 && r.Phase == upgrade.PhaseBlocked {
		return fmt.Sprintf("run %d did not pass", inherited)
	}
	if len(said) == 0 || r.Phase == upgrade.PhaseChecking && failed == 0 {
		return fmt.Sprintf("%d of %d passed", t.Passed, t.Gates)
	}
	return strings.Join(said, ", ")
}

func unlockText(r upgrade.Run, w words) string {
	switch {
	case r.Phase == upgrade.PhaseUnlocking:
		return "GitLab is being told"
	case r.Phase == upgrade.PhaseUnlocked && r.Production.Started:
		return "production started"
	case r.Phase == upgrade.PhaseUnlocked:
		return "unlocked " + w.stamp(r.Since).Text
	case r.Phase == upgrade.PhasePromoted:
		return "in production"
	case r.Phase == upgrade.PhaseRelocked:
		return "locked again"
	case r.Phase.Live():
		return "waits for the gates"
	}
	return "locked"
}
