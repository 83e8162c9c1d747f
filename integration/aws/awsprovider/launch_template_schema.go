package awsprovider

import (
	"context"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

type launchTemplateModel struct {
	ARN                   types.String         `tfsdk:"arn"`
	BlockDeviceMappings   []blockDeviceMapping `tfsdk:"block_device_mappings"`
	DefaultVersion        types.Int64          `tfsdk:"default_version"`
	Description           types.String         `tfsdk:"description"`
	DisableAPITermination types.Bool           `tfsdk:"disable_api_termination"`
	EBSOptimized          types.String         `tfsdk:"ebs_optimized"`
	IAMInstanceProfile    []instanceProfile    `tfsdk:"iam_instance_profile"`
	ID                    types.String         `tfsdk:"id"`
	ImageID               types.String         `tfsdk:"image_id"`
	InstanceType          types.String         `tfsdk:"instance_type"`
	KeyName               types.String         `tfsdk:"key_name"`
	LatestVersion         types.Int64          `tfsdk:"latest_version"`
	MetadataOptions       []metadataOptions    `tfsdk:"metadata_options"`
	Monitoring            []monitoring         `tfsdk:"monitoring"`
	Name                  types.String         `tfsdk:"name"`
	NamePrefix            types.String         `tfsdk:"name_prefix"`
	SecurityGroupNames    types.Set            `tfsdk:"security_group_names"`
	TagSpecifications     []tagSpecification   `tfsdk:"tag_specifications"`
	Tags                  types.Map            `tfsdk:"tags"`
	TagsAll               types.Map            `tfsdk:"tags_all"`
	UpdateDefaultVersion  types.Bool           `tfsdk:"update_default_version"`
	UserData              types.String         `tfsdk:"user_data"`
	VPCSecurityGroupIDs   types.Set            `tfsdk:"vpc_security_group_ids"`
}

type blockDeviceMapping struct {
	DeviceName  types.String `tfsdk:"device_name"`
	EBS         []ebsDevice  `tfsdk:"ebs"`
	NoDevice    types.String `tfsdk:"no_device"`
	VirtualName types.String `tfsdk:"virtual_name"`
}

type ebsDevice struct {
	DeleteOnTermination types.String `tfsdk:"delete_on_termination"`
	Encrypted           types.String `tfsdk:"encrypted"`
	IOPS                types.Int64  `tfsdk:"iops"`
	KMSKeyID            types.String `tfsdk:"kms_key_id"`
	SnapshotID          types.String `tfsdk:"snapshot_id"`
	Throughput          types.Int64  `tfsdk:"throughput"`
	VolumeSize          types.Int64  `tfsdk:"volume_size"`
	VolumeType          types.String `tfsdk:"volume_type"`
}

type instanceProfile struct {
	ARN  types.String `tfsdk:"arn"`
	Name types.String `tfsdk:"name"`
}

type metadataOptions struct {
	HTTPEndpoint            types.String `tfsdk:"http_endpoint"`
	HTTPPutResponseHopLimit types.Int64  `tfsdk:"http_put_response_hop_limit"`
	HTTPTokens              types.String `tfsdk:"http_tokens"`
	InstanceMetadataTags    types.String `tfsdk:"instance_metadata_tags"`
}

type monitoring struct {
	Enabled types.Bool `tfsdk:"enabled"`
}

type tagSpecification struct {
	ResourceType types.String `tfsdk:"resource_type"`
	Tags         types.Map    `tfsdk:"tags"`
}

// Schema describes the resource; of the original's blocks, those that decide how an instance is launched
// and which disks it gets.
func (r *launchTemplate) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	text := schema.StringAttribute{Optional: true}
	texts := schema.SetAttribute{ElementType: types.StringType, Optional: true}
	resp.Schema = schema.Schema{
		Attributes: map[string]schema.Attribute{
			"arn":                     settled(),
			"default_version":         chosenNumber(),
			"description":             text,
			"disable_api_termination": schema.BoolAttribute{Optional: true},
			"ebs_optimized":           tristateAttribute(),
			"id":                      settled(),
			"image_id":                text,
			"instance_type":           text,
			"key_name":                text,
			"latest_version": schema.Int64Attribute{
				Computed: true, PlanModifiers: []planmodifier.Int64{int64planmodifier.UseStateForUnknown()},
			},
			"name":                   chosenOnce(),
			"name_prefix":            chosenOnce(),
			"security_group_names":   texts,
			"tags":                   tagsAttribute(),
			"tags_all":               tagsAllAttribute(),
			"update_default_version": schema.BoolAttribute{Optional: true},
			"user_data":              text,
			"vpc_security_group_ids": texts,
		},
		Blocks: map[string]schema.Block{
			"block_device_mappings": blockDeviceMappingsBlock(),
			"iam_instance_profile": one(schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
				"arn": text, "name": text,
			}}),
			"metadata_options": one(schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
				"http_endpoint":               chosen(),
				"http_put_response_hop_limit": chosenNumber(),
				"http_tokens":                 chosen(),
				"instance_metadata_tags":      chosen(),
			}}),
			"monitoring": one(schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
				"enabled": schema.BoolAttribute{Optional: true},
			}}),
			"tag_specifications": schema.ListNestedBlock{NestedObject: schema.NestedBlockObject{
				Attributes: map[string]schema.Attribute{
					"resource_type": schema.StringAttribute{
						Optional: true, Validators: []validator.String{wordsOf(ec2types.ResourceType("").Values())},
					},
					"tags": tagsAttribute(),
				},
			}},
		},
	}
}

func blockDeviceMappingsBlock() schema.Block {
	text := schema.StringAttribute{Optional: true}
	volumeType := chosen()
	volumeType.Validators = []validator.String{wordsOf(ec2types.VolumeType("").Values())}
	return schema.ListNestedBlock{NestedObject: schema.NestedBlockObject{
		Attributes: map[string]schema.Attribute{"device_name": text, "no_device": text, "virtual_name": text},
		Blocks: map[string]schema.Block{
			"ebs": one(schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
				"delete_on_termination": tristateAttribute(),
				"encrypted":             tristateAttribute(),
				"iops":                  chosenNumber(),
				"kms_key_id":            text,
				"snapshot_id":           text,
				"throughput":            chosenNumber(),
				"volume_size":           chosenNumber(),
				"volume_type":           volumeType,
			}}),
		},
	}}
}

// one is a block of which there may be one.
func one(object schema.NestedBlockObject) schema.Block {
	return schema.ListNestedBlock{Validators: []validator.List{atMostOne{}}, NestedObject: object}
}

// chosenNumber is a number that the configuration may give, else AWS does; it keeps its value.
func chosenNumber() schema.Int64Attribute {
	return schema.Int64Attribute{
		Optional: true, Computed: true, PlanModifiers: []planmodifier.Int64{int64planmodifier.UseStateForUnknown()},
	}
}

// tristateAttribute is a boolean kept as text, so that "not said" can be told from false.
func tristateAttribute() schema.Attribute {
	return schema.StringAttribute{Optional: true, Validators: []validator.String{oneOf{"", "0", "1", "false", "true"}}}
}
