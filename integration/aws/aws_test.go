package aws_test

import (
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// start starts a trial like the world's group.
func start(t *testing.T, w *world, c *aws.Client) cloud.Trial {
	t.Helper()
	like, err := c.Group(t.Context(), w.group)
	if err != nil {
		t.Fatal(err)
	}
	want := trial(like)
	if err := c.StartTrial(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	return want
}

func TestGroupResolvesTheVersion(t *testing.T) {
	for alias, want := range map[string]string{"$Latest": "2", "$Default": "1", "1": "1"} {
		t.Run(strings.Trim(alias, "$"), func(t *testing.T) {
			w := newWorld(t, nil)
			_, err := w.scaling.UpdateAutoScalingGroup(t.Context(), &autoscaling.UpdateAutoScalingGroupInput{
				AutoScalingGroupName: awssdk.String(w.group),
				LaunchTemplate:       &scalingtypes.LaunchTemplateSpecification{LaunchTemplateId: awssdk.String(w.tmpl), Version: awssdk.String(alias)},
			})
			if err != nil {
				t.Fatal(err)
			}
			g, err := w.client(t, nil).Group(t.Context(), w.group)
			if err != nil {
				t.Fatal(err)
			}
			if g.Template.Version != want || g.HealthCheckGrace != 90*time.Second || g.Tags["Name"] != "ecs" || g.Mixed {
				t.Errorf("got %+v, want version %s", g, want)
			}
		})
	}
}

func TestMixedGroup(t *testing.T) {
	w := newWorld(t, nil)
	w.grant(t)
	ctx := t.Context()
	_, err := w.scaling.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: awssdk.String(w.group),
		MixedInstancesPolicy: &scalingtypes.MixedInstancesPolicy{
			LaunchTemplate: &scalingtypes.LaunchTemplate{
				LaunchTemplateSpecification: &scalingtypes.LaunchTemplateSpecification{LaunchTemplateId: awssdk.String(w.tmpl), Version: awssdk.String("$Default")},
				Overrides:                   []scalingtypes.LaunchTemplateOverrides{{InstanceType: awssdk.String("m6i.large")}, {InstanceType: awssdk.String("m5.large")}},
			},
			InstancesDistribution: &scalingtypes.InstancesDistribution{OnDemandPercentageAboveBaseCapacity: awssdk.Int32(0)},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := w.client(t, nil)
	like, err := c.Group(ctx, w.group)
	if err != nil {
		t.Fatal(err)
	}
	if !like.Mixed || like.InstanceType != "m6i.large" || like.Template.Version != "1" {
		t.Fatalf("got %+v", like)
	}
	want := start(t, w, c)
	w.pass(time.Minute)
	got, err := c.Group(ctx, want.Name)
	if err != nil {
		t.Fatal(err)
	}
	instances, err := c.Instances(ctx, []string{got.Members[0].InstanceID})
	if err != nil {
		t.Fatal(err)
	}
	if got.Template != like.Template || instances[0].Type != "m6i.large" {
		t.Errorf("the trial has %+v and launched %+v", got.Template, instances)
	}
}

// TestLaunchWithoutGrant is the incident: the role lost its grant. AWS keeps trying until desired is 0.
func TestLaunchWithoutGrant(t *testing.T) {
	for _, tc := range []struct {
		name string
		how  awssim.Failure
	}{
		{"as_documented", awssim.Failure{Code: "Client.InternalError", Message: "Client error on launch", Status: "Failed"}},
		{"as_reported", awssim.Failure{
			Code: "Client.InvalidKMSKey.InvalidState", Message: "The KMS key provided is in an incorrect state", Status: "Cancelled",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, func(cfg *awssim.Config) { cfg.Denial = tc.how })
			c := w.client(t, nil)
			ctx := t.Context()
			name := start(t, w, c).Name
			w.pass(5 * time.Minute)
			before, err := c.Activities(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			if len(before) < 3 {
				t.Fatalf("AWS tried %d times in 5 minutes, want it to try again and again", len(before))
			}
			first := before[len(before)-1]
			reason := tc.how.Code + ": " + tc.how.Message
			if first.Status != tc.how.Status || !strings.HasSuffix(first.StatusMessage, "Termination Reason: "+reason) {
				t.Errorf("activity: %+v", first)
			}
			id := strings.TrimSuffix(strings.Fields(first.Description)[5], ".")
			got, err := c.Instances(ctx, []string{id})
			if err != nil || len(got) != 1 || got[0].State != "terminated" || got[0].StateReasonCode != tc.how.Code {
				t.Errorf("%q: %+v, %v", id, got, err)
			}
			if err := c.SetDesired(ctx, name, 0); err != nil {
				t.Fatal(err)
			}
			w.pass(2 * time.Minute)
			settled, err := c.Activities(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			w.pass(time.Hour)
			if later, err := c.Activities(ctx, name); err != nil || len(later) != len(settled) {
				t.Errorf("with desired 0 it went on: %d, then %d, %v", len(settled), len(later), err)
			}
		})
	}
}

// TestActivitiesOfANamesake checks that a failure of a deleted group does not count against a new one of
// the same name: a second try of a gate uses the name of the first.
func TestActivitiesOfANamesake(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t, nil)
	ctx := t.Context()
	name := start(t, w, c).Name
	w.pass(2 * time.Minute)
	if err := c.EndTrial(ctx, name); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * time.Minute)
	if gone, err := c.Gone(ctx, name); err != nil || !gone {
		t.Fatalf("gone: %t, %v", gone, err)
	}
	w.grant(t)
	start(t, w, c)
	w.pass(time.Minute)
	got, err := c.Activities(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Status == "Failed" || got[0].Status == "Cancelled" {
		t.Errorf("got %+v", got)
	}
}

func TestStartTrialTwice(t *testing.T) {
	w := newWorld(t, nil)
	w.grant(t)
	c := w.client(t, nil)
	ctx := t.Context()
	want := start(t, w, c)
	w.pass(30 * time.Second)

	other := want
	other.Tags = map[string]string{"gate:probe": "true", "gate:run": "482"}
	if err := c.StartTrial(ctx, other); code(err) != upgrade.CodeConflict {
		t.Errorf("another run's: %v, want code %s", err, upgrade.CodeConflict)
	}
	newer := want
	newer.Like.Template.Version = "1"
	if err := c.StartTrial(ctx, newer); code(err) != upgrade.CodeUnavailable {
		t.Errorf("of an older template: %v, want code %s", err, upgrade.CodeUnavailable)
	}
	if err := c.StartTrial(ctx, want); code(err) != upgrade.CodeUnavailable || upgrade.RetryAfterOf(err) == 0 {
		t.Errorf("while it is being deleted: %v, want code %s", err, upgrade.CodeUnavailable)
	}
	w.pass(2 * time.Minute)
	if err := c.StartTrial(ctx, newer); err != nil {
		t.Errorf("after it is gone: %v", err)
	}
}

func TestStartTrialRefusesWhatNobodyCouldRemove(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t, nil)
	like, err := c.Group(t.Context(), w.group)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*cloud.Trial){
		"untagged":   func(tr *cloud.Trial) { tr.Tags = nil },
		"unresolved": func(tr *cloud.Trial) { tr.Like.Template.Version = "$Latest" },
		"long_hook":  func(tr *cloud.Trial) { tr.HookWait = 3 * time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			bad := trial(like)
			spoil(&bad)
			before := len(w.sim.Calls())
			if err := c.StartTrial(t.Context(), bad); code(err) != upgrade.CodeInvalid {
				t.Errorf("got %v, want code %s", err, upgrade.CodeInvalid)
			}
			if n := len(w.sim.Calls()); n != before {
				t.Errorf("AWS was asked %d times", n-before)
			}
		})
	}
}

func TestOnlyTrialsAreTouched(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t, nil)
	ctx := t.Context()
	for name, do := range map[string]func() error{
		"EndTrial":   func() error { return c.EndTrial(ctx, w.group) },
		"SetDesired": func() error { return c.SetDesired(ctx, w.group, 0) },
	} {
		if err := do(); code(err) != upgrade.CodeForbidden {
			t.Errorf("%s: %v, want code %s", name, err, upgrade.CodeForbidden)
		}
	}
	for _, call := range w.sim.Calls() {
		if call.Who != "" && strings.Contains(call.Who, "assumed-role") && !strings.HasPrefix(call.Action, "Describe") {
			t.Errorf("%s was called", call.Action)
		}
	}
}
