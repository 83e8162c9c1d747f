package lifecycle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// orderOf returns the order to play the held job of the newest run's upgrade.
func (h *house) orderOf(run upgrade.Run) upgrade.Order {
	h.t.Helper()
	orders, err := h.store.Orders(h.ctx, run.Upgrade)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, order := range slices.Backward(orders) {
		if order.Hold.Kind == upgrade.HoldPlayJob {
			return order
		}
	}
	return upgrade.Order{}
}

func unavailable() error {
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "GitLab did not answer"}
}

// TestS1ClaimIsTheLastLook: between the reading of S1 and the act something else stands against it. The
// transaction that claims the order sees that, and nothing is played.
func TestS1ClaimIsTheLastLook(t *testing.T) {
	for name, meanwhile := range map[string]func(h *house, run upgrade.Run){
		"somebody_locks_it": func(h *house, run upgrade.Run) {
			_, err := h.store.Ask(h.ctx, upgrade.Request{Run: run.ID, Kind: upgrade.RequestRelock, By: hugo(), Reason: "not today", At: h.clock.Now()})
			if err != nil {
				h.t.Error(err)
			}
		},
		"its_branch_moves": func(h *house, _ upgrade.Run) {
			refs, err := h.store.Refs(h.ctx, 1)
			for _, ref := range refs {
				if ref.Key.Ref == "heads/main" {
					ref.Tree = treeOf("something else")
					err = h.write(upgrade.Step{Refs: []upgrade.RefState{ref}})
				}
			}
			if err != nil {
				h.t.Error(err)
			}
		},
		"its_base_moves": func(h *house, _ upgrade.Run) {
			base, _, err := h.store.Base(h.ctx, "edge")
			if err == nil {
				base.At = h.clock.Now()
				err = h.store.SetBase(h.ctx, base)
			}
			if err != nil {
				h.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.push("staging", "new")
			h.pass(6 * time.Minute)
			run := h.want(1, upgrade.PhaseUnlocked)
			looks, playedAfter := 0, 0
			h.gitlab.set(func(g *fakeGitLab) {
				g.onJobs = func() {
					if looks++; looks == 1 {
						meanwhile(h, run)
					}
				}
				g.onPlay = func(string) { playedAfter = looks }
			})
			h.push("main", "new")
			order := h.orderOf(run)
			switch {
			case looks == 0:
				t.Error("nobody looked at the jobs, so nothing was tested")
			case name == "somebody_locks_it" && (order.State != upgrade.OrderVoid || playedAfter != 0):
				t.Errorf("the order is %s (%s), done in GitLab: %v", order.State, order.Result, h.gitlab.said())
			case name != "somebody_locks_it" && playedAfter < 3: // the claim was refused, looked again, and once more before the act
				t.Errorf("it was played after %d looks: the claim did not look again", playedAfter)
			}
		})
	}
}

// TestS11ClaimedOrderIsLookedUp: an order was claimed, and the answer of GitLab was lost. What was done is
// found out; it is neither repeated nor believed.
func TestS11ClaimedOrderIsLookedUp(t *testing.T) {
	t.Run("done", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t)
		h.gitlab.set(func(g *fakeGitLab) { g.lostPlay = unavailable() })
		h.push("main", "new")
		h.pass(5 * time.Minute)
		if order := h.orderOf(h.run()); order.State != upgrade.OrderClaimed && order.State != upgrade.OrderDone {
			t.Errorf("the order is %s", order.State)
		}
		h.close()
		h.gitlab.set(func(g *fakeGitLab) { g.lostPlay = nil })
		h.open(h.stacks)
		h.pass(2 * time.Minute)
		h.want(1, upgrade.PhaseUnlocked)
		if order := h.orderOf(h.run()); order.State != upgrade.OrderDone || h.gitlab.played("new") != 1 {
			t.Errorf("the order is %s (%s), played %d times", order.State, order.Result, h.gitlab.played("new"))
		}
	})
	t.Run("not_done_and_no_longer_wanted", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t)
		h.gitlab.set(func(g *fakeGitLab) { g.failPlay = unavailable() })
		h.push("main", "new")
		h.pass(5 * time.Minute)
		run := h.want(1, upgrade.PhaseUnlocking)
		if order := h.orderOf(run); order.State != upgrade.OrderClaimed {
			t.Fatalf("the order is %s", order.State)
		}
		other := upgrade.Apply{Run: run.ID, N: 9, Stack: run.Stack, Environment: run.Environment, Tree: "t", FileDigest: "d"}
		if err := h.write(upgrade.Step{Applies: []upgrade.Apply{other}}); upgrade.CodeOf(err) != upgrade.CodeBusy {
			t.Errorf("an apply beside a claimed order: %v", err)
		}
		if err := h.lifecycle.Ask(h.ctx, upgrade.Request{Run: 1, Kind: upgrade.RequestRelock, By: hugo(), Reason: "not today"}); err != nil {
			t.Fatal(err)
		}
		h.gitlab.set(func(g *fakeGitLab) { g.failPlay = nil })
		h.pass(2 * time.Minute)
		h.want(1, upgrade.PhaseRelocked)
		if order := h.orderOf(run); order.State != upgrade.OrderVoid || h.gitlab.played("new") != 0 {
			t.Errorf("the order is %s (%s), played %d times", order.State, order.Result, h.gitlab.played("new"))
		}
	})
}

// TestDoneOrderCannotBeTakenBack: production was opened, and then the run was locked. That is said.
func TestDoneOrderCannotBeTakenBack(t *testing.T) {
	h := newHouse(t)
	h.push("main", "new")
	h.pass(6 * time.Minute)
	if err := h.lifecycle.Ask(h.ctx, upgrade.Request{Run: 1, Kind: upgrade.RequestRelock, By: hugo(), Reason: "not today"}); err != nil {
		t.Fatal(err)
	}
	h.rest()
	h.want(1, upgrade.PhaseRelocked)
	events, err := h.store.Events(h.ctx, upgrade.EventFilter{Run: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events {
		if strings.Contains(event.Text, "cannot be taken back") {
			return
		}
	}
	t.Error("the journal does not say that it cannot be taken back")
}
