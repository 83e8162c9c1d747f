package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// Group returns an Auto Scaling group. The versions of its launch template, and of those that overrides
// name, are numbers: $Latest and $Default are resolved as of now. Errors: CodeNotFound; CodeInvalid for a
// group with a launch configuration instead of a template. Permissions:
// autoscaling:DescribeAutoScalingGroups, ec2:DescribeLaunchTemplateVersions.
func (c *Client) Group(ctx context.Context, name string) (cloud.Group, error) {
	var out cloud.Group
	err := c.ask(ctx, "read Auto Scaling group "+name, func(ctx context.Context) error {
		group, err := c.describe(ctx, name)
		if err != nil {
			return err
		}
		if out, err = toGroup(group); err != nil {
			return err
		}
		if out.Template, err = c.resolve(ctx, out.Template); err != nil {
			return err
		}
		for i, o := range out.Overrides {
			if o.Template == nil {
				continue
			}
			t, err := c.resolve(ctx, *o.Template)
			if err != nil {
				return err
			}
			out.Overrides[i].Template = &t
		}
		return nil
	})
	return out, err
}

// describe returns one group as the SDK has it. AWS answers an unknown name with an empty list; for a trial
// that was made a moment ago that says nothing.
func (c *Client) describe(ctx context.Context, name string) (scalingtypes.AutoScalingGroup, error) {
	answer, err := c.scaling.groups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		return scalingtypes.AutoScalingGroup{}, err
	}
	for _, g := range answer.AutoScalingGroups {
		if awssdk.ToString(g.AutoScalingGroupName) == name {
			c.recent.forget(madeGroup, name)
			return g, nil
		}
	}
	if c.recent.is(madeGroup, name) {
		return scalingtypes.AutoScalingGroup{}, notYet("the test group " + name + ", which was just made")
	}
	return scalingtypes.AutoScalingGroup{}, &upgrade.Error{
		Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no Auto Scaling group %s in %s", name, c.cfg.Region),
	}
}

// eachGroup calls do for each group that passes a filter, until do returns an error.
func (c *Client) eachGroup(ctx context.Context, filter, value string, do func(scalingtypes.AutoScalingGroup) error) error {
	return eachPage(func(next *string) (string, error) {
		page, err := c.scaling.groups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{
			Filters: []scalingtypes.Filter{{Name: awssdk.String(filter), Values: []string{value}}}, NextToken: next,
		})
		if err != nil {
			return "", err
		}
		for _, g := range page.AutoScalingGroups {
			if err := do(g); err != nil {
				return "", err
			}
		}
		return awssdk.ToString(page.NextToken), nil
	})
}

// toGroup translates a group. Its template's version is as AWS has it.
func toGroup(g scalingtypes.AutoScalingGroup) (cloud.Group, error) {
	out := cloud.Group{
		Name: awssdk.ToString(g.AutoScalingGroupName), ARN: awssdk.ToString(g.AutoScalingGroupARN),
		Min: int(awssdk.ToInt32(g.MinSize)), Max: int(awssdk.ToInt32(g.MaxSize)), Desired: int(awssdk.ToInt32(g.DesiredCapacity)),
		Zones: g.AvailabilityZones, ServiceLinkedRoleARN: awssdk.ToString(g.ServiceLinkedRoleARN),
		HealthCheckType: awssdk.ToString(g.HealthCheckType), Status: awssdk.ToString(g.Status), Tags: map[string]string{},
		HealthCheckGrace: time.Duration(awssdk.ToInt32(g.HealthCheckGracePeriod)) * time.Second,
		Subnets:          strings.FieldsFunc(awssdk.ToString(g.VPCZoneIdentifier), func(r rune) bool { return r == ',' || r == ' ' }),
	}
	for _, tag := range g.Tags {
		out.Tags[awssdk.ToString(tag.Key)] = awssdk.ToString(tag.Value)
	}
	for _, i := range g.Instances {
		out.Members = append(out.Members, cloud.Member{
			InstanceID: awssdk.ToString(i.InstanceId), Lifecycle: string(i.LifecycleState),
			Health: awssdk.ToString(i.HealthStatus), Zone: awssdk.ToString(i.AvailabilityZone),
		})
	}
	for _, p := range g.SuspendedProcesses {
		out.Suspended = append(out.Suspended, awssdk.ToString(p.ProcessName))
	}
	spec := g.LaunchTemplate
	if mixed := g.MixedInstancesPolicy; mixed != nil && mixed.LaunchTemplate != nil {
		out.Mixed, spec = true, mixed.LaunchTemplate.LaunchTemplateSpecification
		for _, o := range mixed.LaunchTemplate.Overrides {
			out.Overrides = append(out.Overrides, toOverride(o))
		}
		if len(out.Overrides) > 0 {
			out.InstanceType = out.Overrides[0].InstanceType
		}
	}
	if spec == nil {
		return out, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "the Auto Scaling group " + out.Name + " has no launch template",
			Hint: "launch configurations cannot be tried: move the group to a launch template",
		}
	}
	out.Template = toTemplate(spec)
	return out, nil
}

