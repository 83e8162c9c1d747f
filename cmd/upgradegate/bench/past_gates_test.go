package bench

import (
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// results are the answers of a model's gates at a stage, with the evidence that such gates leave.
func (b *builder) results(stage upgrade.Stage, failed bool) []upgrade.Result {
	base := upgrade.Result{
		Run: b.id, Stage: stage, Environment: "staging", Round: 1, Required: true, Outcome: upgrade.OutcomePassed, StartedAt: b.at.Add(-15 * time.Second), Took: 4 * time.Second,
	}
	if stage == upgrade.StagePlan {
		guard, owners := base, base
		guard.Gate, guard.Kind, guard.Message = "destroy-guard", "destroy-guard", "nothing under guard is destroyed"
		owners.Gate, owners.Kind, owners.Message = "owners", "ownership", "no two states own the same thing"
		if b.m.name == "denied" {
			guard.Outcome, guard.Message = upgrade.OutcomeFailed, "the plan destroys a KMS grant: "+markGrant
		}
		return []upgrade.Result{guard, owners}
	}
	grants, launch, outage, site := base, base, base, base
	grants.Gate, grants.Kind, grants.Message, grants.GoodFor = "grants", "kms-grants", "all 4 grants are in place", 24*time.Hour
	if failed {
		grants.Outcome, grants.Message = upgrade.OutcomeFailed, "1 of 4 grants is gone: "+markGrant+" on alias/edge-ebs"
	}
	grants.Evidence = upgrade.Evidence{
		Facts: []upgrade.Fact{{Name: "Group", Value: "edge"}, {Name: "Account", Value: "111122223333"}},
		Tables: []upgrade.Table{{Title: "Grants", Columns: []string{"Change", "Grant", "Key", "Operations"}, Rows: [][]string{
			{"same", markGrant, "alias/edge-ebs", "Decrypt, GenerateDataKey, CreateGrant"},
			{"same", "backup-vault", "alias/edge-ebs", "Decrypt"},
			{"same", "asg-ebs", "alias/edge-ebs", "Decrypt, CreateGrant"},
			{"same", "snapshots", "alias/edge-ebs", "Decrypt"},
		}}},
		Quotes: []upgrade.Quote{{Source: "CloudTrail", Text: "CreateGrant by role/terraform-staging", At: b.at.Add(-time.Minute)}},
	}
	launch.Gate, launch.Kind, launch.Message, launch.TouchesLive = "launch", "instance-launch", "a test instance came into service after 41 s", true
	launch.Evidence = upgrade.Evidence{
		Facts: []upgrade.Fact{{Name: "Test instance", Value: "i-" + markThing}, {Name: "Removed", Value: "nothing left behind"}},
		Spans: []upgrade.Span{{Name: "Request", From: b.at.Add(-50 * time.Second), To: b.at.Add(-48 * time.Second)}, {Name: "Pending to running", From: b.at.Add(-48 * time.Second), To: b.at.Add(-9 * time.Second)}},
		Log:   []upgrade.LogLine{{At: b.at, Text: "desired capacity of gate-probe 0 → 1"}, {At: b.at, Text: "i-" + markThing + " is in service"}},
	}
	site.Gate, site.Kind, site.Message, site.TouchesLive = "site", "varnish", "3 of 3 paths answer", true
	rows := [][]string{}
	for _, host := range []string{"staging", "new", "shop"} {
		rows = append(rows, []string{"https://" + host + ".example.org/", "203.0.113.7:443", "2.0 ms", "3.1 ms", "11.4 ms", "4.0 ms hit", "38.2 ms 200"})
	}
	site.Evidence.Tables = []upgrade.Table{{Title: "Ladder", Columns: []string{"Path", "Address", "DNS", "TCP", "TLS", "Varnish", "Backend"}, Rows: rows}}
	if !b.m.watched {
		return []upgrade.Result{grants, launch, site}
	}
	outage.Gate, outage.Kind, outage.Stage, outage.Message = "outage", "availability", upgrade.StageDuring, "never unreachable during the apply"
	outage.Evidence = upgrade.Evidence{
		Facts: []upgrade.Fact{{Name: "Longest outage", Value: "none"}, {Name: "Failed probes", Value: "0 of 2430"}}, Watch: b.watch(),
		Spans: []upgrade.Span{{Name: "Apply", From: b.at.Add(-4 * time.Minute), To: b.at}},
	}
	for i := range 12 {
		outage.Evidence.Marks = append(outage.Evidence.Marks, upgrade.Mark{
			Address: fmt.Sprintf("module.edge.aws_security_group_rule.varnish_in[%d]", i), Action: "update", From: b.at.Add(-time.Duration(i+9) * time.Second), To: b.at.Add(-time.Duration(i+8) * time.Second),
		})
	}
	return []upgrade.Result{grants, launch, outage, site}
}

// watch is what three streams saw in four minutes, in buckets of a second.
func (b *builder) watch() *upgrade.Watch {
	const seconds = 240
	w := &upgrade.Watch{Began: b.at.Add(-seconds * time.Second), Long: seconds * time.Second, Limit: 500 * time.Millisecond, Total: 2 * time.Second}
	for _, stream := range []string{"cached", "past the cache", "control"} {
		s := upgrade.Strip{
			Vantage: "here", Target: "https://staging.example.org/", Stream: stream, Address: "203.0.113.7:443", Control: stream == "control", Every: 100 * time.Millisecond,
			Sent: 10 * seconds, P50: 3 * time.Millisecond, P99: 11 * time.Millisecond, Max: 48 * time.Millisecond,
			Buckets: upgrade.Buckets{Width: time.Second}, Samples: upgrade.Samples{Classes: []string{"ok"}},
		}
		for i := range int64(seconds) {
			c := &s.Buckets
			c.N, c.Good, c.P50 = append(c.N, 10), append(c.Good, 10), append(c.P50, 3000+i%70)
			c.P99, c.Max, c.Lag = append(c.P99, 9000+i%700), append(c.Max, 11000+i*37%9000), append(c.Lag, i%90)
		}
		w.Strips = append(w.Strips, s)
	}
	return w
}
