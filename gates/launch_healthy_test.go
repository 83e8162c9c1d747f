package gates_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// TestLaunchIsHealthy: healthy means all that is configured, and what is missing is said when time is over.
func TestLaunchIsHealthy(t *testing.T) {
	container := func(status string, connected bool) func(*fakeCloud) {
		return func(f *fakeCloud) {
			f.container = cloud.Container{ARN: "arn:ci", Status: status, Connected: connected}
		}
	}
	ecs := gates.LaunchSettings{Cluster: "moodle"}
	tests := []struct {
		name     string
		settings gates.LaunchSettings
		set      func(*fakeCloud)
		want     upgrade.Outcome
		says     string
	}{
		{"registered", ecs, container("ACTIVE", true), upgrade.OutcomePassed, "healthy after"},
		{"not_registered", ecs, func(*fakeCloud) {}, upgrade.OutcomeFailed, "within 5 min through a copy of web: i-1 waits until it registers in ECS cluster moodle"},
		{"not_connected", ecs, container("ACTIVE", false), upgrade.OutcomeFailed, "its agent is connected to ECS cluster moodle"},
		{"cannot_register", ecs, container("REGISTRATION_FAILED", false), upgrade.OutcomeFailed, "could not register in ECS cluster moodle: it is REGISTRATION_FAILED"},
		{"may_not_ask_ecs", ecs, func(f *fakeCloud) { f.deny = "ecs:ListContainerInstances" }, upgrade.OutcomeUnknown, "ecs:ListContainerInstances"},
		{"answers", gates.LaunchSettings{SSM: true}, func(f *fakeCloud) { f.online = true }, upgrade.OutcomePassed, "healthy after"},
		{"does_not_answer", gates.LaunchSettings{SSM: true}, func(*fakeCloud) {}, upgrade.OutcomeFailed, "i-1 waits until it answers AWS Systems Manager"},
		{"may_not_ask_ssm", gates.LaunchSettings{SSM: true}, func(f *fakeCloud) { f.deny = "ssm:DescribeInstanceInformation" }, upgrade.OutcomeUnknown, "ssm:DescribeInstanceInformation"},
		{"said", gates.LaunchSettings{Console: "ready"}, func(f *fakeCloud) { f.console = "booting\nnode is ready now\n" }, upgrade.OutcomePassed, "healthy after"},
		{"not_said", gates.LaunchSettings{Console: "ready", SSM: true}, func(f *fakeCloud) { f.console = "kernel panic" }, upgrade.OutcomeFailed, `until it answers AWS Systems Manager and its console says "ready"`},
		{"checks_not_ok", gates.LaunchSettings{StatusChecks: true}, func(f *fakeCloud) { f.state.SystemStatus = "impaired" }, upgrade.OutcomeFailed, `the system's is "impaired"`},
		{"checks_ok", gates.LaunchSettings{StatusChecks: true}, func(f *fakeCloud) { f.state.SystemStatus, f.state.InstanceStatus = "ok", "ok" }, upgrade.OutcomePassed, "healthy after"},
		{"volume_not_attached", gates.LaunchSettings{}, func(f *fakeCloud) { f.volumes = []cloud.Volume{{Device: "/dev/xvda", State: "creating"}} }, upgrade.OutcomeFailed, "its volume /dev/xvda is attached: it is creating"},
		{"may_not_see_volumes", gates.LaunchSettings{}, func(f *fakeCloud) { f.deny = "ec2:DescribeVolumes" }, upgrade.OutcomePassed, "healthy after"},
		{"ended_by_aws", gates.LaunchSettings{}, func(f *fakeCloud) {
			f.state.State, f.state.StateReasonCode, f.state.StateReasonMessage = "terminated", "Client.InternalError", "Client.InternalError: Client error on launch"
		}, upgrade.OutcomeFailed, "it runs: it is terminated, Client.InternalError: Client error on launch"},
		{"aws_answers_late", gates.LaunchSettings{}, func(f *fakeCloud) { f.flaky = 3 }, upgrade.OutcomePassed, "healthy after"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, aws := launchAs(t, test.settings, nil, gates.Input{}, test.set)
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %s %q, want %s that says %q", got.Outcome, got.Message, test.want, test.says)
			}
			for name, trial := range aws.trials {
				if !trial.ended {
					t.Errorf("%s was left behind", name)
				}
			}
		})
	}
}

// TestLaunchKeepsTasksOff: an instance that registers is drained once, and not in the real group.
func TestLaunchKeepsTasksOff(t *testing.T) {
	active := func(f *fakeCloud) { f.container = cloud.Container{ARN: "arn:ci", Status: "ACTIVE", Connected: true} }
	for _, test := range []struct {
		name    string
		method  gates.LaunchMethod
		deny    string
		drained int
		warns   string
	}{{"trial", gates.MethodTrial, "", 1, ""}, {"real", gates.MethodScaleOut, "", 0, ""}, {"may_not", gates.MethodTrial, "ecs:UpdateContainerInstancesState", 0, "tasks of cluster moodle may be on it"}} {
		t.Run(test.name, func(t *testing.T) {
			got, aws := launchAs(t, gates.LaunchSettings{Cluster: "moodle", Method: test.method}, nil, gates.Input{}, func(f *fakeCloud) { active(f); f.deny = test.deny })
			if got.Outcome != upgrade.OutcomePassed || len(aws.drained) != test.drained || !strings.Contains(strings.Join(got.Warnings, "\n"), test.warns) {
				t.Errorf("got %s %q, drained %q, warned %q", got.Outcome, got.Message, aws.drained, got.Warnings)
			}
		})
	}
}

