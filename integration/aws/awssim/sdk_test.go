package awssim_test

import (
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// TestLaunchInstancesBySDK asks the one action that Debian's command line is too old for with AWS's own
// library.
func TestLaunchInstancesBySDK(t *testing.T) {
	w := newWorld(t, nil)
	ami := w.sim.AddImage(awssim.Image{})
	w.cluster(t, ami, 0)
	client := autoscaling.NewFromConfig(awssdk.Config{
		Region: "eu-west-2", BaseEndpoint: awssdk.String(w.url),
		Credentials: credentials.NewStaticCredentialsProvider(awssim.DefaultKeyID, awssim.DefaultSecret, ""),
	})
	subnet := w.sim.Network("", "").Subnets[2]
	ask := func(token string) *autoscaling.LaunchInstancesOutput {
		t.Helper()
		out, err := client.LaunchInstances(t.Context(), &autoscaling.LaunchInstancesInput{
			AutoScalingGroupName: awssdk.String("ecs"), ClientToken: awssdk.String(token), RequestedCapacity: awssdk.Int32(2),
			SubnetIds: []string{subnet}, RetryStrategy: scalingtypes.RetryStrategyNone,
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := ask("a")
	if len(out.Instances) != 1 || len(out.Instances[0].InstanceIds) != 2 || awssdk.ToString(out.Instances[0].SubnetId) != subnet || len(out.Errors) != 0 {
		t.Errorf("got %+v %+v", out.Instances, out.Errors)
	}
	w.sim.RemoveImage(ami)
	out = ask("b")
	if len(out.Instances) != 0 || len(out.Errors) != 1 || awssdk.ToString(out.Errors[0].ErrorCode) != "InvalidAMIID.NotFound" {
		t.Errorf("of an image that is gone: %+v %+v", out.Instances, out.Errors)
	}
}
