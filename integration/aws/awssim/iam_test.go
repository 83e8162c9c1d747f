package awssim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
)

const gateRole = "arn:aws:iam::111111111111:role/gate"

// policy wraps statements.
func policy(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// allow is a statement without a condition, or with one.
func allow(actions, resources string, condition ...string) string {
	return statement("Allow", `"Action":[`+quoted(actions)+`],"Resource":[`+quoted(resources)+`]`, condition)
}

func deny(actions, resources string, condition ...string) string {
	return statement("Deny", `"Action":[`+quoted(actions)+`],"Resource":[`+quoted(resources)+`]`, condition)
}

func statement(effect, body string, condition []string) string {
	if len(condition) > 0 {
		body += `,"Condition":{` + strings.Join(condition, ",") + `}`
	}
	return `{"Effect":"` + effect + `",` + body + `}`
}

func quoted(list string) string { return `"` + strings.Join(strings.Fields(list), `","`) + `"` }

// limited is a world in which the gate's role may do only what policies say.
func limited(t *testing.T, policies ...string) (*world, caller) {
	t.Helper()
	w := newWorld(t, nil)
	for _, p := range policies {
		if err := w.sim.AddPolicy(gateRole, p); err != nil {
			t.Fatal(err)
		}
	}
	return w, w.assume(t, gateRole, "secret")
}

// newGroup are the parameters of a group of at most size instances, with tags, in pairs.
func newGroup(w *world, name, template, version string, size int, tags ...string) []any {
	out := []any{
		"AutoScalingGroupName", name, "MinSize", "0", "MaxSize", fmt.Sprint(size), "DesiredCapacity", "0", "LaunchTemplate.LaunchTemplateId", template,
		"LaunchTemplate.Version", version, "VPCZoneIdentifier", w.sim.Network("", "").Subnets[0],
	}
	for i := 0; i < len(tags); i += 2 {
		at := fmt.Sprintf("Tags.member.%d.", i/2+1)
		out = append(out, at+"Key", tags[i], at+"Value", tags[i+1], at+"PropagateAtLaunch", "true")
	}
	return out
}

// TestPolicies is the table of what policies say of one request: what the role asks is always the same, the
// creation of a group gate-probe-1 of at most one instance, with the tag gate:probe, from version 1 of a
// template.
func TestPolicies(t *testing.T) {
	const probes = "arn:aws:autoscaling:*:111111111111:autoScalingGroup:*:autoScalingGroupName/gate-probe-*"
	run := allow("ec2:RunInstances", "*")
	tag := allow("autoscaling:CreateOrUpdateTags", "*")
	create := func(resources string, condition ...string) string {
		return allow("autoscaling:CreateAutoScalingGroup", resources, condition...)
	}
	const lacking, denied, template = "because no identity-based policy allows the autoscaling:CreateAutoScalingGroup action",
		"with an explicit deny in an identity-based policy", "You are not authorized to use launch template: lt-"
	for _, tc := range []struct {
		name       string
		statements []string
		want       string // in the refusal; empty: it is done
	}{
		{"all_that_is_needed", []string{create(probes), tag, run}, ""},
		{"everything", []string{allow("*", "*")}, ""},
		{"a_service", []string{allow("AutoScaling:Create*", "*"), run}, ""},
		{"nothing_of_it", []string{tag, run}, lacking},
		{"another_name", []string{create(strings.ReplaceAll(probes, "probe", "other")), tag, run}, lacking},
		{"another_account", []string{create(strings.ReplaceAll(probes, "1111", "2222")), tag, run}, lacking},
		{"no_tags", []string{create("*"), run}, "because no identity-based policy allows the autoscaling:CreateOrUpdateTags action"},
		{"no_launch", []string{create("*"), tag}, template},
		{"not_action", []string{statement("Allow", `"NotAction":"kms:*","Resource":"*"`, nil)}, ""},
		{"not_that_action", []string{statement("Allow", `"NotAction":"autoscaling:Create*","Resource":"*"`, nil)}, lacking},
		{"not_resource", []string{statement("Allow", `"Action":"*","NotResource":"`+probes+`"`, nil)}, lacking},
		{"deny_wins", []string{allow("*", "*"), deny("autoscaling:*", probes)}, denied},
		{"deny_elsewhere", []string{allow("*", "*"), deny("autoscaling:*", strings.ReplaceAll(probes, "probe", "other"))}, ""},
		{"deny_without_tag", []string{allow("*", "*"), deny("autoscaling:Create*", "*", `"StringNotEquals":{"aws:RequestTag/gate:probe":"true"}`)}, ""},
		{"deny_without_other_tag", []string{allow("*", "*"), deny("autoscaling:Create*", "*", `"StringNotEquals":{"aws:RequestTag/gate:other":"true"}`)}, denied},
		{"request_tag", []string{create("*", `"StringEquals":{"aws:RequestTag/gate:probe":"true"}`), tag, run}, ""},
		{"request_tag_other", []string{create("*", `"StringEquals":{"aws:RequestTag/gate:probe":["false","no"]}`), tag, run}, lacking},
		{"resource_tag_at_creation", []string{create("*", `"StringLike":{"autoscaling:ResourceTag/gate:probe":"tr*"}`), tag, run}, ""},
		{"only_these_tags", []string{create("*", `"ForAllValues:StringLike":{"aws:TagKeys":["gate:*"]}`), tag, run}, ""},
		{"only_other_tags", []string{create("*", `"ForAllValues:StringLike":{"aws:TagKeys":["cost"]}`), tag, run}, lacking},
		{"one_of_these_tags", []string{create("*", `"ForAnyValue:StringEquals":{"aws:TagKeys":["cost","gate:run"]}`), tag, run}, ""},
		{"small", []string{create("*", `"NumericLessThanEquals":{"autoscaling:MaxSize":"1"}`), tag, run}, ""},
		{"smaller", []string{create("*", `"NumericLessThanEquals":{"autoscaling:MaxSize":"0"}`), tag, run}, lacking},
		{"version", []string{create("*", `"Bool":{"autoscaling:LaunchTemplateVersionSpecified":"true"}`), tag, run}, ""},
		{"no_version", []string{create("*", `"Bool":{"autoscaling:LaunchTemplateVersionSpecified":"false"}`), tag, run}, lacking},
		{"no_target_groups", []string{create("*", `"Null":{"autoscaling:TargetGroupARNs":"true"}`), tag, run}, ""},
		{"null_false", []string{create("*", `"Null":{"autoscaling:MaxSize":"true"}`), tag, run}, lacking},
		{"key_of_another_action", []string{create("*", `"StringEquals":{"ec2:InstanceType":"t3.small"}`), tag, run}, lacking},
		{"if_exists", []string{create("*", `"StringEqualsIfExists":{"ec2:InstanceType":"t3.small"}`), tag, run}, ""},
		{"template", []string{create("*"), tag, allow("ec2:RunInstances", "*", `"ArnLike":{"ec2:LaunchTemplate":"arn:aws:ec2:*:111111111111:launch-template/lt-*"}`)}, ""},
		{"other_template", []string{create("*"), tag, allow("ec2:RunInstances", "*", `"ArnLike":{"ec2:LaunchTemplate":"arn:aws:ec2:*:*:launch-template/lt-0000"}`)}, template},
		{"subnet_not_of_template", []string{create("*"), tag, allow("ec2:RunInstances", "*", `"Bool":{"ec2:IsLaunchTemplateResource":"true"}`)}, template},
		{"subnet_apart", []string{
			create("*"), tag, allow("ec2:RunInstances", "*", `"Bool":{"ec2:IsLaunchTemplateResource":"true"}`),
			allow("ec2:RunInstances", "arn:aws:ec2:*:*:subnet/* arn:aws:ec2:*:*:network-interface/*"),
		}, ""},
		{"image_missing", []string{create("*"), tag, allow("ec2:RunInstances", "arn:aws:ec2:*:111111111111:*")}, template},
		{"region", []string{allow("*", "*", `"StringEquals":{"aws:RequestedRegion":"eu-west-2"}`)}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, role := limited(t, policy(tc.statements...))
			lt := w.must(t, "ec2", "CreateLaunchTemplate", "LaunchTemplateName", "web", "LaunchTemplateData.ImageId", w.sim.AddImage(awssim.Image{})).text("launchTemplateId")
			r := w.as(t, role, "autoscaling", "CreateAutoScalingGroup", newGroup(w, "gate-probe-1", lt, "1", 1, "gate:probe", "true", "gate:run", "7")...)
			switch {
			case tc.want == "" && r.code != "":
				t.Errorf("refused: %s: %s", r.code, r.message)
			case tc.want != "" && (r.code != "AccessDenied" || r.status != 403 || !strings.Contains(r.message, tc.want)):
				t.Errorf("got %d %s %q, want %q", r.status, r.code, r.message, tc.want)
			}
		})
	}
}

