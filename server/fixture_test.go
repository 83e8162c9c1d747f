package server

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	commitA = upgrade.Commit("8f2c1ab04d5e6f708192a3b4c5d6e7f8091a2b3c")
	treeA   = upgrade.Tree("51d09e7f60a1b2c3d4e5f60718293a4b5c6d7e8f")
)

func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2026-11-23 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// blockedRun is the incident's run: a grant went, an instance cannot start, the site was away.
func blockedRun() upgrade.Run {
	return upgrade.Run{
		ID: 481, Upgrade: 91, ProjectID: 12, Project: "platform/ecs-master", Stack: "ecs-master", Environment: "staging",
		Tree: treeA, Commit: commitA, Version: "5.2.0", Base: "5.1.3", Title: "Move the grants to aws-accounts", Author: "Priya Raman",
		Attempt: 1, Answers: []upgrade.Answer{
			{Ref: "move-grants", Commit: commitA, MergeRequest: 412, At: at("08:43:48")},
			{Ref: "staging", Commit: commitA, At: at("08:43:48")},
		},
		Phase: upgrade.PhaseBlocked, From: upgrade.PhaseChecking, Since: at("08:50:33"), Verdict: upgrade.VerdictClosed,
		Causes: []upgrade.Cause{
			{
				Kind: upgrade.CauseGateFailed, Gate: "launch", Effect: upgrade.EffectCannotStart, Brief: "staging can no longer start new instances",
				Message: "The test instance failed after 41 s, before it was running", Hint: "Priya Raman keeps the grant asg-ebs in one code base",
			},
			{Kind: upgrade.CauseGateFailed, Gate: "grants", Effect: upgrade.EffectGrants, Message: "1 of 4 grants is gone: asg-ebs on alias/edge-ebs"},
			{Kind: upgrade.CauseGateFailed, Gate: "outage", Effect: upgrade.EffectShortOutage, Message: "1.3 s unreachable during the apply, 0.5 s allowed"},
			{Kind: upgrade.CauseGateUnknown, Gate: "site", Effect: upgrade.EffectNotComplete, Message: "2 of 3 paths answer, 1 could not be checked"},
		},
		Tally: upgrade.Tally{Gates: 5, Passed: 2, Failed: 2, Unknown: 1},
		Plan: upgrade.PlanFacts{
			FileDigest: "aa11", ChangeDigest: "bb22", LockDigest: "cc33", Create: 4, Update: 3, Replace: 1, Destroy: 2, Tool: "terraform 1.11.4",
		},
		Progress: upgrade.Progress{Done: 10, Total: 10}, Applies: 1, ChangedAt: at("08:49:17"), Round: 1,
		CreatedAt: at("08:43:48"), Rev: 37,
	}
}

