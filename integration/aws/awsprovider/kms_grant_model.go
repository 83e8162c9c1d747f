package awsprovider

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/boolplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type kmsGrantModel struct {
	Constraints         []grantConstraint `tfsdk:"constraints"`
	GrantCreationTokens types.Set         `tfsdk:"grant_creation_tokens"`
	GrantID             types.String      `tfsdk:"grant_id"`
	GrantToken          types.String      `tfsdk:"grant_token"`
	GranteePrincipal    types.String      `tfsdk:"grantee_principal"`
	ID                  types.String      `tfsdk:"id"`
	KeyID               types.String      `tfsdk:"key_id"`
	Name                types.String      `tfsdk:"name"`
	Operations          types.Set         `tfsdk:"operations"`
	RetireOnDelete      types.Bool        `tfsdk:"retire_on_delete"`
	RetiringPrincipal   types.String      `tfsdk:"retiring_principal"`
}

type grantConstraint struct {
	Equals types.Map `tfsdk:"encryption_context_equals"`
	Subset types.Map `tfsdk:"encryption_context_subset"`
}

// Schema describes the resource.
func (r *kmsGrant) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	replace := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	replaceSet := []planmodifier.Set{setplanmodifier.RequiresReplace()}
	context := schema.MapAttribute{
		ElementType: types.StringType, Optional: true, PlanModifiers: []planmodifier.Map{mapplanmodifier.RequiresReplace()},
	}
	token := settled()
	token.Sensitive = true
	resp.Schema = schema.Schema{
		Attributes: map[string]schema.Attribute{
			"grant_creation_tokens": schema.SetAttribute{ElementType: types.StringType, Optional: true, PlanModifiers: replaceSet},
			"grant_id":              settled(),
			"grant_token":           token,
			"grantee_principal":     schema.StringAttribute{Required: true, PlanModifiers: replace},
			"id":                    settled(),
			"key_id":                schema.StringAttribute{Required: true, PlanModifiers: replace},
			"name":                  schema.StringAttribute{Optional: true, PlanModifiers: replace},
			"operations": schema.SetAttribute{
				ElementType: types.StringType, Required: true, PlanModifiers: replaceSet,
				Validators: []validator.Set{each{wordsOf(kmstypes.GrantOperation("").Values())}},
			},
			"retire_on_delete": schema.BoolAttribute{
				Optional: true, Computed: true, Default: booldefault.StaticBool(false),
				PlanModifiers: []planmodifier.Bool{boolplanmodifier.RequiresReplace()},
			},
			"retiring_principal": schema.StringAttribute{Optional: true, PlanModifiers: replace},
		},
		Blocks: map[string]schema.Block{
			"constraints": schema.SetNestedBlock{
				PlanModifiers: replaceSet,
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"encryption_context_equals": context,
					"encryption_context_subset": context,
				}},
			},
		},
	}
}

// input returns the request that creates the grant.
func (m *kmsGrantModel) input(ctx context.Context) *kms.CreateGrantInput {
	in := &kms.CreateGrantInput{
		GrantTokens:       list(ctx, m.GrantCreationTokens),
		GranteePrincipal:  m.GranteePrincipal.ValueStringPointer(),
		KeyId:             m.KeyID.ValueStringPointer(),
		Name:              textOf(m.Name),
		RetiringPrincipal: textOf(m.RetiringPrincipal),
	}
	for _, operation := range list(ctx, m.Operations) {
		in.Operations = append(in.Operations, kmstypes.GrantOperation(operation))
	}
	for _, c := range m.Constraints {
		equals, _ := known(ctx, c.Equals) // all is known when a change is applied
		subset, _ := known(ctx, c.Subset)
		if len(equals)+len(subset) > 0 {
			in.Constraints = &kmstypes.GrantConstraints{EncryptionContextEquals: equals, EncryptionContextSubset: subset}
		}
	}
	return in
}

// read takes over what KMS lists. As in the original, what KMS leaves out stays: the principal of a grant
// that only allows retiring, say, or the token, which is not listed.
func (m *kmsGrantModel) read(ctx context.Context, key string, grant *kmstypes.GrantListEntry) {
	m.KeyID = types.StringValue(key)
	m.GrantID = types.StringPointerValue(grant.GrantId)
	if grant.GranteePrincipal != nil {
		m.GranteePrincipal = types.StringPointerValue(grant.GranteePrincipal)
	}
	if aws.ToString(grant.Name) != "" {
		m.Name = types.StringPointerValue(grant.Name)
	}
	if aws.ToString(grant.RetiringPrincipal) != "" {
		m.RetiringPrincipal = types.StringPointerValue(grant.RetiringPrincipal)
	}
	var operations []string
	for _, operation := range grant.Operations {
		operations = append(operations, string(operation))
	}
	m.Operations = setOf(operations)
	if c := grant.Constraints; c != nil && len(c.EncryptionContextEquals)+len(c.EncryptionContextSubset) > 0 {
		m.Constraints = []grantConstraint{{Equals: mapOf(ctx, c.EncryptionContextEquals), Subset: mapOf(ctx, c.EncryptionContextSubset)}}
	}
}

// mapOf returns a map of strings; null for an empty one.
func mapOf(ctx context.Context, v map[string]string) types.Map {
	if len(v) == 0 {
		return types.MapNull(types.StringType)
	}
	out, _ := types.MapValueFrom(ctx, types.StringType, v) // strings always fit
	return out
}
