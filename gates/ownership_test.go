package gates_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// states is what the gate asks: readings and what they hold, and what reading one anew comes to.
type states struct {
	readings  []upgrade.Reading
	owned     []upgrade.Owned
	refreshed []upgrade.StateName
	broken    map[upgrade.StateName]string // reading it anew fails
	err       error                        // of Refresh and Readings
	now       func() time.Time
}

func (s *states) Readings(context.Context) ([]upgrade.Reading, error) {
	return slices.Clone(s.readings), s.err
}

func (s *states) Refresh(_ context.Context, names []upgrade.StateName) error {
	s.refreshed = append(s.refreshed, names...)
	for i := range s.readings {
		r := &s.readings[i]
		if !slices.Contains(names, r.State) {
			continue
		}
		r.TriedAt, r.Problem = s.now(), s.broken[r.State]
		if r.Problem == "" {
			r.ReadAt = s.now()
		}
	}
	return s.err
}

func (s *states) Owners(_ context.Context, objects []plan.Object) ([]upgrade.Owned, error) {
	var found []upgrade.Owned
	for _, one := range s.owned {
		if slices.ContainsFunc(objects, func(o plan.Object) bool {
			return o.Same(plan.Object{Type: one.Type, Key: one.Key, Account: one.Account, Region: one.Region})
		}) {
			found = append(found, one)
		}
	}
	return found, nil
}

// The places of the tests.
const (
	ours   upgrade.StateName = "ecs-master/staging"
	theirs upgrade.StateName = "aws-accounts/staging"
	role                     = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
)

// reading is a state that was read a minute ago.
func reading(state upgrade.StateName) upgrade.Reading {
	stack, env, own := strings.Cut(string(state), "/")
	r := upgrade.Reading{State: state, ReadAt: noon().Add(-time.Minute), Account: "123456789012", Region: "eu-west-2", Objects: 9}
	if own {
		r.Stack, r.Env = upgrade.StackName(stack), upgrade.EnvName(env)
	}
	return r
}

// grantValues are the values of a grant, as plans have them.
func grantValues(name, key string) json.RawMessage {
	return json.RawMessage(`{"grant_id":"g1","id":"k1:g1","name":"` + name + `","key_id":"` + key + `","grantee_principal":"` + role + `","operations":["Decrypt","CreateGrant"]}`)
}

// grantChange is what a plan does to a grant.
func grantChange(address string, action plan.Action) plan.Change {
	c := change(address, action)
	if action == plan.Create {
		c.After = grantValues("asg-ebs", "k1")
		return c
	}
	c.Before = grantValues("asg-ebs", "arn:aws:kms:eu-west-2:123456789012:key/k1")
	return c
}

// judgeOwners asks the ownership gate about a plan of ecs-master's staging.
func judgeOwners(t *testing.T, s *states, p plan.Summary) upgrade.Result {
	t.Helper()
	var got upgrade.Result
	synctest.Test(t, func(t *testing.T) {
		s.now = time.Now
		g := bound(t, gates.OwnerSettings{}, gates.Deps{States: s, Clock: upgrade.SystemClock{}})
		in := gates.Input{Apply: 1, Plan: p, Run: upgrade.Run{Stack: "ecs-master", Environment: "staging", Plan: upgrade.PlanFacts{ChangeDigest: p.Digest}}}
		got = gates.Runner{Clock: upgrade.SystemClock{}}.Run(t.Context(), []gates.Gate{g}, in, nil)[0]
	})
	if len([]rune(got.Brief)) > 80 || got.Agreeable {
		t.Errorf("got brief %q, agreeable %v", got.Brief, got.Agreeable)
	}
	return got
}

