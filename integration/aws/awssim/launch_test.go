package awssim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// ebs is what EBS needs of a key.
func ebs() []string {
	return []string{"CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"}
}

// cluster is a group that launches from an image, encrypted or not.
type cluster struct {
	*world

	template string
	name     string
}

// cluster makes a launch template and a group of desired instances. Further parameters go to the group.
func (w *world) cluster(t *testing.T, ami string, desired int, params ...any) cluster {
	t.Helper()
	lt := w.must(t, "ec2", "CreateLaunchTemplate", "LaunchTemplateName", "ecs", "LaunchTemplateData.ImageId", ami,
		"LaunchTemplateData.InstanceType", "t3.small").text("launchTemplateId")
	w.must(t, "autoscaling", "CreateAutoScalingGroup", append([]any{
		"AutoScalingGroupName", "ecs", "MinSize", "0", "MaxSize", "4",
		"DesiredCapacity", fmt.Sprint(desired), "LaunchTemplate.LaunchTemplateId", lt, "LaunchTemplate.Version", "$Latest",
		"VPCZoneIdentifier", strings.Join(w.sim.Network("", "").Subnets, ","),
	}, params...)...)
	return cluster{w, lt, "ecs"}
}

// states returns the lifecycle states of the group's members.
func (c cluster) states(t *testing.T) string {
	t.Helper()
	var out []string
	for _, e := range c.must(t, "autoscaling", "DescribeAutoScalingGroups", "AutoScalingGroupNames.member.1", c.name).doc.all("LifecycleState") {
		out = append(out, e.Text)
	}
	return strings.Join(out, " ")
}

// activities returns status and message of each, oldest first.
func (c cluster) activities(t *testing.T) (status, messages []string) {
	t.Helper()
	r := c.must(t, "autoscaling", "DescribeScalingActivities", "AutoScalingGroupName", c.name)
	for _, a := range r.doc.all("Activities")[0].Kids {
		status = append([]string{a.text("StatusCode")}, status...)
		messages = append([]string{a.text("StatusMessage")}, messages...)
	}
	return status, messages
}

func (c cluster) last(t *testing.T) (status, message string) {
	t.Helper()
	all, messages := c.activities(t)
	return all[len(all)-1], messages[len(messages)-1]
}

// TestRevocationTakesAWhile is the false pass: right after the grant is revoked a launch still works.
func TestRevocationTakesAWhile(t *testing.T) {
	w := newWorld(t, nil)
	vars := w.encrypted(t)
	grant := w.must(t, "kms", "ListGrants", "KeyId", vars["KEY"]).body["Grants"].([]any)[0].(map[string]any)["GrantId"]
	c := w.cluster(t, vars["AMI"], 1)
	w.clock.move(time.Minute)
	if got := c.states(t); got != "InService" {
		t.Fatalf("with the grant: %s", got)
	}
	w.must(t, "kms", "RevokeGrant", "KeyId", vars["KEY"], "GrantId", grant)
	if got := w.must(t, "kms", "ListGrants", "KeyId", vars["KEY"]).body["Grants"].([]any); len(got) != 0 {
		t.Errorf("it is still listed: %v", got)
	}
	c.desire(t, 2)
	w.clock.move(time.Minute)
	if got := c.states(t); got != "InService InService" {
		t.Errorf("a minute after: %s", got)
	}
	w.clock.move(4 * time.Minute)
	c.desire(t, 3)
	w.clock.move(time.Minute)
	if status, message := c.last(t); status != "Cancelled" || !strings.HasSuffix(message, "Termination Reason: Client.InternalError: Client error on launch") {
		t.Errorf("five minutes after: %s %q", status, message)
	}
	// What runs goes on running, and a launch by a person works: that is why nobody noticed.
	if got := c.states(t); !strings.HasPrefix(got, "InService InService") {
		t.Errorf("the running ones: %s", got)
	}
	id := w.must(t, "ec2", "RunInstances", "ImageId", vars["AMI"], "MinCount", "1", "MaxCount", "1").text("instanceId")
	w.clock.move(time.Minute)
	if got := w.must(t, "ec2", "DescribeInstances", "InstanceId.1", id).doc.all("instanceState")[0].text("name"); got != "running" {
		t.Errorf("a launch by a person: %s", got)
	}
}

func (c cluster) desire(t *testing.T, n int) {
	t.Helper()
	c.must(t, "autoscaling", "SetDesiredCapacity", "AutoScalingGroupName", c.name, "DesiredCapacity", fmt.Sprint(n))
}

