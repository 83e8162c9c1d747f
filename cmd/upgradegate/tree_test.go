package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// base says over the API which commit production of a stack has.
func (h *house) base(stack upgrade.StackName, commit upgrade.Commit) {
	h.Helper()
	h.until(func() string { // the service may be about to assume one
		_, err := h.api().SetBase(h.Context(), stack, commit, "it was deployed last week")
		if upgrade.CodeOf(err) == upgrade.CodeStale {
			return err.Error()
		}
		check(h, err)
		return ""
	})
}

func (h *house) head(branch string) upgrade.Commit {
	h.Helper()
	commit, found := h.gitlab.Branch(h.project.ID, branch)
	if !found {
		h.Fatalf("there is no branch %s", branch)
	}
	return commit
}

// TestS1SecondStack: one commit breaks a stack, the next touches only another one and passes there.
// Production stays shut, for the first one's sake, until that is repaired too.
func TestS1SecondStack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{stacks: []string{"a", "b"}})
	h.gates = h.pageGate("site-a", "/a", "a") + h.pageGate("site-b", "/b", "b")
	h.writeFile(h.path("bin/terraform"))
	h.serve()
	h.base("a", h.head("main"))
	h.base("b", h.head("main"))

	h.site.sayAt("/a", "somebody else's page")
	first := h.pushFiles("break a", h.stackOf("a", "1"))
	h.runOnIs("a", first, upgrade.PhaseBlocked)
	if run, said := h.runOn("b", first); said == "" {
		t.Errorf("run %d is of b, which the commit does not touch: %s", run.ID, run.Raw)
	}
	second := h.pushFiles("change b", h.stackOf("b", "2"))
	bad := h.runOnIs("a", second, upgrade.PhaseBlocked)
	good := h.runOnIs("b", second, upgrade.PhaseRelocked)
	if want := fmt.Sprintf("run %d of a,", bad.ID); len(good.Causes) != 1 || !strings.Contains(good.Causes[0].Message, want) {
		t.Errorf("run %d of b is locked for %+v, want %q to be the cause", good.ID, good.Causes, want)
	}
	h.merge(second)
	h.heldJobIs(second, "manual")
	h.staysShut(second)
	h.appliedOnce("a=1", "b=2")

	h.site.sayAt("/a", "hello")
	h.act(bad.ID, client.Act{Name: "recheck"})
	h.runOnIs("b", second, upgrade.PhaseUnlocked)
	h.heldJobIs(second, "success")
}

// TestS1MergeResultNobodyRan: staging passed, but meanwhile main went on, so that merging gives a tree that
// nobody ran. Its production pipeline stays shut until that tree itself has passed.
func TestS1MergeResultNobodyRan(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	tested := h.push("1")
	run := h.runIs(tested, upgrade.PhaseUnlocked)
	other, err := h.gitlab.Commit(t.Context(), h.project.ID, gitlabsim.CommitSpec{
		Branch: "main", Message: "a word for readers", Files: map[string]string{"README.md": "hello"}, Author: h.hugo.ID,
	})
	check(t, err)
	h.runIs(other, upgrade.PhaseQueued)
	mr, err := h.gitlab.CreateMR(t.Context(), h.project.ID, gitlabsim.MergeRequestSpec{Title: "version 1", Source: "staging", Author: h.priya.ID})
	check(t, err)
	merged, err := h.gitlab.Merge(t.Context(), h.project.ID, mr.IID, h.hugo.ID, false)
	check(t, err)
	h.runIs(merged, upgrade.PhaseQueued)
	h.heldJobIs(merged, "manual")
	h.staysShut(merged)

	h.site.say("somebody else's page")
	h.act(run.ID, client.Act{Name: "relock", Reason: "the merge result goes first"})
	next := h.runIs(merged, upgrade.PhaseBlocked)
	if next.Tree == run.Tree {
		t.Fatal("the merge gave the tree that was tested")
	}
	h.heldJobIs(merged, "manual")
	h.staysShut(merged)
	h.site.say("hello")
	h.act(next.ID, client.Act{Name: "recheck"})
	h.heldJobIs(merged, "success")
	h.appliedOnce("1")
}

// TestS1RevertIsTestedAnew: content that passed once, and to which staging returns after another one was
// applied, is applied and tested again before production opens for it.
func TestS1RevertIsTestedAnew(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	first := h.runIs(h.push("1"), upgrade.PhaseUnlocked)
	h.runIs(h.push("2"), upgrade.PhaseUnlocked)
	h.hold("provisioner")
	reverted := h.push("1")
	again := h.runIs(reverted, upgrade.PhaseApplying)
	if again.ID == first.ID || again.Tree != first.Tree {
		t.Errorf("run %d tests tree %s, want another run than %d of tree %s", again.ID, again.Tree.Short(), first.ID, first.Tree.Short())
	}
	h.merge(reverted)
	h.heldJobIs(reverted, "manual")
	if plays := h.plays(); len(plays) > 0 {
		t.Errorf("production was opened for what passed before: %v", plays)
	}
	h.release("provisioner")
	h.runIs(reverted, upgrade.PhaseUnlocked)
	h.heldJobIs(reverted, "success")
	h.appliedOnce("1", "2", "1")
}

// TestS8StatusOnTheRightCommit: each commit has the status of the run of its own tree, and no other one: not
// a commit on a branch that is not watched, and not a merge result of another tree.
func TestS8StatusOnTheRightCommit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	bad := h.runIs(h.pushBad("1"), upgrade.PhaseBlocked)
	h.site.say("hello")
	good := h.runIs(h.push("2"), upgrade.PhaseUnlocked)
	h.shows(good.Commit, "success")
	aside, err := h.gitlab.Commit(t.Context(), h.project.ID, gitlabsim.CommitSpec{
		Branch: "aside", From: "staging", Message: "version 3", Files: h.stack("3"), Author: h.priya.ID,
	})
	check(t, err)
	same, err := h.gitlab.Commit(t.Context(), h.project.ID, gitlabsim.CommitSpec{
		Branch: "staging", Message: "nothing but words", Files: h.stack("2"), Author: h.priya.ID,
	})
	check(t, err)
	want := map[upgrade.Commit][]string{bad.Commit: {"failed"}, good.Commit: {"success"}, same: {"success"}}
	wrong := func() string {
		for _, pipeline := range h.gitlab.Pipelines(h.project.ID) {
			if seen := h.statuses(pipeline.ID); !slices.Equal(seen, want[pipeline.Commit]) {
				return fmt.Sprintf("commit %s on %s shows %v, want %v (%s is aside)", pipeline.Commit.Short(), pipeline.Ref, seen, want[pipeline.Commit], aside.Short())
			}
		}
		return ""
	}
	h.until(wrong)
	h.pass(2 * reconciled)
	if said := wrong(); said != "" {
		t.Error(said)
	}
}

// statuses are the states of what was posted to a pipeline, without what a newer one hides.
func (h *house) statuses(pipeline int64) (states []string) {
	for _, status := range h.gitlab.Statuses(pipeline) {
		if !status.Retried {
			states = append(states, status.Status)
		}
	}
	return states
}

// pushBad pushes a version while the site shows somebody else's page.
func (h *house) pushBad(version string) upgrade.Commit {
	h.Helper()
	h.site.say("somebody else's page")
	return h.push(version)
}
