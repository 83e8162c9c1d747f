package server

import (
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

func someSettings() Settings {
	return Settings{
		File: "/etc/upgradegate/upgradegate.yaml", LoadedAt: at("07:00:00"), Digest: strings.Repeat("5be1", 16),
		Warnings: []string{"Gate capacity of staging is skipped until 1 Dec 2026: no capacity until the move."},
		Values: []Setting{
			{Path: "server.listen", Value: "0.0.0.0:8080", Line: 3},
			{Path: "server.tokens[0].name", Value: "hugo", Line: 5},
			{Path: "server.tokens[0].token", Value: "set, from the environment variable HUGO_TOKEN", Line: 6, Secret: true},
			{Path: "server.pace.burst", Value: "200"},
			{Path: "database", Value: "sqlite:///var/lib/upgradegate/gate.db", Line: 8},
			{Path: "stacks[0].name", Value: "ecs-master", Line: 10},
			{Path: "stacks[0].staging.var_files", Value: "common.tfvars, env/staging.tfvars", Line: 12},
			{Path: "stacks[0].staging.approval_deadline", Value: "4h"},
		},
	}
}

func someFreezes() []Freeze {
	return []Freeze{
		{Name: "Black Friday weekend", From: at("18:00:00").AddDate(0, 0, 3), To: at("08:00:00").AddDate(0, 0, 7), Reason: "most of the year's trade", By: "Mira Holt"},
		{Name: "Month end", From: at("00:00:00"), To: at("18:00:00"), Stacks: []upgrade.StackName{"billing-jobs", "payments-api"}, Reason: "the books are closed"},
		{Name: "Summer", From: at("00:00:00").AddDate(0, -4, 0), To: at("00:00:00").AddDate(0, -3, 0), Reason: "nobody is here"},
	}
}

func someAudit() *fakeAudit {
	return &fakeAudit{all: []upgrade.AuditEntry{
		{Seq: 1, At: at("08:43:48"), Who: "by rule", Act: upgrade.ActByRule, On: "run 481", Run: 481, Stack: "ecs-master", Result: upgrade.AuditDone, Detail: "a push to staging started the run"},
		{Seq: 2, At: at("08:45:00"), Who: "Mira Holt", User: 17, Via: "session", From: "203.0.113.7", Act: upgrade.ActApprove, On: "run 481", Run: 481, Stack: "ecs-master", Why: "seen with Priya, both grants come back in aws-accounts", Result: upgrade.AuditAsked},
		{Seq: 3, At: at("08:51:00"), Who: "Priya Raman", Via: "session", From: "203.0.113.9", Act: upgrade.ActOverride, On: "run 481", Run: 481, Stack: "ecs-master", Why: "the site is down, this brings it back", Result: upgrade.AuditRefused, Detail: "an author may not override their own change"},
		{Seq: 4, At: at("08:52:00"), Who: "mallory", From: "198.51.100.4", Act: upgrade.ActSignIn, Result: upgrade.AuditRefused, Detail: "the token is not known"},
		{Seq: 5, At: at("09:00:00"), Who: "pipeline", Via: "token", From: "203.0.113.20", Act: "token.make", On: "<script>alert(1)</script>", Result: upgrade.AuditFailed},
	}}
}