// TestLaunchInEachZone: one subnet after another, and a failure in one hides none in another.
func TestLaunchInEachZone(t *testing.T) {
	full := cloud.Activity{Status: "Failed", StatusMessage: "We currently do not have sufficient t3.small capacity"}
	three := func(f *fakeCloud) { f.real.Subnets = []string{"subnet-a", "subnet-b", "subnet-c"} }
	tests := []struct {
		name  string
		set   func(*fakeCloud)
		want  upgrade.Outcome
		says  string
		tried int
	}{
		{"all_well", three, upgrade.OutcomePassed, "healthy after", 3},
		{"two_full", func(f *fakeCloud) {
			three(f)
			f.each = map[string]cloud.Activity{"subnet-a": full, "subnet-c": full}
		}, upgrade.OutcomeFailed, "through a copy of web in subnet-c ended failed", 3},
		{"one_subnet", func(f *fakeCloud) { f.real.Subnets = []string{"subnet-a"} }, upgrade.OutcomePassed, "healthy after", 1},
		{"zones", func(f *fakeCloud) { f.real.Zones = []string{"eu-west-2a", "eu-west-2b"} }, upgrade.OutcomePassed, "healthy after", 2},
		{"may_not", func(f *fakeCloud) { three(f); f.deny = "autoscaling:CreateAutoScalingGroup" }, upgrade.OutcomeUnknown, "autoscaling:CreateAutoScalingGroup", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, aws := launchAs(t, gates.LaunchSettings{EachZone: true}, nil, gates.Input{}, test.set)
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) || aws.started != test.tried {
				t.Errorf("got %s %q after %d launches, want %s that says %q", got.Outcome, got.Message, aws.started, test.want, test.says)
			}
			for name, trial := range aws.trials {
				if test.tried > 1 && len(trial.Like.Subnets)+len(trial.Like.Zones) != 1 {
					t.Errorf("%s launched in %v %v", name, trial.Like.Subnets, trial.Like.Zones)
				}
			}
		})
	}
}

// TestS4ScaleOut: one instance more of the real group is taken back, whatever came of it (S4).
func TestS4ScaleOut(t *testing.T) {
	old := cloud.Activity{ID: "old", Status: "Failed", StatusMessage: "of last week"}
	tests := []struct {
		name  string
		set   func(*fakeCloud)
		in    gates.Input
		want  upgrade.Outcome
		says  string
		taken int
	}{
		{"healthy", func(f *fakeCloud) { f.history = []cloud.Activity{old} }, gates.Input{}, upgrade.OutcomePassed, "healthy after", 1},
		{"fails", func(f *fakeCloud) {
			f.history = []cloud.Activity{old}
			f.never, f.fails = true, cloud.Activity{ID: "new", Status: "Cancelled", StatusMessage: "Client.InternalError: Client error on launch"}
		}, gates.Input{}, upgrade.OutcomeFailed, "a test launch through web ended cancelled", 1},
		{"never", func(f *fakeCloud) { f.never = true }, gates.Input{}, upgrade.OutcomeFailed, "through web: no instance came", 1},
		{"may_not", func(f *fakeCloud) { f.deny = "autoscaling:SetDesiredCapacity" }, gates.Input{}, upgrade.OutcomeUnknown, "autoscaling:SetDesiredCapacity", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, aws := launchAs(t, gates.LaunchSettings{Method: gates.MethodScaleOut}, nil, test.in, test.set)
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) || len(aws.taken) != test.taken || len(aws.added) != 0 || aws.started != 0 || len(aws.desired) != 0 {
				t.Errorf("got %s %q, taken %v, added %v, trials %d", got.Outcome, got.Message, aws.taken, aws.added, aws.started)
			}
		})
	}
	got, _ := launchAs(t, gates.LaunchSettings{Method: gates.MethodScaleOut}, nil, gates.Input{}, func(f *fakeCloud) { f.stuck = true })
	if got.Outcome != upgrade.OutcomePassed || !strings.Contains(strings.Join(got.Warnings, ""), "the one instance more of web could not be removed") {
		t.Errorf("stuck: got %s with warnings %q", got.Outcome, got.Warnings)
	}
}

// TestLaunchTimeline: what people see of how long a launch took, beside earlier ones.
func TestLaunchTimeline(t *testing.T) {
	launched := func(took time.Duration) cloud.Activity {
		return cloud.Activity{Status: "Successful", Description: "Launching a new EC2 instance: i-0123456789abcdef0", Start: noon(), End: noon().Add(took)}
	}
	got, _ := launch(t, func(f *fakeCloud) {
		f.history = []cloud.Activity{launched(time.Minute), launched(40 * time.Second), launched(50 * time.Second), {Status: "Successful", Description: "Terminating EC2 instance", Start: noon(), End: noon().Add(time.Hour)}}
	})
	if fact(got, "Earlier launches") != "half of 3 took at most 50 s" {
		t.Errorf("earlier launches: %s", fact(got, "Earlier launches"))
	}
	var names []string
	for i, span := range got.Evidence.Spans {
		names = append(names, span.Name)
		if i > 0 && span.From != got.Evidence.Spans[i-1].To || span.To.IsZero() || span.Failed {
			t.Errorf("span %d is %+v", i, span)
		}
	}
	if !slices.Equal(names, []string{"Request", "Instance created", "Pending to running", "In service"}) {
		t.Errorf("spans %q", names)
	}
	got, _ = launch(t, func(f *fakeCloud) { f.fails = cloud.Activity{Status: "Failed", StatusMessage: "no"}; f.never = true })
	spans := got.Evidence.Spans
	if len(spans) != 4 || !spans[1].Failed || !spans[2].From.IsZero() || !spans[3].From.IsZero() {
		t.Errorf("of a failure: %+v", spans)
	}
}
