package server

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// pageSize is how many rows the lists on pages have.
const pageSize = 50

// historyPage is the runs that a search finds, newest first.
type historyPage struct {
	Headline string
	Text     string
	Hidden   []factView // filters that the search field keeps
	Filters  []historyFilter
	Rows     []historyRow
	Next     string
	Empty    string // why there is no row
	Clear    bool   // something restricts the list
}

// historyFilter is links that restrict the list in one way, with how many they leave.
type historyFilter struct {
	Name  string
	Links []countLink
	More  []countLink // folded
}

type countLink struct {
	Title, Path string
	N           string
	Current     bool
}

type historyRow struct {
	Path, Number, Stack, Base, Version, By, Cause, Took string
	From                                                link
	Chip                                                chip
	When                                                when
}

// verdicts groups the phases of runs as people look for them.
func verdicts() []struct {
	Title  string
	Phases []upgrade.Phase
} {
	return []struct {
		Title  string
		Phases []upgrade.Phase
	}{
		{"In production", []upgrade.Phase{upgrade.PhasePromoted}},
		{"May go", []upgrade.Phase{upgrade.PhaseUnlocked}},
		{"Blocked", []upgrade.Phase{upgrade.PhaseBlocked}},
		{"Failed", []upgrade.Phase{upgrade.PhaseFailed, upgrade.PhaseInterrupted}},
		{"Locked again", []upgrade.Phase{upgrade.PhaseRelocked}},
		{"Stopped or replaced", []upgrade.Phase{upgrade.PhaseStopped, upgrade.PhaseSuperseded}},
	}
}

// month reads a month such as 2026-11.
func (q *query) month(name string) upgrade.Month {
	raw := q.values.Get(name)
	if raw == "" {
		return 0
	}
	year, month, ok := strings.Cut(raw, "-")
	y, errY := strconv.Atoi(year)
	m, errM := strconv.Atoi(month)
	if !ok || errY != nil || errM != nil || y < 1970 || y > 9999 || m < 1 || m > 12 {
		q.err = invalid("%s=%q is not a month such as 2026-11", name, raw)
		return 0
	}
	return upgrade.Month(y*100 + m)
}

const longestSearch = 200 // bytes

func (s *Server) historyPage(c *gin.Context) error {
	q := newQuery(c, "q", "stack", "phase", "month", "before")
	f := upgrade.RunSearch{
		Text: strings.TrimSpace(q.values.Get("q")), Stack: upgrade.StackName(q.values.Get("stack")), Month: q.month("month"),
		Before: upgrade.RunID(q.integer("before", 0, 0)), Limit: pageSize,
	}
	if q.values.Get("phase") != "" {
		f.Phases = q.phases()
	}
	if len(f.Text) > longestSearch {
		q.err = invalid("a search has at most %d bytes", longestSearch)
	}
	if q.err != nil {
		return q.err
	}
	found, err := s.searches.FindRuns(c.Request.Context(), f)
	if err != nil {
		return fmt.Errorf("search runs: %w", err)
	}
	page := historyView(f, found.Counts, found.Whole)
	w := s.words()
	for _, r := range found.Runs {
		page.Rows = append(page.Rows, s.historyRow(r, w))
	}
	if found.Older != 0 {
		values := c.Request.URL.Query()
		values.Set("before", found.Older.String())
		page.Next = address(c.Request.URL.Path, values)
	}
	if len(page.Rows) == 0 {
		page.Empty = nothingFound(f)
		if found.Older != 0 {
			page.Empty = strings.TrimSuffix(page.Empty, ".") + fmt.Sprintf(" back to run %d.", found.Older)
		}
	}
	return s.show(c, http.StatusOK, "history", s.layout(c, page.Headline, page))
}

func (s *Server) historyRow(r upgrade.Run, w words) historyRow {
	told := upgrade.Tell(r)
	row := historyRow{
		Path: runPath(r.ID), Number: r.ID.String(), Stack: string(r.Stack), Base: r.Base, Version: r.Version, Cause: told.Headline,
		Chip: chipOf(told.Look, told.Key), When: w.stamp(r.CreatedAt), Took: span(r.Since.Sub(r.CreatedAt)),
	}
	if r.Phase.Live() {
		row.Took = span(w.now.Sub(r.CreatedAt)) + " so far"
	}
	if len(r.Causes) > 0 {
		row.Cause = stop(r.Causes[0].Message)
	}
	row.From, row.By = s.from(r)
	return row
}

