package lifecycle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/lifecycle"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// TestTheWholeWay: a push to staging goes green, the merge brings the production pipeline, the held
// job is played, a deployment makes it promoted.
func TestTheWholeWay(t *testing.T) {
	h := newHouse(t)
	commit := h.push("staging", "new")
	id := h.run().ID
	h.want(id, upgrade.PhaseSettling)
	h.pass(6 * time.Minute)
	run := h.want(id, upgrade.PhaseUnlocked)
	if state, text := h.gitlab.status(commit); state != upgrade.CommitSuccess || text != upgrade.Tell(run).Headline {
		t.Errorf("GitLab shows %s %q, want success and the run's own headline", state, text)
	}
	if acts := h.gitlab.said(); len(acts) != 0 {
		t.Errorf("%v was done before there was a production pipeline", acts)
	}
	h.gitlab.fastForward("platform/edge", "main", commit)
	h.deliver("main", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "main", After: commit})
	h.rest()
	if fate := h.fate("main"); fate.Fate != upgrade.FateJoined {
		t.Errorf("the merge was %s (%s), want joined", fate.Fate, fate.Reason)
	}
	if acts := h.gitlab.said(); !slices.Equal(acts, []string{"play upgrade-gate of new"}) {
		t.Errorf("done in GitLab: %v, want the held job played once", acts)
	}
	h.gitlab.deploy(commit, "success")
	h.pass(2 * time.Minute)
	h.want(id, upgrade.PhasePromoted)
	if h.terraform.applied() != 1 {
		t.Errorf("%d applies, want 1", h.terraform.applied())
	}
	base, known, err := h.store.Base(t.Context(), "edge")
	if err != nil || !known || base.Assumed || base.Tree != run.Tree {
		t.Errorf("base is %+v (%v, %v), want the promoted tree", base, known, err)
	}
}

// TestSecondPipeline: a further production pipeline of the same content is opened too, while the pass
// still counts.
func TestSecondPipeline(t *testing.T) {
	h := newHouse(t)
	commit := h.push("staging", "new")
	h.pass(6 * time.Minute)
	for range 2 {
		h.gitlab.fastForward("platform/edge", "main", commit)
		h.deliver(h.clock.Now().String(), upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "main", After: commit})
		h.pass(2 * time.Minute)
	}
	if acts := h.gitlab.said(); len(acts) != 2 {
		t.Errorf("done in GitLab: %v, want the held job of both pipelines played", acts)
	}
}

// TestS5NothingOpensWithoutAPass: no and "could not tell" both keep production shut (S5).
func TestS5NothingOpensWithoutAPass(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer error
		key    upgrade.Key
	}{
		{"no", gates.FailBrief("staging cannot start instances", "no instance within 5 min"), upgrade.KeyBlocked},
		{"could_not_tell", &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS refuses autoscaling:CreateAutoScalingGroup"}, upgrade.KeyNotVerified},
		{"could_not_tell_in_time", errors.New("connection reset"), upgrade.KeyNotVerified},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.gate.says(test.answer)
			commit := h.push("staging", "new")
			h.gitlab.fastForward("platform/edge", "main", commit)
			h.deliver("main", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "main", After: commit})
			h.pass(16 * time.Minute)
			run := h.want(h.run().ID, upgrade.PhaseBlocked)
			if told := upgrade.Tell(run); told.Key != test.key {
				t.Errorf("told as %s (%q), want %s", told.Key, told.Headline, test.key)
			}
			if acts := h.gitlab.said(); len(acts) != 0 {
				t.Errorf("%v was done in GitLab", acts)
			}
			if state, _ := h.gitlab.status(commit); state != upgrade.CommitFailed {
				t.Errorf("GitLab shows %s, want failed", state)
			}
		})
	}
}

// TestRecheck: a person asks for the gates again; staging is not changed again.
func TestRecheck(t *testing.T) {
	h := newHouse(t)
	h.gate.says(gates.Failf("no instance"))
	h.push("staging", "new")
	h.pass(6 * time.Minute)
	run := h.want(h.run().ID, upgrade.PhaseBlocked)
	h.gate.says(nil)
	viewer := upgrade.Request{Run: run.ID, Kind: upgrade.RequestRecheck, By: upgrade.Person{Name: "v", Role: upgrade.RoleViewer}}
	if err := h.lifecycle.Ask(t.Context(), viewer); err == nil || upgrade.CodeOf(err) != upgrade.CodeForbidden {
		t.Errorf("a viewer asked: %v, want forbidden", err)
	}
	if err := h.lifecycle.Ask(t.Context(), upgrade.Request{Run: run.ID, Kind: upgrade.RequestRecheck, By: hugo()}); err != nil {
		t.Fatal(err)
	}
	h.rest()
	h.want(run.ID, upgrade.PhaseUnlocked)
	if h.terraform.applied() != 1 {
		t.Errorf("%d applies, want 1: a recheck changes nothing", h.terraform.applied())
	}
}