func TestOwnership(t *testing.T) {
	grant := func(state upgrade.StateName, address string) upgrade.Owned {
		return upgrade.Owned{State: state, Type: "aws_kms_grant", Key: "g1", Address: address}
	}
	mine := grant(ours, "aws_kms_grant.asg")
	route := change("kubernetes_namespace.web", plan.Delete)
	route.Before = json.RawMessage(`{"id":"web"}`)
	attachment := change("aws_iam_role_policy_attachment.a", plan.Delete)
	attachment.Before = json.RawMessage(`{"id":"x1","role":"web","policy_arn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}`)
	attached := upgrade.Owned{State: theirs, Type: "aws_iam_role_policy_attachment", Key: "web arn:aws:iam::aws:policy/ReadOnlyAccess", Address: "aws_iam_role_policy_attachment.b"}
	nameless := change("aws_vpc_endpoint_private_dns.x", plan.Delete)
	nameless.Before = json.RawMessage(`{"private_dns_enabled":true}`)
	moved := grantChange("aws_kms_grant.new", plan.Delete)
	moved.PreviousAddress = "aws_kms_grant.asg"
	production := reading("ecs-master/production")
	production.Account = "210987654321"
	both := []upgrade.Reading{reading(ours), reading(theirs)}
	tests := []struct {
		name     string
		plan     plan.Summary
		readings []upgrade.Reading
		owned    []upgrade.Owned
		want     upgrade.Outcome
		brief    string
		says     []string // of message and warnings
	}{
		{"nothing_taken", planned(change("aws_lb.x", plan.Update)), nil, nil, upgrade.OutcomePassed, "", []string{"destroys, replaces and forgets nothing"}},
		{"only_ours", planned(grantChange("aws_kms_grant.asg", plan.Delete)), both, []upgrade.Owned{mine}, upgrade.OutcomePassed, "", []string{"nothing that the plan destroys or replaces is in the one other state that could own it"}},
		{"destroyed", planned(grantChange("aws_kms_grant.asg", plan.Delete)), both, []upgrade.Owned{mine, grant(theirs, "module.kms.aws_kms_grant.ecs")}, upgrade.OutcomeFailed, "the plan destroys a grant that aws-accounts also owns", []string{
			"the plan would destroy aws_kms_grant.asg, which aws-accounts/staging also owns as module.kms.aws_kms_grant.ecs: it is grant asg-ebs (g1) of AWSServiceRoleForAutoScaling on key k1, and it would be gone for both",
			"to hand it over, forget it here instead, with removed { from = aws_kms_grant.asg lifecycle { destroy = false } }",
			"to hand it over, forget aws_kms_grant.asg here instead, with what stands under Repair, and push",
		}},
		{"replaced", planned(grantChange("aws_kms_grant.asg", plan.Replace)), both, []upgrade.Owned{grant(theirs, "aws_kms_grant.ecs")}, upgrade.OutcomeFailed, "the plan replaces a grant that aws-accounts also owns", []string{"aws-accounts/staging would be left with one that is gone; let one state own it: first forget it in aws-accounts/staging, with removed { from = aws_kms_grant.ecs"}},
		{"other_environment", planned(grantChange("aws_kms_grant.asg", plan.Delete)), []upgrade.Reading{reading(ours), reading("ecs-master/production")}, []upgrade.Owned{grant("ecs-master/production", "aws_kms_grant.asg")}, upgrade.OutcomeFailed, "the plan destroys a grant that ecs-master/production also owns", nil},
		{"foreign_state", planned(grantChange("aws_kms_grant.asg", plan.Delete)), []upgrade.Reading{reading("network")}, []upgrade.Owned{grant("network", "aws_kms_grant.asg")}, upgrade.OutcomeFailed, "the plan destroys a grant that network also owns", nil},
		{"twice_in_its_own", planned(grantChange("aws_kms_grant.asg", plan.Delete)), both, []upgrade.Owned{mine, grant(ours, "aws_kms_grant.again")}, upgrade.OutcomeFailed, "the plan destroys a grant that the state has twice", []string{"which this very state also has as aws_kms_grant.again", "gone for both addresses"}},
		{"both_of_its_own_go", planned(grantChange("aws_kms_grant.asg", plan.Delete), grantChange("aws_kms_grant.again", plan.Forget)), both, []upgrade.Owned{mine, grant(ours, "aws_kms_grant.again")}, upgrade.OutcomePassed, "", nil},
		{"deposed_is_the_one_in_use", planned(func() plan.Change { c := grantChange("aws_kms_grant.asg", plan.Delete); c.Deposed = "f1"; return c }()), both, []upgrade.Owned{mine, grant(ours, "aws_kms_grant.asg (deposed f1)")}, upgrade.OutcomeFailed, "the plan destroys a grant that the state has twice", nil},
		{"moved_first", planned(moved), both, []upgrade.Owned{mine}, upgrade.OutcomePassed, "", nil},
		{"forgotten_and_handed_over", planned(grantChange("aws_kms_grant.asg", plan.Forget)), both, []upgrade.Owned{mine, grant(theirs, "aws_kms_grant.ecs")}, upgrade.OutcomePassed, "", []string{"aws_kms_grant.asg is forgotten here and lives on in aws-accounts/staging: a safe hand-over"}},
		{"forgotten_and_orphaned", planned(grantChange("aws_kms_grant.asg", plan.Forget)), both, []upgrade.Owned{mine}, upgrade.OutcomePassed, "", []string{
			"aws_kms_grant.asg is forgotten, and no other state owns it", "the plan forgets aws_kms_grant.asg, and no other known state owns it: grant asg-ebs (g1) of AWSServiceRoleForAutoScaling on key k1 stays, and nobody looks after it",
		}},
		{"same_name_in_the_account", planned(attachment), both, []upgrade.Owned{attached}, upgrade.OutcomeFailed, "the plan destroys an iam role policy attachment that aws-accounts also owns", nil},
		{"same_name_in_another_account", planned(attachment), []upgrade.Reading{reading(ours), production}, []upgrade.Owned{{State: production.State, Type: attached.Type, Key: attached.Key}}, upgrade.OutcomePassed, "", nil},
		{"same_name_somewhere", planned(route), both, []upgrade.Owned{{State: theirs, Type: "kubernetes_namespace", Key: "web", Address: "kubernetes_namespace.web"}}, upgrade.OutcomePassed, "", []string{"kubernetes_namespace.web may also be kubernetes_namespace.web of aws-accounts/staging: both have the id web, but of which account or cluster is not known"}},
		{"no_identity", planned(nameless), both, nil, upgrade.OutcomePassed, "", []string{"1 thing has no id in the plan, so whether another state owns it is not known: aws_vpc_endpoint_private_dns.x"}},
		{"nothing_outside", planned(change("random_password.x", plan.Delete)), nil, nil, upgrade.OutcomePassed, "", []string{"nothing outside of Terraform"}},
		{"data_source", planned(func() plan.Change { c := change("aws_lb.x", plan.Delete); c.Mode = "data"; return c }()), nil, nil, upgrade.OutcomePassed, "", nil},
		{"old_terraform", func() plan.Summary {
			p := planned(grantChange("aws_kms_grant.asg", plan.Delete))
			p.Header.Tool = "1.5.7"
			return p
		}(), both, []upgrade.Owned{grant(theirs, "aws_kms_grant.ecs")}, upgrade.OutcomeFailed, "the plan destroys a grant that aws-accounts also owns", []string{"with terraform state rm 'aws_kms_grant.asg'"}},
		{"not_read", plan.Summary{}, both, nil, upgrade.OutcomeUnknown, "", []string{"there is no plan to look at"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := judgeOwners(t, &states{readings: test.readings, owned: test.owned}, test.plan)
			if got.Outcome != test.want || got.Brief != test.brief {
				t.Errorf("got %s %q %q, want %s %q", got.Outcome, got.Brief, got.Message, test.want, test.brief)
			}
			all := strings.Join(append(got.Warnings, got.Message, got.Hint), "\n")
			for _, says := range test.says {
				if !strings.Contains(all, says) {
					t.Errorf("%q is not in %s", says, all)
				}
			}
		})
	}
}

