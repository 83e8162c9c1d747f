package awsprovider_test

import (
	"fmt"
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
	for _, name := range []string{"terraform", "tofu"} {
		t.Run(name, func(t *testing.T) { testCluster(t, program(t, name)) })
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

func TestPlans(t *testing.T) {
	_, url := newCloud(t)
	w := newWorkspace(t, terraform(t), url)
	w.config(cluster)
	w.init()
	w.plan()
	w.apply()

	t.Run("description_of_a_group_replaces_it", func(t *testing.T) {
		w.t = t
		w.config(replace(t, cluster, `"varnish"`, `"varnish 7"`))
		changes := w.mustPlan(map[string]string{
			"aws_security_group.web":                   "delete+create",
			"aws_vpc_security_group_ingress_rule.http": "delete+create",
			"aws_launch_template.web":                  "update",
			"aws_autoscaling_group.web":                "update",
		})
		if got, want := fmt.Sprint(changes["aws_security_group.web"].Change.ReplacePaths), "[[description]]"; got != want {
			t.Errorf("replace paths of the group: got %s, want %s", got, want)
		}
		if got, want := fmt.Sprint(changes["aws_vpc_security_group_ingress_rule.http"].Change.ReplacePaths), "[[security_group_id]]"; got != want {
			t.Errorf("replace paths of the rule: got %s, want %s", got, want)
		}
	})
	t.Run("port_of_a_rule_changes_in_place", func(t *testing.T) {
		w.t = t
		w.config(replace(t, cluster, "from_port         = 80", "from_port         = 79"))
		w.mustPlan(map[string]string{"aws_vpc_security_group_ingress_rule.http": "update"})
	})
	t.Run("source_type_of_a_rule_replaces_it", func(t *testing.T) {
		w.t = t
		w.config(replace(t, cluster, `cidr_ipv4         = "10.0.0.0/8"`, `referenced_security_group_id = aws_security_group.web.id`))
		changes := w.mustPlan(map[string]string{"aws_vpc_security_group_ingress_rule.http": "delete+create"})
		paths := fmt.Sprint(changes["aws_vpc_security_group_ingress_rule.http"].Change.ReplacePaths)
		if !strings.Contains(paths, "cidr_ipv4") || !strings.Contains(paths, "referenced_security_group_id") {
			t.Errorf("replace paths of the rule: got %s", paths)
		}
	})
	t.Run("everything_of_a_grant_replaces_it", func(t *testing.T) {
		w.t = t
		for argument, text := range map[string]string{
			"name":       replace(t, cluster, `name              = "autoscaling"`, `name = "other"`),
			"operations": replace(t, cluster, `"CreateGrant"]`, `]`),
			"key_id":     replace(t, cluster, `key_id            = aws_kms_key.disks.arn`, `key_id = aws_kms_key.disks.key_id`),
		} {
			w.config(text)
			changes := w.mustPlan(map[string]string{"aws_kms_grant.autoscaling": "delete+create"})
			if got, want := fmt.Sprint(changes["aws_kms_grant.autoscaling"].Change.ReplacePaths), "[["+argument+"]]"; got != want {
				t.Errorf("replace paths of the grant: got %s, want %s", got, want)
			}
		}
	})
	t.Run("removed_grant_is_deleted", func(t *testing.T) {
		w.t = t
		from, to := strings.Index(cluster, `resource "aws_kms_grant"`), strings.Index(cluster, `resource "aws_security_group"`)
		text := replace(t, cluster[:from]+cluster[to:], "depends_on = [aws_kms_grant.autoscaling]", "")
		w.config(text)
		changes := w.mustPlan(map[string]string{"aws_kms_grant.autoscaling": "delete"})
		before := changes["aws_kms_grant.autoscaling"].Change.Before
		if before["grant_id"] == nil || before["name"] != "autoscaling" {
			t.Errorf("before of the grant: got %v, want its id and name", before)
		}
	})
	t.Run("policy_written_otherwise_is_no_change", func(t *testing.T) {
		w.t = t
		w.config(replace(t, replace(t, cluster, "policy = jsonencode({", "policy = format(\" %s \", jsonencode({"), "    }]\n  })", "    }]\n  }))"))
		w.mustPlan(nil)
	})
	t.Run("name_of_a_group_replaces_it", func(t *testing.T) {
		w.t = t
		w.config(replace(t, cluster, `name                      = "web"`, `name = "web2"`))
		changes := w.mustPlan(map[string]string{"aws_autoscaling_group.web": "delete+create"})
		if got, want := fmt.Sprint(changes["aws_autoscaling_group.web"].Change.ReplacePaths), "[[name]]"; got != want {
			t.Errorf("replace paths of the group: got %s, want %s", got, want)
		}
	})
}

func TestRemovedGrantIsRevoked(t *testing.T) {
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
