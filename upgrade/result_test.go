package upgrade_test

import (
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func launch(outcome upgrade.Outcome) upgrade.Result {
	return upgrade.Result{
		Gate: "launch", Kind: "instance-launch", Stage: upgrade.StageAfter, Required: true, TouchesLive: true,
		Outcome: outcome, Message: "launch " + string(outcome),
	}
}

func with(r upgrade.Result, change func(*upgrade.Result)) upgrade.Result {
	change(&r)
	return r
}

// TestS5Fold: "could not tell" never opens, nor does an empty list, nor one in which nothing touched
// the running system (S5).
func TestS5Fold(t *testing.T) {
	passed := launch(upgrade.OutcomePassed)
	tests := []struct {
		name    string
		results []upgrade.Result
		want    upgrade.Verdict
		cause   upgrade.CauseKind
	}{
		{"no_gates", nil, upgrade.VerdictClosed, upgrade.CauseNoGates},
		{"one_pass", []upgrade.Result{passed}, upgrade.VerdictOpen, ""},
		{"failed", []upgrade.Result{passed, launch(upgrade.OutcomeFailed)}, upgrade.VerdictClosed, upgrade.CauseGateFailed},
		{"unknown", []upgrade.Result{passed, launch(upgrade.OutcomeUnknown)}, upgrade.VerdictClosed, upgrade.CauseGateUnknown},
		{"still_running", []upgrade.Result{passed, launch(upgrade.OutcomeRunning)}, upgrade.VerdictClosed, upgrade.CauseGateUnknown},
		{"unheard_of", []upgrade.Result{passed, launch("fine")}, upgrade.VerdictClosed, upgrade.CauseGateUnknown},
		{"only_skipped", []upgrade.Result{launch(upgrade.OutcomeSkipped)}, upgrade.VerdictClosed, upgrade.CauseNoGates},
		{"skipped_beside_pass", []upgrade.Result{passed, launch(upgrade.OutcomeSkipped)}, upgrade.VerdictOpen, ""},
		{"only_optional_pass", []upgrade.Result{with(passed, func(r *upgrade.Result) { r.Required = false })}, upgrade.VerdictClosed, upgrade.CauseNoGates},
		{"optional_failure_closes_nothing", []upgrade.Result{passed, with(launch(upgrade.OutcomeFailed), func(r *upgrade.Result) { r.Required = false })}, upgrade.VerdictOpen, ""},
		{"touches_nothing", []upgrade.Result{with(passed, func(r *upgrade.Result) { r.TouchesLive = false })}, upgrade.VerdictClosed, upgrade.CauseNoGates},
		{"plan_gate_only", []upgrade.Result{with(passed, func(r *upgrade.Result) { r.Stage = upgrade.StagePlan })}, upgrade.VerdictClosed, upgrade.CauseNoGates},
		{"early_pass_counts_for_nothing", []upgrade.Result{with(passed, func(r *upgrade.Result) { r.Early = true })}, upgrade.VerdictClosed, upgrade.CauseNoGates},
		{"early_no_is_final", []upgrade.Result{passed, with(launch(upgrade.OutcomeFailed), func(r *upgrade.Result) { r.Early = true })}, upgrade.VerdictClosed, upgrade.CauseGateFailed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, causes := upgrade.Fold(test.results)
			if got != test.want {
				t.Fatalf("verdict is %s, want %s", got, test.want)
			}
			if (len(causes) == 0) != (got == upgrade.VerdictOpen) {
				t.Errorf("verdict %s with causes %v", got, causes)
			}
			if len(causes) > 0 && causes[0].Kind != test.cause {
				t.Errorf("first cause is %s, want %s", causes[0].Kind, test.cause)
			}
		})
	}
}

func TestWorstEffectFirst(t *testing.T) {
	unreachable := upgrade.Result{Gate: "site", Kind: "varnish", Stage: upgrade.StageAfter, Required: true, Outcome: upgrade.OutcomeFailed}
	broken := upgrade.Result{Gate: "grants", Kind: "kms-grants", Stage: upgrade.StageAfter, Environment: "production", Required: true, Outcome: upgrade.OutcomeFailed}
	_, causes := upgrade.Fold([]upgrade.Result{launch(upgrade.OutcomeUnknown), unreachable, launch(upgrade.OutcomeFailed), broken})
	var got []upgrade.Effect
	for _, cause := range causes {
		got = append(got, cause.Effect)
	}
	want := []upgrade.Effect{upgrade.EffectProductionBroken, upgrade.EffectCannotStart, upgrade.EffectUnreachable, upgrade.EffectNotComplete}
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("effects are %v, want %v", got, want)
		}
	}
}

// TestFinalNoFirst: what nobody may agree to is said before what a yes would settle.
func TestFinalNoFirst(t *testing.T) {
	guard := upgrade.Result{Gate: "destroy-guard", Kind: "destroy-guard", Stage: upgrade.StagePlan, Required: true, Outcome: upgrade.OutcomeFailed, Agreeable: true}
	owner := upgrade.Result{Gate: "ownership", Kind: "ownership", Stage: upgrade.StagePlan, Required: true, Outcome: upgrade.OutcomeFailed}
	causes := upgrade.Against([]upgrade.Result{guard, owner})
	if len(causes) != 2 || causes[0].Gate != "ownership" {
		t.Errorf("causes %+v, want that of ownership first", causes)
	}
}

func TestExpired(t *testing.T) {
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	r := with(launch(upgrade.OutcomePassed), func(r *upgrade.Result) { r.StartedAt, r.GoodFor = at, time.Hour })
	if r.Expired(at.Add(time.Hour)) {
		t.Error("expired at its limit, want only past it")
	}
	if !r.Expired(at.Add(time.Hour + time.Millisecond)) {
		t.Error("not expired past its limit")
	}
	if with(r, func(r *upgrade.Result) { r.GoodFor = 0 }).Expired(at.Add(1000 * time.Hour)) {
		t.Error("a result without limit expired")
	}
}
