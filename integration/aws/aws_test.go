package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
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

func TestDenied(t *testing.T) {
	for _, tc := range []struct {
		name, deny string
		do         func(context.Context, *aws.Client, *world) error
	}{
		{"read", "autoscaling:DescribeAutoScalingGroups", func(ctx context.Context, c *aws.Client, w *world) error {
			_, err := c.Group(ctx, w.group)
			return err
		}},
		{"create", "autoscaling:CreateAutoScalingGroup", startOne},
		{"suspend", "autoscaling:SuspendProcesses", startOne},
		{"template", "ec2:RunInstances", startOne},
		{"versions", "ec2:DescribeLaunchTemplateVersions", func(ctx context.Context, c *aws.Client, w *world) error {
			_, err := c.Group(ctx, w.group)
			return err
		}},
		{"instances", "ec2:DescribeInstances", func(ctx context.Context, c *aws.Client, _ *world) error {
			_, err := c.Instances(ctx, []string{"i-00000000000000000"})
			return err
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.sim.Deny(gateRole, tc.deny)
			err := tc.do(t.Context(), w.client(t, nil), w)
			if code(err) != upgrade.CodeForbidden {
				t.Fatalf("got %v, want code %s", err, upgrade.CodeForbidden)
			}
			var denied *cloud.Denied
			if !errors.As(err, &denied) || denied.Action != tc.deny || denied.Role != gateRole || denied.Message == "" {
				t.Errorf("got %+v", denied)
			}
			if hint := upgrade.HintOf(err); !strings.Contains(hint, tc.deny) {
				t.Errorf("hint: %q", hint)
			}
			if upgrade.Transient(err) {
				t.Error("asking again does not help")
			}
		})
	}
}

// TestRoleWithSuffix checks that a role must be passed only where it is not the account's default one.
func TestRoleWithSuffix(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	c := w.client(t, nil)
	w.sim.Deny(gateRole, "iam:PassRole")
	like, err := c.Group(ctx, w.group)
	if err != nil {
		t.Fatal(err)
	}
	plain := trial(like)
	plain.Name = "gate-probe-default"
	if err := c.StartTrial(ctx, plain); err != nil {
		t.Errorf("with the default role: %v", err)
	}
	like.ServiceLinkedRoleARN = w.sim.AddServiceLinkedRole("", "moodle")
	var denied *cloud.Denied
	if err := c.StartTrial(ctx, trial(like)); !errors.As(err, &denied) || denied.Action != "iam:PassRole" {
		t.Errorf("with a suffix: %v", err)
	}
	w.sim.Allow(gateRole, "iam:PassRole")
	if err := c.StartTrial(ctx, trial(like)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Group(ctx, trial(like).Name)
	if err != nil || got.ServiceLinkedRoleARN != like.ServiceLinkedRoleARN {
		t.Errorf("got %s, %v", got.ServiceLinkedRoleARN, err)
	}
}

func startOne(ctx context.Context, c *aws.Client, w *world) error {
	like, err := c.Group(ctx, w.group)
	if err != nil {
		return err
	}
	return c.StartTrial(ctx, trial(like))
}

func TestAssumeRoleRefused(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t, func(cfg *aws.Config) { cfg.ExternalID = "a wrong one" })
	_, err := c.Group(t.Context(), w.group)
	var denied *cloud.Denied
	if code(err) != upgrade.CodeForbidden || !errors.As(err, &denied) || denied.Action != "sts:AssumeRole" {
		t.Fatalf("got %v", err)
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), upgrade.Public(err), upgrade.HintOf(err)} {
		if strings.Contains(text, "a wrong one") || strings.Contains(text, awssim.DefaultSecret) {
			t.Errorf("a secret shows in %q", text)
		}
	}
}

func TestWrongKey(t *testing.T) {
	w := newWorld(t, nil)
	for name, change := range map[string]func(*aws.Config){
		"unknown": func(cfg *aws.Config) { cfg.KeyID = "AKIAUNKNOWNEXAMPLE00" },
		"secret":  func(cfg *aws.Config) { cfg.Key = "not the secret of that key" },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.client(t, change).Group(t.Context(), w.group); code(err) != upgrade.CodeUnauthorized {
				t.Errorf("got %v, want code %s", err, upgrade.CodeUnauthorized)
			}
		})
	}
}

