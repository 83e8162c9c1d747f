package gates_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

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
	scripts   []string                  // that were run on instances
	answer    func(n int) cloud.Command // what came of the last of n scripts; nil: it goes on
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

func (f *fakeCloud) RunScript(_ context.Context, instance, script string, _ time.Duration) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scripts = append(f.scripts, script)
	return fmt.Sprintf("command-%d of %s", len(f.scripts), instance), f.denied("ssm:SendCommand")
}

func (f *fakeCloud) Command(_ context.Context, id, instance string) (cloud.Command, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answer == nil {
		return cloud.Command{ID: id, InstanceID: instance, Code: -1}, f.denied("ssm:GetCommandInvocation")
	}
	command := f.answer(len(f.scripts))
	command.ID, command.InstanceID = id, instance
	return command, f.denied("ssm:GetCommandInvocation")
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
