package lifecycle_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/lifecycle"
	"github.com/upgradegate/upgradegate/upgrade"
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