// TestOwnershipReadings: how old a reading may be, and what comes of one that cannot be taken anew.
func TestOwnershipReadings(t *testing.T) {
	aged := func(state upgrade.StateName, age time.Duration) upgrade.Reading {
		r := reading(state)
		r.ReadAt = noon().Add(-age)
		return r
	}
	never := upgrade.Reading{State: "network"}
	failed := aged(theirs, time.Minute)
	failed.Problem = "access denied"
	elsewhere := aged("network", 100*time.Hour)
	elsewhere.Account = "999999999999"
	tests := []struct {
		name      string
		readings  []upgrade.Reading
		broken    map[upgrade.StateName]string
		want      upgrade.Outcome
		refreshed string
		says      string
	}{
		{"fresh", []upgrade.Reading{aged(ours, time.Minute), aged(theirs, 5*time.Minute)}, nil, upgrade.OutcomePassed, "[]", ""},
		{"read_anew", []upgrade.Reading{aged(ours, time.Minute), aged(theirs, 5*time.Minute+time.Second)}, nil, upgrade.OutcomePassed, "[aws-accounts/staging]", ""},
		{"failed_a_moment_ago", []upgrade.Reading{failed}, nil, upgrade.OutcomePassed, "[aws-accounts/staging]", ""},
		{"failed_but_young", []upgrade.Reading{aged(theirs, 59*time.Minute)}, map[upgrade.StateName]string{theirs: "access denied"}, upgrade.OutcomePassed, "[aws-accounts/staging]", ""},
		{"failed_and_old", []upgrade.Reading{aged(theirs, 3*time.Hour)}, map[upgrade.StateName]string{theirs: "access denied"}, upgrade.OutcomeUnknown, "[aws-accounts/staging]", "whether aws-accounts/staging also owns aws_kms_grant.asg is not known: its last reading is 3 h old, limit 1 h: access denied; make it readable, and run this again"},
		{"never_read", []upgrade.Reading{never, aged(theirs, time.Minute)}, map[upgrade.StateName]string{"network": "no such bucket"}, upgrade.OutcomeUnknown, "[network]", "it was never read: no such bucket"},
		{"never_read_until_now", []upgrade.Reading{never}, nil, upgrade.OutcomePassed, "[network]", ""},
		{"of_another_account", []upgrade.Reading{elsewhere}, map[upgrade.StateName]string{"network": "access denied"}, upgrade.OutcomePassed, "[]", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &states{readings: test.readings, broken: test.broken}
			got := judgeOwners(t, s, planned(grantChange("aws_kms_grant.asg", plan.Delete)))
			if got.Outcome != test.want || fmt.Sprint(s.refreshed) != test.refreshed || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q after reading %v anew, want %s, %s", got.Outcome, got.Message, s.refreshed, test.want, test.refreshed)
			}
		})
	}
	broken := &states{readings: []upgrade.Reading{aged(theirs, 59*time.Minute)}, broken: map[upgrade.StateName]string{theirs: "access denied"}}
	got := judgeOwners(t, broken, planned(grantChange("aws_kms_grant.asg", plan.Delete)))
	if row := strings.Join(got.Evidence.Tables[0].Rows[0], "|"); row != "aws-accounts/staging|59 min ago|9|123456789012, eu-west-2|old, could not be read anew: access denied" {
		t.Errorf("the evidence says %s", row)
	}
	// A state that cannot be read blocks no plan that takes nothing away, and hides no certain no.
	dead := &states{readings: []upgrade.Reading{never, aged(theirs, time.Minute)}, broken: map[upgrade.StateName]string{"network": "gone"}}
	if got := judgeOwners(t, dead, planned(change("aws_lb.x", plan.Create))); got.Outcome != upgrade.OutcomePassed || len(dead.refreshed) > 0 {
		t.Errorf("got %s %q, read %v", got.Outcome, got.Message, dead.refreshed)
	}
	dead.owned = []upgrade.Owned{{State: theirs, Type: "aws_kms_grant", Key: "g1", Address: "aws_kms_grant.b"}}
	if got := judgeOwners(t, dead, planned(grantChange("aws_kms_grant.asg", plan.Delete))); got.Outcome != upgrade.OutcomeFailed {
		t.Errorf("got %s %q", got.Outcome, got.Message)
	}
	// What an old reading says is no certain no.
	dead.owned[0].State = "network"
	if got := judgeOwners(t, dead, planned(grantChange("aws_kms_grant.asg", plan.Delete))); got.Outcome != upgrade.OutcomeUnknown {
		t.Errorf("got %s %q", got.Outcome, got.Message)
	}
	if got := judgeOwners(t, &states{err: &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the database is closed"}}, planned(grantChange("aws_kms_grant.asg", plan.Delete))); got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, "database") {
		t.Errorf("got %s %q", got.Outcome, got.Message)
	}
}

