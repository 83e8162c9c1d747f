package awsprovider_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

const sharedKey = `
resource "aws_kms_key" "disks" {
  description = "disks"
}

resource "aws_kms_grant" "autoscaling" {
  name              = "autoscaling"
  key_id            = KEY
  grantee_principal = "arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
  operations        = ["Decrypt", "CreateGrant"]
}
`

// Two configurations that ask for the same grant by name hold one grant between them; the one that lets
// go of it takes it from the other.
func TestGrantInTwoStates(t *testing.T) {
	t.Parallel()
	sim, url := newCloud(t)
	program := terraform(t)
	first, second := newWorkspace(t, program, url), newWorkspace(t, program, url)
	first.config(strings.Replace(sharedKey, "KEY", "aws_kms_key.disks.key_id", 1))
	first.init()
	first.plan()
	first.apply()
	key := fmt.Sprint(first.values()["aws_kms_key.disks"]["key_id"])
	grant := sharedKey[strings.Index(sharedKey, `resource "aws_kms_grant"`):]
	second.config(strings.Replace(grant, "KEY", `"`+key+`"`, 1))
	second.init()
	second.plan()
	second.apply()
	one, other := first.values()["aws_kms_grant.autoscaling"]["id"], second.values()["aws_kms_grant.autoscaling"]["id"]
	if one != other {
		t.Fatalf("grants: got %v and %v, want the same", one, other)
	}

	second.config("")
	second.mustPlan(map[string]string{"aws_kms_grant.autoscaling": "delete"})
	second.apply()
	if calls(sim, "RevokeGrant") != 1 {
		t.Errorf("RevokeGrant was called %d times, want once", calls(sim, "RevokeGrant"))
	}
	// What the gate exists for: whoever does not look thinks that the grant is still there.
	first.mustPlan(map[string]string{"aws_kms_grant.autoscaling": "create"})
	if out := first.run("plan", "-refresh=false", "-no-color"); !strings.Contains(out, "No changes") {
		t.Errorf("plan without refresh: got\n%s", out)
	}
}

func TestKeyAndGroupChangeInPlace(t *testing.T) {
	t.Parallel()
	sim, url := newCloud(t)
	w := newWorkspace(t, terraform(t), url)
	const before = `
resource "aws_kms_key" "k" {
  tags = { a = "1", b = "2" }
}
resource "aws_security_group" "peer" {}
resource "aws_security_group" "g" {
  name_prefix = "g-"
  ingress {
    from_port   = 443
    to_port     = 443
    protocol    = "TCP"
    cidr_blocks = ["10.1.0.0/16", "10.0.0.0/16"]
    self        = true
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
`
	w.config(before)
	w.init()
	w.plan()
	w.apply()
	w.mustPlan(nil)

	after := replace(t, before, `tags = { a = "1", b = "2" }`, `
  tags                = { a = "1", c = "3" }
  description         = "new"
  enable_key_rotation = true
  is_enabled          = false
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::111111111111:root" }, Action = "kms:*", Resource = "*" }]
  })`)
	after = replace(t, after, "    self        = true\n", "    security_groups = [aws_security_group.peer.id]\n")
	w.config(after)
	w.mustPlan(map[string]string{"aws_kms_key.k": "update", "aws_security_group.g": "update"})
	w.apply()
	w.mustPlan(nil)
	for _, action := range []string{"PutKeyPolicy", "UpdateKeyDescription", "TagResource", "UntagResource", "EnableKeyRotation", "DisableKey", "AuthorizeSecurityGroupEgress"} {
		if calls(sim, action) != 1 {
			t.Errorf("%s was called %d times, want once", action, calls(sim, action))
		}
	}
	w.run("destroy", "-no-color", "-auto-approve")
}

