package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestOneHeadline: page, its title for those who do not see it, board, history of what closed nothing and API say the same
// of a run. What GitLab and other systems are told is made by the same function: dashboard.md §17, test 3.
func TestOneHeadline(t *testing.T) {
	for name, run := range fixtures() {
		t.Run(name, func(t *testing.T) {
			w := fullWorld()
			w.runs = []upgrade.Run{run}
			s, want := newSite(t, w), upgrade.Tell(run).Headline
			page, board := text(s.get("/runs/481").Body.String()), text(s.get("/").Body.String())
			if !strings.Contains(page, "<h1>"+want+"</h1>") || !strings.Contains(page, `role="status">`+upgrade.Tell(run).Look.Word+". "+want+"</p>") {
				t.Errorf("the page does not say %q as its headline", want)
			}
			if shown := run.Phase.Live() || strings.Contains(board, `href="/runs/481">`+string(run.Stack)+"</a></h3>"); shown && !strings.Contains(board, `<p class="hl">`+want+"</p>") {
				t.Errorf("the board does not say %q", want)
			}
			if api := decode[wireRun](t, s.get("/api/v1/runs/481")).Told.Headline; api != want {
				t.Errorf("the API says %q, want %q", api, want)
			}
		})
	}
}

// TestManyResources: a run of 200 resources is a page like any other.
func TestManyResources(t *testing.T) {
	w := fullWorld()
	for i := range 200 {
		w.write(upgrade.Event{Run: 481, At: at("08:46:00"), Kind: upgrade.EventResource, Text: "x", Data: map[string]string{
			"address": fmt.Sprintf("module.edge.aws_security_group_rule.%s[%d]", strings.Repeat("very_long_", 8), i), "action": []string{"update", "delete", "create"}[i%3], "state": "done",
		}})
	}
	s := newSite(t, w)
	for _, target := range []string{"/runs/481", "/runs/481/replay?at=206", "/runs/481/plan"} {
		page := s.get(target)
		if page.Code != 200 {
			t.Fatalf("%s is answered %d\n%s", target, page.Code, s.log)
		}
		checkHTML(t, target, page.Body.String())
		if n := strings.Count(page.Body.String(), "<"); n > 2*1500 { // each element is opened and closed
			t.Errorf("%s has %d tags", target, n)
		}
	}
}

// TestApplyOfNoLength: where nothing could be watched nothing is drawn.
func TestApplyOfNoLength(t *testing.T) {
	if got := drawn(t, staged(0, strip{name: "cached", address: "203.0.113.7:443", every: 500_000_000, class: "tcp_refused"}), nil); got != "" {
		t.Errorf("an apply of no length is drawn as\n%s", got)
	}
}
