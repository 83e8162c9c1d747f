package gitlabsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

func rawJSON(b []byte) json.RawMessage { return json.RawMessage(b) }

func (s *Server) userRoutes(mux *http.ServeMux) {
	s.handle(mux, "GET /api/v4/version", func(*call) (any, *refusal) {
		return map[string]any{"version": s.cfg.Version, "revision": "0000000"}, nil
	})
	s.handle(mux, "GET /api/v4/user", func(c *call) (any, *refusal) {
		u, _ := s.userJSON(c.user.ID).(map[string]any)
		u["email"], u["bot"], u["created_at"] = c.user.Email, c.user.Bot, nil
		return u, nil
	})
	s.handle(mux, "GET /api/v4/users/{user}", func(c *call) (any, *refusal) {
		u, _ := s.userJSON(c.pathNum("user")).(map[string]any)
		if u == nil {
			return nil, notFound("User")
		}
		u["public_email"] = s.users[c.pathNum("user")].Email // a guess: people here show theirs
		return u, nil
	})
	s.handle(mux, "GET /api/v4/projects", func(c *call) (any, *refusal) {
		all := []any{}
		for _, p := range s.projects {
			if p.Public || p.members[c.user.ID] >= Guest {
				all = append(all, s.projectJSON(p))
			}
		}
		return page(c, all), nil
	})
	s.handle(mux, "GET /api/v4/projects/{id}", func(c *call) (any, *refusal) { return s.projectJSON(c.project), nil })
	s.handle(mux, "GET /api/v4/projects/{id}/members/all/{user}", func(c *call) (any, *refusal) {
		id := c.pathNum("user")
		u, _ := s.userJSON(id).(map[string]any)
		if u == nil || c.project.members[id] == NoAccess {
			return nil, notFound("")
		}
		u["access_level"] = int(c.project.members[id])
		return u, nil
	})
}

