package gates_test

import (
	"context"
	"slices"
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

	real      cloud.Group               // group "web"
	history   []cloud.Activity          // of it
	container cloud.Container           // as which the instance registers; without ARN: not at all
	volumes   []cloud.Volume            // of the instance
	state     cloud.Instance            // of the instance
	online    bool                      // it answers Systems Manager
	console   string                    // what it writes there
	drained   []string                  // container instances
	added     map[string]time.Time      // groups that have one instance more, since
	taken     []cloud.Added             // what was taken back
	each      map[string]cloud.Activity // subnet → what ends a launch there
	halted    bool                      // the launches of trials are suspended
	flaky     int                       // so many looks at activities fail
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
		group := f.real
		if since, more := f.added["web"]; more && f.clock.Now().Sub(since) > 5*time.Second && !f.never {
			group.Members = append(slices.Clone(group.Members), cloud.Member{InstanceID: "i-1", Lifecycle: "InService", Health: "Healthy"})
		}
		return group, f.denied("autoscaling:DescribeAutoScalingGroups")
	}
	group := cloud.Group{Name: name, Tags: trial.Tags}
	if f.halted {
		group.Suspended = []string{"Launch"}
	}
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
	if f.flaky > 0 {
		f.flaky--
		return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "AWS did not answer"}
	}
	fails, since, out := f.fails, f.added["web"], []cloud.Activity(nil)
	if group == "web" {
		out = f.history
	} else {
		since = f.trials[group].since
		for subnet, how := range f.each {
			if slices.Contains(f.trials[group].Like.Subnets, subnet) {
				fails = how
			}
		}
	}
	if fails.Status != "" && !since.IsZero() && f.clock.Now().Sub(since) > 10*time.Second {
		return append([]cloud.Activity{fails}, out...), nil
	}
	return out, nil
}

func (f *fakeCloud) Instances(context.Context, []string) ([]cloud.Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.taken) > 0 {
		return nil, nil
	}
	return []cloud.Instance{f.state}, nil
}

func (f *fakeCloud) Volumes(context.Context, string) ([]cloud.Volume, error) {
	return f.volumes, f.denied("ec2:DescribeVolumes")
}

func (f *fakeCloud) Containers(_ context.Context, _ string, ids []string) ([]cloud.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.container.ARN == "" {
		return nil, f.denied("ecs:ListContainerInstances")
	}
	one := f.container
	one.InstanceID = ids[0]
	if len(f.drained) > 0 {
		one.Status = "DRAINING"
	}
	return []cloud.Container{one}, nil
}

func (f *fakeCloud) Drain(_ context.Context, _, arn string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.denied("ecs:UpdateContainerInstancesState"); err != nil {
		return err
	}
	f.drained = append(f.drained, arn)
	return nil
}

func (f *fakeCloud) Ping(context.Context, string) (bool, error) {
	return f.online, f.denied("ssm:DescribeInstanceInformation")
}

func (f *fakeCloud) Console(context.Context, string) (string, error) {
	return f.console, f.denied("ec2:GetConsoleOutput")
}

func (f *fakeCloud) AddOne(_ context.Context, group string, _ map[string]string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.denied("autoscaling:SetDesiredCapacity"); err != nil {
		return err
	}
	f.added[group] = f.clock.Now()
	return nil
}

func (f *fakeCloud) Added(context.Context) (out []cloud.Added, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for group, since := range f.added {
		one := cloud.Added{Group: group, Run: "481", Expires: since.Add(time.Hour)}
		if f.clock.Now().Sub(since) > 5*time.Second && !f.never {
			one.InstanceID = "i-1"
		}
		out = append(out, one)
	}
	return out, nil
}

func (f *fakeCloud) TakeOne(_ context.Context, added cloud.Added) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck {
		return &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "AWS refuses autoscaling:SetDesiredCapacity"}
	}
	delete(f.added, added.Group)
	f.taken = append(f.taken, added)
	return nil
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

func newCloud(clock upgrade.Clock) *fakeCloud {
	return &fakeCloud{
		clock: clock, trials: map[string]*fakeTrial{}, added: map[string]time.Time{},
		real:  cloud.Group{Name: "web", Template: cloud.Template{ID: "lt-1", Name: "web", Version: "7"}, ServiceLinkedRoleARN: slr, Max: 4},
		state: cloud.Instance{ID: "i-1", State: "running", ImageID: "ami-1", Type: "t3.small", Zone: "eu-west-2a"},
	}
}

