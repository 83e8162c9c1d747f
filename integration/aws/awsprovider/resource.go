package awsprovider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// base is what all resources have in common.
type base struct {
	*clients
	kind string // the type without its prefix, such as "kms_key"
}

// Metadata names the resource.
func (b *base) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + b.kind
}

// Configure takes the clients over from the provider. They are absent while a configuration is only
// validated.
func (b *base) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if c, ok := req.ProviderData.(*clients); ok {
		b.clients = c
	}
}

// ImportState imports by the resource's id.
func (b *base) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("id"), req, resp)
}

// dataBase is what all data sources have in common.
type dataBase struct {
	*clients
	kind string
}

// Metadata names the data source.
func (b *dataBase) Metadata(_ context.Context, req datasource.MetadataRequest, resp *datasource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + b.kind
}

// Configure takes the clients over from the provider.
func (b *dataBase) Configure(_ context.Context, req datasource.ConfigureRequest, _ *datasource.ConfigureResponse) {
	if c, ok := req.ProviderData.(*clients); ok {
		b.clients = c
	}
}

// remember writes the id into the state as soon as the thing exists, so that what fails later leaves a
// tainted resource and not one that nobody knows of.
func remember(ctx context.Context, resp *resource.CreateResponse, id string) {
	resp.Diagnostics.Append(resp.State.SetAttribute(ctx, path.Root("id"), id)...)
}

// changed returns the names of the arguments that differ between plan and state. It works on raw values,
// because a plan may hold blocks that are unknown as a whole. It returns nil when the thing is created or
// destroyed.
func changed(plan tfsdk.Plan, state tfsdk.State) (map[string]bool, error) {
	if plan.Raw.IsNull() || state.Raw.IsNull() {
		return nil, nil
	}
	diffs, err := plan.Raw.Diff(state.Raw)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, d := range diffs {
		if steps := d.Path.Steps(); len(steps) > 0 {
			if name, ok := steps[0].(tftypes.AttributeName); ok {
				names[string(name)] = true
			}
		}
	}
	return names, nil
}
