package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// faults are the ways in which GitLab fails, until it heals.
func faults() map[string]gitlabsim.Fault {
	all := map[string]gitlabsim.Fault{
		"unauthorized": {Status: http.StatusUnauthorized},
		"not_found":    {Status: http.StatusNotFound},
		"conflict":     {Status: http.StatusConflict},
		"limited":      {Status: http.StatusTooManyRequests, RetryAfter: 90 * time.Second},
		"broken":       {Status: http.StatusInternalServerError},
		"cut":          {Kind: gitlabsim.FaultCut},
		"done_and_cut": {Kind: gitlabsim.FaultCut, After: true},
	}
	if soak() {
		all["forbidden"] = gitlabsim.Fault{Status: http.StatusForbidden}
		all["half"] = gitlabsim.Fault{Kind: gitlabsim.FaultHalf}
		all["hang"] = gitlabsim.Fault{Kind: gitlabsim.FaultHang} // 20 s of real time for each request
	}
	return all
}

// breaks lets every request to GitLab fail until it heals.
func (h *house) breaks(f gitlabsim.Fault) (refused func(requests int)) {
	h.Helper()
	f.Times = 1 << 30
	h.gitlab.ForgetRequests()
	h.gitlab.Fail(f)
	return func(requests int) { // waits until so many have failed
		h.Helper()
		h.until(func() string {
			if came := len(h.gitlab.Requests()); came < requests {
				return fmt.Sprintf("only %d requests came while GitLab failed", came)
			}
			return ""
		})
	}
}

// TestS7GitLabFails lets GitLab fail in the middle of a run, in each way and at each place where the
// service needs it. Once it heals the run goes on, by itself and from where it was: one run, one apply,
// one play, and the status that the verdict asks for (S7, S8).
func TestS7GitLabFails(t *testing.T) {
	t.Parallel()
	for name, fault := range faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, setup{})
			h.serve()
			t.Log("at intake")
			h.hold("provisioner")
			refused := h.breaks(fault)
			first := h.push("1")
			refused(5)
			h.gitlab.Heal()
			h.runIs(first, upgrade.PhaseApplying)

			t.Log("while it prepares")
			second := h.push("2")
			h.runIs(second, upgrade.PhaseQueued)
			refused = h.breaks(fault)
			h.release("provisioner")
			h.runIs(second, upgrade.PhasePreparing)
			refused(8)
			h.hold("provisioner")
			h.gitlab.Heal()
			h.runIs(second, upgrade.PhaseApplying)

			t.Log("when it unlocks")
			h.merge(second)
			h.until(func() string {
				if _, found := h.heldJob(second); !found {
					return "there is no production pipeline"
				}
				return ""
			})
			refused = h.breaks(fault)
			h.release("provisioner")
			h.runIs(second, upgrade.PhaseUnlocking, upgrade.PhaseUnlocked) // as it knows of the merge already, or not
			refused(8)
			h.gitlab.Heal()
			h.runIs(second, upgrade.PhaseUnlocked)
			h.heldJobIs(second, "success")
			h.shows(second, "success")
			h.appliedOnce("1", "2")
			played := 0
			for _, result := range h.plays() {
				if strings.HasPrefix(result, "played") {
					played++
				}
			}
			if played != 1 {
				t.Errorf("plays: %v, want one that succeeds", h.plays())
			}
			h.runsOf(second, 1)
		})
	}
}

// runsOf demands that so many runs test the commit.
func (h *house) runsOf(commit upgrade.Commit, want int) {
	h.Helper()
	runs, err := h.api().Runs(h.Context(), "", 100)
	check(h, err)
	got := 0
	for _, run := range runs {
		if run.Commit == commit {
			got++
		}
	}
	if got != want {
		h.Errorf("%d runs of %s, want %d", got, commit.Short(), want)
	}
}

// TestS8StatusOfOthers lets somebody else write our status. It is what the verdict asks for again within
// a minute, and the journal says so.
func TestS8StatusOfOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t, setup{})
	h.serve()
	commit := h.push("1")
	run := h.runIs(commit, upgrade.PhaseUnlocked)
	h.shows(commit, "success")
	pipeline := int64(0)
	for _, p := range h.gitlab.Pipelines(h.project.ID) {
		if p.Commit == commit && p.Source != "external" {
			pipeline = p.ID
		}
	}
	h.as(h.priya, http.MethodPost, fmt.Sprintf("/api/v4/projects/%d/statuses/%s?state=failed&name=upgradegate%%2Fweb&pipeline_id=%d", h.project.ID, commit, pipeline), http.StatusCreated)
	wrote := h.clock.Now()
	h.shows(commit, "success")
	if took := h.clock.Now().Sub(wrote); took > time.Minute+5*time.Second {
		t.Errorf("corrected after %s", took)
	}
	h.until(func() string {
		_, events := h.get(fmt.Sprintf("/api/v1/runs/%d/events?limit=200", run.ID))
		if !strings.Contains(events, "which this run had not said; corrected to success") {
			return "the journal does not say that the status was corrected"
		}
		return ""
	})
}

// as calls GitLab's API as a person.
func (h *house) as(user gitlabsim.User, method, path string, want int) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), method, h.gitlab.URL()+path, nil)
	check(h, err)
	req.Header.Set("Private-Token", user.Token.Reveal())
	resp, err := http.DefaultClient.Do(req)
	check(h, err)
	_ = resp.Body.Close()
	if resp.StatusCode != want {
		h.Fatalf("%s %s: %s, want %d", method, path, resp.Status, want)
	}
}
