package server

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/upgrade"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (look at it, rewrite with -update):\n%s", path, got)
	}
}

// fixtures returns a run for each key of dashboard.md §6, and runs at the edges.
func fixtures() map[string]upgrade.Run {
	with := func(p upgrade.Phase, change func(*upgrade.Run)) upgrade.Run {
		r := blockedRun()
		r.Phase, r.From, r.Causes, r.Tally = p, upgrade.PhaseChecking, nil, upgrade.Tally{}
		if change != nil {
			change(&r)
		}
		return r
	}
	cause := func(kind upgrade.CauseKind, text string) []upgrade.Cause {
		return []upgrade.Cause{{Kind: kind, Message: text, Hint: "do something about it"}}
	}
	long := strings.Repeat("very-long-name-", 6)[:80]
	return map[string]upgrade.Run{
		"queued":    with(upgrade.PhaseQueued, func(r *upgrade.Run) { r.Reason, r.Plan, r.Applies = "run 480 is using staging", upgrade.PlanFacts{}, 0 }),
		"preparing": with(upgrade.PhasePreparing, func(r *upgrade.Run) { r.Plan, r.Applies = upgrade.PlanFacts{}, 0 }),
		"planning":  with(upgrade.PhasePlanning, nil),
		"plan_failed": with(upgrade.PhaseFailed, func(r *upgrade.Run) {
			r.From, r.Causes = upgrade.PhasePlanning, cause(upgrade.CausePlan, "main.tf:12: no such variable")
		}),
		"judging": with(upgrade.PhaseJudging, nil),
		"policy_denied": with(upgrade.PhaseBlocked, func(r *upgrade.Run) {
			r.From, r.Causes = upgrade.PhaseJudging, cause(upgrade.CauseGateFailed, "it destroys a grant")
		}),
		"needs_approval":          with(upgrade.PhaseAwaitingApproval, func(r *upgrade.Run) { r.Reason = "the plan replaces 1 database" }),
		"applying":                with(upgrade.PhaseApplying, func(r *upgrade.Run) { r.Progress = upgrade.Progress{Done: 4, Total: 10} }),
		"apply_failed":            with(upgrade.PhaseFailed, func(r *upgrade.Run) { r.From, r.Causes = upgrade.PhaseApplying, cause(upgrade.CauseApply, "quota") }),
		"settling":                with(upgrade.PhaseSettling, func(r *upgrade.Run) { r.Reason = "grants take 5 min" }),
		"checking":                with(upgrade.PhaseChecking, func(r *upgrade.Run) { r.Tally = upgrade.Tally{Gates: 4, Passed: 1} }),
		"checking_failed_already": with(upgrade.PhaseChecking, func(r *upgrade.Run) { r.Tally = upgrade.Tally{Gates: 4, Failed: 1} }),
		"blocked":                 blockedRun(),
		"not_verified":            with(upgrade.PhaseBlocked, func(r *upgrade.Run) { r.Causes = cause(upgrade.CauseGateUnknown, "AWS refused the call") }),
		"unlocked":                with(upgrade.PhaseUnlocked, func(r *upgrade.Run) { r.Verdict = upgrade.VerdictOpen }),
		"unlocked_started": with(upgrade.PhaseUnlocked, func(r *upgrade.Run) {
			r.Production = upgrade.ProductionFacts{Started: true, JobURL: "https://gitlab.example.org/-/jobs/1"}
		}),
		"unlocked_failed": with(upgrade.PhaseUnlocked, func(r *upgrade.Run) { r.Production.Failed = true }),
		"unlocking":       with(upgrade.PhaseUnlocking, nil),
		"checkout_failed": with(upgrade.PhaseFailed, func(r *upgrade.Run) {
			r.From, r.Causes = upgrade.PhasePreparing, cause(upgrade.CauseCheckout, "no such commit")
		}),
		"interrupted":   with(upgrade.PhaseInterrupted, nil),
		"relocked":      with(upgrade.PhaseRelocked, func(r *upgrade.Run) { r.Causes = cause(upgrade.CauseRelocked, "staging changed") }),
		"in_production": with(upgrade.PhasePromoted, func(r *upgrade.Run) { r.PromotedAt = at("09:10:00") }),
		"stopped":       with(upgrade.PhaseStopped, func(r *upgrade.Run) { r.StoppedBy = "Lena Vogt" }),
		"superseded":    with(upgrade.PhaseSuperseded, nil),
		"bare":          {ID: 481, Stack: "s", Phase: upgrade.PhaseQueued},
		"long": with(upgrade.PhaseBlocked, func(r *upgrade.Run) {
			r.Stack, r.Version, r.Author, r.Title = upgrade.StackName(long), long, long, strings.Repeat("<b>&amp; ", 30)
			r.Causes = cause(upgrade.CauseGateFailed, strings.Repeat("it broke and ", 40))
		}),
		"unheard_of_phase": with("brand_new", nil),
		"inherited": with(upgrade.PhaseBlocked, func(r *upgrade.Run) {
			r.Causes, r.Warnings = []upgrade.Cause{{Kind: upgrade.CauseGateFailed, Gate: "outage", Run: 479, Message: "run 479, which is part of this change: 1.3 s unreachable"}}, []string{"aws-accounts is blocked"}
		}),
		"override_asked": with(upgrade.PhaseBlocked, func(r *upgrade.Run) {
			r.Causes = blockedRun().Causes
			r.Override = &upgrade.Override{Causes: r.Causes, Reason: "the site is down, this brings it back", By: []upgrade.Person{{Name: "Hugo Berg"}}, Asked: at("09:10:00"), Until: at("21:10:00")}
		}),
		"overridden": with(upgrade.PhaseUnlocked, func(r *upgrade.Run) { r.Verdict, r.Override = upgrade.VerdictClosed, overridden() }),
		"way_back":   with(upgrade.PhaseApplying, func(r *upgrade.Run) { r.Half, r.Plan.ChangeDigest = upgrade.HalfBack, "dd44" }),
		"way_forth": with(upgrade.PhaseChecking, func(r *upgrade.Run) {
			r.Half, r.Agreed = upgrade.HalfForth, []upgrade.Agreement{{ChangeDigest: "bb22", By: "Mira Holt", At: at("08:44:00")}}
		}),
	}
}

