package server

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// planView is what the plan changed, grouped by risk: destroyed first, replaced counted on its own.
type planView struct {
	Path   string
	Counts []countView
	Groups []planGroup
	Known  bool   // there is a plan
	Empty  string // said instead of groups
	Full   string // address of the whole plan
	Title  string
}

type countView struct {
	Sign, Word string
	N          int
	Tone       string
}

type planGroup struct {
	Sign, Title string
	Done        string // what was done to each, as in "destroyed"
	Tone        string
	Lines       []planLine
	More        int // lines that only the full plan has
}

type planLine struct {
	ID      string // of the element; empty: nothing refers to it
	Address string
	State   string // what came of it; empty: done
	Tone    string
	Broke   []link // gates that said no to it
}

// changeOrder is the order of risk. The words are those of plan.Action, as the journal has them.
func changeOrder() []string { return []string{"delete", "replace", "forget", "update", "create"} }

func planOf(d runData) planView {
	p := d.run.Plan
	v := planView{
		Path: runPath(d.run.ID), Known: p.ChangeDigest != "" || p.Changes() > 0, Title: "What the plan changes in " + string(d.run.Environment),
		Full: runPath(d.run.ID) + "/plan",
		Counts: []countView{
			{"−", "destroyed", p.Destroy, tone(p.Destroy)},
			{"±", "replaced", p.Replace, tone(p.Replace)},
			{"~", "changed", p.Update, ""},
			{"+", "added", p.Create, ""},
		},
	}
	if p.Forget > 0 {
		v.Counts = append(v.Counts, countView{"○", "forgotten", p.Forget, ""})
	}
	if !v.Known {
		v.Empty = "Nothing has been planned yet."
		return v
	}
	if d.run.Applies > 0 {
		v.Title = "What the plan changed in " + string(d.run.Environment)
	}
	if d.run.Half == upgrade.HalfBack {
		v.Title += ", on the way back"
	}
	v.Groups = planGroups(d.events)
	against := noesOf(d)
	for _, g := range v.Groups {
		for i, line := range g.Lines {
			if line.ID != "" {
				g.Lines[i].Broke = against.links(line.Address, "")
			}
		}
	}
	if len(v.Groups) == 0 {
		v.Empty = "Nothing has been applied yet. The full plan has every line."
		if p.Changes() == 0 {
			v.Empty = "The plan is empty: what is there is what is wanted."
		} else if d.run.Applies > 0 {
			v.Empty = "The journal has no lines of this apply."
		}
	}
	return v
}

func tone(n int) string {
	if n > 0 {
		return "bad"
	}
	return ""
}

// planGroups reads what was done to each resource from the journal of the apply.
func planGroups(events []upgrade.Event) []planGroup {
	type change struct{ action, state string }
	found, order, apply := map[string]*change{}, []string{}, ""
	for _, e := range events {
		if n := e.Data["n"]; e.Kind == upgrade.EventApply && n != apply { // of a rehearsal's two, the last one is shown
			found, order, apply = map[string]*change{}, []string{}, n
		}
		address, action := e.Data["address"], e.Data["action"]
		if e.Kind != upgrade.EventResource || address == "" {
			continue
		}
		ch := found[address]
		if ch == nil {
			ch = &change{action: action}
			found[address], order = ch, append(order, address)
		}
		if action != ch.action && (action == "create" && ch.action == "delete" || action == "delete" && ch.action == "create") {
			ch.action = "replace"
		}
		ch.state = e.Data["state"]
	}
	var groups []planGroup
	left := mostPlanLines
	for _, action := range changeOrder() {
		g := planGroup{}
		g.Sign, g.Title, g.Tone = changeWords(action)
		g.Done = doneWord(action)
		for _, address := range order {
			if ch := found[address]; ch.action == action {
				line := planLine{Address: address}
				if g.Tone != "" || ch.state == "failed" { // a risky one
					line.ID = fmt.Sprintf("changed-%d", slices.Index(order, address)+1)
				}
				switch ch.state {
				case "failed":
					line.State, line.Tone = "failed", "bad"
				case "start", "started":
					line.State, line.Tone = "not finished", "run"
				}
				g.Lines = append(g.Lines, line)
			}
		}
		if len(g.Lines) > 0 {
			g.Title = fmt.Sprintf("%s %d", g.Title, len(g.Lines))
			left -= g.cut(left)
			groups = append(groups, g)
		}
	}
	return groups
}

// mostPlanLines is how many resources the page of a run names: a longer plan has a page of its own.
const mostPlanLines = 120

// cut keeps at most so many lines, and returns how many it kept. What failed or has not finished stays before
// what is done.
func (g *planGroup) cut(most int) int {
	if len(g.Lines) > most {
		slices.SortStableFunc(g.Lines, func(a, b planLine) int { return cmp.Compare(planRank(a), planRank(b)) })
		g.Lines, g.More = g.Lines[:most], len(g.Lines)-most
	}
	return len(g.Lines)
}

func planRank(l planLine) int {
	switch l.Tone {
	case "bad":
		return 0
	case "run":
		return 1
	}
	return 2
}

// doneWord says what was done to a resource.
func doneWord(action string) string {
	return map[string]string{"delete": "destroyed", "replace": "replaced", "forget": "forgotten", "update": "changed", "create": "added"}[action]
}

func changeWords(action string) (sign, title, tone string) {
	switch action {
	case "delete":
		return "−", "Destroyed", "bad"
	case "replace":
		return "±", "Replaced", "bad"
	case "forget":
		return "○", "Forgotten", ""
	case "update":
		return "~", "Changed in place", ""
	case "create":
		return "+", "Added", ""
	}
	return "?", action, ""
}
