package server

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Budgets of a page: dashboard.md §16. KB are 1000 bytes.
const (
	mostZipped   = 15_000
	mostRaw      = 60_000
	mostElements = 1500
	mostFirst    = 40_000 // zipped, of the page and all that it asks for
	mostRequests = 5      // besides the stream
)

// largeWorld has a run whose apply changes so many resources, and a history as long as lists get.
func largeWorld(resources int) *world {
	w := fullWorld()
	for i := range resources {
		address := fmt.Sprintf("module.edge_platform.aws_vpc_security_group_ingress_rule.varnish_in[%d]", i)
		for _, state := range []string{"started", "done"} {
			w.write(upgrade.Event{
				Run: 481, At: at("08:46:02").Add(time.Duration(i) * time.Second / 2), Kind: upgrade.EventResource, Text: address + " " + state,
				Data: map[string]string{"address": address, "action": []string{"update", "create", "delete"}[i%3], "state": state},
			})
		}
	}
	for i := range 120 {
		old := blockedRun()
		old.ID, old.Stack, old.CreatedAt, old.Since = upgrade.RunID(i+1), upgrade.StackName(fmt.Sprintf("stack-%d", i%20)), old.CreatedAt.AddDate(0, 0, -i-1), old.Since.AddDate(0, 0, -i-1)
		old.Phase = []upgrade.Phase{upgrade.PhasePromoted, upgrade.PhaseBlocked, upgrade.PhaseFailed, upgrade.PhaseUnlocked}[i%4]
		w.runs = append(w.runs, old)
		d := w.deliveries[i%3]
		d.Number, d.ID = int64(100+i), upgrade.DeliveryID(fmt.Sprintf("delivery-%d", i))
		w.deliveries = append(w.deliveries, d)
	}
	return w
}

var element = regexp.MustCompile(`<[a-zA-Z]`)

// checkSize measures one page against its budgets, and returns how many bytes it has zipped.
func checkSize(t *testing.T, s *site, target string) int {
	t.Helper()
	raw, zipped := s.get(target), s.do(http.MethodGet, target, managerToken, "", "Accept-Encoding", "gzip")
	if raw.Code != http.StatusOK || zipped.Code != http.StatusOK {
		t.Fatalf("%s answers %d", target, raw.Code)
	}
	elements := len(element.FindAllString(raw.Body.String(), -1))
	if zipped.Body.Len() > mostZipped || raw.Body.Len() > mostRaw || elements > mostElements {
		t.Errorf("%s has %d bytes, %d zipped, %d elements; at most %d, %d and %d", target, raw.Body.Len(), zipped.Body.Len(), elements, mostRaw, mostZipped, mostElements)
	}
	return zipped.Body.Len()
}

// TestPageSizes: every page of every fixture, and of a run with 200 resources, keeps to its budgets.
func TestPageSizes(t *testing.T) {
	ofRun := []string{"/runs/481", "/runs/481/plan", "/runs/481/log/apply", "/runs/481/log/plan", "/runs/481/override", "/runs/481/approve", "/runs/481/rerun"}
	others := []string{"/", "/history", "/history?q=platform", "/deliveries", "/environments", "/freezes", "/audit", "/config", "/access"}
	for name, run := range fixtures() {
		t.Run(name, func(t *testing.T) {
			w := fullWorld()
			second := run
			second.ID, second.Stack = 482, "second"
			w.runs = []upgrade.Run{run, second}
			w.results[481] = append(blockedResults(), hostile())
			s := newSite(t, w)
			for _, target := range append(slices.Clone(ofRun), "/", "/history") {
				checkSize(t, s, target)
			}
		})
	}
	for _, resources := range []int{0, 200} {
		t.Run(fmt.Sprintf("resources_%d", resources), func(t *testing.T) {
			s := newSite(t, largeWorld(resources), func(c *Config) {
				c.Freezes, c.Audit, c.Settings, c.Plans = someFreezes(), someAudit(), someSettings, planOf200{}
			})
			for _, target := range slices.Concat(ofRun, others) {
				checkSize(t, s, target)
			}
		})
	}
}

// TestFirstVisit: the first page that somebody opens, with all that it asks for.
func TestFirstVisit(t *testing.T) {
	s := newSite(t, largeWorld(200))
	for _, target := range []string{"/", "/runs/481", "/history", "/environments"} {
		t.Run(strings.Trim(strings.ReplaceAll(target, "/", "_"), "_")+"_page", func(t *testing.T) {
			files := regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(s.get(target).Body.String(), -1)
			var names []string
			for _, f := range files {
				if !strings.HasSuffix(f[1], ".svg") { // the icon of the tab, which a browser asks for when it has nothing else to do
					names = append(names, f[1])
				}
			}
			slices.Sort(names)
			names = slices.Compact(names)
			if n := 1 + len(names); n > mostRequests {
				t.Errorf("%d requests: the page and %v", n, names)
			}
			all := checkSize(t, s, target)
			for _, name := range names {
				all += s.do(http.MethodGet, name, "", "", "Accept-Encoding", "gzip").Body.Len()
			}
			if all > mostFirst {
				t.Errorf("%d bytes zipped, at most %d", all, mostFirst)
			}
		})
	}
}
