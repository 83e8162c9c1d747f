package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// runData is everything that is known of a run, read at one time.
type runData struct {
	run      upgrade.Run
	all      []upgrade.Result // in order of arrival
	results  []upgrade.Result // the newest of each gate
	back     wayBack          // which of them are about a rehearsal's way back
	applies  []upgrade.Apply
	orders   []upgrade.Order
	requests []upgrade.Request
	events   []upgrade.Event
	newer    upgrade.RunID // newest run of the same stack, 0 if this is it
	repeated bool          // that one is another attempt of the same content
	next     upgrade.RunID // the first that waits for this one's way to production to end; 0: none
	envs     envData
	words    words
}

// seq is the number of the last event that was read: the live stream starts behind it.
func (d runData) seq() int64 {
	if len(d.events) == 0 {
		return 0
	}
	return d.events[len(d.events)-1].Seq
}

// read reads all that the page of a run shows. The journal comes first: what happens while the rest
// is read is told again by the stream.
func (s *Server) read(ctx context.Context, id upgrade.RunID) (runData, error) {
	d := runData{words: s.words()}
	var errs [6]error
	d.events, errs[0] = s.allEvents(ctx, id)
	d.run, errs[1] = s.runs.Run(ctx, id)
	if errs[1] != nil { // nothing else matters
		return d, fmt.Errorf("read run %d: %w", id, errs[1])
	}
	d.all, errs[2] = s.evidence.Results(ctx, id)
	d.applies, errs[3] = s.evidence.Applies(ctx, id)
	d.orders, errs[4] = s.evidence.Orders(ctx, d.run.Upgrade)
	d.requests, errs[5] = s.runs.OpenRequests(ctx, id)
	if err := errors.Join(errs[:]...); err != nil {
		return d, fmt.Errorf("read what run %d found: %w", id, err)
	}
	d.back = wayBackOf(d.run, d.applies)
	d.results = d.back.newest(d.all)
	latest, err := s.runs.Runs(ctx, upgrade.RunFilter{Stack: d.run.Stack, ProjectID: d.run.ProjectID, Limit: 1})
	if err != nil {
		return d, fmt.Errorf("find newer runs of %s: %w", d.run.Stack, err)
	}
	if len(latest) > 0 && latest[0].ID > id {
		d.newer, d.repeated = latest[0].ID, latest[0].Upgrade == d.run.Upgrade
	}
	d.envs = s.readEnvs(ctx)
	if actNamed("relock").allowed(d.run) {
		d.next, err = s.nextInLine(ctx, d.run)
	}
	return d, err
}

// allEvents reads a run's whole journal.
func (s *Server) allEvents(ctx context.Context, id upgrade.RunID) ([]upgrade.Event, error) {
	const many = 5000
	var all []upgrade.Event
	for after := int64(0); ; after = all[len(all)-1].Seq {
		some, err := s.journal.Events(ctx, upgrade.EventFilter{Run: id, After: after, Limit: many})
		if err != nil {
			return nil, fmt.Errorf("read the journal: %w", err)
		}
		if all = append(all, some...); len(some) < many {
			return all, nil
		}
	}
}

// counted returns the newest result of each gate, without those of a way back.
func (d runData) counted() []upgrade.Result { return d.back.counted(d.results) }

// applied is how long the last apply took, or has taken so far.
func (d runData) applied() time.Duration {
	if len(d.applies) == 0 {
		return 0
	}
	last := d.applies[len(d.applies)-1]
	switch {
	case last.BegunAt.IsZero():
		return 0
	case !last.EndedAt.IsZero():
		return last.EndedAt.Sub(last.BegunAt)
	case d.run.Phase == upgrade.PhaseApplying:
		return d.words.now.Sub(last.BegunAt)
	}
	return 0
}

// runPage is the page of one run. Each field is a part that can be had alone.
type runPage struct {
	Path    string
	Title   string
	Crumbs  crumbs
	Flash   string
	Verdict verdictView
	Rail    railView
	Gates   gatesView
	Plan    planView
	Log     logView
	Facts   factsView
	Audit   auditView
}

type crumbs struct {
	Stack        string
	Number       string
	Base         string
	Version      string
	From         link
	When         when
	WhenWord     string // started, finished
	Newer        string // path of a newer run of the stack; empty: none
	NewerText    string
	ShowsVersion bool
}

type railView struct {
	Path  string
	Steps []railStep
}

// page returns the model of the whole page.
func (s *Server) runPage(ctx context.Context, d runData, p upgrade.Person) runPage {
	r, path := d.run, runPath(d.run.ID)
	told := upgrade.Tell(r)
	return runPage{
		Path:    path,
		Title:   fmt.Sprintf("%s: %s %s", told.Look.Word, r.Stack, r.Version),
		Crumbs:  s.crumbs(d),
		Verdict: s.verdict(d, p),
		Rail:    railView{Path: path, Steps: rail(r, d.counted(), d.applied(), d.words)},
		Gates:   gates(d),
		Plan:    planOf(d),
		Log:     s.logTail(ctx, d),
		Facts:   s.facts(d),
		Audit:   auditOf(d),
	}
}

func (s *Server) crumbs(d runData) crumbs {
	from, _ := s.from(d.run)
	c := crumbs{
		Stack: string(d.run.Stack), Number: d.run.ID.String(), Base: d.run.Base, Version: d.run.Version, From: from,
		When: d.words.ago(d.run.CreatedAt), WhenWord: "started", ShowsVersion: d.run.Version != "",
	}
	if !d.run.Phase.Live() {
		c.When, c.WhenWord = d.words.ago(d.run.Since), "finished"
		if d.run.Phase == upgrade.PhaseUnlocked {
			c.WhenWord = "unlocked"
		}
	}
	if d.newer > 0 {
		c.Newer, c.NewerText = runPath(d.newer), "Run "+d.newer.String()+" is a newer one of this stack"
	}
	return c
}
