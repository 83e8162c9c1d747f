package awssim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestLaunchInstances checks that what is answered has ids and is pending: it may die all the same.
func TestLaunchInstances(t *testing.T) {
	for _, tc := range []struct {
		name    string
		granted bool
		want    string
	}{
		{"granted", true, "running"},
		{"not_granted", false, "terminated"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil)
			vars := w.encrypted(t)
			if !tc.granted {
				other, err := w.sim.AddKey("", "", "", "")
				if err != nil {
					t.Fatal(err)
				}
				vars["AMI"] = w.sim.AddImage(awssim.Image{KeyARN: other})
			}
			w.cluster(t, vars["AMI"], 0)
			zone := w.sim.Network("", "").Zones[1]
			params := []any{"AutoScalingGroupName", "ecs", "ClientToken", "run-1", "RequestedCapacity", "1", "AvailabilityZones.member.1", zone}
			r := w.must(t, "autoscaling", "LaunchInstances", params...)
			id := r.doc.all("InstanceIds")[0].text("member")
			if r.text("AvailabilityZone") != zone || r.text("ClientToken") != "run-1" || !strings.HasPrefix(id, "i-") {
				t.Errorf("got %+v", r.doc)
			}
			if again := w.must(t, "autoscaling", "LaunchInstances", params...); again.doc.all("InstanceIds")[0].text("member") != id {
				t.Error("the same token launched again")
			}
			if got := w.must(t, "autoscaling", "DescribeAutoScalingGroups").text("DesiredCapacity"); got != "1" {
				t.Errorf("the desired capacity is %s, want 1", got)
			}
			w.clock.move(25 * time.Second)
			if got := w.sim.Instances()[0]; got.ID != id || got.State != tc.want {
				t.Errorf("got %+v, want %s %s", got, id, tc.want)
			}
		})
	}
}

func TestLaunchInstancesRefuses(t *testing.T) {
	w := newWorld(t, nil)
	ami := w.sim.AddImage(awssim.Image{})
	w.cluster(t, ami, 0)
	ask := func(params ...any) reply {
		t.Helper()
		return w.ask(t, "autoscaling", "LaunchInstances", append([]any{"AutoScalingGroupName", "ecs"}, params...)...)
	}
	subnet := w.sim.Network("", "").Subnets[0]
	for name, params := range map[string][]any{
		"no_token":     {"RequestedCapacity", "1", "SubnetIds.member.1", subnet},
		"no_capacity":  {"ClientToken", "a", "SubnetIds.member.1", subnet},
		"no_place":     {"ClientToken", "a", "RequestedCapacity", "1"},
		"other_subnet": {"ClientToken", "a", "RequestedCapacity", "1", "SubnetIds.member.1", "subnet-1"},
		"too_many":     {"ClientToken", "a", "RequestedCapacity", "5", "SubnetIds.member.1", subnet},
	} {
		if r := ask(params...); r.code != "ValidationError" {
			t.Errorf("%s: got %q, want ValidationError", name, r.code)
		}
	}
	w.sim.RemoveImage(ami)
	r := ask("ClientToken", "b", "RequestedCapacity", "2", "SubnetIds.member.1", subnet)
	if r.text("ErrorCode") != "InvalidAMIID.NotFound" || len(r.doc.all("InstanceIds")) != 0 {
		t.Errorf("an image that is gone: %+v", r)
	}
}

// TestInstanceRefresh replaces a group's instances one by one, and gives up on what does not launch.
func TestInstanceRefresh(t *testing.T) {
	w := newWorld(t, nil)
	ami := w.sim.AddImage(awssim.Image{})
	c := w.cluster(t, ami, 2)
	w.clock.move(time.Minute)
	before := w.sim.Instances()
	state := func() string {
		t.Helper()
		r := w.must(t, "autoscaling", "DescribeInstanceRefreshes", "AutoScalingGroupName", "ecs")
		return r.text("Status") + " " + r.text("InstancesToUpdate")
	}
	w.must(t, "autoscaling", "StartInstanceRefresh", "AutoScalingGroupName", "ecs", "Preferences.MinHealthyPercentage", "50")
	if r := w.ask(t, "autoscaling", "StartInstanceRefresh", "AutoScalingGroupName", "ecs"); r.code != "InstanceRefreshInProgress" {
		t.Errorf("started twice: %q", r.code)
	}
	if got := state(); got != "InProgress 2" {
		t.Errorf("begun: %s", got)
	}
	w.clock.move(10 * time.Minute)
	if got := state(); got != "Successful 0" {
		t.Errorf("ten minutes later: %s", got)
	}
	for _, i := range w.sim.Instances() {
		for _, old := range before {
			if i.ID == old.ID && i.State == "running" {
				t.Errorf("%s still runs", i.ID)
			}
		}
	}
	if got := c.states(t); got != "InService InService" {
		t.Errorf("got %s", got)
	}
	c.desire(t, 1)
	w.clock.move(2 * time.Minute)
	w.sim.FailImage(ami, awssim.Failure{Code: "Server.InternalError", Message: "Internal error on launch"})
	w.must(t, "autoscaling", "StartInstanceRefresh", "AutoScalingGroupName", "ecs")
	w.clock.move(2 * time.Hour)
	if got := state(); got != "Failed 0" {
		t.Errorf("of a bad image: %s", got)
	}
	if r := w.ask(t, "autoscaling", "CancelInstanceRefresh", "AutoScalingGroupName", "ecs"); r.code != "ActiveInstanceRefreshNotFound" {
		t.Errorf("cancelled what has ended: %q", r.code)
	}
}