// TestPoliciesOfGroups checks what is asked of a group that is there: its tags, and each of its own.
func TestPoliciesOfGroups(t *testing.T) {
	w, role := limited(t, policy(
		allow("autoscaling:Describe*", "*"),
		allow("autoscaling:*", "*", `"StringEquals":{"autoscaling:ResourceTag/gate:probe":"true"}`),
	))
	lt := w.must(t, "ec2", "CreateLaunchTemplate", "LaunchTemplateName", "web", "LaunchTemplateData.ImageId", w.sim.AddImage(awssim.Image{})).text("launchTemplateId")
	w.must(t, "autoscaling", "CreateAutoScalingGroup", newGroup(w, "gate-probe-1", lt, "1", 1, "gate:probe", "true")...)
	w.must(t, "autoscaling", "CreateAutoScalingGroup", append(newGroup(w, "web", lt, "1", 1), "DesiredCapacity", "1")...)
	w.clock.move(time.Minute)
	member := w.sim.Instances()[0].ID
	for _, tc := range []struct {
		action string
		params []any
	}{
		{"SetDesiredCapacity", []any{"AutoScalingGroupName", "", "DesiredCapacity", "1"}},
		{"SuspendProcesses", []any{"AutoScalingGroupName", "", "ScalingProcesses.member.1", "AZRebalance"}},
		{"UpdateAutoScalingGroup", []any{"AutoScalingGroupName", "", "MaxSize", "1"}},
		{"CreateOrUpdateTags", []any{"Tags.member.1.ResourceId", "", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"}},
		{"DeleteTags", []any{"Tags.member.1.ResourceId", "", "Tags.member.1.Key", "a"}},
		{"DeleteAutoScalingGroup", []any{"AutoScalingGroupName", "", "ForceDelete", "true"}},
	} {
		for name, want := range map[string]string{"web": "AccessDenied", "gate-probe-1": ""} {
			params := append([]any{}, tc.params...)
			params[1] = name
			if r := w.as(t, role, "autoscaling", tc.action, params...); r.code != want {
				t.Errorf("%s on %s: got %q %s, want %q", tc.action, name, r.code, r.message, want)
			}
		}
	}
	r := w.as(t, role, "autoscaling", "TerminateInstanceInAutoScalingGroup", "InstanceId", member, "ShouldDecrementDesiredCapacity", "true")
	if r.code != "AccessDenied" || !strings.Contains(r.message, "autoScalingGroupName/web because") {
		t.Errorf("an instance of another group: %s %s", r.code, r.message)
	}
	if r := w.as(t, role, "autoscaling", "DescribeAutoScalingGroups"); r.code != "" {
		t.Errorf("describing has no resource, but: %s", r.message)
	}
}

// TestPassRole checks the right to give a service a role: of an instance profile, and one with a suffix.
func TestPassRole(t *testing.T) {
	for _, tc := range []struct {
		name, statement, suffix, want string
	}{
		{"none", allow("sts:AssumeRole", "*"), "", "You are not authorized to use launch template"},
		{"profile", allow("iam:PassRole", "arn:aws:iam::111111111111:role/web-instance", `"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}`), "", ""},
		{"other_service", allow("iam:PassRole", "*", `"StringEquals":{"iam:PassedToService":"ecs.amazonaws.com"}`), "", "You are not authorized to use launch template"},
		{"suffix", allow("iam:PassRole", "arn:aws:iam::111111111111:role/*"), "web", ""},
		{"suffix_not", allow("iam:PassRole", "arn:aws:iam::111111111111:role/web-instance"), "web", "not authorized to perform: iam:PassRole on resource: arn:aws:iam::111111111111:role/aws-service-role/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, role := limited(t, policy(allow("autoscaling:* ec2:RunInstances", "*"), tc.statement))
			w.sim.AddProfile("", "web", "arn:aws:iam::111111111111:role/web-instance")
			lt := w.must(t, "ec2", "CreateLaunchTemplate", "LaunchTemplateName", "web", "LaunchTemplateData.ImageId", w.sim.AddImage(awssim.Image{}),
				"LaunchTemplateData.IamInstanceProfile.Name", "web").text("launchTemplateId")
			params := newGroup(w, "gate-probe-1", lt, "1", 1)
			if tc.suffix != "" {
				params = append(params, "ServiceLinkedRoleARN", w.sim.AddServiceLinkedRole("", tc.suffix))
			}
			r := w.as(t, role, "autoscaling", "CreateAutoScalingGroup", params...)
			if (r.code != "") != (tc.want != "") || !strings.Contains(r.message, tc.want) {
				t.Errorf("got %s %q, want %q", r.code, r.message, tc.want)
			}
		})
	}
}

// TestPolicyOfAssumeRole checks the condition on the external id.
func TestPolicyOfAssumeRole(t *testing.T) {
	w := newWorld(t, nil)
	err := w.sim.AddPolicy("arn:aws:iam::111111111111:user/terraform", policy(allow("sts:AssumeRole", gateRole, `"StringEquals":{"sts:ExternalId":"secret"}`)))
	if err != nil {
		t.Fatal(err)
	}
	if r := w.ask(t, "sts", "AssumeRole", "RoleArn", gateRole, "RoleSessionName", "run-1"); r.code != "AccessDenied" || !strings.Contains(r.message, "sts:AssumeRole on resource: "+gateRole) {
		t.Errorf("without it: %s %s", r.code, r.message)
	}
	w.assume(t, gateRole, "secret")
	w.must(t, "sts", "GetCallerIdentity") // which nobody can be refused
	if r := w.ask(t, "ec2", "DescribeVpcs"); r.code != "UnauthorizedOperation" || r.status != 403 {
		t.Errorf("something else: %d %s", r.status, r.code)
	}
	w.sim.DropPolicies("arn:aws:iam::111111111111:user/terraform")
	w.must(t, "ec2", "DescribeVpcs")
}

// TestPoliciesOfKeys is the table of identity policy, key policy and grant together.
func TestPoliciesOfKeys(t *testing.T) {
	toAccount := `{"Effect":"Allow","Action":"kms:*","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Resource":"*"}`
	toRole := `{"Effect":"Allow","Action":"kms:ListGrants","Principal":{"AWS":"` + gateRole + `"},"Resource":"*"}`
	for _, tc := range []struct {
		name, keyPolicy, identity string
		granted                   bool
		want                      string // in the refusal
	}{
		{"both", toAccount, allow("kms:ListGrants", "arn:aws:kms:*:111111111111:key/*"), false, ""},
		{"identity_missing", toAccount, allow("kms:DescribeKey", "*"), false, "because no identity-based policy allows the kms:ListGrants action"},
		{"other_key", toAccount, allow("kms:ListGrants", "arn:aws:kms:*:111111111111:key/0"), false, "because no identity-based policy"},
		{"key_policy_names_it", toAccount + "," + toRole, allow("kms:DescribeKey", "*"), false, ""},
		{"explicit_deny", toAccount + "," + toRole, allow("*", "*") + "," + deny("kms:List*", "*"), false, "with an explicit deny in an identity-based policy"},
		{"only_for_resources", toAccount, allow("kms:ListGrants", "*", `"Bool":{"kms:GrantIsForAWSResource":"true"}`), false, "because no identity-based policy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, role := limited(t, policy(tc.identity))
			key, err := w.sim.AddKey("", "", "", `{"Statement":[`+tc.keyPolicy+`]}`)
			if err != nil {
				t.Fatal(err)
			}
			r := w.as(t, role, "kms", "ListGrants", "KeyId", key)
			if (r.code != "") != (tc.want != "") || !strings.Contains(r.message, tc.want) {
				t.Errorf("got %s %q, want %q", r.code, r.message, tc.want)
			}
		})
	}
}

