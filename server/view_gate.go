package server

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

type gatesView struct {
	Path   string
	Beside string // in which order
	Gates  []gateView
	Empty  string
}

// gateView is one gate: a row that opens to its evidence.
type gateView struct {
	Path      string // of the part
	ID        string
	Title     string
	Name      string // as configured, if it says more than the title; and the environment, if another one
	Chip      chip
	Sentence  string
	Took      string
	Open      bool
	Warnings  []string
	Causes    []factView
	Facts     []factView
	Repairs   []factView // to be copied as they are
	Watch     *watchView
	Timeline  *timelineView
	Ladders   []ladderView
	LadderCSV link
	Tables    []tableView
	Quotes    []quoteView
	Log       []lineView
	Foot      []reasonView
}

type factView struct {
	Name, Value string
	Mono        bool // an identifier
}

type tableView struct {
	Title   string
	Columns []string
	Rows    []rowView
	More    int // rows beyond those shown
}

type rowView struct {
	Tone  string // bad for what was lost, else empty
	Cells []cellView
}

type cellView struct {
	Column string
	Text   string
	Any    bool   // Text has a word that may be broken anywhere
	Sign   string // − + → ~ = before the word, in a column "Change"
}

type quoteView struct {
	Source, Text string
	When         when
}

// anchor is the fragment of the first gate of that name that did not pass.
func anchor(d runData, name upgrade.GateName) string {
	for _, r := range d.results {
		if r.Gate == name && r.Outcome != upgrade.OutcomePassed && !d.back.has(r) {
			return gateID(d, r)
		}
	}
	return "gate-" + slug(string(name))
}

// gateID names a gate's part: its name, with the environment or stage where the name alone would not do.
func gateID(d runData, r upgrade.Result) string {
	id := "gate-" + slug(string(r.Gate))
	if r.Environment != d.run.Environment && r.Environment != "" {
		id += "-" + slug(string(r.Environment))
	}
	if r.Stage == upgrade.StageBefore {
		id += "-before"
	}
	if d.back.has(r) {
		id += "-back"
	}
	return id
}

func slug(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, s)
}

// gates describes all gates of a run. While the run goes on their order is that of arrival, so that
// nothing moves under a reader's finger; afterwards what did not pass comes first.
func gates(d runData) gatesView {
	v := gatesView{Path: runPath(d.run.ID), Beside: "in order of arrival"}
	seen := map[string]int{}
	for _, r := range d.results {
		g := gate(d, r)
		if seen[g.ID]++; seen[g.ID] > 1 {
			g.ID = fmt.Sprintf("%s-%d", g.ID, seen[g.ID])
		}
		g.Path = v.Path + "/parts/" + g.ID
		v.Gates = append(v.Gates, g)
	}
	if !d.run.Phase.Live() {
		slices.SortStableFunc(v.Gates, func(a, b gateView) int { return cmp.Compare(toneRank(a.Chip), toneRank(b.Chip)) })
		v.Beside = "not passed first"
		if d.run.Phase.Opens() && d.run.Verdict != upgrade.VerdictClosed {
			v.Beside = "all passed, open one for its evidence"
		}
	}
	if len(v.Gates) == 0 {
		v.Beside, v.Empty = "", "No answer of a gate is kept yet."
		if !d.run.Phase.Live() && !d.run.Phase.Opens() {
			v.Empty = "The run ended before a gate was asked."
		}
	}
	return v
}

func toneRank(c chip) int {
	switch c.Icon {
	case upgrade.IconBad:
		return 0
	case upgrade.IconUnk:
		return 1
	case upgrade.IconRun:
		return 2
	case upgrade.IconWait:
		return 3
	case upgrade.IconOK, upgrade.IconWarn, upgrade.IconLock, upgrade.IconOpen, upgrade.IconSkip, upgrade.IconHand, upgrade.IconSnow:
	}
	return 4
}

