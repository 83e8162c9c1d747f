package gates_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// afterChange asks a kms-grants gate before and after a change of the account.
func afterChange(t *testing.T, env upgrade.EnvName, start, change func(*fakeKeys), applied ...plan.Change) (result upgrade.Result, aws *fakeKeys) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		aws = newKeys()
		start(aws)
		g := grantsGate(t, aws, env)
		runner := gates.Runner{Clock: upgrade.SystemClock{}}
		in := gates.Input{Run: upgrade.Run{ID: 7, Environment: "staging", Applies: 1}, Apply: 1, Plan: plan.Summary{Changes: applied}}
		in.Befores = runner.Before(t.Context(), []gates.Gate{g}, in)
		if before := in.Befores[0]; before.Outcome != upgrade.OutcomePassed {
			t.Fatalf("before: %s %s", before.Outcome, before.Message)
		}
		time.Sleep(time.Minute)
		change(aws)
		result = runner.Ask(t.Context(), g, in)
	})
	if len([]rune(result.Brief)) > 80 {
		t.Errorf("the brief has more than 80 characters: %s", result.Brief)
	}
	return result, aws
}

func nothing(*fakeKeys) {}

// TestS12GrantsAgainstTheStart: what the change took away is told from what there was at its start (S12).
func TestS12GrantsAgainstTheStart(t *testing.T) {
	revoke := func(f *fakeKeys) { f.grants[key1] = nil }
	app := "arn:aws:iam::111111111111:role/app"
	shared := func(f *fakeKeys) { f.grants[key1] = append(f.grants[key1], grant("prod-asg", prodRole, needed()...)) }
	policy := func(principal string) string {
		return `{"Statement":[{"Sid":"Use","Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"kms:*","Resource":"*"}]}`
	}
	volume := cloud.Grant{ID: "v", Grantee: "arn:aws:sts::111111111111:assumed-role/aws:ec2-infrastructure/i-1", Operations: []string{"Decrypt"}, Constraints: `{"EncryptionContextSubset":{"aws:ebs:id":"vol-1"}}`}
	tests := []struct {
		name   string
		env    upgrade.EnvName
		start  func(*fakeKeys)
		change func(*fakeKeys)
		want   upgrade.Outcome
		brief  string
		says   string
		warns  string
	}{
		{"nothing_lost", "staging", nothing, nothing, upgrade.OutcomePassed, "", "AWSServiceRoleForAutoScaling may use the 1 key of group web, and nothing is lost since 1 Jan 00:00:00 UTC", ""},
		{"lost", "staging", nothing, revoke, upgrade.OutcomeFailed, "staging's group web cannot use the key of its image", "the grant asg-ebs (id-of-asg-eb…) of AWSServiceRoleForAutoScaling on key " + key1 + " is gone since the change began, and with it CreateGrant, Decrypt", ""},
		{"lost_in_production", "production", nothing, revoke, upgrade.OutcomeFailed, "production's group web cannot use the key of its image", "ReEncryptTo: group web launches by this role and cannot start instances", ""},
		{"lost_for_others", "staging", shared, func(f *fakeKeys) { f.grants[key1] = f.grants[key1][:1] }, upgrade.OutcomeFailed, "staging lost the grant prod-asg", "AWSServiceRoleForAutoScaling of account 222222222222 on key", ""},
		{"lost_twice", "staging", shared, revoke, upgrade.OutcomeFailed, "staging's group web cannot use the key of its image", "; the grant prod-asg", ""},
		{"lost_with_another_grant", "staging", func(f *fakeKeys) { f.grants[key1] = append(f.grants[key1], grant("second", slr, needed()...)) }, func(f *fakeKeys) { f.grants[key1] = f.grants[key1][1:] }, upgrade.OutcomePassed, "", "nothing is lost", "the grant asg-ebs (id-of-asg-eb…) of AWSServiceRoleForAutoScaling on key 11111111-12ab-34cd-56ef-1234567890ab is gone since the change began: what it needs of it, it has otherwise"},
		{"lost_with_policy", "staging", func(f *fakeKeys) { f.policies[key1] = policy(slr) }, revoke, upgrade.OutcomePassed, "", "may use", "it has otherwise"},
		{"lost_for_others_with_policy", "staging", func(f *fakeKeys) {
			f.policies[key1] = policy(app)
			f.grants[key1] = append(f.grants[key1], grant("app", app, "Decrypt"))
		}, func(f *fakeKeys) { f.grants[key1] = f.grants[key1][:1] }, upgrade.OutcomePassed, "", "may use", "the key policy gives the same"},
		{"one_of_two_equal", "staging", func(f *fakeKeys) { f.grants[key1] = append(f.grants[key1], grant("twin", slr, advised()...)) }, func(f *fakeKeys) { f.grants[key1] = f.grants[key1][1:] }, upgrade.OutcomePassed, "", "nothing is lost", ""},
		{"moved", "staging", nothing, func(f *fakeKeys) { f.grants[key1][0].ID = "another" }, upgrade.OutcomePassed, "", "nothing is lost", ""},
		{"changed_for_the_worse", "staging", nothing, func(f *fakeKeys) { f.grants[key1] = []cloud.Grant{grant("new", slr, "Decrypt", "DescribeKey")} }, upgrade.OutcomeFailed, "staging's group web cannot use the key of its image", "was changed since the change began and no longer gives CreateGrant, GenerateDataKeyWithoutPlaintext", ""},
		{"changed_to_constrained", "staging", nothing, func(f *fakeKeys) {
			bound := grant("new", slr, advised()...)
			bound.Constraints = `{"EncryptionContextSubset":{"a":"b"}}`
			f.grants[key1] = []cloud.Grant{bound}
		}, upgrade.OutcomeFailed, "staging's group web cannot use the key of its image", "its grant new does not count, for it has constraints", ""},
		{"role_deleted", "staging", nothing, func(f *fakeKeys) { f.grants[key1][0].Grantee = "AROAEXAMPLE" }, upgrade.OutcomeFailed, "staging's group web cannot use the key of its image", "the grant asg-ebs on it is for a role that was deleted", ""},
		{"volumes_come_and_go", "staging", func(f *fakeKeys) { f.grants[key1] = append(f.grants[key1], volume) }, func(f *fakeKeys) { f.grants[key1] = f.grants[key1][:1] }, upgrade.OutcomePassed, "", "nothing is lost", ""},
		{"service_lost", "staging", func(f *fakeKeys) {
			f.grants[key1] = append(f.grants[key1], grant("db", "rds.eu-west-2.amazonaws.com", "Decrypt"))
		}, func(f *fakeKeys) { f.grants[key1] = f.grants[key1][:1] }, upgrade.OutcomePassed, "", "nothing is lost", "the service rds.eu-west-2.amazonaws.com"},
		{"policy_changed", "staging", nothing, func(f *fakeKeys) { f.policies[key1] = strings.Replace(rootOnly, "Root", "Other", 1) }, upgrade.OutcomePassed, "", "nothing is lost", "the policy of key 11111111-12ab-34cd-56ef-1234567890ab was changed"},
		{"disabled", "staging", nothing, func(f *fakeKeys) { k := f.keys[key1]; k.State = "Disabled"; f.keys[key1] = k }, upgrade.OutcomeFailed, "staging's group web cannot start: the key of its image is disabled", "is disabled, so no instance can start", ""},
		{"deleted_soon", "staging", nothing, func(f *fakeKeys) {
			k := f.keys[key1]
			k.State, k.DeletionAt = "PendingDeletion", noon().Add(72*time.Hour)
			f.keys[key1] = k
		}, upgrade.OutcomeFailed, "staging's group web cannot start: the key of its image is going to be deleted o…", "is going to be deleted on 4 Jan 2000", ""},
		{"another_key_without_grant", "staging", nothing, func(f *fakeKeys) {
			f.snapshots["snap-1"] = cloud.Snapshot{ID: "snap-1", Owner: "111111111111", Encrypted: true, KeyID: key2}
		}, upgrade.OutcomeFailed, "staging's group web cannot use the key of its image", "on key " + key2, ""},
		{"another_key", "staging", nothing, func(f *fakeKeys) {
			f.snapshots["snap-1"] = cloud.Snapshot{ID: "snap-1", Owner: "111111111111", Encrypted: true, KeyID: key2}
			f.grants[key2] = []cloud.Grant{grant("asg-2", slr, advised()...)}
		}, upgrade.OutcomePassed, "", "may use the 1 key", ""},
		{"another_key_and_the_old_one_lost", "staging", nothing, func(f *fakeKeys) {
			f.snapshots["snap-1"] = cloud.Snapshot{ID: "snap-1", Owner: "111111111111", Encrypted: true, KeyID: key2}
			f.grants[key2] = []cloud.Grant{grant("asg-2", slr, advised()...)}
			f.grants[key1] = nil
		}, upgrade.OutcomeFailed, "staging lost the grant asg-ebs", "on key " + key1, ""},
		{"only_the_advised_lost", "staging", nothing, func(f *fakeKeys) { f.grants[key1][0].Operations = needed(); f.grants[key1][0].ID = "less" }, upgrade.OutcomePassed, "", "nothing is lost", "lacks Encrypt and GenerateDataKey"},
		{"another_role", "staging", nothing, func(f *fakeKeys) { f.group.ServiceLinkedRoleARN = slr + "_two" }, upgrade.OutcomeFailed, "staging's group web cannot use the key of its image", "the role AWSServiceRoleForAutoScaling_two, by which group web launches, lacks", "launched by the role " + slr},
		{"mended", "staging", func(f *fakeKeys) { delete(f.images, "ami-1") }, func(f *fakeKeys) { f.images = newKeys().images }, upgrade.OutcomePassed, "", "may use the 1 key", ""},
		{"broken_as_before", "staging", func(f *fakeKeys) { delete(f.images, "ami-1") }, nothing, upgrade.OutcomeFailed, "staging's group web cannot start: its image does not exist or is not shared", "there is no image ami-1", ""},
		{"new_group", "staging", func(f *fakeKeys) { f.group.Name = "" }, func(f *fakeKeys) { f.group.Name = "web" }, upgrade.OutcomePassed, "", "may use the 1 key", ""},
		{"new_group_without_grant", "staging", func(f *fakeKeys) { f.group.Name = "" }, func(f *fakeKeys) { f.group.Name, f.grants[key1] = "web", nil }, upgrade.OutcomeFailed, "staging's group web cannot use the key of its image", "lacks CreateGrant", ""},
		{"no_group_at_all", "staging", func(f *fakeKeys) { f.group.Name = "" }, nothing, upgrade.OutcomeUnknown, "", "there is no group web", ""},
		{"long_names", "staging", func(f *fakeKeys) {
			f.grants[key1] = append(f.grants[key1], grant(strings.Repeat("long", 40), app, "Decrypt"))
		}, func(f *fakeKeys) { f.grants[key1] = f.grants[key1][:1] }, upgrade.OutcomeFailed, "staging lost the grant longlonglonglonglonglonglonglonglonglonglonglonglonglong…", "is gone", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _ := afterChange(t, test.env, test.start, test.change)
			warned := strings.Join(got.Warnings, "\n")
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) || got.Brief != test.brief {
				t.Errorf("got %s %q (%q)\nwant %s that says %q (%q)", got.Outcome, got.Message, got.Brief, test.want, test.says, test.brief)
			}
			if test.warns == "" && warned != "" || !strings.Contains(warned, test.warns) {
				t.Errorf("warned %q, want %q", warned, test.warns)
			}
		})
	}
}