// TestS5OwnershipWithoutStates: where no state is known, only what takes nothing away can pass (S5).
func TestS5OwnershipWithoutStates(t *testing.T) {
	if got := judge(t, gates.OwnerSettings{}, gates.Input{Plan: planned(change("aws_lb.x", plan.Update))}); got.Outcome != upgrade.OutcomePassed {
		t.Errorf("got %s %q", got.Outcome, got.Message)
	}
	for _, action := range []plan.Action{plan.Delete, plan.Replace, plan.Forget} {
		if got := judge(t, gates.OwnerSettings{}, gates.Input{Plan: planned(change("aws_lb.x", action))}); got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, "no Terraform state is known here") {
			t.Errorf("%s: got %s %q", action, got.Outcome, got.Message)
		}
	}
}

func TestGrantRace(t *testing.T) {
	other := func(edit func(*plan.Change)) plan.Change {
		c := grantChange("aws_kms_grant.asg_role", plan.Create)
		edit(&c)
		return c
	}
	with := func(old, replacement string) func(*plan.Change) {
		return func(c *plan.Change) {
			c.After = json.RawMessage(strings.Replace(string(c.After), old, replacement, 1))
		}
	}
	replaced := func(first bool) plan.Change {
		c := grantChange("aws_kms_grant.asg", plan.Replace)
		c.After, c.CreateFirst = grantValues("asg-ebs", "k1"), first
		return c
	}
	old := grantChange("aws_kms_grant.asg", plan.Delete)
	unnamed := old
	unnamed.Before = grantValues("", "k1")
	tests := []struct {
		name    string
		changes []plan.Change
		want    upgrade.Outcome
		says    string
	}{
		{"renamed", []plan.Change{old, other(func(*plan.Change) {})}, upgrade.OutcomeFailed, "write moved { from = aws_kms_grant.asg to = aws_kms_grant.asg_role }, or forget the old one"},
		{"operations_in_another_order", []plan.Change{old, other(with(`"Decrypt","CreateGrant"`, `"CreateGrant","Decrypt"`))}, upgrade.OutcomeFailed, "the plan would destroy aws_kms_grant.asg and create aws_kms_grant.asg_role"},
		{"other_name", []plan.Change{old, other(with("asg-ebs", "asg-ebs-2"))}, upgrade.OutcomePassed, ""},
		{"other_operations", []plan.Change{old, other(with(`"Decrypt",`, ""))}, upgrade.OutcomePassed, ""},
		{"other_key", []plan.Change{old, other(with(`"k1"`, `"k2"`))}, upgrade.OutcomePassed, ""},
		{"other_grantee", []plan.Change{old, other(with("AutoScaling", "AutoScaling_x"))}, upgrade.OutcomePassed, ""},
		{"no_name", []plan.Change{unnamed, other(with(`"asg-ebs"`, `""`))}, upgrade.OutcomePassed, ""},
		{"key_not_known_yet", []plan.Change{old, other(func(c *plan.Change) {
			with(`"k1"`, `""`)(c)
			c.AfterUnknown = json.RawMessage(`{"key_id":true,"operations":[false,false]}`)
		})}, upgrade.OutcomePassed, "may be one and the same grant asg-ebs"},
		{"replaced_new_first", []plan.Change{replaced(true)}, upgrade.OutcomeFailed, "take create_before_destroy away"},
		{"replaced_old_first", []plan.Change{replaced(false)}, upgrade.OutcomePassed, ""},
		{"forgotten", []plan.Change{grantChange("aws_kms_grant.asg", plan.Forget), other(func(*plan.Change) {})}, upgrade.OutcomePassed, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := judgeOwners(t, &states{readings: []upgrade.Reading{reading(ours)}}, planned(test.changes...))
			var part []plan.Change
			for _, c := range test.changes {
				part = append(part, gates.Judged(c))
			}
			if again := judgeOwners(t, &states{readings: []upgrade.Reading{reading(ours)}}, planned(part...)); again.Outcome != got.Outcome || again.Message != got.Message {
				t.Errorf("of the judged values alone: got %s %q", again.Outcome, again.Message)
			}
			if all := strings.Join(append(got.Warnings, got.Message), "\n"); got.Outcome != test.want || !strings.Contains(all, test.says) {
				t.Errorf("got %s %q, want %s %q", got.Outcome, all, test.want, test.says)
			}
			if test.want == upgrade.OutcomeFailed && got.Brief != "the plan destroys and creates one grant at once: it may end with none" {
				t.Errorf("got %q", got.Brief)
			}
		})
	}
}

