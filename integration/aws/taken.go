package aws

import (
	"context"
	"slices"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/upgradegate/upgradegate/integration/aws/intent"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// takeTries is how often TakeOne looks anew when the instance that it wants to take goes by itself.
const takeTries = 3

// TakeOne takes back what AddOne added for added.Run: it ends added.InstanceID, if the group launched that
// since, else the first that it did, and lowers the desired capacity with it; where nothing came, it lowers
// the desired capacity alone. The tag goes last, so it can be asked again until it is done. A group that is
// gone, or has no tag, is no error, nor is one that wants no more than before: then somebody else has taken
// one. It does not wait for the instance to be gone.
//
// Errors: CodeConflict when the tag is another run's or cannot be read; CodeUnavailable while AWS may not show
// yet what was asked of it a moment ago: then ask again. Permissions, on that group:
// autoscaling:TerminateInstanceInAutoScalingGroup, autoscaling:SetDesiredCapacity, autoscaling:DeleteTags
// with aws:TagKeys gate:added; autoscaling:DescribeAutoScalingGroups, ec2:DescribeInstances.
func (c *Client) TakeOne(ctx context.Context, added cloud.Added) error {
	return c.ask(ctx, "take back one instance of "+added.Group, func(ctx context.Context) error {
		for range takeTries {
			g, err := c.describe(ctx, added.Group)
			if err != nil {
				if upgrade.CodeOf(c.coded(err)) == upgrade.CodeNotFound {
					return nil
				}
				return err
			}
			value, there := intentOf(g)
			switch {
			case !there && c.recent.is(taggedGroup, added.Group):
				return notYet("that one instance more was asked of " + added.Group)
			case !there, c.recent.is(untaggedGroup, added.Group):
				return nil
			}
			c.recent.forget(taggedGroup, added.Group)
			i, err := intentOfRun(added.Group, value, added.Run)
			if err != nil {
				return err
			}
			if done, err := c.takeBack(ctx, g, i, added.InstanceID); err != nil || done {
				return err
			}
		}
		return &upgrade.Error{
			Code: upgrade.CodeUnavailable, RetryAfter: stillGoing, Msg: "the instances of " + added.Group + " come and go: none could be taken back",
		}
	})
}

// takeBack does so once. It reports done = false when the instance went by itself meanwhile.
func (c *Client) takeBack(ctx context.Context, g scalingtypes.AutoScalingGroup, i intent.Intent, prefer string) (done bool, err error) {
	group, desired := awssdk.ToString(g.AutoScalingGroupName), int(awssdk.ToInt32(g.DesiredCapacity))
	switch {
	case desired > i.Desired && int(awssdk.ToInt32(g.MinSize)) < desired:
		since := newcomers(g, i)
		if slices.Contains(since, prefer) {
			since = []string{prefer}
		}
		id, err := c.first(ctx, since)
		if err != nil {
			return false, err
		}
		if gone, err := c.shrink(ctx, group, id, desired-1); err != nil || gone {
			return false, err
		}
	case desired <= i.Desired && c.recent.is(raisedGroup, group):
		return false, notYet("that " + group + " wants one instance more") // or somebody has lowered it at once
	}
	// Else there is nothing to take: somebody has lowered it, or has made it the least that the group may have.
	_, err = c.scaling.untag(ctx, &autoscaling.DeleteTagsInput{Tags: []scalingtypes.Tag{{
		Key: awssdk.String(intentTag), ResourceId: awssdk.String(group), ResourceType: awssdk.String("auto-scaling-group"),
	}}})
	if err != nil {
		return false, err
	}
	c.recent.note(untaggedGroup, group)
	c.cfg.Log.InfoContext(ctx, "one instance less asked", "group", group)
	return true, nil
}

// shrink ends one instance, and has the group want one less. Without an instance it lowers what the group
// wants alone, which then has fewer than that, so that no other has to go; not while one may have come that
// is not shown yet. It reports gone = true when the group has no such instance any more.
//
// The call that ends one is not repeated when its answer is lost: a second would lower the desired capacity
// once more. Whoever asks again looks first.
func (c *Client) shrink(ctx context.Context, group, instanceID string, desired int) (gone bool, err error) {
	switch {
	case instanceID == "" && c.recent.is(raisedGroup, group):
		return false, notYet("the instance that " + group + " was asked for")
	case instanceID == "":
		return false, c.setDesired(ctx, group, desired)
	case c.recent.is(endedInstance, instanceID):
		return false, nil
	case c.recent.is(endingMaybe, instanceID):
		return false, notYet("what became of " + instanceID)
	}
	c.recent.note(endingMaybe, instanceID)
	_, err = c.scaling.terminate(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
		InstanceId: awssdk.String(instanceID), ShouldDecrementDesiredCapacity: awssdk.Bool(true),
	}, func(o *autoscaling.Options) { o.RetryMaxAttempts = 1 })
	if err == nil {
		c.recent.note(endedInstance, instanceID)
		return false, nil
	}
	if code := upgrade.CodeOf(c.coded(err)); code != upgrade.CodeUnavailable {
		c.recent.forget(endingMaybe, instanceID) // it was refused
	}
	if isCode(err, upgrade.CodeInvalid) {
		return true, nil // AWS has no code of its own for an instance that is no member
	}
	return false, err
}
