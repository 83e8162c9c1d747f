package lifecycle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestS1Expires: an answer that grows older than its limit locks again (S1).
func TestS1Expires(t *testing.T) {
	h := newHouse(t)
	h.push("staging", "new")
	h.pass(6 * time.Minute)
	id := h.run().ID
	h.want(id, upgrade.PhaseUnlocked)
	h.pass(21 * time.Minute)
	run := h.want(id, upgrade.PhaseRelocked)
	if !strings.Contains(upgrade.Tell(run).Headline, "older than 20m") {
		t.Errorf("told as %q", upgrade.Tell(run).Headline)
	}
	orders, err := h.store.Orders(t.Context(), run.Upgrade)
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range orders {
		if order.Hold.Kind == upgrade.HoldPlayJob && order.State != upgrade.OrderVoid {
			t.Errorf("order %s is %s, want void", order.Hold.Key(), order.State)
		}
	}
}

// TestS1NeverApplied: asking for the gates again opens nothing for a run that never changed staging (S1).
func TestS1NeverApplied(t *testing.T) {
	first, second := edge(), edge()
	second.Name, second.After = "after", []upgrade.StackName{"edge"}
	h := newHouse(t, first, second)
	h.gate.says(gates.Failf("no"))
	h.push("staging", "new")
	h.pass(7 * time.Minute)
	h.gate.says(nil)
	for _, run := range h.runs() {
		if run.Stack != "after" {
			continue
		}
		h.want(run.ID, upgrade.PhaseBlocked)
		if run.Applies != 0 || run.Causes[0].Kind != upgrade.CauseAfter {
			t.Fatalf("the second stack's run has %d applies and causes %v", run.Applies, run.Causes)
		}
		err := h.lifecycle.Ask(t.Context(), upgrade.Request{Run: run.ID, Kind: upgrade.RequestRecheck, By: hugo()})
		if err == nil || upgrade.CodeOf(err) != upgrade.CodeConflict {
			t.Errorf("asking for its gates: %v, want conflict", err)
		}
		h.pass(7 * time.Minute)
		h.want(run.ID, upgrade.PhaseBlocked)
	}
}

// TestS1SeveralStacks: production opens for an upgrade only when every stack that it touches is open (S1).
func TestS1SeveralStacks(t *testing.T) {
	first, second := edge(), edge()
	second.Name = "other"
	h := newHouse(t, first, second)
	commit := h.push("staging", "new")
	h.gitlab.fastForward("platform/edge", "main", commit)
	h.deliver("main", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "main", After: commit})
	h.gate.says(gates.Failf("no"))
	h.pass(7 * time.Minute)
	if len(h.runs()) != 2 {
		t.Fatalf("%d runs, want one for each stack", len(h.runs()))
	}
	h.gate.says(nil)
	ask := func(id upgrade.RunID) {
		t.Helper()
		if err := h.lifecycle.Ask(t.Context(), upgrade.Request{Run: id, Kind: upgrade.RequestRecheck, By: hugo()}); err != nil {
			t.Fatal(err)
		}
		h.pass(2 * time.Minute)
	}
	ask(1)
	run := h.want(1, upgrade.PhaseRelocked) // at once: it holds nobody while the other is somebody's turn
	if !strings.Contains(upgrade.Tell(run).Headline, "Run 2 of other") || len(h.gitlab.said()) != 0 {
		t.Errorf("one stack is open: %q, done %v", upgrade.Tell(run).Headline, h.gitlab.said())
	}
	ask(2) // which has the first one judged again
	h.want(1, upgrade.PhaseUnlocked)
	h.want(2, upgrade.PhaseUnlocked)
	if acts := h.gitlab.said(); !slices.Equal(acts, []string{"play upgrade-gate of new"}) {
		t.Errorf("done in GitLab: %v, want the shared job played once", acts)
	}
}