// TestGrantsInTerraform: a grant that is lost is led back to the resource whose end took it away, and to no other.
func TestGrantsInTerraform(t *testing.T) {
	resource := func(address string, action plan.Action, id string) plan.Change {
		return plan.Change{Address: address, Type: "aws_kms_grant", Action: action, Before: json.RawMessage(`{"grant_id":"` + id + `","name":"x"}`)}
	}
	revoke := func(f *fakeKeys) { f.grants[key1] = nil }
	const mine = "module.kms.aws_kms_grant.asg"
	id := newKeys().grants[key1][0].ID
	for _, tt := range []struct {
		name    string
		applied []plan.Change
		change  func(*fakeKeys)
		about   []string
		fact    string
	}{
		{"destroyed", []plan.Change{resource("aws_kms_grant.other", plan.Delete, "id-of-another"), resource(mine, plan.Delete, id)}, revoke, []string{key1, mine}, mine + ", which held the grant asg-ebs, was destroyed"},
		{"replaced", []plan.Change{resource(mine, plan.Replace, id)}, revoke, []string{key1, mine}, mine + ", which held the grant asg-ebs, was replaced"},
		{"forgotten", []plan.Change{resource(mine, plan.Forget, id)}, revoke, []string{key1}, ""},
		{"not_by_this_plan", nil, revoke, []string{key1}, ""},
		{"id_unknown", []plan.Change{resource(mine, plan.Delete, "")}, revoke, []string{key1}, ""},
		{"nothing_lost", []plan.Change{resource(mine, plan.Delete, id)}, nothing, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := afterChange(t, "staging", nothing, tt.change, tt.applied...)
			if !slices.Equal(got.Evidence.About, tt.about) || fact(got, "In Terraform") != tt.fact {
				t.Errorf("about %q: %q", got.Evidence.About, fact(got, "In Terraform"))
			}
		})
	}
}

