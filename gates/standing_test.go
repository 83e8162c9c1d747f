package gates_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// standing asks a gate again and again, each time with what it kept the time before.
type standing struct {
	t    *testing.T
	gate gates.Gate
	memo string
}

func (s *standing) ask() upgrade.Result {
	s.t.Helper()
	in := gates.Input{Run: upgrade.Run{Environment: s.gate.Environment}, Memo: s.memo}
	got := gates.Runner{Clock: upgrade.SystemClock{}}.Ask(s.t.Context(), s.gate, in)
	if got.Memo != "" {
		s.memo = got.Memo
	}
	return got
}

// TestStandingGrants: a standing kms-grants gate says no as long as the group's role lacks what it needs, with
// the grant that is lost; of what others lose it warns for a day.
func TestStandingGrants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aws := newKeys()
		aws.grants[key1] = append(aws.grants[key1], grant("app", "arn:aws:iam::111111111111:role/app", "Decrypt"))
		gate := grantsGate(t, aws, "production")
		gate.Stage = upgrade.StageStanding
		s := &standing{t: t, gate: gate}
		expect := func(name string, got upgrade.Result, want upgrade.Outcome, says string, warnings ...string) {
			t.Helper()
			if got.Outcome != want || !strings.Contains(got.Message+" "+got.Hint, says) || len(got.Warnings) != len(warnings) {
				t.Fatalf("%s: got %s %q (%q), warnings %q; want %s that says %q", name, got.Outcome, got.Message, got.Hint, got.Warnings, want, says)
			}
			for i, w := range warnings {
				if !strings.Contains(got.Warnings[i], w) {
					t.Errorf("%s: warns %q, want that it says %q", name, got.Warnings[i], w)
				}
			}
		}
		expect("first", s.ask(), upgrade.OutcomePassed, "AWSServiceRoleForAutoScaling may use the 1 key of group web")
		time.Sleep(5 * time.Minute)
		expect("second", s.ask(), upgrade.OutcomePassed, "and nothing is lost since 1 Jan 00:00:00 UTC")

		time.Sleep(5 * time.Minute)
		both := aws.grants[key1]
		aws.grants[key1] = both[:1]
		lost := "the grant app (id-of-app) of app on key " + key1 + " is gone since 1 Jan 00:05:00 UTC, and with it Decrypt"
		expect("another's", s.ask(), upgrade.OutcomePassed, "may use", lost)
		time.Sleep(5 * time.Minute)
		expect("another's still", s.ask(), upgrade.OutcomePassed, "may use", lost)

		aws.grants[key1] = nil
		for _, when := range []string{"its own", "its own still"} {
			time.Sleep(5 * time.Minute)
			got := s.ask()
			expect(when, got, upgrade.OutcomeFailed, "the grant asg-ebs (id-of-asg-eb…) of AWSServiceRoleForAutoScaling on key "+key1+" is gone since 1 Jan 00:15:00 UTC")
			if got.Brief != "production's group web cannot use the key of its image" || !strings.HasSuffix(got.Hint, "then have this gate ask again") {
				t.Errorf("%s: brief %q, hint %q", when, got.Brief, got.Hint)
			}
		}
		aws.grants[key1] = both[:1]
		expect("mended", s.ask(), upgrade.OutcomePassed, "may use", lost)
		time.Sleep(25 * time.Hour)
		expect("a day later", s.ask(), upgrade.OutcomePassed, "may use")
	})
}

