package upgrade

import (
	"testing"
	"time"
)

// TestS1StandingGates: a no counts at once, a pass as long as it is good for, and "could not tell" is never
// one.
func TestS1StandingGates(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		s       Standing
		want    InvariantState
		message string
	}{
		"never_asked": {Standing{}, InvariantNotVerified, "grants of production was not verified yet"},
		"held":        {Standing{Rev: 1, HeldAt: now.Add(-10 * time.Minute), Result: Result{Outcome: OutcomePassed}}, InvariantHeld, ""},
		"old": {
			Standing{Rev: 1, HeldAt: now.Add(-11 * time.Minute), Result: Result{Outcome: OutcomePassed}},
			InvariantNotVerified,
			"grants of production was not verified since 23 Nov 08:49 UTC, and counts for 10m0s",
		},
		"warning": {Standing{Rev: 1, HeldAt: now, Result: Result{Outcome: OutcomePassed, Warnings: []string{"look"}}}, InvariantWarning, ""},
		"broken":  {Standing{Rev: 2, HeldAt: now, Result: Result{Outcome: OutcomeFailed, Message: "a grant is gone"}}, InvariantBroken, "a grant is gone"},
		"unknown_after_a_pass": {
			Standing{Rev: 2, HeldAt: now.Add(-time.Minute), Result: Result{Outcome: OutcomeUnknown, Message: "throttled"}}, InvariantHeld, "",
		},
		"unknown_too_long": {
			Standing{Rev: 2, HeldAt: now.Add(-time.Hour), Result: Result{Outcome: OutcomeUnknown, Message: "throttled"}},
			InvariantNotVerified,
			"grants of production was not verified since 23 Nov 08:00 UTC, and counts for 10m0s: throttled",
		},
		"unknown_ever": {
			Standing{Rev: 1, Result: Result{Outcome: OutcomeUnknown, Message: "throttled"}},
			InvariantNotVerified,
			"grants of production was not verified: throttled",
		},
		"skipped": {Standing{Rev: 1, Result: Result{Outcome: OutcomeSkipped}}, InvariantPaused, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test.s.Key = StandingKey{Gate: "grants", Environment: "production"}
			test.s.Result.Environment, test.s.Result.GoodFor = "production", 10*time.Minute
			if got := test.s.State(now); got != test.want {
				t.Errorf("it is %s, want %s", got, test.want)
			}
			cause, against := test.s.Against(now)
			if against != (test.message != "") || cause.Message != test.message {
				t.Errorf("against is %v: %q, want %q", against, cause.Message, test.message)
			}
			if test.want == InvariantBroken && cause.Effect != EffectProductionBroken {
				t.Errorf("its effect is %d", cause.Effect)
			}
		})
	}
}
