package lifecycle_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

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
