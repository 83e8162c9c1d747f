package server

import (
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

func TestHistory(t *testing.T) {
	long := fullWorld()
	for i := range 120 {
		r := blockedRun()
		r.ID, r.Stack, r.Version = upgrade.RunID(1000+i), upgrade.StackName(strings.Repeat("very-long-name-", 5)), strings.Repeat("5.2.0-", 12)
		r.Title = "<script>alert(1)</script>"
		long.runs = append(long.runs, r)
	}
	for name, tc := range map[string]struct {
		world  *world
		target string
		code   int
		rows   int
		want   []string
		not    []string
	}{
		"all":      {fullWorld(), "/history", 200, 6, []string{"<h1>All runs</h1>", "In production <small>1</small>", "ecs-master <small>1</small>", "Nov 2026 <small>6</small>", `aria-current="page">All <small>6</small>`}, []string{"Clear the filters"}},
		"text":     {fullWorld(), "/history?q=priya", 200, 2, []string{"<h1>Runs with priya</h1>", `value="priya"`, "The test instance failed after 41 s"}, nil},
		"verdict":  {fullWorld(), "/history?phase=blocked", 200, 1, []string{"<h1>Runs, blocked</h1>", `href="/history?phase=blocked&amp;stack=ecs-master"`}, nil},
		"both":     {fullWorld(), "/history?q=5&stack=ecs-master&month=2026-11", 200, 1, []string{`<input type="hidden" name="stack" value="ecs-master">`, `<input type="hidden" name="month" value="2026-11">`}, nil},
		"nothing":  {fullWorld(), "/history?q=asg-ebs&month=2026-11", 200, 0, []string{"Nothing matches asg-ebs in November 2026.", "Clear the filters"}, nil},
		"no_runs":  {&world{}, "/history", 200, 0, []string{"There is no run yet."}, []string{"Clear the filters"}},
		"markup":   {fullWorld(), "/history?q=%3Cscript%3Ealert(1)%3C/script%3E", 200, 0, []string{"Nothing matches"}, []string{"<script>alert"}},
		"too_long": {fullWorld(), "/history?q=" + strings.Repeat("x", 201), 400, 0, []string{"at most 200 bytes"}, nil},
		"month":    {fullWorld(), "/history?month=2026-13", 400, 0, []string{"is not a month such as 2026-11"}, nil},
		"many":     {long, "/history", 200, 50, []string{"Older ones", "before=1070"}, []string{"<script>alert"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tc.world)
			w := s.do("GET", tc.target, viewerToken, "")
			page := w.Body.String()
			if w.Code != tc.code {
				t.Fatalf("answered %d\n%s", w.Code, s.log)
			}
			checkHTML(t, name, page)
			if n := strings.Count(page, `<td data-l="When">`); n != tc.rows {
				t.Errorf("%d rows, want %d", n, tc.rows)
			}
			for _, want := range tc.want {
				if !strings.Contains(page, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			for _, not := range tc.not {
				if strings.Contains(page, not) {
					t.Errorf("the page says %q", not)
				}
			}
			if tc.code == 200 && (len(page) > 60_000 || len(zip([]byte(page))) > 15_000) {
				t.Errorf("the page has %d bytes", len(page))
			}
		})
	}
}
