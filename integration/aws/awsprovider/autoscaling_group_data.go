package awsprovider

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// create returns the request that creates the group.
func (m *autoScalingGroupModel) create(ctx context.Context, name string) *autoscaling.CreateAutoScalingGroupInput {
	return &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName:             &name,
		AvailabilityZones:                list(ctx, m.AvailabilityZones),
		CapacityRebalance:                m.CapacityRebalance.ValueBoolPointer(),
		DefaultCooldown:                  positive(m.DefaultCooldown),
		DesiredCapacity:                  positive(m.DesiredCapacity),
		HealthCheckGracePeriod:           int32of(m.HealthCheckGracePeriod),
		HealthCheckType:                  textOf(m.HealthCheckType),
		LaunchTemplate:                   m.template(),
		MaxSize:                          int32of(m.MaxSize),
		MinSize:                          int32of(m.MinSize),
		NewInstancesProtectedFromScaleIn: aws.Bool(m.ProtectFromScaleIn.ValueBool()),
		ServiceLinkedRoleARN:             textOf(m.ServiceLinkedRoleARN),
		Tags:                             m.tags(name),
		TargetGroupARNs:                  list(ctx, m.TargetGroupARNs),
		TerminationPolicies:              list(ctx, m.TerminationPolicies),
		VPCZoneIdentifier:                joined(list(ctx, m.VPCZoneIdentifier)),
	}
}

// update returns the request that changes the named arguments; nil if none of them is part of it.
func (m *autoScalingGroupModel) update(ctx context.Context, names map[string]bool) *autoscaling.UpdateAutoScalingGroupInput {
	in := &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName:             m.ID.ValueStringPointer(),
		NewInstancesProtectedFromScaleIn: aws.Bool(m.ProtectFromScaleIn.ValueBool()),
	}
	some := names["protect_from_scale_in"]
	for name, set := range map[string]func(){
		"availability_zones":        func() { in.AvailabilityZones = list(ctx, m.AvailabilityZones) },
		"capacity_rebalance":        func() { in.CapacityRebalance = aws.Bool(m.CapacityRebalance.ValueBool()) },
		"default_cooldown":          func() { in.DefaultCooldown = int32of(m.DefaultCooldown) },
		"desired_capacity":          func() { in.DesiredCapacity = int32of(m.DesiredCapacity) },
		"health_check_grace_period": func() { in.HealthCheckGracePeriod = int32of(m.HealthCheckGracePeriod) },
		"health_check_type": func() {
			in.HealthCheckType, in.HealthCheckGracePeriod = textOf(m.HealthCheckType), int32of(m.HealthCheckGracePeriod)
		},
		"launch_template":         func() { in.LaunchTemplate = m.template() },
		"max_size":                func() { in.MaxSize = int32of(m.MaxSize) },
		"min_size":                func() { in.MinSize = int32of(m.MinSize) },
		"service_linked_role_arn": func() { in.ServiceLinkedRoleARN = textOf(m.ServiceLinkedRoleARN) },
		"termination_policies": func() {
			// Without this AWS would keep the policies that were taken out of the configuration.
			if in.TerminationPolicies = list(ctx, m.TerminationPolicies); len(in.TerminationPolicies) == 0 {
				in.TerminationPolicies = []string{"Default"}
			}
		},
		"vpc_zone_identifier": func() { in.VPCZoneIdentifier = joined(list(ctx, m.VPCZoneIdentifier)) },
	} {
		if names[name] {
			set()
			some = true
		}
	}
	if !some {
		return nil
	}
	return in
}

// template names the launch template. AWS takes its id or its name, not both.
func (m *autoScalingGroupModel) template() *astypes.LaunchTemplateSpecification {
	if len(m.LaunchTemplate) == 0 {
		return nil
	}
	ref := m.LaunchTemplate[0]
	spec := &astypes.LaunchTemplateSpecification{Version: textOf(ref.Version)}
	if spec.LaunchTemplateId = textOf(ref.ID); spec.LaunchTemplateId == nil {
		spec.LaunchTemplateName = textOf(ref.Name)
	}
	return spec
}