func hugo() upgrade.Person { return upgrade.Person{Name: "hugo", Role: upgrade.RoleReleaseManager} }

// TestS7FiveTimes: one delivery five times, and five deliveries of one move, start one run (S7).
func TestS7FiveTimes(t *testing.T) {
	h := newHouse(t)
	commit := h.gitlab.push("platform/edge", "staging", "new")
	for i := range 5 {
		h.deliver("same", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: commit})
		h.deliver(fmt.Sprint("other", i), upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: commit})
	}
	h.rest()
	if runs := h.runs(); len(runs) != 1 {
		t.Errorf("%d runs, want 1", len(runs))
	}
}

// TestS7LostDelivery: the reconciler sees a push that no delivery told of (S7).
func TestS7LostDelivery(t *testing.T) {
	h := newHouse(t)
	if err := h.lifecycle.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.rest()
	before := len(h.runs())
	h.gitlab.push("platform/edge", "staging", "new")
	h.pass(2 * time.Minute)
	if got := len(h.runs()); got != before+1 {
		t.Errorf("%d runs after a lost delivery, want %d", got, before+1)
	}
}

// TestS8StatusRepaired: a status that somebody else wrote is corrected within a minute, and told (S8).
func TestS8StatusRepaired(t *testing.T) {
	h := newHouse(t)
	h.gate.says(gates.Failf("no instance"))
	if err := h.lifecycle.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit := h.push("staging", "new")
	h.pass(6 * time.Minute)
	id := h.run().ID
	h.want(id, upgrade.PhaseBlocked)
	h.gitlab.mu.Lock()
	forged := h.gitlab.statuses[len(h.gitlab.statuses)-1]
	forged.State, forged.Description = upgrade.CommitSuccess, "all fine"
	h.gitlab.statuses = append(h.gitlab.statuses, forged)
	h.gitlab.mu.Unlock()
	h.pass(61 * time.Second)
	if state, _ := h.gitlab.status(commit); state != upgrade.CommitFailed {
		t.Errorf("GitLab still shows %s", state)
	}
	events, err := h.store.Events(t.Context(), upgrade.EventFilter{Run: id})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(events, func(e upgrade.Event) bool { return strings.Contains(e.Text, "had not said") }) {
		t.Error("the journal does not tell that somebody else wrote the status")
	}
}

// TestS13UnprotectedBranch: a push to a branch that anybody may push to starts nothing (S13).
func TestS13UnprotectedBranch(t *testing.T) {
	h := newHouse(t)
	h.gitlab.unprotected = true
	h.push("staging", "evil")
	if runs := h.runs(); len(runs) != 0 {
		t.Fatalf("%d runs, want none", len(runs))
	}
	if fate := h.fate("push-staging"); fate.Fate != upgrade.FateRefused || !strings.Contains(fate.Reason, "not protected") {
		t.Errorf("the delivery was %s: %q", fate.Fate, fate.Reason)
	}
}

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