func gate(d runData, r upgrade.Result) gateView {
	g := gateView{
		ID: gateID(d, r), Title: kindTitle(r.Kind), Name: string(r.Gate), Chip: chipOf(r.Outcome.Look(), ""),
		Sentence: glued(stop(r.Message)), Took: span(r.Took), Warnings: r.Warnings,
		Open: r.Outcome == upgrade.OutcomeFailed || r.Outcome == upgrade.OutcomeUnknown || r.Outcome == upgrade.OutcomeRunning,
	}
	if g.Name == r.Kind {
		g.Name = ""
	}
	if r.Environment != d.run.Environment && r.Environment != "" {
		g.Name = beside(g.Name, string(r.Environment))
	}
	if r.Stage == upgrade.StageBefore {
		g.Name = beside(g.Name, "before")
	}
	soften(&g, d, r)
	if d.back.has(r) {
		g.Name, g.Open = beside(g.Name, "way back"), false
		g.Chip = chip{Word: "Kept, not counted", Icon: upgrade.IconSkip, Tone: upgrade.ToneIdle}
		g.Sentence = "Kept, not counted. " + g.Sentence
	}
	e := r.Evidence
	for _, f := range e.Facts {
		if f.Name == "Cause" || f.Name == "Likely cause" { // proof and guess keep their own names
			g.Causes = append(g.Causes, factView{Name: f.Name, Value: stop(f.Value)})
			continue
		}
		if strings.HasPrefix(f.Name, "Repair") {
			g.Repairs = append(g.Repairs, factView{Name: f.Name, Value: f.Value})
			continue
		}
		g.Facts = append(g.Facts, factView{Name: f.Name, Value: f.Value, Mono: len(f.Value) > 24 && !strings.Contains(f.Value, " ")})
	}
	if g.Watch = watchOf(d, r); g.Watch != nil {
		g.Watch.Facts, g.Facts = g.Facts, nil
	} else {
		g.Timeline = timeline(e.Spans, r)
	}
	for _, t := range e.Tables {
		switch {
		case isLadder(t):
			g.Ladders, g.LadderCSV = append(g.Ladders, ladder(t)), csvLink(d.run.ID, r, "Ladder", csvLadder)
			continue
		case g.Watch != nil && (t.Title == "Outages" || t.Title == "Streams"): // they are among the watch's own
			continue
		}
		g.Tables = append(g.Tables, table(t))
	}
	if note, ok := likelyCause(d, r); ok {
		g.Causes = append(g.Causes, note)
	}
	for _, q := range e.Quotes {
		g.Quotes = append(g.Quotes, quoteView{Source: q.Source, Text: q.Text, When: d.words.second(q.At)})
	}
	for _, l := range e.Log {
		g.Log = append(g.Log, lineView{When: d.words.second(l.At).Text, Text: l.Text})
	}
	g.Foot = foot(d, r)
	return g
}

// beside puts a further word behind what stands beside a title.
func beside(name, more string) string {
	if name == "" {
		return more
	}
	return name + " · " + more
}

// soften takes a pass that does not count for what it is: not a pass (dashboard.md §2, 3 and 7).
func soften(g *gateView, d runData, r upgrade.Result) {
	if r.Outcome != upgrade.OutcomePassed {
		return
	}
	unverified := chip{Word: "Not verified", Icon: upgrade.IconUnk, Tone: upgrade.ToneWarn, Kind: "dashed"}
	switch {
	case r.Expired(d.words.now):
		g.Chip, g.Open = unverified, true
		g.Sentence = fmt.Sprintf("Not verified: the answer is older than its limit of %s. It was: %s", span(r.GoodFor), g.Sentence)
	case r.Early:
		g.Chip = chip{Word: "Waiting", Icon: upgrade.IconWait, Tone: upgrade.ToneIdle}
		g.Sentence = "Asked early, which only a no would count for. " + g.Sentence
	case d.run.Phase == upgrade.PhaseChecking && r.Round < d.run.Round && r.Stage == upgrade.StageAfter:
		g.Chip = chip{Word: "Running", Icon: upgrade.IconRun, Tone: upgrade.ToneRun}
		g.Sentence = "Being asked again. Last time: " + g.Sentence
	}
}

func foot(d runData, r upgrade.Result) []reasonView {
	out := []reasonView{{Text: "Checked", When: d.words.second(r.StartedAt.Add(r.Took))}}
	if where := stageTitle(r.Stage); where != "" {
		out = append(out, reasonView{Text: upperFirst(where)})
	}
	if r.Round > 1 {
		out = append(out, reasonView{Text: fmt.Sprintf("Round %d", r.Round)})
	}
	if r.GoodFor > 0 {
		out = append(out, reasonView{Text: "Good for " + span(r.GoodFor)})
	}
	if !r.Required {
		out = append(out, reasonView{Text: "Not required: neither opens nor closes"})
	}
	return out
}

// maxRows is how many rows of a table a page shows; the API has them all.
const maxRows = 50

func table(t upgrade.Table) tableView {
	v := tableView{Title: t.Title, Columns: t.Columns}
	for i, row := range t.Rows {
		if i == maxRows {
			v.More = len(t.Rows) - maxRows
			break
		}
		rv := rowView{}
		for j, text := range row {
			c := cellView{Text: text, Any: hasLongWord(text)}
			if j < len(t.Columns) {
				c.Column = t.Columns[j]
			}
			if j == 0 && strings.EqualFold(c.Column, "Change") {
				c.Sign, rv.Tone = sign(text)
			}
			rv.Cells = append(rv.Cells, c)
		}
		v.Rows = append(v.Rows, rv)
	}
	return v
}

// hasLongWord reports whether a text has an identifier that no column of a table is sure to hold.
func hasLongWord(text string) bool {
	const holds = 12
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ' ' || r == '-' }) {
		if len(word) > holds {
			return true
		}
	}
	return false
}

// sign is what stands before a word of change, and whether it is a loss.
func sign(change string) (mark, tone string) {
	switch strings.ToLower(change) {
	case "gone", "lost", "removed", "destroyed":
		return "−", "bad"
	case "moved":
		return "→", ""
	case "new", "added":
		return "+", ""
	case "changed":
		return "~", ""
	case "same":
		return "=", ""
	}
	return "", ""
}
