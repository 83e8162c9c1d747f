package awsprovider

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// ami is data aws_ami: one machine image, found by owner and filters.
type ami struct{ dataBase }

func newAMI() datasource.DataSource { return &ami{dataBase{kind: "ami"}} }

type amiModel struct {
	AllowUnsafeFilter   types.Bool   `tfsdk:"allow_unsafe_filter"`
	Architecture        types.String `tfsdk:"architecture"`
	ARN                 types.String `tfsdk:"arn"`
	BlockDeviceMappings []amiDevice  `tfsdk:"block_device_mappings"`
	CreationDate        types.String `tfsdk:"creation_date"`
	Description         types.String `tfsdk:"description"`
	ExecutableUsers     types.List   `tfsdk:"executable_users"`
	Filter              []amiFilter  `tfsdk:"filter"`
	ID                  types.String `tfsdk:"id"`
	ImageID             types.String `tfsdk:"image_id"`
	IncludeDeprecated   types.Bool   `tfsdk:"include_deprecated"`
	MostRecent          types.Bool   `tfsdk:"most_recent"`
	Name                types.String `tfsdk:"name"`
	NameRegex           types.String `tfsdk:"name_regex"`
	OwnerID             types.String `tfsdk:"owner_id"`
	Owners              types.List   `tfsdk:"owners"`
	Public              types.Bool   `tfsdk:"public"`
	RootDeviceName      types.String `tfsdk:"root_device_name"`
	RootDeviceType      types.String `tfsdk:"root_device_type"`
	RootSnapshotID      types.String `tfsdk:"root_snapshot_id"`
	State               types.String `tfsdk:"state"`
	Tags                types.Map    `tfsdk:"tags"`
	VirtualizationType  types.String `tfsdk:"virtualization_type"`
}

type amiFilter struct {
	Name   types.String `tfsdk:"name"`
	Values types.Set    `tfsdk:"values"`
}

type amiDevice struct {
	DeviceName  types.String `tfsdk:"device_name"`
	EBS         types.Map    `tfsdk:"ebs"`
	NoDevice    types.String `tfsdk:"no_device"`
	VirtualName types.String `tfsdk:"virtual_name"`
}

// Schema describes the data source.
func (d *ami) Schema(_ context.Context, _ datasource.SchemaRequest, resp *datasource.SchemaResponse) {
	given := schema.StringAttribute{Computed: true}
	flag := schema.BoolAttribute{Optional: true}
	texts := schema.ListAttribute{ElementType: types.StringType, Optional: true}
	resp.Schema = schema.Schema{
		Attributes: map[string]schema.Attribute{
			"allow_unsafe_filter": flag,
			"architecture":        given,
			"arn":                 given,
			"block_device_mappings": schema.SetAttribute{Computed: true, ElementType: types.ObjectType{AttrTypes: map[string]attr.Type{
				"device_name": types.StringType, "ebs": types.MapType{ElemType: types.StringType},
				"no_device": types.StringType, "virtual_name": types.StringType,
			}}},
			"creation_date":       given,
			"description":         given,
			"executable_users":    texts,
			"id":                  given,
			"image_id":            given,
			"include_deprecated":  flag,
			"most_recent":         flag,
			"name":                given,
			"name_regex":          schema.StringAttribute{Optional: true},
			"owner_id":            given,
			"owners":              texts,
			"public":              schema.BoolAttribute{Computed: true},
			"root_device_name":    given,
			"root_device_type":    given,
			"root_snapshot_id":    given,
			"state":               given,
			"tags":                schema.MapAttribute{ElementType: types.StringType, Computed: true},
			"virtualization_type": given,
		},
		Blocks: map[string]schema.Block{
			"filter": schema.SetNestedBlock{NestedObject: schema.NestedBlockObject{Attributes: map[string]schema.Attribute{
				"name":   schema.StringAttribute{Required: true},
				"values": schema.SetAttribute{ElementType: types.StringType, Required: true},
			}}},
		},
	}
}

