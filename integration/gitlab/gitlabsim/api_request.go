package gitlabsim

import (
	"net/http"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

func (s *Server) requestRoutes(mux *http.ServeMux) {
	const requests = "/api/v4/projects/{id}/merge_requests"
	const one = requests + "/{iid}"
	s.handle(mux, "GET "+requests, s.listRequests)
	s.handleMoving(mux, "POST "+requests, func(c *call) (any, *refusal) {
		mr, refused := s.createMR(c.ctx, c.project, c.user, MergeRequestSpec{
			Title: c.str("title"), Description: c.str("description"), Source: c.str("source_branch"), Target: c.str("target_branch"),
		})
		if refused != nil {
			return nil, refused
		}
		return s.mergeRequestJSON(c.project, mr, true), nil
	})
	s.handle(mux, "GET "+one, s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) { return s.mergeRequestJSON(c.project, mr, true), nil }))
	s.handle(mux, "PUT "+one, s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
		if refused := s.update(c.project, mr, c.user, c.str("title"), c.str("state_event")); refused != nil {
			return nil, refused
		}
		return s.mergeRequestJSON(c.project, mr, true), nil
	}))
	s.handleMoving(mux, "PUT "+one+"/merge", s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
		if refused := s.merge(c.ctx, c.project, mr, c.user, c.str("sha"), c.flag("squash")); refused != nil {
			return nil, refused
		}
		return s.mergeRequestJSON(c.project, mr, true), nil
	}))
	s.handle(mux, "GET "+one+"/approvals", s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) { return s.approvalsJSON(c.project, mr), nil }))
	s.handle(mux, "POST "+one+"/approve", s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
		if refused := s.approve(c.project, mr, c.user, c.str("sha")); refused != nil {
			return nil, refused
		}
		return s.approvalsJSON(c.project, mr), nil
	}))
	s.handle(mux, "POST "+one+"/unapprove", s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
		return map[string]any{}, s.unapprove(c.project, mr, c.user)
	}))
	s.handle(mux, "GET "+one+"/versions", s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
		all := []any{}
		for _, v := range slices.Backward(mr.Versions) {
			all = append(all, s.versionJSON(mr, v))
		}
		return page(c, all), nil
	}))
	s.handle(mux, "GET "+one+"/commits", s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
		return page(c, s.commitsJSON(c.project, mr.commits)), nil
	}))
	s.handle(mux, "GET "+one+"/pipelines", s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
		all := []any{}
		for _, pl := range slices.Backward(c.project.pipelines) {
			known := slices.ContainsFunc(mr.Versions, func(v Version) bool { return v.Head == pl.Commit })
			if pl.Ref == mr.ref() || pl.Ref == mr.Source && known {
				all = append(all, s.pipelineJSON(c.project, pl, false))
			}
		}
		return page(c, all), nil
	}))
	s.noteRoutes(mux, one)
}

func (s *Server) onMR(do func(*call, *mergeRequest) (any, *refusal)) reply {
	return func(c *call) (any, *refusal) {
		mr := c.project.requestBy(c.pathNum("iid"))
		if mr == nil {
			return nil, notFound("")
		}
		return do(c, mr)
	}
}

func (s *Server) listRequests(c *call) (any, *refusal) {
	all := []any{}
	for _, mr := range slices.Backward(c.project.requests) {
		state := c.str("state")
		if state == "all" {
			state = ""
		}
		if fits(state, mr.State) && fits(c.str("target_branch"), mr.Target) && fits(c.str("source_branch"), mr.Source) {
			all = append(all, s.mergeRequestJSON(c.project, mr, false))
		}
	}
	if c.str("sort") == "asc" {
		slices.Reverse(all)
	}
	return page(c, all), nil
}