// TestGrantsChain: the gate follows every way that leads from a group to a key.
func TestGrantsChain(t *testing.T) {
	set := true
	both := func(f *fakeKeys) { f.grants[key2] = []cloud.Grant{grant("two", slr, advised()...)} }
	extra := func(d cloud.Device) func(*fakeKeys) {
		return func(f *fakeKeys) {
			f.templates["web 7"] = cloud.TemplateVersion{ImageID: "ami-1", Devices: []cloud.Device{d}}
		}
	}
	tests := []struct {
		name string
		set  func(*fakeKeys)
		want upgrade.Outcome
		says string
		keys []string // that were asked for grants, in the words of the chain's table
	}{
		{"snapshot", nothing, upgrade.OutcomePassed, "the 1 key of group web", []string{key1}},
		{"mapping_names_an_alias", extra(cloud.Device{Name: "/dev/xvdb", Encrypted: &set, KeyID: "alias/second"}), upgrade.OutcomeFailed, key2, []string{key1, key2}},
		{"mapping_over_the_snapshot", func(f *fakeKeys) { both(f); extra(cloud.Device{Name: "/dev/xvda", KeyID: "alias/second"})(f) }, upgrade.OutcomePassed, "the 2 keys", []string{key2 + "; to read the snapshot, " + key1}},
		{"mapping_asks_for_encryption", extra(cloud.Device{Name: "/dev/xvdb", Encrypted: &set}), upgrade.OutcomePassed, "the 1 key", []string{key1, ebsKey + " (AWS managed: needs no grants)"}},
		{"default_key_of_ones_own", func(f *fakeKeys) {
			f.ebs = cloud.EBSDefault{Encrypt: true, KeyID: key2}
			extra(cloud.Device{Name: "/dev/xvdb"})(f)
		}, upgrade.OutcomeFailed, key2, []string{key1, key2}},
		{"no_default_encryption", func(f *fakeKeys) { f.ebs.KeyID = key2; extra(cloud.Device{Name: "/dev/xvdb"})(f) }, upgrade.OutcomePassed, "the 1 key", []string{key1, "none"}},
		{"mapping_takes_the_volume_away", extra(cloud.Device{Name: "/dev/xvda", Absent: true}), upgrade.OutcomePassed, "no volume of group web has a key that needs grants", nil},
		{"image_of_another_account", func(f *fakeKeys) {
			f.snapshots["snap-1"] = cloud.Snapshot{ID: "snap-1", Owner: "333333333333", Encrypted: true, KeyID: foreign}
			f.grants[foreign] = []cloud.Grant{grant("theirs", slr, advised()...)}
		}, upgrade.OutcomePassed, "the 1 key", []string{ebsKey + " (AWS managed: needs no grants); to read the snapshot, " + foreign + " (account 333333333333's: judged by its grants alone, its policy is shown there only)"}},
		{"image_of_another_account_without_grant", func(f *fakeKeys) {
			f.snapshots["snap-1"] = cloud.Snapshot{ID: "snap-1", Owner: "333333333333", Encrypted: true, KeyID: foreign}
		}, upgrade.OutcomeFailed, foreign, nil},
		{"override_with_its_own_template", func(f *fakeKeys) {
			f.group.Mixed = true
			f.group.Overrides = []cloud.Override{{InstanceType: "m5.large"}, {InstanceType: "m6g.large", Template: &cloud.Template{ID: "lt-2", Name: "arm", Version: "1"}}}
			f.templates["arm 1"] = cloud.TemplateVersion{ImageID: "ami-2"}
			f.images["ami-2"] = cloud.Image{ID: "ami-2", State: "available", Devices: []cloud.Device{{Name: "/dev/xvda", SnapshotID: "snap-2", Encrypted: &set}}}
			f.snapshots["snap-2"] = cloud.Snapshot{ID: "snap-2", Owner: "111111111111", Encrypted: true, KeyID: key2}
		}, upgrade.OutcomeFailed, key2, []string{key1, key2}},
		{"no_image", func(f *fakeKeys) { delete(f.images, "ami-1") }, upgrade.OutcomeFailed, "there is no image ami-1", nil},
		{"image_deregistered", func(f *fakeKeys) { f.images["ami-1"] = cloud.Image{ID: "ami-1", State: "deregistered"} }, upgrade.OutcomeFailed, "is deregistered and not available", nil},
		{"no_template_version", func(f *fakeKeys) { delete(f.templates, "web 7") }, upgrade.OutcomeFailed, "its launch template does not exist", nil},
		{"no_key", func(f *fakeKeys) { delete(f.keys, key1) }, upgrade.OutcomeFailed, "the key of its volume /dev/xvda does not exist", nil},
		{"snapshot_unseen", func(f *fakeKeys) { delete(f.snapshots, "snap-1") }, upgrade.OutcomeUnknown, "snap-1 of image ami-1 cannot be seen", nil},
		{"no_role", func(f *fakeKeys) { f.group.ServiceLinkedRoleARN = "" }, upgrade.OutcomeUnknown, "by which role the group web launches", nil},
		{"no_group", func(f *fakeKeys) { f.group.Name = "other" }, upgrade.OutcomeUnknown, "there is no group web", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			aws := newKeys()
			test.set(aws)
			got := gates.Runner{Clock: upgrade.SystemClock{}}.Ask(t.Context(), grantsGate(t, aws, "staging"), gates.Input{})
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
			var keys []string
			for _, row := range table(got, "From group to keys") {
				keys = append(keys, row[4])
			}
			if test.keys != nil && !slices.Equal(keys, test.keys) {
				t.Errorf("keys %q, want %q", keys, test.keys)
			}
		})
	}
}