// tags returns the tag blocks for the group of that name.
func (m *autoScalingGroupModel) tags(name string) []astypes.Tag {
	var out []astypes.Tag
	for _, tag := range m.Tag {
		out = append(out, astypes.Tag{
			Key: tag.Key.ValueStringPointer(), Value: tag.Value.ValueStringPointer(),
			PropagateAtLaunch: tag.PropagateAtLaunch.ValueBoolPointer(),
			ResourceId:        &name, ResourceType: aws.String("auto-scaling-group"),
		})
	}
	return out
}

// patience returns how long to wait for capacity; 0: not at all.
func (m *autoScalingGroupModel) patience() time.Duration {
	d, _ := time.ParseDuration(m.WaitForCapacityTimeout.ValueString()) // was validated
	return d
}

// read takes over what Auto Scaling says about the group.
func (m *autoScalingGroupModel) read(g *astypes.AutoScalingGroup, f fill) {
	f.text(&m.ARN, g.AutoScalingGroupARN)
	f.set(&m.AvailabilityZones, g.AvailabilityZones)
	f.maybeFlag(&m.CapacityRebalance, g.CapacityRebalance)
	f.number(&m.DefaultCooldown, g.DefaultCooldown)
	f.number(&m.DesiredCapacity, g.DesiredCapacity)
	f.number(&m.HealthCheckGracePeriod, g.HealthCheckGracePeriod)
	f.text(&m.HealthCheckType, g.HealthCheckType)
	f.number(&m.MaxSize, g.MaxSize)
	f.number(&m.MinSize, g.MinSize)
	f.text(&m.Name, g.AutoScalingGroupName)
	f.word(&m.NamePrefix, namePrefix(aws.ToString(g.AutoScalingGroupName)))
	f.flag(&m.ProtectFromScaleIn, g.NewInstancesProtectedFromScaleIn)
	f.text(&m.ServiceLinkedRoleARN, g.ServiceLinkedRoleARN)
	f.set(&m.TargetGroupARNs, g.TargetGroupARNs)
	var subnets []string
	if ids := aws.ToString(g.VPCZoneIdentifier); ids != "" {
		subnets = strings.Split(ids, ",")
	}
	f.set(&m.VPCZoneIdentifier, subnets)
	var suspended []string
	for _, p := range g.SuspendedProcesses {
		suspended = append(suspended, aws.ToString(p.ProcessName))
	}
	f.maybeSet(&m.SuspendedProcesses, suspended)
	m.readPolicies(g.TerminationPolicies, f)
	m.LaunchTemplate = resized(f, m.LaunchTemplate, count(g.LaunchTemplate))
	for i := range m.LaunchTemplate {
		if g.LaunchTemplate != nil {
			f.text(&m.LaunchTemplate[i].ID, g.LaunchTemplate.LaunchTemplateId)
			f.text(&m.LaunchTemplate[i].Name, g.LaunchTemplate.LaunchTemplateName)
			f.text(&m.LaunchTemplate[i].Version, g.LaunchTemplate.Version)
		}
	}
	if !f.openOnly {
		m.readTags(g.Tags)
	}
}

// readPolicies takes the termination policies over. Of a group that was created without any AWS says
// that it has the default one.
func (m *autoScalingGroupModel) readPolicies(policies []string, f fill) {
	byDefault := len(policies) == 0 || slices.Equal(policies, []string{"Default"})
	if f.openOnly || byDefault && len(m.TerminationPolicies.Elements()) == 0 {
		return
	}
	elements := []attr.Value{}
	for _, p := range policies {
		elements = append(elements, types.StringValue(p))
	}
	m.TerminationPolicies = types.ListValueMust(types.StringType, elements)
}

func (m *autoScalingGroupModel) readTags(tags []astypes.TagDescription) {
	m.Tag = nil
	for _, tag := range tags {
		if strings.HasPrefix(aws.ToString(tag.Key), "aws:") {
			continue
		}
		m.Tag = append(m.Tag, groupTag{
			Key: types.StringPointerValue(tag.Key), Value: types.StringPointerValue(tag.Value),
			PropagateAtLaunch: types.BoolValue(aws.ToBool(tag.PropagateAtLaunch)),
		})
	}
}

// joined returns subnets as Auto Scaling takes them; nil for none.
func joined(ids []string) *string {
	if len(ids) == 0 {
		return nil
	}
	return aws.String(strings.Join(ids, ","))
}
