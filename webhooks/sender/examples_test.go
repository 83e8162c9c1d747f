package sender

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
)

// examples are events as journals have them, one for each type that is no change of phase.
func examples() []upgrade.Event {
	return []upgrade.Event{
		{Kind: upgrade.EventCreated, Text: "push to staging"},
		{Kind: upgrade.EventAnswer, Text: "Answers for merge request !210 too."},
		{Kind: upgrade.EventWaiting, Text: "Waits for run 480, which has the stack."},
		{Kind: upgrade.EventGate, Text: "grants on staging failed: 1 of 3 grants is gone.", Data: map[string]string{"gate": "grants", "environment": "staging", "outcome": "failed"}},
		{Kind: upgrade.EventResource, Text: "aws_kms_grant.ecs is gone.", Data: map[string]string{"address": "aws_kms_grant.ecs", "action": "delete", "state": "done"}},
		{Kind: upgrade.EventApply, Text: "Terraform has ended.", Data: map[string]string{"n": "1", "state": "exited"}},
		{Kind: upgrade.EventOrder, Text: "The job upgrade-gate was played.", Data: map[string]string{"hold": "play_job", "state": "done"}},
		{Kind: upgrade.EventStatus, Text: "GitLab shows failed.", Data: map[string]string{"commit": "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432", "state": "failed"}},
		{Kind: upgrade.EventRequest, Who: "Mira Holt", Text: "Mira Holt asked to run the gates again.", Data: map[string]string{"kind": "recheck"}},
		{Kind: upgrade.EventRetry, Text: "GitLab did not answer: tried again in 30 s."},
		{Kind: upgrade.EventNote, Text: "The note on merge request !210 was written."},
	}
}

// TestExamples writes an example of each event that is sent to the documentation.
func TestExamples(t *testing.T) {
	r := open(t, newShelves(), nil)
	run := upgrade.Run{
		ID: 481, Upgrade: 96, Attempt: 1, Stack: "ecs-master", Environment: "staging", ProjectID: 42, Project: "platform/ecs-master",
		Commit: "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432", Tree: "1b2c3d4e5f60718293a4b5c6d7e8f90123456789",
	}
	events := examples()
	for _, p := range upgrade.Phases() {
		text := "The run is " + strings.ReplaceAll(string(p), "_", " ") + "."
		events = append(events, upgrade.Event{Kind: upgrade.EventPhase, Text: text, Data: map[string]string{"from": "checking", "to": string(p)}})
	}
	var b bytes.Buffer
	b.WriteString("# What is sent: an example of each event\n\nWritten by a test. What surrounds it, how to verify it and what a receiver must expect is in [webhooks.md](webhooks.md).\n")
	seen := []string{upgrade.TypePhase}
	for i, e := range events {
		e.ID, e.Seq, e.Run, e.At = int64(90417+i), int64(12+i), run.ID, time.Date(2026, 11, 23, 9, 16, i, 0, time.UTC)
		if e.Who == "" {
			e.Who = "by rule"
		}
		body, err := r.payloadOf(run, e)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, upgrade.HookType(e))
		show(t, &b, upgrade.HookType(e), body)
	}
	body, err := write(Payload{Type: upgrade.TypeTest, Timestamp: time.Date(2026, 11, 23, 9, 20, 0, 0, time.UTC), Version: PayloadVersion, Data: Data{Who: "Ada Byron", Text: "Ada Byron tries out the subscription chat."}})
	if err != nil {
		t.Fatal(err)
	}
	show(t, &b, upgrade.TypeTest, body)
	want := upgrade.HookTypes()
	slices.Sort(seen)
	slices.Sort(want)
	if !slices.Equal(seen, want) {
		t.Errorf("examples of %v, types are %v", seen, want)
	}
	testkit.Golden(t, "../../docs/webhook-events.md", b.Bytes())
}

func show(t *testing.T, b *bytes.Buffer, typ string, body []byte) {
	t.Helper()
	fmt.Fprintf(b, "\n## %s\n\n```json\n", typ)
	if err := json.Indent(b, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n```\n")
}
