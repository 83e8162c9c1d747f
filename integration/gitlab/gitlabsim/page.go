package gitlabsim

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
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
	Subject    *indexSubject // on the page of a merge request or a commit
}

// indexSubject is what an address is about.
type indexSubject struct {
	Title    string
	Lines    []string
	Statuses []string // of its commit, newest first
	Notes    []string
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
	name, about, _ := strings.Cut(path, "/-/")
	s.mu.Lock()
	if name != "" && s.projectAt(name) == nil {
		s.mu.Unlock()
		http.NotFound(w, r)
		return
	}
	model := s.index(name)
	if p := s.projectAt(name); p != nil {
		model.Subject = s.subject(p, about)
	}
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

// subject is what the rest of an address names, nil if that is nothing with a page of its own. mu is held.
func (s *Server) subject(p *project, about string) *indexSubject {
	kind, name, _ := strings.Cut(about, "/")
	switch kind {
	case "commit":
		head := upgrade.Commit(name)
		c, known := p.commits[head]
		if !known {
			return nil
		}
		return &indexSubject{Title: "Commit " + head.Short() + ": " + c.title(), Lines: []string{string(head)}, Statuses: p.statusLines(head)}
	case "merge_requests":
		for _, mr := range p.requests {
			if strconv.FormatInt(mr.IID, 10) != name {
				continue
			}
			out := &indexSubject{
				Title: fmt.Sprintf("!%d %s", mr.IID, mr.Title),
				Lines: []string{
					fmt.Sprintf("%s, %s → %s at %s, by %s", mr.State, mr.Source, mr.Target, mr.Head.Short(), s.nameOf(mr.AuthorID)),
					fmt.Sprintf("%d approvals", len(mr.Approvals)),
				},
				Statuses: p.statusLines(mr.Head),
			}
			for _, n := range mr.Notes {
				out.Notes = append(out.Notes, s.nameOf(n.AuthorID)+": "+n.Body)
			}
			return out
		}
	}
	return nil
}

func (s *Server) nameOf(id int64) string {
	if u := s.users[id]; u != nil {
		return u.Name
	}
	return "nobody"
}

// statusLines are what others than its own jobs say of a commit.
func (p *project) statusLines(c upgrade.Commit) (lines []string) {
	for _, pl := range slices.Backward(p.pipelines) {
		for _, j := range pl.jobs {
			if pl.Commit == c && j.External && !j.Retried {
				lines = append(lines, fmt.Sprintf("%s: %s, %s", j.Name, j.Status, j.Description))
			}
		}
	}
	return lines
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
