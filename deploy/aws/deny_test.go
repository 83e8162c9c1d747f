package aws_test

import (
	"context"
	"strings"
	"testing"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// hand is the SDK's own clients, for what the adapter has no method for.
type hand struct {
	scaling *autoscaling.Client
	ec2     *ec2.Client
	kms     *kms.Client
	ssm     *ssm.Client
}

// gateHand works as the gates' role.
func (w *world) gateHand() hand {
	sdk := w.as(serviceKey, secretKey)
	become := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(sdk), roleARN, func(o *stscreds.AssumeRoleOptions) {
		o.ExternalID = awssdk.String(smallest().ExternalID)
	})
	sdk.Credentials = awssdk.NewCredentialsCache(become)
	return hand{scaling: autoscaling.NewFromConfig(sdk), ec2: ec2.NewFromConfig(sdk), kms: kms.NewFromConfig(sdk), ssm: ssm.NewFromConfig(sdk)}
}

// deed is something that no gate may do.
type deed struct {
	name string
	do   func(ctx context.Context, h hand, w *world, grant string) error
}

func keyDeeds() []deed {
	operations := []kmstypes.GrantOperation{kmstypes.GrantOperationDecrypt}
	return []deed{
		{"kms:CreateGrant", func(ctx context.Context, h hand, w *world, _ string) error {
			_, err := h.kms.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: &w.key, GranteePrincipal: awssdk.String(roleARN), Operations: operations})
			return err
		}},
		{"kms:RevokeGrant", func(ctx context.Context, h hand, w *world, grant string) error {
			_, err := h.kms.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: &w.key, GrantId: &grant})
			return err
		}},
		{"kms:PutKeyPolicy", func(ctx context.Context, h hand, w *world, _ string) error {
			policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"kms:*","Resource":"*"}]}`
			_, err := h.kms.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{KeyId: &w.key, Policy: &policy})
			return err
		}},
		{"kms:DisableKey", func(ctx context.Context, h hand, w *world, _ string) error {
			_, err := h.kms.DisableKey(ctx, &kms.DisableKeyInput{KeyId: &w.key})
			return err
		}},
		{"kms:ScheduleKeyDeletion", func(ctx context.Context, h hand, w *world, _ string) error {
			_, err := h.kms.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &w.key})
			return err
		}},
	}
}

func templateDeeds() []deed {
	data := &ec2types.RequestLaunchTemplateData{InstanceType: ec2types.InstanceTypeT3Large}
	return []deed{
		{"ec2:CreateLaunchTemplate", func(ctx context.Context, h hand, _ *world, _ string) error {
			_, err := h.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: awssdk.String("new"), LaunchTemplateData: data})
			return err
		}},
		{"ec2:CreateLaunchTemplateVersion", func(ctx context.Context, h hand, w *world, _ string) error {
			_, err := h.ec2.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: &w.tmpl, LaunchTemplateData: data})
			return err
		}},
		{"ec2:ModifyLaunchTemplate", func(ctx context.Context, h hand, w *world, _ string) error {
			_, err := h.ec2.ModifyLaunchTemplate(ctx, &ec2.ModifyLaunchTemplateInput{LaunchTemplateId: &w.tmpl, DefaultVersion: awssdk.String("1")})
			return err
		}},
		{"ec2:DeleteLaunchTemplate", func(ctx context.Context, h hand, w *world, _ string) error {
			_, err := h.ec2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: &w.tmpl})
			return err
		}},
	}
}

// groupDeeds are done to a real group.
func groupDeeds(group string) []deed {
	name := awssdk.String(group)
	return []deed{
		{"autoscaling:UpdateAutoScalingGroup", func(ctx context.Context, h hand, _ *world, _ string) error {
			_, err := h.scaling.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: name, MaxSize: awssdk.Int32(9)})
			return err
		}},
		{"autoscaling:SuspendProcesses", func(ctx context.Context, h hand, _ *world, _ string) error {
			_, err := h.scaling.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: name})
			return err
		}},
		{"autoscaling:PutLifecycleHook", func(ctx context.Context, h hand, _ *world, _ string) error {
			_, err := h.scaling.PutLifecycleHook(ctx, &autoscaling.PutLifecycleHookInput{
				AutoScalingGroupName: name, LifecycleHookName: awssdk.String("x"), LifecycleTransition: awssdk.String("autoscaling:EC2_INSTANCE_LAUNCHING"),
			})
			return err
		}},
		{"autoscaling:CreateOrUpdateTags", func(ctx context.Context, h hand, _ *world, _ string) error {
			_, err := h.scaling.CreateOrUpdateTags(ctx, &autoscaling.CreateOrUpdateTagsInput{Tags: []scalingtypes.Tag{{
				Key: awssdk.String("gate:probe"), Value: awssdk.String("true"), ResourceId: name, ResourceType: awssdk.String("auto-scaling-group"),
			}}})
			return err
		}},
		{"autoscaling:DeleteAutoScalingGroup", func(ctx context.Context, h hand, _ *world, _ string) error {
			_, err := h.scaling.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: name, ForceDelete: awssdk.Bool(true)})
			return err
		}},
	}
}

// otherDeeds are done to groups that are not listed for scale-out, and with new ones.
func otherDeeds() []deed {
	return []deed{
		{"ssm:SendCommand", func(ctx context.Context, h hand, w *world, _ string) error {
			_, err := h.ssm.SendCommand(ctx, &ssm.SendCommandInput{
				DocumentName: awssdk.String("AWS-RunShellScript"), InstanceIds: []string{w.sim.Instances()[0].ID}, Parameters: map[string][]string{"commands": {"id"}},
			})
			return err
		}},
		{"autoscaling:SetDesiredCapacity", func(ctx context.Context, h hand, _ *world, _ string) error {
			_, err := h.scaling.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: awssdk.String("other"), DesiredCapacity: awssdk.Int32(1)})
			return err
		}},
		{"autoscaling:CreateAutoScalingGroup", func(ctx context.Context, h hand, w *world, _ string) error {
			return create(ctx, h.scaling, w, "gate-probe-of-nobody", nil)
		}},
		{"autoscaling:CreateAutoScalingGroup", func(ctx context.Context, h hand, w *world, _ string) error {
			return create(ctx, h.scaling, w, "not-a-test", []scalingtypes.Tag{{Key: awssdk.String("gate:probe"), Value: awssdk.String("true")}})
		}},
	}
}

func create(ctx context.Context, scaling *autoscaling.Client, w *world, name string, tags []scalingtypes.Tag) error {
	_, err := scaling.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: &name, MinSize: awssdk.Int32(0), MaxSize: awssdk.Int32(1), Tags: tags,
		VPCZoneIdentifier: awssdk.String(w.sim.Network("", "").Subnets[0]),
		LaunchTemplate:    &scalingtypes.LaunchTemplateSpecification{LaunchTemplateId: &w.tmpl, Version: awssdk.String("1")},
	})
	return err
}

// TestS10Denied does what gates must never do, as a role to which somebody has given everything besides: it is
// refused all the same, for deny.json. Without that file each deed would succeed, or the test would prove
// nothing.
func TestS10Denied(t *testing.T) {
	t.Parallel()
	deeds := append(keyDeeds(), templateDeeds()...)
	deeds = append(deeds, groupDeeds(groupName)...)
	deeds = append(deeds, groupDeeds("other")...)
	for _, d := range append(deeds, otherDeeds()...) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for _, guarded := range []bool{true, false} {
				w := newWorld(t)
				grant, err := w.sim.AddGrant(w.key, "another", "arn:aws:iam::"+account+":role/another", "Decrypt")
				if err != nil {
					t.Fatal(err)
				}
				if err := create(t.Context(), w.scaling, w, "other", nil); err != nil {
					t.Fatal(err)
				}
				w.attach(t, roleARN, policy{Version: "2012-10-17", Statement: []map[string]any{{"Effect": "Allow", "Action": "*", "Resource": "*"}}})
				w.attachAll(t, w.staging(), func(name string, p *policy) {
					if name == "deny" && !guarded {
						p.Statement = nil
					}
				})
				err = d.do(t.Context(), w.gateHand(), w, grant)
				refused := err != nil && strings.Contains(err.Error(), d.name) && strings.Contains(err.Error(), "explicit deny")
				if guarded && !refused {
					t.Errorf("it is not denied: %v", err)
				}
				if !guarded && err != nil {
					t.Errorf("it fails without deny.json too: %v", err)
				}
			}
		})
	}
}

// TestServiceMayOnlyBecomeTheGates: what the service itself may do is in service.json.
func TestServiceMayOnlyBecomeTheGates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := "arn:aws:iam::" + account + ":role/administrator"
	w.sim.AddRole(awssim.Role{ARN: other})
	p := read(t, "service")
	for i, s := range p.Statement {
		filled, _ := fill(t, s, map[string][]string{"roles": {roleARN}}).(map[string]any)
		p.Statement[i] = filled
	}
	w.attach(t, serviceARN, p)
	if _, err := w.client(t).Group(t.Context(), groupName); err != nil {
		t.Errorf("the service cannot become the gates: %v", err)
	}
	sdk := w.as(serviceKey, secretKey)
	if _, err := sts.NewFromConfig(sdk).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &other, RoleSessionName: awssdk.String("x")}); err == nil {
		t.Error("the service can become another role")
	}
	if _, err := autoscaling.NewFromConfig(sdk).DescribeAutoScalingGroups(t.Context(), &autoscaling.DescribeAutoScalingGroupsInput{}); err == nil {
		t.Error("the service can look at groups itself")
	}
}
