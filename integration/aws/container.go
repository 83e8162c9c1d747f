package aws

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// notYetActive is how long to wait for a container instance that is still registering.
const notYetActive = 5 * time.Second

// instanceForm is an EC2 instance's id: nothing else may get into a filter's expression.
var instanceForm = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)

// Containers returns which of the named EC2 instances are registered in an ECS cluster, given by its name or
// ARN, in the order of instanceIDs. An instance registers itself, some minutes after its start. Errors:
// CodeNotFound for the cluster; CodeInvalid for what is no instance's id. Permissions:
// ecs:ListContainerInstances on the cluster, ecs:DescribeContainerInstances.
func (c *Client) Containers(ctx context.Context, cluster string, instanceIDs []string) ([]cloud.Container, error) {
	for _, id := range instanceIDs {
		if !instanceForm.MatchString(id) {
			return nil, invalid("%q is not the id of an EC2 instance", id)
		}
	}
	found := map[string]cloud.Container{}
	for some := range slices.Chunk(instanceIDs, perQuestion) {
		err := c.ask(ctx, "read the container instances of cluster "+cluster, func(ctx context.Context) error {
			var arns []string
			err := eachPage(func(next *string) (string, error) {
				page, err := c.ecs.list(ctx, &ecs.ListContainerInstancesInput{
					Cluster: awssdk.String(cluster), Filter: awssdk.String("ec2InstanceId in [" + strings.Join(some, ", ") + "]"), NextToken: next,
				})
				if err != nil {
					return "", err
				}
				arns = append(arns, page.ContainerInstanceArns...)
				return awssdk.ToString(page.NextToken), nil
			})
			if err != nil {
				return err
			}
			all, err := c.containers(ctx, cluster, arns)
			for _, one := range all {
				found[one.InstanceID] = one
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var out []cloud.Container
	for _, id := range instanceIDs {
		if one, ok := found[id]; ok {
			out = append(out, one)
			delete(found, id) // named twice, returned once
		}
	}
	return out, nil
}

// containers describes container instances. One that has gone meanwhile is left out.
func (c *Client) containers(ctx context.Context, cluster string, arns []string) ([]cloud.Container, error) {
	var out []cloud.Container
	for some := range slices.Chunk(arns, perQuestion) {
		answer, err := c.ecs.containers(ctx, &ecs.DescribeContainerInstancesInput{Cluster: awssdk.String(cluster), ContainerInstances: some})
		if err != nil {
			return nil, err
		}
		for _, i := range answer.ContainerInstances {
			out = append(out, cloud.Container{
				ARN: awssdk.ToString(i.ContainerInstanceArn), InstanceID: awssdk.ToString(i.Ec2InstanceId), Status: awssdk.ToString(i.Status),
				Connected: i.AgentConnected, Running: int(i.RunningTasksCount),
			})
		}
	}
	return out, nil
}

// Drain keeps an ECS cluster from placing tasks on a container instance that a gate started. One that is
// draining is no error. Errors: CodeNotFound for the cluster or the container instance; CodeUnavailable
// while it is not active yet; CodeForbidden for an instance without the tag of the gates, whoever may.
// Permissions: ecs:UpdateContainerInstancesState and ecs:DescribeContainerInstances on the cluster,
// ec2:DescribeInstances.
func (c *Client) Drain(ctx context.Context, cluster, containerARN string) error {
	return c.ask(ctx, "drain "+containerARN, func(ctx context.Context) error {
		all, err := c.containers(ctx, cluster, []string{containerARN})
		if err != nil {
			return err
		}
		gone := &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no container instance %s in cluster %s", containerARN, cluster)}
		if len(all) == 0 {
			return gone
		}
		one := all[0]
		probe := false
		err = c.eachInstance(ctx, append(filters("instance-id", one.InstanceID), filters("tag:"+probeTag, "true")...), func(ec2types.Instance) bool {
			probe = true
			return false
		})
		switch {
		case err != nil:
			return err
		case !probe:
			return &upgrade.Error{
				Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("%s is not drained: no gate started it, for it lacks the tag %s", one.InstanceID, probeTag),
			}
		case one.Status == string(ecstypes.ContainerInstanceStatusDraining):
			return nil
		case one.Status != string(ecstypes.ContainerInstanceStatusActive):
			return &upgrade.Error{
				Code: upgrade.CodeUnavailable, RetryAfter: notYetActive,
				Msg: fmt.Sprintf("%s is %s in cluster %s: it can be drained once it is ACTIVE", one.InstanceID, one.Status, cluster),
			}
		}
		answer, err := c.ecs.state(ctx, &ecs.UpdateContainerInstancesStateInput{
			Cluster: awssdk.String(cluster), ContainerInstances: []string{containerARN}, Status: ecstypes.ContainerInstanceStatusDraining,
		})
		if err != nil {
			return err
		}
		if len(answer.Failures) > 0 {
			reason := awssdk.ToString(answer.Failures[0].Reason)
			if reason == "MISSING" {
				return gone
			}
			return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("ECS could not drain %s: %s", one.InstanceID, reason)}
		}
		c.cfg.Log.InfoContext(ctx, "test instance draining", "instance", one.InstanceID, "cluster", cluster)
		return nil
	})
}
