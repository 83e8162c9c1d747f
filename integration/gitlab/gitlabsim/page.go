package gitlabsim

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var pageSource string

// index is what the page shows: text that is ready to print.
type index struct {
	Version    string
	Now        string
	Projects   []indexProject
	Acts       []Act
	Deliveries []Delivery
	Commit     string // what git knows of a commit, on a commit's page
}

type indexProject struct {
	Path      string
	Branches  []string
	Requests  []string
	Pipelines []indexPipeline
}

type indexPipeline struct {
	Title string
	Jobs  []string
}

// servePage shows everything on one page, whatever page of GitLab is asked for: it is only there to look
// at. The address of a project that does not exist is not found.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request, path string) {
	name, _, _ := strings.Cut(path, "/-/")
	s.mu.Lock()
	if name != "" && s.projectAt(name) == nil {
		s.mu.Unlock()
		http.NotFound(w, r)
		return
	}
	model := s.index(name)
	s.mu.Unlock()
	tmpl, err := template.New("page").Parse(pageSource)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := tmpl.Execute(w, model); err != nil {
		s.log.ErrorContext(r.Context(), "page cannot be written", "err", err)
	}
}

// index is the page about one project, or about all. mu is held.
func (s *Server) index(only string) index {
	out := index{Version: s.cfg.Version, Now: s.clock.Now().UTC().Format("2006-01-02 15:04:05 UTC")}
	for _, p := range s.projects {
		if fits(strings.ToLower(only), strings.ToLower(p.Path)) {
			out.Projects = append(out.Projects, s.indexProject(p))
		}
	}
	for i, a := range slices.Backward(s.acts) {
		if i < len(s.acts)-50 {
			break
		}
		out.Acts = append(out.Acts, a)
	}
	for i, d := range slices.Backward(s.deliveries) {
		if i < len(s.deliveries)-50 {
			break
		}
		out.Deliveries = append(out.Deliveries, d.Delivery)
	}
	return out
}

func (s *Server) indexProject(p *project) indexProject {
	out := indexProject{Path: p.Path}
	for name, head := range p.branches {
		mark := ""
		if p.isProtected(name) {
			mark = " (protected)"
		}
		out.Branches = append(out.Branches, fmt.Sprintf("%s %s %s%s", name, head.Short(), p.commits[head].title(), mark))
	}
	slices.Sort(out.Branches)
	for _, mr := range slices.Backward(p.requests) {
		out.Requests = append(out.Requests, fmt.Sprintf("!%d %s: %s → %s, %s, %d approvals, %d notes", mr.IID, mr.Title, mr.Source, mr.Target, mr.State, len(mr.Approvals), len(mr.Notes)))
	}
	for _, pl := range slices.Backward(p.pipelines) {
		row := indexPipeline{Title: fmt.Sprintf("%d %s on %s at %s (%s)", pl.ID, pl.Status, pl.Ref, pl.Commit.Short(), pl.Source)}
		for _, j := range pl.jobs {
			if !j.Retried {
				row.Jobs = append(row.Jobs, strings.TrimSpace(fmt.Sprintf("%d %s / %s: %s %s", j.ID, j.Stage, j.Name, j.Status, j.Description)))
			}
		}
		out.Pipelines = append(out.Pipelines, row)
	}
	return out
}
