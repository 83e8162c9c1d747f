package awsprovider

import (
	"context"

	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type kmsKeyModel struct {
	ARN                types.String `tfsdk:"arn"`
	BypassLockoutCheck types.Bool   `tfsdk:"bypass_policy_lockout_safety_check"`
	DeletionWindow     types.Int64  `tfsdk:"deletion_window_in_days"`
	Description        types.String `tfsdk:"description"`
	EnableKeyRotation  types.Bool   `tfsdk:"enable_key_rotation"`
	ID                 types.String `tfsdk:"id"`
	IsEnabled          types.Bool   `tfsdk:"is_enabled"`
	KeyID              types.String `tfsdk:"key_id"`
	KeySpec            types.String `tfsdk:"customer_master_key_spec"`
	KeyUsage           types.String `tfsdk:"key_usage"`
	MultiRegion        types.Bool   `tfsdk:"multi_region"`
	Policy             types.String `tfsdk:"policy"`
	RotationPeriod     types.Int64  `tfsdk:"rotation_period_in_days"`
	Tags               types.Map    `tfsdk:"tags"`
	TagsAll            types.Map    `tfsdk:"tags_all"`
}

// Schema describes the resource. The policy is one document: whoever writes it last has written all of it.
func (r *kmsKey) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	kind := func(byDefault string, words oneOf) schema.Attribute {
		return schema.StringAttribute{
			Optional: true, Computed: true, Default: stringdefault.StaticString(byDefault),
			PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
			Validators:    []validator.String{words},
		}
	}
	policy := chosen()
	policy.PlanModifiers = append(policy.PlanModifiers, equivalent{same: sameJSON, what: "equal but for spaces and the order of keys"})
	period := chosenNumber()
	period.Validators = []validator.Int64{within{90, 2560}}
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"arn": settled(),
		"bypass_policy_lockout_safety_check": schema.BoolAttribute{
			Optional: true, Computed: true, Default: booldefault.StaticBool(false),
		},
		"customer_master_key_spec": kind(string(kmstypes.KeySpecSymmetricDefault), wordsOf(kmstypes.KeySpec("").Values())),
		"deletion_window_in_days":  schema.Int64Attribute{Optional: true, Validators: []validator.Int64{within{7, 30}}},
		"description":              chosen(),
		"enable_key_rotation":      schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false)},
		"id":                       settled(),
		"is_enabled":               schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(true)},
		"key_id":                   settled(),
		"key_usage":                kind(string(kmstypes.KeyUsageTypeEncryptDecrypt), wordsOf(kmstypes.KeyUsageType("").Values())),
		"multi_region": schema.BoolAttribute{
			Optional: true, Computed: true,
			PlanModifiers: []planmodifier.Bool{boolplanmodifier.UseStateForUnknown(), boolplanmodifier.RequiresReplace()},
		},
		"policy":                  policy,
		"rotation_period_in_days": period,
		"tags":                    tagsAttribute(),
		"tags_all":                tagsAllAttribute(),
	}}
}
