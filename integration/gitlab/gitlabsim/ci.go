package gitlabsim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

type pipeline struct {
	Pipeline
	iid      int64
	jobs     []*job // and posted statuses, in order of creation
	finished time.Time
}

type job struct {
	Job
	stage      int // position; posted statuses come last
	spec       JobSpec
	deployment *Deployment
	epoch      int // grows with each start, so that an old end is not taken for a new one's
}

// externalStage is where GitLab puts posted statuses (GenericCommitStatus::EXTERNAL_STAGE_IDX).
const externalStage = 1_000_000

// createPipeline makes the pipeline that the project's CI asks for; nil when no job wants to be in it.
// mu is held.
func (s *Server) createPipeline(p *project, by *User, sha upgrade.Commit, ref, source string) *pipeline {
	var specs []JobSpec
	for _, spec := range p.ci {
		if spec.wanted(ref, source) {
			specs = append(specs, spec)
		}
	}
	if len(specs) == 0 {
		return nil
	}
	pl := s.newPipeline(p, by, sha, ref, source)
	var stages []string
	for _, spec := range specs {
		stage := orDefault(spec.Stage, "test")
		if !slices.Contains(stages, stage) {
			stages = append(stages, stage)
		}
		s.addJob(p, pl, by, spec, stage, slices.Index(stages, stage))
	}
	s.fire(p, "pipeline", s.pipelineBody(p, pl))
	for _, j := range pl.jobs {
		s.fire(p, "job", s.jobBody(p, pl, j))
	}
	s.process(p, pl)
	return pl
}

// wanted reports whether the job is in a pipeline on ref.
func (spec JobSpec) wanted(ref, source string) bool {
	if source == "merge_request_event" || spec.MergeRequests {
		return spec.MergeRequests && source == "merge_request_event"
	}
	return len(spec.Branches) == 0 || slices.ContainsFunc(spec.Branches, func(b string) bool { return wildcard(b, ref) })
}

func (s *Server) newPipeline(p *project, by *User, sha upgrade.Commit, ref, source string) *pipeline {
	now := s.clock.Now()
	pl := &pipeline{iid: int64(len(p.pipelines) + 1), Pipeline: Pipeline{
		ID: next(&s.ids.pipeline), ProjectID: p.ID, Commit: sha, Ref: ref, Source: source, Status: "created", UserID: by.ID, CreatedAt: now, UpdatedAt: now,
	}}
	p.pipelines = append(p.pipelines, pl)
	return pl
}

func (s *Server) addJob(p *project, pl *pipeline, by *User, spec JobSpec, stage string, position int) *job {
	j := &job{stage: position, spec: spec, Job: Job{
		ID: next(&s.ids.job), ProjectID: p.ID, PipelineID: pl.ID, Commit: pl.Commit, Ref: pl.Ref, Name: spec.Name, Stage: stage, Status: "created",
		AllowFailure: spec.AllowFailure, Manual: spec.Manual, Environment: spec.Environment, UserID: by.ID, CreatedAt: s.clock.Now(),
	}}
	pl.jobs = append(pl.jobs, j)
	if spec.Environment != "" {
		s.addDeployment(p, pl, j, by)
	}
	return j
}

func (s *Server) addDeployment(p *project, pl *pipeline, j *job, by *User) {
	if p.envIDs[j.Environment] == 0 {
		p.envIDs[j.Environment] = next(&s.ids.environment)
	}
	now := s.clock.Now()
	j.deployment = &Deployment{
		ID: next(&s.ids.deployment), ProjectID: p.ID, Commit: pl.Commit, Ref: pl.Ref, Environment: j.Environment, Status: "created",
		JobID: j.ID, UserID: by.ID, CreatedAt: now, UpdatedAt: now,
	}
	p.deployments = append(p.deployments, j.deployment)
}

// process lets every job go on that may, until nothing moves. mu is held.
func (s *Server) process(p *project, pl *pipeline) {
	for moved := true; moved; {
		moved = false
		for _, j := range pl.jobs {
			if j.External || j.Retried || j.Status != "created" {
				continue
			}
			switch before := composite(pl.jobs, j.stage); before {
			case "", "success", "skipped":
				if j.Manual {
					s.set(p, pl, j, "manual")
				} else {
					s.enqueue(p, pl, j)
				}
				moved = true
			case "failed", "canceled":
				s.set(p, pl, j, "skipped")
				moved = true
			}
		}
	}
	s.settle(p, pl)
}

