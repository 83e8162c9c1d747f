package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// someAgents is one agent in every state.
func someAgents(now time.Time) []upgrade.Agent {
	facts := upgrade.AgentFacts{
		Version: "1.4.0", Host: "ip-10-20-4-17", Allow: []string{"10.20.0.0/16:80,443", "10.30.1.5/32:443"}, MaxRate: 200, MaxDuration: time.Hour,
		Offset: -1500 * time.Microsecond, RTT: 4 * time.Millisecond, MeasuredAt: now.Add(-time.Minute),
	}
	return []upgrade.Agent{
		{
			Name: "production-a", Key: []byte("k"), EnrolledAt: now.Add(-time.Hour), HeardAt: now.Add(-12 * time.Second), Facts: facts,
			Watches: []upgrade.AgentWatch{
				{Target: "https://staging.example.org/", Stream: "cached", Since: now.Add(-90 * time.Second)},
				{Target: "https://staging.example.org/", Stream: "past the cache", Since: now.Add(-90 * time.Second)},
			},
		},
		{Name: "staging-a", Key: []byte("k"), HeardAt: now.Add(-7 * time.Minute), Facts: upgrade.AgentFacts{Version: "1.3.2", Host: "ip-10-20-9-2", Allow: []string{"10.20.0.0/16:443"}, Offset: 17 * time.Minute, RTT: 900 * time.Millisecond, MeasuredAt: now}},
		{Name: "staging-b", Token: "open", TokenUntil: now.Add(time.Hour), InvitedBy: "Mira Holt"},
		{Name: "staging-c"},
		{Name: "staging-d", Key: []byte("k"), RevokedAt: now.Add(-time.Hour), RevokedBy: "Mira Holt", HeardAt: now.Add(-3 * time.Hour)},
		{Name: "staging-old", Key: []byte("k"), HeardAt: now.Add(-time.Second), Unlisted: true},
	}
}

// TestVantagesPage: each state has its word and what to do about it; with no agent the page says how to get one.
func TestVantagesPage(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		list       []upgrade.Agent
		with, miss []string
		path       string
	}{
		"all": {list: someAgents(now), with: []string{
			"<h1>1 of 2\u00a0agents is gone: what it watches cannot be told.</h1>", "production-a", "At work", "12\u00a0s ago", "−1.5\u00a0ms", "± 2.0\u00a0ms", "10.30.1.5/32:443", "200 probes a second",
			"https://staging.example.org/", "cached, past the cache", "Gone", "7\u00a0min ago", "journalctl -u upgradegate-agent", "Invited", "Mira Holt made a token", "Never enrolled",
			"upgradegate vantage enrol staging-c", "Revoked", "upgradegate vantage enrol staging-d", "Not configured", "for site, outage",
			"upgradegate agent --gate https://gate.example.org --allow",
		}, miss: []string{"kind: agent}]"}},
		"none":      {with: []string{"<h1>Everything is probed from this service&#39;s own host.</h1>", "vantages: [{name: staging-a, kind: agent}]", "upgradegate vantage enrol NAME", "UPGRADEGATE_AGENT_TOKEN=uga_… upgradegate agent --gate https://gate.example.org"}},
		"one":       {list: someAgents(now)[:1], with: []string{"<h1>1 agent is at work.</h1>"}},
		"gone":      {list: someAgents(now)[1:2], with: []string{"<h1>The agent is gone: what it watches cannot be told.</h1>"}},
		"all_gone":  {list: []upgrade.Agent{someAgents(now)[1], someAgents(now)[1]}, with: []string{"<h1>2 of 2\u00a0agents are gone: what they watch cannot be told.</h1>"}},
		"not_yet":   {list: someAgents(now)[2:4], with: []string{"<h1>No agent is enrolled.</h1>", "<code>upgradegate vantage enrol staging-b</code>"}},
		"all_there": {list: []upgrade.Agent{someAgents(now)[0], someAgents(now)[0]}, with: []string{"<h1>All 2 enrolled agents are at work.</h1>"}},
		"part":      {path: "/parts/list", list: someAgents(now)[:1], with: []string{`hx-trigger="every 10s"`, "production-a"}, miss: []string{"<h1>", "Enrol"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, fullWorld(), func(c *Config) {
				c.Agents, c.Now, c.PublicURL = &fakeAgents{list: test.list}, func() time.Time { return now }, "https://gate.example.org"
				c.AskedFrom = map[upgrade.AgentName][]string{"production-a": {"site", "outage"}}
			})
			got := s.get("/vantages" + test.path)
			if got.Code != http.StatusOK {
				t.Fatalf("answered %d %s", got.Code, got.Body)
			}
			body := got.Body.String()
			if test.path == "" {
				checkHTML(t, "/vantages", body)
			}
			for _, text := range test.with {
				if !strings.Contains(body, text) {
					t.Errorf("it does not say %q", text)
				}
			}
			for _, text := range test.miss {
				if strings.Contains(body, text) {
					t.Errorf("it says %q", text)
				}
			}
		})
	}
	hostile := someAgents(now)[:1]
	hostile[0].Facts.Host, hostile[0].Facts.Allow = `<script>alert(1)</script>`, []string{`"><img src=x>`}
	s := agentsSite(t, &fakeAgents{list: hostile})
	if body := s.get("/vantages").Body.String(); strings.Contains(body, "<script>alert") || strings.Contains(body, "<img") {
		t.Error("what an agent says of itself is markup")
	}
}