// TestS4IntentIsInTheJournal: what a gate is about to make stands in the run's journal before it is made (S4).
func TestS4IntentIsInTheJournal(t *testing.T) {
	var before []upgrade.Event
	h := newHouseWith(t, func(h *house) []gates.Gate {
		return []gates.Gate{{
			Name: "maker", Stage: upgrade.StageAfter, Environment: "staging", Deadline: time.Minute,
			Check: func(ctx context.Context, in gates.Input, _ *gates.Recorder) (err error) {
				if err := in.Intend(ctx, "a group is about to be made"); err != nil {
					return err
				}
				before, err = h.store.Events(ctx, upgrade.EventFilter{Run: in.Run.ID, Limit: 500})
				return err
			},
		}}
	})
	h.push("staging", "new")
	h.pass(6 * time.Minute)
	h.want(h.run().ID, upgrade.PhaseUnlocked)
	if !slices.ContainsFunc(before, func(e upgrade.Event) bool { return e.Text == "A group is about to be made." }) {
		t.Errorf("the journal had %+v", before)
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

// TestNewerTreeTakesOver: a run that has not begun its apply gives way to a newer commit of its branch.
func TestNewerTreeTakesOver(t *testing.T) {
	h := newHouse(t)
	h.terraform.hold = make(chan struct{})
	commit := h.gitlab.push("platform/edge", "staging", "one")
	h.deliver("one", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: commit})
	h.until(func() bool { return h.terraform.applied() == 1 })
	second := h.gitlab.push("platform/edge", "staging", "two")
	h.deliver("two", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: second})
	h.until(func() bool { return len(h.runs()) == 2 })
	queued := h.run().ID
	h.until(func() bool { return strings.Contains(h.run().Reason, "is using") })
	if reason := h.run().Reason; !strings.Contains(reason, "run 1 is using staging") {
		t.Errorf("the second run waits for %q", reason)
	}
	third := h.gitlab.push("platform/edge", "staging", "three")
	h.deliver("three", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: third})
	h.until(func() bool { return len(h.runs()) == 3 })
	h.until(func() bool {
		run, err := h.store.Run(t.Context(), queued)
		return err == nil && run.Phase == upgrade.PhaseSuperseded
	})
	hold := h.terraform.hold
	h.terraform.mu.Lock()
	h.terraform.hold = nil
	h.terraform.mu.Unlock()
	close(hold)
	h.pass(12 * time.Minute)
	if h.terraform.applied() != 2 {
		t.Errorf("%d applies, want those of the first and the third commit", h.terraform.applied())
	}
}

// TestFailures: trouble before the apply ends in the right phase with a sentence that says what to do.
func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name string
		set  func(*house)
		key  upgrade.Key
		says string
	}{
		{"lock_file", func(h *house) {
			h.terraform.initErr = &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the lock file does not match", Hint: "run terraform init and commit it"}
		}, upgrade.KeyPlanFailed, "lock file"},
		{"does_not_parse", func(h *house) {
			h.terraform.planErr = &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "main.tf:3: Unsupported argument"}
		}, upgrade.KeyPlanFailed, "main.tf:3"},
		{"apply_fails", func(h *house) {
			h.terraform.ended = &plan.Ended{ExitCode: 1, Message: "InvalidAMIID.NotFound", Address: "aws_x.y"}
		}, upgrade.KeyApplyFailed, "half changed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			test.set(h)
			commit := h.push("staging", "new")
			run := h.want(h.run().ID, upgrade.PhaseFailed)
			told := upgrade.Tell(run)
			if told.Key != test.key || !strings.Contains(told.Headline, test.says) {
				t.Errorf("told as %s: %q, want %s saying %q", told.Key, told.Headline, test.key, test.says)
			}
			if state, _ := h.gitlab.status(commit); state != upgrade.CommitFailed {
				t.Errorf("GitLab shows %s", state)
			}
		})
	}
}

// TestGitLabSilent: while GitLab does not answer nothing is lost; when it does, all goes on.
func TestGitLabSilent(t *testing.T) {
	h := newHouse(t)
	commit := h.gitlab.push("platform/edge", "staging", "new")
	h.gitlab.mu.Lock()
	h.gitlab.fail = &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "GitLab does not answer"}
	h.gitlab.mu.Unlock()
	h.deliver("p", upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Ref: "staging", After: commit})
	h.pass(5 * time.Minute)
	if len(h.runs()) != 0 || h.fate("p").Fate != upgrade.FatePending {
		t.Fatalf("%d runs, delivery %s, want none and pending", len(h.runs()), h.fate("p").Fate)
	}
	h.gitlab.mu.Lock()
	h.gitlab.fail = nil
	h.gitlab.mu.Unlock()
	h.pass(20 * time.Minute)
	h.want(h.run().ID, upgrade.PhaseUnlocked)
}

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

func TestNewRefuses(t *testing.T) {
	unprovable, circular, other := edge(), edge(), edge()
	unprovable.Production.Environment = ""
	other.Name, other.After = "other", []upgrade.StackName{"edge"}
	circular.After = []upgrade.StackName{"other"}
	for _, test := range []struct {
		name   string
		stacks []upgrade.Stack
		says   string
	}{
		{"nothing_proves_promotion", []upgrade.Stack{unprovable}, "reached production"},
		{"circle", []upgrade.Stack{circular, other}, "circle"},
		{"unknown_stack", []upgrade.Stack{other}, "does not exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := lifecycle.New(lifecycle.Config{Stacks: test.stacks})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want an error that says %q", err, test.says)
			}
		})
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

