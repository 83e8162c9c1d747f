package server

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// drawn is the picture of a watch as it stands on a page.
func drawn(t *testing.T, w *upgrade.Watch, marks []upgrade.Mark) string {
	t.Helper()
	r := upgrade.Result{Run: 481, Gate: "outage", Kind: "availability", Stage: upgrade.StageDuring, Environment: "staging", Apply: 1, Evidence: upgrade.Evidence{Watch: w, Marks: marks}}
	d := runData{run: blockedRun(), words: words{now: at("09:16:00"), zone: time.UTC}}
	view := watchOf(d, r)
	if view == nil {
		return ""
	}
	assets, _, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	templates, err := loadTemplates(assets)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := templates["run"].ExecuteTemplate(&b, "watch", view); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGoldenWatches holds the pictures of watches: dashboard.md §17, test 2.
func TestGoldenWatches(t *testing.T) {
	s := time.Second
	one := func(long time.Duration, out ...[2]time.Duration) *upgrade.Watch {
		return staged(long, strip{name: "cached", address: "203.0.113.7:443", every: 500 * time.Millisecond, out: out, class: "tcp_refused"})
	}
	many := make([][2]time.Duration, 40)
	for i := range many {
		many[i] = [2]time.Duration{time.Duration(6*i+2) * s, time.Duration(6*i+4) * s}
	}
	incident, marks := watchedApply()
	for name, test := range map[string]struct {
		watch *upgrade.Watch
		marks []upgrade.Mark
		says  string
	}{
		"quiet":        {watch: one(60 * s), says: "Reachable for the whole watch from 08:45:14 to 08:46:14"},
		"incident":     {watch: incident, marks: marks, says: "Reachable for the whole watch except 08:46:34.8 to 08:46:36.5"},
		"at_beginning": {watch: one(60*s, [2]time.Duration{0, 3 * s}), says: "except 08:45:14.0 to 08:45:17.5"},
		"to_the_end":   {watch: one(60*s, [2]time.Duration{50 * s, 60 * s}), says: "except 08:46:03.5 and not ended"},
		"forty":        {watch: one(240*s, many...), says: "and 35 more times"},
		"short":        {watch: one(1*s, [2]time.Duration{0, s}), says: "and not ended"},
	} {
		t.Run(name, func(t *testing.T) {
			got := drawn(t, test.watch, test.marks)
			if !strings.Contains(got, test.says) {
				t.Errorf("it does not say %q", test.says)
			}
			if bad := regexp.MustCompile(`(?:x|x1|width)="(-|1[0-9]{2}\.|[2-9][0-9]{2})[0-9.]*%`).FindString(got); bad != "" {
				t.Errorf("a piece lies outside: %s", bad)
			}
			if elements := strings.Count(got, "<"); elements > 2000 {
				t.Errorf("it has %d tags", elements)
			}
			golden(t, "watch_"+name+".html", got)
		})
	}
	if got := drawn(t, &upgrade.Watch{Strips: make([]upgrade.Strip, 1)}, nil) + drawn(t, nil, nil); got != "" {
		t.Errorf("a watch of no length is drawn: %s", got)
	}
}

// TestWatchOfAnHour: an hour of many streams and steps stays within what a page may have.
func TestWatchOfAnHour(t *testing.T) {
	var strips []strip
	for i := range 12 {
		strips = append(strips, strip{
			name: fmt.Sprintf("stream %d", i), address: fmt.Sprintf("203.0.113.%d:443", i), every: 200 * time.Millisecond, class: "http_timeout_first_byte",
			out: [][2]time.Duration{{time.Duration(i) * time.Minute, time.Duration(i)*time.Minute + 100*time.Second}},
		})
	}
	w := staged(time.Hour, strips...)
	var marks []upgrade.Mark
	for i := range 200 {
		from := w.Began.Add(time.Duration(i) * 15 * time.Second)
		marks = append(marks, upgrade.Mark{Address: fmt.Sprintf("module.a.aws_lb.web[%d]", i), Action: "update", From: from, To: from.Add(time.Minute)})
	}
	got := drawn(t, w, marks)
	_, pictures, _ := strings.Cut(got, `class="wt"`)
	pictures, _, _ = strings.Cut(pictures, "<details")
	if len(pictures) > 60_000 || !strings.Contains(got, "2 rows more") && !strings.Contains(got, "2"+nb+"rows more") {
		t.Errorf("the pictures have %d bytes", len(pictures))
	}
}

// TestWatchOfNonsense: evidence that does not fit together is drawn as far as it does.
func TestWatchOfNonsense(t *testing.T) {
	w := &upgrade.Watch{
		Began: at("08:45:14"), Long: time.Minute,
		Strips: []upgrade.Strip{{
			Stream: "cached", Buckets: upgrade.Buckets{Width: -1, N: []int{1}, Good: []int{1}, P50: []int64{1}, P99: []int64{1}, Max: []int64{-1}, Lag: []int64{1}},
			Samples: upgrade.Samples{At: []int64{-5, 9e18}, Lag: []int64{0, 0}, Took: []int64{0, 0}, Class: []int{7, -1}, Status: []int{0, 0}}, Blind: []upgrade.Blind{{From: 2 * time.Minute, To: time.Minute}},
		}},
		Outages: []upgrade.Outage{{Strip: 9}, {Strip: -1}, {Strip: 0, From: time.Hour, To: time.Second, Best: time.Minute, Marks: []int{4, -1}, Sure: true}, {Strip: 0, From: -time.Hour, To: 2 * time.Hour, Marks: []int{9}, Sure: true}},
	}
	marks := []upgrade.Mark{{}, {Address: `<script>"'`, From: at("08:45:20")}}
	if got := drawn(t, w, marks); strings.Contains(got, "<script>") || !strings.Contains(got, "Show as tables") {
		t.Errorf("got %s", got)
	}
	r := upgrade.Result{Evidence: upgrade.Evidence{Watch: w, Marks: marks}}
	if note, ok := likelyCause(runData{words: words{zone: time.UTC}}, r); ok {
		t.Errorf("it blames %v", note)
	}
}

func TestWatchCSV(t *testing.T) {
	s := newSite(t, fullWorld())
	for _, test := range []struct {
		query string
		rows  int
		head  string
		row   string
	}{
		{"", 171, "time,offset_ms,vantage,target,stream,address,control,class,status,lag_ms,took_ms", "2026-11-23T08:46:30.000000Z,76000,here,https://staging.example.org/,cached,203.0.113.7:443,false,ok,0,0,7"},
		{"?of=buckets", 3*243 + 1, "time,offset_ms,vantage,target,stream,address,control,width_ms,probes,good,p50_ms,p99_ms,max_ms,lag_ms", "2026-11-23T08:45:14.000000Z,0,here,"},
		{"?of=outages&stage=during", 3, "time,offset_ms,vantage,target,stream,address,control,to,ended,best_ms", "2026-11-23T08:46:34.900000Z,80900,here,https://staging.example.org/,cached,203.0.113.7:443,false,2026-11-23T08:46:36.400000Z,true,1400,1300,1500,9,tcp_timeout,TCP,0,false,new connections were not answered,while module.edge.aws_security_group_rule.varnish_in[0] was being replaced"},
		{"?of=steps", 6, "from,to,address,action,failed", "2026-11-23T08:45:22.000000Z,2026-11-23T08:45:55.200000Z,module.kms.aws_kms_grant.asg_ebs,delete,false"},
	} {
		got := s.get("/api/v1/runs/481/gates/outage/csv" + test.query)
		rows, err := csv.NewReader(got.Body).ReadAll()
		if err != nil || got.Code != 200 || len(rows) != test.rows || got.Header().Get("Content-Type") != csvType {
			t.Fatalf("%s is answered %d with %d rows (%v)", test.query, got.Code, len(rows), err)
		}
		if head, row := strings.Join(rows[0], ","), strings.Join(rows[1], ","); !strings.HasPrefix(head, test.head) || !strings.HasPrefix(row, test.row) {
			t.Errorf("%s begins with\n%s\n%s", test.query, head, row)
		}
	}
	if got := s.get("/api/v1/runs/481/gates/site/csv?of=ladder").Body.String(); !strings.Contains(got, "https://new.example.org/,203.0.113.8:443,2.2 ms,✗ no answer within 800 ms") {
		t.Errorf("the ladder is %s", got)
	}
	for query, code := range map[string]int{"outage/csv?of=nothing": 400, "outage/csv?offf=probes": 400, "outage/csv?stage=after": 404, "site/csv": 404, "none/csv": 404, "outage/csv?of=ladder": 404, "outage/csv?apply=7": 404} {
		if got := s.get("/api/v1/runs/481/gates/" + query); got.Code != code {
			t.Errorf("%s is answered %d, want %d", query, got.Code, code)
		}
	}
	if got := harmless("=1+1"); got != "'=1+1" {
		t.Errorf("a formula becomes %q", got)
	}
	page := s.get("/runs/481").Body.String()
	if link := "/api/v1/runs/481/gates/outage/csv?environment=staging&amp;of=probes&amp;stage=during"; !strings.Contains(page, link) {
		t.Errorf("the page has no link %s", link)
	}
}

// TestWatchInTheAPI: a result tells its outages and Terraform's steps, and where the single probes are.
func TestWatchInTheAPI(t *testing.T) {
	w, marks := watchedApply()
	got := wireResultOf(upgrade.Result{Run: 481, Gate: "outage", Stage: upgrade.StageDuring, Evidence: upgrade.Evidence{Watch: w, Marks: marks}}, false, at("09:16:00")).Evidence
	if len(got.Steps) != 5 || got.Watch == nil || len(got.Watch.Outages) != 2 || len(got.Watch.Streams) != 3 || got.Watch.Streams[got.Watch.Outages[0].Stream].Stream != "cached" {
		t.Fatalf("got %+v", got)
	}
	if steps := got.Watch.Outages[0].Steps; len(steps) != 1 || steps[0] != marks[2].Address || !strings.HasPrefix(got.Watch.CSV, "/api/v1/runs/481/gates/outage/csv?") {
		t.Errorf("got steps %v and %s", steps, got.Watch.CSV)
	}
}