// TestS5GrantsCouldNotTell: a chain that cannot be followed, a policy that cannot be judged and an inventory
// that is not there are no pass (S5).
func TestS5GrantsCouldNotTell(t *testing.T) {
	for _, action := range []string{
		"autoscaling:DescribeAutoScalingGroups", "ec2:DescribeLaunchTemplateVersions", "ec2:DescribeImages", "ec2:DescribeSnapshots",
		"kms:DescribeKey", "kms:ListGrants", "kms:GetKeyPolicy",
	} {
		t.Run("may_not_"+action[strings.Index(action, ":")+1:], func(t *testing.T) {
			got, _ := afterChange(t, "staging", nothing, func(f *fakeKeys) { f.deny = action })
			if got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, action) {
				t.Errorf("got %s %q", got.Outcome, got.Message)
			}
		})
	}
	condition := `{"Statement":[{"Sid":"Org","Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}]}`
	for _, test := range []struct {
		name string
		set  func(*fakeKeys)
		in   gates.Input
		says string
	}{
		{"condition", func(f *fakeKeys) { f.grants[key1], f.policies[key1] = nil, condition }, gates.Input{}, "statement Org of its policy has the condition aws:PrincipalOrgID, which cannot be judged"},
		{"policy_is_none", func(f *fakeKeys) { f.policies[key1] = "[" }, gates.Input{}, "the key policy cannot be read"},
		{"no_inventory", nothing, gates.Input{Run: upgrade.Run{Applies: 1}}, "not known which grants there were before the change"},
		{"later_inventory", nothing, gates.Input{Memo: `{"version":2}`}, "inventory of the time before the change cannot be read"},
		{"broken_inventory", nothing, gates.Input{Memo: `{`}, "inventory of the time before the change cannot be read"},
		{"key_is_being_made", func(f *fakeKeys) { k := f.keys[key1]; k.State = "Creating"; f.keys[key1] = k }, gates.Input{}, "is creating"},
	} {
		t.Run(test.name, func(t *testing.T) {
			aws := newKeys()
			test.set(aws)
			got := gates.Runner{Clock: upgrade.SystemClock{}}.Ask(t.Context(), grantsGate(t, aws, "staging"), test.in)
			if got.Outcome != upgrade.OutcomeUnknown || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want that it says %q", got.Outcome, got.Message, test.says)
			}
		})
	}
}