// Read finds the image.
func (d *ami) Read(ctx context.Context, req datasource.ReadRequest, resp *datasource.ReadResponse) {
	var m amiModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	m.check(&resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	in := &ec2.DescribeImagesInput{
		ExecutableUsers: list(ctx, m.ExecutableUsers), Owners: list(ctx, m.Owners),
		IncludeDeprecated: aws.Bool(m.IncludeDeprecated.ValueBool()),
	}
	for _, filter := range m.Filter {
		in.Filters = append(in.Filters, ec2types.Filter{Name: filter.Name.ValueStringPointer(), Values: list(ctx, filter.Values)})
	}
	out, err := d.ec2.DescribeImages(ctx, in)
	if err != nil {
		resp.Diagnostics.AddError("reading EC2 AMIs", err.Error())
		return
	}
	image := m.choose(out.Images, &resp.Diagnostics)
	if image == nil {
		return
	}
	m.read(ctx, image)
	m.ARN = types.StringValue("arn:aws:ec2:" + d.region + "::image/" + m.ID.ValueString())
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// check refuses to take the latest image of anybody: a stranger could offer a newer one.
func (m *amiModel) check(diags *diag.Diagnostics) {
	filtered := len(m.Owners.Elements()) > 0
	for _, filter := range m.Filter {
		name := filter.Name.ValueString()
		filtered = filtered || name == "image-id" || name == "owner-id"
	}
	if !m.MostRecent.ValueBool() || filtered {
		return
	}
	const summary, detail = "Most Recent Image Not Filtered", `"most_recent" is set to "true" and results are not filtered by owner or image ID. ` +
		"With this configuration, a third party may introduce a new image which will be returned by this data source. " +
		"Filter by owner or image ID to avoid this possibility."
	if m.AllowUnsafeFilter.ValueBool() {
		diags.AddWarning(summary, detail)
		return
	}
	diags.AddError(summary, detail)
}

// choose returns the one image that fits, or the most recent one if that is wanted.
func (m *amiModel) choose(images []ec2types.Image, diags *diag.Diagnostics) *ec2types.Image {
	if text := m.NameRegex.ValueString(); text != "" {
		expression, err := regexp.Compile(text)
		if err != nil {
			diags.AddError("reading EC2 AMIs", "name_regex: "+err.Error())
			return nil
		}
		images = slices.DeleteFunc(images, func(i ec2types.Image) bool { return !expression.MatchString(aws.ToString(i.Name)) })
	}
	switch {
	case len(images) == 0:
		diags.AddError("reading EC2 AMIs", "Your query returned no results. Please change your search criteria and try again.")
		return nil
	case len(images) > 1 && !m.MostRecent.ValueBool():
		diags.AddError("reading EC2 AMIs", "Your query returned more than one result. Please try a more specific search criteria, or set `most_recent` attribute to true.")
		return nil
	}
	// The dates are in UTC and of one length, so that the order of the texts is that of the times.
	latest := slices.MaxFunc(images, func(a, b ec2types.Image) int {
		return strings.Compare(aws.ToString(a.CreationDate), aws.ToString(b.CreationDate))
	})
	return &latest
}

func (m *amiModel) read(ctx context.Context, image *ec2types.Image) {
	f := fill{}
	m.ID = types.StringPointerValue(image.ImageId)
	m.ImageID = m.ID
	f.word(&m.Architecture, string(image.Architecture))
	f.text(&m.CreationDate, image.CreationDate)
	f.text(&m.Description, image.Description)
	f.text(&m.Name, image.Name)
	f.text(&m.OwnerID, image.OwnerId)
	f.flag(&m.Public, image.Public)
	f.text(&m.RootDeviceName, image.RootDeviceName)
	f.word(&m.RootDeviceType, string(image.RootDeviceType))
	f.word(&m.State, string(image.State))
	f.word(&m.VirtualizationType, string(image.VirtualizationType))
	m.Tags, _ = types.MapValueFrom(ctx, types.StringType, fromEC2Tags(image.Tags)) // strings always fit
	m.RootSnapshotID = types.StringValue("")
	m.BlockDeviceMappings = []amiDevice{}
	for _, mapping := range image.BlockDeviceMappings {
		device := amiDevice{
			DeviceName: types.StringPointerValue(mapping.DeviceName), NoDevice: types.StringPointerValue(mapping.NoDevice),
			VirtualName: types.StringPointerValue(mapping.VirtualName), EBS: types.MapNull(types.StringType),
		}
		if ebs := mapping.Ebs; ebs != nil {
			device.EBS, _ = types.MapValueFrom(ctx, types.StringType, ebsTexts(ebs))
			if aws.ToString(mapping.DeviceName) == aws.ToString(image.RootDeviceName) {
				m.RootSnapshotID = types.StringValue(aws.ToString(ebs.SnapshotId))
			}
		}
		m.BlockDeviceMappings = append(m.BlockDeviceMappings, device)
	}
}

// ebsTexts returns a disk in the original's form, everything as text.
func ebsTexts(ebs *ec2types.EbsBlockDevice) map[string]string {
	number := func(v *int32) string { return strconv.Itoa(int(aws.ToInt32(v))) }
	return map[string]string{
		"delete_on_termination": strconv.FormatBool(aws.ToBool(ebs.DeleteOnTermination)),
		"encrypted":             strconv.FormatBool(aws.ToBool(ebs.Encrypted)),
		"iops":                  number(ebs.Iops),
		"snapshot_id":           aws.ToString(ebs.SnapshotId),
		"throughput":            number(ebs.Throughput),
		"volume_size":           number(ebs.VolumeSize),
		"volume_type":           string(ebs.VolumeType),
	}
}
