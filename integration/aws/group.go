package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// Group returns an Auto Scaling group. The version of its launch template is a number: $Latest and
// $Default are resolved as of now. Errors: CodeNotFound; CodeInvalid for a group with a launch
// configuration instead of a template.
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
		out.Template.Version, err = c.version(ctx, out.Template)
		return err
	})
	return out, err
}

// describe returns one group as the SDK has it. AWS answers an unknown name with an empty list.
func (c *Client) describe(ctx context.Context, name string) (scalingtypes.AutoScalingGroup, error) {
	answer, err := c.scaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		return scalingtypes.AutoScalingGroup{}, err
	}
	for _, g := range answer.AutoScalingGroups {
		if awssdk.ToString(g.AutoScalingGroupName) == name {
			return g, nil
		}
	}
	return scalingtypes.AutoScalingGroup{}, &upgrade.Error{
		Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no Auto Scaling group %s in %s", name, c.cfg.Region),
	}
}

// version resolves the version of a template to a number.
func (c *Client) version(ctx context.Context, t cloud.Template) (string, error) {
	if _, err := strconv.Atoi(t.Version); err == nil {
		return t.Version, nil
	}
	alias := t.Version
	if alias == "" {
		alias = "$Default"
	}
	answer, err := c.ec2.versions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{
		LaunchTemplateId: awssdk.String(t.ID), Versions: []string{alias},
	})
	if err != nil {
		return "", err
	}
	if len(answer.LaunchTemplateVersions) != 1 {
		return "", &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("launch template %s has no version %s", t.Name, alias)}
	}
	return strconv.FormatInt(awssdk.ToInt64(answer.LaunchTemplateVersions[0].VersionNumber), 10), nil
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
	spec := g.LaunchTemplate
	if mixed := g.MixedInstancesPolicy; mixed != nil && mixed.LaunchTemplate != nil {
		out.Mixed, spec = true, mixed.LaunchTemplate.LaunchTemplateSpecification
		if overrides := mixed.LaunchTemplate.Overrides; len(overrides) > 0 {
			out.InstanceType = awssdk.ToString(overrides[0].InstanceType)
		}
	}
	if spec == nil {
		return out, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "the Auto Scaling group " + out.Name + " has no launch template",
			Hint: "launch configurations cannot be tried: move the group to a launch template",
		}
	}
	out.Template = cloud.Template{
		ID: awssdk.ToString(spec.LaunchTemplateId), Name: awssdk.ToString(spec.LaunchTemplateName), Version: awssdk.ToString(spec.Version),
	}
	return out, nil
}

// maxActivities bounds what is read of a group's history.
const maxActivities = 500

// Activities returns a group's scaling activities, newest first: at most the 500 latest. Those of an
// earlier group of the same name are left out. Of a group that is deleted AWS keeps them for six weeks.
// Error: CodeNotFound.
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
		pages := autoscaling.NewDescribeScalingActivitiesPaginator(c.scaling, &autoscaling.DescribeScalingActivitiesInput{
			AutoScalingGroupName: awssdk.String(group), IncludeDeletedGroups: awssdk.Bool(true), MaxRecords: awssdk.Int32(100),
		})
		for pages.HasMorePages() && len(out) < maxActivities {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return notFound(err, group)
			}
			for _, a := range page.Activities {
				if of := awssdk.ToString(a.AutoScalingGroupARN); arn == "" || of == "" || of == arn {
					out = append(out, toActivity(a))
				}
			}
		}
		if arn == "" && len(out) == 0 {
			return noGroup(group, nil) // AWS may also answer with an empty list
		}
		return nil
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

// perQuestion is how many instances are asked about at once. EC2 allows 200 values of a filter and 100
// ids for their status.
const perQuestion = 100

// Instances returns those of the named instances that exist, in the order of ids, with their status
// checks as far as EC2 reports any. A terminated instance exists for about an hour.
func (c *Client) Instances(ctx context.Context, ids []string) ([]cloud.Instance, error) {
	found := map[string]cloud.Instance{}
	for some := range slices.Chunk(ids, perQuestion) {
		err := c.ask(ctx, "read instances", func(ctx context.Context) error { return c.instances(ctx, some, found) })
		if err != nil {
			return nil, err
		}
	}
	var out []cloud.Instance
	for _, id := range ids {
		if i, ok := found[id]; ok {
			out = append(out, i)
			delete(found, id) // named twice, returned once
		}
	}
	return out, nil
}

func (c *Client) instances(ctx context.Context, ids []string, found map[string]cloud.Instance) error {
	var running []string
	// By filter, not by id: one unknown id would make EC2 refuse the whole question.
	err := c.eachInstance(ctx, filters("instance-id", ids...), func(i ec2types.Instance) bool {
		one := toInstance(i)
		found[one.ID] = one
		if one.State == "running" {
			running = append(running, one.ID)
		}
		return true
	})
	if err != nil {
		return err
	}
	if len(running) == 0 {
		return nil
	}
	answer, err := c.ec2.status(ctx, &ec2.DescribeInstanceStatusInput{InstanceIds: running})
	if api := smithy.APIError(nil); errors.As(err, &api) && codeOf(api.ErrorCode(), 0) == upgrade.CodeNotFound {
		return nil // one of them has gone in between: the next look tells
	}
	if err != nil {
		return err
	}
	for _, s := range answer.InstanceStatuses {
		one := found[awssdk.ToString(s.InstanceId)]
		if s.SystemStatus != nil {
			one.SystemStatus = string(s.SystemStatus.Status)
		}
		if s.InstanceStatus != nil {
			one.InstanceStatus = string(s.InstanceStatus.Status)
		}
		found[one.ID] = one
	}
	return nil
}

// eachInstance calls do for each instance that passes the filters, until do returns false.
func (c *Client) eachInstance(ctx context.Context, pass []ec2types.Filter, do func(ec2types.Instance) bool) error {
	var next *string
	for {
		page, err := c.ec2.instances(ctx, &ec2.DescribeInstancesInput{Filters: pass, NextToken: next})
		if err != nil {
			return err
		}
		for _, reservation := range page.Reservations {
			for _, i := range reservation.Instances {
				if !do(i) {
					return nil
				}
			}
		}
		if next = page.NextToken; awssdk.ToString(next) == "" {
			return nil
		}
	}
}

func filters(name string, values ...string) []ec2types.Filter {
	return []ec2types.Filter{{Name: awssdk.String(name), Values: values}}
}

func toInstance(i ec2types.Instance) cloud.Instance {
	out := cloud.Instance{
		ID: awssdk.ToString(i.InstanceId), ImageID: awssdk.ToString(i.ImageId), Type: string(i.InstanceType),
		LaunchedAt: awssdk.ToTime(i.LaunchTime),
	}
	if i.State != nil {
		out.State = string(i.State.Name)
	}
	if i.StateReason != nil {
		out.StateReasonCode, out.StateReasonMessage = awssdk.ToString(i.StateReason.Code), awssdk.ToString(i.StateReason.Message)
	}
	if i.Placement != nil {
		out.Zone = awssdk.ToString(i.Placement.AvailabilityZone)
	}
	return out
}
