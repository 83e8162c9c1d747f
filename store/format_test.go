package store_test

import (
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

var update = flag.Bool("update", false, "write the goldens")

// TestFormat pins what documents look like in the database. A difference that is not only an addition
// means that rows written by an older version cannot be read: it needs a migration.
func TestFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	s := mustOpen(t, "sqlite:"+path)
	at := time.Date(2030, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	if _, err := s.Deliver(t.Context(), upgrade.Delivery{ID: "d", ReceivedAt: at, Hint: upgrade.Hint{Kind: upgrade.HintPush, Ref: "staging", ProjectID: 7}}); err != nil {
		t.Fatal(err)
	}
	job, _, err := s.Claim(t.Context(), "w", time.Minute, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []upgrade.Step{
		{Starts: []upgrade.Run{{
			ProjectID: 7, Project: "platform/ecs", Stack: "ecs", Environment: "staging", Tree: "t", Commit: "c", Version: "v2",
			Base: "v1", Title: "Move to io2", Author: "hugo", Reason: "push to staging", Deadline: at.Add(time.Hour), Verdict: upgrade.VerdictClosed,
			Causes:   []upgrade.Cause{{Kind: upgrade.CauseGateFailed, Gate: "launch", Effect: upgrade.EffectCannotStart, Message: "no", Hint: "look"}},
			Tally:    upgrade.Tally{Gates: 3, Passed: 1, Failed: 1, Unknown: 1},
			Progress: upgrade.Progress{Done: 1, Total: 2, Failed: "aws_instance.a"},
			Plan:     upgrade.PlanFacts{File: "/p", FileDigest: "fd", ChangeDigest: "cd", LockDigest: "ld", Create: 1, Tool: "terraform 1.11.4"},
			Applies:  1, ChangedAt: at, Round: 2, StoppedBy: "eve", PromotedAt: at, Production: upgrade.ProductionFacts{Started: true, JobURL: "u"},
		}}, Delivery: &upgrade.Delivery{ID: "d", Fate: upgrade.FateStarted}},
		{
			Results: []upgrade.Result{{
				Run: 1, Gate: "launch", Kind: "instance-launch", Stage: upgrade.StageAfter, Environment: "staging", Round: 1, Required: true,
				TouchesLive: true, Outcome: upgrade.OutcomeFailed, Message: "terminated", Warnings: []string{"slow"}, StartedAt: at,
				Took: time.Second, GoodFor: time.Hour, Evidence: upgrade.Evidence{
					Facts: []upgrade.Fact{{Name: "AMI", Value: "ami-1"}}, Quotes: []upgrade.Quote{{Source: "EC2", Text: "no", At: at}},
				},
			}},
			Applies:  []upgrade.Apply{{Run: 1, N: 1, Tree: "t", FileDigest: "fd", State: upgrade.ApplyExited, Host: "h", BootID: "b", Dir: "/d", OK: true, BegunAt: at, EndedAt: at}},
			Orders:   []upgrade.Order{{Upgrade: 1, Run: 1, Hold: upgrade.Hold{Kind: upgrade.HoldPlayJob, Job: "gate", Opens: upgrade.OpensStep}, State: upgrade.OrderDone, Target: "job 1", Result: "played", Attempts: 2, At: at}},
			Requests: []upgrade.Request{{Run: 1, Kind: upgrade.RequestStop, By: upgrade.Person{Name: "eve", Role: upgrade.RoleDeveloper, GitLabUser: 3}, Reason: "wrong", Other: 2, At: at}},
			Events:   []upgrade.Event{{Run: 1, Kind: upgrade.EventNote, Data: map[string]string{"k": "v"}}},
		},
	} {
		if err := s.Commit(t.Context(), job, at, step); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveAgent(t.Context(), upgrade.Agent{
		Name: "a", Key: []byte("k"), InvitedBy: "eve", InvitedAt: at, RevokedBy: "hugo", RevokedAt: at, Facts: upgrade.AgentFacts{
			Version: "v1", Host: "h", Allow: []string{"10.0.0.0/8:80"}, MaxRate: 50, MaxDuration: time.Hour, Offset: -time.Millisecond, RTT: time.Millisecond, MeasuredAt: at,
		},
	}); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/documents.json", documents(t, path))
}

// documents reads every document, past the store.
func documents(t *testing.T, path string) map[string]any {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]any{}
	for _, column := range []string{
		"deliveries.hint", "deliveries.runs", "runs.doc", "results.doc", "evidence.doc", "applies.doc", "orders.doc", "requests.doc", "events.data", "agents.doc",
	} {
		table, field, _ := strings.Cut(column, ".")
		var text string
		if err := db.QueryRowContext(t.Context(), `SELECT `+field+` FROM `+table+` WHERE `+field+` <> ''`).Scan(&text); err != nil {
			t.Fatalf("%s: %v", column, err)
		}
		docs[column] = parse(t, text)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return docs
}

func parse(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// golden fails for everything in the file that is not in got. More in got is a new field, which older
// rows do without.
func golden(t *testing.T, path string, got any) {
	t.Helper()
	if *update {
		text, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, path, parse(t, string(want)), got)
}

func contains(t *testing.T, at string, want, got any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		inside, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, want an object", at, got)
			return
		}
		for key, value := range want {
			contains(t, at+"."+key, value, inside[key])
		}
	case []any:
		inside, ok := got.([]any)
		if !ok || len(inside) != len(want) {
			t.Errorf("%s is %v, want %v", at, got, want)
			return
		}
		for i := range want {
			contains(t, fmt.Sprintf("%s[%d]", at, i), want[i], inside[i])
		}
	default:
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", at, diff)
		}
	}
}
