package lifecycle_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// TestS3LostApply: a plan of which nobody knows how its apply ended is never applied again. What is left of
// it is planned anew if it was judged, and else a person must look (S3, S11).
func TestS3LostApply(t *testing.T) {
	for _, test := range []struct {
		name    string
		found   plan.Found
		left    string
		lock    string // whose lock of the state is left
		phase   upgrade.Phase
		applies int
	}{
		{"result_adopted", plan.FoundResult, "", "", upgrade.PhaseSettling, 1},
		{"lost_and_something_else_is_left", plan.FoundLost, "", "", upgrade.PhaseInterrupted, 1},
		{"lost_and_what_was_judged_is_left", plan.FoundLost, "rest", "", upgrade.PhaseSettling, 2},
		{"lost_and_nothing_is_left", plan.FoundLost, "whole", "", upgrade.PhaseSettling, 1},
		{"lost_and_left_its_lock", plan.FoundLost, "whole", "ours", upgrade.PhaseSettling, 1},
		{"lost_and_somebody_has_the_lock", plan.FoundLost, "whole", "another's", upgrade.PhaseInterrupted, 1},
		{"never_ran", plan.FoundNeverRan, "rest", "", upgrade.PhaseSettling, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.terraform.hold = make(chan struct{})
			commit := h.gitlab.push("platform/edge", "staging", "new")
			h.deliver("p", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: commit})
			h.until(func() bool { return h.terraform.applied() == 1 })
			h.close() // the service ends in the middle of the apply
			h.terraform.lose(test.left)
			h.terraform.found, h.terraform.locked, h.terraform.ours = test.found, test.lock != "", test.lock == "ours"
			h.open([]upgrade.Stack{edge()})
			h.rest()
			h.want(h.run().ID, test.phase)
			if h.terraform.applied() != test.applies {
				t.Errorf("%d applies were started, want %d", h.terraform.applied(), test.applies)
			}
			if first := h.terraform.applies[0]; test.found == plan.FoundLost && test.applies == 2 && h.terraform.applies[1].FileDigest == first.FileDigest {
				t.Errorf("the plan %s was applied twice", first.FileDigest)
			}
		})
	}
}

// until waits for something that needs no world time.
func (h *house) until(done func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatal("it did not happen")
		}
	}
}

// TestStopInEachPhase: a stop is answered wherever it makes sense.
func TestStopInEachPhase(t *testing.T) {
	t.Run("while_applying", func(t *testing.T) {
		h := newHouse(t)
		h.terraform.hold = make(chan struct{})
		commit := h.gitlab.push("platform/edge", "staging", "new")
		h.deliver("p", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: commit})
		h.until(func() bool { return h.terraform.applied() == 1 })
		id := h.run().ID
		stop := upgrade.Request{Run: id, Kind: upgrade.RequestStop, By: hugo()}
		h.until(func() bool { return h.run().Phase == upgrade.PhaseApplying })
		if err := h.lifecycle.Ask(t.Context(), stop); err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid {
			t.Errorf("a stop without a reason: %v, want invalid", err)
		}
		stop.Reason = "it hangs"
		if err := h.lifecycle.Ask(t.Context(), stop); err != nil {
			t.Fatal(err)
		}
		h.until(func() bool { return h.run().Phase != upgrade.PhaseApplying }) // the world stands still while an apply is held
		h.rest()
		run := h.want(id, upgrade.PhaseStopped)
		if run.StoppedBy != "hugo" || h.terraform.stopped != 1 {
			t.Errorf("stopped by %q, Terraform told %d times", run.StoppedBy, h.terraform.stopped)
		}
	})
	t.Run("while_settling", func(t *testing.T) {
		h := newHouse(t)
		h.push("staging", "new")
		id := h.run().ID
		h.want(id, upgrade.PhaseSettling)
		if err := h.lifecycle.Ask(t.Context(), upgrade.Request{Run: id, Kind: upgrade.RequestStop, By: hugo()}); err != nil {
			t.Fatal(err)
		}
		h.rest()
		h.want(id, upgrade.PhaseStopped)
	})
	t.Run("too_late", func(t *testing.T) {
		h := newHouse(t)
		h.push("staging", "new")
		h.pass(6 * time.Minute)
		err := h.lifecycle.Ask(t.Context(), upgrade.Request{Run: h.run().ID, Kind: upgrade.RequestStop, By: hugo()})
		if err == nil || upgrade.CodeOf(err) != upgrade.CodeConflict {
			t.Errorf("stopping an unlocked run: %v, want conflict", err)
		}
	})
}

