package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestS6Override: what a gate said no to is opened by two release managers who wrote none of it, and by
// nobody less. It says so everywhere, and is never called a pass.
func TestS6Override(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	commit := h.pushBad("1")
	run := h.runIs(commit, upgrade.PhaseBlocked)
	h.merge(commit)
	h.heldJobIs(commit, "manual")
	override := client.Act{Name: "override", Reason: "the exam begins in an hour", Digest: run.CausesDigest}
	ask := func(who upgrade.Secret, want upgrade.Code) {
		t.Helper()
		if _, err := h.apiOf(who).Do(t.Context(), run.ID, override); upgrade.CodeOf(err) != want && (err != nil || want != "") {
			t.Errorf("override is answered %v, want code %q", err, want)
		}
	}
	ask(priyaToken, upgrade.CodeForbidden) // she wrote it
	ask(hugoToken, "")
	h.until(func() string {
		if now, said := h.runOf(commit); said != "" || now.Override == nil {
			return "nobody has asked for an override " + said
		}
		return ""
	})
	ask(hugoToken, "") // the same person once more is one person
	ask(priyaToken, upgrade.CodeForbidden)
	h.staysShut(commit)
	if now := h.runIs(commit, upgrade.PhaseBlocked); now.Override.Counts || len(now.Override.By) != 1 {
		t.Fatalf("with one person the override is %+v", now.Override)
	}

	ask(reneToken, "")
	run = h.runIs(commit, upgrade.PhaseUnlocked)
	if want := "Unlocked by hugo and rene although 1 gate failed"; !strings.HasPrefix(run.Told.Headline, want) {
		t.Errorf("the run says %q, want %q", run.Told.Headline, want)
	}
	h.shows(commit, "success") // with that headline
	h.heldJobIs(commit, "success")
	kept, err := h.service.Store.Run(t.Context(), run.ID)
	check(t, err)
	if kept.Verdict != upgrade.VerdictClosed {
		t.Errorf("the verdict is %s: an override is never a pass", kept.Verdict)
	}
}

// TestS13RefusedInTheNote: a merge request that may not run is told so in a note, with what is missing, and
// /deliveries has the reason. Once nothing is missing it runs.
func TestS13RefusedInTheNote(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	_, err := h.gitlab.Commit(t.Context(), h.project.ID, gitlabsim.CommitSpec{
		Branch: "feature", From: "main", Message: "version 1", Files: h.stack("1"), Author: h.priya.ID,
	})
	check(t, err)
	mr, err := h.gitlab.CreateMR(t.Context(), h.project.ID, gitlabsim.MergeRequestSpec{Title: "Draft: version 1", Source: "feature", Author: h.priya.ID})
	check(t, err)
	noted := func(has bool, words string) {
		t.Helper()
		h.until(func() string {
			now, _ := h.gitlab.MergeRequest(h.project.ID, mr.IID)
			for _, note := range now.Notes {
				if note.AuthorID == h.bot.ID && strings.Contains(note.Body, words) == has {
					return ""
				}
			}
			return fmt.Sprintf("the notes are %+v: with %q %v", now.Notes, words, has)
		})
	}
	noted(true, "it is a draft")
	noted(true, "nobody has approved it")
	check(t, h.gitlab.SetDraft(h.project.ID, mr.IID, false, h.priya.ID))
	noted(false, "it is a draft")
	noted(true, "nobody has approved it")
	check(t, h.gitlab.Approve(h.project.ID, mr.IID, h.priya.ID)) // her own work
	noted(true, "nobody but its authors has approved")
	h.pass(reconciled)
	if runs, err := h.api().Runs(t.Context(), "", 10); err != nil || len(runs) > 0 {
		t.Errorf("code that nobody reviewed ran: %+v (%v)", runs, err)
	}
	for _, path := range []string{"/deliveries", "/api/v1/deliveries?fate=refused"} {
		status, page := h.get(path)
		for _, words := range []string{"it is a draft", "nobody has approved it", "nobody but its authors has approved"} {
			if status != http.StatusOK || !strings.Contains(page, words) {
				t.Errorf("%s is %d and does not say %q", path, status, words)
			}
		}
	}
	h.appliedOnce()

	check(t, h.gitlab.Approve(h.project.ID, mr.IID, h.rene.ID))
	h.runIs(mr.Head, upgrade.PhaseUnlocked)
	noted(false, "Not tested")
	h.appliedOnce("1")
}

// TestApproveAndStopAtOnce: two people press at the same moment. There is one outcome: once a stop is taken
// nothing more is applied, whatever became of the yes.
func TestApproveAndStopAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{guarded: true})
	h.serve()
	h.runIs(h.push("0"), upgrade.PhaseUnlocked)
	for i := range 6 {
		version := fmt.Sprint(i + 1)
		commit := h.push(version)
		run := h.runIs(commit, upgrade.PhaseAwaitingApproval)
		acts := []client.Act{{Name: "approve", Digest: run.Plan.ChangeDigest}, {Name: "stop", Reason: "not now"}}
		if i%2 == 1 {
			slices.Reverse(acts)
		}
		answers := make([]error, len(acts))
		var pressed sync.WaitGroup
		for i, act := range acts {
			api := h.apiOf([]upgrade.Secret{hugoToken, reneToken}[i])
			pressed.Go(func() { _, answers[i] = api.Do(t.Context(), run.ID, act) })
		}
		pressed.Wait()
		for i, act := range acts {
			if code := upgrade.CodeOf(answers[i]); answers[i] != nil && code != upgrade.CodeConflict {
				t.Errorf("round %s: %s is answered %v", version, act.Name, answers[i])
			}
			if act.Name == "stop" && answers[i] != nil {
				t.Errorf("round %s: the stop was refused: %v", version, answers[i])
			}
		}
		h.runIs(commit, upgrade.PhaseStopped)
		h.stoppedOnce(run.ID)
	}
}

// stoppedOnce demands that a run ended once, and that no apply of it began after it was asked to stop.
func (h *house) stoppedOnce(id upgrade.RunID) {
	h.Helper()
	run, err := h.service.Store.Run(h.Context(), id)
	check(h, err)
	applies, err := h.service.Store.Applies(h.Context(), id)
	check(h, err)
	if run.Phase != upgrade.PhaseStopped || run.StoppedBy == "" || run.Verdict == upgrade.VerdictOpen {
		h.Errorf("run %d is %s by %q, %s", id, run.Phase, run.StoppedBy, run.Verdict)
	}
	h.pass(2 * reconciled)
	after, err := h.service.Store.Applies(h.Context(), id)
	check(h, err)
	if len(after) != len(applies) || len(h.plays()) > 0 {
		h.Errorf("run %d went on after it was stopped: %d applies, then %d, plays %v", id, len(applies), len(after), h.plays())
	}
}
