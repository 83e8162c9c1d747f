package gates_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// slows are places in which good answers take so long for a while, on the streams whose name begins with a word.
func slows(word string, from, to, took time.Duration, oneIn int) func(time.Duration, probe.Stream) probe.Sample {
	return func(now time.Duration, of probe.Stream) probe.Sample {
		s := probe.Sample{Class: probe.ClassOK, Status: 200}
		if strings.HasPrefix(of.Name, word) && now >= from && now < to && int(now/of.Every)%oneIn == 0 {
			s.End = took
		}
		return s
	}
}

// TestAvailabilitySlow: answers that come, but late, are no outage, and have a budget of their own.
func TestAvailabilitySlow(t *testing.T) {
	path := probe.Path{URL: "https://site.test/"}
	tests := []struct {
		name     string
		settings gates.OutageSettings
		met      func(time.Duration, probe.Stream) probe.Sample
		want     upgrade.Outcome
		says     string
		slow     string // in the table of streams, of the first
	}{
		{"at_the_limit", gates.OutageSettings{Path: path}, slows("cached", 0, time.Minute, time.Second, 10), upgrade.OutcomePassed, "answered all along", "0"},
		{"few", gates.OutageSettings{Path: path}, slows("cached", 0, 60*ms, 1500*ms, 1), upgrade.OutcomePassed, "", "3"},
		{"many", gates.OutageSettings{Path: path}, slows("cached", 0, time.Minute, 1200*ms, 20), upgrade.OutcomeFailed, "25 of 500 probes of stream cached took longer than 1 s (5 %), the longest 1.2 s, limit 1 %", "25"},
		{"a_larger_budget", gates.OutageSettings{Path: path, Budget: gates.Budget{Slow: 0.1}}, slows("cached", 0, time.Minute, 1200*ms, 20), upgrade.OutcomePassed, "", "25"},
		{"a_longer_limit", gates.OutageSettings{Path: path, Slow: 2 * time.Second}, slows("cached", 0, time.Minute, 1200*ms, 20), upgrade.OutcomePassed, "", "0"},
		{
			"not_one",
			gates.OutageSettings{Path: path, Budget: gates.Budget{Classes: map[probe.Class]time.Duration{probe.ClassSlow: 0}}},
			slows("cached", 0, 20*ms, 1500*ms, 1), upgrade.OutcomeFailed, "answers came slowly: 1 probe met slow, and not one may", "1",
		},
		{
			"for_so_long",
			gates.OutageSettings{Path: path, Budget: gates.Budget{Slow: 1, Classes: map[probe.Class]time.Duration{probe.ClassSlow: 200 * ms}}},
			slows("cached", 0, time.Minute, 1200*ms, 20), upgrade.OutcomeFailed, "answers were slow for 0.5 s, limit 0.2 s for slow", "25",
		},
		{"deep_page_may", gates.OutageSettings{Path: path, Deep: gates.Page{Page: "/my/", Every: 100 * ms}}, slows("deep", 0, time.Minute, 3*time.Second, 1), upgrade.OutcomePassed, "", "0"},
		{"deep_page_may_not", gates.OutageSettings{Path: path, Deep: gates.Page{Page: "/my/", Every: 100 * ms, Slow: 2 * time.Second}}, slows("deep", 0, time.Minute, 2500*ms, 10), upgrade.OutcomeFailed, "of stream deep page took longer than 2 s", "0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := (&places{met: test.met}).watchedFor(t, test.settings, 10*time.Second)
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
			if row := strings.Split(rowsOf(t, got.Evidence, "Streams")[0], "|"); row[7] != test.slow {
				t.Errorf("streams say %v, want %s slow", row, test.slow)
			}
		})
	}
}

// TestAvailabilitySlowBefore: a site that is slow already is no ground to judge on.
func TestAvailabilitySlowBefore(t *testing.T) {
	w := &places{met: slows("cached", 0, time.Hour, 1200*ms, 20)}
	synctest.Test(t, func(t *testing.T) {
		g := bound(t, gates.OutageSettings{Path: probe.Path{URL: "https://site.test/"}}, w.deps())
		got := gates.Runner{Clock: upgrade.SystemClock{}}.Before(t.Context(), []gates.Gate{g}, gates.Input{Apply: 1})[0]
		if got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, "already broken before the apply") || !strings.Contains(got.Message, "took longer than 1 s") {
			t.Errorf("got %s %q", got.Outcome, got.Message)
		}
	})
}
