package gates_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// fakeCloud has one group "web" and lets trials live as it is told.
type fakeCloud struct {
	clock upgrade.Clock

	mu        sync.Mutex // guards the fields below
	trials    map[string]*fakeTrial
	started   int
	never     bool           // the instance never runs
	fails     cloud.Activity // that ends the launch; zero: none
	deny      string         // action that is refused
	stuck     bool           // trials cannot be removed
	desired   []int
	continued int
}

type fakeTrial struct {
	cloud.Trial
	since     time.Time
	continued bool
	ended     bool
}

func (f *fakeCloud) denied(action string) error {
	if f.deny != action {
		return nil
	}
	return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS refuses " + action, Cause: &cloud.Denied{Action: action, Message: "not authorized"}}
}

func (f *fakeCloud) Group(_ context.Context, name string) (cloud.Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	trial, ok := f.trials[name]
	if !ok {
		if name != "web" {
			return cloud.Group{}, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no group " + name}
		}
		return cloud.Group{Name: "web", Template: cloud.Template{Name: "web", Version: "7"}, ServiceLinkedRoleARN: "arn:role"}, f.denied("autoscaling:DescribeAutoScalingGroups")
	}
	group := cloud.Group{Name: name, Tags: trial.Tags}
	if age := f.clock.Now().Sub(trial.since); age > 5*time.Second && !f.never {
		member := cloud.Member{InstanceID: "i-1", Lifecycle: "Pending:Wait", Health: "Healthy"}
		if trial.continued {
			member.Lifecycle = "InService"
		}
		group.Members = []cloud.Member{member}
	}
	return group, nil
}

func (f *fakeCloud) StartTrial(_ context.Context, trial cloud.Trial) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.denied("autoscaling:CreateAutoScalingGroup"); err != nil {
		return err
	}
	f.started++
	f.trials[trial.Name] = &fakeTrial{Trial: trial, since: f.clock.Now()}
	return nil
}

func (f *fakeCloud) Continue(_ context.Context, group, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trials[group].continued = true
	f.continued++
	return nil
}

func (f *fakeCloud) Activities(_ context.Context, group string) ([]cloud.Activity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.denied("autoscaling:DescribeScalingActivities"); err != nil {
		return nil, err
	}
	if f.fails.Status != "" && f.clock.Now().Sub(f.trials[group].since) > 10*time.Second {
		return []cloud.Activity{f.fails}, nil
	}
	return nil, nil
}

func (f *fakeCloud) Instances(context.Context, []string) ([]cloud.Instance, error) {
	return []cloud.Instance{{ID: "i-1", State: "running", ImageID: "ami-1", Type: "t3.small"}}, nil
}

func (f *fakeCloud) SetDesired(_ context.Context, _ string, n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.desired = append(f.desired, n)
	return nil
}

func (f *fakeCloud) EndTrial(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck {
		return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS refuses autoscaling:DeleteAutoScalingGroup"}
	}
	if trial, ok := f.trials[name]; ok {
		trial.ended = true
	}
	return nil
}

func (f *fakeCloud) Gone(_ context.Context, name string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	trial, ok := f.trials[name]
	return !ok || trial.ended, nil
}

func (f *fakeCloud) Trials(context.Context) ([]cloud.Group, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var groups []cloud.Group
	for name, trial := range f.trials {
		if !trial.ended {
			groups = append(groups, cloud.Group{Name: name, Tags: trial.Tags})
		}
	}
	return groups, nil
}

// launch asks an instance-launch gate of the cloud.
func launch(t *testing.T, set func(*fakeCloud)) (result upgrade.Result, aws *fakeCloud) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		clock := upgrade.SystemClock{}
		aws = &fakeCloud{clock: clock, trials: map[string]*fakeTrial{}}
		set(aws)
		g := bound(t, gates.LaunchSettings{Group: "web", HealthyWithin: 5 * time.Minute}, gates.Deps{
			Clock: clock, Cloud: func(upgrade.EnvName) (gates.Cloud, error) { return aws, nil },
		})
		g.Name, g.Kind, g.Deadline = "launch", gates.KindLaunch, 20*time.Minute
		result = gates.Runner{Clock: clock}.Run(t.Context(), []gates.Gate{g}, gates.Input{Run: upgrade.Run{ID: 481}, Round: 2}, nil)[0]
	})
	return result, aws
}