func TestKeyPolicyLosesARole(t *testing.T) {
	policy := func(effect, principal string) string {
		raw, err := json.Marshal(map[string]string{"policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"kms:*","Resource":"*"},{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"kms:Decrypt","Resource":"*"}]}`})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	named, listed := policy("Allow", `{"AWS":"`+role+`"}`), policy("Allow", `{"AWS":["arn:aws:iam::123456789012:role/x","`+role+`"]}`)
	none := policy("Allow", `"*"`)
	tests := []struct {
		name, address         string
		action                plan.Action
		before, after, latter string
		want                  upgrade.Outcome
		says                  string
	}{
		{"dropped", "aws_kms_key.k", plan.Update, named, none, "", upgrade.OutcomeFailed, "the new policy of aws_kms_key.k no longer names " + role},
		{"dropped_by_policy_resource", "aws_kms_key_policy.k", plan.Update, listed, none, "", upgrade.OutcomeFailed, "no longer names"},
		{"policy_resource_destroyed", "aws_kms_key_policy.k", plan.Delete, listed, "null", "", upgrade.OutcomeFailed, "no longer names"},
		{"denied_now", "aws_kms_key.k", plan.Update, named, policy("Deny", `{"AWS":"`+role+`"}`), "", upgrade.OutcomeFailed, "no longer names"},
		{"kept", "aws_kms_key.k", plan.Update, named, listed, "", upgrade.OutcomePassed, ""},
		{"never_named", "aws_kms_key.k", plan.Update, none, none, "", upgrade.OutcomePassed, ""},
		{"other_type", "aws_s3_bucket_policy.k", plan.Update, named, none, "", upgrade.OutcomePassed, ""},
		{"known_later", "aws_kms_key.k", plan.Update, named, `{}`, `{"policy":true}`, upgrade.OutcomePassed, "is known only after the apply; the old one names " + role},
		{"sensitive", "aws_kms_key.k", plan.Update, named, `{"policy":"(sensitive)"}`, "", upgrade.OutcomePassed, "known only after the apply"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := change(test.address, test.action)
			c.Before, c.After, c.AfterUnknown = json.RawMessage(test.before), json.RawMessage(test.after), json.RawMessage(test.latter)
			got := judgeOwners(t, &states{}, planned(c))
			if again := judgeOwners(t, &states{}, planned(gates.Judged(c))); again.Outcome != got.Outcome || again.Message != got.Message {
				t.Errorf("of the judged values alone: got %s %q", again.Outcome, again.Message)
			}
			if all := strings.Join(append(got.Warnings, got.Message), "\n"); got.Outcome != test.want || !strings.Contains(all, test.says) {
				t.Errorf("got %s %q, want %s %q", got.Outcome, all, test.want, test.says)
			}
			if test.want == upgrade.OutcomeFailed && got.Brief != "the new key policy no longer names AWSServiceRoleForAutoScaling" {
				t.Errorf("got %q", got.Brief)
			}
		})
	}
}

// FuzzOwnership gives the gate values that no provider writes.
func FuzzOwnership(f *testing.F) {
	f.Add([]byte(grantValues("a", "k1")), []byte(grantValues("a", "k1")), []byte(`{"key_id":true}`))
	f.Add([]byte(`{"policy":"{\"Statement\":{}}"}`), []byte(`{"policy":"[]"}`), []byte(`true`))
	f.Add([]byte(`[]`), []byte(`{"operations":[1]}`), []byte(`{`))
	f.Fuzz(func(t *testing.T, before, after, unknown []byte) {
		var changes []plan.Change
		for i, kind := range []string{"aws_kms_grant.a", "aws_kms_grant.b", "aws_kms_key.k", "aws_kms_key_policy.k"} {
			c := change(kind, []plan.Action{plan.Delete, plan.Create, plan.Update, plan.Replace}[i])
			c.Before, c.After, c.AfterUnknown = before, after, unknown
			changes = append(changes, c)
		}
		g := bound(t, gates.OwnerSettings{}, gates.Deps{States: &states{readings: []upgrade.Reading{reading(ours)}, now: noon}})
		err := g.Check(t.Context(), gates.Input{Plan: planned(changes...)}, gates.NewRecorder(noon, nil))
		if err != nil && !gates.Failed(err) {
			if _, ours := errors.AsType[*upgrade.Error](err); !ours {
				t.Errorf("got %v", err)
			}
		}
	})
}