func TestImport(t *testing.T) {
	t.Parallel()
	_, url := newCloud(t)
	program := terraform(t)
	w := newWorkspace(t, program, url)
	w.config(cluster)
	w.init()
	w.plan()
	w.apply()
	fresh := newWorkspace(t, program, url)
	fresh.config(cluster)
	fresh.init()
	for address, values := range w.values() {
		if !strings.HasPrefix(address, "data.") {
			fresh.run("import", "-no-color", address, fmt.Sprint(values["id"]))
		}
	}
	// Only what AWS does not keep is missing: how long to wait, whether to force a deletion …
	fresh.mustPlan(map[string]string{
		"aws_autoscaling_group.web": "update", "aws_kms_key.disks": "update",
		"aws_launch_template.web": "update", "aws_security_group.web": "update",
	})
	fresh.apply()
	fresh.mustPlan(nil)
	if got, want := fmt.Sprint(fresh.values()["aws_kms_grant.autoscaling"]["grant_id"]), fmt.Sprint(w.values()["aws_kms_grant.autoscaling"]["grant_id"]); got != want {
		t.Errorf("grant after import: got %s, want %s", got, want)
	}
}

// flat undoes the frame and the line breaks that Terraform puts into what it says.
func flat(out string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("│", " ", "╷", " ", "╵", " ").Replace(out)), " ")
}

func TestWordsOfAWS(t *testing.T) {
	t.Parallel()
	_, url := newCloud(t)
	w := newWorkspace(t, terraform(t), url)
	w.config(`
resource "aws_kms_grant" "g" {
  key_id            = "00000000-0000-0000-0000-000000000000"
  grantee_principal = "arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
  operations        = ["Decrypt"]
}
resource "aws_launch_template" "l" {
  name      = "l!"
}
`)
	w.init()
	out, err := w.try("apply", "-no-color", "-auto-approve")
	for _, want := range []string{"NotFoundException", "InvalidLaunchTemplateName.MalformedException"} {
		if err == nil || !strings.Contains(flat(out), want) {
			t.Errorf("apply: got %v, want an error with %q\n%s", err, want, out)
		}
	}
	w.config(`
data "aws_ami" "none" {
  owners = ["self"]
}
data "aws_ami" "several" {
  owners = ["amazon"]
}
data "aws_ami" "anybodys" {
  most_recent = true
}
`)
	out, err = w.try("plan", "-no-color")
	for _, want := range []string{"Your query returned no results", "more than one result", "Most Recent Image Not Filtered"} {
		if err == nil || !strings.Contains(flat(out), want) {
			t.Errorf("plan: got %v, want an error with %q\n%s", err, want, out)
		}
	}
}

func TestWrongConfigurations(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, terraform(t), "http://127.0.0.1:1")
	w.config(`
resource "aws_kms_grant" "operation" {
  key_id            = "k"
  grantee_principal = "arn:aws:iam::111111111111:role/x"
  operations        = ["Steal"]
  constraints {
    encryption_context_equals = { a = "1" }
    encryption_context_subset = { a = "1" }
  }
}
resource "aws_security_group" "names" {
  name        = "a"
  name_prefix = "b"
}
resource "aws_vpc_security_group_ingress_rule" "source" {
  security_group_id = "sg-1"
  ip_protocol       = "tcp"
}
resource "aws_vpc_security_group_egress_rule" "port" {
  security_group_id = "sg-1"
  ip_protocol       = "tcp"
  cidr_ipv4         = "10.0.0.0/8"
  from_port         = 1
  to_port           = 70000
}
resource "aws_autoscaling_group" "template" {
  min_size                  = 0
  max_size                  = 0
  wait_for_capacity_timeout = "soon"
}
resource "aws_launch_template" "blocks" {
  monitoring {}
  monitoring {}
}
`)
	w.init()
	out, err := w.try("validate", "-no-color")
	if err == nil {
		t.Fatalf("validate: got no error\n%s", out)
	}
	for _, want := range []string{
		`got "Steal"`, "both encryption_context_equals and encryption_context_subset", "conflicts with name_prefix",
		"Exactly one of these attributes", "between -1 and 65535", "launch_template block is needed",
		"cannot be parsed as a duration", "No more than 1 block is allowed",
	} {
		if !strings.Contains(flat(out), want) {
			t.Errorf("validate: want an error with %q\n%s", want, out)
		}
	}
}