// toOverride translates an entry of a mixed-instances policy. One that asks for properties of a type, and
// not for a type, has no type.
func toOverride(o scalingtypes.LaunchTemplateOverrides) cloud.Override {
	out := cloud.Override{InstanceType: awssdk.ToString(o.InstanceType)}
	if o.LaunchTemplateSpecification != nil {
		t := toTemplate(o.LaunchTemplateSpecification)
		out.Template = &t
	}
	return out
}

func toTemplate(spec *scalingtypes.LaunchTemplateSpecification) cloud.Template {
	return cloud.Template{
		ID: awssdk.ToString(spec.LaunchTemplateId), Name: awssdk.ToString(spec.LaunchTemplateName), Version: awssdk.ToString(spec.Version),
	}
}

// maxActivities bounds what is read of a group's history.
const maxActivities = 500

// Activities returns a group's scaling activities, newest first: at most the 500 latest. Those of an
// earlier group of the same name are left out. Of a group that is deleted AWS keeps them for six weeks.
// Error: CodeNotFound. Permissions: autoscaling:DescribeAutoScalingGroups, autoscaling:DescribeScalingActivities.
func (c *Client) Activities(ctx context.Context, group string) ([]cloud.Activity, error) {
	var out []cloud.Activity
	err := c.ask(ctx, "read the scaling activities of "+group, func(ctx context.Context) error {
		arn := ""
		switch g, err := c.describe(ctx, group); {
		case err == nil:
			arn = awssdk.ToString(g.AutoScalingGroupARN)
		case upgrade.CodeOf(err) != upgrade.CodeNotFound:
			return err
		}
		err := eachPage(func(next *string) (string, error) {
			page, err := c.scaling.activities(ctx, &autoscaling.DescribeScalingActivitiesInput{
				AutoScalingGroupName: awssdk.String(group), IncludeDeletedGroups: awssdk.Bool(true), MaxRecords: awssdk.Int32(100), NextToken: next,
			})
			if err != nil {
				return "", notFound(err, group)
			}
			for _, a := range page.Activities {
				if of := awssdk.ToString(a.AutoScalingGroupARN); arn == "" || of == "" || of == arn {
					out = append(out, toActivity(a))
				}
			}
			if len(out) >= maxActivities {
				return "", nil
			}
			return awssdk.ToString(page.NextToken), nil
		})
		if err == nil && arn == "" && len(out) == 0 {
			return noGroup(group, nil) // AWS may also answer with an empty list
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b cloud.Activity) int { return b.Start.Compare(a.Start) })
	return out, nil
}

// notFound reads a ValidationError to a question that holds nothing but a group's name: there is no such
// group. AWS has no code of its own for that.
func notFound(err error, group string) error {
	if api := smithy.APIError(nil); errors.As(err, &api) && api.ErrorCode() == "ValidationError" {
		return noGroup(group, err)
	}
	return err
}

func noGroup(group string, cause error) error {
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: "there is no Auto Scaling group " + group, Cause: cause}
}

func toActivity(a scalingtypes.Activity) cloud.Activity {
	return cloud.Activity{
		ID: awssdk.ToString(a.ActivityId), Status: string(a.StatusCode), StatusMessage: awssdk.ToString(a.StatusMessage),
		Description: awssdk.ToString(a.Description), Cause: awssdk.ToString(a.Cause), Progress: int(awssdk.ToInt32(a.Progress)),
		Start: awssdk.ToTime(a.StartTime), End: awssdk.ToTime(a.EndTime),
	}
}
