package awsprovider_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// cluster is what the stories deploy: a group of instances with encrypted disks, the key, the grant by
// which the group's role may use it, and a firewall with one rule.
const cluster = `
data "aws_caller_identity" "me" {}

data "aws_ami" "ecs" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["al2023-ami-ecs-hvm-*"]
  }
}

resource "aws_kms_key" "disks" {
  description             = "disks of the cluster"
  deletion_window_in_days = 7
  enable_key_rotation     = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "root"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
  tags = { team = "web" }
}

resource "aws_kms_grant" "autoscaling" {
  name              = "autoscaling"
  key_id            = aws_kms_key.disks.arn
  grantee_principal = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
  operations        = ["Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "DescribeKey", "CreateGrant"]
}

resource "aws_security_group" "web" {
  name        = "web"
  description = "varnish"
  tags        = { team = "web" }
}

resource "aws_vpc_security_group_ingress_rule" "http" {
  security_group_id = aws_security_group.web.id
  cidr_ipv4         = "10.0.0.0/8"
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
  description       = "from the office"
}

resource "aws_launch_template" "web" {
  name_prefix            = "web-"
  image_id               = data.aws_ami.ecs.id
  instance_type          = "t3.small"
  vpc_security_group_ids = [aws_security_group.web.id]
  update_default_version = true
  user_data              = base64encode("#!/bin/sh\n")
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      encrypted   = true
      kms_key_id  = aws_kms_key.disks.arn
      volume_size = 30
    }
  }
  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "web" }
  }
  tags = { team = "web" }
}

resource "aws_autoscaling_group" "web" {
  name                      = "web"
  min_size                  = 1
  max_size                  = 3
  availability_zones        = ["eu-west-2a"]
  wait_for_capacity_timeout = "0"
  launch_template {
    id      = aws_launch_template.web.id
    version = aws_launch_template.web.latest_version
  }
  tag {
    key                 = "team"
    value               = "web"
    propagate_at_launch = true
  }
  depends_on = [aws_kms_grant.autoscaling]
}
`

// replace is strings.Replace for one place that must be there.
func replace(t *testing.T, text, old, now string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is %d times in the configuration, want once", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, now, 1)
}

func TestCluster(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"terraform", "tofu"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testCluster(t, program(t, name))
		})
	}
}

func testCluster(t *testing.T, program string) {
	t.Helper()
	sim, url := newCloud(t)
	w := newWorkspace(t, program, url)
	w.config(cluster)
	w.init()

	changes := w.mustPlan(map[string]string{
		"aws_autoscaling_group.web": "create", "aws_kms_grant.autoscaling": "create", "aws_kms_key.disks": "create",
		"aws_launch_template.web": "create", "aws_security_group.web": "create", "aws_vpc_security_group_ingress_rule.http": "create",
	})
	if got := changes["aws_kms_grant.autoscaling"].Type; got != "aws_kms_grant" {
		t.Errorf("type of the grant in the plan: got %s", got)
	}
	w.apply()
	w.mustPlan(nil)

	state := w.values()
	grant, key := state["aws_kms_grant.autoscaling"], state["aws_kms_key.disks"]
	if got, want := grant["id"], fmt.Sprint(key["arn"], ":", grant["grant_id"]); got != want {
		t.Errorf("id of the grant: got %v, want %v", got, want)
	}
	group := state["aws_autoscaling_group.web"]
	if got := group["desired_capacity"]; got != 1.0 {
		t.Errorf("desired capacity: got %v, want that AWS chose 1", got)
	}
	if got := state["aws_launch_template.web"]["name"]; !strings.HasPrefix(fmt.Sprint(got), "web-20") {
		t.Errorf("name of the template: got %v, want the prefix and the time", got)
	}

	w.config(replace(t, cluster, `"t3.small"`, `"t3.large"`))
	changes = w.mustPlan(map[string]string{"aws_launch_template.web": "update", "aws_autoscaling_group.web": "update"})
	if unknown := changes["aws_launch_template.web"].Change.AfterUnknown; unknown["latest_version"] != true || unknown["default_version"] != true {
		t.Errorf("unknown of the template: got %v, want both versions", unknown)
	}
	w.apply()
	w.mustPlan(nil)
	if got := w.values()["aws_autoscaling_group.web"]["launch_template"].([]any)[0].(map[string]any)["version"]; got != "2" {
		t.Errorf("version of the template in the group: got %v, want 2", got)
	}

	w.run("destroy", "-no-color", "-auto-approve")
	for _, action := range []string{"RevokeGrant", "ScheduleKeyDeletion", "DeleteAutoScalingGroup", "DeleteLaunchTemplate", "DeleteSecurityGroup", "RevokeSecurityGroupIngress"} {
		if calls(sim, action) != 1 {
			t.Errorf("%s was called %d times, want once", action, calls(sim, action))
		}
	}
	for _, call := range sim.Calls() {
		if len(call.Unread) > 0 && !slices.Equal(call.Unread, []string{"ClientToken"}) {
			t.Errorf("%s: the simulator does not know %v", call.Action, call.Unread)
		}
	}
}

