package upgrade_test

import (
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func overridden(at time.Time) upgrade.Override {
	return upgrade.Override{
		Causes: []upgrade.Cause{{Kind: upgrade.CauseGateFailed, Gate: "launch", Message: "terminated"}, {Kind: upgrade.CauseGateUnknown, Gate: "site", Message: "no answer"}},
		Reason: "the incident is over", By: []upgrade.Person{{Name: "hugo"}, {Name: "rene"}}, Asked: at, Given: at, Until: at.Add(time.Hour),
	}
}

// TestS6OverrideCounts: it takes two people, and it ends.
func TestS6OverrideCounts(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	one, two := overridden(at), overridden(at)
	one.By, one.Given = one.By[:1], time.Time{}
	for name, test := range map[string]struct {
		override *upgrade.Override
		now      time.Time
		want     bool
	}{
		"two_people":  {&two, at, true},
		"one_person":  {&one, at, false},
		"just_before": {&two, at.Add(time.Hour - 1), true},
		"at_its_end":  {&two, at.Add(time.Hour), false},
		"none":        {nil, at, false},
	} {
		if got := test.override.Counts(test.now); got != test.want {
			t.Errorf("%s counts: %v", name, got)
		}
	}
}

// TestS6NewCauseVoids: an override is of what its people saw, word for word.
func TestS6NewCauseVoids(t *testing.T) {
	o := overridden(time.Time{})
	for name, test := range map[string]struct {
		change func([]upgrade.Cause) []upgrade.Cause
		want   bool
	}{
		"the_same":        {func(c []upgrade.Cause) []upgrade.Cause { return c }, true},
		"fewer":           {func(c []upgrade.Cause) []upgrade.Cause { return c[:1] }, true},
		"another_message": {func(c []upgrade.Cause) []upgrade.Cause { c[0].Message = "worse"; return c }, false},
		"another_gate":    {func(c []upgrade.Cause) []upgrade.Cause { c[0].Gate = "grants"; return c }, false},
		"of_another_run":  {func(c []upgrade.Cause) []upgrade.Cause { c[0].Run = 7; return c }, false},
		"one_more": {func(c []upgrade.Cause) []upgrade.Cause {
			return append(c, upgrade.Cause{Kind: upgrade.CauseGateFailed, Gate: "outage", Message: "down"})
		}, false},
	} {
		causes := test.change(append([]upgrade.Cause(nil), o.Causes...))
		if got := o.Covers(causes); got != test.want {
			t.Errorf("%s is covered: %v", name, got)
		}
		if same := upgrade.CausesDigest(causes) == upgrade.CausesDigest(o.Causes); same != (name == "the_same") {
			t.Errorf("%s has the same digest: %v", name, same)
		}
	}
	backwards := []upgrade.Cause{o.Causes[1], o.Causes[0]}
	if upgrade.CausesDigest(backwards) != upgrade.CausesDigest(o.Causes) {
		t.Error("the order of causes counts")
	}
}

// TestS6OverrideIsToldAsOne: nobody reads an override as a pass.
func TestS6OverrideIsToldAsOne(t *testing.T) {
	o := overridden(time.Time{})
	for _, phase := range []upgrade.Phase{upgrade.PhaseUnlocking, upgrade.PhaseUnlocked} {
		told := upgrade.Tell(upgrade.Run{Phase: phase, Verdict: upgrade.VerdictClosed, Override: &o})
		if told.Key != upgrade.KeyOverridden || !strings.Contains(told.Headline, "hugo and rene") || !strings.Contains(told.Next, o.Reason) {
			t.Errorf("%s is told as %s: %s %s", phase, told.Key, told.Headline, told.Next)
		}
	}
}
