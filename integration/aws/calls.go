package aws

import (
	"context"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// call is one operation of a service.
type call[In, Out, Options any] func(context.Context, *In, ...func(*Options)) (*Out, error)

// calls are the operations that are used, instead of the clients that have all of them, 800 in EC2 alone:
// where html/template is in a program, the linker keeps every method that reflection could reach.
type calls struct {
	scaling scalingCalls
	ec2     ec2Calls
	kms     kmsCalls
	ecs     ecsCalls
	ssm     ssmCalls
	trail   trailCalls
}

type scalingCalls struct {
	create     call[autoscaling.CreateAutoScalingGroupInput, autoscaling.CreateAutoScalingGroupOutput, autoscaling.Options]
	suspend    call[autoscaling.SuspendProcessesInput, autoscaling.SuspendProcessesOutput, autoscaling.Options]
	complete   call[autoscaling.CompleteLifecycleActionInput, autoscaling.CompleteLifecycleActionOutput, autoscaling.Options]
	desire     call[autoscaling.SetDesiredCapacityInput, autoscaling.SetDesiredCapacityOutput, autoscaling.Options]
	delete     call[autoscaling.DeleteAutoScalingGroupInput, autoscaling.DeleteAutoScalingGroupOutput, autoscaling.Options]
	groups     call[autoscaling.DescribeAutoScalingGroupsInput, autoscaling.DescribeAutoScalingGroupsOutput, autoscaling.Options]
	activities call[autoscaling.DescribeScalingActivitiesInput, autoscaling.DescribeScalingActivitiesOutput, autoscaling.Options]
	tag        call[autoscaling.CreateOrUpdateTagsInput, autoscaling.CreateOrUpdateTagsOutput, autoscaling.Options]
	untag      call[autoscaling.DeleteTagsInput, autoscaling.DeleteTagsOutput, autoscaling.Options]
	terminate  call[autoscaling.TerminateInstanceInAutoScalingGroupInput, autoscaling.TerminateInstanceInAutoScalingGroupOutput, autoscaling.Options]
}

type ec2Calls struct {
	instances  call[ec2.DescribeInstancesInput, ec2.DescribeInstancesOutput, ec2.Options]
	status     call[ec2.DescribeInstanceStatusInput, ec2.DescribeInstanceStatusOutput, ec2.Options]
	versions   call[ec2.DescribeLaunchTemplateVersionsInput, ec2.DescribeLaunchTemplateVersionsOutput, ec2.Options]
	images     call[ec2.DescribeImagesInput, ec2.DescribeImagesOutput, ec2.Options]
	snapshots  call[ec2.DescribeSnapshotsInput, ec2.DescribeSnapshotsOutput, ec2.Options]
	volumes    call[ec2.DescribeVolumesInput, ec2.DescribeVolumesOutput, ec2.Options]
	console    call[ec2.GetConsoleOutputInput, ec2.GetConsoleOutputOutput, ec2.Options]
	defaultKey call[ec2.GetEbsDefaultKmsKeyIdInput, ec2.GetEbsDefaultKmsKeyIdOutput, ec2.Options]
	encrypts   call[ec2.GetEbsEncryptionByDefaultInput, ec2.GetEbsEncryptionByDefaultOutput, ec2.Options]
}

type kmsCalls struct {
	key    call[kms.DescribeKeyInput, kms.DescribeKeyOutput, kms.Options]
	grants call[kms.ListGrantsInput, kms.ListGrantsOutput, kms.Options]
	policy call[kms.GetKeyPolicyInput, kms.GetKeyPolicyOutput, kms.Options]
}

type ecsCalls struct {
	list       call[ecs.ListContainerInstancesInput, ecs.ListContainerInstancesOutput, ecs.Options]
	containers call[ecs.DescribeContainerInstancesInput, ecs.DescribeContainerInstancesOutput, ecs.Options]
	state      call[ecs.UpdateContainerInstancesStateInput, ecs.UpdateContainerInstancesStateOutput, ecs.Options]
}

type ssmCalls struct {
	parameter  call[ssm.GetParameterInput, ssm.GetParameterOutput, ssm.Options]
	nodes      call[ssm.DescribeInstanceInformationInput, ssm.DescribeInstanceInformationOutput, ssm.Options]
	send       call[ssm.SendCommandInput, ssm.SendCommandOutput, ssm.Options]
	invocation call[ssm.GetCommandInvocationInput, ssm.GetCommandInvocationOutput, ssm.Options]
}

type trailCalls struct {
	lookup call[cloudtrail.LookupEventsInput, cloudtrail.LookupEventsOutput, cloudtrail.Options]
}

func callsOf(cfg awssdk.Config) calls {
	as := autoscaling.NewFromConfig(cfg)
	ec := ec2.NewFromConfig(cfg)
	km := kms.NewFromConfig(cfg)
	cs := ecs.NewFromConfig(cfg)
	sm := ssm.NewFromConfig(cfg)
	ct := cloudtrail.NewFromConfig(cfg)
	return calls{
		scaling: scalingCalls{
			create: as.CreateAutoScalingGroup, suspend: as.SuspendProcesses, complete: as.CompleteLifecycleAction,
			desire: as.SetDesiredCapacity, delete: as.DeleteAutoScalingGroup, groups: as.DescribeAutoScalingGroups,
			activities: as.DescribeScalingActivities, tag: as.CreateOrUpdateTags, untag: as.DeleteTags,
			terminate: as.TerminateInstanceInAutoScalingGroup,
		},
		ec2: ec2Calls{
			instances: ec.DescribeInstances, status: ec.DescribeInstanceStatus, versions: ec.DescribeLaunchTemplateVersions,
			images: ec.DescribeImages, snapshots: ec.DescribeSnapshots, volumes: ec.DescribeVolumes,
			console: ec.GetConsoleOutput, defaultKey: ec.GetEbsDefaultKmsKeyId, encrypts: ec.GetEbsEncryptionByDefault,
		},
		kms: kmsCalls{
			key: km.DescribeKey, grants: km.ListGrants, policy: km.GetKeyPolicy,
		},
		ecs: ecsCalls{
			list: cs.ListContainerInstances, containers: cs.DescribeContainerInstances, state: cs.UpdateContainerInstancesState,
		},
		ssm: ssmCalls{
			parameter: sm.GetParameter, nodes: sm.DescribeInstanceInformation, send: sm.SendCommand, invocation: sm.GetCommandInvocation,
		},
		trail: trailCalls{
			lookup: ct.LookupEvents,
		},
	}
}

// eachPage calls ask with the token of one page after another, beginning with none, until ask returns no
// token for a next one.
func eachPage(ask func(token *string) (next string, err error)) error {
	var token *string
	for {
		next, err := ask(token)
		if err != nil || next == "" {
			return err
		}
		token = &next
	}
}
