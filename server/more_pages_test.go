package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestGoldenMorePages pins the pages that lists and tables are.
func TestGoldenMorePages(t *testing.T) {
	s := newSite(t, fullWorld(), func(c *Config) { c.Settings, c.Freezes, c.Audit = someSettings, someFreezes(), someAudit() })
	for name, target := range map[string]string{
		"freezes": "/freezes", "freezes_month": "/freezes?view=month", "audit": "/audit", "config": "/config",
		"plan": "/runs/481/plan", "history": "/history", "history_nothing": "/history?q=asg-ebs&stack=ecs-master&month=2026-11",
	} {
		t.Run(name, func(t *testing.T) {
			page := s.get(target)
			checkHTML(t, target, page.Body.String())
			golden(t, name+".html", readable(page.Body.String()))
		})
	}
}

func TestMorePageStates(t *testing.T) {
	wrong := func() Settings {
		s := someSettings()
		s.Changed, s.Rejected = true, []Problem{{Line: 7, Path: "stacks[0].holds", Message: "must not be empty", Hint: "name a hold"}}
		return s
	}
	changed := func() Settings {
		s := someSettings()
		s.Changed = true
		return s
	}
	for name, tc := range map[string]struct {
		target string
		change func(*Config)
		code   int
		want   []string
		not    []string
	}{
		"freezes_none":    {"/freezes", nil, 200, []string{"<h1>Production is open.</h1>", "No freeze is configured.", "does not read the key <code>freezes</code> yet"}, nil},
		"freezes_now":     {"/freezes", func(c *Config) { c.Freezes = someFreezes() }, 200, []string{"Production of billing-jobs, payments-api is frozen until Mon 23\u00a0Nov 18:00.", "Past, 1"}, []string{"No freeze is configured"}},
		"freezes_coming":  {"/freezes", func(c *Config) { c.Freezes = someFreezes()[:1] }, 200, []string{"Production is open until Thu 26\u00a0Nov 18:00."}, nil},
		"freezes_month":   {"/freezes?view=month&month=2026-12", func(c *Config) { c.Freezes = someFreezes() }, 200, []string{"December 2026", "month=2027-01", "month=2026-11"}, []string{"Black Friday"}},
		"freezes_no_such": {"/freezes?month=soon&view=month", nil, 400, []string{"2026-11"}, nil},
		"audit_empty":     {"/audit", nil, 200, []string{"Nobody has done anything yet."}, nil},
		"audit_no_match":  {"/audit?who=nobody", nil, 200, []string{"Nothing matches.", "Clear the filters"}, nil},
		"audit_blank":     {"/audit?who=&act=&stack=&since=&until=", nil, 200, []string{"Nobody has done anything yet."}, nil},
		"audit_wrong":     {"/audit?since=yesterday", nil, 400, []string{"is not a time"}, nil},
		"audit_all":       {"/audit", func(c *Config) { c.Audit = someAudit() }, 200, []string{"by rule", "Agree to the apply", "Refused", "An author may not override their own change.", "Token make", `href="/runs/481"`}, []string{"<script>alert"}},
		"audit_refused":   {"/audit?result=refused", func(c *Config) { c.Audit = someAudit() }, 200, []string{"mallory"}, []string{"Agree to the apply</td>"}},
		"config_none":     {"/config", nil, 200, []string{"The configuration is not from a file."}, nil},
		"config":          {"/config", func(c *Config) { c.Settings = someSettings }, 200, []string{"What is in force", "from the environment variable HUGO_TOKEN", "line\u00a012", "default", "is skipped until"}, []string{"would not be loaded"}},
		"config_rejected": {"/config", func(c *Config) { c.Settings = wrong }, 200, []string{"A newer file is wrong. The old values stay in force.", "line 7", "must not be empty", "name a hold"}, nil},
		"config_changed":  {"/config", func(c *Config) { c.Settings = changed }, 200, []string{"has changed since it was loaded, and is right"}, []string{"would not be loaded"}},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []func(*Config)
			if tc.change != nil {
				changes = append(changes, tc.change)
			}
			s := newSite(t, fullWorld(), changes...)
			w := s.do("GET", tc.target, viewerToken, "")
			page := text(w.Body.String())
			if w.Code != tc.code {
				t.Fatalf("answered %d\n%s", w.Code, s.log)
			}
			checkHTML(t, name, w.Body.String())
			for _, want := range tc.want {
				if !strings.Contains(w.Body.String(), want) && !strings.Contains(page, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			for _, not := range tc.not {
				if strings.Contains(w.Body.String(), not) {
					t.Errorf("the page says %q", not)
				}
			}
		})
	}
}

// TestAuditIsPaged: 50 acts on a page, and each once.
func TestAuditIsPaged(t *testing.T) {
	log := &fakeAudit{}
	for range 120 {
		if err := log.Record(t.Context(), upgrade.AuditEntry{Who: "Mira Holt", Act: upgrade.ActStop, Result: upgrade.AuditDone, At: fakeNow()}); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, fullWorld(), func(c *Config) { c.Audit = log })
	rows, target := 0, "/audit?who=Mira+Holt"
	for range 5 {
		page := s.get(target)
		if page.Code != http.StatusOK {
			t.Fatalf("%s is answered %d", target, page.Code)
		}
		body := page.Body.String()
		rows += strings.Count(body, "No. ")
		_, rest, more := strings.Cut(body, `<p class="more"><a class="btn" href="`)
		if !more {
			break
		}
		target, _, _ = strings.Cut(rest, `"`)
		target = text(target)
	}
	if rows != 120 || !strings.Contains(target, "who=Mira") {
		t.Errorf("%d rows on all pages, the last at %s", rows, target)
	}
}
