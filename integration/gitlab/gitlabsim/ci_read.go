package gitlabsim

import (
	"slices"
)

func (st *state) jobBy(id int64) (*project, *pipeline, *job) {
	for _, p := range st.projects {
		for _, pl := range p.pipelines {
			for _, j := range pl.jobs {
				if j.ID == id {
					return p, pl, j
				}
			}
		}
	}
	return nil, nil, nil
}

func (p *project) pipelineBy(id int64) *pipeline {
	for _, pl := range p.pipelines {
		if pl.ID == id {
			return pl
		}
	}
	return nil
}

// Pipelines returns the pipelines of a project, newest first.
func (s *Server) Pipelines(projectID int64) []Pipeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projectBy(projectID)
	if p == nil {
		return nil
	}
	var out []Pipeline
	for _, pl := range slices.Backward(p.pipelines) {
		out = append(out, pl.Pipeline)
	}
	return out
}

// Jobs returns the jobs of a pipeline in the order of their creation, without posted statuses.
func (s *Server) Jobs(pipelineID int64) []Job {
	return s.rows(pipelineID, func(j *job) bool { return !j.External })
}

// Statuses returns the statuses that were posted to a pipeline, in order, with those that a newer one hides.
func (s *Server) Statuses(pipelineID int64) []Job {
	return s.rows(pipelineID, func(j *job) bool { return j.External })
}

func (s *Server) rows(pipelineID int64, want func(*job) bool) []Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Job
	for _, p := range s.projects {
		if pl := p.pipelineBy(pipelineID); pl != nil {
			for _, j := range pl.jobs {
				if want(j) {
					out = append(out, j.Job)
				}
			}
		}
	}
	return out
}

// Deployments returns the deployments of a project, newest first.
func (s *Server) Deployments(projectID int64) []Deployment {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projectBy(projectID)
	if p == nil {
		return nil
	}
	var out []Deployment
	for _, d := range slices.Backward(p.deployments) {
		out = append(out, *d)
	}
	return out
}
