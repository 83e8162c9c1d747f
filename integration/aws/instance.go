package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// perQuestion is how many instances are asked about at once. EC2 allows 200 values of a filter and 100
// ids for their status.
const perQuestion = 100

// Instances returns those of the named instances that exist, in the order of ids, with their status
// checks as far as EC2 reports any. A terminated instance exists for about an hour. Permissions:
// ec2:DescribeInstances, ec2:DescribeInstanceStatus.
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
	return eachPage(func(next *string) (string, error) {
		page, err := c.ec2.instances(ctx, &ec2.DescribeInstancesInput{Filters: pass, NextToken: next})
		if err != nil {
			return "", err
		}
		for _, reservation := range page.Reservations {
			for _, i := range reservation.Instances {
				if !do(i) {
					return "", nil
				}
			}
		}
		return awssdk.ToString(page.NextToken), nil
	})
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

// Volumes returns the EBS volumes that are attached to an instance, or about to be, in order of their
// device names. Permission: ec2:DescribeVolumes.
func (c *Client) Volumes(ctx context.Context, instanceID string) ([]cloud.Volume, error) {
	var out []cloud.Volume
	err := c.ask(ctx, "read the volumes of "+instanceID, func(ctx context.Context) error {
		out = nil
		return eachPage(func(next *string) (string, error) {
			page, err := c.ec2.volumes(ctx, &ec2.DescribeVolumesInput{Filters: filters("attachment.instance-id", instanceID), NextToken: next})
			if err != nil {
				return "", err
			}
			for _, v := range page.Volumes {
				out = append(out, toVolume(v, instanceID))
			}
			return awssdk.ToString(page.NextToken), nil
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b cloud.Volume) int { return strings.Compare(a.Device, b.Device) })
	return out, nil
}

func toVolume(v ec2types.Volume, instanceID string) cloud.Volume {
	out := cloud.Volume{
		ID: awssdk.ToString(v.VolumeId), SnapshotID: awssdk.ToString(v.SnapshotId), State: string(v.State),
		Encrypted: awssdk.ToBool(v.Encrypted), KeyID: awssdk.ToString(v.KmsKeyId),
	}
	for _, a := range v.Attachments {
		if awssdk.ToString(a.InstanceId) == instanceID {
			out.Device, out.Attachment = awssdk.ToString(a.Device), string(a.State)
		}
	}
	return out
}

// Ping reports whether AWS Systems Manager hears from an instance's agent. One that never registered is
// not heard of. Permission: ssm:DescribeInstanceInformation.
func (c *Client) Ping(ctx context.Context, instanceID string) (online bool, err error) {
	err = c.ask(ctx, "ask Systems Manager for "+instanceID, func(ctx context.Context) error {
		return eachPage(func(next *string) (string, error) {
			page, err := c.ssm.nodes(ctx, &ssm.DescribeInstanceInformationInput{
				Filters:   []ssmtypes.InstanceInformationStringFilter{{Key: awssdk.String("InstanceIds"), Values: []string{instanceID}}},
				NextToken: next,
			})
			if err != nil {
				return "", err
			}
			for _, node := range page.InstanceInformationList {
				if awssdk.ToString(node.InstanceId) == instanceID {
					online = node.PingStatus == ssmtypes.PingStatusOnline
					return "", nil
				}
			}
			return awssdk.ToString(page.NextToken), nil // a page may be empty, and not the last
		})
	})
	return online && err == nil, err
}

// Console returns what an instance has written to its console so far, at most the last 64 KiB; what is no
// UTF-8 is replaced. An instance that has not written anything, or whose output EC2 has not fetched yet,
// has none. Only Nitro instances show it as it is written; of others EC2 fetches it some minutes after
// the start. Error: CodeNotFound. Permission: ec2:GetConsoleOutput.
func (c *Client) Console(ctx context.Context, instanceID string) (text string, err error) {
	err = c.ask(ctx, "read the console of "+instanceID, func(ctx context.Context) error {
		in := &ec2.GetConsoleOutputInput{InstanceId: awssdk.String(instanceID), Latest: awssdk.Bool(true)}
		answer, err := c.ec2.console(ctx, in)
		if api := smithy.APIError(nil); errors.As(err, &api) && api.ErrorCode() == "UnsupportedOperation" {
			in.Latest = nil
			answer, err = c.ec2.console(ctx, in)
		}
		if err != nil {
			return err
		}
		raw, err := base64.StdEncoding.DecodeString(awssdk.ToString(answer.Output))
		if err != nil {
			return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "AWS sent console output that cannot be read", Cause: err}
		}
		text = strings.ToValidUTF8(string(raw), "\uFFFD")
		return nil
	})
	return text, err
}