// settle brings the pipeline's own status up to date. mu is held.
func (s *Server) settle(p *project, pl *pipeline) {
	status := composite(pl.jobs, externalStage+1)
	if status == "" || status == pl.Status {
		return
	}
	pl.Status, pl.UpdatedAt = status, s.clock.Now()
	pl.finished = time.Time{}
	if over(status) {
		pl.finished = pl.UpdatedAt
	}
	s.fire(p, "pipeline", s.pipelineBody(p, pl))
}

// set moves a job to another status and tells of it. mu is held.
func (s *Server) set(p *project, pl *pipeline, j *job, status string) {
	now := s.clock.Now()
	j.Status = status
	switch {
	case status == "running":
		j.StartedAt = now
	case over(status):
		j.FinishedAt = now
	}
	if !j.External {
		s.fire(p, "job", s.jobBody(p, pl, j))
	}
	if d := j.deployment; d != nil && (status == "running" || over(status)) && d.Status != status {
		d.Status, d.UpdatedAt, d.UserID = status, now, j.UserID
		if status != "skipped" {
			s.fire(p, "deployment", s.deploymentBody(p, d))
		}
	}
}

// over reports whether a status is final.
func over(status string) bool {
	switch status {
	case "success", "failed", "canceled", "skipped":
		return true
	}
	return false
}

// enqueue starts a job: pending, running and, once its time is over, its end. mu is held.
func (s *Server) enqueue(p *project, pl *pipeline, j *job) {
	j.epoch++
	epoch := j.epoch
	s.set(p, pl, j, "pending")
	s.settle(p, pl)
	s.set(p, pl, j, "running")
	s.settle(p, pl)
	if j.spec.Script == nil && j.spec.Takes == 0 {
		s.finish(p, pl, j, j.spec.Fails, "script_failure")
		return
	}
	if s.closed || j.spec.Script == nil && j.spec.Takes < 0 {
		return // until FinishJob
	}
	end := s.clock.Begin()
	shown := j.Job
	s.work.Go(func() {
		defer end()
		failed := j.spec.Fails
		if j.spec.Script != nil {
			if err := j.spec.Script(s.life, shown); err != nil {
				s.log.InfoContext(s.life, "simulated job failed", "job", shown.Name, "err", err)
				failed = true
			}
		}
		if s.clock.Sleep(s.life, max(j.spec.Takes, 0)) != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if j.Status == "running" && j.epoch == epoch && j.spec.Takes >= 0 {
			s.finish(p, pl, j, failed, "script_failure")
			s.process(p, pl)
		}
	})
}

func (s *Server) finish(p *project, pl *pipeline, j *job, failed bool, why string) {
	if failed {
		j.Failure = why
		s.set(p, pl, j, "failed")
		return
	}
	s.set(p, pl, j, "success")
}

// FinishJob ends a job that runs.
func (s *Server) FinishJob(jobID int64, success bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, pl, j := s.jobBy(jobID)
	switch {
	case j == nil:
		return fmt.Errorf("finish job: no job %d", jobID)
	case j.Status != "running":
		return fmt.Errorf("finish job %d: it is %s", jobID, j.Status)
	}
	s.finish(p, pl, j, !success, "script_failure")
	s.process(p, pl)
	return nil
}

// RunPipeline starts a pipeline on the head of a branch, as a person would with the button.
func (s *Server) RunPipeline(_ context.Context, projectID int64, ref string, by int64) (Pipeline, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, user := s.projectBy(projectID), s.users[by]
	if p == nil || user == nil {
		return Pipeline{}, fmt.Errorf("run pipeline: no project %d or no user %d", projectID, by)
	}
	head, ok := p.branches[ref]
	if !ok {
		return Pipeline{}, fmt.Errorf("run pipeline: no branch %s", ref)
	}
	pl := s.createPipeline(p, user, head, ref, "web")
	if pl == nil {
		return Pipeline{}, fmt.Errorf("run pipeline: %s has no jobs for %s", p.Path, ref)
	}
	return pl.Pipeline, nil
}
