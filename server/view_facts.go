package server

import (
	"fmt"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

type factsView struct {
	Path  string
	Facts []fact
}

type fact struct {
	Name string
	Text string
	Link link
	When when
	Mono bool
}

func (s *Server) facts(d runData) factsView {
	r := d.run
	v := factsView{Path: runPath(r.ID)}
	add := func(f fact) {
		if f.Text != "" || f.Link.Text != "" || f.When.Text != "" {
			v.Facts = append(v.Facts, f)
		}
	}
	add(fact{Name: "Stack", Text: string(r.Stack)})
	add(fact{Name: "Project", Text: r.Project})
	version := r.Version
	if r.Base != "" && r.Version != "" {
		version = r.Base + " → " + r.Version
	}
	add(fact{Name: "Version", Text: version})
	if mr, ok := s.mergeRequest(r); ok {
		add(fact{Name: "Merge request", Link: mr})
	}
	add(fact{Name: "Title", Text: r.Title})
	add(fact{Name: "Author", Text: r.Author})
	add(fact{Name: "Commit", Link: s.commit(r), Mono: true})
	add(fact{Name: "Tree", Text: r.Tree.Short(), Mono: true})
	var refs []string
	for _, a := range r.Answers {
		if a.Ref != "" {
			refs = append(refs, a.Ref)
		}
	}
	add(fact{Name: "Answers for", Text: strings.Join(refs, ", ")})
	add(fact{Name: "Terraform", Text: r.Plan.Tool})
	if r.Attempt > 1 {
		add(fact{Name: "Attempt", Text: fmt.Sprint(r.Attempt)})
	}
	if r.Plan.ChangeDigest != "" {
		add(fact{Name: "Change", Text: middle(r.Plan.ChangeDigest), Mono: true})
	}
	for _, a := range r.Agreed {
		add(fact{Name: "Agreed", Text: fmt.Sprintf("%s, %s, to %s", a.By, d.words.stamp(a.At).Text, middle(a.ChangeDigest))})
	}
	add(fact{Name: "Started", When: d.words.second(r.CreatedAt)})
	took := fact{Name: "Took", Text: span(r.Since.Sub(r.CreatedAt))}
	if r.Phase.Live() {
		began := d.words.second(r.CreatedAt)
		took = fact{Name: "So far", When: when{Text: span(d.words.now.Sub(r.CreatedAt)), Exact: began.Exact, Run: true}}
	}
	add(took)
	return v
}

// middle shortens an id in its middle.
func middle(s string) string {
	if len(s) <= 12 {
		return s
	}
	return s[:4] + "…" + s[len(s)-4:]
}

// auditView is who did what: the journal without what machines report every second.
type auditView struct {
	Path string
	Rows []auditRow
	Left int
	All  string // address of the whole journal
}

type auditRow struct {
	When when
	Who  string // empty: by rule
	Text string
}

const maxAudit = 20

func auditOf(d runData) auditView {
	v := auditView{Path: runPath(d.run.ID), All: runPath(d.run.ID) + "/replay"}
	for _, e := range d.events {
		switch e.Kind {
		case upgrade.EventResource, upgrade.EventGate:
			continue // have places of their own
		case upgrade.EventCreated, upgrade.EventAnswer, upgrade.EventPhase, upgrade.EventWaiting, upgrade.EventApply,
			upgrade.EventOrder, upgrade.EventStatus, upgrade.EventRequest, upgrade.EventRetry, upgrade.EventNote:
		}
		row := auditRow{When: d.words.stamp(e.At), Text: upperFirst(e.Text)}
		if e.Who != "" && e.Who != upgrade.ByRule().Name {
			row.Who = e.Who
		}
		v.Rows = append(v.Rows, row)
	}
	if n := len(v.Rows) - maxAudit; n > 0 {
		v.Rows, v.Left = v.Rows[n:], n
	}
	return v
}
