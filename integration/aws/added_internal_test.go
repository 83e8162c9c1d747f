package aws

import (
	"slices"
	"testing"

	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/upgradegate/upgradegate/integration/aws/intent"
)

// TestNewcomers: one that is about to go needs no taking back.
func TestNewcomers(t *testing.T) {
	var before intent.Intent
	before.Remember("i-0a1b2c3d4e5f60718")
	var g scalingtypes.AutoScalingGroup
	for id, state := range map[string]scalingtypes.LifecycleState{
		"i-0a1b2c3d4e5f60718": "InService", "i-0000000000000aaaa": "Pending:Wait", "i-0000000000000bbbb": "Terminating:Wait",
		"i-0000000000000cccc": "Terminated", "i-0000000000000dddd": "Detaching", "i-0000000000000eeee": "Standby",
	} {
		g.Instances = append(g.Instances, scalingtypes.Instance{InstanceId: &id, LifecycleState: state})
	}
	got := slices.Sorted(slices.Values(newcomers(g, before)))
	if want := []string{"i-0000000000000aaaa", "i-0000000000000eeee"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
