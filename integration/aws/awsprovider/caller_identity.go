package awsprovider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// callerIdentity is data aws_caller_identity: configurations write account numbers into policies with it.
type callerIdentity struct{ dataBase }

func newCallerIdentity() datasource.DataSource {
	return &callerIdentity{dataBase{kind: "caller_identity"}}
}

type callerIdentityModel struct {
	AccountID types.String `tfsdk:"account_id"`
	ARN       types.String `tfsdk:"arn"`
	ID        types.String `tfsdk:"id"`
	UserID    types.String `tfsdk:"user_id"`
}

// Schema describes the data source.
func (d *callerIdentity) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	given := schema.StringAttribute{Computed: true}
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"account_id": given, "arn": given, "id": given, "user_id": given,
	}}
}

// Read answers with what STS said when the provider started, or asks if it was not to be asked then.
func (d *callerIdentity) Read(ctx context.Context, _ datasource.ReadRequest, resp *datasource.ReadResponse) {
	c := *d.clients
	if c.account == "" {
		if err := c.identify(ctx); err != nil {
			resp.Diagnostics.AddError("reading STS Caller Identity", err.Error())
			return
		}
	}
	m := callerIdentityModel{
		AccountID: types.StringValue(c.account), ARN: types.StringValue(c.callerARN),
		ID: types.StringValue(c.account), UserID: types.StringValue(c.callerID),
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}
