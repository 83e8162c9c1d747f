package plan_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// owned reads a state and returns its objects in a line each.
func owned(tb testing.TB, state string) (plan.StateHeader, []string, error) {
	tb.Helper()
	var lines []string
	header, err := plan.Objects(strings.NewReader(state), func(o plan.Object) error {
		lines = append(lines, fmt.Sprintf("%s|%s|%s|%s|%s", o.Type, o.Key, o.Account, o.Region, o.Address))
		return nil
	})
	return header, lines, err
}

// resource writes one resource of a state.
func resource(kind, instances string) string {
	return `{"mode":"managed","type":"` + kind + `","name":"x","provider":"provider[\"registry.terraform.io/hashicorp/aws\"]","instances":[` + instances + `]}`
}

// stateOf writes a state of these resources.
func stateOf(resources ...string) string {
	return `{"version":4,"terraform_version":"1.11.4","serial":7,"lineage":"ad22366d","outputs":{},"resources":[` + strings.Join(resources, ",") + `],"check_results":null}`
}

func TestObjects(t *testing.T) {
	const grant = `{"schema_version":0,"attributes":{"grant_id":"48589c9e","id":"%[1]s:48589c9e","key_id":"%[1]s","name":"asg-ebs"},"sensitive_attributes":[]}`
	arn := "arn:aws:kms:eu-west-2:123456789012:key/f609"
	for _, tt := range []struct {
		name, state string
		want        []string
	}{
		{"grant_by_key_id", stateOf(resource("aws_kms_grant", fmt.Sprintf(grant, "f609"))), []string{"aws_kms_grant|48589c9e|||aws_kms_grant.x"}},
		{"grant_by_key_arn", stateOf(resource("aws_kms_grant", fmt.Sprintf(grant, arn))), []string{"aws_kms_grant|48589c9e|123456789012|eu-west-2|aws_kms_grant.x"}},
		{"arn_before_id", stateOf(resource("aws_ecs_task_definition", `{"attributes":{"id":"web","arn":"arn:aws:ecs:eu-west-2:123456789012:task-definition/web:7"}}`)), []string{"aws_ecs_task_definition|arn:aws:ecs:eu-west-2:123456789012:task-definition/web:7|123456789012|eu-west-2|aws_ecs_task_definition.x"}},
		{"global_arn", stateOf(resource("aws_s3_bucket", `{"attributes":{"id":"b","arn":"arn:aws:s3:::b"}}`)), []string{"aws_s3_bucket|arn:aws:s3:::b|||aws_s3_bucket.x"}},
		{"no_arn_at_all", stateOf(resource("aws_route", `{"attributes":{"id":"r-rtb-1","arn":""}}`)), []string{"aws_route|r-rtb-1|||aws_route.x"}},
		{"somebody_elses_arn", stateOf(resource("aws_cloudwatch_event_target", `{"attributes":{"id":"r-t","arn":"arn:aws:sqs:eu-west-2:123456789012:q","rule":"r","target_id":"t","event_bus_name":"default"}}`)), []string{"aws_cloudwatch_event_target|r default t|||aws_cloudwatch_event_target.x"}},
		{"random_id", stateOf(resource("aws_iam_role_policy_attachment", `{"attributes":{"id":"web-2026","role":"web","policy_arn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}}`)), []string{"aws_iam_role_policy_attachment|web arn:aws:iam::aws:policy/ReadOnlyAccess|||aws_iam_role_policy_attachment.x"}},
		{"rule", stateOf(resource("aws_vpc_security_group_ingress_rule", `{"attributes":{"id":"sgr-1","security_group_rule_id":"sgr-1","arn":"arn:aws:ec2:eu-west-2:123456789012:security-group-rule/sgr-1"}}`)), []string{"aws_security_group_rule|sgr-1|123456789012|eu-west-2|aws_vpc_security_group_ingress_rule.x"}},
		{"rule_of_several", stateOf(resource("aws_security_group_rule", `{"attributes":{"id":"sgrule-1","security_group_rule_id":""}}`)), []string{"aws_security_group_rule|sgrule-1|||aws_security_group_rule.x"}},
		{"two_names_of_a_type", stateOf(resource("aws_alb_listener", `{"attributes":{"id":"l"}}`)), []string{"aws_lb_listener|l|||aws_alb_listener.x"}},
		{"number", stateOf(resource("github_team", `{"attributes":{"id":42}}`)), []string{"github_team|42|||github_team.x"}},
		{"nothing_outside", stateOf(resource("random_password", `{"attributes":{"id":"none"}}`), resource("terraform_data", `{"attributes":{"id":"1"}}`)), nil},
		{"no_identity", stateOf(resource("aws_lb", `{"attributes":{"name":"x"}}`), resource("aws_lb", `{"attributes":null}`), resource("aws_lb", `{}`), resource("aws_lb", `{"attributes":{"id":["a"]}}`)), nil},
		{"data_source", stateOf(strings.Replace(resource("aws_lb", `{"attributes":{"id":"a"}}`), "managed", "data", 1)), nil},
		{"deposed", stateOf(resource("aws_lb", `{"deposed":"f1a2b3c4","attributes":{"id":"a"}}`)), []string{"aws_lb|a|||aws_lb.x (deposed f1a2b3c4)"}},
		{"old", stateOf(resource("aws_lb", `{"attributes_flat":{"id":"a","tags.%":"0"}}`)), []string{"aws_lb|a|||aws_lb.x"}},
		{"keys_sorted", stateOf(`{"instances":[{"attributes":{"id":"a"},"index_key":1}],"mode":"managed","module":"module.m","name":"x","type":"aws_lb"}`), []string{"aws_lb|a|||module.m.aws_lb.x[1]"}},
		{"sensitive", stateOf(resource("aws_lb", `{"attributes":{"id":"hunter2","arn":"arn:aws:x"},"sensitive_attributes":[[{"type":"get_attr","value":"arn"}]]}`)), []string{"aws_lb|hunter2|||aws_lb.x"}},
		{"sensitive_in_a_way_unheard_of", stateOf(resource("aws_lb", `{"attributes":{"id":"hunter2"},"sensitive_attributes":[{"path":"id"}]}`)), nil},
		{"empty", "", nil},
		{"blank", " \n", nil},
		{"new", `{"version":4,"terraform_version":"1.5.7","serial":0,"lineage":"","outputs":{},"resources":[],"check_results":null}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header, got, err := owned(t, tt.state)
			if err != nil || header.Objects != len(tt.want) {
				t.Fatalf("got %+v, %v", header, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestObjectsAddresses: the state is of Terraform 1.5.7, with the type changed; the addresses are what
// `terraform show` called the resources.
func TestObjectsAddresses(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "state", "addresses.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	header, got, err := owned(t, string(raw))
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, line := range got {
		addresses = append(addresses, line[strings.LastIndex(line, "|")+1:])
	}
	want := []string{
		`aws_x.a["$${q}"]`, `aws_x.a["a\"b"]`, `aws_x.a["x"]`, `aws_x.a["é\n"]`,
		`module.m["k.l"].aws_x.c[0]`, `module.m["k.l"].aws_x.c[1]`,
	}
	if diff := cmp.Diff(want, addresses); diff != "" {
		t.Error(diff)
	}
	if header.Version != 4 || header.Tool != "1.5.7" || header.Serial != 7 || header.Lineage != "ad22366d-2e87-fb92-9444-03088bd6574a" {
		t.Errorf("got %+v", header)
	}
}

func TestObjectsWhere(t *testing.T) {
	role := resource("aws_iam_role", `{"attributes":{"arn":"arn:aws:iam::123456789012:role/r"}}`)
	group := resource("aws_autoscaling_group", `{"attributes":{"arn":"arn:aws:autoscaling:eu-west-2:123456789012:autoScalingGroup:1:autoScalingGroupName/g"}}`)
	for _, tt := range []struct{ name, state, account, region string }{
		{"agree", stateOf(role, group), "123456789012", "eu-west-2"},
		{"two_accounts", stateOf(role, strings.ReplaceAll(group, "123456789012", "210987654321"), role), "", "eu-west-2"},
		{"two_regions", stateOf(group, strings.ReplaceAll(group, "eu-west-2", "us-east-1"), group), "123456789012", ""},
		{"nobody_says", stateOf(resource("aws_route", `{"attributes":{"id":"r"}}`)), "", ""},
	} {
		if header, _, err := owned(t, tt.state); err != nil || header.Account != tt.account || header.Region != tt.region {
			t.Errorf("%s: got %+v, %v", tt.name, header, err)
		}
	}
}

func TestObjectsRefuses(t *testing.T) {
	for _, tt := range []struct{ name, state, want string }{
		{"encrypted", `{"serial":1,"lineage":"x","meta":{"key_provider.pbkdf2.a":"e30="},"encrypted_data":"aGk=","encryption_version":"v0"}`, "the state is encrypted by OpenTofu"},
		{"version_3", `{"version":3,"terraform_version":"0.11.14","modules":[]}`, "the state has version 3, and only 4 is understood"},
		{"no_version", `{"resources":[]}`, "the state does not begin with its version"},
		{"no_state", `{"format_version":"1.0"}`, "it has no version, so it is not a state"},
		{"list", `[]`, "this is not the JSON of a state"},
		{"cut", `{"version":4,"resources":[{"mode":"managed"`, "the state's JSON ends early"},
		{"index", stateOf(resource("aws_lb", `{"index_key":{},"attributes":{"id":"a"}}`)), "neither a number nor text"},
		{"nameless", stateOf(`{"mode":"managed","type":"aws_lb","instances":[{"attributes":{"id":"a"}}]}`), "no type or no name"},
		{"name_behind", stateOf(`{"mode":"managed","type":"aws_lb","name":"x","instances":[{"attributes":{"id":"a"}}],"module":"module.m"}`), "module behind its instances"},
		{"more", stateOf() + "x", "something follows the state"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := owned(t, tt.state)
			if upgrade.CodeOf(orNothing(err)) != upgrade.CodeInvalid || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	stop := errors.New("enough")
	if _, err := plan.Objects(strings.NewReader(stateOf(resource("aws_lb", `{"attributes":{"id":"a"}}`))), func(plan.Object) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's own error", err)
	}
}

// orNothing makes an error of nil that has no code, so that a test can ask for the code.
func orNothing(err error) error {
	if err == nil {
		return errors.New("no error at all")
	}
	return err
}

// TestObjectOf: a plan and a state name a thing alike. The values of the recorded plan's grant come with its
// key as an id; the state has it as an ARN.
func TestObjectOf(t *testing.T) {
	s, err := plan.Summarize(bytes.NewReader(recorded(t, "10-destroy-all")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, change := range s.Changes {
		o := plan.ObjectOf(change)
		got = append(got, fmt.Sprintf("%s|%s|%s|%s", o.Type, o.Key, o.Account, o.Region))
		if !o.Unique() {
			t.Errorf("%s is not known as the only one of its key", o.Key)
		}
	}
	const here = "|123456789012|eu-west-1"
	want := []string{
		"aws_autoscaling_group|arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:201033c2-2b6c-4bed-8d86-6d375879df66:autoScalingGroupName/ecs" + here,
		"aws_kms_grant|48589c9e||",
		"aws_kms_key|arn:aws:kms:eu-west-1:123456789012:key/f6090be3-271a-4737-adc5-44deee0431ca" + here,
		"aws_launch_template|arn:aws:ec2:eu-west-1:123456789012:launch-template/lt-462da396367a8f0d5" + here,
		"aws_security_group|arn:aws:ec2:eu-west-1:123456789012:security-group/sg-f4a89599cd231b844" + here,
		"aws_security_group_rule|sgr-d9d003b1c401b1695||",
		"aws_security_group_rule|sgr-d3e02b61271c8bf21" + here,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	deposed := plan.Change{Address: "aws_lb.x", Type: "aws_lb", Deposed: "f1a2", Before: []byte(`{"id":"(sensitive)","name":"x"}`)}
	if o := plan.ObjectOf(deposed); o.Key != "" || o.Address != "aws_lb.x (deposed f1a2)" {
		t.Errorf("got %+v", o)
	}
	if o := plan.ObjectOf(plan.Change{Address: "aws_lb.x", Type: "aws_lb"}); o.Key != "" {
		t.Errorf("what is not there yet has a key: %+v", o)
	}
}

func TestSame(t *testing.T) {
	a := plan.Object{Type: "aws_route", Key: "r", Account: "1", Region: "eu"}
	for _, tt := range []struct {
		name string
		b    plan.Object
		want bool
	}{
		{"equal", a, true},
		{"unknown", plan.Object{Type: "aws_route", Key: "r"}, true},
		{"other_account", plan.Object{Type: "aws_route", Key: "r", Account: "2", Region: "eu"}, false},
		{"other_region", plan.Object{Type: "aws_route", Key: "r", Region: "us"}, false},
		{"other_key", plan.Object{Type: "aws_route", Key: "s"}, false},
		{"other_type", plan.Object{Type: "aws_lb", Key: "r"}, false},
	} {
		if a.Same(tt.b) != tt.want || tt.b.Same(a) != tt.want {
			t.Errorf("%s: not %v", tt.name, tt.want)
		}
	}
	if none := (plan.Object{Type: "aws_route"}); none.Same(none) {
		t.Error("what has no key is the same as another")
	}
}

func TestObjectsMemoryIsBounded(t *testing.T) {
	const n = 50_000
	in, out := io.Pipe()
	go func() {
		whole := stateOf(resource("aws_instance", "@"))
		head, rest, _ := strings.Cut(whole, "@")
		_, _ = io.WriteString(out, head)
		for i := range n {
			_, _ = fmt.Fprintf(out, `{"index_key":%d,"attributes":{"id":"i-%017d","user_data":"%0500d"}}`, i, i, 0)
			if i < n-1 {
				_, _ = io.WriteString(out, ",")
			}
		}
		_, err := io.WriteString(out, rest)
		_ = out.CloseWithError(err)
	}()
	count := 0
	most := peak(func() {
		if _, err := plan.Objects(in, func(plan.Object) error { count++; return nil }); err != nil {
			t.Error(err)
		}
	})
	if count != n || most > 16<<20 {
		t.Errorf("%d of %d objects, with %d MiB", count, n, most>>20)
	}
}

// FuzzObjects gives the reader what no Terraform writes.
func FuzzObjects(f *testing.F) {
	f.Add([]byte(stateOf(resource("aws_lb", `{"index_key":"a","attributes":{"id":"a"},"sensitive_attributes":[[{"type":"get_attr","value":"x"}]]}`))))
	f.Add([]byte(`{"version":4,"resources":[{"instances":[{"attributes":{"id":1e400}}],"mode":"managed","type":"t","name":"n"}]}`))
	f.Add([]byte(" "))
	f.Fuzz(func(t *testing.T, raw []byte) {
		header, err := plan.Objects(bytes.NewReader(raw), func(o plan.Object) error {
			if o.Key == "" || o.Type == "" || !strings.Contains(o.Address, ".") {
				t.Errorf("got %+v", o)
			}
			return nil
		})
		switch {
		case err != nil && upgrade.CodeOf(err) != upgrade.CodeInvalid:
			t.Errorf("got %v, want CodeInvalid", err)
		case err == nil && header.Version != 4 && len(bytes.TrimSpace(raw)) > 0:
			t.Errorf("took %q for the state of a new stack", raw)
		}
	})
}

// TestMoves: what only gets another address is no change, and is told.
func TestMoves(t *testing.T) {
	s, err := plan.Summarize(bytes.NewReader(recorded(t, "03-grant-renamed-with-moved")))
	if want := []plan.Move{{From: "aws_kms_grant.asg", To: "aws_kms_grant.asg_role"}}; err != nil || !cmp.Equal(s.Moves, want) || len(s.Changes) > 0 {
		t.Errorf("got %v, %d changes, %v", s.Moves, len(s.Changes), err)
	}
}
