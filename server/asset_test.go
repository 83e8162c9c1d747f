package server

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestVendored: the two foreign scripts are the ones of the npm package htmx.org 4.0.1.
func TestVendored(t *testing.T) {
	for name, want := range map[string]string{
		"static/vendor/htmx-4.0.1.min.js":   "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
		"static/vendor/hx-sse-4.0.1.min.js": "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
	} {
		body, err := staticFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s is another file: %x", name, sum)
		}
	}
	if _, err := staticFiles.ReadFile("static/vendor/LICENSE.txt"); err != nil {
		t.Error(err)
	}
}

func TestStatic(t *testing.T) {
	s := newSite(t, fullWorld())
	page := s.get("/").Body.String()
	found := regexp.MustCompile(`/static/[^"]+`).FindAllString(page, -1)
	if len(found) != 5 { // with the page itself 6 requests, of which the browser may leave out the icon
		t.Errorf("the board asks for %v", found)
	}
	for _, name := range found {
		w := s.do("GET", name, "", "", "Accept-Encoding", "gzip")
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s is answered %d %v", name, w.Code, w.Header())
		}
	}
	css := regexp.MustCompile(`/static/app\.[0-9a-f]+\.css`).FindString(page)
	if zipped, plain := s.do("GET", css, "", "", "Accept-Encoding", "gzip"), s.do("GET", css, "", ""); zipped.Header().Get("Content-Encoding") != "gzip" ||
		plain.Header().Get("Content-Encoding") != "" || zipped.Body.Len() >= plain.Body.Len() {
		t.Error("the style sheet is not compressed for those who can read that, and only for them")
	}
	for _, name := range []string{"/static/app.css", "/static/..%2fopenapi.json", "/static/none.js"} {
		if w := s.do("GET", name, "", ""); w.Code != 404 {
			t.Errorf("%s is answered %d", name, w.Code)
		}
	}
}

// TestSizes holds the budget of dashboard.md §16, with a run of 200 resources and long tables.
func TestSizes(t *testing.T) {
	w := fullWorld()
	for i := range 200 {
		w.write(upgrade.Event{Run: 481, At: at("08:46:00"), Kind: upgrade.EventResource, Text: "x", Data: map[string]string{
			"address": fmt.Sprintf("module.edge.aws_security_group_rule.varnish_in[%d]", i), "action": "update", "state": "done",
		}})
	}
	s := newSite(t, w)
	for _, tc := range []struct {
		name        string
		body        []byte
		raw, zipped int
	}{
		{"board", s.get("/").Body.Bytes(), 60_000, 15_000},
		{"run", s.get("/runs/481").Body.Bytes(), 60_000, 15_000},
		{"replay", s.get("/runs/481/replay?at=206").Body.Bytes(), 60_000, 15_000},
		{"css", fileOf(t, "static/app.css"), 32_000, 10_000},
		{"own_script", fileOf(t, "static/app.js"), 6 << 10, 3 << 10},                                               // 3 KB compressed; raw it is bounded by all scripts together
		{"replay_script", append(fileOf(t, "static/app.js"), fileOf(t, "static/replay.js")...), 12 << 10, 4 << 10}, // its page has no htmx
		{"scripts", append(append(fileOf(t, "static/app.js"), fileOf(t, "static/vendor/htmx-4.0.1.min.js")...), fileOf(t, "static/vendor/hx-sse-4.0.1.min.js")...), 50_000, 20_000},
	} {
		if zipped := zip(tc.body); len(tc.body) > tc.raw || len(zipped) > tc.zipped {
			t.Errorf("%s has %d bytes, %d compressed; allowed are %d and %d", tc.name, len(tc.body), len(zipped), tc.raw, tc.zipped)
		}
	}
}

func fileOf(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestTimeline(t *testing.T) {
	r := upgrade.Result{StartedAt: at("08:49:26"), Took: 58 * time.Second}
	for _, tc := range []struct {
		name  string
		spans []upgrade.Span
		want  string
	}{
		{"nothing", nil, ""},
		{"nothing_reached", []upgrade.Span{{Name: "a"}}, ""},
		{"one", []upgrade.Span{{Name: "a", From: at("08:49:26"), To: at("08:49:36")}}, "a 0% 100% f-okl 10 s | 10 s"},
		{
			"failed_then_not_reached",
			[]upgrade.Span{{Name: "a", From: at("08:49:26"), To: at("08:49:28")}, {Name: "b", From: at("08:49:28"), To: at("08:50:07"), Failed: true}, {Name: "c"}},
			"a 0% 4% f-okl 2 s | b 4% 78% f-bad failed 39 s | c   not reached | 50 s",
		},
		{"still_running", []upgrade.Span{{Name: "a", From: at("08:49:26")}}, "a 0% 58% f-runl 58 s so far | 1 min 40 s"},
		{"ends_before_it_begins", []upgrade.Span{{Name: "a", From: at("08:50:00"), To: at("08:49:00"), Failed: true}}, "a 0% 0% f-bad failed 0 ms mark | 5 s"},
		{"hours", []upgrade.Span{{Name: "a", From: at("00:00:00"), To: at("03:00:00")}}, "a 0% 60% f-okl 3 h | 5 h"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := timeline(tc.spans, r)
			if v == nil {
				if tc.want != "" {
					t.Errorf("nothing is drawn, want %s", tc.want)
				}
				return
			}
			var said []string
			for _, row := range v.Rows {
				line := strings.Join([]string{row.Name, row.X, row.W, row.Class, row.Text}, " ")
				if row.Mark {
					line += " mark"
				}
				said = append(said, line)
			}
			said = append(said, v.Ticks[5].Text)
			if got := strings.ReplaceAll(strings.Join(said, " | "), nb, " "); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(tc.want), " ") {
				t.Errorf("got\n%s, want\n%s", got, tc.want)
			}
		})
	}
}

