package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// logPage is a log, from its end backwards.
type logPage struct {
	Number, Path, Stage, Raw string
	Stages                   []navItem
	Log                      logView
	From, To, All            int // which lines this page has, counted from 1
	Before, After            string
}

func (s *Server) logPage(c *gin.Context) error {
	q := newQuery(c, "to")
	to := int(q.integer("to", 0, 1_000_000_000))
	if q.err != nil {
		return q.err
	}
	run, err := s.run(c)
	if err != nil {
		return err
	}
	stage := c.Param("stage")
	page := logPage{
		Number: run.ID.String(), Path: runPath(run.ID), Stage: upperFirst(stage), Raw: fmt.Sprintf("/api/v1/runs/%d/log/%s", run.ID, url.PathEscape(stage)),
	}
	for _, one := range stages() {
		page.Stages = append(page.Stages, navItem{Title: upperFirst(one), Path: page.Path + "/log/" + one, Current: one == stage})
	}
	if err := s.fillLog(c, &page, run, stage, to); err != nil {
		if !slices.Contains(stages(), stage) || upgrade.CodeOf(err) != upgrade.CodeNotFound {
			return err
		}
		page.Log.Empty = told(err)
	}
	if len(page.Log.Lines) == 0 && page.Log.Empty == "" {
		page.Log.Empty = nothingWritten(run)
	}
	return s.show(c, http.StatusOK, "log", s.layout(c, fmt.Sprintf("Log of run %d: %s", run.ID, stage), page))
}

// fillLog reads the lines up to one, or the last ones.
func (s *Server) fillLog(c *gin.Context, page *logPage, run upgrade.Run, stage string, to int) error {
	r, err := s.openLog(c.Request.Context(), run, stage)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read from
	if to > 0 {
		to = max(to, pageLines) // the first page is as long as the others
	}
	raw, total, err := lastLines(r, pageLines, to)
	if err != nil {
		return fmt.Errorf("read the log %s of run %d: %w", stage, run.ID, err)
	}
	w := s.words()
	for _, one := range raw {
		page.Log.Lines = append(page.Log.Lines, logLine(one, w))
	}
	page.All, page.To = total, total
	if to > 0 {
		page.To = min(to, total)
	}
	page.From = page.To - len(raw) + 1
	at := func(line int) string {
		return page.Path + "/log/" + url.PathEscape(stage) + "?to=" + strconv.Itoa(line)
	}
	if page.From > 1 {
		page.Before = at(page.From - 1)
	}
	if page.To < page.All {
		page.After = at(min(page.To+pageLines, page.All))
	}
	return nil
}
