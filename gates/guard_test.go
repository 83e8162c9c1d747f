package gates_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// change is what a plan does to one resource.
func change(address string, action plan.Action) plan.Change {
	words := strings.Split(address, ".")
	return plan.Change{Address: address, Mode: "managed", Type: words[len(words)-2], Name: words[len(words)-1], Action: action}
}

// planned is a plan that was read.
func planned(changes ...plan.Change) plan.Summary {
	return plan.Summary{Header: plan.Header{FormatVersion: "1.2", Tool: "1.11.4"}, Changes: changes, Digest: "d1"}
}

// judge asks a gate about a plan.
func judge(t *testing.T, settings gates.Settings, in gates.Input) upgrade.Result {
	t.Helper()
	if in.Run.Plan.ChangeDigest == "" {
		in.Run.Plan.ChangeDigest = in.Plan.Digest
	}
	g := bound(t, settings, gates.Deps{})
	in.Apply = 1
	got := gates.Runner{Clock: upgrade.SystemClock{}}.Run(t.Context(), []gates.Gate{g}, in, nil)[0]
	if len([]rune(got.Brief)) > 80 {
		t.Errorf("the brief has more than 80 characters: %s", got.Brief)
	}
	return got
}

func TestDestroyGuard(t *testing.T) {
	rule := change("aws_security_group_rule.varnish", plan.Replace)
	rule.Reason, rule.ReplacePaths = "replace_because_cannot_update", json.RawMessage(`[["cidr_blocks"],["ingress",0,"from_port"]]`)
	deposed := change("aws_lb.edge", plan.Delete)
	deposed.Deposed = "f1a2"
	data := change("aws_route53_zone.gone", plan.Delete)
	data.Mode = "data"
	deep := change("module.a_module_with_quite_a_long_name.module.and_another_one_inside.aws_kms_grant.asg", plan.Delete)
	deepest := change("module.a.aws_kms_grant."+strings.Repeat("x", 80), plan.Delete)
	many := []plan.Change{rule}
	for i := range 6 {
		many = append(many, change(fmt.Sprintf("aws_iam_role.r%d", i), plan.Delete))
	}
	tests := []struct {
		name     string
		settings gates.GuardSettings
		plan     plan.Summary
		want     upgrade.Outcome
		brief    string
		says     string
	}{
		{"empty", gates.GuardSettings{}, planned(), upgrade.OutcomePassed, "", "destroys and replaces nothing that is guarded"},
		{"replaced", gates.GuardSettings{}, planned(change("aws_instance.web", plan.Delete), rule), upgrade.OutcomeFailed, "1 guarded resource would be replaced: aws_security_group_rule.varnish", "destroy or replace 1 resource under guard: aws_security_group_rule.varnish (replaced, the old one destroyed first)"},
		{"deposed", gates.GuardSettings{}, planned(deposed), upgrade.OutcomeFailed, "1 guarded resource would be destroyed: aws_lb.edge", "its replaced object f1a2 is destroyed"},
		{"many", gates.GuardSettings{}, planned(many...), upgrade.OutcomeFailed, "7 guarded resources would be destroyed or replaced", "aws_iam_role.r3 (destroyed) and 2 more"},
		{"two", gates.GuardSettings{}, planned(many[1:3]...), upgrade.OutcomeFailed, "2 guarded resources would be destroyed: aws_iam_role.r0 …", "aws_iam_role.r1"},
		{"long_address", gates.GuardSettings{}, planned(deep), upgrade.OutcomeFailed, "1 guarded resource would be destroyed: aws_kms_grant.asg", deep.Address},
		{"longer_address", gates.GuardSettings{}, planned(deepest), upgrade.OutcomeFailed, "1 guarded resource would be destroyed", deepest.Address},
		{"forgotten", gates.GuardSettings{}, planned(change("aws_kms_grant.asg", plan.Forget)), upgrade.OutcomePassed, "", ""},
		{"updated", gates.GuardSettings{}, planned(change("aws_kms_key.ami", plan.Update), change("aws_iam_role.r", plan.Create)), upgrade.OutcomePassed, "", ""},
		{"data_source", gates.GuardSettings{}, planned(data), upgrade.OutcomePassed, "", ""},
		{"not_guarded", gates.GuardSettings{}, planned(change("aws_launch_template.web", plan.Replace)), upgrade.OutcomePassed, "", ""},
		{"also", gates.GuardSettings{Also: []string{"aws_launch_*"}}, planned(change("aws_launch_template.web", plan.Replace)), upgrade.OutcomeFailed, "1 guarded resource would be replaced: aws_launch_template.web", ""},
		{"instead", gates.GuardSettings{Types: []string{"aws_launch_*"}}, planned(rule), upgrade.OutcomePassed, "", ""},
		{"not_read", gates.GuardSettings{}, plan.Summary{}, upgrade.OutcomeUnknown, "", "there is no plan to look at"},
		{"errored", gates.GuardSettings{}, plan.Summary{Header: plan.Header{Tool: "1.12", Errored: true}}, upgrade.OutcomeUnknown, "", "the plan is not complete"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := judge(t, test.settings, gates.Input{Plan: test.plan})
			if got.Outcome != test.want || got.Brief != test.brief || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q %q, want %s %q that says %q", got.Outcome, got.Brief, got.Message, test.want, test.brief, test.says)
			}
			if got.Agreeable != (test.want == upgrade.OutcomeFailed) || got.Stage != upgrade.StagePlan || got.Apply != 1 {
				t.Errorf("got agreeable %v, stage %s, apply %d", got.Agreeable, got.Stage, got.Apply)
			}
		})
	}
	row := judge(t, gates.GuardSettings{}, gates.Input{Plan: planned(rule)}).Evidence.Tables[0].Rows[0]
	if got := strings.Join(row, "|"); got != "aws_security_group_rule.varnish|replaced, the old one destroyed first|it cannot be changed in place: cidr_blocks, ingress[0].from_port" {
		t.Errorf("row is %s", got)
	}
}