func TestLadder(t *testing.T) {
	v := ladder(upgrade.Table{
		Title: "Ladder", Columns: []string{"Path", "Address", "DNS", "TCP", "TLS", "Varnish", "Backend"},
		Rows: [][]string{
			{"a", "203.0.113.7:80", "2.0 ms", "3.0 ms", "–", "4.0 ms hit", "5.0 ms 200"},
			{"b", "", "2.0 ms", "✗ refused", "Not reached", "", "✗ twice"},
		},
	})
	var said []string
	for _, p := range v.Paths {
		var line strings.Builder
		line.WriteString(p.Path + "@" + p.Beside)
		for _, r := range p.Rungs {
			_, _ = fmt.Fprintf(&line, " %s=%s:%s", r.Layer, r.Class, r.Text)
		}
		said = append(said, strings.ReplaceAll(line.String(), nb, " "))
	}
	want := []string{
		"a@203.0.113.7:80 DNS=ok:2.0 ms TCP=ok:3.0 ms TLS=ghost:Not asked Varnish=ok:4.0 ms hit Backend=ok:5.0 ms 200",
		"b@ DNS=ok:2.0 ms TCP=bad:refused TLS=ghost:Not reached Varnish=ghost:Not reached Backend=ghost:Not reached",
	}
	for i := range want {
		if said[i] != want[i] {
			t.Errorf("got  %s\nwant %s", said[i], want[i])
		}
	}
	if got := strings.Join(v.Layers, " "); got != "DNS TCP TLS Varnish Backend" {
		t.Errorf("layers %s", got)
	}
}

func TestLogLines(t *testing.T) {
	w := fullWorld()
	var long strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	w.logs["481/plan"] = long.String() + strings.Repeat("x", 10*lineBytes) + "\n\xff\xfe not text"
	s := newSite(t, w)
	lines, left, err := s.lines(t.Context(), upgrade.Run{ID: 481}, "plan", tailLines, s.words())
	if err != nil || len(lines) != tailLines || left != 5002-tailLines {
		t.Fatalf("%d lines, %d left: %v", len(lines), left, err)
	}
	if lines[0].Text != "line 4994" || len(lines[6].Text) != lineBytes || !strings.HasSuffix(lines[7].Text, "not text") {
		t.Errorf("got %.100q … %.40q %q", lines[0].Text, lines[6].Text, lines[7].Text)
	}
	lines, _, err = s.lines(t.Context(), upgrade.Run{ID: 481}, "apply", pageLines, s.words())
	if err != nil || len(lines) != 4 || lines[0].When != "08:45:14" || lines[0].Text != "Terraform 1.11.4" || !lines[2].Bad || lines[3].When != "" {
		t.Errorf("got %+v: %v", lines, err)
	}
}

// TestPlanGroups: destroyed first; delete and create of one address is a replacement, counted once.
func TestPlanGroups(t *testing.T) {
	event := func(address, action, state string) upgrade.Event {
		return upgrade.Event{Kind: upgrade.EventResource, Data: map[string]string{"address": address, "action": action, "state": state}}
	}
	groups := planGroups([]upgrade.Event{
		event("new", "create", "start"), event("gone", "delete", "done"), event("swap", "delete", "done"), event("swap", "create", "done"),
		event("new", "create", "done"), event("stuck", "update", "start"), event("broken", "update", "failed"), event("", "update", "done"),
		{Kind: upgrade.EventPhase, Data: map[string]string{"address": "no", "action": "delete"}},
	})
	var said []string
	for _, g := range groups {
		for _, l := range g.Lines {
			said = append(said, strings.TrimSpace(g.Sign+" "+l.Address+" "+l.State))
		}
	}
	want := "− gone, ± swap, ~ stuck not finished, ~ broken failed, + new"
	if got := strings.Join(said, ", "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLongPlan: the page of a run names so many resources, what failed first.
func TestLongPlan(t *testing.T) {
	var events []upgrade.Event
	for i := range 1000 {
		state := "done"
		if i == 900 {
			state = "failed"
		}
		events = append(events, upgrade.Event{Kind: upgrade.EventResource, Data: map[string]string{"address": fmt.Sprint("r", i), "action": []string{"update", "delete"}[i/990], "state": state}})
	}
	groups := planGroups(events)
	if len(groups) != 2 || groups[0].Title != "Destroyed 10" || len(groups[0].Lines) != 10 || groups[0].More != 0 {
		t.Fatalf("destroyed: %+v", groups)
	}
	if g := groups[1]; g.Title != "Changed in place 990" || len(g.Lines) != mostPlanLines-10 || g.More != 880 || !reflect.DeepEqual(g.Lines[0], planLine{ID: "changed-901", Address: "r900", State: "failed", Tone: "bad"}) || g.Lines[1].Address != "r0" {
		t.Errorf("%s, %d lines and %d more, first %+v", g.Title, len(g.Lines), g.More, g.Lines[0])
	}
}

func TestPageIsCompressed(t *testing.T) {
	s := newSite(t, fullWorld())
	r := httptest.NewRequest(http.MethodGet, "/runs/481", nil)
	r.Header.Set("Authorization", "Bearer "+managerToken)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > 15_000 {
		t.Errorf("%d bytes as %q", w.Body.Len(), w.Header().Get("Content-Encoding"))
	}
}