func (s *Server) repositoryRoutes(mux *http.ServeMux) {
	const repo = "/api/v4/projects/{id}/repository"
	s.handle(mux, "GET "+repo+"/branches", func(c *call) (any, *refusal) {
		names := make([]string, 0, len(c.project.branches))
		for name := range c.project.branches {
			if strings.Contains(name, c.str("search")) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		all := []any{}
		for _, name := range page(c, names) {
			all = append(all, s.branchJSON(c.project, name, c.user))
		}
		return all, nil
	})
	s.handle(mux, "GET "+repo+"/branches/{branch}", func(c *call) (any, *refusal) {
		if _, ok := c.project.branches[c.path("branch")]; !ok {
			return nil, notFound("Branch")
		}
		return s.branchJSON(c.project, c.path("branch"), c.user), nil
	})
	s.handle(mux, "GET "+repo+"/commits/{sha}", func(c *call) (any, *refusal) {
		id, ok := c.commitOf(c.path("sha"))
		if !ok {
			return nil, notFound("Commit")
		}
		return s.commitJSON(c.project, id), nil
	})
	s.handle(mux, "GET "+repo+"/commits/{sha}/statuses", s.listStatuses)
	s.handle(mux, "POST /api/v4/projects/{id}/statuses/{sha}", s.createStatus)
	s.handle(mux, "GET /api/v4/projects/{id}/protected_branches", func(c *call) (any, *refusal) {
		all := []any{}
		for _, b := range c.project.protected {
			all = append(all, map[string]any{
				"name": b.Name, "push_access_levels": levels(b.Push), "merge_access_levels": levels(b.Merge), "allow_force_push": b.ForcePush,
			})
		}
		return page(c, all), c.need(Developer)
	})
	s.handle(mux, "GET /api/v4/projects/{id}/protected_environments", func(c *call) (any, *refusal) {
		all := []any{}
		for _, e := range c.project.environments {
			deployers := []any{}
			for _, u := range e.Users {
				deployers = append(deployers, map[string]any{"user_id": u, "access_level": nil, "group_id": nil, "access_level_description": s.users[u].Name})
			}
			if e.Access != NoAccess {
				deployers = append(deployers, levels(e.Access)...)
			}
			all = append(all, map[string]any{"name": e.Name, "deploy_access_levels": deployers, "required_approval_count": 0, "approval_rules": []any{}})
		}
		return page(c, all), c.need(Maintainer)
	})
}

func levels(a Access) []any {
	return []any{map[string]any{"access_level": int(a), "user_id": nil, "group_id": nil}}
}

func (s *Server) listStatuses(c *call) (any, *refusal) {
	id, ok := c.commitOf(c.path("sha"))
	if !ok {
		return nil, notFound("Commit")
	}
	all := []any{}
	for _, pl := range c.project.pipelines {
		if pl.Commit != id || c.has("pipeline_id") && c.num("pipeline_id") != pl.ID {
			continue
		}
		for _, j := range pl.jobs {
			hidden := j.Retried && !c.flag("all")
			if !hidden && fits(c.str("name"), j.Name) && fits(c.str("ref"), j.Ref) && fits(c.str("stage"), j.Stage) {
				all = append(all, s.statusJSON(c.project, j))
			}
		}
	}
	return page(c, all), nil
}

// fits reports whether a filter, if there is one, lets a value through.
func fits(filter, value string) bool { return filter == "" || filter == value }

func (s *Server) createStatus(c *call) (any, *refusal) {
	if refused := c.need(Developer); refused != nil {
		return nil, refused
	}
	if !slices.Contains([]string{"pending", "running", "success", "failed", "canceled", "skipped"}, c.str("state")) {
		return nil, &refusal{http.StatusBadRequest, "state does not have a valid value"}
	}
	id, ok := c.commitOf(c.path("sha"))
	if !ok {
		return nil, notFound("Commit")
	}
	post := statusPost{
		sha: id, state: c.str("state"), name: orDefault(orDefault(c.str("name"), c.str("context")), "default"),
		ref: c.str("ref"), pipelineID: c.num("pipeline_id"),
	}
	if c.has("target_url") {
		v := c.str("target_url")
		post.targetURL = &v
	}
	if c.has("description") {
		v := c.str("description")
		post.description = &v
	}
	row, refused := s.postStatus(c.project, c.user, post)
	if refused != nil {
		return nil, refused
	}
	return s.statusJSON(c.project, row), nil
}

func (s *Server) ciRoutes(mux *http.ServeMux) {
	const project = "/api/v4/projects/{id}"
	s.handle(mux, "GET "+project+"/pipelines", s.listPipelines)
	s.handle(mux, "POST "+project+"/pipeline", func(c *call) (any, *refusal) {
		ref := c.str("ref")
		head, ok := c.project.branches[ref]
		switch {
		case !c.project.mayRun(c.user.ID, ref):
			return nil, &refusal{http.StatusForbidden, "403 Forbidden"}
		case !ok:
			return nil, &refusal{http.StatusBadRequest, map[string][]string{"base": {"Reference not found"}}}
		}
		pl := s.createPipeline(c.project, c.user, head, ref, "api")
		if pl == nil {
			return nil, &refusal{http.StatusBadRequest, map[string][]string{"base": {"Pipeline will not run for the selected trigger. The rules configuration prevented any jobs from being added to the pipeline."}}}
		}
		s.act(c.user, "create_pipeline", fmt.Sprintf("%s %s", c.project.Path, ref), fmt.Sprintf("pipeline %d", pl.ID), "")
		return s.pipelineJSON(c.project, pl, true), nil
	})
	s.handle(mux, "GET "+project+"/pipelines/{pipeline}", s.onPipeline(func(c *call, pl *pipeline) (any, *refusal) { return s.pipelineJSON(c.project, pl, true), nil }))
	s.handle(mux, "POST "+project+"/pipelines/{pipeline}/cancel", s.onPipeline(func(c *call, pl *pipeline) (any, *refusal) {
		for _, j := range pl.jobs {
			if refused := s.cancel(c.user, j); refused != nil {
				return nil, refused
			}
		}
		return s.pipelineJSON(c.project, pl, true), nil
	}))
	s.handle(mux, "GET "+project+"/pipelines/{pipeline}/jobs", s.onPipeline(s.listJobs))
	s.handle(mux, "GET "+project+"/jobs/{job}", s.onJob(func(*call, *pipeline, *job) *refusal { return nil }))
	s.handle(mux, "POST "+project+"/jobs/{job}/play", s.onJob(func(c *call, _ *pipeline, j *job) *refusal {
		c.status = http.StatusOK
		return s.play(c.user, j)
	}))
	s.handle(mux, "POST "+project+"/jobs/{job}/cancel", s.onJob(func(c *call, _ *pipeline, j *job) *refusal { return s.cancel(c.user, j) }))
	s.handle(mux, "POST "+project+"/jobs/{job}/retry", func(c *call) (any, *refusal) {
		p, pl, j := s.jobBy(c.pathNum("job"))
		if j == nil || p != c.project || j.External {
			return nil, notFound("")
		}
		again, refused := s.retry(c.user, j)
		if refused != nil {
			return nil, refused
		}
		return s.jobJSON(p, pl, again), nil
	})
	s.handle(mux, "GET "+project+"/deployments", s.listDeployments)
	s.handle(mux, "GET "+project+"/environments", func(c *call) (any, *refusal) {
		all := []any{}
		for name := range c.project.envIDs {
			if fits(c.str("name"), name) {
				all = append(all, s.environmentJSON(c.project, name))
			}
		}
		return page(c, all), nil
	})
}

func (s *Server) listPipelines(c *call) (any, *refusal) {
	all := []any{}
	for _, pl := range slices.Backward(c.project.pipelines) {
		if fits(c.str("sha"), string(pl.Commit)) && fits(c.str("ref"), pl.Ref) && fits(c.str("status"), pl.Status) && fits(c.str("source"), pl.Source) {
			all = append(all, s.pipelineJSON(c.project, pl, false))
		}
	}
	if c.str("sort") == "asc" {
		slices.Reverse(all)
	}
	return page(c, all), nil
}

func (s *Server) onPipeline(do func(*call, *pipeline) (any, *refusal)) reply {
	return func(c *call) (any, *refusal) {
		pl := c.project.pipelineBy(c.pathNum("pipeline"))
		if pl == nil {
			return nil, notFound("")
		}
		return do(c, pl)
	}
}

func (s *Server) listJobs(c *call, pl *pipeline) (any, *refusal) {
	all := []any{}
	for _, j := range slices.Backward(pl.jobs) {
		if !j.External && (!j.Retried || c.flag("include_retried")) && fits(c.str("scope[]"), j.Status) && fits(c.str("scope"), j.Status) {
			all = append(all, s.jobJSON(c.project, pl, j))
		}
	}
	return page(c, all), nil
}

func (s *Server) onJob(do func(*call, *pipeline, *job) *refusal) reply {
	return func(c *call) (any, *refusal) {
		p, pl, j := s.jobBy(c.pathNum("job"))
		if j == nil || p != c.project || j.External {
			return nil, notFound("")
		}
		if refused := do(c, pl, j); refused != nil {
			return nil, refused
		}
		return s.jobJSON(p, pl, j), nil
	}
}

func (s *Server) listDeployments(c *call) (any, *refusal) {
	all := []any{}
	for _, d := range c.project.deployments {
		if fits(c.str("environment"), d.Environment) && fits(c.str("status"), d.Status) {
			all = append(all, s.deploymentJSON(c.project, d))
		}
	}
	if c.str("sort") == "desc" {
		slices.Reverse(all)
	}
	return page(c, all), nil
}

// commitsJSON returns commits newest first.
func (s *Server) commitsJSON(p *project, ids []upgrade.Commit) []any {
	all := []any{}
	for _, id := range slices.Backward(ids) {
		all = append(all, s.commitJSON(p, id))
	}
	return all
}
