package gitlabsim_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestProductionPipeline: held at the gate, then at a person, then two minutes of deploying.
func TestProductionPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, err := gitlabsim.New(gitlabsim.Config{Clock: upgrade.SystemClock{}, Dir: t.TempDir()})
		check(t, err)
		defer func() { check(t, sim.Close()) }()
		seeded, err := sim.Seed(t.Context(), "")
		check(t, err)
		pl, err := sim.RunPipeline(t.Context(), seeded.Project.ID, "main", seeded.Reviewer.ID)
		check(t, err)
		expect := func(when, pipeline, gate, deploy string) {
			t.Helper()
			got, now := jobs(sim, pl.ID), sim.Pipelines(seeded.Project.ID)[0]
			if now.Status != pipeline || got["test"].Status != "success" || got["upgrade-gate"].Status != gate || got["deploy-production"].Status != deploy {
				t.Errorf("%s: pipeline %s, jobs %+v", when, now.Status, got)
			}
		}
		expect("at first", "manual", "manual", "created")
		gate, deploy := jobs(sim, pl.ID)["upgrade-gate"].ID, jobs(sim, pl.ID)["deploy-production"].ID
		for _, tc := range []struct {
			job  int64
			by   gitlabsim.User
			says string
		}{
			{deploy, seeded.Reviewer, "400 Bad request - Unplayable Job"},
			{gate, seeded.Reviewer, "403 Forbidden"},  // not in the environment's list
			{gate, seeded.Developer, "403 Forbidden"}, // may not push to main
		} {
			if err := sim.Play(tc.job, tc.by.ID); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s plays job %d: %v, want %q", tc.by.Username, tc.job, err, tc.says)
			}
		}
		check(t, sim.Play(gate, seeded.Bot.ID))
		expect("opened", "manual", "success", "manual")
		if err := sim.Play(deploy, seeded.Developer.ID); err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
			t.Errorf("a developer deploys: %v", err)
		}
		check(t, sim.Play(deploy, seeded.Reviewer.ID))
		expect("deploying", "running", "success", "running")
		time.Sleep(2*time.Minute - time.Second)
		synctest.Wait()
		expect("nearly there", "running", "success", "running")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		expect("deployed", "success", "success", "success")
		d := sim.Deployments(seeded.Project.ID)[0]
		if d.Status != "success" || d.Environment != "production" || d.JobID != deploy || d.Commit != pl.Commit || d.UserID != seeded.Reviewer.ID {
			t.Errorf("the deployment is %+v", d)
		}
	})
}

// TestPipelineStatus: what jobs of each kind make of the jobs after them, and of the pipeline.
func TestPipelineStatus(t *testing.T) {
	after := gitlabsim.JobSpec{Name: "after", Stage: "later"}
	for _, tc := range []struct {
		name     string
		jobs     []gitlabsim.JobSpec
		pipeline string
		after    string // status of the job in the later stage
	}{
		{"passes", []gitlabsim.JobSpec{{Name: "a"}, {Name: "b"}, after}, "success", "success"},
		{"fails", []gitlabsim.JobSpec{{Name: "a"}, {Name: "b", Fails: true}, after}, "failed", "skipped"},
		{"may_fail", []gitlabsim.JobSpec{{Name: "a", Fails: true, AllowFailure: true}, after}, "success", "success"},
		{"blocks", []gitlabsim.JobSpec{{Name: "a", Manual: true}, after}, "manual", "created"},
		{"does_not_block", []gitlabsim.JobSpec{{Name: "a", Manual: true, AllowFailure: true}, after}, "success", "success"},
		{"runs", []gitlabsim.JobSpec{{Name: "a", Takes: -1}, after}, "running", "created"},
		{"takes_time", []gitlabsim.JobSpec{{Name: "a", Takes: time.Hour}, after}, "success", "success"},
		{"script_passes", []gitlabsim.JobSpec{{Name: "a", Script: func(context.Context, gitlabsim.Job) error { return nil }}, after}, "success", "success"},
		{"script_fails", []gitlabsim.JobSpec{{Name: "a", Script: func(context.Context, gitlabsim.Job) error { return errors.New("no") }}, after}, "failed", "skipped"},
		{"other_branch", []gitlabsim.JobSpec{{Name: "a", Fails: true, Branches: []string{"release/*"}}, after}, "success", "success"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, gitlabsim.Config{})
			check(t, r.SetCI(r.Seeded.Project.ID, tc.jobs...))
			pl, err := r.RunPipeline(t.Context(), r.Seeded.Project.ID, "main", r.Reviewer.ID)
			check(t, err)
			r.clock.quiet()
			if now := r.Pipelines(r.Seeded.Project.ID)[0]; now.Status != tc.pipeline || jobs(r.Server, pl.ID)["after"].Status != tc.after {
				t.Errorf("pipeline %s, after %s, want %s, %s", now.Status, jobs(r.Server, pl.ID)["after"].Status, tc.pipeline, tc.after)
			}
		})
	}
}

func TestFinishRetryCancel(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	id := r.Seeded.Project.ID
	check(t, r.SetCI(id, gitlabsim.JobSpec{Name: "a", Takes: -1}, gitlabsim.JobSpec{Name: "b", Stage: "later", Takes: -1}))
	pl, err := r.RunPipeline(t.Context(), id, "main", r.Reviewer.ID)
	check(t, err)
	check(t, r.FinishJob(jobs(r.Server, pl.ID)["a"].ID, false))
	if got := jobs(r.Server, pl.ID); got["a"].Status != "failed" || got["a"].Failure != "script_failure" || got["b"].Status != "skipped" {
		t.Fatalf("jobs are %+v", got)
	}
	if status, body, _ := r.call(t, r.Reviewer, "POST", "/jobs/"+itoa(jobs(r.Server, pl.ID)["a"].ID)+"/retry", nil); status != 201 {
		t.Fatalf("retry: %d %s", status, body)
	}
	check(t, r.FinishJob(jobs(r.Server, pl.ID)["a"].ID, true))
	if got := jobs(r.Server, pl.ID); got["a"].Status != "success" || got["b"].Status != "running" || len(r.Jobs(pl.ID)) != 3 {
		t.Fatalf("after a retry jobs are %+v", got)
	}
	if status, body, _ := r.call(t, r.Reviewer, "POST", "/pipelines/"+itoa(pl.ID)+"/cancel", nil); status != 201 {
		t.Fatalf("cancel: %d %s", status, body)
	}
	if now := r.Pipelines(id)[0]; now.Status != "canceled" {
		t.Errorf("the pipeline is %s", now.Status)
	}
	if err := r.FinishJob(jobs(r.Server, pl.ID)["b"].ID, true); err == nil {
		t.Error("a canceled job was finished")
	}
}

// TestMergeRequestPipelines: a branch pipeline and a merge request pipeline, the newest of which counts.
func TestMergeRequestPipelines(t *testing.T) {
	r := newRig(t, gitlabsim.Config{})
	head := r.change(t, "feature", "a.tf", "# a\n")
	r.request(t, "feature")
	pls := r.Pipelines(r.Seeded.Project.ID)
	if len(pls) != 2 || pls[0].Ref != "refs/merge-requests/1/head" || pls[0].Source != "merge_request_event" || pls[1].Ref != "feature" || pls[0].Commit != head {
		t.Fatalf("pipelines are %+v", pls)
	}
	if got := jobs(r.Server, pls[0].ID); len(got) != 1 || got["validate"].Status != "success" {
		t.Errorf("the merge request's jobs are %+v", got)
	}
}
