package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

// downFor is how long the site is down in an interrupted apply: longer than the budget of 500 ms.
const downFor = 800 * time.Millisecond

// interrupted pushes by the function, and has the site down for a while during the apply. The run is
// blocked for it.
func (h *house) interrupted(push func() upgrade.Commit) client.Run {
	h.Helper()
	applied := len(h.applies())
	h.hold("provisioner")
	commit := push()
	h.until(func() string {
		if len(h.applies()) == applied {
			return "the apply has not begun"
		}
		return ""
	})
	h.site.say("somebody else's page")
	time.Sleep(downFor)
	h.site.say("hello")
	h.release("provisioner")
	run := h.runIs(commit, upgrade.PhaseBlocked)
	if len(run.Causes) != 1 || run.Causes[0].Gate != "outage" {
		h.Fatalf("run %d is blocked for %+v, want the outage", run.ID, run.Causes)
	}
	return run
}

// attemptAfter waits until a newer run of the same commit is in one of the phases.
func (h *house) attemptAfter(run client.Run, phases ...upgrade.Phase) client.Run {
	h.Helper()
	h.until(func() string {
		if newer, said := h.runOf(run.Commit); said != "" || newer.ID == run.ID {
			return "there is no other attempt"
		}
		return ""
	})
	return h.runIs(run.Commit, phases...)
}

// TestS12RetryWithEmptyPlan: an apply that interrupted the site is tried again. The plan is empty and every
// gate passes, and still production stays shut, for what the first run did.
func TestS12RetryWithEmptyPlan(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{watched: true, settled: true})
	h.serve()
	first := h.interrupted(func() upgrade.Commit { return h.push("1") })
	h.act(first.ID, client.Act{Name: "retry", Reason: "the site is well again"})
	second := h.attemptAfter(first, upgrade.PhaseBlocked)
	if p := second.Plan; p.Create+p.Update+p.Replace+p.Destroy+p.Forget != 0 {
		t.Errorf("the second plan is %+v, want an empty one", p)
	}
	gates, err := h.api().Gates(t.Context(), second.ID)
	check(t, err)
	for _, gate := range gates {
		if gate.Outcome != upgrade.OutcomePassed {
			t.Errorf("gate %s of the second run %s: %s", gate.Gate, gate.Outcome, gate.Message)
		}
	}
	if len(second.Causes) != 1 || second.Causes[0].Run != first.ID || second.Causes[0].Gate != "outage" {
		t.Errorf("run %d is blocked for %+v, want what outage said of run %d", second.ID, second.Causes, first.ID)
	}
	h.merge(first.Commit)
	h.heldJobIs(first.Commit, "manual")
	h.staysShut(first.Commit)
	h.shows(first.Commit, "failed")
	h.act(second.ID, client.Act{Name: "recheck"})
	h.pass(time.Minute)
	h.runIs(first.Commit, upgrade.PhaseBlocked)
	h.staysShut(first.Commit)
	h.appliedOnce("1")
}

// sizedGroup is an Auto Scaling group of a size, beside something whose apply the test can hold up.
func (h *house) sizedGroup(size int) map[string]string {
	h.Helper()
	files := h.group(size)
	maps.Copy(files, map[string]string{filepath.Join(h.setup.dir, "held.tf"): h.resource(fmt.Sprint(size))})
	return files
}

// sizes are those that the group was given in AWS, in order.
func (h *house) sizes() []string {
	var sizes []string
	for _, call := range h.aws.Calls() {
		size := call.Params["MaxSize"]
		if call.Status == 200 && size != "" && call.Params["AutoScalingGroupName"] == "web" {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

// TestS12Rehearse: after an apply that interrupted the site another commit lands. Its run takes staging back
// to what production has first, in AWS itself, and then forth; it passes and goes to production.
func TestS12Rehearse(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{provider: true, watched: true, settled: true})
	h.serve()
	base := h.pushFiles("four servers", h.sizedGroup(4))
	h.runIs(base, upgrade.PhaseUnlocked)
	h.merge(base)
	h.deploy(base)
	h.runIs(base, upgrade.PhasePromoted)

	h.interrupted(func() upgrade.Commit { return h.pushFiles("five servers", h.sizedGroup(5)) })
	repaired := h.pushFiles("six servers", h.sizedGroup(6))
	run := h.runIs(repaired, upgrade.PhaseUnlocked)
	if run.Applies != 2 {
		t.Errorf("run %d made %d applies, want one back and one forth", run.ID, run.Applies)
	}
	if want := []string{"4", "5", "4", "6"}; !slices.Equal(h.sizes(), want) {
		t.Errorf("the group was given the sizes %v, want %v", h.sizes(), want)
	}
	h.appliedOnce("4", "5", "4", "6")
	gates, err := h.api().Gates(t.Context(), run.ID)
	check(t, err)
	if !slices.ContainsFunc(gates, func(g client.Gate) bool { return g.WayBack }) {
		t.Error("nothing is kept of the way back")
	}
	h.merge(repaired)
	h.heldJobIs(repaired, "success")
	h.shows(repaired, "success")
}

// deploy starts the deployment of the commit to production, as a person does once the held job was played.
func (h *house) deploy(commit upgrade.Commit) {
	h.Helper()
	h.heldJobIs(commit, "success")
	for _, pipeline := range h.gitlab.Pipelines(h.project.ID) {
		if pipeline.Commit != commit || pipeline.Ref != "main" {
			continue
		}
		for _, job := range h.gitlab.Jobs(pipeline.ID) {
			if job.Name == "deploy-production" && !job.Retried {
				check(h, h.gitlab.Play(job.ID, h.hugo.ID))
				return
			}
		}
	}
	h.Fatalf("%s has no deployment to start", commit.Short())
}