// TestGrantsWhoDidIt: CloudTrail is asked only when something is wrong, and what it does not know yet is said.
func TestGrantsWhoDidIt(t *testing.T) {
	terraform := cloud.KeyEvent{
		ID: "1", Name: "RevokeGrant", At: noon().Add(30 * time.Second), By: "arn:aws:sts::111111111111:assumed-role/terraform/ci",
		Agent: "APN/1.0 HashiCorp/1.0 Terraform/1.11.4", KeyID: key1, GrantID: "id-of-asg-ebs",
	}
	launch := terraform
	launch.ID, launch.Name, launch.By, launch.GrantID = "2", "CreateGrant", "arn:aws:sts::111111111111:assumed-role/AWSServiceRoleForAutoScaling/AutoScaling", "v"
	for _, test := range []struct {
		name string
		set  func(*fakeKeys)
		want string
		rows int
	}{
		{"known", func(f *fakeKeys) { f.events = []cloud.KeyEvent{terraform, launch} }, "assumed-role/terraform/ci at 1 Jan 00:00:30 UTC took back asg-ebs with APN/1.0", 1},
		{"not_yet", nothing, "not known yet: CloudTrail may say so up to 15 minutes later", 0},
		{"may_not_ask", func(f *fakeKeys) { f.deny = "cloudtrail:LookupEvents" }, "not known: AWS refuses cloudtrail:LookupEvents", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, _ := afterChange(t, "staging", nothing, func(f *fakeKeys) { f.grants[key1] = nil; test.set(f) })
			if got.Outcome != upgrade.OutcomeFailed || !strings.Contains(fact(got, "Done by"), test.want) || len(table(got, "What CloudTrail knows")) != test.rows {
				t.Errorf("done by %q, want %q; table %q", fact(got, "Done by"), test.want, table(got, "What CloudTrail knows"))
			}
		})
	}
	if _, aws := afterChange(t, "staging", nothing, nothing); aws.asked["cloudtrail:LookupEvents"] != 0 {
		t.Error("CloudTrail was asked although nothing is lost")
	}
}