// pieces are things that do not depend on each other more than they must, so that one plan shows what
// one change of each does. {{…}} is what the change replaces.
const pieces = `
locals {
  role = "arn:aws:iam::111111111111:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
}
resource "aws_kms_key" "k" {
  policy = {{jsonencode|myjson}}
}
resource "aws_kms_key" "window" {
  deletion_window_in_days = {{7|8}}
}
resource "aws_kms_grant" "name" {
  name              = {{"a"|"b"}}
  key_id            = aws_kms_key.k.arn
  grantee_principal = local.role
  operations        = ["Decrypt"]
}
resource "aws_kms_grant" "operations" {
  key_id            = aws_kms_key.k.arn
  grantee_principal = local.role
  operations        = ["Decrypt"{{, "CreateGrant"|}}]
}
resource "aws_kms_grant" "key" {
  key_id            = aws_kms_key.k.{{arn|key_id}}
  grantee_principal = local.role
  operations        = ["Encrypt"]
}
{{resource "aws_kms_grant" "gone" {
  name              = "gone"
  key_id            = aws_kms_key.k.arn
  grantee_principal = local.role
  operations        = ["Decrypt"]
}|}}
resource "aws_security_group" "description" {
  description = {{"varnish"|"varnish 7"}}
}
resource "aws_security_group" "tags" {
  tags = { a = {{"1"|"2"}} }
}
resource "aws_vpc_security_group_ingress_rule" "group" {
  security_group_id = aws_security_group.description.id
  ip_protocol       = "tcp"
  cidr_ipv4         = "10.0.0.0/8"
  from_port         = 80
  to_port           = 80
}
resource "aws_vpc_security_group_ingress_rule" "port" {
  security_group_id = aws_security_group.tags.id
  ip_protocol       = "tcp"
  cidr_ipv4         = "10.0.0.0/8"
  from_port         = {{80|79}}
  to_port           = 80
}
resource "aws_vpc_security_group_ingress_rule" "protocol" {
  security_group_id = aws_security_group.tags.id
  ip_protocol       = {{"tcp"|6}}
  cidr_ipv4         = "10.1.0.0/16"
  from_port         = 80
  to_port           = 80
}
resource "aws_vpc_security_group_ingress_rule" "source" {
  security_group_id = aws_security_group.tags.id
  ip_protocol       = "tcp"
  {{cidr_ipv4 = "10.2.0.0/16"|referenced_security_group_id = aws_security_group.tags.id}}
  from_port         = 80
  to_port           = 80
}
resource "aws_launch_template" "l" {
  image_id = "ami-0a1b2c3d4e5f6000{{1|2}}"
}
resource "aws_autoscaling_group" "name" {
  name                      = {{"a"|"b"}}
  min_size                  = 0
  max_size                  = 0
  availability_zones        = ["eu-west-2a"]
  wait_for_capacity_timeout = "0"
  launch_template {
    id      = aws_launch_template.l.id
    version = "$Latest"
  }
}
resource "aws_autoscaling_group" "size" {
  name                      = "size"
  min_size                  = 0
  max_size                  = {{0|1}}
  availability_zones        = ["eu-west-2a"]
  wait_for_capacity_timeout = "0"
  launch_template {
    id      = aws_launch_template.l.id
    version = "$Latest"
  }
}
`