// TestRepeats checks that passing troubles are sat out, and that an answer that was lost is not taken for
// a refusal.
func TestRepeats(t *testing.T) {
	for _, fault := range []awssim.Fault{awssim.FaultThrottled, awssim.FaultUnavailable, awssim.FaultLost} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.grant(t)
			c := w.client(t, nil)
			ctx := t.Context()
			for _, action := range []string{
				"sts:AssumeRole", "autoscaling:DescribeAutoScalingGroups", "autoscaling:CreateAutoScalingGroup", "autoscaling:CompleteLifecycleAction",
				"autoscaling:SetDesiredCapacity", "autoscaling:DeleteAutoScalingGroup", "ec2:DescribeInstances",
			} {
				w.sim.Inject(action, fault, 1)
			}
			want := start(t, w, c)
			w.pass(time.Minute)
			g, err := c.Group(ctx, want.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Continue(ctx, want.Name, g.Members[0].InstanceID); err != nil {
				t.Error(err)
			}
			if err := c.SetDesired(ctx, want.Name, 0); err != nil {
				t.Error(err)
			}
			if err := c.EndTrial(ctx, want.Name); err != nil {
				t.Error(err)
			}
			w.pass(2 * time.Minute)
			if gone, err := c.Gone(ctx, want.Name); err != nil || !gone {
				t.Errorf("gone: %t, %v", gone, err)
			}
		})
	}
}

func TestLimited(t *testing.T) {
	w := newWorld(t, nil)
	w.sim.Inject("autoscaling:DescribeAutoScalingGroups", awssim.FaultThrottled, 1000)
	_, err := w.client(t, nil).Group(t.Context(), w.group)
	if code(err) != upgrade.CodeLimited || !upgrade.Transient(err) {
		t.Errorf("got %v, want code %s", err, upgrade.CodeLimited)
	}
}

func TestNoAnswer(t *testing.T) {
	over := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}))
	t.Cleanup(hang.Close) // after the parallel ones
	t.Cleanup(func() { close(over) })
	// Nobody listens on port 1; one that was just closed may be another test's by then.
	for name, url := range map[string]string{"hangs": hang.URL, "refuses": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := aws.New(aws.Config{
				Region: region, Endpoint: url, KeyID: awssim.DefaultKeyID, Key: awssim.DefaultSecret, Timeout: 200 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Group(t.Context(), "ecs")
			if code(err) != upgrade.CodeUnavailable || !upgrade.Transient(err) {
				t.Errorf("got %v, want code %s", err, upgrade.CodeUnavailable)
			}
			if name == "hangs" && !strings.Contains(err.Error(), "took longer than 200ms") {
				t.Errorf("the error does not say what took too long: %v", err)
			}
		})
	}
	t.Run("caller_gives_up", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the run was stopped")
		c, err := aws.New(aws.Config{Region: region, Endpoint: hang.URL, KeyID: awssim.DefaultKeyID, Key: awssim.DefaultSecret})
		if err != nil {
			t.Fatal(err)
		}
		go cancel(why)
		if _, err = c.Group(ctx, "ecs"); !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
	})
}

func TestSmallPages(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.PageSize = 1 })
	w.grant(t)
	c := w.client(t, nil)
	ctx := t.Context()
	like, err := c.Group(ctx, w.group)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 3 {
		one := trial(like)
		one.Name = fmt.Sprintf("gate-probe-%d", i)
		one.HookWait = 0
		if err := c.StartTrial(ctx, one); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		g, err := c.Group(ctx, one.Name)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, g.Members[0].InstanceID)
	}
	if trials, err := c.Trials(ctx); err != nil || len(trials) != 3 {
		t.Errorf("trials: %d, %v", len(trials), err)
	}
	slices.Reverse(ids)
	got, err := c.Instances(ctx, append(ids, "i-00000000000000000", ids[0]))
	if err != nil || len(got) != 3 || got[0].ID != ids[0] {
		t.Errorf("instances: %+v, %v", got, err)
	}
	if err := c.SetDesired(ctx, "gate-probe-0", 0); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	if got, err := c.Activities(ctx, "gate-probe-0"); err != nil || len(got) != 2 || !strings.HasPrefix(got[0].Description, "Terminating") {
		t.Errorf("activities: %+v, %v", got, err)
	}
}

func TestConfigRefused(t *testing.T) {
	for name, cfg := range map[string]aws.Config{
		"no_region": {},
		"region":    {Region: "London"},
		"role":      {Region: region, RoleARN: "upgradegate"},
		"session":   {Region: region, SessionName: "run 481"},
		"no_secret": {Region: region, KeyID: "AKIA"},
		"endpoint":  {Region: region, Endpoint: "localhost:8082"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := aws.New(cfg); code(err) != upgrade.CodeInvalid {
				t.Errorf("got %v, want code %s", err, upgrade.CodeInvalid)
			}
		})
	}
}