// TestTerraformHangs: a plan that hangs is interrupted by a person, or by the limit of its phase.
func TestTerraformHangs(t *testing.T) {
	hang := func(t *testing.T) *house {
		t.Helper()
		h := newHouse(t)
		hangs := make(chan struct{})
		h.terraform.hangs = hangs
		commit := h.gitlab.push("platform/edge", "staging", "new")
		h.deliver("p", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: commit})
		<-hangs
		return h
	}
	t.Run("stopped", func(t *testing.T) {
		h := hang(t)
		if err := h.lifecycle.Ask(t.Context(), upgrade.Request{Run: 1, Kind: upgrade.RequestStop, By: hugo()}); err != nil {
			t.Fatal(err)
		}
		h.rest()
		h.want(1, upgrade.PhaseStopped)
	})
	t.Run("too_long", func(t *testing.T) {
		h := hang(t)
		h.clock.Advance(31 * time.Minute)
		h.rest()
		run := h.want(1, upgrade.PhaseFailed)
		if told := upgrade.Tell(run); told.Key != upgrade.KeyPlanFailed || !strings.Contains(told.Headline, "30m") {
			t.Errorf("told as %s: %q", told.Key, told.Headline)
		}
	})
}

// TestS2RefusedPlanIsMadeAgain: a plan that is not what was judged is not applied; another one is made and
// judged, but not for ever (S2).
func TestS2RefusedPlanIsMadeAgain(t *testing.T) {
	for _, test := range []struct {
		name   string
		refuse int
		phase  upgrade.Phase
		plans  int
	}{{"once", 1, upgrade.PhaseSettling, 2}, {"again_and_again", 9, upgrade.PhaseFailed, 3}} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.terraform.refuse = test.refuse
			h.push("staging", "new")
			run := h.want(h.run().ID, test.phase)
			if h.terraform.plans != test.plans {
				t.Errorf("%d plans were made, want %d", h.terraform.plans, test.plans)
			}
			applies, err := h.store.Applies(t.Context(), run.ID)
			if err != nil || len(applies) != test.plans {
				t.Fatalf("%d applies are kept (%v), want %d", len(applies), err, test.plans)
			}
			for i, apply := range applies {
				if apply.State != upgrade.ApplyExited || apply.OK != (i == test.plans-1 && test.phase == upgrade.PhaseSettling) {
					t.Errorf("apply %d is %s, ok %v", apply.N, apply.State, apply.OK)
				}
			}
		})
	}
}

// TestS9PlanKeptReadable: masking the kept plan never makes it unreadable, which would leave the run
// unjudged for ever; then no value of it is kept at all (S9).
func TestS9PlanKeptReadable(t *testing.T) {
	h := newHouse(t)
	h.mask = func(s string) string { return strings.Replace(s, `"Changes":[`, "***", 1) }
	h.push("staging", "new")
	h.want(h.run().ID, upgrade.PhaseSettling)
	kept, err := os.ReadFile(filepath.Join(h.data, "work", "runs", "1", "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(kept) || !strings.Contains(string(kept), "aws_x.y") || strings.Contains(string(kept), "a value") {
		t.Errorf("kept %s, want JSON with the address and without values", kept)
	}
}
