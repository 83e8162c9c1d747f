package aws_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/integration/aws"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// TestGroupOfPolicy reads a group whose template is only in its mixed-instances policy, of which an override
// has a template of its own.
func TestGroupOfPolicy(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	made, err := w.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: awssdk.String("ecs-arm"),
		LaunchTemplateData: &ec2types.RequestLaunchTemplateData{ImageId: awssdk.String(w.ami)},
	})
	if err != nil {
		t.Fatal(err)
	}
	own := awssdk.ToString(made.LaunchTemplate.LaunchTemplateId)
	_, err = w.scaling.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: awssdk.String(w.group),
		MixedInstancesPolicy: &scalingtypes.MixedInstancesPolicy{LaunchTemplate: &scalingtypes.LaunchTemplate{
			LaunchTemplateSpecification: &scalingtypes.LaunchTemplateSpecification{LaunchTemplateId: awssdk.String(w.tmpl), Version: awssdk.String("$Latest")},
			Overrides: []scalingtypes.LaunchTemplateOverrides{
				{
					InstanceType:                awssdk.String("m6g.large"),
					LaunchTemplateSpecification: &scalingtypes.LaunchTemplateSpecification{LaunchTemplateId: awssdk.String(own), Version: awssdk.String("$Latest")},
				},
				{InstanceType: awssdk.String("m5.large")},
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.scaling.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{
		AutoScalingGroupName: awssdk.String(w.group), ScalingProcesses: []string{"AZRebalance", "Launch"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := w.client(t, nil)
	g, err := c.Group(ctx, w.group)
	if err != nil {
		t.Fatal(err)
	}
	want := []cloud.Override{
		{InstanceType: "m6g.large", Template: &cloud.Template{ID: own, Name: "ecs-arm", Version: "1"}}, {InstanceType: "m5.large"},
	}
	if diff := cmp.Diff(want, g.Overrides); diff != "" {
		t.Errorf("overrides: -want +got:\n%s", diff)
	}
	if g.Template.Version != "2" || g.InstanceType != "m6g.large" || !slices.Contains(g.Suspended, "Launch") {
		t.Errorf("got %+v", g)
	}
	// A trial launches by the first override, so it does so by that one's template.
	for range 2 { // the second finds the first
		if err := c.StartTrial(ctx, trial(g)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Group(ctx, trial(g).Name)
	if err != nil || len(got.Overrides) != 1 || !cmp.Equal(got.Overrides[0], want[0]) {
		t.Errorf("the trial: %+v, %v", got.Overrides, err)
	}
	other := trial(g)
	other.Like.InstanceType = "m7g.large"
	if err := c.StartTrial(ctx, other); code(err) != upgrade.CodeUnavailable {
		t.Errorf("a trial of another type takes this one's answer: %v", err)
	}
}

// TestTemplate reads everything of a version that decides on keys.
func TestTemplate(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	_, err := w.ec2.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{
		LaunchTemplateId: awssdk.String(w.tmpl),
		LaunchTemplateData: &ec2types.RequestLaunchTemplateData{
			ImageId: awssdk.String(w.ami), InstanceType: ec2types.InstanceTypeT3Micro,
			IamInstanceProfile: &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: awssdk.String("ecs-node")},
			BlockDeviceMappings: []ec2types.LaunchTemplateBlockDeviceMappingRequest{
				{DeviceName: awssdk.String("/dev/xvda"), Ebs: &ec2types.LaunchTemplateEbsBlockDeviceRequest{Encrypted: awssdk.Bool(true), KmsKeyId: awssdk.String("alias/ecs")}},
				{DeviceName: awssdk.String("/dev/xvdb"), Ebs: &ec2types.LaunchTemplateEbsBlockDeviceRequest{VolumeSize: awssdk.Int32(8)}},
				{DeviceName: awssdk.String("/dev/xvdc"), NoDevice: awssdk.String("")},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.client(t, nil).Template(ctx, cloud.Template{ID: w.tmpl, Version: "$Latest"})
	if err != nil {
		t.Fatal(err)
	}
	want := cloud.TemplateVersion{
		Template: cloud.Template{ID: w.tmpl, Name: "ecs", Version: "3"}, ImageID: w.ami, InstanceType: "t3.micro", Profile: "ecs-node",
		Devices: []cloud.Device{
			{Name: "/dev/xvda", Encrypted: awssdk.Bool(true), KeyID: "alias/ecs"}, {Name: "/dev/xvdb"}, {Name: "/dev/xvdc", Absent: true},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestImageNotShared: AWS does not tell an image that is not shared from one that does not exist.
func TestImageNotShared(t *testing.T) {
	w := newWorld(t, nil)
	theirs := w.sim.AddImage(awssim.Image{Account: "222222222222", Name: "theirs"})
	_, err := w.client(t, nil).Image(t.Context(), theirs)
	if code(err) != upgrade.CodeNotFound || !strings.Contains(upgrade.Public(err), "not shared with account "+account) || upgrade.HintOf(err) == "" {
		t.Errorf("got %v, hint %q", err, upgrade.HintOf(err))
	}
}

func TestSnapshotsInOrder(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.PageSize = 1 })
	ctx := t.Context()
	c := w.client(t, nil)
	plain := w.sim.AddImage(awssim.Image{Name: "plain"})
	var ids []string
	for _, ami := range []string{plain, w.ami} {
		image, err := c.Image(ctx, ami)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, image.Devices[0].SnapshotID)
	}
	want := []cloud.Snapshot{{ID: ids[0], Owner: account}, {ID: ids[1], Owner: account, Encrypted: true, KeyID: w.key}}
	for name, ask := range map[string][]string{
		"all":     ids,
		"twice":   {ids[0], ids[1], ids[0]},
		"unknown": {"snap-00000000000000000", ids[0], "snap-00000000000000001", ids[1]},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.Snapshots(ctx, ask)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if got, err := c.Snapshots(ctx, nil); err != nil || got != nil {
		t.Errorf("of none: %+v, %v", got, err)
	}
}

func TestEBSDefault(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t, nil)
	if got, err := c.EBSDefault(t.Context()); err != nil || got != (cloud.EBSDefault{KeyID: "alias/aws/ebs"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	w.sim.DefaultKey("", "", w.key, true)
	if got, err := c.EBSDefault(t.Context()); err != nil || got != (cloud.EBSDefault{Encrypt: true, KeyID: w.key}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if key, err := c.Key(t.Context(), "alias/aws/ebs"); err != nil || key.Customer {
		t.Errorf("the AWS managed key: %+v, %v", key, err)
	}
}

func TestGrants(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.PageSize = 2 })
	ctx := t.Context()
	var want []string
	for i := range 5 {
		id, err := w.sim.AddGrant(w.key, fmt.Sprintf("asg-%d", i), w.sim.ServiceLinkedRole(""), ebsOperations()...)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, id)
	}
	grants, err := w.client(t, nil).Grants(ctx, w.key)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range grants {
		got = append(got, g.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
	one := grants[0]
	if one.Name != "asg-0" || one.KeyARN != w.key || one.Grantee != w.sim.ServiceLinkedRole("") || !cmp.Equal(one.Operations, ebsOperations()) ||
		one.Constraints != "" || one.CreatedAt.IsZero() || one.Issuer == "" {
		t.Errorf("got %+v", one)
	}
}

// TestKeyOfAnotherAccount: grants and the state of a shared key can be read, its policy cannot.
func TestKeyOfAnotherAccount(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	policy := `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"kms:*","Resource":"*"}]}`
	theirs, err := w.sim.AddKey("222222222222", "", "shared", policy)
	if err != nil {
		t.Fatal(err)
	}
	c := w.client(t, nil)
	if key, err := c.Key(ctx, theirs); err != nil || key.Account != "222222222222" || !key.Customer || key.Description != "shared" {
		t.Errorf("got %+v, %v", key, err)
	}
	if _, err := c.Grants(ctx, theirs); err != nil {
		t.Error(err)
	}
	_, err = c.KeyPolicy(ctx, theirs)
	if code(err) != upgrade.CodeInvalid || !strings.Contains(upgrade.Public(err), "only in its own account 222222222222") {
		t.Errorf("got %v", err)
	}
}

// TestDeniedOfKeys: each question says which permission it lacks.
func TestDeniedOfKeys(t *testing.T) {
	for deny, ask := range map[string]func(context.Context, *aws.Client, *world) error{
		"ec2:DescribeLaunchTemplateVersions": func(ctx context.Context, c *aws.Client, w *world) error {
			_, err := c.Template(ctx, cloud.Template{ID: w.tmpl})
			return err
		},
		"ec2:DescribeImages": func(ctx context.Context, c *aws.Client, w *world) error {
			_, err := c.Image(ctx, w.ami)
			return err
		},
		"ec2:DescribeSnapshots": func(ctx context.Context, c *aws.Client, _ *world) error {
			_, err := c.Snapshots(ctx, []string{"snap-00000000000000000"})
			return err
		},
		"ec2:GetEbsEncryptionByDefault": func(ctx context.Context, c *aws.Client, _ *world) error {
			_, err := c.EBSDefault(ctx)
			return err
		},
		"ec2:GetEbsDefaultKmsKeyId": func(ctx context.Context, c *aws.Client, _ *world) error {
			_, err := c.EBSDefault(ctx)
			return err
		},
		"kms:DescribeKey": func(ctx context.Context, c *aws.Client, w *world) error {
			_, err := c.Key(ctx, w.key)
			return err
		},
		"kms:ListGrants": func(ctx context.Context, c *aws.Client, w *world) error {
			_, err := c.Grants(ctx, w.key)
			return err
		},
		"kms:GetKeyPolicy": func(ctx context.Context, c *aws.Client, w *world) error {
			_, err := c.KeyPolicy(ctx, w.key)
			return err
		},
		"ec2:DescribeVolumes": func(ctx context.Context, c *aws.Client, _ *world) error {
			_, err := c.Volumes(ctx, "i-00000000000000000")
			return err
		},
		"ec2:GetConsoleOutput": func(ctx context.Context, c *aws.Client, _ *world) error {
			_, err := c.Console(ctx, "i-00000000000000000")
			return err
		},
	} {
		t.Run(strings.ReplaceAll(deny, ":", "_"), func(t *testing.T) {
			w := newWorld(t, nil)
			w.sim.Deny(gateRole, deny)
			err := ask(t.Context(), w.client(t, nil), w)
			var denied *cloud.Denied
			if code(err) != upgrade.CodeForbidden || !errors.As(err, &denied) || denied.Action != deny || denied.Role != gateRole {
				t.Errorf("got %v, %+v", err, denied)
			}
		})
	}
}

// TestRepeatsOfKeys: a service that wants fewer questions gets them, after a while.
func TestRepeatsOfKeys(t *testing.T) {
	for _, fault := range []awssim.Fault{awssim.FaultThrottled, awssim.FaultUnavailable, awssim.FaultLost} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			for _, action := range []string{"kms:DescribeKey", "kms:ListGrants", "kms:GetKeyPolicy", "ec2:DescribeImages", "ec2:DescribeSnapshots"} {
				w.sim.Inject(action, fault, 1)
			}
			testChain(t, subject{client: w.client(t, nil), group: w.group, pass: w.pass})
		})
	}
	w := newWorld(t, nil)
	w.sim.Inject("kms:ListGrants", awssim.FaultThrottled, 1000)
	if _, err := w.client(t, nil).Grants(t.Context(), w.key); code(err) != upgrade.CodeLimited {
		t.Errorf("got %v, want code %s", err, upgrade.CodeLimited)
	}
}