// TestGrantTakesAWhile checks the other direction.
func TestGrantTakesAWhile(t *testing.T) {
	for name, tc := range map[string]struct {
		delay time.Duration
		want  string
	}{
		"default": {0, "Cancelled"},
		"at_once": {-1, "Successful"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(cfg *awssim.Config) { cfg.Timing.GrantDelay = tc.delay })
			key := w.must(t, "kms", "CreateKey").body["KeyMetadata"].(map[string]any)["Arn"].(string)
			w.must(t, "kms", "CreateGrant", "KeyId", key, "GranteePrincipal", w.sim.ServiceLinkedRole(""), "Operations", ebs())
			c := w.cluster(t, w.sim.AddImage(awssim.Image{KeyARN: key}), 1)
			w.clock.move(time.Minute)
			if status, _ := c.last(t); status != tc.want {
				all, _ := c.activities(t)
				if all[0] != tc.want {
					t.Errorf("got %v, want %s first", all, tc.want)
				}
			}
			w.clock.move(10 * time.Minute)
			if got := c.states(t); got != "InService" {
				t.Errorf("ten minutes later: %s", got)
			}
		})
	}
}

// TestRefusedAtOnce checks launches that get no instance: they end in the second in which they began.
func TestRefusedAtOnce(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(*testing.T, cluster, string)
		want  string
	}{
		{"quota", func(_ *testing.T, c cluster, _ string) { c.sim.LimitInstances("", "", 1) }, "Launching EC2 instance failed."},
		{"image", func(_ *testing.T, c cluster, ami string) { c.sim.RemoveImage(ami) }, "does not exist. Launching EC2 instance failed."},
		{"template", func(t *testing.T, c cluster, _ string) {
			t.Helper()
			c.must(t, "ec2", "DeleteLaunchTemplate", "LaunchTemplateId", c.template)
		}, "does not exist. Launching EC2 instance failed."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil)
			ami := w.sim.AddImage(awssim.Image{})
			c := w.cluster(t, ami, 1)
			w.clock.move(time.Minute)
			tc.spoil(t, c, ami)
			c.desire(t, 2)
			w.clock.move(10 * time.Second)
			r := w.must(t, "autoscaling", "DescribeScalingActivities", "AutoScalingGroupName", "ecs")
			a := r.doc.all("Activities")[0].Kids[0]
			if a.text("StatusCode") != "Failed" || !strings.HasSuffix(a.text("StatusMessage"), tc.want) || a.text("StartTime") != a.text("EndTime") ||
				strings.Contains(a.text("Description"), ": i-") {
				t.Errorf("got %s from %s to %s: %s", a.text("StatusCode"), a.text("StartTime"), a.text("EndTime"), a.text("Description"))
			}
		})
	}
}

func TestFailImage(t *testing.T) {
	w := newWorld(t, nil)
	ami := w.sim.AddImage(awssim.Image{})
	w.sim.FailImage(ami, awssim.Failure{Code: "Server.InternalError", Message: "Internal error on launch", Status: "Failed"})
	c := w.cluster(t, ami, 1)
	w.clock.move(time.Minute)
	if status, messages := c.activities(t); status[0] != "Failed" || !strings.HasSuffix(messages[0], "Termination Reason: Server.InternalError: Internal error on launch") {
		t.Errorf("got %v %v", status, messages)
	}
	w.sim.FailImage(ami, awssim.Failure{})
	w.clock.move(2 * time.Minute)
	if got := c.states(t); got != "InService" {
		t.Errorf("after the image was mended: %s", got)
	}
}

// TestHookTimesOut checks the dead man's switch: who does not continue a launch loses it, again and again.
func TestHookTimesOut(t *testing.T) {
	for _, tc := range []struct{ result, status, states string }{
		{"ABANDON", "Cancelled", "Terminating"},
		{"CONTINUE", "Successful", "InService"},
	} {
		t.Run(tc.result, func(t *testing.T) {
			w := newWorld(t, nil)
			hook := "LifecycleHookSpecificationList.member.1."
			c := w.cluster(t, w.sim.AddImage(awssim.Image{}), 1, hook+"LifecycleHookName", "ready", hook+"LifecycleTransition",
				"autoscaling:EC2_INSTANCE_LAUNCHING", hook+"HeartbeatTimeout", "60", hook+"DefaultResult", tc.result)
			w.clock.move(30 * time.Second)
			if got := c.states(t); got != "Pending:Wait" {
				t.Fatalf("in the hook: %s", got)
			}
			w.clock.move(62 * time.Second)
			status, messages := c.activities(t)
			if status[0] != tc.status || (messages[0] != "") != (tc.result == "ABANDON") {
				t.Errorf("got %v %v", status, messages)
			}
			if got := c.states(t); got != tc.states {
				t.Errorf("got %s, want %s", got, tc.states)
			}
		})
	}
}

