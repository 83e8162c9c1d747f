package aws

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

const (
	probeTag   = "gate:probe"   // "true": what only the gates made, and may end
	expiresTag = "gate:expires" // differs between two tries of one trial
	launchHook = "gate-launch"  // of each trial
	groupTag   = "aws:autoscaling:groupName"
	stillGoing = 30 * time.Second // to wait for a group that is being deleted
)

// StartTrial creates a temporary group like another one, with desired 1 of at most 1 instances: the same
// template version, service-linked role, subnets and zones; no target groups, no scaling policies,
// On-Demand only. Its launch hook ends in ABANDON, which is a dead man's switch on AWS's side: an instance
// that nobody continues does not stay. Processes that would act by themselves are suspended. Of Like, who
// wants the launch in one subnet leaves only that one in Subnets.
//
// A trial of this name that is there already, with the same tags and template, is taken over: it is the
// work of an earlier try whose answer was lost. Errors: CodeInvalid if AWS does not take it;
// CodeUnavailable while an earlier one is being deleted; CodeConflict for a group that is another's.
//
// Permissions: autoscaling:CreateAutoScalingGroup, autoscaling:CreateOrUpdateTags, autoscaling:SuspendProcesses,
// autoscaling:DescribeAutoScalingGroups; ec2:RunInstances on what the template launches, ec2:CreateTags if it
// tags, ssm:GetParameters if a parameter names its image; iam:PassRole on the role of the template's instance
// profile, and on a service-linked role with a suffix. To take over: those of EndTrial.
func (c *Client) StartTrial(ctx context.Context, trial cloud.Trial) error {
	in, err := newGroup(trial)
	if err != nil {
		return err
	}
	return c.ask(ctx, "start test group "+trial.Name, func(ctx context.Context) error {
		// Before the answer, which may get lost.
		c.recent.note(madeGroup, trial.Name)
		_, err := c.scaling.create(ctx, in)
		switch {
		case err == nil:
		case upgrade.CodeOf(c.coded(err)) == upgrade.CodeConflict:
			err = c.takeOver(ctx, trial)
		case !upgrade.Transient(c.coded(err)):
			c.recent.forget(madeGroup, trial.Name)
		}
		if err != nil {
			return err
		}
		_, err = c.scaling.suspend(ctx, &autoscaling.SuspendProcessesInput{
			AutoScalingGroupName: in.AutoScalingGroupName,
			ScalingProcesses:     []string{"ReplaceUnhealthy", "AZRebalance", "AlarmNotification", "ScheduledActions"},
		})
		if err != nil {
			return err
		}
		c.cfg.Log.InfoContext(ctx, "test group started", "group", trial.Name, "like", trial.Like.Name)
		return nil
	})
}

// takeOver looks whether a group that is there already is this very trial.
func (c *Client) takeOver(ctx context.Context, trial cloud.Trial) error {
	there, err := c.describe(ctx, trial.Name)
	if err != nil {
		return err
	}
	have, err := toGroup(there)
	if err != nil {
		return err
	}
	tags := maps.Clone(trial.Tags)
	delete(tags, expiresTag)
	for key, v := range tags {
		if have.Tags[key] != v {
			return &upgrade.Error{
				Code: upgrade.CodeConflict, Msg: fmt.Sprintf("there is another Auto Scaling group %s, not of this test", trial.Name),
			}
		}
	}
	busy := &upgrade.Error{
		Code: upgrade.CodeUnavailable, RetryAfter: stillGoing,
		Msg: "the test group " + trial.Name + " of an earlier try is still being removed",
	}
	if have.Status != "" {
		return busy
	}
	if have.Desired == 1 && sameLaunch(have, trial.Like) {
		return nil
	}
	// It was stopped, or launches something else than what is asked now: its answer would be no answer.
	if err := c.end(ctx, trial.Name); err != nil {
		return err
	}
	return busy
}

// sameLaunch reports whether a trial launches the same as it would if it were made now.
func sameLaunch(have, want cloud.Group) bool {
	sorted := func(s []string) []string { return slices.Sorted(slices.Values(s)) }
	switch {
	case have.Template != want.Template:
		return false
	case len(want.Subnets) > 0 && !slices.Equal(sorted(have.Subnets), sorted(want.Subnets)):
		return false // where it is said by zones, AWS chooses the subnets
	case !want.Mixed || want.InstanceType == "":
		return !have.Mixed
	}
	return have.InstanceType == want.InstanceType && overrideTemplate(have) == overrideTemplate(want)
}

// overrideTemplate returns id and version of the template of a group's first override, if it has its own.
func overrideTemplate(g cloud.Group) cloud.Template {
	if len(g.Overrides) == 0 || g.Overrides[0].Template == nil {
		return cloud.Template{}
	}
	t := *g.Overrides[0].Template
	t.Name = ""
	return t
}

// own refuses a group that is not a trial. Error: CodeNotFound, CodeForbidden.
func (c *Client) own(ctx context.Context, name string) (scalingtypes.AutoScalingGroup, error) {
	g, err := c.describe(ctx, name)
	if err != nil {
		return g, err
	}
	for _, tag := range g.Tags {
		if awssdk.ToString(tag.Key) == probeTag && awssdk.ToString(tag.Value) == "true" {
			return g, nil
		}
	}
	return g, &upgrade.Error{
		Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("the Auto Scaling group %s is not a test group: it lacks the tag %s", name, probeTag),
	}
}

