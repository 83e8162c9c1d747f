package server

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

type wireAudit struct {
	Seq     int64               `json:"seq"`
	At      time.Time           `json:"at"` // in milliseconds
	Who     string              `json:"who"`
	User    int64               `json:"gitlab_user_id"` // 0: not known
	Via     string              `json:"via"`
	From    string              `json:"from"`
	Act     upgrade.Act         `json:"act"`
	On      string              `json:"on"`
	Project string              `json:"project"`
	Stack   upgrade.StackName   `json:"stack"`
	Run     upgrade.RunID       `json:"run"` // 0: none
	Why     string              `json:"why"`
	Result  upgrade.AuditResult `json:"result"`
	Detail  string              `json:"detail"`
	Prev    string              `json:"prev"`
	Hash    string              `json:"hash"`
}

func wireAuditOf(e upgrade.AuditEntry) wireAudit {
	return wireAudit{e.Seq, e.At.UTC(), e.Who, e.User, e.Via, e.From, e.Act, e.On, e.Project, e.Stack, e.Run, e.Why, e.Result, e.Detail, e.Prev, e.Hash}
}

// wireAuditCheck says whether the log is whole.
type wireAuditCheck struct {
	Entries int64    `json:"entries"`
	Head    string   `json:"head"` // number and hash of the newest one, to be noted elsewhere
	Whole   bool     `json:"whole"`
	Wrong   []string `json:"wrong"` // at most 100 sentences, each naming an entry
}

// time reads a time, zero if it is not given.
func (q *query) time(name string) time.Time {
	raw := q.values.Get(name)
	if raw == "" {
		return time.Time{}
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, raw); err == nil {
			return t
		}
	}
	q.err = invalid("%s=%q is not a time such as 2026-11-23T09:00:00Z", name, raw)
	return time.Time{}
}

func (s *Server) apiAudit(c *gin.Context) error {
	q := newQuery(c, "who", "act", "stack", "run", "result", "since", "until", "before", "limit")
	limit := q.limit()
	f := upgrade.AuditFilter{
		Who: q.values.Get("who"), Act: upgrade.Act(q.values.Get("act")), Stack: upgrade.StackName(q.values.Get("stack")), Run: upgrade.RunID(q.integer("run", 0, 0)),
		Result: upgrade.AuditResult(q.values.Get("result")), Since: q.time("since"), Until: q.time("until"), Before: q.integer("before", 0, 0), Limit: limit + 1,
	}
	if q.err != nil {
		return q.err
	}
	if err := upgrade.May(person(c), upgrade.ActRead, upgrade.Object{Name: "the audit log"}); err != nil {
		return err
	}
	found, err := s.audit.Audit(c.Request.Context(), f)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	out := make([]wireAudit, 0, len(found))
	for _, e := range found {
		out = append(out, wireAuditOf(e))
	}
	writeJSON(c, http.StatusOK, jsonType, paged(c, out, limit, "before", func(e wireAudit) int64 { return e.Seq }))
	return nil
}

// apiAuditExport writes the whole log, the oldest entry first: as JSON lines, by which it can be verified
// again, or as CSV.
func (s *Server) apiAuditExport(c *gin.Context) error {
	q := newQuery(c, "format")
	if q.err != nil {
		return q.err
	}
	var write func(upgrade.AuditEntry) error
	flush := func() error { return nil }
	switch format := q.values.Get("format"); format {
	case "", "jsonl":
		c.Header("Content-Type", "application/jsonl")
		enc := json.NewEncoder(patient{c.Writer})
		enc.SetEscapeHTML(false)
		write = func(e upgrade.AuditEntry) error { return enc.Encode(wireAuditOf(e)) }
	case "csv":
		c.Header("Content-Type", "text/csv; charset=utf-8")
		c.Header("Content-Disposition", `attachment; filename="audit.csv"`)
		w := csv.NewWriter(patient{c.Writer})
		if err := w.Write(AuditColumns()); err != nil {
			return fmt.Errorf("write the audit log: %w", err)
		}
		write = func(e upgrade.AuditEntry) error { return w.Write(AuditRow(e)) }
		flush = func() error { w.Flush(); return w.Error() }
	default:
		return invalid("format=%q is neither csv nor jsonl", format)
	}
	_, err := s.audit.WalkAudit(c.Request.Context(), write)
	if err == nil {
		err = flush()
	}
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// AuditColumns are the columns of the audit log as CSV.
func AuditColumns() []string {
	return []string{"seq", "at", "who", "gitlab_user_id", "via", "from", "act", "on", "project", "stack", "run", "why", "result", "detail", "prev", "hash"}
}

// AuditRow is an entry of the audit log as CSV. A spreadsheet must not take what somebody typed for a formula.
func AuditRow(e upgrade.AuditEntry) []string {
	row := []string{
		strconv.FormatInt(e.Seq, 10), e.At.UTC().Format(time.RFC3339Nano), e.Who, strconv.FormatInt(e.User, 10), e.Via, e.From, string(e.Act), e.On, e.Project,
		string(e.Stack), e.Run.String(), e.Why, string(e.Result), e.Detail, e.Prev, e.Hash,
	}
	for i, cell := range row {
		row[i] = harmless(cell)
	}
	return row
}

const maxWrong = 100

func (s *Server) apiAuditVerify(c *gin.Context) error {
	q := newQuery(c)
	if q.err != nil {
		return q.err
	}
	check := wireAuditCheck{Wrong: []string{}}
	var chain upgrade.AuditChain
	note := func(wrong string) {
		if wrong != "" && len(check.Wrong) < maxWrong {
			check.Wrong = append(check.Wrong, wrong)
		}
	}
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Time{}) // a recorder in a test has none
	head, err := s.audit.WalkAudit(c.Request.Context(), func(e upgrade.AuditEntry) error {
		check.Entries++
		note(chain.Next(e))
		return nil
	})
	if err != nil {
		return fmt.Errorf("verify the audit log: %w", err)
	}
	note(chain.End(head))
	check.Head, check.Whole = head.String(), len(check.Wrong) == 0
	writeJSON(c, http.StatusOK, jsonType, check)
	return nil
}
