package awssim_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// booting is a group of one instance whose user data says script, with an instance profile.
func (w *world) booting(t *testing.T, ami, script string) string {
	t.Helper()
	lt := w.must(t, "ec2", "CreateLaunchTemplate", "LaunchTemplateName", "web", "LaunchTemplateData.ImageId", ami,
		"LaunchTemplateData.IamInstanceProfile.Name", "web", "LaunchTemplateData.UserData",
		base64.StdEncoding.EncodeToString([]byte(script))).text("launchTemplateId")
	w.must(t, "autoscaling", "CreateAutoScalingGroup", "AutoScalingGroupName", "web", "MinSize", "0", "MaxSize", "2", "DesiredCapacity", "1",
		"LaunchTemplate.LaunchTemplateId", lt, "VPCZoneIdentifier", w.sim.Network("", "").Subnets[0])
	w.clock.move(5 * time.Second)
	if len(w.sim.Instances()) == 0 {
		t.Fatal("the group launched nothing")
	}
	return w.sim.Instances()[0].ID
}

// container returns what the cluster says of its one instance, nil if it has none.
func (w *world) container(t *testing.T) map[string]any {
	t.Helper()
	arns := w.must(t, "ecs", "ListContainerInstances", "cluster", "web").body["containerInstanceArns"].([]any)
	if len(arns) == 0 {
		return nil
	}
	return w.must(t, "ecs", "DescribeContainerInstances", "cluster", "web", "containerInstances", arns).body["containerInstances"].([]any)[0].(map[string]any)
}

const joins = "#!/bin/bash\necho ECS_CLUSTER=web >> /etc/ecs/ecs.config\n"

// TestJoinsItsCluster follows an instance into its cluster, out of rotation and away.
func TestJoinsItsCluster(t *testing.T) {
	w := newWorld(t, nil)
	w.sim.AddCluster("", "", "web", 3, nil)
	id := w.booting(t, w.sim.AddImage(awssim.Image{}), joins)
	if got := w.container(t); got != nil {
		t.Fatalf("before it runs: %v", got)
	}
	w.clock.move(51 * time.Second)
	k := w.container(t)
	if k == nil || k["status"] != "REGISTERING" || k["ec2InstanceId"] != id || k["agentConnected"] != false {
		t.Fatalf("half a minute after it runs: %v", k)
	}
	drain := []any{"cluster", "web", "containerInstances", []any{k["containerInstanceArn"]}, "status", "DRAINING"}
	if r := w.ask(t, "ecs", "UpdateContainerInstancesState", drain...); r.code != "InvalidParameterException" {
		t.Errorf("drained before it was active: %q, want InvalidParameterException", r.code)
	}
	w.clock.move(30 * time.Second)
	if k = w.container(t); k["status"] != "ACTIVE" || k["agentConnected"] != true || k["runningTasksCount"] != 0.0 {
		t.Errorf("a minute after it runs: %v", k)
	}
	w.clock.move(15 * time.Second)
	if k = w.container(t); k["runningTasksCount"] != 3.0 {
		t.Errorf("it got no tasks: %v", k)
	}
	if r := w.must(t, "ecs", "UpdateContainerInstancesState", drain...); len(r.body["failures"].([]any)) != 0 {
		t.Errorf("draining: %v", r.body)
	}
	w.clock.move(15 * time.Second)
	if k = w.container(t); k["status"] != "DRAINING" || k["runningTasksCount"] != 0.0 {
		t.Errorf("drained: %v", k)
	}
	w.must(t, "autoscaling", "SetDesiredCapacity", "AutoScalingGroupName", "web", "DesiredCapacity", "0")
	w.clock.move(6 * time.Second)
	if k = w.container(t); k["status"] != "DEREGISTERING" || k["agentConnected"] != false {
		t.Errorf("shutting down: %v", k)
	}
	w.clock.move(time.Minute)
	if k = w.container(t); k != nil {
		t.Errorf("terminated, but listed: %v", k)
	}
}

