package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// auditLogPage is who did what, newest first.
type auditLogPage struct {
	Headline string
	Rows     []auditLogRow
	Next     string
	Filters  []auditFilter
	Results  []navItem
	Who      string
	Run      string
	Since    string
	Until    string
	Clear    bool // something restricts the list
}

// auditFilter is a choice of one word.
type auditFilter struct {
	Name, Label, Any string
	Options          []auditOption
}

type auditOption struct {
	Value, Text string
	Chosen      bool
}

type auditLogRow struct {
	Number, Who, Via, From, Act, On, Why, Detail string
	When                                         when
	Path                                         string // of what it was done to
	Chip                                         chip
}

func (s *Server) auditPage(c *gin.Context) error {
	q := newQuery(c, "who", "act", "stack", "run", "result", "since", "until", "before")
	f := upgrade.AuditFilter{
		Who: q.values.Get("who"), Act: upgrade.Act(q.values.Get("act")), Stack: upgrade.StackName(q.values.Get("stack")), Run: upgrade.RunID(q.integer("run", 0, 0)),
		Result: upgrade.AuditResult(q.values.Get("result")), Since: q.time("since"), Until: q.time("until"), Before: q.integer("before", 0, 0), Limit: pageSize + 1,
	}
	if q.err != nil {
		return q.err
	}
	if err := upgrade.May(person(c), upgrade.ActRead, upgrade.Object{Name: "the audit log"}); err != nil {
		return err
	}
	if !f.Until.IsZero() && len(q.values.Get("until")) == len("2006-01-02") {
		f.Until = f.Until.AddDate(0, 0, 1) // a day is meant with all of it
	}
	found, err := s.audit.Audit(c.Request.Context(), f)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	page, w := s.auditFilters(q.values), s.words()
	cut := paged(c, found, pageSize, "before", func(e upgrade.AuditEntry) int64 { return e.Seq })
	page.Next = cut.Next
	for _, e := range cut.Items {
		page.Rows = append(page.Rows, auditRowOf(e, w))
	}
	return s.show(c, http.StatusOK, "audit", s.layout(c, "Audit", page))
}

// auditFilters describes what restricts the list, and what could.
func (s *Server) auditFilters(values url.Values) auditLogPage {
	page := auditLogPage{
		Headline: "Who did what", Who: values.Get("who"), Run: values.Get("run"), Since: values.Get("since"), Until: values.Get("until"),
	}
	acts := auditFilter{Name: "act", Label: "What", Any: "anything"}
	for _, act := range append(upgrade.Acts()[1:], upgrade.ActSignIn, upgrade.ActSignOut, upgrade.ActByRule) { // reading is not kept
		acts.Options = append(acts.Options, auditOption{string(act), actTitle(act), values.Get("act") == string(act)})
	}
	stacks := auditFilter{Name: "stack", Label: "Stack", Any: "all stacks"}
	for _, stack := range s.stacks {
		stacks.Options = append(stacks.Options, auditOption{string(stack.Name), string(stack.Name), values.Get("stack") == string(stack.Name)})
	}
	page.Filters = []auditFilter{acts, stacks}
	for _, result := range []upgrade.AuditResult{"", upgrade.AuditDone, upgrade.AuditAsked, upgrade.AuditRefused, upgrade.AuditFailed} {
		others := url.Values{}
		for _, name := range []string{"who", "act", "stack", "run", "since", "until"} {
			if values.Get(name) != "" {
				others.Set(name, values.Get(name))
				page.Clear = true
			}
		}
		title := "All"
		if result != "" {
			title = auditLook(result).Word
			others.Set("result", string(result))
		}
		page.Results = append(page.Results, navItem{Title: title, Path: address("/audit", others), Current: values.Get("result") == string(result)})
	}
	page.Clear = page.Clear || values.Get("result") != ""
	return page
}

func auditRowOf(e upgrade.AuditEntry, w words) auditLogRow {
	row := auditLogRow{
		Number: fmt.Sprint(e.Seq), When: w.second(e.At), Who: e.Who, Via: e.Via, From: e.From, Act: actTitle(e.Act), On: e.On, Why: e.Why, Detail: stop(e.Detail), Chip: chipOf(auditLook(e.Result), ""),
	}
	if row.Who == "" || row.Who == upgrade.ByRule().Name || e.Act == upgrade.ActByRule {
		row.Who = upgrade.ByRule().Name
	}
	if e.Run != 0 {
		row.Path = runPath(e.Run)
	}
	return row
}

// auditLook is how what came of an act is shown.
func auditLook(r upgrade.AuditResult) upgrade.Look {
	switch r {
	case upgrade.AuditDone:
		return upgrade.Look{Word: "Done", Icon: upgrade.IconOK, Tone: upgrade.ToneOK}
	case upgrade.AuditAsked:
		return upgrade.Look{Word: "Asked", Icon: upgrade.IconWait, Tone: upgrade.ToneIdle}
	case upgrade.AuditRefused:
		return upgrade.Look{Word: "Refused", Icon: upgrade.IconLock, Tone: upgrade.ToneWarn}
	case upgrade.AuditFailed:
		return upgrade.Look{Word: "Failed", Icon: upgrade.IconBad, Tone: upgrade.ToneBad}
	}
	return upgrade.Look{Word: string(r), Icon: upgrade.IconUnk, Tone: upgrade.ToneWarn}
}

// actTitle is what an act is called on pages. One that is not listed keeps its own name, legibly.
func actTitle(a upgrade.Act) string {
	titles := map[upgrade.Act]string{
		upgrade.ActReadBodies: "Read a delivery", upgrade.ActPlay: "Play a delivery again", upgrade.ActStop: "Stop", upgrade.ActRecheck: "Run the gates again",
		upgrade.ActRetry: "Run from the plan", upgrade.ActRehearse: "Rehearse again", upgrade.ActRelock: "Lock again", upgrade.ActApprove: "Agree to the apply",
		upgrade.ActRefuse: "Say no to the apply", upgrade.ActResolve: "Free the stack", upgrade.ActOverride: "Override", upgrade.ActSetBase: "Set the base",
		upgrade.ActRefreshState: "Read a state", upgrade.ActCheck: "Check an invariant", upgrade.ActInvite: "Invite an agent", upgrade.ActRevokeAgent: "Revoke an agent",
		upgrade.ActHooks: "Change a hook", upgrade.ActOwnAccess: "Sessions and tokens", upgrade.ActOthersAccess: "Sessions and tokens of others",
		upgrade.ActSignIn: "Sign in", upgrade.ActSignOut: "Sign out", upgrade.ActByRule: "By rule",
	}
	if title := titles[a]; title != "" {
		return title
	}
	return upperFirst(strings.NewReplacer(".", " ", "_", " ").Replace(string(a)))
}