func blockedResults() []upgrade.Result {
	watch, marks := watchedApply()
	return []upgrade.Result{
		{
			Run: 481, Gate: "destroy-guard", Kind: "destroy-guard", Stage: upgrade.StagePlan, Environment: "staging", Round: 1, Required: true,
			Outcome: upgrade.OutcomePassed, Message: "a release manager agreed to destroy 2 guarded resources",
			Warnings: []string{"the plan destroys a KMS grant"}, StartedAt: at("08:45:00"), Took: 120 * time.Millisecond,
		},
		{
			Run: 481, Gate: "grants", Kind: "kms-grants", Stage: upgrade.StageAfter, Environment: "staging", Round: 1, Required: true,
			Outcome: upgrade.OutcomeFailed, Message: "1 of 4 grants is gone: asg-ebs on alias/edge-ebs", StartedAt: at("08:49:20"), Took: 4 * time.Second,
			GoodFor: 24 * time.Hour, Evidence: upgrade.Evidence{
				Facts: []upgrade.Fact{{Name: "Group", Value: "edge"}, {Name: "Account", Value: "111122223333"}, {Name: "Repair", Value: "aws kms create-grant --name asg-ebs"}},
				Tables: []upgrade.Table{{
					Title: "Grants", Columns: []string{"Change", "Grant", "Key", "Operations"},
					Rows: [][]string{
						{"gone", "asg-ebs", "alias/edge-ebs", "Decrypt, GenerateDataKey, CreateGrant"},
						{"same", "backup-vault", "alias/edge-ebs", "Decrypt"},
					},
				}},
				Quotes: []upgrade.Quote{{Source: "CloudTrail", Text: "RevokeGrant by role/terraform-staging", At: at("08:46:02")}},
				About:  []string{"alias/edge-ebs", "module.kms.aws_kms_grant.asg_ebs"},
			},
		},
		{
			Run: 481, Gate: "launch", Kind: "instance-launch", Stage: upgrade.StageAfter, Environment: "staging", Round: 1, Required: true, TouchesLive: true,
			Outcome: upgrade.OutcomeFailed, Message: "The test instance failed after 41 s, before it was running", StartedAt: at("08:49:26"), Took: 58 * time.Second,
			Evidence: upgrade.Evidence{
				Facts: []upgrade.Fact{{Name: "Test instance", Value: "i-0c41d9e7a2b6f3058"}, {Name: "Removed", Value: "08:50:24, nothing left behind"}, {Name: "Likely cause", Value: "the service-linked role may not use the KMS key of the image"}, {Name: "Role", Value: "arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"}},
				Spans: []upgrade.Span{
					{Name: "Request", From: at("08:49:26"), To: at("08:49:28")},
					{Name: "Instance created", From: at("08:49:28"), To: at("08:49:33")},
					{Name: "Pending to running", From: at("08:49:33"), To: at("08:50:07"), Failed: true},
					{Name: "In service"},
				},
				Quotes: []upgrade.Quote{{Source: "EC2 Auto Scaling", Text: "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Client.InternalError: Client error on launch", At: at("08:50:07")}},
				About:  []string{"alias/edge-ebs"},
				Log: []upgrade.LogLine{
					{At: at("08:49:26"), Text: "desired capacity of gate-probe-481 0 → 1"},
					{At: at("08:50:07"), Text: "i-0c41d9e7a2b6f3058 terminated: Client.InternalError"},
				},
			},
		},
		{
			Run: 481, Gate: "outage", Kind: "availability", Stage: upgrade.StageDuring, Environment: "staging", Round: 1, Required: true,
			Outcome: upgrade.OutcomeFailed, Message: "1.3 s unreachable during the apply, 0.5 s allowed", StartedAt: at("08:45:14"), Took: 4*time.Minute + 3*time.Second,
			Evidence: upgrade.Evidence{
				Facts: []upgrade.Fact{{Name: "Longest outage", Value: "1.3 s"}, {Name: "Allowed", Value: "0.5 s"}, {Name: "Failed probes", Value: "13 of 2430"}, {Name: "Broke at", Value: "TCP"}},
				Watch: watch, Marks: marks, About: []string{"module.edge.aws_security_group_rule.varnish_in[0]"},
				Spans: []upgrade.Span{
					{Name: "Apply", From: at("08:45:14"), To: at("08:49:17")},
					{Name: "Unreachable (TCP)", From: at("08:46:35").Add(200 * time.Millisecond), To: at("08:46:36").Add(500 * time.Millisecond), Failed: true},
				},
			},
		},
		{
			Run: 481, Gate: "site", Kind: "varnish", Stage: upgrade.StageAfter, Environment: "staging", Round: 1, Required: true, TouchesLive: true,
			Outcome: upgrade.OutcomeUnknown, Message: "2 of 3 paths answer, 1 could not be checked", StartedAt: at("08:50:26"), Took: 7 * time.Second,
			Evidence: upgrade.Evidence{Tables: []upgrade.Table{{
				Title: "Ladder", Columns: []string{"Path", "Address", "DNS", "TCP", "TLS", "Varnish", "Backend"},
				Rows: [][]string{
					{"https://staging.example.org/", "203.0.113.7:443", "2.0 ms", "3.1 ms", "11.4 ms", "4.0 ms hit", "38.2 ms 200"},
					{"https://new.example.org/", "203.0.113.8:443", "2.2 ms", "✗ no answer within 800 ms", "Not reached", "Not reached", "Not reached"},
					{"http://plain.example.org/", "203.0.113.9:80", "1.9 ms", "3.0 ms", "–", "3.9 ms miss", "41.0 ms 200"},
				},
			}}},
		},
		{
			Run: 481, Gate: "grants", Kind: "kms-grants", Stage: upgrade.StageAfter, Environment: "production", Round: 1, Required: true,
			Outcome: upgrade.OutcomePassed, Message: "all 4 grants are in place", StartedAt: at("09:15:20"), Took: 4 * time.Second,
		},
	}
}

