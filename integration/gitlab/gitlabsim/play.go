package gitlabsim

import (
	"fmt"
	"net/http"
)

// Play plays a manual job as a user would by clicking; the error is what the API would answer.
func (s *Server) Play(jobID, by int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, j := s.jobBy(jobID)
	user := s.users[by]
	if j == nil || user == nil {
		return fmt.Errorf("play: no job %d or no user %d", jobID, by)
	}
	if refused := s.play(user, j); refused != nil {
		return fmt.Errorf("play job %d: %w", jobID, refused)
	}
	return nil
}

// play does what POST /projects/:id/jobs/:job_id/play does, in its order: who may, then whether it
// waits to be played. mu is held.
func (s *Server) play(by *User, j *job) *refusal {
	p, pl, _ := s.jobBy(j.ID)
	target := fmt.Sprintf("job %d %s", j.ID, j.Name)
	switch {
	case !p.mayRun(by.ID, j.Ref), j.Environment != "" && !p.mayDeploy(by.ID, j.Environment):
		s.act(by, "play", target, "403 Forbidden", "")
		return &refusal{http.StatusForbidden, "403 Forbidden"}
	case j.Status != "manual":
		s.act(by, "play", target, "400 Unplayable Job", "")
		return &refusal{http.StatusBadRequest, "400 Bad request - Unplayable Job"}
	}
	j.UserID = by.ID
	s.act(by, "play", target, "played", "")
	s.enqueue(p, pl, j)
	s.process(p, pl)
	return nil
}

// retry does what POST /projects/:id/jobs/:job_id/retry does: the old row is hidden by a new one, which
// starts at once, manual or not. Later jobs that were skipped wait again. mu is held.
func (s *Server) retry(by *User, j *job) (*job, *refusal) {
	p, pl, _ := s.jobBy(j.ID)
	if !p.mayRun(by.ID, j.Ref) || j.Environment != "" && !p.mayDeploy(by.ID, j.Environment) {
		return nil, &refusal{http.StatusForbidden, "403 Forbidden"}
	}
	if j.Retried || !over(j.Status) || j.Status == "skipped" {
		return nil, &refusal{http.StatusForbidden, "403 Forbidden - Job is not retryable"}
	}
	j.Retried = true
	for _, later := range pl.jobs {
		if later.stage > j.stage && later.Status == "skipped" && !later.Retried {
			later.Status = "created"
		}
	}
	again := s.addJob(p, pl, by, j.spec, j.Stage, j.stage)
	s.act(by, "retry", fmt.Sprintf("job %d %s", j.ID, j.Name), fmt.Sprintf("job %d", again.ID), "")
	s.enqueue(p, pl, again)
	s.process(p, pl)
	return again, nil
}

// cancel does what POST /projects/:id/jobs/:job_id/cancel does. mu is held.
func (s *Server) cancel(by *User, j *job) *refusal {
	p, pl, _ := s.jobBy(j.ID)
	if !p.mayRun(by.ID, j.Ref) {
		return &refusal{http.StatusForbidden, "403 Forbidden"}
	}
	if !over(j.Status) {
		s.act(by, "cancel", fmt.Sprintf("job %d %s", j.ID, j.Name), "canceled", "")
		s.set(p, pl, j, "canceled")
		s.process(p, pl)
	}
	return nil
}
