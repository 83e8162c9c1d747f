package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Freeze is a time in which production stays as it is.
type Freeze struct {
	Name     string
	From, To time.Time
	Stacks   []upgrade.StackName // empty: all
	Reason   string
	By       string // who set it
}

// freezesPage is the freezes as an agenda, or by the days of a month.
type freezesPage struct {
	Headline         string
	Now, Next, Past  []freezeRow
	None             bool
	Month            *monthView // nil: the agenda is shown
	Agenda, Calendar string     // addresses of the two views
}

type freezeRow struct {
	Name, Scope, Reason, By string
	From, To                when
	Lasts                   string
	Waiting                 []link // upgrades that wait because of it
}

// monthView is a month by days.
type monthView struct {
	Title         string
	Before, After link
	Weeks         [][]dayView
}

type dayView struct {
	Number string // empty: a day of another month
	Today  bool
	Frozen []string // names of what is in force on it
}

// freezeLine is the freezes in a line or two, as the board has them.
type freezeLine struct {
	Now, Next string // names; empty: none
	NowText   string
	NextText  string
}

func (s *Server) freezesPage(c *gin.Context) error {
	q := newQuery(c, "view", "month")
	if q.err != nil {
		return q.err
	}
	w := s.words()
	page, err := s.freezesView(c.Request.Context(), w)
	if err != nil {
		return err
	}
	if q.values.Get("view") == "month" {
		month := time.Date(w.now.In(w.zone).Year(), w.now.In(w.zone).Month(), 1, 0, 0, 0, 0, w.zone)
		if raw := q.values.Get("month"); raw != "" {
			if month, err = time.ParseInLocation("2006-01", raw, w.zone); err != nil {
				return invalid("month=%q is not a month such as 2026-11", raw)
			}
		}
		page.Month = s.month(month, w)
	}
	l := s.layout(c, page.Headline, page)
	l.TabIcon = "tick.svg"
	if len(page.Now) > 0 {
		l.TabIcon = "ring.svg"
	}
	return s.show(c, http.StatusOK, "freezes", l)
}

// byTime returns the freezes in the order in which they begin.
func (s *Server) byTime() []Freeze {
	all := slices.Clone(s.freezes)
	slices.SortStableFunc(all, func(a, b Freeze) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	return all
}

func (s *Server) freezesView(ctx context.Context, w words) (freezesPage, error) {
	page := freezesPage{Headline: "Production is open.", None: len(s.freezes) == 0, Agenda: "/freezes", Calendar: "/freezes?view=month"}
	var frozen []upgrade.Run
	if !page.None {
		var err error
		if frozen, err = s.runs.Runs(ctx, upgrade.RunFilter{Phases: []upgrade.Phase{upgrade.PhaseUnlocking, upgrade.PhaseUnlocked}, Limit: maxBoard}); err != nil {
			return page, fmt.Errorf("list the runs that wait for a freeze to end: %w", err)
		}
	}
	for _, f := range s.byTime() {
		row := freezeRow{Name: f.Name, Scope: scope(f), Reason: stop(f.Reason), By: f.By, From: w.day(f.From), To: w.day(f.To), Lasts: coarse(f.To.Sub(f.From))}
		switch {
		case !w.now.Before(f.To):
			page.Past = append([]freezeRow{row}, page.Past...) // newest first
			continue
		case w.now.Before(f.From):
			page.Next = append(page.Next, row)
			continue
		}
		for _, r := range frozen {
			if upgrade.Tell(r).Key == upgrade.KeyFrozen && f.covers(r.Stack) {
				row.Waiting = append(row.Waiting, link{Text: strings.TrimSpace(string(r.Stack) + " " + r.Version), Href: runPath(r.ID)})
			}
		}
		page.Now = append(page.Now, row)
	}
	switch {
	case len(page.Now) > 0:
		page.Headline = fmt.Sprintf("Production of %s is frozen until %s.", page.Now[0].Scope, page.Now[0].To.Text)
		if page.Now[0].Scope == allStacks {
			page.Headline = fmt.Sprintf("Production is frozen until %s.", page.Now[0].To.Text)
		}
	case len(page.Next) > 0:
		page.Headline = fmt.Sprintf("Production is open until %s.", page.Next[0].From.Text)
	}
	return page, nil
}

const allStacks = "all stacks"

func scope(f Freeze) string {
	if len(f.Stacks) == 0 {
		return allStacks
	}
	var names []string
	for _, stack := range f.Stacks {
		names = append(names, string(stack))
	}
	return strings.Join(names, ", ")
}

func (f Freeze) covers(stack upgrade.StackName) bool {
	return len(f.Stacks) == 0 || slices.Contains(f.Stacks, stack)
}

// freezeLine says what is frozen, and what will be.
func (s *Server) freezeLine(w words) freezeLine {
	v := freezeLine{NowText: "Production is open."}
	for _, f := range s.byTime() {
		switch {
		case !w.now.Before(f.To):
		case w.now.Before(f.From):
			if v.Next == "" {
				v.Next, v.NextText = f.Name, fmt.Sprintf("%s to %s, %s.", w.day(f.From).Text, w.day(f.To).Text, scope(f))
				if v.Now == "" {
					v.NowText = fmt.Sprintf("Production is open for %s.", coarse(f.From.Sub(w.now)))
				}
			}
		case v.Now == "":
			v.Now, v.NowText = f.Name, fmt.Sprintf("Until %s, %s.", w.day(f.To).Text, scope(f))
		}
	}
	return v
}

// day returns a point in time with its day, whichever week it is in: "Thu 26 Nov 18:00".
func (w words) day(t time.Time) when {
	local := t.In(w.zone)
	layout := "Mon 2" + nb + "Jan 15:04"
	if local.Year() != w.now.In(w.zone).Year() {
		layout = "Mon 2" + nb + "Jan 2006 15:04"
	}
	return when{Text: local.Format(layout), Exact: t.UTC().Format(time.RFC3339)}
}

// month describes the days of the month that begins at first.
func (s *Server) month(first time.Time, w words) *monthView {
	v := &monthView{Title: first.Format("January 2006")}
	near := func(months int) link {
		m := first.AddDate(0, months, 0)
		return link{Text: m.Format("January 2006"), Href: "/freezes?view=month&month=" + m.Format("2006-01")}
	}
	v.Before, v.After = near(-1), near(1)
	lead := (int(first.Weekday()) + 6) % 7 // weeks begin on Monday
	week := make([]dayView, lead, 7)
	all := s.byTime()
	for day := first; day.Month() == first.Month(); day = day.AddDate(0, 0, 1) {
		d := dayView{Number: day.Format("2"), Today: daysBetween(day, w.now.In(w.zone)) == 0}
		for _, f := range all {
			if f.From.Before(day.AddDate(0, 0, 1)) && f.To.After(day) {
				d.Frozen = append(d.Frozen, f.Name)
			}
		}
		if week = append(week, d); len(week) == 7 {
			v.Weeks, week = append(v.Weeks, week), nil
		}
	}
	if len(week) > 0 {
		v.Weeks = append(v.Weeks, append(week, make([]dayView, 7-len(week))...))
	}
	return v
}
