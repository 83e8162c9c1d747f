package main

import (
	"fmt"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

func (h *house) addHook() {
	h.Helper()
	_, err := h.gitlab.AddHook(h.project.ID, gitlabsim.Hook{URL: h.url + "/webhooks/gitlab", Token: hookToken})
	check(h, err)
}

// push commits the plain stack in another version to staging, and returns the commit.
func (h *house) push(version string) upgrade.Commit {
	h.Helper()
	return h.pushFiles("version "+version, h.stack(version))
}

func (h *house) pushFiles(message string, files map[string]string, gone ...string) upgrade.Commit {
	h.Helper()
	commit, err := h.gitlab.Commit(h.Context(), h.project.ID, gitlabsim.CommitSpec{
		Branch: "staging", Message: message, Files: files, Delete: gone, Author: h.priya.ID,
	})
	check(h, err)
	return commit
}

// merge makes main lead to the commit.
func (h *house) merge(commit upgrade.Commit) {
	h.Helper()
	check(h, h.gitlab.SetBranch(h.Context(), h.project.ID, "main", commit, h.hugo.ID))
}

// shows waits until GitLab's status of the commit is what the run says.
func (h *house) shows(commit upgrade.Commit, state string) {
	h.Helper()
	h.until(func() string {
		run, said := h.runOf(commit)
		if said != "" {
			return said
		}
		seen := "no status"
		for _, pipeline := range h.gitlab.Pipelines(h.project.ID) {
			if pipeline.Commit != commit || pipeline.Source == "external" {
				continue
			}
			for _, status := range h.gitlab.Statuses(pipeline.ID) {
				if !status.Retried {
					seen = fmt.Sprintf("%s %q", status.Status, status.Description)
				}
			}
			break // the newest
		}
		if seen == fmt.Sprintf("%s %q", state, run.Told.Headline) {
			return ""
		}
		return fmt.Sprintf("GitLab shows %s, want %s %q", seen, state, run.Told.Headline)
	})
}

// heldJob returns the newest held job of the commit on main.
func (h *house) heldJob(commit upgrade.Commit) (gitlabsim.Job, bool) {
	for _, pipeline := range h.gitlab.Pipelines(h.project.ID) { // newest first
		if pipeline.Commit != commit || pipeline.Ref != "main" {
			continue
		}
		for _, job := range h.gitlab.Jobs(pipeline.ID) {
			if job.Name == "upgrade-gate" && !job.Retried {
				return job, true
			}
		}
	}
	return gitlabsim.Job{}, false
}

func (h *house) heldJobIs(commit upgrade.Commit, status string) {
	h.Helper()
	h.until(func() string {
		job, found := h.heldJob(commit)
		if !found || job.Status != status {
			return fmt.Sprintf("upgrade-gate is %q, want %s", job.Status, status)
		}
		return ""
	})
}

// plays returns what came of each attempt to play a job.
func (h *house) plays() []string {
	var results []string
	for _, act := range h.gitlab.Acts() {
		if act.Act == "play" {
			results = append(results, act.Result)
		}
	}
	return results
}