func overridden() *upgrade.Override {
	return &upgrade.Override{
		Causes: blockedRun().Causes[:2], Reason: "the site is down, and this brings it back", Asked: at("09:00:00"), Given: at("09:05:00"), Until: at("21:00:00"),
		By: []upgrade.Person{{Name: "Hugo Berg"}, {Name: "Mira Holt"}},
	}
}

// hostile is an answer of a gate whose every text tries to be markup.
func hostile() upgrade.Result {
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)> javascript:alert(1)`
	return upgrade.Result{
		Run: 481, Gate: "evil gate", Kind: evil, Stage: upgrade.StageAfter, Environment: evil, Round: 2, Outcome: upgrade.OutcomeFailed, Message: evil,
		Warnings: []string{evil}, StartedAt: at("08:49:00"), Took: time.Second, Evidence: upgrade.Evidence{
			Facts: []upgrade.Fact{{Name: evil, Value: evil}, {Name: "Repair " + evil, Value: evil}}, Quotes: []upgrade.Quote{{Source: evil, Text: evil}},
			Tables: []upgrade.Table{{Title: evil, Columns: []string{evil}, Rows: [][]string{{evil}, {}, {evil, evil}}}, {Title: "Ladder", Columns: []string{"Path", evil}, Rows: [][]string{{evil, "✗ " + evil}, {}, {evil}}}},
			Spans:  []upgrade.Span{{Name: evil, From: at("08:49:00")}, {Name: evil, From: at("08:50:00"), To: at("08:49:00"), Failed: true}},
			Log:    []upgrade.LogLine{{Text: evil}},
		},
	}
}

func TestRunPageOfEachFixture(t *testing.T) {
	seen := map[upgrade.Key]bool{}
	for name, run := range fixtures() {
		t.Run(name, func(t *testing.T) {
			w := fullWorld()
			second := run
			second.ID, second.Stack = 482, "second"
			w.runs = []upgrade.Run{run, second}
			w.results[481] = append(blockedResults(), hostile())
			s := newSite(t, w)
			for _, target := range []string{"/runs/481", "/", "/history", "/runs/481/stop", "/runs/481/rerun", "/runs/481/lock", "/runs/481/retry", "/runs/481/rehearse", "/runs/481/approve", "/runs/481/refuse", "/runs/481/resolve", "/runs/481/override", "/deliveries", "/runs/481/log/apply", "/runs/481/log/prepare"} {
				got := s.get(target)
				if got.Code != 200 {
					t.Fatalf("%s answers %d\n%s", target, got.Code, s.log)
				}
				checkHTML(t, target, got.Body.String())
				if n := strings.Count(got.Body.String(), `class="btn main"`); n > 1 {
					t.Errorf("%s has %d filled buttons", target, n)
				}
			}
			told := upgrade.Tell(run)
			seen[told.Key] = true
			page := text(s.get("/runs/481").Body.String())
			for _, want := range []string{told.Headline, told.Next, told.Look.Word} {
				if !strings.Contains(page, want) {
					t.Errorf("the page does not say %q", want)
				}
			}
			if api := decode[wireRun](t, s.get("/api/v1/runs/481")).Told.Headline; api != told.Headline || utf8.RuneCountInString(api) > 140 {
				t.Errorf("the API says %q", api)
			}
			if empty := newSite(t, &world{runs: []upgrade.Run{run}}); empty.get("/runs/481").Code != 200 || empty.get("/").Code != 200 {
				t.Errorf("without results, journal and logs it fails:\n%s", empty.log)
			}
		})
	}
	for _, key := range upgrade.Keys() {
		if !seen[key] && key != upgrade.KeyFrozen { // no phase leads there yet
			t.Errorf("no fixture shows %s", key)
		}
	}
}

// text returns what a page says, without its marks.
func text(page string) string {
	return strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&lt;", "<", "&gt;", ">", "&amp;", "&", "&#43;", "+").Replace(page)
}

var (
	inlineStyle   = regexp.MustCompile(`<[^>]*\sstyle\s*=`)
	inlineHandler = regexp.MustCompile(`<[^>]*\son\w+\s*=\s*["']`)
	inlineScript  = regexp.MustCompile(`<script(?:\s+defer)?\s*>`)
	evilTag       = regexp.MustCompile(`<script>alert|<img`)
)

