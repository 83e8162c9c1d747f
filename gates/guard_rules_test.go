package gates_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// at is a change of a resource that has indexes in its address.
func at(address, kind string) plan.Change {
	return plan.Change{Address: address, Mode: "managed", Type: kind, Name: "x", Action: plan.Delete}
}

// TestGuardAddresses: what a glob over addresses means, indexes above all, for which path.Match has
// another meaning.
func TestGuardAddresses(t *testing.T) {
	tests := []struct {
		glob, address string
		want          bool
	}{
		{"aws_x.y", "aws_x.y", true},
		{"aws_x.y", "aws_x.yy", false},
		{"aws_x.y", "module.m.aws_x.y", false},
		{"aws_x.y", `aws_x.y["a"]`, true},
		{"aws_x.y", "aws_x.y[0]", true},
		{`aws_x.y["a"]`, `aws_x.y["a"]`, true},
		{`aws_x.y["a"]`, `aws_x.y["b"]`, false},
		{`aws_x.y["a"]`, "aws_x.y", false},
		{`aws_x.y["a*"]`, `aws_x.y["a.b/c"]`, true},
		{"aws_x.y[0]", "aws_x.y[0]", true},
		{"aws_x.y[0]", "aws_x.y0", false}, // which is what [0] means to path.Match
		{"aws_x.y[?]", "aws_x.y[7]", true},
		{"aws_x.y[?]", "aws_x.y[17]", false},
		{"module.m.*", "module.m.aws_x.y", true},
		{"module.m.*", "module.m.module.n.aws_x.y[1]", true},
		{"module.m.*", `module.m["k.l"].aws_x.y`, true},
		{"module.m.*", "module.mm.aws_x.y", false},
		{`module.m["k.l"].*`, `module.m["k.l"].aws_x.y`, true},
		{"module.m.aws_x.y", `module.m["a\"].b"].aws_x.y["]"]`, true},
		{"*.aws_x.*", "module.m.aws_x.y", true},
		{"*aws_x.y", `module.m["aws_x.y"].aws_z.q`, false},
	}
	for _, test := range tests {
		t.Run(test.glob+"~"+test.address, func(t *testing.T) {
			for name, settings := range map[string]gates.GuardSettings{
				"addresses": {Addresses: []string{test.glob}},
				"refuse":    {Refuse: []string{test.glob}},
			} {
				got := judge(t, settings, gates.Input{Plan: planned(at(test.address, "aws_x"))})
				if (got.Outcome == upgrade.OutcomeFailed) != test.want {
					t.Errorf("%s: got %s %q", name, got.Outcome, got.Message)
				}
			}
		})
	}
}

func TestGuardRefuses(t *testing.T) {
	db, lb := at("aws_db_instance.main", "aws_db_instance"), at("aws_lb.edge", "aws_lb")
	until := time.Now().Add(time.Hour)
	tests := []struct {
		name     string
		settings gates.GuardSettings
		brief    string
	}{
		{"type", gates.GuardSettings{Refuse: []string{"aws_db_*"}}, "1 resource may not be destroyed: aws_db_instance.main"},
		{"address", gates.GuardSettings{Refuse: []string{"aws_db_instance.*"}}, "1 resource may not be destroyed: aws_db_instance.main"},
		{"not_guarded_else", gates.GuardSettings{Types: []string{"aws_none"}, Refuse: []string{"aws_db_*"}}, "1 resource may not be destroyed: aws_db_instance.main"},
		{"over_an_allowance", gates.GuardSettings{Refuse: []string{"aws_db_*"}, Allow: []gates.Allowance{{Match: "aws_*.*", Reason: "r", Until: until}}}, "1 resource may not be destroyed: aws_db_instance.main"},
		{"both", gates.GuardSettings{Refuse: []string{"aws_*"}}, "2 resources may not be destroyed: aws_lb.edge …"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			yes := upgrade.Agreement{ChangeDigest: "d1", By: "hugo", Reason: "r"}
			run := upgrade.Run{Plan: upgrade.PlanFacts{ChangeDigest: "d1"}, Agreed: []upgrade.Agreement{yes}}
			got := judge(t, test.settings, gates.Input{Run: run, Plan: planned(lb, db)})
			if got.Outcome != upgrade.OutcomeFailed || got.Agreeable || got.Brief != test.brief || !strings.Contains(got.Message, "refuses to lose, whoever agrees") {
				t.Errorf("got %s %q %q, agreeable %v; want %q", got.Outcome, got.Brief, got.Message, got.Agreeable, test.brief)
			}
		})
	}
}

