package aws

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/upgradegate/upgradegate/integration/aws/intent"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

const (
	runTag    = "gate:run"
	intentTag = "gate:added" // on a real group that has one instance more, or is about to have
)

// AddOne asks one instance more of a real group. Of tags it needs gate:run, a word, and gate:expires, RFC
// 3339. The intent is written first, as the tag gate:added of the group, which is not propagated; so
// whatever happens in between, Added finds what there is to take back, and from AWS alone. It does not wait
// for the instance: Added tells it. Asked again by the same run it does what is left to do.
//
// Errors: CodeNotFound; CodeInvalid for tags; CodeConflict when another run has an instance more there, or
// the group has as many as it may, launches nothing, or does not count in instances. Permissions, on that
// group: autoscaling:CreateOrUpdateTags with aws:TagKeys gate:added, autoscaling:SetDesiredCapacity;
// autoscaling:DescribeAutoScalingGroups.
func (c *Client) AddOne(ctx context.Context, group string, tags map[string]string) error {
	want := intent.Intent{Run: tags[runTag]}
	want.Expires, _ = time.Parse(time.RFC3339, tags[expiresTag]) // refused as zero by Text
	if _, err := want.Text(); err != nil {
		return err
	}
	return c.ask(ctx, "ask one instance more of "+group, func(ctx context.Context) error {
		g, err := c.describe(ctx, group)
		if err != nil {
			return err
		}
		want.Desired = int(awssdk.ToInt32(g.DesiredCapacity))
		if c.recent.is(untaggedGroup, group) {
			return notYet("that the last instance more of " + group + " was taken back")
		}
		if value, there := intentOf(g); there {
			old, err := intentOfRun(group, value, want.Run)
			if err != nil {
				return err
			}
			if want.Desired > old.Desired {
				return nil // a first try has come that far
			}
		}
		if err := mayAdd(g); err != nil {
			return err
		}
		for _, i := range g.Instances {
			want.Remember(awssdk.ToString(i.InstanceId))
		}
		value, err := want.Text()
		if err != nil {
			return err
		}
		c.recent.note(taggedGroup, group)
		if _, err := c.scaling.tag(ctx, &autoscaling.CreateOrUpdateTagsInput{Tags: []scalingtypes.Tag{{
			Key: awssdk.String(intentTag), Value: awssdk.String(value), PropagateAtLaunch: awssdk.Bool(false),
			ResourceId: awssdk.String(group), ResourceType: awssdk.String("auto-scaling-group"),
		}}}); err != nil {
			return err
		}
		c.recent.note(raisedGroup, group)
		if err := c.setDesired(ctx, group, want.Desired+1); err != nil {
			if !upgrade.Transient(c.coded(err)) {
				c.recent.forget(raisedGroup, group)
			}
			return err
		}
		c.cfg.Log.InfoContext(ctx, "one instance more asked", "group", group, "desired", want.Desired+1)
		return nil
	})
}

// intentOf returns the value of the tag that AddOne writes.
func intentOf(g scalingtypes.AutoScalingGroup) (value string, there bool) {
	for _, tag := range g.Tags {
		if awssdk.ToString(tag.Key) == intentTag {
			return awssdk.ToString(tag.Value), true
		}
	}
	return "", false
}

// intentOfRun reads the tag, and refuses one that is not of the run.
func intentOfRun(group, value, run string) (intent.Intent, error) {
	i, ok := intent.Read(value)
	switch {
	case !ok:
		return i, &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("the tag %s of the Auto Scaling group %s cannot be read: %.80q", intentTag, group, value),
			Hint: "look whether the group has one instance more than it should, and remove the tag",
		}
	case i.Run != run:
		return i, &upgrade.Error{
			Code: upgrade.CodeConflict,
			Msg:  fmt.Sprintf("the Auto Scaling group %s has one instance more already, for run %s until %s", group, i.Run, i.Expires.Format(time.RFC3339)),
			Hint: "wait until it is taken back",
		}
	}
	return i, nil
}

// mayAdd refuses a group of which one instance more cannot be had, or not be taken back.
func mayAdd(g scalingtypes.AutoScalingGroup) error {
	name, most := awssdk.ToString(g.AutoScalingGroupName), awssdk.ToInt32(g.MaxSize)
	no := func(hint, format string, args ...any) error {
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the Auto Scaling group " + name + " " + fmt.Sprintf(format, args...), Hint: hint}
	}
	switch {
	case awssdk.ToString(g.Status) != "":
		return no("", "is being deleted")
	case awssdk.ToInt32(g.DesiredCapacity) >= most:
		return no("raise its max_size, or use the method temporary-group", "wants %d instances of at most %d: it can have none more",
			awssdk.ToInt32(g.DesiredCapacity), most)
	case slices.ContainsFunc(g.SuspendedProcesses, func(p scalingtypes.SuspendedProcess) bool { return awssdk.ToString(p.ProcessName) == "Launch" }):
		return no("resume it", "launches nothing: its process Launch is suspended")
	case weighted(g):
		return no("use the method temporary-group", "counts its capacity in weights or units, not in instances")
	}
	return nil
}

func weighted(g scalingtypes.AutoScalingGroup) bool {
	if kind := awssdk.ToString(g.DesiredCapacityType); kind != "" && kind != "units" {
		return true
	}
	mixed := g.MixedInstancesPolicy
	return mixed != nil && mixed.LaunchTemplate != nil && slices.ContainsFunc(mixed.LaunchTemplate.Overrides, func(o scalingtypes.LaunchTemplateOverrides) bool {
		return awssdk.ToString(o.WeightedCapacity) != ""
	})
}

// Added returns every real group that has one instance more for a gate, or was about to, and which instance
// that is: the first of those launched since, of whatever state, that is not about to go. Permissions:
// autoscaling:DescribeAutoScalingGroups, ec2:DescribeInstances.
func (c *Client) Added(ctx context.Context) ([]cloud.Added, error) {
	var out []cloud.Added
	err := c.ask(ctx, "list groups with one instance more", func(ctx context.Context) error {
		return c.eachGroup(ctx, "tag-key", intentTag, func(g scalingtypes.AutoScalingGroup) error {
			value, _ := intentOf(g)
			one := cloud.Added{Group: awssdk.ToString(g.AutoScalingGroupName)}
			if i, ok := intent.Read(value); ok {
				one.Run, one.Expires, one.Desired = i.Run, i.Expires, i.Desired
				var err error
				if one.InstanceID, err = c.first(ctx, newcomers(g, i)); err != nil {
					return err
				}
			}
			out = append(out, one)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// newcomers returns the instances that a group launched since the intent was written and keeps.
func newcomers(g scalingtypes.AutoScalingGroup, i intent.Intent) []string {
	var out []string
	for _, m := range g.Instances {
		id, state := awssdk.ToString(m.InstanceId), string(m.LifecycleState)
		if !strings.HasPrefix(state, "Terminat") && !strings.HasPrefix(state, "Detach") && !i.Knows(id) {
			out = append(out, id)
		}
	}
	return out
}

// first returns which of some instances was launched first, "" of none.
func (c *Client) first(ctx context.Context, ids []string) (string, error) {
	if len(ids) < 2 {
		return strings.Join(ids, ""), nil
	}
	found := map[string]cloud.Instance{}
	if err := c.instances(ctx, ids, found); err != nil {
		return "", err
	}
	return slices.MinFunc(ids, func(a, b string) int {
		return cmp.Or(found[a].LaunchedAt.Compare(found[b].LaunchedAt), strings.Compare(a, b))
	}), nil
}