// launch asks an instance-launch gate of the cloud.
func launch(t *testing.T, set func(*fakeCloud)) (upgrade.Result, *fakeCloud) {
	t.Helper()
	return launchAs(t, gates.LaunchSettings{}, nil, gates.Input{}, set)
}

// launchAs asks one with settings and a way to look at the keys.
func launchAs(t *testing.T, settings gates.LaunchSettings, keys func(time.Time) *fakeKeys, in gates.Input, set func(*fakeCloud)) (result upgrade.Result, aws *fakeCloud) {
	t.Helper()
	settings.Group, settings.HealthyWithin = "web", 5*time.Minute
	in.Run, in.Round = upgrade.Run{ID: 481, Environment: "staging"}, 2
	synctest.Test(t, func(t *testing.T) {
		clock := upgrade.SystemClock{}
		aws = newCloud(clock)
		set(aws)
		deps := gates.Deps{Clock: clock, Cloud: func(upgrade.EnvName) (gates.Cloud, error) { return aws, nil }}
		if keys != nil {
			seen := keys(clock.Now())
			deps.Keys = func(upgrade.EnvName) (gates.Keys, error) { return seen, nil }
		}
		g := gates.Gate{Name: "launch", Kind: gates.KindLaunch, Environment: "staging", Settle: 5 * time.Minute, Deadline: 20 * time.Minute}
		if err := settings.Bind(&g, deps); err != nil {
			t.Fatal(err)
		}
		result = gates.Runner{Clock: clock}.Run(t.Context(), []gates.Gate{g}, in, nil)[0]
	})
	if len([]rune(result.Brief)) > 80 {
		t.Errorf("the brief has more than 80 characters: %s", result.Brief)
	}
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
	aws := newCloud(clock)
	aws.trials = map[string]*fakeTrial{
		"over": trial(noon().Add(-time.Minute).Format(time.RFC3339)), "going_on": trial(noon().Add(time.Minute).Format(time.RFC3339)), "unreadable": trial("soon"),
	}
	ended, err := gates.Reap(t.Context(), aws, noon())
	if err != nil || len(ended) != 2 || aws.trials["going_on"].ended || !aws.trials["over"].ended || !aws.trials["unreadable"].ended {
		t.Errorf("ended %v (%v)", ended, err)
	}
	aws.trials["over"].ended, aws.stuck = false, true
	if _, err := gates.Reap(t.Context(), aws, noon()); err == nil || !strings.Contains(upgrade.HintOf(err), "aws autoscaling delete") {
		t.Errorf("what cannot be removed: %v, want an error that says how", err)
	}
}

// TestS4ReapsTheRest: an instance more of a real group is taken back when its time is over, what has been
// going for too long is told, and one thing that cannot be removed hides no other (S4).
func TestS4ReapsTheRest(t *testing.T) {
	aws := newCloud(upgrade.SystemClock{})
	aws.added["web"] = noon().Add(-2 * time.Hour) // expires an hour after
	aws.added["other"] = noon()
	expired := map[string]string{gates.TagExpires: noon().Add(-2 * time.Hour).Format(time.RFC3339)}
	ended, err := gates.Reap(t.Context(), stuckGroup{aws, cloud.Group{Name: "gone's", Status: "Delete in progress", Tags: expired}}, noon())
	if len(ended) != 1 || ended[0] != "web (one instance more)" || len(aws.added) != 1 {
		t.Errorf("ended %q, left %v", ended, aws.added)
	}
	if err == nil || !strings.Contains(err.Error(), `"Delete in progress" since more than 1h0m0s`) || !strings.Contains(upgrade.HintOf(err), `'gone'\''s'`) {
		t.Errorf("what is stuck: %v, hint %q", err, upgrade.HintOf(err))
	}
	aws.added["web"], aws.stuck = noon().Add(-2*time.Hour), true
	if _, err := gates.Reap(t.Context(), aws, noon()); err == nil || !strings.Contains(err.Error(), "the group web has one instance more than it should") {
		t.Errorf("what cannot be taken back: %v", err)
	}
}

// stuckGroup is a cloud with one test group.
type stuckGroup struct {
	*fakeCloud
	group cloud.Group
}

func (s stuckGroup) Trials(context.Context) ([]cloud.Group, error) {
	return []cloud.Group{s.group}, nil
}