func TestGuardAllowances(t *testing.T) {
	grant, lb := at(`module.kms.aws_kms_grant.asg["eu"]`, "aws_kms_grant"), at("aws_lb.edge", "aws_lb")
	now := time.Now()
	tomorrow := now.Add(24 * time.Hour)
	last := tomorrow.UTC().Format("2 Jan 2006")
	allow := func(match string, until time.Time) gates.GuardSettings {
		return gates.GuardSettings{Allow: []gates.Allowance{{Match: match, Reason: "moves to aws-accounts", Until: until}}}
	}
	tests := []struct {
		name     string
		settings gates.GuardSettings
		lost     []plan.Change
		want     upgrade.Outcome
		says     string
	}{
		{"by_address", allow("module.kms.aws_kms_grant.asg", tomorrow), []plan.Change{grant}, upgrade.OutcomePassed, `1 guarded resource is destroyed or replaced as the configuration allows: module.kms.aws_kms_grant.asg["eu"] (moves to aws-accounts, until ` + last + ")"},
		{"by_type", allow("aws_kms_*", tomorrow), []plan.Change{grant}, upgrade.OutcomePassed, "as the configuration allows"},
		{"not_all", allow("aws_kms_*", tomorrow), []plan.Change{grant, lb}, upgrade.OutcomeFailed, "1 resource under guard: aws_lb.edge (destroyed)"},
		{"other", allow("aws_kms_key", tomorrow), []plan.Change{grant}, upgrade.OutcomeFailed, "1 resource under guard"},
		{"ended", allow("aws_kms_*", now.Add(-time.Hour)), []plan.Change{grant}, upgrade.OutcomeFailed, "; aws_kms_* was allowed until " + now.Add(-time.Hour).UTC().Format("2 Jan 2006")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := judge(t, test.settings, gates.Input{Plan: planned(test.lost...)})
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s %q", got.Outcome, got.Message, test.want, test.says)
			}
			if warned := strings.Join(got.Warnings, ""); strings.Contains(warned, "ended on") != (test.name == "ended") {
				t.Errorf("got warnings %q", warned)
			}
			allowed := false
			for _, table := range got.Evidence.Tables {
				allowed = allowed || table.Title == "Allowed by configuration" && strings.Contains(fmt.Sprint(table.Rows), "moves to aws-accounts "+last)
			}
			if shown := test.name != "other" && test.name != "ended"; allowed != shown {
				t.Errorf("the evidence shows the allowance: %v, want %v", allowed, shown)
			}
		})
	}
}

// TestGuardShows: what is forgotten, moved, or destroyed outside of the guard is in the evidence.
func TestGuardShows(t *testing.T) {
	p := planned(change("aws_kms_grant.a", plan.Forget), change("aws_instance.web", plan.Delete))
	renamed := change("aws_lb.new", plan.Update)
	renamed.PreviousAddress = "aws_lb.old"
	p.Changes, p.Moves = append(p.Changes, renamed), []plan.Move{{From: "aws_x.a", To: "aws_x.b"}}
	got := judge(t, gates.GuardSettings{}, gates.Input{Plan: p})
	var shown strings.Builder
	for _, table := range got.Evidence.Tables {
		fmt.Fprintln(&shown, table.Title, table.Rows)
	}
	want := "Destroyed or replaced, not under guard [[aws_instance.web destroyed ]]\n" +
		"Forgotten, not destroyed [[aws_kms_grant.a ]]\n" +
		"Moved [[aws_lb.old aws_lb.new updated in place] [aws_x.a aws_x.b nothing else]]\n"
	if got.Outcome != upgrade.OutcomePassed || shown.String() != want {
		t.Errorf("got %s and\n%s", got.Outcome, shown.String())
	}
	gate := gates.Gate{}
	for _, broken := range []gates.GuardSettings{{Refuse: []string{"aws_["}}, {Allow: []gates.Allowance{{Match: "aws_["}}}} {
		if err := broken.Bind(&gate, gates.Deps{}); upgrade.CodeOf(err) != upgrade.CodeInvalid {
			t.Errorf("a broken glob gives %v", err)
		}
	}
	if err := (gates.GuardSettings{Refuse: []string{"aws_x.y["}}).Bind(&gate, gates.Deps{}); err != nil {
		t.Errorf("a bracket in an address gives %v", err)
	}
}