func (s *Server) noteRoutes(mux *http.ServeMux, one string) {
	s.handle(mux, "GET "+one+"/notes", s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
		all := []any{}
		for i := range mr.Notes {
			all = append(all, s.noteJSON(c.project, mr, &mr.Notes[i]))
		}
		if c.str("sort") != "asc" {
			slices.Reverse(all)
		}
		return page(c, all), nil
	}))
	s.handle(mux, "POST "+one+"/notes", s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
		if refused := c.need(Reporter); refused != nil {
			return nil, refused
		}
		n, refused := s.addNote(c.project, mr, c.user, c.str("body"))
		if refused != nil {
			return nil, refused
		}
		return s.noteJSON(c.project, mr, n), nil
	}))
	onNote := func(do func(*call, *mergeRequest, *Note) (any, *refusal)) reply {
		return s.onMR(func(c *call, mr *mergeRequest) (any, *refusal) {
			i := slices.IndexFunc(mr.Notes, func(n Note) bool { return n.ID == c.pathNum("note") })
			if i < 0 {
				return nil, notFound("Note")
			}
			return do(c, mr, &mr.Notes[i])
		})
	}
	s.handle(mux, "GET "+one+"/notes/{note}", onNote(func(c *call, mr *mergeRequest, n *Note) (any, *refusal) { return s.noteJSON(c.project, mr, n), nil }))
	s.handle(mux, "PUT "+one+"/notes/{note}", onNote(func(c *call, mr *mergeRequest, n *Note) (any, *refusal) {
		if refused := s.editNote(c.project, mr, n, c.user, c.str("body")); refused != nil {
			return nil, refused
		}
		return s.noteJSON(c.project, mr, n), nil
	}))
	s.handle(mux, "DELETE "+one+"/notes/{note}", onNote(func(c *call, mr *mergeRequest, n *Note) (any, *refusal) {
		if n.AuthorID != c.user.ID && c.project.members[c.user.ID] < Maintainer {
			return nil, &refusal{http.StatusForbidden, "403 Forbidden"}
		}
		mr.Notes = slices.DeleteFunc(mr.Notes, func(other Note) bool { return other.ID == n.ID })
		c.status = http.StatusNoContent
		return nil, nil
	}))
}

func (s *Server) hookRoutes(mux *http.ServeMux) {
	const hooks = "/api/v4/projects/{id}/hooks"
	s.handle(mux, "GET "+hooks, func(c *call) (any, *refusal) {
		all := []any{}
		for _, h := range c.project.hooks {
			all = append(all, s.hookJSON(h))
		}
		return page(c, all), c.need(Maintainer)
	})
	s.handle(mux, "POST "+hooks, func(c *call) (any, *refusal) {
		if refused := c.need(Maintainer); refused != nil {
			return nil, refused
		}
		if !strings.HasPrefix(c.str("url"), "http") {
			return nil, &refusal{http.StatusUnprocessableEntity, "Invalid url given"}
		}
		h := &hook{project: c.project, Hook: Hook{
			ID: next(&s.ids.hook), URL: c.str("url"), Token: upgrade.Secret(c.str("token")), SigningToken: upgrade.Secret(c.str("signing_token")),
			Events: wanted(c),
		}}
		c.project.hooks = append(c.project.hooks, h)
		return s.hookJSON(h), nil
	})
	onHook := func(do func(*call, *hook) (any, *refusal)) reply {
		return func(c *call) (any, *refusal) {
			i := slices.IndexFunc(c.project.hooks, func(h *hook) bool { return h.ID == c.pathNum("hook") })
			if i < 0 {
				return nil, notFound("")
			}
			if refused := c.need(Maintainer); refused != nil {
				return nil, refused
			}
			return do(c, c.project.hooks[i])
		}
	}
	s.handle(mux, "DELETE "+hooks+"/{hook}", onHook(func(c *call, h *hook) (any, *refusal) {
		c.project.hooks = slices.DeleteFunc(c.project.hooks, func(other *hook) bool { return other == h })
		c.status = http.StatusNoContent
		return nil, nil
	}))
	s.handle(mux, "GET "+hooks+"/{hook}/events", onHook(func(c *call, h *hook) (any, *refusal) {
		all := []any{}
		for _, d := range slices.Backward(s.deliveries) {
			if d.hook == h && d.State == DeliverySent {
				all = append(all, s.deliveryJSON(d))
			}
		}
		return page(c, all), nil
	}))
	s.handle(mux, "POST "+hooks+"/{hook}/events/{event}/resend", onHook(func(c *call, h *hook) (any, *refusal) {
		for _, d := range s.deliveries {
			if d.hook == h && d.ID == c.pathNum("event") {
				s.queue(h, d.Kind, d.Body, d.Key, true)
				return map[string]any{"response_status": http.StatusOK}, nil // A guess: GitLab waits for the answer and gives its status.
			}
		}
		return nil, notFound("")
	}))
}

// wanted reads which events a webhook is made for. push_events is on unless switched off.
func wanted(c *call) []string {
	var events []string
	if !c.has("push_events") || c.flag("push_events") {
		events = append(events, "push")
	}
	for _, e := range [][2]string{
		{"tag_push_events", "tag_push"},
		{"merge_requests_events", "merge_request"},
		{"pipeline_events", "pipeline"},
		{"job_events", "job"},
		{"deployment_events", "deployment"},
		{"note_events", "note"},
	} {
		if c.flag(e[0]) {
			events = append(events, e[1])
		}
	}
	if len(events) == 0 {
		return []string{"none"}
	}
	return events
}