// TestOverrideWithTemplate launches from the template of an override: its image counts, and its keys.
func TestOverrideWithTemplate(t *testing.T) {
	w := newWorld(t, nil)
	vars := w.encrypted(t)
	other := w.sim.AddImage(awssim.Image{})
	template := func(name, ami string) string {
		t.Helper()
		return w.must(t, "ec2", "CreateLaunchTemplate", "LaunchTemplateName", name, "LaunchTemplateData.ImageId", ami).text("launchTemplateId")
	}
	base, arm := template("web", vars["AMI"]), template("web-arm", other)
	const mixed = "MixedInstancesPolicy.LaunchTemplate."
	w.must(t, "autoscaling", "CreateAutoScalingGroup", "AutoScalingGroupName", "ecs", "MinSize", "0", "MaxSize", "1", "DesiredCapacity", "1",
		"VPCZoneIdentifier", w.sim.Network("", "").Subnets[0], mixed+"LaunchTemplateSpecification.LaunchTemplateId", base,
		mixed+"Overrides.member.1.InstanceType", "t4g.small", mixed+"Overrides.member.1.LaunchTemplateSpecification.LaunchTemplateName", "web-arm")
	w.clock.move(time.Minute)
	if got := w.sim.Instances()[0]; got.Image != other {
		t.Errorf("launched from %s, want %s", got.Image, other)
	}
	r := w.must(t, "autoscaling", "DescribeAutoScalingGroups")
	if got := fmt.Sprint(r.doc.all("Overrides")[0]); !strings.Contains(got, arm) || !strings.Contains(got, "$Default") {
		t.Errorf("the override is shown as %s", got)
	}
	if r := w.ask(t, "autoscaling", "UpdateAutoScalingGroup", "AutoScalingGroupName", "ecs", mixed+"LaunchTemplateSpecification.LaunchTemplateId", base,
		mixed+"Overrides.member.1.LaunchTemplateSpecification.LaunchTemplateName", "none"); r.code != "ValidationError" {
		t.Errorf("a template that is not there: %q, want ValidationError", r.code)
	}
}

// TestReadsLag checks that a write is not seen at once where that is asked for, and that writes never miss it.
func TestReadsLag(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.Timing.Lag = 3 * time.Second })
	c := w.cluster(t, w.sim.AddImage(awssim.Image{}), 0)
	groups := func() int {
		t.Helper()
		return len(w.must(t, "autoscaling", "DescribeAutoScalingGroups").doc.all("AutoScalingGroupName"))
	}
	if got := groups(); got != 0 {
		t.Errorf("seen at once: %d", got)
	}
	w.clock.move(6 * time.Second)
	c.desire(t, 1)
	if got := w.must(t, "autoscaling", "DescribeAutoScalingGroups").text("DesiredCapacity"); got != "0" {
		t.Errorf("the new capacity is seen at once: %s", got)
	}
	w.clock.move(5 * time.Second)
	if got := w.must(t, "autoscaling", "DescribeAutoScalingGroups").text("DesiredCapacity"); got != "1" {
		t.Errorf("five seconds later: %s", got)
	}
	id := w.sim.Instances()[0].ID
	if r := w.ask(t, "ec2", "DescribeInstances", "InstanceId.1", id); r.code != "InvalidInstanceID.NotFound" {
		t.Errorf("an instance just launched: %q, want InvalidInstanceID.NotFound", r.code)
	}
	w.clock.move(5 * time.Second)
	w.must(t, "ec2", "DescribeInstances", "InstanceId.1", id)
}

// TestScale is how the demo makes Monday come.
func TestScale(t *testing.T) {
	w := newWorld(t, nil)
	c := w.cluster(t, w.sim.AddImage(awssim.Image{}), 1)
	w.clock.move(time.Minute)
	if err := w.sim.Scale("", "", "ecs", 3); err != nil {
		t.Fatal(err)
	}
	w.clock.move(time.Minute)
	if got := c.states(t); got != "InService InService InService" {
		t.Errorf("got %s", got)
	}
	for name, want := range map[string]upgrade.Code{"none": upgrade.CodeNotFound, "ecs": upgrade.CodeInvalid} {
		if err := w.sim.Scale("", "", name, 5); upgrade.CodeOf(err) != want {
			t.Errorf("%s: got %v, want code %s", name, err, want)
		}
	}
	w.must(t, "autoscaling", "DeleteAutoScalingGroup", "AutoScalingGroupName", "ecs", "ForceDelete", "true")
	if err := w.sim.Scale("", "", "ecs", 2); upgrade.CodeOf(err) != upgrade.CodeConflict {
		t.Errorf("while it is deleted: %v", err)
	}
}