// checkHTML: it parses, each id is there once, and the content policy would find nothing to refuse.
func checkHTML(t *testing.T, name, page string) {
	t.Helper()
	for what, bad := range map[string]*regexp.Regexp{"style": inlineStyle, "handler": inlineHandler, "script": inlineScript, "foreign markup": evilTag} {
		if found := bad.FindString(page); found != "" {
			t.Errorf("%s has inline %s: %s", name, what, found)
		}
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Errorf("%s has a value that the template refused", name)
	}
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	ids, depth, headings := map[string]bool{}, 0, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s does not parse: %v", name, err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			depth++
			if e.Name.Local == "h1" {
				headings++
			}
			for _, a := range e.Attr {
				if a.Name.Local == "id" && ids[a.Value] {
					t.Errorf("%s has the id %q twice", name, a.Value)
				} else if a.Name.Local == "id" {
					ids[a.Value] = true
				}
				if (a.Name.Local == "href" || a.Name.Local == "src") && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Value)), "javascript:") {
					t.Errorf("%s links to %q", name, a.Value)
				}
			}
		case xml.EndElement:
			depth--
		}
	}
	if depth != 0 || headings != 1 {
		t.Errorf("%s: %d elements are left open, %d h1", name, depth, headings)
	}
}

func TestGoldenPages(t *testing.T) {
	s := newSite(t, fullWorld(), func(c *Config) { c.Notice = "Varnish is a stand-in on this machine" })
	hashes := regexp.MustCompile(`\.[0-9a-f]{10}\.(css|js|svg)`)
	for name, target := range map[string]string{
		"board": "/", "run_blocked": "/runs/481", "run_checking": "/runs/483", "deliveries": "/deliveries", "not_found": "/runs/512",
	} {
		t.Run(name, func(t *testing.T) {
			page := s.get(target).Body.String()
			page = hashes.ReplaceAllString(page, ".HASH.$1")
			page = regexp.MustCompile(`name="key" value="[A-Z0-9]+"`).ReplaceAllString(page, `name="key" value="KEY"`)
			page = regexp.MustCompile(`request <span class="mono">[A-Z0-9]+`).ReplaceAllString(page, `request <span class="mono">ID`)
			_, page, _ = strings.Cut(page, "</svg>\n<header") // the sprite is the same everywhere
			golden(t, name+".html", "<header"+page)
		})
	}
}

