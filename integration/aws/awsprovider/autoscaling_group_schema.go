package awsprovider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type autoScalingGroupModel struct {
	ARN                    types.String  `tfsdk:"arn"`
	AvailabilityZones      types.Set     `tfsdk:"availability_zones"`
	CapacityRebalance      types.Bool    `tfsdk:"capacity_rebalance"`
	DefaultCooldown        types.Int64   `tfsdk:"default_cooldown"`
	DesiredCapacity        types.Int64   `tfsdk:"desired_capacity"`
	ForceDelete            types.Bool    `tfsdk:"force_delete"`
	HealthCheckGracePeriod types.Int64   `tfsdk:"health_check_grace_period"`
	HealthCheckType        types.String  `tfsdk:"health_check_type"`
	ID                     types.String  `tfsdk:"id"`
	IgnoreFailedActivities types.Bool    `tfsdk:"ignore_failed_scaling_activities"`
	LaunchTemplate         []templateRef `tfsdk:"launch_template"`
	MaxSize                types.Int64   `tfsdk:"max_size"`
	MinSize                types.Int64   `tfsdk:"min_size"`
	Name                   types.String  `tfsdk:"name"`
	NamePrefix             types.String  `tfsdk:"name_prefix"`
	ProtectFromScaleIn     types.Bool    `tfsdk:"protect_from_scale_in"`
	ServiceLinkedRoleARN   types.String  `tfsdk:"service_linked_role_arn"`
	SuspendedProcesses     types.Set     `tfsdk:"suspended_processes"`
	Tag                    []groupTag    `tfsdk:"tag"`
	TargetGroupARNs        types.Set     `tfsdk:"target_group_arns"`
	TerminationPolicies    types.List    `tfsdk:"termination_policies"`
	VPCZoneIdentifier      types.Set     `tfsdk:"vpc_zone_identifier"`
	WaitForCapacityTimeout types.String  `tfsdk:"wait_for_capacity_timeout"`
}

type templateRef struct {
	ID      types.String `tfsdk:"id"`
	Name    types.String `tfsdk:"name"`
	Version types.String `tfsdk:"version"`
}

type groupTag struct {
	Key               types.String `tfsdk:"key"`
	PropagateAtLaunch types.Bool   `tfsdk:"propagate_at_launch"`
	Value             types.String `tfsdk:"value"`
}

// Schema describes the resource. Only another name forces a replacement.
func (r *autoScalingGroup) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	off := schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false)}
	texts := schema.SetAttribute{
		ElementType: types.StringType, Optional: true, Computed: true,
		PlanModifiers: []planmodifier.Set{setplanmodifier.UseStateForUnknown()},
	}
	resp.Schema = schema.Schema{
		Attributes: map[string]schema.Attribute{
			"arn":                settled(),
			"availability_zones": texts,
			"capacity_rebalance": schema.BoolAttribute{Optional: true},
			"default_cooldown":   chosenNumber(),
			"desired_capacity":   chosenNumber(),
			"force_delete":       off,
			"health_check_grace_period": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(300),
			},
			"health_check_type":                chosen(),
			"id":                               settled(),
			"ignore_failed_scaling_activities": off,
			"max_size":                         schema.Int64Attribute{Required: true},
			"min_size":                         schema.Int64Attribute{Required: true},
			"name":                             chosenOnce(),
			"name_prefix":                      chosenOnce(),
			"protect_from_scale_in":            off,
			"service_linked_role_arn":          chosen(),
			"suspended_processes":              schema.SetAttribute{ElementType: types.StringType, Optional: true},
			"target_group_arns":                texts,
			"termination_policies":             schema.ListAttribute{ElementType: types.StringType, Optional: true},
			"vpc_zone_identifier":              texts,
			"wait_for_capacity_timeout": schema.StringAttribute{
				Optional: true, Computed: true, Default: stringdefault.StaticString("10m"),
			},
		},
		Blocks: map[string]schema.Block{
			"launch_template": one(schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
				"id": chosen(), "name": chosen(), "version": chosen(),
			}}),
			"tag": schema.SetNestedBlock{NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
				"key":                 schema.StringAttribute{Required: true},
				"propagate_at_launch": schema.BoolAttribute{Required: true},
				"value":               schema.StringAttribute{Required: true},
			}}},
		},
	}
}
