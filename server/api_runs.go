package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// maxPage is the longest list that one answer of the API holds.
const maxPage = 200

// maxSearch is the longest text that is looked for, in bytes.
const maxSearch = 200

// page is a list and where it goes on.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // address of the next page; absent on the last one
}

// paged cuts a list that was asked for with one more than limit, and says where it goes on.
func paged[T any](c *gin.Context, items []T, limit int, cursor string, last func(T) int64) page[T] {
	if len(items) <= limit {
		return page[T]{Items: items}
	}
	items = items[:limit]
	return goesOn(c, items, cursor, last(items[limit-1]))
}

// goesOn is a list that goes on behind a number.
func goesOn[T any](c *gin.Context, items []T, cursor string, behind int64) page[T] {
	q := c.Request.URL.Query()
	q.Set(cursor, strconv.FormatInt(behind, 10))
	next := c.Request.URL.Path + "?" + q.Encode()
	c.Header("Link", "<"+next+`>; rel="next"`)
	return page[T]{Items: items, Next: next}
}

// query reads the parameters of a list, and refuses what it does not know: a misspelt filter must not
// look like one that matches everything.
type query struct {
	values url.Values
	err    error
}

func newQuery(c *gin.Context, known ...string) *query {
	q := &query{values: c.Request.URL.Query()}
	for name := range q.values {
		found := false
		for _, k := range known {
			found = found || k == name
		}
		if !found {
			q.err = &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("there is no parameter %q here", name),
				Hint: "known are " + strings.Join(known, ", "),
			}
		}
	}
	return q
}

func (q *query) integer(name string, fallback, most int64) int64 {
	raw := q.values.Get(name)
	if raw == "" {
		return fallback
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 0 || most > 0 && n > most {
		q.err = invalid("%s=%q is not a number from 0 to %d", name, raw, most)
		if most == 0 {
			q.err = invalid("%s=%q is not a number", name, raw)
		}
		return fallback
	}
	return n
}

// limit is how many items are asked for; 0 is as good as nothing said.
func (q *query) limit() int {
	n := int(q.integer("limit", 50, maxPage))
	if n == 0 {
		return 50
	}
	return n
}

func (q *query) phases() []upgrade.Phase {
	var phases []upgrade.Phase
	for _, raw := range q.values["phase"] {
		for name := range strings.SplitSeq(raw, ",") {
			p := upgrade.Phase(name)
			if !p.Valid() {
				q.err = invalid("phase=%q is not a phase", name)
				return nil
			}
			phases = append(phases, p)
		}
	}
	return phases
}

func runID(c *gin.Context) (upgrade.RunID, error) {
	raw := c.Param("id")
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 1 {
		return 0, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no run %q", raw), Hint: "runs are numbered from 1"}
	}
	return upgrade.RunID(n), nil
}

func (s *Server) apiRuns(c *gin.Context) error {
	q := newQuery(c, "q", "month", "stack", "phase", "project_id", "upgrade", "commit", "tree", "before", "limit")
	limit := q.limit()
	f := upgrade.RunFilter{
		Stack: upgrade.StackName(q.values.Get("stack")), Upgrade: upgrade.UpgradeID(q.integer("upgrade", 0, 0)),
		ProjectID: q.integer("project_id", 0, 0), Tree: upgrade.Tree(q.values.Get("tree")), Commit: upgrade.Commit(q.values.Get("commit")),
		Phases: q.phases(), Before: upgrade.RunID(q.integer("before", 0, 0)), Limit: limit + 1,
	}
	if q.err != nil {
		return q.err
	}
	found, older, err := s.findRuns(c.Request.Context(), q, f)
	if err != nil {
		return fmt.Errorf("list runs: %w", err)
	}
	out := make([]wireRun, 0, len(found))
	for _, r := range found {
		out = append(out, s.wireRun(r))
	}
	if older != 0 { // a search that looked far enough for once may go on even if it found few
		writeJSON(c, http.StatusOK, jsonType, goesOn(c, out, "before", int64(older)))
		return nil
	}
	writeJSON(c, http.StatusOK, jsonType, paged(c, out, limit, "before", func(r wireRun) int64 { return int64(r.ID) }))
	return nil
}

// findRuns lists runs, or looks for them by what people remember as the history page does; older is where such
// a search goes on.
func (s *Server) findRuns(ctx context.Context, q *query, f upgrade.RunFilter) (found []upgrade.Run, older upgrade.RunID, err error) {
	by := upgrade.RunSearch{Text: strings.TrimSpace(q.values.Get("q")), Stack: f.Stack, Phases: f.Phases, Month: q.month("month"), Before: f.Before, Limit: f.Limit - 1}
	switch {
	case q.err != nil:
		return nil, 0, q.err
	case len(by.Text) > maxSearch:
		return nil, 0, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("q is longer than %d bytes", maxSearch), Hint: "a few words find a run"}
	case by.Text == "" && by.Month == 0:
		found, err = s.runs.Runs(ctx, f)
		return found, 0, err
	case f.Upgrade != 0 || f.ProjectID != 0 || f.Tree != "" || f.Commit != "":
		return nil, 0, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "q and month do not go with project_id, upgrade, commit and tree", Hint: "a commit is found by q too"}
	}
	return s.searches.SearchRuns(ctx, by)
}