// TestGuardedTypes holds the default list against names of the AWS provider.
func TestGuardedTypes(t *testing.T) {
	for _, kind := range []string{
		"aws_kms_grant", "aws_kms_key", "aws_kms_key_policy", "aws_iam_role_policy_attachment", "aws_iam_service_linked_role",
		"aws_security_group", "aws_vpc_security_group_ingress_rule", "aws_route", "aws_route_table_association", "aws_lb_listener",
		"aws_alb_target_group", "aws_elb", "aws_autoscaling_group", "aws_db_instance", "aws_rds_cluster", "aws_dynamodb_table",
		"aws_route53_record", "aws_route53_zone", "aws_network_acl_rule",
	} {
		if got := judge(t, gates.GuardSettings{}, gates.Input{Plan: planned(change(kind+".x", plan.Delete))}); got.Outcome != upgrade.OutcomeFailed {
			t.Errorf("%s may be destroyed: %s", kind, got.Message)
		}
	}
	for _, kind := range []string{"aws_launch_template", "aws_instance", "aws_cloudwatch_metric_alarm", "null_resource", "aws_s3_object", "random_id"} {
		if got := judge(t, gates.GuardSettings{}, gates.Input{Plan: planned(change(kind+".x", plan.Delete))}); got.Outcome != upgrade.OutcomePassed {
			t.Errorf("%s is guarded: %s", kind, got.Message)
		}
	}
	gate := gates.Gate{}
	if err := (gates.GuardSettings{Also: []string{"aws_["}}).Bind(&gate, gates.Deps{}); upgrade.CodeOf(err) != upgrade.CodeInvalid {
		t.Errorf("a broken glob gives %v", err)
	}
}

// TestS2Agreement: a yes is one to exactly the change that was seen (S2), and the loss is still shown.
func TestS2Agreement(t *testing.T) {
	lost := planned(change("aws_kms_grant.asg", plan.Delete))
	yes := upgrade.Agreement{ChangeDigest: "d1", By: "hugo", Reason: "moves to the other stack", At: noon().Add(14*time.Hour + 2*time.Minute)}
	run := upgrade.Run{Plan: upgrade.PlanFacts{ChangeDigest: "d1"}, Agreed: []upgrade.Agreement{yes}}
	got := judge(t, gates.GuardSettings{}, gates.Input{Run: run, Plan: lost})
	if got.Outcome != upgrade.OutcomePassed || got.Message != "hugo agreed to this change at 14:02 UTC: moves to the other stack" || len(got.Evidence.Tables) != 1 {
		t.Errorf("got %s %q with %d tables", got.Outcome, got.Message, len(got.Evidence.Tables))
	}
	run.Plan.ChangeDigest = "d2"
	if got := judge(t, gates.GuardSettings{}, gates.Input{Run: run, Plan: lost}); got.Outcome != upgrade.OutcomeUnknown {
		t.Errorf("a plan that is not the run's: got %s %q", got.Outcome, got.Message)
	}
	lost.Digest = "d2"
	if got := judge(t, gates.GuardSettings{}, gates.Input{Run: run, Plan: lost}); got.Outcome != upgrade.OutcomeFailed {
		t.Errorf("a yes to another change: got %s %q", got.Outcome, got.Message)
	}
	run.Plan.ChangeDigest, run.Agreed[0].ChangeDigest, lost.Digest = "", "", ""
	if got := judge(t, gates.GuardSettings{}, gates.Input{Run: run, Plan: lost}); got.Outcome != upgrade.OutcomeFailed {
		t.Errorf("a yes to nothing in particular: got %s %q", got.Outcome, got.Message)
	}
}