// fullWorld has a run of each kind that the board groups, the blocked one with everything.
func fullWorld() *world {
	blocked := blockedRun()
	waiting := blocked
	waiting.ID, waiting.Stack, waiting.Phase, waiting.Causes, waiting.Tally, waiting.Applies = 484, "search-index", upgrade.PhaseQueued, nil, upgrade.Tally{}, 0
	waiting.Reason, waiting.Version, waiting.Base, waiting.Author, waiting.CreatedAt, waiting.Since = "Run 483 is using staging", "0.31.0", "0.30.2", "Jonas Weber", at("09:14:00"), at("09:14:00")
	waiting.Plan, waiting.Progress, waiting.Answers, waiting.ChangedAt = upgrade.PlanFacts{}, upgrade.Progress{}, []upgrade.Answer{{Ref: "staging", Commit: commitA}}, time.Time{}
	checking := blocked
	checking.ID, checking.Stack, checking.Phase, checking.Causes, checking.Tally = 483, "cms-web", upgrade.PhaseChecking, nil, upgrade.Tally{Gates: 4, Passed: 1}
	checking.Version, checking.Base, checking.Author, checking.CreatedAt, checking.Since = "3.18.0", "3.17.6", "Lena Vogt", at("09:08:31"), at("09:14:10")
	unlocked := blocked
	unlocked.ID, unlocked.Stack, unlocked.Phase, unlocked.Causes, unlocked.Tally = 480, "payments-api", upgrade.PhaseUnlocked, nil, upgrade.Tally{Gates: 4, Passed: 4}
	unlocked.Version, unlocked.Base, unlocked.Author, unlocked.CreatedAt, unlocked.Since, unlocked.Verdict = "1.44.2", "1.44.0", "Tomas Lindqvist", at("08:17:02"), at("08:31:05"), upgrade.VerdictOpen
	promoted := unlocked
	promoted.ID, promoted.Stack, promoted.Phase, promoted.Version = 476, "billing-jobs", upgrade.PhasePromoted, "7.3.1"
	promoted.PromotedAt, promoted.Since = time.Date(2026, 11, 19, 10, 12, 0, 0, time.UTC), time.Date(2026, 11, 19, 10, 12, 0, 0, time.UTC)
	promoted.CreatedAt = promoted.Since.Add(-time.Hour)
	stopped := blocked
	stopped.ID, stopped.Stack, stopped.Phase, stopped.StoppedBy, stopped.Causes = 470, "dns-zones", upgrade.PhaseStopped, "Lena Vogt", nil
	w := &world{
		runs:    []upgrade.Run{stopped, promoted, unlocked, blocked, checking, waiting},
		results: map[upgrade.RunID][]upgrade.Result{481: blockedResults()},
		applies: map[upgrade.RunID][]upgrade.Apply{481: {{Run: 481, N: 1, State: upgrade.ApplyExited, OK: true, BegunAt: at("08:45:14"), EndedAt: at("08:49:17")}}},
		orders:  map[upgrade.UpgradeID][]upgrade.Order{},
		deliveries: []upgrade.Delivery{
			{Number: 1, ID: "f5e5f430-f57b-4e6e-9fac-d9128cd7232f", Event: "Push Hook", ReceivedAt: at("08:43:47"), Fate: upgrade.FateStarted, Reason: "staging moved", Runs: []upgrade.RunID{481}, Hint: upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 12, Project: "platform/ecs-master", Ref: "staging", After: commitA}},
			{Number: 2, ID: "a/b", Event: "Merge Request Hook", ReceivedAt: at("08:44:00"), Fate: upgrade.FateRefused, Reason: "the merge request is not approved", Hint: upgrade.Hint{Kind: upgrade.HintMergeRequest, ProjectID: 12, Project: "platform/ecs-master", MergeRequest: 412, Action: "update"}},
			{Number: 3, ID: "sha256:44136fa3", Event: "Emoji Hook", ReceivedAt: at("09:01:00"), Fate: upgrade.FateIgnored, Reason: "no event that means anything here", Hint: upgrade.Hint{Kind: upgrade.HintOther, ProjectID: 12}},
		},
		logs: map[string]string{
			"481/plan":  "Terraform used the selected providers to generate the following execution plan.\nPlan: 4 to add, 3 to change, 2 to destroy.\n",
			"481/apply": applyLog,
		},
	}
	for _, e := range []upgrade.Event{
		{Run: 481, At: at("08:43:48"), Kind: upgrade.EventCreated, Who: "GitLab", Text: "A push to staging started the run"},
		{Run: 481, At: at("08:45:14"), Kind: upgrade.EventPhase, Who: "by rule", Text: "Apply started, no question asked", Data: map[string]string{"from": "judging", "to": "applying"}},
		{Run: 481, At: at("08:46:02"), Kind: upgrade.EventResource, Text: "module.kms.aws_kms_grant.asg_ebs destroyed", Data: map[string]string{"address": "module.kms.aws_kms_grant.asg_ebs", "action": "delete", "state": "done"}},
		{Run: 481, At: at("08:46:35"), Kind: upgrade.EventResource, Text: "module.edge.aws_security_group_rule.varnish_in[0] destroyed", Data: map[string]string{"address": "module.edge.aws_security_group_rule.varnish_in[0]", "action": "delete", "state": "done"}},
		{Run: 481, At: at("08:46:36"), Kind: upgrade.EventResource, Text: "module.edge.aws_security_group_rule.varnish_in[0] made", Data: map[string]string{"address": "module.edge.aws_security_group_rule.varnish_in[0]", "action": "create", "state": "done"}},
		{Run: 481, At: at("08:46:40"), Kind: upgrade.EventResource, Text: "module.edge.aws_launch_template.edge changed", Data: map[string]string{"address": "module.edge.aws_launch_template.edge", "action": "update", "state": "done"}},
		{Run: 481, At: at("08:49:17"), Kind: upgrade.EventPhase, Who: "by rule", Text: "Applied; waiting for it to settle", Data: map[string]string{"from": "applying", "to": "settling"}},
		{Run: 481, At: at("08:50:33"), Kind: upgrade.EventPhase, Who: "by rule", Text: "Gates blocked the run", Data: map[string]string{"from": "checking", "to": "blocked"}},
		{Run: 481, At: at("08:50:34"), Kind: upgrade.EventStatus, Who: "by rule", Text: "GitLab shows failed on 8f2c1ab", Data: map[string]string{"state": "failed", "commit": string(commitA)}},
	} {
		w.write(e)
	}
	return w
}

const applyLog = `{"@level":"info","@message":"Terraform 1.11.4","@module":"terraform.ui","@timestamp":"2026-11-23T08:45:14.100000Z","type":"version"}
{"@level":"info","@message":"module.kms.aws_kms_grant.asg_ebs: Destroying...","@timestamp":"2026-11-23T08:46:01.500000Z","type":"apply_start"}
{"@level":"error","@message":"Error: deleting security group: DependencyViolation","@timestamp":"2026-11-23T08:46:02.000000Z","type":"diagnostic"}
Apply complete! Resources: 4 added, 4 changed, 3 destroyed.
`
