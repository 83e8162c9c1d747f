package server

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// journalRows is how many events of a journal are on one page.
const journalRows = 100

// replayView is a run's journal, event by event.
type replayView struct {
	Path, Run, Stack, Number string
	Scene                    *sceneView // nil: there is no event
	Length                   int64      // of the playback, in milliseconds
	Long                     string     // in words
	Idle                     string     // what is not played; empty: everything is
	Live                     bool       // the run goes on
	Asked                    when       // up to when the journal is here
	Onward                   string     // address of the same page with what came since, at the last event of this one
	All                      int
	Rows                     []journalRow
	From, To                 int
	Before, After            string
}

// sceneView is the run as it was at one event.
type sceneView struct {
	Path                       string
	Seq, Play, Next            int64 // number of the event; when it and the next are played, in milliseconds
	N, All                     int
	Chip                       chip
	Headline, Happened, Who    string
	When                       when
	Into                       string // how long after the run began
	Causes                     []string
	Rail                       railView
	Gates                      gatesView
	Plan                       planView
	First, Earlier, Later, End string // addresses; empty: this is it
}

type journalRow struct {
	Seq             int64
	Path, Text, Who string
	When            when
	Into            string
	Current         bool
}

// replayData reads a run, and which of its events is asked for: by number, or by time of the playback.
func (s *Server) replayData(c *gin.Context) (d runData, p playback, index int, err error) {
	q := newQuery(c, "at", "t")
	seq, at := q.integer("at", 0, 0), q.integer("t", 0, 0)
	id, err := runID(c)
	if err == nil {
		err = q.err
	}
	if err != nil {
		return d, p, 0, err
	}
	if d, err = s.read(c.Request.Context(), id); err != nil {
		return d, p, 0, err
	}
	p = playbackOf(d.events)
	if at > 0 {
		return d, p, p.index(time.Duration(min(at, p.length().Milliseconds()+1)) * time.Millisecond), nil
	}
	for i, e := range d.events {
		if e.Seq == seq {
			return d, p, i, nil
		}
	}
	if seq > 0 {
		return d, p, 0, &upgrade.Error{
			Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("the journal of run %d has no event %d", id, seq), Hint: fmt.Sprintf("it has %d", len(d.events)),
		}
	}
	return d, p, 0, nil
}

func (s *Server) replayPage(c *gin.Context) error {
	d, p, index, err := s.replayData(c)
	if err != nil {
		return err
	}
	path := runPath(d.run.ID)
	v := replayView{
		Path: path + "/replay", Run: path, Stack: string(d.run.Stack), Number: d.run.ID.String(), Length: p.length().Milliseconds(), Long: span(p.length().Round(time.Second)),
		Live: d.run.Phase.Live(), All: len(d.events), Asked: d.words.second(d.words.now), Onward: path + "/replay",
	}
	if len(d.events) > 0 {
		v.Onward += fmt.Sprintf("?at=%d", d.events[len(d.events)-1].Seq)
	}
	if p.stretches > 0 {
		what := "1 stretch in which nothing happened is"
		if p.stretches > 1 {
			what = fmt.Sprintf("%d stretches in which nothing happened are", p.stretches)
		}
		v.Idle = fmt.Sprintf("%s shortened to %s of the run: %s are left out.", what, span(longestIdle), span(p.idle.Round(time.Second)))
	}
	if len(d.events) > 0 {
		v.Scene = s.sceneOf(d, p, index)
		v.fill(d, index)
	}
	l := s.layout(c, fmt.Sprintf("Time-lapse: run %d of %s", d.run.ID, d.run.Stack), v)
	l.Script = "replay.js"
	return s.show(c, http.StatusOK, "replay", l)
}

// replayScene is the piece of the page that changes, from the very template that the page uses.
func (s *Server) replayScene(c *gin.Context) error {
	d, p, index, err := s.replayData(c)
	if err != nil {
		return err
	}
	if len(d.events) == 0 {
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("the journal of run %d is empty", d.run.ID)}
	}
	return s.showPart(c, "replay", "part-scene", s.sceneOf(d, p, index))
}

func (s *Server) sceneOf(d runData, p playback, index int) *sceneView {
	then, event, last := d.asOf(index), d.events[index], len(d.events)-1
	told := upgrade.Tell(then.run)
	v := &sceneView{
		Path: runPath(d.run.ID) + "/replay", Seq: event.Seq, Play: p.at[index].Milliseconds(), Next: -1, N: index + 1, All: last + 1,
		Chip: chipOf(told.Look, told.Key), Headline: headlineOf(then.events), Happened: stop(event.Text), When: then.words.second(event.At),
		Into: into(d, event), Rail: railView{Path: runPath(d.run.ID), Steps: rail(then.run, then.counted(), then.applied(), then.words)}, Gates: gates(then), Plan: planOf(then),
	}
	if event.Who != "" && event.Who != upgrade.ByRule().Name {
		v.Who = event.Who
	}
	for _, cause := range then.run.Causes {
		v.Causes = append(v.Causes, stop(cause.Message))
	}
	if len(v.Gates.Gates) == 0 {
		v.Gates.Empty = "No gate had answered by then."
	}
	if then.run.Applies == 0 && v.Plan.Known {
		v.Plan.Empty = "Nothing had been applied by then."
	}
	at := func(i int) string { return v.Path + "?at=" + strconv.FormatInt(d.events[i].Seq, 10) }
	if index > 0 {
		v.First, v.Earlier = at(0), at(index-1)
	}
	if index < last {
		v.Later, v.End, v.Next = at(index+1), at(last), p.at[index+1].Milliseconds()
	}
	return v
}

// into is how long after a run's first event another one was.
func into(d runData, e upgrade.Event) string { return span(e.At.Sub(d.events[0].At)) }

// fill lists the events around one, by the hundred.
func (v *replayView) fill(d runData, index int) {
	from := index / journalRows * journalRows
	to := min(from+journalRows, len(d.events))
	for i, e := range d.events[from:to] {
		row := journalRow{
			Seq: e.Seq, Path: fmt.Sprintf("%s?at=%d", v.Path, e.Seq), Text: stop(e.Text), Who: e.Who, When: d.words.second(e.At), Into: into(d, e), Current: from+i == index,
		}
		if row.Who == "" {
			row.Who = upgrade.ByRule().Name
		}
		v.Rows = append(v.Rows, row)
	}
	v.From, v.To = from+1, to
	if from > 0 {
		v.Before = fmt.Sprintf("%s?at=%d", v.Path, d.events[from-journalRows].Seq)
	}
	if to < len(d.events) {
		v.After = fmt.Sprintf("%s?at=%d", v.Path, d.events[to].Seq)
	}
}