// TestPartsEqualThePage: what a live update brings is what the page had.
func TestPartsEqualThePage(t *testing.T) {
	s := newSite(t, fullWorld())
	page := s.get("/runs/481").Body.String()
	parts := []string{"crumbs", "verdict", "rail", "gates", "plan", "log", "facts", "audit", "gate-grants", "gate-grants-production", "gate-site"}
	for _, part := range parts {
		got := s.get("/runs/481/parts/" + part)
		if got.Code != 200 || got.Body.Len() < 50 || !strings.Contains(page, got.Body.String()) {
			t.Errorf("part %s (%d) is not a piece of the page:\n%s", part, got.Code, got.Body)
		}
		etag := got.Header().Get("ETag")
		if again := s.do("GET", "/runs/481/parts/"+part, managerToken, "", "If-None-Match", etag); etag == "" || again.Code != 304 || again.Body.Len() != 0 {
			t.Errorf("part %s with its ETag is answered %d", part, again.Code)
		}
	}
	board := s.get("/").Body.String()
	for _, part := range []string{"lead", "attention", "ready", "progress", "step", "recent"} {
		if got := s.get("/board/parts/" + part); got.Code != 200 || !strings.Contains(board, got.Body.String()) {
			t.Errorf("part %s (%d) is not a piece of the board:\n%s", part, got.Code, got.Body)
		}
	}
	for _, target := range []string{"/runs/481/parts/none", "/board/parts/none", "/runs/512/parts/verdict"} {
		if got := s.get(target); got.Code != 404 {
			t.Errorf("%s is answered %d", target, got.Code)
		}
	}
}

// TestNeverGreen: what is too old, could not run, or was asked early is not shown as passed.
func TestNeverGreen(t *testing.T) {
	run, now := blockedRun(), fakeNow()
	run.Phase, run.Round = upgrade.PhaseChecking, 2
	passed := upgrade.Result{Gate: "g", Kind: "http", Environment: "staging", Stage: upgrade.StageAfter, Round: 2, Required: true, Outcome: upgrade.OutcomePassed, StartedAt: now.Add(-time.Hour)}
	for name, change := range map[string]func(*upgrade.Result){
		"expired":       func(r *upgrade.Result) { r.GoodFor = time.Minute },
		"early":         func(r *upgrade.Result) { r.Early = true },
		"former_round":  func(r *upgrade.Result) { r.Round = 1 },
		"unknown":       func(r *upgrade.Result) { r.Outcome = upgrade.OutcomeUnknown },
		"unheard_of":    func(r *upgrade.Result) { r.Outcome = "fine" },
		"still_running": func(r *upgrade.Result) { r.Outcome = upgrade.OutcomeRunning },
	} {
		t.Run(name, func(t *testing.T) {
			r := passed
			change(&r)
			g := gate(runData{run: run, words: words{now: now, zone: time.UTC}}, r)
			if g.Chip.Tone == upgrade.ToneOK || g.Chip.Icon == upgrade.IconOK {
				t.Errorf("shown as %+v", g.Chip)
			}
		})
	}
	if g := gate(runData{run: run, words: words{now: now, zone: time.UTC}}, passed); g.Chip.Tone != upgrade.ToneOK {
		t.Errorf("a pass is shown as %+v", g.Chip)
	}
}

