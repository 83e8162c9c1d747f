package awsprovider

import (
	"cmp"
	"context"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/upgradegate/upgradegate/upgrade"
)

type awsProvider struct {
	clock   upgrade.Clock
	environ func(string) string
}

func newProvider(clock upgrade.Clock, environ func(string) string) provider.Provider {
	return &awsProvider{clock: clock, environ: environ}
}

// providerModel is the provider block.
type providerModel struct {
	AccessKey     types.String      `tfsdk:"access_key"`
	AssumeRole    []assumeRoleModel `tfsdk:"assume_role"`
	DefaultTags   []defaultTags     `tfsdk:"default_tags"`
	Endpoint      types.String      `tfsdk:"endpoint"`
	Endpoints     []endpointsModel  `tfsdk:"endpoints"`
	Region        types.String      `tfsdk:"region"`
	SecretKey     types.String      `tfsdk:"secret_key"`
	SkipAccountID types.Bool        `tfsdk:"skip_requesting_account_id"`
	SkipCheck     types.Bool        `tfsdk:"skip_credentials_validation"`
	SkipMetadata  types.Bool        `tfsdk:"skip_metadata_api_check"`
	SkipRegion    types.Bool        `tfsdk:"skip_region_validation"`
	Token         types.String      `tfsdk:"token"`
}

type assumeRoleModel struct {
	ExternalID  types.String `tfsdk:"external_id"`
	RoleARN     types.String `tfsdk:"role_arn"`
	SessionName types.String `tfsdk:"session_name"`
}

type defaultTags struct {
	Tags types.Map `tfsdk:"tags"`
}

type endpointsModel struct {
	AutoScaling types.String `tfsdk:"autoscaling"`
	EC2         types.String `tfsdk:"ec2"`
	KMS         types.String `tfsdk:"kms"`
	STS         types.String `tfsdk:"sts"`
}

// Metadata names the provider.
func (p *awsProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = typeName
}

// Schema describes the provider block. endpoint is ours; the others are those of the original, and the
// skip_… arguments are accepted because configurations for simulators carry them.
func (p *awsProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	text := schema.StringAttribute{Optional: true}
	flag := schema.BoolAttribute{Optional: true}
	resp.Schema = schema.Schema{
		Attributes: map[string]schema.Attribute{
			"access_key":                  text,
			"endpoint":                    schema.StringAttribute{Optional: true, Description: "URL of the simulated AWS, for all services; else UPGRADEGATE_SIM_AWS or AWS_ENDPOINT_URL"},
			"region":                      text,
			"secret_key":                  schema.StringAttribute{Optional: true, Sensitive: true},
			"skip_credentials_validation": flag,
			"skip_metadata_api_check":     flag,
			"skip_region_validation":      flag,
			"skip_requesting_account_id":  flag,
			"token":                       schema.StringAttribute{Optional: true, Sensitive: true},
		},
		Blocks: map[string]schema.Block{
			"assume_role": schema.ListNestedBlock{
				Validators: []validator.List{atMostOne{}},
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"external_id":  text,
					"role_arn":     schema.StringAttribute{Required: true},
					"session_name": text,
				}},
			},
			"default_tags": schema.ListNestedBlock{
				Validators: []validator.List{atMostOne{}},
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"tags": schema.MapAttribute{ElementType: types.StringType, Optional: true},
				}},
			},
			"endpoints": schema.SetNestedBlock{
				NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
					"autoscaling": text, "ec2": text, "kms": text, "sts": text,
				}},
			},
		},
	}
}

// Configure makes the clients and asks STS who the caller is, as the original does when it starts.
func (p *awsProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	if !req.Config.Raw.IsFullyKnown() {
		resp.Diagnostics.AddError("configuring the AWS provider",
			"an argument of the provider block is known only after apply: set it by a literal or a variable")
		return
	}
	var model providerModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &model)...)
	if resp.Diagnostics.HasError() {
		return
	}
	set := p.settings(model, &resp.Diagnostics)
	set.defaultTags = map[string]string{}
	for _, block := range model.DefaultTags {
		tags, diags := known(ctx, block.Tags)
		resp.Diagnostics.Append(diags...)
		set.defaultTags = tags
	}
	if resp.Diagnostics.HasError() {
		return
	}
	c := newClients(set, p.clock)
	if !model.SkipAccountID.ValueBool() {
		if err := c.identify(ctx); err != nil {
			resp.Diagnostics.AddError("retrieving AWS account details: validating provider credentials", err.Error())
			return
		}
	}
	resp.ResourceData, resp.DataSourceData = c, c
}

// settings gathers the provider block and the environment, the block first.
func (p *awsProvider) settings(model providerModel, diags *diag.Diagnostics) settings {
	first := func(v types.String, names ...string) string {
		if s := v.ValueString(); s != "" {
			return s
		}
		for _, name := range names {
			if s := p.environ(name); s != "" {
				return s
			}
		}
		return ""
	}
	s := settings{
		region:    first(model.Region, "AWS_REGION", "AWS_DEFAULT_REGION"),
		accessKey: first(model.AccessKey, "AWS_ACCESS_KEY_ID"),
		secretKey: first(model.SecretKey, "AWS_SECRET_ACCESS_KEY"),
		token:     first(model.Token, "AWS_SESSION_TOKEN"),
	}
	all := first(model.Endpoint, "UPGRADEGATE_SIM_AWS", "AWS_ENDPOINT_URL")
	var own endpointsModel
	for _, block := range model.Endpoints {
		own = block
	}
	s.endpoints = map[string]string{
		serviceAutoScaling: cmp.Or(first(own.AutoScaling, "AWS_ENDPOINT_URL_AUTO_SCALING"), all),
		serviceEC2:         cmp.Or(first(own.EC2, "AWS_ENDPOINT_URL_EC2"), all),
		serviceKMS:         cmp.Or(first(own.KMS, "AWS_ENDPOINT_URL_KMS"), all),
		serviceSTS:         cmp.Or(first(own.STS, "AWS_ENDPOINT_URL_STS"), all),
	}
	for _, block := range model.AssumeRole {
		s.roleARN, s.externalID = block.RoleARN.ValueString(), block.ExternalID.ValueString()
		s.sessionName = cmp.Or(block.SessionName.ValueString(), "upgradegate-sim")
	}
	s.check(diags)
	return s
}

// check reports what is missing.
func (s settings) check(diags *diag.Diagnostics) {
	if s.region == "" {
		diags.AddError("Invalid provider configuration", `"region" must be set, here or as AWS_REGION`)
	}
	if s.accessKey == "" || s.secretKey == "" {
		diags.AddError("No valid credential sources found",
			"set access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; no other source is looked at")
	}
	for _, service := range []string{serviceAutoScaling, serviceEC2, serviceKMS, serviceSTS} {
		switch url := s.endpoints[service]; {
		case url == "":
			diags.AddError("Invalid provider configuration",
				`no endpoint for `+service+`: set "endpoint", UPGRADEGATE_SIM_AWS or AWS_ENDPOINT_URL to the address of the simulated AWS`)
		case strings.Contains(strings.ToLower(url), "amazonaws.com"):
			diags.AddError("Invalid provider configuration",
				"the endpoint "+url+" is Amazon's: this provider is made for simulations and refuses a real account")
		}
	}
}

// DataSources lists the data sources.
func (p *awsProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{newAMI, newCallerIdentity}
}

// Resources lists the resources.
func (p *awsProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		newAutoScalingGroup, newEgressRule, newIngressRule, newKMSGrant, newKMSKey, newLaunchTemplate, newSecurityGroup,
	}
}