// TestGrantsEvidence shows what people read when the incident happens: the comparison and the repair.
func TestGrantsEvidence(t *testing.T) {
	odd := grant("it's prod", prodRole, "Decrypt", "CreateGrant")
	odd.Constraints, odd.Retirer = `{"EncryptionContextSubset":{"aws:x":"${a}"}}`, "arn:aws:iam::222222222222:role/admin"
	got, _ := afterChange(t, "production", func(f *fakeKeys) { f.grants[key1] = append(f.grants[key1], odd, grant("stays", prodRole, "Decrypt")) }, func(f *fakeKeys) {
		f.grants[key1] = append(f.grants[key1][2:], grant("new", slr, "Decrypt"))
	})
	var b strings.Builder
	b.WriteString(got.Message + "\n\n" + got.Brief + "\n" + got.Hint + "\n")
	for _, f := range got.Evidence.Facts {
		b.WriteString("\n" + f.Name + ":\n" + f.Value + "\n")
	}
	for _, table := range got.Evidence.Tables {
		b.WriteString("\n" + table.Title + "\n" + strings.Join(table.Columns, " | ") + "\n")
		for _, row := range table.Rows {
			b.WriteString(strings.Join(row, " | ") + "\n")
		}
	}
	testkit.Golden(t, "testdata/grants_evidence.golden", []byte(b.String()))
}

// TestGrantsMemoIsBounded: an inventory that would not fit is refused, and grants of volumes do not count.
func TestGrantsMemoIsBounded(t *testing.T) {
	for _, test := range []struct {
		name    string
		grantee string
		want    upgrade.Outcome
	}{{"people", "arn:aws:iam::111111111111:role/r", upgrade.OutcomeUnknown}, {"volumes", "arn:aws:sts::111111111111:assumed-role/aws:ec2-infrastructure/i-", upgrade.OutcomePassed}} {
		t.Run(test.name, func(t *testing.T) {
			aws := newKeys()
			for i := range 6000 {
				aws.grants[key1] = append(aws.grants[key1], grant(number(i), test.grantee+number(i), "Decrypt"))
			}
			got := gates.Runner{Clock: upgrade.SystemClock{}}.Before(t.Context(), []gates.Gate{grantsGate(t, aws, "staging")}, gates.Input{})[0]
			if got.Outcome != test.want || len(got.Memo) > 10_000 {
				t.Errorf("got %s %q with %d bytes", got.Outcome, got.Message, len(got.Memo))
			}
		})
	}
}