// Continue lets an instance that waits in the trial's launch hook go into service. An instance that no
// longer waits is no error. Errors: CodeNotFound for an unknown group or instance. Permissions:
// autoscaling:CompleteLifecycleAction, autoscaling:DescribeAutoScalingGroups.
func (c *Client) Continue(ctx context.Context, group, instanceID string) error {
	return c.ask(ctx, "continue the launch of "+instanceID, func(ctx context.Context) error {
		_, err := c.scaling.complete(ctx, &autoscaling.CompleteLifecycleActionInput{
			AutoScalingGroupName: awssdk.String(group), LifecycleHookName: awssdk.String(launchHook),
			InstanceId: awssdk.String(instanceID), LifecycleActionResult: awssdk.String("CONTINUE"),
		})
		if err == nil {
			return nil
		}
		// The answer to a first try may have been lost; AWS has no code for "waits no longer".
		g, look := c.describe(ctx, group)
		if look != nil {
			return cmp.Or(look, err)
		}
		for _, i := range g.Instances {
			if awssdk.ToString(i.InstanceId) == instanceID {
				if i.LifecycleState == scalingtypes.LifecycleStatePendingWait {
					return err
				}
				return nil
			}
		}
		return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("%s is not in %s", instanceID, group), Cause: err}
	})
}

// SetDesired sets how many instances a trial wants: 0 stops it from launching again and again. Errors:
// CodeNotFound; CodeForbidden for a group that is not a trial. Permissions: autoscaling:SetDesiredCapacity,
// autoscaling:DescribeAutoScalingGroups.
func (c *Client) SetDesired(ctx context.Context, group string, n int) error {
	if n < 0 || n > 1 {
		return invalid("a test group has 0 or 1 instances, not %d", n)
	}
	return c.ask(ctx, fmt.Sprintf("set test group %s to %d", group, n), func(ctx context.Context) error {
		if _, err := c.own(ctx, group); err != nil {
			return err
		}
		return c.setDesired(ctx, group, n)
	})
}

func (c *Client) setDesired(ctx context.Context, group string, n int) error {
	_, err := c.scaling.desire(ctx, &autoscaling.SetDesiredCapacityInput{
		AutoScalingGroupName: awssdk.String(group), DesiredCapacity: awssdk.Int32(int32(n)), HonorCooldown: awssdk.Bool(false), //nolint:gosec // 0 or 1
	})
	return err
}

// EndTrial orders the end of a trial and of what it launched. It does not wait: ask Gone. A trial that is
// gone, or going, is no error. Error: CodeForbidden for a group that is not a trial. Permissions:
// autoscaling:DeleteAutoScalingGroup, autoscaling:SetDesiredCapacity, autoscaling:DescribeAutoScalingGroups.
func (c *Client) EndTrial(ctx context.Context, name string) error {
	return c.ask(ctx, "remove test group "+name, func(ctx context.Context) error {
		g, err := c.own(ctx, name)
		switch {
		case err != nil && upgrade.CodeOf(err) == upgrade.CodeNotFound:
			return nil
		case err != nil:
			return err
		case awssdk.ToString(g.Status) != "":
			return nil
		}
		return c.end(ctx, name)
	})
}

// end sets desired 0 first: if the deletion is refused, at least nothing is launched any more.
func (c *Client) end(ctx context.Context, name string) error {
	first := c.setDesired(ctx, name, 0)
	_, err := c.scaling.delete(ctx, &autoscaling.DeleteAutoScalingGroupInput{
		AutoScalingGroupName: awssdk.String(name), ForceDelete: awssdk.Bool(true),
	})
	if err == nil {
		c.cfg.Log.InfoContext(ctx, "test group removed", "group", name)
		return nil
	}
	// Somebody else, or a first try whose answer was lost, may have been faster.
	g, look := c.describe(ctx, name)
	switch {
	case look != nil && upgrade.CodeOf(look) == upgrade.CodeNotFound:
		return nil
	case look == nil && awssdk.ToString(g.Status) != "":
		return nil
	case first != nil:
		return fmt.Errorf("%w; nor could it be set to 0: %w", err, first)
	}
	return err
}

// Gone reports whether a trial and everything that it launched are gone. Permissions:
// autoscaling:DescribeAutoScalingGroups, ec2:DescribeInstances.
func (c *Client) Gone(ctx context.Context, name string) (gone bool, err error) {
	err = c.ask(ctx, "look whether test group "+name+" is gone", func(ctx context.Context) error {
		switch _, err := c.describe(ctx, name); {
		case err == nil:
			return nil
		case upgrade.CodeOf(err) != upgrade.CodeNotFound:
			return err
		}
		gone = true
		return c.eachInstance(ctx, append(
			filters("tag:"+groupTag, name),
			filters("instance-state-name", "pending", "running", "shutting-down", "stopping", "stopped")...,
		), func(ec2types.Instance) bool { gone = false; return false })
	})
	return gone && err == nil, err
}

// Trials returns every group that carries the tag of the gates, for the reaper. The versions of their
// templates are as AWS has them. Permission: autoscaling:DescribeAutoScalingGroups.
func (c *Client) Trials(ctx context.Context) ([]cloud.Group, error) {
	var out []cloud.Group
	err := c.ask(ctx, "list test groups", func(ctx context.Context) error {
		out = nil
		return c.eachGroup(ctx, "tag:"+probeTag, "true", func(g scalingtypes.AutoScalingGroup) error {
			one, err := toGroup(g)
			if err != nil && one.Name == "" {
				return err
			}
			out = append(out, one) // one without a template is a trial to end all the same
			return nil
		})
	})
	return out, err
}
