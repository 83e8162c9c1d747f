package server

import (
	"slices"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestNames: a text has an address, and not only a longer one.
func TestNames(t *testing.T) {
	const address = "module.kms.aws_kms_grant.asg"
	for text, want := range map[string]bool{
		"":                                       false,
		address:                                  true,
		"Terraform destroyed " + address + ".":   true,
		address + ", which held a grant":         true,
		"(" + address + ")":                      true,
		address + "_ebs is another":              false,
		address + "-ebs is another":              false,
		address + "[0] is another":               false,
		address + ".more is another":             false,
		"module.x." + address:                    false,
		"one_" + address:                         false,
		address + "_ebs, and then " + address:    true,
		"aws_kms_grant.asg is one of the root":   false,
		"module.kms.aws_kms_grant is no address": false,
	} {
		if got := names(text, address); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
	if names("anything", "") {
		t.Error("nothing is named")
	}
}

func TestResourceTitle(t *testing.T) {
	for address, want := range map[string]string{
		"aws_kms_grant.asg":                                    "KMS grant",
		"module.kms.aws_kms_grant.asg[0]":                      "KMS grant",
		`module.edge["a.b"].aws_security_group_rule.in["c.d"]`: "Security group rule",
		"odd": "odd",
	} {
		if got := resourceTitle(address); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}

// TestChain: a cause leads from what the apply did to every gate that says no to the same thing.
func TestChain(t *testing.T) {
	no := func(gate upgrade.GateName, kind string, env upgrade.EnvName, about ...string) upgrade.Result {
		return upgrade.Result{Gate: gate, Kind: kind, Environment: env, Outcome: upgrade.OutcomeFailed, Evidence: upgrade.Evidence{About: about}}
	}
	d := runData{run: upgrade.Run{ID: 7, Environment: "staging"}, results: []upgrade.Result{
		no("grants", "kms-grants", "staging", "key/1", "module.kms.aws_kms_grant.asg"),
		no("launch", "instance-launch", "staging", "key/1"),
		no("site", "availability", "staging", "aws_security_group_rule.in"),
		no("alone", "http", "staging"),
		{Gate: "maybe", Kind: "varnish", Environment: "staging", Outcome: upgrade.OutcomeUnknown, Evidence: upgrade.Evidence{About: []string{"key/1"}}},
		{Gate: "fine", Kind: "command", Environment: "staging", Outcome: upgrade.OutcomePassed, Message: "module.kms.aws_kms_grant.asg"},
	}}
	groups := planGroups([]upgrade.Event{
		{Kind: upgrade.EventResource, Data: map[string]string{"address": "module.kms.aws_kms_grant.asg", "action": "delete", "state": "done"}},
		{Kind: upgrade.EventResource, Data: map[string]string{"address": "aws_security_group_rule.in", "action": "delete", "state": "done"}},
		{Kind: upgrade.EventResource, Data: map[string]string{"address": "aws_security_group_rule.in", "action": "create", "state": "done"}},
		{Kind: upgrade.EventResource, Data: map[string]string{"address": "aws_kms_alias.new", "action": "create", "state": "done"}},
	})
	whole := []link{
		{Text: "KMS grant destroyed", Href: "#changed-1"},
		{Text: "KMS grants failed", Href: "#gate-grants"},
		{Text: "Instance launch failed", Href: "#gate-launch"},
	}
	for gate, want := range map[upgrade.GateName][]link{
		"grants": whole, "launch": whole,
		"site":  {{Text: "Security group rule replaced", Href: "#changed-2"}, {Text: "Availability failed", Href: "#gate-site"}},
		"alone": {{Text: "See the evidence", Href: "#gate-alone"}},
		"maybe": {{Text: "See the evidence", Href: "#gate-maybe"}},
	} {
		if got := noesOf(d).chain(upgrade.Cause{Gate: gate}, groups); !slices.Equal(got, want) {
			t.Errorf("%s: got %+v", gate, got)
		}
	}
}

// TestTold: who looks in GitLab sees the same, or the page says that he does not yet.
func TestTold(t *testing.T) {
	w := words{now: at("09:15:00"), zone: time.UTC}
	shown := upgrade.Event{Kind: upgrade.EventStatus, At: at("08:50:34"), Data: map[string]string{"state": "failed", "commit": string(commitA)}}
	older := upgrade.Event{Kind: upgrade.EventStatus, At: at("08:45:00"), Data: map[string]string{"state": "running", "commit": string(commitA)}}
	blocked := upgrade.Run{Phase: upgrade.PhaseBlocked}
	proposed := blocked
	proposed.Answers = []upgrade.Answer{{Ref: "staging", Commit: commitA}, {Commit: "5d41402a", MergeRequest: 9}, {Commit: commitA, MergeRequest: 412}}
	for _, tt := range []struct {
		name   string
		run    upgrade.Run
		events []upgrade.Event
		want   string
	}{
		{"nothing", blocked, nil, "GitLab does not show this yet."},
		{"an_earlier_state", blocked, []upgrade.Event{older, {Kind: upgrade.EventPhase}}, "GitLab does not show this yet."},
		{"shown", blocked, []upgrade.Event{older, shown, {Kind: upgrade.EventOrder}}, "GitLab shows “failed” on commit 8f2c1ab since"},
		{"in_a_merge_request", proposed, []upgrade.Event{shown}, "GitLab shows “failed” on commit 8f2c1ab and in !412 since"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := toldOf(runData{run: tt.run, events: tt.events, words: w})
			if got.Text != tt.want || (got.When.Text != "") != (len(tt.events) > 0 && tt.events[len(tt.events)-1].Kind != upgrade.EventPhase) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
