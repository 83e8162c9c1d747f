package upgrade_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
)

// fixtures has one run per key of dashboard.md §6, and the hard cases.
func fixtures() map[string]upgrade.Run {
	run := func(phase upgrade.Phase, change func(*upgrade.Run)) upgrade.Run {
		r := upgrade.Run{
			ID: 481, Stack: "ecs-master", Environment: "staging", Phase: phase, Author: "Priya Raman",
			Commit:  "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
			Answers: []upgrade.Answer{{Ref: "grants", MergeRequest: 412}},
			Tally:   upgrade.Tally{Gates: 10, Passed: 10}, Plan: upgrade.PlanFacts{Create: 7, Destroy: 3},
		}
		if change != nil {
			change(&r)
		}
		return r
	}
	caused := func(from upgrade.Phase, causes ...upgrade.Cause) func(*upgrade.Run) {
		return func(r *upgrade.Run) { r.From, r.Causes = from, causes }
	}
	gate := func(effect upgrade.Effect, brief string) upgrade.Cause {
		return upgrade.Cause{Kind: upgrade.CauseGateFailed, Gate: "g", Effect: effect, Message: "long story", Brief: brief}
	}
	return map[string]upgrade.Run{
		"queued":         run(upgrade.PhaseQueued, func(r *upgrade.Run) { r.Reason = "run 480 is using staging of ecs-master" }),
		"queued_first":   run(upgrade.PhaseQueued, nil),
		"preparing":      run(upgrade.PhasePreparing, nil),
		"planning_push":  run(upgrade.PhasePlanning, func(r *upgrade.Run) { r.Answers = nil }),
		"plan_failed":    run(upgrade.PhaseFailed, caused(upgrade.PhasePlanning, upgrade.Cause{Kind: upgrade.CausePlan, Message: "main.tf:12: Unsupported argument"})),
		"checkout":       run(upgrade.PhaseFailed, caused(upgrade.PhasePreparing, upgrade.Cause{Kind: upgrade.CauseCheckout, Message: "stacks/ecs is a symbolic link", Hint: "make it a folder"})),
		"init_failed":    run(upgrade.PhaseFailed, caused(upgrade.PhasePreparing, upgrade.Cause{Kind: upgrade.CausePlan, Message: "the provider lock file does not match"})),
		"policy_denied":  run(upgrade.PhaseBlocked, caused(upgrade.PhaseJudging, gate(upgrade.EffectOther, "it destroys a grant"))),
		"needs_approval": run(upgrade.PhaseAwaitingApproval, func(r *upgrade.Run) { r.Reason = "a grant is destroyed" }),
		"judging":        run(upgrade.PhaseJudging, nil),
		"applying":       run(upgrade.PhaseApplying, func(r *upgrade.Run) { r.Progress = upgrade.Progress{Done: 4, Total: 10} }),
		"applying_one":   run(upgrade.PhaseApplying, func(r *upgrade.Run) { r.Plan = upgrade.PlanFacts{Update: 1} }),
		"apply_failed":   run(upgrade.PhaseFailed, func(r *upgrade.Run) { r.From, r.Progress = upgrade.PhaseApplying, upgrade.Progress{Done: 4, Total: 10} }),
		"settling":       run(upgrade.PhaseSettling, func(r *upgrade.Run) { r.Reason = "settling until 09:05:00" }),
		"checking":       run(upgrade.PhaseChecking, func(r *upgrade.Run) { r.Tally = upgrade.Tally{Gates: 10, Passed: 3} }),
		"checking_bad":   run(upgrade.PhaseChecking, func(r *upgrade.Run) { r.Tally = upgrade.Tally{Gates: 10, Passed: 3, Failed: 2} }),
		"blocked": run(upgrade.PhaseBlocked, caused(upgrade.PhaseChecking,
			gate(upgrade.EffectCannotStart, "staging cannot start new instances"), gate(upgrade.EffectUnreachable, "the site does not answer"), gate(upgrade.EffectOther, "more"))),
		"blocked_long":   run(upgrade.PhaseBlocked, caused(upgrade.PhaseChecking, upgrade.Cause{Kind: upgrade.CauseGateFailed, Message: strings.Repeat("very ", 60) + "long"})),
		"not_verified":   run(upgrade.PhaseBlocked, caused(upgrade.PhaseChecking, upgrade.Cause{Kind: upgrade.CauseGateUnknown, Message: "AWS refuses autoscaling:CreateAutoScalingGroup"})),
		"no_gates":       run(upgrade.PhaseBlocked, caused(upgrade.PhaseChecking, upgrade.Cause{Kind: upgrade.CauseNoGates, Message: "no gate touched the running system", Hint: "configure one"})),
		"unlocking":      run(upgrade.PhaseUnlocking, nil),
		"unlocked":       run(upgrade.PhaseUnlocked, nil),
		"unlocked_going": run(upgrade.PhaseUnlocked, func(r *upgrade.Run) { r.Production.Started = true }),
		"promoted":       run(upgrade.PhasePromoted, func(r *upgrade.Run) { r.PromotedAt = time.Date(2026, 11, 23, 10, 12, 0, 0, time.UTC) }),
		"relocked":       run(upgrade.PhaseRelocked, caused(upgrade.PhaseUnlocked, upgrade.Cause{Kind: upgrade.CauseRelocked, Message: "run 482 has changed staging since"})),
		"interrupted":    run(upgrade.PhaseInterrupted, nil),
		"stopped":        run(upgrade.PhaseStopped, func(r *upgrade.Run) { r.StoppedBy = "hugo" }),
		"stopped_late":   run(upgrade.PhaseStopped, func(r *upgrade.Run) { r.StoppedBy, r.Applies = "hugo", 1 }),
		"superseded":     run(upgrade.PhaseSuperseded, caused(upgrade.PhaseQueued, upgrade.Cause{Kind: upgrade.CauseSuperseded, Message: "a newer commit of staging is tested"})),
	}
}

func TestTell(t *testing.T) {
	var b strings.Builder
	seen := map[upgrade.Key]bool{}
	for _, name := range testkit.Sorted(fixtures()) {
		told := upgrade.Tell(fixtures()[name])
		seen[told.Key] = true
		fmt.Fprintf(&b, "%s: %s [%s]\n  %s\n  next: %s\n", name, told.Key, told.Look.Word, told.Headline, told.Next)
		if told.Live != "" {
			fmt.Fprintf(&b, "  live: %s\n", told.Live)
		}
		if n := utf8.RuneCountInString(told.Headline); n > 140 || strings.Contains(told.Headline, "\n") {
			t.Errorf("%s: headline has %d characters or a line break, want at most 140 and none", name, n)
		}
		if told.Next == "" || told.Look.Word == "" {
			t.Errorf("%s: no next step or no chip", name)
		}
	}
	for _, key := range upgrade.Keys() {
		if !seen[key] && key != upgrade.KeyFrozen && key != upgrade.KeyOverridden {
			t.Errorf("no fixture tells %s", key)
		}
	}
	testkit.Golden(t, "testdata/headlines.txt", []byte(b.String()))
}

// TestHeadlineStandsStill: counters change every second, the headline only with the phase, since
// GitLab refuses the same state twice.
func TestHeadlineStandsStill(t *testing.T) {
	a, b := fixtures()["applying"], fixtures()["applying"]
	b.Progress.Done++
	if upgrade.Tell(a).Headline != upgrade.Tell(b).Headline {
		t.Error("the headline counts resources")
	}
	if upgrade.Tell(a).Live == upgrade.Tell(b).Live {
		t.Error("the live line does not count resources")
	}
}