// TestHeartbeat checks that who is still busy gets more time.
func TestHeartbeat(t *testing.T) {
	w := newWorld(t, nil)
	hook := "LifecycleHookSpecificationList.member.1."
	c := w.cluster(t, w.sim.AddImage(awssim.Image{}), 1, hook+"LifecycleHookName", "ready", hook+"LifecycleTransition",
		"autoscaling:EC2_INSTANCE_LAUNCHING", hook+"HeartbeatTimeout", "60")
	w.clock.move(30 * time.Second)
	id := w.sim.Instances()[0].ID
	for range 3 {
		w.clock.move(50 * time.Second)
		w.must(t, "autoscaling", "RecordLifecycleActionHeartbeat", "AutoScalingGroupName", "ecs", "LifecycleHookName", "ready", "InstanceId", id)
	}
	w.clock.move(50 * time.Second)
	if got := c.states(t); got != "Pending:Wait" {
		t.Errorf("while it is told to wait: %s", got)
	}
	w.clock.move(15 * time.Second)
	if got := c.states(t); got != "Terminating" {
		t.Errorf("a minute after the last: %s", got)
	}
}

// TestReplaced checks that a group replaces what is terminated behind its back, unless it is told not to.
func TestReplaced(t *testing.T) {
	for _, suspended := range []bool{false, true} {
		t.Run(fmt.Sprint(suspended), func(t *testing.T) {
			w := newWorld(t, nil)
			c := w.cluster(t, w.sim.AddImage(awssim.Image{}), 1)
			if suspended {
				w.must(t, "autoscaling", "SuspendProcesses", "AutoScalingGroupName", "ecs", "ScalingProcesses.member.1", "ReplaceUnhealthy")
			}
			w.clock.move(time.Minute)
			first := w.sim.Instances()[0].ID
			w.must(t, "ec2", "TerminateInstances", "InstanceId.1", first)
			w.clock.move(5 * time.Minute)
			running := 0
			for _, i := range w.sim.Instances() {
				if i.State == "running" && i.ID != first {
					running++
				}
			}
			if (running == 1) == suspended {
				t.Errorf("replaced by %d", running)
			}
			if got := c.states(t); got != "InService" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestImpaired(t *testing.T) {
	w := newWorld(t, nil)
	w.cluster(t, w.sim.AddImage(awssim.Image{}), 1)
	w.clock.move(time.Minute)
	id := w.sim.Instances()[0].ID
	w.sim.Impair(id)
	w.clock.move(5 * time.Minute)
	if got := w.must(t, "ec2", "DescribeInstanceStatus", "InstanceId.1", id).doc.all("instanceStatus")[0].text("status"); got != "impaired" {
		t.Errorf("got %s", got)
	}
}

// TestCreatorMayNotRun checks that a group is made with the right to run instances, though its role runs
// them.
func TestCreatorMayNotRun(t *testing.T) {
	w := newWorld(t, nil)
	lt := w.must(t, "ec2", "CreateLaunchTemplate", "LaunchTemplateName", "ecs", "LaunchTemplateData.ImageId", w.sim.AddImage(awssim.Image{})).text("launchTemplateId")
	w.sim.Deny("*", "ec2:RunInstances")
	r := w.ask(t, "autoscaling", "CreateAutoScalingGroup", "AutoScalingGroupName", "ecs", "MinSize", "0", "MaxSize", "1",
		"LaunchTemplate.LaunchTemplateId", lt, "VPCZoneIdentifier", w.sim.Network("", "").Subnets[0])
	if r.code != "AccessDenied" || !strings.Contains(r.message, "not authorized to use launch template") {
		t.Errorf("got %s: %s", r.code, r.message)
	}
}

// TestRunTwice checks that a launch whose answer was lost can be asked again.
func TestRunTwice(t *testing.T) {
	w := newWorld(t, nil)
	ask := func(token string) string {
		t.Helper()
		return w.must(t, "ec2", "RunInstances", "ImageId", "ami-0a1b2c3d4e5f60002", "MinCount", "1", "MaxCount", "1", "ClientToken", token).text("instanceId")
	}
	if first := ask("a"); ask("a") != first || ask("b") == first {
		t.Error("the token does not tell a repeated launch from a new one")
	}
}