func (s *Server) apiRun(c *gin.Context) error {
	run, err := s.run(c)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, jsonType, s.wireRun(run))
	return nil
}

// run reads the run that the address names.
func (s *Server) run(c *gin.Context) (upgrade.Run, error) {
	id, err := runID(c)
	if err != nil {
		return upgrade.Run{}, err
	}
	run, err := s.runs.Run(c.Request.Context(), id)
	if err != nil {
		return upgrade.Run{}, fmt.Errorf("read run %d: %w", id, err)
	}
	return run, nil
}

func (s *Server) apiEvents(c *gin.Context) error {
	q := newQuery(c, "after", "limit")
	limit, after := q.limit(), q.integer("after", 0, 0)
	if q.err != nil {
		return q.err
	}
	run, err := s.run(c)
	if err != nil {
		return err
	}
	events, err := s.journal.Events(c.Request.Context(), upgrade.EventFilter{Run: run.ID, After: after, Limit: limit + 1})
	if err != nil {
		return fmt.Errorf("read events of run %d: %w", run.ID, err)
	}
	out := make([]wireEvent, 0, len(events))
	for _, e := range events {
		out = append(out, wireEventOf(e))
	}
	writeJSON(c, http.StatusOK, jsonType, paged(c, out, limit, "after", func(e wireEvent) int64 { return e.Seq }))
	return nil
}

// apiResults answers every result of the run, in order of arrival.
func (s *Server) apiResults(c *gin.Context) error {
	return s.writeResults(c, func(_ wayBack, all []upgrade.Result) []upgrade.Result { return all })
}

// apiGates answers the last result of each gate and environment.
func (s *Server) apiGates(c *gin.Context) error {
	return s.writeResults(c, func(w wayBack, all []upgrade.Result) []upgrade.Result { return w.newest(all) })
}

func (s *Server) writeResults(c *gin.Context, choose func(wayBack, []upgrade.Result) []upgrade.Result) error {
	run, err := s.run(c)
	if err != nil {
		return err
	}
	all, err := s.evidence.Results(c.Request.Context(), run.ID)
	if err != nil {
		return fmt.Errorf("read results of run %d: %w", run.ID, err)
	}
	applies, err := s.evidence.Applies(c.Request.Context(), run.ID)
	if err != nil {
		return fmt.Errorf("read applies of run %d: %w", run.ID, err)
	}
	now, out, back := s.clock.Now(), []wireResult{}, wayBackOf(run, applies)
	for _, r := range choose(back, all) {
		out = append(out, wireResultOf(r, back.has(r), now))
	}
	writeJSON(c, http.StatusOK, jsonType, page[wireResult]{Items: out})
	return nil
}