func TestSettled(t *testing.T) {
	replan := func(p plan.Summary, err error) func(context.Context) (plan.Summary, error) {
		return func(context.Context) (plan.Summary, error) { return p, err }
	}
	empty := planned()
	empty.Digest = ""
	outputs := planned()
	outputs.Outputs = []plan.Output{{Name: "url"}, {Name: "key"}}
	both := planned(change("aws_lb.a", plan.Update), change("aws_lb.b", plan.Create))
	both.Outputs = outputs.Outputs[:1]
	const none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of nothing
	nothing := planned()
	nothing.Digest = none
	tests := []struct {
		name   string
		replan func(context.Context) (plan.Summary, error)
		want   upgrade.Outcome
		says   string
	}{
		{"empty", replan(empty, nil), upgrade.OutcomePassed, "a new plan is empty"},
		{"empty_with_a_digest", replan(nothing, nil), upgrade.OutcomePassed, "a new plan is empty"},
		{"a_move_alone", replan(planned(), nil), upgrade.OutcomeFailed, "a new plan still changes the state"},
		{"outputs", replan(outputs, nil), upgrade.OutcomeFailed, "a new plan still changes 2 outputs: output.url, output.key"},
		{"resources", replan(both, nil), upgrade.OutcomeFailed, "a new plan still changes 2 resources and 1 output: aws_lb.a (the plan that was applied left it alone), aws_lb.b (the plan that was applied left it alone), output.url"},
		{"no_plan", nil, upgrade.OutcomeUnknown, "nothing of which a new plan could be made"},
		{"broken", replan(plan.Summary{}, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "Terraform cannot plan it"}), upgrade.OutcomeUnknown, "Terraform cannot plan it"},
		{"not_read", replan(plan.Summary{}, nil), upgrade.OutcomeUnknown, "there is no plan"},
		{"errored", replan(plan.Summary{Header: plan.Header{Tool: "1", Errored: true}}, nil), upgrade.OutcomeUnknown, "not complete"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := judge(t, gates.SettledSettings{}, gates.Input{Replan: test.replan})
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) || got.TouchesLive || got.Agreeable || got.Apply != 0 {
				t.Errorf("got %+v, want %s that says %q", got, test.want, test.says)
			}
		})
	}
	if got := judge(t, gates.SettledSettings{}, gates.Input{Replan: replan(both, nil)}); got.Brief != "a new plan of staging still changes 2 resources and 1 output" || len(got.Evidence.Tables[0].Rows) != 3 {
		t.Errorf("got brief %q and %+v", got.Brief, got.Evidence.Tables)
	}
}

// What settled tells of a difference: how, and whether it is drift.
func TestSettledTellsDrift(t *testing.T) {
	one := func(address, before, after, later string) plan.Change {
		c := change(address, plan.Update)
		c.Before, c.After, c.AfterUnknown = []byte(before), []byte(after), []byte(later)
		return c
	}
	again := planned(
		one("aws_lb.a", `{"name":"x","port":80,"tags":null}`, `{"name":"x","port":443,"tags":{"A":"b"}}`, `{}`),
		one("aws_lb.b", `{"arn":"old"}`, `{}`, `{"arn":true}`),
		one("aws_lb.c", `{"text":"`+strings.Repeat("x", 50)+`"}`, `{"text":"y"}`, `{}`),
		change("aws_lb.d", plan.Create),
	)
	again.Drifted = []string{"aws_lb.a", "aws_lb.elsewhere"}
	in := gates.Input{
		Plan:   planned(change("aws_lb.b", plan.Update)),
		Replan: func(context.Context) (plan.Summary, error) { return again, nil },
	}
	got := judge(t, gates.SettledSettings{}, in)
	want := [][]string{
		{"aws_lb.a", "updated in place", `port 80 → 443, tags null → {"A":"b"}`, "changed by something else since the apply", ""},
		{"aws_lb.b", "updated in place", `arn "old" → known after the apply`, "the apply was to make it so, and did not", ""},
		{"aws_lb.c", "updated in place", `text … → "y"`, "the plan that was applied left it alone", ""},
		{"aws_lb.d", "created", "", "the plan that was applied left it alone", ""},
	}
	if diff := cmp.Diff(want, got.Evidence.Tables[0].Rows); diff != "" || !strings.Contains(got.Hint, "so that a second plan is empty") {
		t.Errorf("hint %q, rows:\n%s", got.Hint, diff)
	}
	again = planned(again.Changes[0])
	again.Drifted = []string{"aws_lb.a"}
	if got := judge(t, gates.SettledSettings{}, in); !strings.Contains(got.Hint, "what else changes") || !strings.Contains(got.Message, "aws_lb.a (changed by something else") {
		t.Errorf("got %q, hint %q", got.Message, got.Hint)
	}
}

// FuzzReplacePaths gives the guard what no Terraform writes as the reason of a replacement.
func FuzzReplacePaths(f *testing.F) {
	f.Add([]byte(`[["cidr_blocks"],["ingress",0,"from_port"]]`), "replace_because_cannot_update")
	f.Add([]byte(`[[{}],null,[1e400],[[]]]`), "")
	f.Add([]byte(`{`), "x_y")
	f.Fuzz(func(t *testing.T, paths []byte, reason string) {
		one := change("aws_lb.edge", plan.Replace)
		one.ReplacePaths, one.Reason = paths, reason
		got := judge(t, gates.GuardSettings{}, gates.Input{Plan: planned(one)})
		if got.Outcome != upgrade.OutcomeFailed || got.Brief != "1 guarded resource would be replaced: aws_lb.edge" {
			t.Errorf("got %s %q", got.Outcome, got.Brief)
		}
	})
}
