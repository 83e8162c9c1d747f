package gates_test

import (
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestS5NobodyLooked: a time of which a stream says nothing at all was watched by nobody, though nobody says so: no
// news is no good news.
func TestS5NobodyLooked(t *testing.T) {
	path := probe.Path{URL: "https://site.test/", Bypass: probe.Bypass{Header: "X-Bypass", Value: "open-sesame"}}
	for name, test := range map[string]struct {
		words  string // of the streams that say nothing
		length time.Duration
		want   upgrade.Outcome
		says   string
	}{
		"longer_than_the_budget":   {"cached", 600 * ms, upgrade.OutcomeUnknown, "could not look at the site for 0.6 s at a time"},
		"shorter_than_the_budget":  {"cached", 400 * ms, upgrade.OutcomePassed, ""},
		"within_what_probes_miss":  {"cached", 40 * ms, upgrade.OutcomePassed, ""},
		"one_stream_of_two":        {"past the cache", 6 * time.Second, upgrade.OutcomeUnknown, "could not look at the site for 6 s at a time"},
		"controls_are_not_charged": {"control", 6 * time.Second, upgrade.OutcomePassed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := &places{met: breaks(5*time.Second, test.length, unheard, test.words)}
			got := w.watchedFor(t, gates.OutageSettings{Path: path, Past: gates.Page{Page: "/gate.txt"}}, 20*time.Second)
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
		})
	}
}
