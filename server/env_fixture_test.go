package server

import (
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// envWorld is a world in which staging breaks two invariants of six, one is not verified, and production holds.
func envWorld() *world {
	w := fullWorld()
	now := fakeNow()
	one := func(gate, kind string, env upgrade.EnvName, message string, ago, every, goodFor time.Duration) upgrade.Standing {
		return upgrade.Standing{
			Key: upgrade.StandingKey{Gate: upgrade.GateName(gate), Environment: env}, Rev: 3, Every: every, Since: now.Add(-40 * 24 * time.Hour), HeldAt: now.Add(-ago),
			Result: upgrade.Result{
				Gate: upgrade.GateName(gate), Kind: kind, Environment: env, Stage: upgrade.StageStanding, Required: true, Outcome: upgrade.OutcomePassed, Message: message,
				StartedAt: now.Add(-ago), Took: 400 * time.Millisecond, GoodFor: goodFor,
			},
		}
	}
	held := func(s upgrade.Standing) {
		w.standings = append(w.standings, s)
		w.stretches = append(w.stretches, upgrade.Stretch{Key: s.Key, Outcome: upgrade.OutcomePassed, Message: s.Result.Message, Since: s.Since, Until: s.Result.StartedAt, Checks: 9000})
	}
	broken := func(s upgrade.Standing, since time.Time, message, hint string, checks int) {
		s.Result.Outcome, s.Result.Message, s.Result.Hint = upgrade.OutcomeFailed, message, hint
		s.HeldAt, s.Since = since.Add(-s.Every), since
		w.standings = append(w.standings, s)
		w.stretches = append(w.stretches,
			upgrade.Stretch{Key: s.Key, Outcome: upgrade.OutcomePassed, Message: "held", Since: since.Add(-39 * 24 * time.Hour), Until: s.HeldAt, Checks: 8000},
			upgrade.Stretch{Key: s.Key, Outcome: upgrade.OutcomeFailed, Message: message, Since: since, Until: s.Result.StartedAt, Checks: checks})
	}
	grants := one("grants", "kms-grants", "staging", "", 40*time.Second, time.Minute, 2*time.Minute)
	grants.Result.Evidence = upgrade.Evidence{
		Facts: []upgrade.Fact{{Name: "Group", Value: "edge"}, {Name: "Role", Value: "arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"}},
		Tables: []upgrade.Table{{Title: "Grants since the time before", Columns: []string{"Change", "Grant", "Grantee", "Key", "Operations", "Now"}, Rows: [][]string{
			{"gone", "asg-ebs", "AWSServiceRoleForAutoScaling", "alias/edge-ebs", "CreateGrant, Decrypt", ""},
			{"moved", "varnish-cache", "role/varnish", "alias/edge-ebs", "Decrypt", "made anew as 6f1c…9e04"},
			{"same", "backup-vault", "role/backup", "alias/backup", "Decrypt", ""},
		}}},
		Quotes: []upgrade.Quote{{Source: "CloudTrail", Text: "RevokeGrant by role/terraform-staging", At: at("08:46:02")}},
	}
	broken(grants, at("08:46:40"), "1 of 4 grants is gone: asg-ebs", "Priya Raman keeps the grant asg-ebs in one code base", 30)
	held(one("grants", "kms-grants", "production", "4 of 4 grants are in place", 40*time.Second, time.Minute, 2*time.Minute))
	site := one("site", "varnish", "staging", "", 8*time.Second, 10*time.Second, time.Minute)
	site.Result.Evidence = blockedResults()[4].Evidence
	broken(site, at("08:50:10"), "1 of 3 paths does not answer: https://new.example.org/", "", 150)
	held(one("site", "varnish", "production", "5 of 5 paths answer, slowest 41 ms", 8*time.Second, 10*time.Second, time.Minute))
	drift := one("drift", "settled", "staging", "the plan waits behind cms-web", 12*time.Minute, 15*time.Minute, 30*time.Minute)
	drift.Key.Stack, drift.Result.Outcome, drift.HeldAt, drift.Since = "ecs-master", upgrade.OutcomeUnknown, at("08:34:00"), at("08:49:00")
	w.standings = append(w.standings, drift)
	w.stretches = append(w.stretches,
		upgrade.Stretch{Key: drift.Key, Outcome: upgrade.OutcomePassed, Message: "no change in 41 resources", Since: now.Add(-20 * time.Hour), Until: at("08:34:00"), Checks: 80},
		upgrade.Stretch{Key: drift.Key, Outcome: upgrade.OutcomeUnknown, Message: drift.Result.Message, Since: at("08:49:00"), Until: at("09:04:00"), Checks: 2})
	other := one("drift", "settled", "production", "no change in 118 resources", 11*time.Minute, 30*time.Minute, time.Hour)
	other.Key.Stack = "ecs-master"
	held(other)
	http := one("health", "http", "staging", "3 of 3 addresses answer 200", 20*time.Second, time.Minute, 2*time.Minute)
	http.Result.Warnings = []string{"the certificate of staging.example.org ends in 9 days"}
	held(http)
	paused := one("health", "http", "production", "skipped by configuration until 1 Dec 2026: the health page is being moved", time.Minute, time.Minute, 2*time.Minute)
	paused.Result.Outcome = upgrade.OutcomeSkipped
	w.standings = append(w.standings, paused)
	w.stretches = append(w.stretches, upgrade.Stretch{Key: paused.Key, Outcome: upgrade.OutcomeSkipped, Message: paused.Result.Message, Since: now.Add(-3 * time.Hour), Until: now.Add(-time.Minute), Checks: 180})
	fresh := one("tools", "http", "production", "", 0, time.Minute, 2*time.Minute)
	fresh.Rev, fresh.HeldAt, fresh.Since, fresh.Result.StartedAt, fresh.Result.Outcome = 0, time.Time{}, time.Time{}, time.Time{}, ""
	w.standings = append(w.standings, fresh)
	return w
}