// A launch that fails for want of a grant is Cancelled by default, which is waited out; one that AWS
// calls Failed ends the apply with AWS's words.
func TestFailedLaunchEndsTheWait(t *testing.T) {
	t.Parallel()
	sim, url := newCloud(t)
	w := newWorkspace(t, terraform(t), url)
	w.config(replace(t, cluster, `wait_for_capacity_timeout = "0"`, `wait_for_capacity_timeout = "1m"`))
	w.init()
	sim.FailImage("ami-0a1b2c3d4e5f60001", awssim.Failure{Status: "Failed", Code: "Client.InternalError", Message: "Client error on launch"})
	out, err := w.try("apply", "-no-color", "-auto-approve")
	if err == nil || !strings.Contains(out, "Client error on launch") {
		t.Errorf("apply: got %v, want an error with the activity's words\n%s", err, out)
	}
}

func TestOddArguments(t *testing.T) {
	t.Parallel()
	sim, url := newCloud(t)
	w := newWorkspace(t, terraform(t), url)
	const text = `
resource "aws_kms_key" "k" {}
resource "aws_kms_grant" "g" {
  key_id             = aws_kms_key.k.arn
  grantee_principal  = "arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
  retiring_principal = "arn:aws:iam::111111111111:user/terraform"
  operations         = ["Decrypt"]
  retire_on_delete   = true
  constraints {
    encryption_context_equals = { stage = "prod" }
  }
}
resource "aws_security_group" "g" {
  tags = { team = "db" }
}
resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.g.id
  ip_protocol       = -1
  cidr_ipv4         = "0.0.0.0/0"
}
resource "aws_launch_template" "l" {
  name     = "odd"
  image_id = "ami-0a1b2c3d4e5f60001"
  metadata_options { http_tokens = "required" }
  monitoring { enabled = true }
  iam_instance_profile { name = "web" }
}
resource "aws_autoscaling_group" "g" {
  name_prefix               = "odd-"
  min_size                  = 0
  max_size                  = 2
  availability_zones        = ["eu-west-2a"]
  force_delete              = true
  suspended_processes       = ["AZRebalance"]
  termination_policies      = ["OldestInstance"]
  wait_for_capacity_timeout = "1m"
  launch_template { name = aws_launch_template.l.name }
  tag {
    key                 = "a"
    value               = "1"
    propagate_at_launch = false
  }
}
`
	w.config(text)
	main := filepath.Join(w.dir, "main.tf")
	withTags := func() {
		t.Helper()
		have, err := os.ReadFile(main)
		if err != nil {
			t.Fatal(err)
		}
		w.save(main, replace(t, string(have), `provider "aws" {}`, `provider "aws" {
  default_tags { tags = { team = "web", stage = "prod" } }
}`))
	}
	withTags()
	w.init()
	w.plan()
	w.apply()
	w.mustPlan(nil)
	if got := fmt.Sprint(w.values()["aws_security_group.g"]["tags_all"]); got != "map[stage:prod team:db]" {
		t.Errorf("tags_all: got %s, want the provider's with the group's over them", got)
	}
	changed := replace(t, text, "min_size                  = 0", "min_size = 1")
	changed = replace(t, changed, `suspended_processes       = ["AZRebalance"]`, `suspended_processes = ["ScheduledActions"]`)
	changed = replace(t, changed, `termination_policies      = ["OldestInstance"]`, "")
	changed = replace(t, changed, `key                 = "a"`, `key = "b"`)
	w.config(changed)
	withTags()
	changes := w.mustPlan(map[string]string{"aws_autoscaling_group.g": "update"})
	if unknown := changes["aws_autoscaling_group.g"].Change.AfterUnknown; unknown["desired_capacity"] != true {
		t.Errorf("unknown of the group: got %v, want that AWS chooses its capacity anew", unknown)
	}
	w.apply()
	w.mustPlan(nil)
	group := w.values()["aws_autoscaling_group.g"]
	if group["desired_capacity"] != 1.0 || group["termination_policies"] != nil {
		t.Errorf("group: got %v, want one instance and the default policy", group)
	}
	w.run("destroy", "-no-color", "-auto-approve")
	if calls(sim, "RetireGrant") != 1 || calls(sim, "RevokeGrant") != 0 {
		t.Errorf("RetireGrant was called %d times and RevokeGrant %d times, want once and never", calls(sim, "RetireGrant"), calls(sim, "RevokeGrant"))
	}
}