func TestLaunch(t *testing.T) {
	kms := "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state"
	tests := []struct {
		name string
		set  func(*fakeCloud)
		want upgrade.Outcome
		says string
	}{
		{"healthy", func(*fakeCloud) {}, upgrade.OutcomePassed, "was healthy after"},
		{"kms", func(f *fakeCloud) { f.fails = cloud.Activity{Status: "Cancelled", StatusMessage: kms, End: noon()} }, upgrade.OutcomeFailed, kms},
		{"failed", func(f *fakeCloud) { f.fails = cloud.Activity{Status: "Failed", StatusMessage: "quota"} }, upgrade.OutcomeFailed, "“quota”"},
		{"never_healthy", func(f *fakeCloud) { f.never = true }, upgrade.OutcomeFailed, "within 5m0s"},
		{"may_not_look", func(f *fakeCloud) { f.deny = "autoscaling:DescribeAutoScalingGroups" }, upgrade.OutcomeUnknown, "autoscaling:DescribeAutoScalingGroups"},
		{"may_not_create", func(f *fakeCloud) { f.deny = "autoscaling:CreateAutoScalingGroup" }, upgrade.OutcomeUnknown, "autoscaling:CreateAutoScalingGroup"},
		{"may_not_watch", func(f *fakeCloud) { f.deny = "autoscaling:DescribeScalingActivities" }, upgrade.OutcomeUnknown, "autoscaling:DescribeScalingActivities"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, aws := launch(t, test.set)
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

// TestS4Tagged: what the gate creates carries run and expiry, under a name that the run gives (S4).
func TestS4Tagged(t *testing.T) {
	_, aws := launch(t, func(*fakeCloud) {})
	trial, ok := aws.trials["gate-probe-481-launch-after-2"]
	if !ok || trial.Tags[gates.TagRun] != "481" || trial.Tags[gates.TagProbe] != "true" {
		t.Fatalf("trials are %v", aws.trials)
	}
	if expires, err := time.Parse(time.RFC3339, trial.Tags[gates.TagExpires]); err != nil || !expires.After(noon().Add(5*time.Minute)) {
		t.Errorf("expires %v (%v)", expires, err)
	}
}

// TestS4LeftBehindIsTold: what could not be removed is a warning, and never turns a result around (S4).
func TestS4LeftBehindIsTold(t *testing.T) {
	got, _ := launch(t, func(f *fakeCloud) { f.stuck = true })
	if got.Outcome != upgrade.OutcomePassed || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "could not be removed") {
		t.Errorf("got %s with warnings %q", got.Outcome, got.Warnings)
	}
}

func TestStopsRelaunching(t *testing.T) {
	got, aws := launch(t, func(f *fakeCloud) {
		f.fails = cloud.Activity{Status: "Failed", StatusMessage: "Client.InternalError: Client error on launch"}
	})
	if len(aws.desired) == 0 || aws.desired[0] != 0 {
		t.Errorf("desired was set to %v, want 0 at once", aws.desired)
	}
	var cause string
	for _, fact := range got.Evidence.Facts {
		if fact.Name == "Likely cause" {
			cause = fact.Value
		}
	}
	if !strings.Contains(cause, "KMS key") || len(got.Evidence.Quotes) != 1 {
		t.Errorf("likely cause %q, quotes %v", cause, got.Evidence.Quotes)
	}
}

// TestS4Reap: the reaper needs nothing but the tags, and leaves alone what is not over (S4).
func TestS4Reap(t *testing.T) {
	clock := upgrade.SystemClock{}
	trial := func(expires string) *fakeTrial {
		return &fakeTrial{Trial: cloud.Trial{Tags: map[string]string{gates.TagProbe: "true", gates.TagExpires: expires}}}
	}
	aws := &fakeCloud{clock: clock, trials: map[string]*fakeTrial{
		"over": trial(noon().Add(-time.Minute).Format(time.RFC3339)), "going_on": trial(noon().Add(time.Minute).Format(time.RFC3339)), "unreadable": trial("soon"),
	}}
	ended, err := gates.Reap(t.Context(), aws, noon())
	if err != nil || len(ended) != 2 || aws.trials["going_on"].ended || !aws.trials["over"].ended || !aws.trials["unreadable"].ended {
		t.Errorf("ended %v (%v)", ended, err)
	}
	aws.trials["over"].ended, aws.stuck = false, true
	if _, err := gates.Reap(t.Context(), aws, noon()); err == nil || !strings.Contains(upgrade.HintOf(err), "aws autoscaling delete") {
		t.Errorf("what cannot be removed: %v, want an error that says how", err)
	}
}