// TestRevertIsTestedAnew: content that was tested before is tested again once something else was applied.
func TestRevertIsTestedAnew(t *testing.T) {
	h := newHouse(t)
	h.push("staging", "one")
	h.pass(7 * time.Minute)
	h.push("staging", "two")
	h.pass(7 * time.Minute)
	h.push("staging", "one")
	h.pass(7 * time.Minute)
	run := h.run()
	if len(h.runs()) != 3 || run.Attempt != 2 || run.Tree != treeOf("one") {
		t.Fatalf("%d runs, the newest attempt %d of %s", len(h.runs()), run.Attempt, run.Tree.Short())
	}
	h.want(run.ID, upgrade.PhaseUnlocked)
	if h.terraform.applied() != 3 {
		t.Errorf("%d applies, want 3", h.terraform.applied())
	}
}

// TestS13MergeRequest: a merge request starts a run only under all of its conditions, and says which
// one is missing (S13).
func TestS13MergeRequest(t *testing.T) {
	tests := []struct {
		name string
		set  func(h *house, mr *forge.MergeRequest)
		says string // "" starts a run
	}{
		{"all_hold", func(*house, *forge.MergeRequest) {}, ""},
		{"draft", func(_ *house, mr *forge.MergeRequest) { mr.Draft = true }, "draft"},
		{"fork", func(_ *house, mr *forge.MergeRequest) { mr.SourceProjectID = 9 }, "another project"},
		{"no_pipeline", func(_ *house, mr *forge.MergeRequest) { mr.Pipeline = forge.Pipeline{} }, "no pipeline"},
		{"pipeline_of_an_older_head", func(_ *house, mr *forge.MergeRequest) { mr.Pipeline.Commit = "old" }, "no pipeline"},
		{"pipeline_failed", func(_ *house, mr *forge.MergeRequest) { mr.Pipeline.Status = "failed" }, "is failed"},
		{"nobody_approved", func(h *house, _ *forge.MergeRequest) { h.gitlab.approvals[7] = nil }, "nobody has approved"},
		{"author_approved", func(h *house, _ *forge.MergeRequest) { h.gitlab.approvals[7][0].UserID = 3 }, "nobody but its authors"},
		{"co_author_approved", func(h *house, _ *forge.MergeRequest) { h.gitlab.approvals[7][0].FullName = "Co Author" }, "nobody but its authors"},
		{"approved_an_older_version", func(h *house, _ *forge.MergeRequest) { h.gitlab.approvals[7][0].At = friday().Add(-time.Hour) }, "newest version"},
		{"approved_at_no_time", func(h *house, _ *forge.MergeRequest) { h.gitlab.approvals[7][0].At = time.Time{} }, "newest version"},
		{"conflict", func(h *house, _ *forge.MergeRequest) { h.gitlab.push("platform/edge", "main", "conflict") }, "conflicts with main"},
		{"closed", func(_ *house, mr *forge.MergeRequest) { mr.State = "closed" }, "is closed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			head := h.gitlab.push("platform/edge", "feature", "new")
			mr := forge.MergeRequest{
				IID: 7, State: "opened", AuthorID: 3, SourceBranch: "feature", TargetBranch: "main", SourceProjectID: 1, TargetProjectID: 1,
				Head: head, Pipeline: forge.Pipeline{ID: 100, Commit: head, Status: "success"},
			}
			h.gitlab.approvals[7] = []forge.Approval{{UserID: 4, Name: "rene", FullName: "Rene Reviewer", At: friday().Add(time.Hour)}}
			test.set(h, &mr)
			h.gitlab.merges = append(h.gitlab.merges, mr)
			h.deliver("mr", upgrade.Hint{Kind: upgrade.HintMergeRequest, ProjectID: 1, MergeRequest: 7})
			h.rest()
			fate := h.fate("mr")
			if started := len(h.runs()) > 0; started != (test.says == "") || !strings.Contains(fate.Reason, test.says) {
				t.Errorf("%d runs, %s: %q; want it to say %q", len(h.runs()), fate.Fate, fate.Reason, test.says)
			}
		})
	}
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
