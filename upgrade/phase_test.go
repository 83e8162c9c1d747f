package upgrade_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestStates draws docs/states.md from the one function that says what may follow what.
func TestStates(t *testing.T) {
	var b strings.Builder
	b.WriteString("# The phases of a run\n\nGenerated from `upgrade/phase.go` by `go test ./upgrade -run TestStates -update`; product.md §2 says what each phase does.\n\n")
	b.WriteString("```mermaid\nstateDiagram-v2\n    [*] --> queued\n")
	for _, phase := range upgrade.Phases() {
		for _, next := range phase.Next() {
			fmt.Fprintf(&b, "    %s --> %s\n", phase, next)
		}
		if phase.Final() {
			fmt.Fprintf(&b, "    %s --> [*]\n", phase)
		}
	}
	b.WriteString("```\n\n| phase | step | holds the slot | status in GitLab | next |\n| --- | --- | --- | --- | --- |\n")
	for _, phase := range upgrade.Phases() {
		var next []string
		for _, n := range phase.Next() {
			next = append(next, string(n))
		}
		slot, step := "", string(phase.Rail())
		if phase.HoldsSlot() {
			slot = "yes"
		}
		if step == "" {
			step = "–"
		}
		if len(next) == 0 {
			next = []string{"–"}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` | %s |\n", phase, step, slot, phase.CommitState(), strings.Join(next, ", "))
	}
	testkit.Golden(t, "../docs/states.md", []byte(b.String()))
}

// TestWalks goes random ways through the phases: each ends, and only over phases that exist.
func TestWalks(t *testing.T) {
	const seed = 20261122
	random := rand.New(rand.NewPCG(seed, seed))
	for range 2000 {
		phase := upgrade.PhaseQueued
		for range 400 {
			if phase.Final() {
				break
			}
			next := phase.Next()[random.IntN(len(phase.Next()))]
			if !next.Valid() || !phase.CanFollow(next) {
				t.Fatalf("%s → %s: not a phase, or Next and CanFollow disagree (seed %d)", phase, next, seed)
			}
			phase = next
		}
		if !phase.Final() {
			t.Fatalf("a walk of 400 moves did not end, at %s (seed %d)", phase, seed)
		}
	}
}

// TestS1OnlyPassedOpens: the only ways into an open phase lead through checking, or through what a
// person overrode (S1, S6).
func TestS1OnlyPassedOpens(t *testing.T) {
	for _, phase := range upgrade.Phases() {
		if phase.Opens() {
			continue
		}
		for _, next := range phase.Next() {
			mayOpen := []upgrade.Phase{upgrade.PhaseChecking, upgrade.PhaseBlocked, upgrade.PhaseRelocked}
			if next.Opens() && !slices.Contains(mayOpen, phase) {
				t.Errorf("%s may become %s without a pass", phase, next)
			}
		}
	}
}

// TestS3ApplyHoldsSlot: staging is changed only by who holds the slot (S3).
func TestS3ApplyHoldsSlot(t *testing.T) {
	for _, phase := range []upgrade.Phase{upgrade.PhaseApplying, upgrade.PhaseInterrupted, upgrade.PhasePlanning} {
		if !phase.HoldsSlot() {
			t.Errorf("%s does not hold the slot", phase)
		}
	}
	for _, phase := range upgrade.Phases() {
		if phase.Final() && phase.HoldsSlot() {
			t.Errorf("%s would hold the slot for ever", phase)
		}
	}
}

func TestCommitState(t *testing.T) {
	for _, phase := range upgrade.Phases() {
		open := phase == upgrade.PhaseUnlocked || phase == upgrade.PhasePromoted
		if got := phase.CommitState() == upgrade.CommitSuccess; got != open {
			t.Errorf("%s: success is shown: %v, want %v", phase, got, open)
		}
	}
}