// TestPolicyRefused checks that nothing of a policy is ignored in silence.
func TestPolicyRefused(t *testing.T) {
	w := newWorld(t, nil)
	for _, tc := range []struct{ name, policy, want string }{
		{"no_json", `{`, "read the policy"},
		{"no_version", `{"Statement":[` + allow("*", "*") + `]}`, "not 2012-10-17"},
		{"no_statement", `{"Version":"2012-10-17","Statement":[]}`, "no statement"},
		{"unknown_element", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Actions":"*","Resource":"*"}]}`, `unknown field "Actions"`},
		{"principal", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}]}`, `unknown field "Principal"`},
		{"effect", `{"Version":"2012-10-17","Statement":[{"Effect":"allow","Action":"*","Resource":"*"}]}`, "not Allow or Deny"},
		{"no_resource", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}`, "Resource or NotResource"},
		{"both_actions", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}]}`, "Action or NotAction"},
		{"action", policy(allow("DescribeVpcs", "*")), "no action such as"},
		{"resource", policy(allow("*", "group/web")), "no ARN"},
		{"variable", policy(allow("*", "arn:aws:s3:::${aws:username}")), "policy variables"},
		{"operator", policy(allow("*", "*", `"DateLessThan":{"aws:PrincipalArn":"x"}`)), "the condition operator DateLessThan is not simulated"},
		{"key", policy(allow("*", "*", `"StringEquals":{"aws:SourceIp":"10.0.0.1"}`)), "the condition key aws:SourceIp is not simulated"},
		{"key_without_tag", policy(allow("*", "*", `"StringEquals":{"aws:RequestTag/":"x"}`)), "the condition key aws:RequestTag/ is not simulated"},
		{"no_values", policy(allow("*", "*", `"StringEquals":{"aws:PrincipalArn":[]}`)), "has no values"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := w.sim.AddPolicy(gateRole, tc.policy)
			if upgrade.CodeOf(err) != upgrade.CodeInvalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestLaunchByAPersonProvesNothing is the obvious wrong test: RunInstances uses the rights of who asks, so that
// it passes with the very image, template and key with which the group's own launch fails.
func TestLaunchByAPersonProvesNothing(t *testing.T) {
	for _, tc := range []struct {
		name, policy  string // of the person
		person, group string
	}{
		{"may_use_the_key", policy(allow("*", "*")), "running", "Cancelled"},
		{"may_not_use_it_either", policy(allow("*", "*"), deny("kms:CreateGrant kms:Decrypt", "*")), "terminated", "Cancelled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, person := limited(t, tc.policy)
			key, err := w.sim.AddKey("", "", "of the image", "") // its policy leaves it to IAM, which says nothing of the group's role
			if err != nil {
				t.Fatal(err)
			}
			c := w.cluster(t, w.sim.AddImage(awssim.Image{KeyARN: key}), 1)
			run := w.as(t, person, "ec2", "RunInstances", "LaunchTemplate.LaunchTemplateId", c.template, "MinCount", "1", "MaxCount", "1")
			if run.code != "" {
				t.Fatal(run.message)
			}
			w.clock.move(time.Minute)
			if got := w.must(t, "ec2", "DescribeInstances", "InstanceId.1", run.text("instanceId")).doc.all("instanceState")[0].text("name"); got != tc.person {
				t.Errorf("by a person: %s, want %s", got, tc.person)
			}
			if all, messages := c.activities(t); all[0] != tc.group {
				t.Errorf("by the group: %v %v, want %s", all, messages, tc.group)
			}
		})
	}
}

// TestDryRun asks only whether the caller may.
func TestDryRun(t *testing.T) {
	for name, tc := range map[string]struct{ policy, want string }{
		"may":     {policy(allow("ec2:RunInstances", "*")), "DryRunOperation"},
		"may_not": {policy(allow("ec2:RunInstances", "arn:aws:ec2:*:*:instance/*")), "UnauthorizedOperation"},
	} {
		t.Run(name, func(t *testing.T) {
			w, role := limited(t, tc.policy)
			r := w.as(t, role, "ec2", "RunInstances", "ImageId", w.sim.AddImage(awssim.Image{}), "MinCount", "1", "MaxCount", "1", "DryRun", "true")
			if r.code != tc.want {
				t.Errorf("got %s %s, want %s", r.code, r.message, tc.want)
			}
			if got := w.sim.Instances(); len(got) != 0 {
				t.Errorf("it launched %v", got)
			}
		})
	}
}
