package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// boardPage is the board: each group is a part.
type boardPage struct {
	Lead   leadView
	Groups []groupView
	Recent recentView
	Envs   envsView
	Freeze freezeLine
	Notice string
}

type leadView struct {
	Headline string
	Silent   when   // since when GitLab has not answered; empty: it does
	Empty    string // said below when there is nothing at all
}

type groupView struct {
	ID, Title string
	Rows      []boardRow
	Rest      []boardRow // shown when somebody asks for all
	Table     []stepRow
	Beside    string
}

// Count is how many rows there are, shown or not.
func (g groupView) Count() int { return len(g.Rows) + len(g.Rest) }

// boardRow is one run. Its height does not change while it lives.
type boardRow struct {
	Path     string
	Chip     chip
	Stack    string
	Base     string
	Version  string
	Number   string
	From     link
	By       string
	Headline string
	Detail   string
	Steps    []railStep
	Progress string
	When     when
	Button   string
	Filled   bool
}

type stepRow struct {
	Stack, Version, Number, Path, By string
	Since                            when
	Overridden                       *chip // nil: it passed
}

type recentView struct {
	Rows       []stepRow
	Deliveries []deliveryRow
}

// boardData is what the board shows, read at one time.
type boardData struct {
	runs       []upgrade.Run // newest first: what goes on, and of each stack what ended last
	promoted   []upgrade.Run // the last few
	deliveries []upgrade.Delivery
	envs       envData
	words      words
}

// maxBoard is how many runs of each kind the board looks at.
const maxBoard = 200

// fewRows is how many rows of a group are shown before somebody asks for all.
const fewRows = 25

func ended() []upgrade.Phase {
	return []upgrade.Phase{
		upgrade.PhaseBlocked, upgrade.PhaseFailed, upgrade.PhaseRelocked, upgrade.PhaseUnlocked, upgrade.PhasePromoted,
	}
}

func (s *Server) readBoard(ctx context.Context) (boardData, error) {
	d := boardData{words: s.words()}
	if err := errors.Join(s.readBoardRuns(ctx, &d), s.readRecent(ctx, &d)); err != nil {
		return d, err
	}
	d.envs = s.readEnvs(ctx)
	return d, nil
}

func (s *Server) readBoardRuns(ctx context.Context, d *boardData) error {
	live := []upgrade.Phase{upgrade.PhaseInterrupted} // which keeps its stack until somebody frees it
	for _, p := range upgrade.Phases() {
		if p.Live() {
			live = append(live, p)
		}
	}
	for _, f := range []upgrade.RunFilter{{Phases: live, Limit: maxBoard}, {Phases: ended(), Newest: true, Limit: maxBoard}} {
		found, err := s.runs.Runs(ctx, f)
		if err != nil {
			return fmt.Errorf("list runs for the board: %w", err)
		}
		d.runs = append(d.runs, found...)
	}
	slices.SortFunc(d.runs, func(a, b upgrade.Run) int { return cmp.Compare(b.ID, a.ID) })
	return nil
}

func (s *Server) readRecent(ctx context.Context, d *boardData) (err error) {
	if d.promoted, err = s.runs.Runs(ctx, upgrade.RunFilter{Phases: []upgrade.Phase{upgrade.PhasePromoted}, Limit: 5}); err != nil {
		return fmt.Errorf("list what went to production for the board: %w", err)
	}
	if d.deliveries, err = s.deliveries.Deliveries(ctx, upgrade.DeliveryFilter{Limit: 5}); err != nil {
		return fmt.Errorf("list deliveries for the board: %w", err)
	}
	return nil
}

// sorted is the runs of the board by group, each in the order in which somebody has to act.
type sorted struct{ attention, ready, progress, step []upgrade.Run }