// TestStaysOutOfClusters is the table of instances that no cluster has, or has badly.
func TestStaysOutOfClusters(t *testing.T) {
	for _, tc := range []struct {
		name, script, join string
		spoil              awssim.Spoil
		want               string // status and connection; empty: none
	}{
		{"joins", joins, "", awssim.Spoil{}, "ACTIVE true"},
		{"no_user_data", "", "", awssim.Spoil{}, ""},
		{"unknown_cluster", strings.ReplaceAll(joins, "web", "wep"), "", awssim.Spoil{}, ""},
		{"told_by_group", "", "web", awssim.Spoil{}, "ACTIVE true"},
		{"told_elsewhere", joins, "none", awssim.Spoil{}, ""},
		{"no_agent", joins, "", awssim.Spoil{NoCluster: true}, ""},
		{"agent_lost", joins, "", awssim.Spoil{NoAgent: true}, "ACTIVE false"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.sim.AddCluster("", "", "web", 0, nil)
			ami := w.sim.AddImage(awssim.Image{})
			w.sim.SpoilImage(ami, tc.spoil)
			if tc.join != "" {
				w.sim.JoinCluster("web", tc.join)
			}
			w.booting(t, ami, tc.script)
			w.clock.move(5 * time.Minute)
			got := ""
			if k := w.container(t); k != nil {
				got = k["status"].(string) + " " + map[bool]string{true: "true", false: "false"}[k["agentConnected"].(bool)]
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestContainerFilter checks the cluster query language that gates use, and that the rest is refused.
func TestContainerFilter(t *testing.T) {
	w := newWorld(t, nil)
	w.sim.AddCluster("", "", "web", 0, nil)
	id := w.booting(t, w.sim.AddImage(awssim.Image{}), joins)
	w.clock.move(5 * time.Minute)
	for _, tc := range []struct {
		filter string
		want   int // -1: refused
	}{
		{"", 1},
		{"ec2InstanceId == " + id, 1},
		{"ec2InstanceId == i-1", 0},
		{"ec2InstanceId != " + id, 0},
		{"ec2InstanceId in [i-1, " + id + "]", 1},
		{"ec2InstanceId in [" + id + "] and agentConnected == true", 1},
		{"ec2InstanceId in [" + id + "] and agentConnected == false", 0},
		{"ec2InstanceId in i-1", -1},
		{"ec2InstanceId ==", -1},
		{"ec2InstanceId in []", -1},
		{"instance == " + id, -1},
		{"ec2InstanceId == a b", -1},
	} {
		r := w.ask(t, "ecs", "ListContainerInstances", "cluster", "web", "filter", tc.filter)
		if got, _ := r.body["containerInstanceArns"].([]any); tc.want < 0 && r.code != "InvalidParameterException" || tc.want >= 0 && len(got) != tc.want {
			t.Errorf("%q: got %d %s, want %d", tc.filter, len(got), r.code, tc.want)
		}
	}
	if r := w.ask(t, "ecs", "ListContainerInstances", "cluster", "none"); r.code != "ClusterNotFoundException" {
		t.Errorf("an unknown cluster: %q, want ClusterNotFoundException", r.code)
	}
}

// TestOnline checks what Systems Manager knows of an instance.
func TestOnline(t *testing.T) {
	for name, spoil := range map[string]awssim.Spoil{"online": {}, "silent": {NoPing: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			ami := w.sim.AddImage(awssim.Image{})
			w.sim.SpoilImage(ami, spoil)
			id := w.booting(t, ami, "")
			ask := func() string {
				t.Helper()
				filter := []any{map[string]any{"Key": "InstanceIds", "Values": []string{id}}}
				all := w.must(t, "ssm", "DescribeInstanceInformation", "Filters", filter).body["InstanceInformationList"].([]any)
				if len(all) == 0 {
					return "unknown"
				}
				return all[0].(map[string]any)["PingStatus"].(string)
			}
			w.clock.move(30 * time.Second)
			if got := ask(); got != "unknown" {
				t.Errorf("while it boots: %q", got)
			}
			w.clock.move(time.Minute)
			if got, want := ask(), map[bool]string{true: "unknown", false: "Online"}[spoil.NoPing]; got != want {
				t.Errorf("booted: %q, want %q", got, want)
			}
		})
	}
}

// TestImageByParameter launches from an image that a parameter names, and then from another.
func TestImageByParameter(t *testing.T) {
	w := newWorld(t, nil)
	ami := w.sim.AddImage(awssim.Image{})
	w.sim.SetParameter("", "", "/web/ami", ami)
	w.booting(t, "resolve:ssm:/web/ami", "")
	if got := w.sim.Instances()[0].Image; got != ami {
		t.Errorf("launched from %s, want %s", got, ami)
	}
	if got := w.must(t, "ssm", "GetParameter", "Name", "/web/ami").body["Parameter"].(map[string]any)["Value"]; got != ami {
		t.Errorf("the parameter is %v, want %s", got, ami)
	}
	if r := w.ask(t, "ssm", "GetParameter", "Name", "/web/none"); r.code != "ParameterNotFound" {
		t.Errorf("got %q, want ParameterNotFound", r.code)
	}
	w.sim.SetParameter("", "", "/web/ami", "ami-0123456789abcdef0")
	w.must(t, "autoscaling", "SetDesiredCapacity", "AutoScalingGroupName", "web", "DesiredCapacity", "2")
	w.clock.move(10 * time.Second)
	if status, message := (cluster{w, "", "web"}).last(t); status != "Failed" || !strings.Contains(message, "does not exist") {
		t.Errorf("an image that is gone: %s %q", status, message)
	}
}

// TestConsole checks that what user data prints is seen, later, and that the rest of it is not.
func TestConsole(t *testing.T) {
	const script = joins + "echo 'gate: ready' > /dev/console\necho \"and done\"\necho secret > /root/file\n"
	for name, spoil := range map[string]awssim.Spoil{"speaks": {}, "silent": {NoConsole: true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			ami := w.sim.AddImage(awssim.Image{})
			w.sim.SpoilImage(ami, spoil)
			id := w.booting(t, ami, script)
			ask := func() string {
				t.Helper()
				raw, err := base64.StdEncoding.DecodeString(w.must(t, "ec2", "GetConsoleOutput", "InstanceId", id, "Latest", "true").text("output"))
				if err != nil {
					t.Fatal(err)
				}
				return string(raw)
			}
			if got := ask(); got != "" {
				t.Errorf("before it runs: %q", got)
			}
			w.clock.move(time.Minute)
			got := ask()
			if has := strings.Contains(got, "gate: ready\r\n") && strings.Contains(got, "and done\r\n"); has == spoil.NoConsole {
				t.Errorf("booted: %q", got)
			}
			if strings.Contains(got, "secret") || strings.Contains(got, "ECS_CLUSTER") {
				t.Errorf("what goes into a file is on the console: %q", got)
			}
		})
	}
}