// side returns pieces before (0) or after (1) the change.
func side(n int) string {
	const document = `({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::111111111111:root" }, Action = "kms:*", Resource = "*" }] })`
	text := regexp.MustCompile(`(?s)\{\{(.*?)\|(.*?)\}\}`).ReplaceAllString(pieces, fmt.Sprintf("${%d}", n+1))
	text = strings.ReplaceAll(text, "jsonencode", "jsonencode"+document)
	return strings.ReplaceAll(text, "myjson", `format(" %s\n", jsonencode`+document+`)`)
}

func TestPlans(t *testing.T) {
	t.Parallel()
	_, url := newCloud(t)
	w := newWorkspace(t, terraform(t), url)
	w.config(side(0))
	w.init()
	w.plan()
	w.apply()
	w.config(side(1))
	changes := w.plan()
	want := map[string]string{ // actions, and what forces a replacement
		"aws_kms_key.window":                         "update",
		"aws_kms_grant.name":                         "delete+create name",
		"aws_kms_grant.operations":                   "delete+create operations",
		"aws_kms_grant.key":                          "delete+create key_id",
		"aws_kms_grant.gone":                         "delete",
		"aws_security_group.description":             "delete+create description",
		"aws_security_group.tags":                    "update",
		"aws_vpc_security_group_ingress_rule.group":  "delete+create security_group_id",
		"aws_vpc_security_group_ingress_rule.port":   "update",
		"aws_vpc_security_group_ingress_rule.source": "delete+create cidr_ipv4 referenced_security_group_id",
		"aws_launch_template.l":                      "update",
		"aws_autoscaling_group.name":                 "delete+create name",
		"aws_autoscaling_group.size":                 "update",
		// Not here: the policy and the protocol that are only written otherwise.
	}
	for address, c := range changes {
		got := strings.Join(c.Change.Actions, "+")
		var forcing []string
		for _, p := range c.Change.ReplacePaths {
			forcing = append(forcing, fmt.Sprint(p[0]))
		}
		slices.Sort(forcing)
		if got = strings.Join(append([]string{got}, forcing...), " "); got != want[address] {
			t.Errorf("%s: got %q, want %q\nbefore %v\nafter  %v", address, got, want[address], c.Change.Before, c.Change.After)
		}
		if kind, _, _ := strings.Cut(address, "."); c.Type != kind {
			t.Errorf("%s: got type %s", address, c.Type)
		}
	}
	for address := range want {
		if _, ok := changes[address]; !ok {
			t.Errorf("%s: got nothing, want %q", address, want[address])
		}
	}
	if before := changes["aws_kms_grant.gone"].Change.Before; before["grant_id"] == nil || before["name"] != "gone" {
		t.Errorf("before of the grant that goes: got %v, want its id and name", before)
	}
	w.apply()
	w.mustPlan(nil)
}

func TestRemovedGrantIsRevoked(t *testing.T) {
	t.Parallel()
	sim, url := newCloud(t)
	w := newWorkspace(t, terraform(t), url)
	from, to := strings.Index(cluster, `resource "aws_kms_key"`), strings.Index(cluster, `resource "aws_security_group"`)
	both := `data "aws_caller_identity" "me" {}` + "\n" + cluster[from:to]
	w.config(both)
	w.init()
	w.plan()
	w.apply()
	id := fmt.Sprint(w.values()["aws_kms_grant.autoscaling"]["grant_id"])

	w.config(both[:strings.Index(both, `resource "aws_kms_grant"`)])
	w.mustPlan(map[string]string{"aws_kms_grant.autoscaling": "delete"})
	w.apply()
	var revoked []string
	for _, call := range sim.Calls() {
		if call.Action == "RevokeGrant" {
			revoked = append(revoked, call.Params["GrantId"])
		}
	}
	if !slices.Equal(revoked, []string{id}) {
		t.Errorf("revoked grants: got %v, want %s", revoked, id)
	}
	w.mustPlan(nil)
}