func (d boardData) sort() sorted {
	var out sorted
	decided := map[upgrade.StackName]bool{} // stacks of which a newer run has ended already
	for _, r := range d.runs {              // newest first
		key := r.Stack
		switch {
		case r.Phase == upgrade.PhaseAwaitingApproval, r.Phase == upgrade.PhaseInterrupted:
			out.attention = append(out.attention, r)
		case r.Phase.Live():
			out.progress = append(out.progress, r)
		case decided[key]:
		case r.Phase == upgrade.PhaseUnlocked:
			out.ready, decided[key] = append(out.ready, r), true
		case r.Phase == upgrade.PhasePromoted:
			out.step, decided[key] = append(out.step, r), true
		default:
			out.attention, decided[key] = append(out.attention, r), true
		}
	}
	slices.Reverse(out.attention) // oldest first
	slices.Reverse(out.ready)
	slices.SortStableFunc(out.progress, func(a, b upgrade.Run) int {
		queuedA, queuedB := a.Phase == upgrade.PhaseQueued, b.Phase == upgrade.PhaseQueued
		switch {
		case queuedA != queuedB && queuedA:
			return 1
		case queuedA != queuedB:
			return -1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	slices.SortFunc(out.step, func(a, b upgrade.Run) int { return cmp.Compare(a.Stack, b.Stack) })
	return out
}

func (s *Server) board(ctx context.Context, d boardData, p upgrade.Person) boardPage {
	return boardPage{
		Notice: s.notice, Lead: s.lead(d), Envs: s.boardEnvs(ctx, d.envs), Freeze: s.freezeLine(d.words), Groups: s.groups(d, p), Recent: recent(d),
	}
}

func (s *Server) groups(d boardData, p upgrade.Person) []groupView {
	all := d.sort()
	groups := []groupView{
		{ID: "attention", Title: "Needs attention", Rows: s.rows(all.attention, d.words, p)},
		{ID: "ready", Title: "May go to production", Rows: s.rows(all.ready, d.words, p)},
		{ID: "progress", Title: "In progress", Rows: s.rows(all.progress, d.words, p)},
		{ID: "step", Title: "In step", Beside: plural(len(all.step), "stack") + " with one version in staging and production", Table: stepRows(all.step, d.words)},
	}
	for i := range groups {
		if g := &groups[i]; len(g.Rows) > fewRows {
			g.Rows, g.Rest = g.Rows[:fewRows:fewRows], g.Rows[fewRows:]
		}
	}
	return groups
}

func recent(d boardData) recentView {
	v := recentView{Rows: stepRows(d.promoted, d.words)}
	for _, delivery := range d.deliveries {
		row := deliveryRowOf(delivery, d.words)
		row.When = d.words.stamp(delivery.ReceivedAt)
		v.Deliveries = append(v.Deliveries, row)
	}
	return v
}

// lead is the headline of the board, and that GitLab does not answer, if so.
func (s *Server) lead(d boardData) leadView {
	v := lead(d.sort())
	if s.forge != nil {
		if since := s.forge.SilentSince(); !since.IsZero() {
			v.Silent = d.words.stamp(since)
		}
	}
	return v
}

// lead is the headline of the board: counts in words, good news first.
func lead(all sorted) leadView {
	var said []string
	if n := len(all.ready); n > 0 {
		said = append(said, fmt.Sprintf("%s may go to production.", upperFirst(number(n))))
		if len(said) == 1 {
			said[0] = fmt.Sprintf("%s %s may go to production.", upperFirst(number(n)), upgrades(n))
		}
	}
	if n := len(all.attention); n > 0 {
		verb := "need"
		if n == 1 {
			verb = "needs"
		}
		noun := ""
		if len(said) == 0 {
			noun = " " + upgrades(n)
		}
		said = append(said, fmt.Sprintf("%s%s %s attention.", upperFirst(number(n)), noun, verb))
	}
	if len(said) > 0 {
		return leadView{Headline: strings.Join(said, " ")}
	}
	switch n := len(all.progress); {
	case n == 1:
		return leadView{Headline: "One upgrade is on its way. Nothing needs attention."}
	case n > 1:
		return leadView{Headline: fmt.Sprintf("%s upgrades are on their way. Nothing needs attention.", upperFirst(number(n)))}
	case len(all.step) > 0:
		return leadView{Headline: "Nothing waits."}
	}
	return leadView{
		Headline: "No upgrade has come in yet.",
		Empty:    "One appears here when GitLab reports a push or a merge request that touches a configured stack. Deliveries says what came in, and what came of it.",
	}
}

func upgrades(n int) string {
	if n == 1 {
		return "upgrade"
	}
	return "upgrades"
}

func (s *Server) rows(runs []upgrade.Run, w words, p upgrade.Person) []boardRow {
	var out []boardRow
	for i, r := range runs {
		told := upgrade.Tell(r)
		row := boardRow{
			Path: runPath(r.ID), Chip: chipOf(told.Look, told.Key), Stack: string(r.Stack), Base: r.Base, Version: r.Version, Number: r.ID.String(),
			Headline: told.Headline, Detail: told.Next, Steps: rail(r, nil, 0, w), When: w.ago(r.Since),
		}
		row.From, row.By = s.from(r)
		if told.Live != "" {
			row.Detail = stop(told.Live)
		}
		for _, step := range row.Steps {
			if step.Current {
				row.Progress = string(step.Name) + ": " + step.Text
			}
		}
		row.Button, row.Filled = rowButton(r, i == 0 && p.RoleIn(r.Project).Includes(upgrade.RoleReleaseManager))
		out = append(out, row)
	}
	return out
}

func rowButton(r upgrade.Run, first bool) (text string, filled bool) {
	switch {
	case r.Phase == upgrade.PhaseUnlocked:
		return "See what is next", first
	case r.Phase == upgrade.PhaseAwaitingApproval:
		return "Review the plan", false
	case r.Phase.Live() && r.Phase != upgrade.PhaseQueued:
		return "Watch", false
	case r.Phase == upgrade.PhaseBlocked, r.Phase == upgrade.PhaseFailed:
		return "See what to fix", false
	}
	return "Open", false
}

func stepRows(runs []upgrade.Run, w words) []stepRow {
	var out []stepRow
	for _, r := range runs {
		row := stepRow{Stack: string(r.Stack), Version: r.Version, Number: r.ID.String(), Path: runPath(r.ID), By: r.Author, Since: w.stamp(r.PromotedAt)}
		if r.Verdict != upgrade.VerdictOpen && r.Override != nil {
			c := chipOf(upgrade.KeyOverridden.Look(), upgrade.KeyOverridden)
			row.Overridden = &c
		}
		out = append(out, row)
	}
	return out
}

// deliveryRow is one delivery with what came of it.
type deliveryRow struct {
	Number       string
	When         when
	Event, About string
	Project      string
	Chip         chip
	Reason       string
	Runs         []link
	ID           string
	Play         string // address that has it looked at anew; empty: that makes no sense
}

func deliveryRowOf(d upgrade.Delivery, w words) deliveryRow {
	row := deliveryRow{
		Number: fmt.Sprint(d.Number), When: w.second(d.ReceivedAt), Event: strings.TrimSuffix(d.Event, " Hook"), About: about(d.Hint),
		Project: d.Hint.Project, Chip: chipOf(fateLook(d.Fate), ""), Reason: stop(d.Reason), ID: string(d.ID),
	}
	if replayable(d) {
		row.Play = "/deliveries/" + url.PathEscape(string(d.ID)) + "/play"
	}
	for _, id := range d.Runs {
		row.Runs = append(row.Runs, link{Text: "run " + id.String(), Href: runPath(id)})
	}
	return row
}
