package aws

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// newGroup is the request that creates a trial.
func newGroup(trial cloud.Trial) (*autoscaling.CreateAutoScalingGroupInput, error) {
	like := trial.Like
	switch {
	case trial.Tags[probeTag] != "true":
		return nil, invalid("a test group needs the tag %s=true, or nobody could find and remove it", probeTag)
	case like.Template.ID == "" || like.Template.Version == "" || strings.HasPrefix(like.Template.Version, "$"):
		return nil, invalid("a test group needs a launch template with a version that is a number")
	case trial.HookWait != 0 && (trial.HookWait < 30*time.Second || trial.HookWait > 2*time.Hour):
		return nil, invalid("a launch hook waits between 30 s and 2 h, not %s", trial.HookWait)
	}
	in := &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: awssdk.String(trial.Name),
		MinSize:              awssdk.Int32(0), MaxSize: awssdk.Int32(1), DesiredCapacity: awssdk.Int32(1),
		HealthCheckType:   awssdk.String("EC2"),
		CapacityRebalance: awssdk.Bool(false),
	}
	if len(like.Subnets) > 0 {
		in.VPCZoneIdentifier = awssdk.String(strings.Join(like.Subnets, ","))
	} else {
		in.AvailabilityZones = like.Zones
	}
	// The default role is what a group gets anyway; to name it would need iam:PassRole on top.
	if like.ServiceLinkedRoleARN != "" && !strings.HasSuffix(like.ServiceLinkedRoleARN, "/AWSServiceRoleForAutoScaling") {
		in.ServiceLinkedRoleARN = awssdk.String(like.ServiceLinkedRoleARN)
	}
	for _, key := range slices.Sorted(maps.Keys(trial.Tags)) {
		in.Tags = append(in.Tags, scalingtypes.Tag{
			Key: awssdk.String(key), Value: awssdk.String(trial.Tags[key]), PropagateAtLaunch: awssdk.Bool(true),
			ResourceId: awssdk.String(trial.Name), ResourceType: awssdk.String("auto-scaling-group"),
		})
	}
	if trial.HookWait > 0 {
		in.LifecycleHookSpecificationList = []scalingtypes.LifecycleHookSpecification{{
			LifecycleHookName: awssdk.String(launchHook), LifecycleTransition: awssdk.String("autoscaling:EC2_INSTANCE_LAUNCHING"),
			DefaultResult: awssdk.String("ABANDON"), HeartbeatTimeout: awssdk.Int32(int32(trial.HookWait / time.Second)), //nolint:gosec // at most two hours
		}}
	}
	spec := &scalingtypes.LaunchTemplateSpecification{LaunchTemplateId: awssdk.String(like.Template.ID), Version: awssdk.String(like.Template.Version)}
	if !like.Mixed || like.InstanceType == "" {
		in.LaunchTemplate = spec
		return in, nil
	}
	// Type and template come from the policy's first override; Spot is left out, for its refusals say
	// nothing about the template.
	override := scalingtypes.LaunchTemplateOverrides{InstanceType: awssdk.String(like.InstanceType)}
	if own := overrideTemplate(like); own.ID != "" {
		override.LaunchTemplateSpecification = &scalingtypes.LaunchTemplateSpecification{
			LaunchTemplateId: awssdk.String(own.ID), Version: awssdk.String(own.Version),
		}
	}
	in.MixedInstancesPolicy = &scalingtypes.MixedInstancesPolicy{
		LaunchTemplate: &scalingtypes.LaunchTemplate{
			LaunchTemplateSpecification: spec,
			Overrides:                   []scalingtypes.LaunchTemplateOverrides{override},
		},
		InstancesDistribution: &scalingtypes.InstancesDistribution{
			OnDemandBaseCapacity: awssdk.Int32(1), OnDemandPercentageAboveBaseCapacity: awssdk.Int32(100),
		},
	}
	return in, nil
}

func invalid(format string, args ...any) error {
	return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf(format, args...)}
}