// historyView describes what restricts the list, and how many each further filter would leave.
func historyView(f upgrade.RunSearch, counts []upgrade.RunCount, whole bool) historyPage {
	page := historyPage{Text: f.Text, Headline: historyHeadline(f), Clear: f.Text != "" || f.Stack != "" || f.Month != 0 || len(f.Phases) > 0}
	values := url.Values{}
	keep := func(name, value string) {
		if value != "" {
			values.Set(name, value)
			if name != "q" {
				page.Hidden = append(page.Hidden, factView{Name: name, Value: value})
			}
		}
	}
	keep("q", f.Text)
	keep("phase", phaseList(f.Phases))
	keep("stack", string(f.Stack))
	keep("month", monthValue(f.Month))
	with := func(name, value string) string {
		next := maps.Clone(values)
		next.Del(name)
		if value != "" {
			next.Set(name, value)
		}
		return address("/history", next)
	}
	number := func(n int) string {
		if !whole {
			return fmt.Sprintf("%d+", n)
		}
		return strconv.Itoa(n)
	}
	phases, stacks, months := map[upgrade.Phase]int{}, map[upgrade.StackName]int{}, map[upgrade.Month]int{}
	var all struct{ phases, stacks, months int }
	for _, c := range counts {
		switch {
		case c.Phase != "":
			phases[c.Phase] += c.N
			all.phases += c.N
		case c.Stack != "":
			stacks[c.Stack] += c.N
			all.stacks += c.N
		default:
			months[c.Month] += c.N
			all.months += c.N
		}
	}
	if f.Stack != "" {
		stacks[f.Stack] += 0 // what is chosen is shown
	}
	if f.Month != 0 {
		months[f.Month] += 0
	}
	byVerdict := historyFilter{Name: "Verdict", Links: []countLink{{"All", with("phase", ""), number(all.phases), len(f.Phases) == 0}}}
	for _, v := range verdicts() {
		n := 0
		for _, p := range v.Phases {
			n += phases[p]
		}
		if chosen := slices.Equal(v.Phases, f.Phases); n > 0 || chosen {
			byVerdict.Links = append(byVerdict.Links, countLink{v.Title, with("phase", phaseList(v.Phases)), number(n), chosen})
		}
	}
	byStack := historyFilter{Name: "Stack", Links: []countLink{{"All", with("stack", ""), number(all.stacks), f.Stack == ""}}}
	for _, name := range slices.Sorted(maps.Keys(stacks)) {
		byStack.add(countLink{string(name), with("stack", string(name)), number(stacks[name]), name == f.Stack}, stacks[name])
	}
	byMonth := historyFilter{Name: "Month", Links: []countLink{{"All", with("month", ""), number(all.months), f.Month == 0}}}
	for _, m := range slices.SortedFunc(maps.Keys(months), func(a, b upgrade.Month) int { return cmp.Compare(b, a) }) {
		byMonth.add(countLink{m.First().Format("Jan 2006"), with("month", monthValue(m)), number(months[m]), m == f.Month}, months[m])
	}
	page.Filters = []historyFilter{byVerdict, byStack, byMonth}
	return page
}

// maxFilterLinks is how many links of a filter are shown at once.
const maxFilterLinks = 9

func (h *historyFilter) add(l countLink, n int) {
	switch {
	case n == 0 && !l.Current:
	case len(h.Links) < maxFilterLinks || l.Current:
		h.Links = append(h.Links, l)
	default:
		h.More = append(h.More, l)
	}
}

func phaseList(phases []upgrade.Phase) string {
	names := make([]string, 0, len(phases))
	for _, p := range phases {
		names = append(names, string(p))
	}
	return strings.Join(names, ",")
}

func monthValue(m upgrade.Month) string {
	if m == 0 {
		return ""
	}
	return m.First().Format("2006-01")
}

// historyHeadline says what is listed.
func historyHeadline(f upgrade.RunSearch) string {
	said := "All runs"
	if f.Stack != "" {
		said = "Runs of " + string(f.Stack)
	} else if f.Month != 0 || len(f.Phases) > 0 || f.Text != "" {
		said = "Runs"
	}
	for _, v := range verdicts() {
		if slices.Equal(v.Phases, f.Phases) {
			said += ", " + strings.ToLower(v.Title[:1]) + v.Title[1:]
		}
	}
	if f.Month != 0 {
		said += " in " + f.Month.First().Format("January 2006")
	}
	if f.Text != "" {
		said += " with " + f.Text
	}
	return said
}

// nothingFound says that nothing matches, and what was asked.
func nothingFound(f upgrade.RunSearch) string {
	said := "Nothing matches"
	if f.Text != "" {
		said += " " + f.Text
	}
	if f.Stack != "" {
		said += " of " + string(f.Stack)
	}
	if f.Month != 0 {
		said += " in " + f.Month.First().Format("January 2006")
	}
	return said + "."
}