// TestStandingSettled: drift of a stack's environment is a no that names it.
func TestStandingSettled(t *testing.T) {
	gate := bound(t, gates.SettledSettings{}, gates.Deps{Clock: upgrade.SystemClock{}})
	gate.Stage, gate.Environment = upgrade.StageStanding, "production"
	change := plan.Change{
		Address: "aws_security_group.web", Type: "aws_security_group", Action: plan.Update,
		Before: json.RawMessage(`{"description":"by hand"}`), After: json.RawMessage(`{"description":"web"}`),
	}
	for name, test := range map[string]struct {
		plan  plan.Summary
		want  upgrade.Outcome
		says  string
		since string
	}{
		"empty": {plan.Summary{}, upgrade.OutcomePassed, "a plan of ecs-master in production is empty", ""},
		"drift": {
			plan.Summary{Changes: []plan.Change{change}, Drifted: []string{change.Address}},
			upgrade.OutcomeFailed,
			"a plan of ecs-master in production changes 1 resource: aws_security_group.web", "changed by something else since the apply",
		},
		"never_applied": {
			plan.Summary{Changes: []plan.Change{change}}, upgrade.OutcomeFailed, "changes 1 resource", "the configuration asks for it, and it was not applied",
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.plan.Header = plan.Header{FormatVersion: "1.2", Tool: "1.11.4"}
			in := gates.Input{
				Run: upgrade.Run{Environment: "production"}, Stack: upgrade.Stack{Name: "ecs-master"},
				Replan: func(context.Context) (plan.Summary, error) { return test.plan, nil },
			}
			got := gates.Runner{Clock: upgrade.SystemClock{}}.Ask(t.Context(), gate, in)
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
			if rows := table(got, "Still to change"); test.since != "" && (len(rows) != 1 || rows[0][3] != test.since) {
				t.Errorf("the table is %q", rows)
			}
		})
	}
}

// TestLearnWhoDidIt: who took a grant back is learned when CloudTrail knows it, and given up in the end.
func TestLearnWhoDidIt(t *testing.T) {
	by := cloud.KeyEvent{
		ID: "1", Name: "RevokeGrant", At: noon().Add(30 * time.Second), By: "arn:aws:sts::111111111111:assumed-role/terraform/ci",
		Agent: "HashiCorp/1.0", KeyID: key1, GrantID: "id-of-asg-ebs",
	}
	failed, aws := afterChange(t, "staging", nothing, func(f *fakeKeys) { f.grants[key1] = nil })
	if failed.Pending == "" || !strings.Contains(fact(failed, "Done by"), "not known yet") {
		t.Fatalf("nothing is left open: %q, %q", failed.Pending, fact(failed, "Done by"))
	}
	learn := func(t *testing.T, after time.Duration, set func()) (upgrade.Learned, string, error) {
		t.Helper()
		var learned upgrade.Learned
		var text string
		var err error
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(after)
			aws.events, aws.deny = nil, ""
			set()
			learned, text, err = gates.Runner{Clock: upgrade.SystemClock{}}.Learn(t.Context(), grantsGate(t, aws, "staging"), upgrade.Open{ID: 3, Result: failed})
		})
		return learned, text, err
	}
	for name, test := range map[string]struct {
		after        time.Duration
		set          func()
		fact, text   string
		stillPending bool
	}{
		"not_yet": {10 * time.Minute, func() {}, "not known yet", "", true},
		"known":   {16 * time.Minute, func() { aws.events = []cloud.KeyEvent{by} }, "assumed-role/terraform/ci at 1 Jan 00:00:30 UTC took back asg-ebs with HashiCorp/1.0", "took back asg-ebs", false},
		"refused": {16 * time.Minute, func() { aws.deny = "cloudtrail:LookupEvents" }, "not known: AWS refuses cloudtrail:LookupEvents", "", false},
		"never":   {62 * time.Minute, func() {}, "not known: CloudTrail did not say who did it within 1h0m0s", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			learned, text, err := learn(t, test.after, test.set)
			if err != nil || learned.Result != 3 {
				t.Fatalf("learned %+v, %v", learned, err)
			}
			if got := fact(upgrade.Result{Evidence: learned.Evidence}, "Done by"); !strings.Contains(got, test.fact) {
				t.Errorf("done by %q, want %q", got, test.fact)
			}
			if (learned.Pending != "") != test.stillPending || (test.text == "") != (text == "") || !strings.Contains(text, test.text) {
				t.Errorf("pending %q, text %q", learned.Pending, text)
			}
			if len(learned.Evidence.Tables) < len(failed.Evidence.Tables) {
				t.Error("evidence was lost")
			}
		})
	}
}