// TestProductionThatTheChangeBroke: production was not deployed, and is not called untouched when its own
// gates say that it is broken.
func TestProductionThatTheChangeBroke(t *testing.T) {
	broken := upgrade.Result{Gate: "grants", Kind: "kms-grants", Stage: upgrade.StageAfter, Environment: "production", Required: true, Outcome: upgrade.OutcomeFailed}
	passed := broken
	passed.Outcome = upgrade.OutcomePassed
	for _, test := range []struct {
		name   string
		result upgrade.Result
		want   string
	}{
		{"broken", broken, "This change is not in production"},
		{"well", passed, "Production is untouched"},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines := production(runData{run: blockedRun(), results: []upgrade.Result{test.result}, words: words{now: fakeNow(), zone: time.UTC}})
			if len(lines) != 2 || lines[0].Bold != test.want {
				t.Errorf("the page says %+v, want %q first", lines, test.want)
			}
		})
	}
}

func TestViewerSeesActsOff(t *testing.T) {
	s := newSite(t, fullWorld())
	page := s.do("GET", "/runs/481", viewerToken, "").Body.String()
	if strings.Contains(page, `href="/runs/481/rerun"`) || !strings.Contains(page, "needs the role developer") {
		t.Error("the act is not shown off, with who may")
	}
	if got := s.do("GET", "/runs/481/rerun", viewerToken, "").Body.String(); strings.Contains(got, `action="/runs/481/rerun"`) {
		t.Error("a form that will be refused")
	}
}

func TestTheme(t *testing.T) {
	s := newSite(t, fullWorld())
	if page := s.get("/").Body.String(); strings.Contains(page, "data-theme") {
		t.Error("a theme that nobody chose")
	}
	w := s.do("POST", "/theme", managerToken, "theme=dark&back=/runs/481", "Content-Type", "application/x-www-form-urlencoded")
	if w.Code != 303 || w.Header().Get("Location") != "/runs/481" {
		t.Fatalf("answered %d %v", w.Code, w.Header())
	}
	c := w.Result().Cookies()[0]
	if page := s.do("GET", "/", managerToken, "", "Cookie", c.Name+"="+c.Value).Body.String(); !strings.Contains(page, `data-theme="dark"`) {
		t.Error("the choice is not in the page")
	}
	if w := s.do("POST", "/theme", managerToken, "theme=pink", "Content-Type", "application/x-www-form-urlencoded"); w.Code != 400 {
		t.Errorf("pink is answered %d", w.Code)
	}
}

func TestErrorPages(t *testing.T) {
	s := newSite(t, fullWorld())
	for target, code := range map[string]int{"/runs/512": 404, "/runs/x": 404, "/nothing": 404, "/runs/481/log/destroy": 404, "/history?phase=x": 400, "/runs/481/nothing": 404} {
		w := s.get(target)
		if w.Code != code || w.Header().Get("Content-Type") != htmlType {
			t.Errorf("%s is answered %d as %s", target, w.Code, w.Header().Get("Content-Type"))
		}
		checkHTML(t, target, w.Body.String())
	}
	s.world.panicky = true
	if w := s.get("/runs/481"); w.Code != 500 || strings.Contains(w.Body.String(), "a bug") || w.Header().Get("Content-Type") != htmlType {
		t.Errorf("a panic is answered %d %s", w.Code, w.Body)
	}
	if w := s.do(http.MethodPost, "/", managerToken, ""); w.Code != 405 {
		t.Errorf("a post to the board is answered %d", w.Code)
	}
}
