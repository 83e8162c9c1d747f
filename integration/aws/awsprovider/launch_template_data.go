package awsprovider

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// data returns what a version of the template holds.
func (m *launchTemplateModel) data(ctx context.Context) *ec2types.RequestLaunchTemplateData {
	d := &ec2types.RequestLaunchTemplateData{
		DisableApiTermination: m.DisableAPITermination.ValueBoolPointer(),
		EbsOptimized:          tristate(m.EBSOptimized),
		ImageId:               textOf(m.ImageID),
		InstanceType:          ec2types.InstanceType(m.InstanceType.ValueString()),
		KeyName:               textOf(m.KeyName),
		SecurityGroupIds:      list(ctx, m.VPCSecurityGroupIDs),
		SecurityGroups:        list(ctx, m.SecurityGroupNames),
		UserData:              aws.String(m.UserData.ValueString()), // always: AWS refuses data without any field
	}
	for _, mapping := range m.BlockDeviceMappings {
		d.BlockDeviceMappings = append(d.BlockDeviceMappings, mapping.request())
	}
	for _, p := range m.IAMInstanceProfile {
		d.IamInstanceProfile = &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Arn: textOf(p.ARN), Name: textOf(p.Name)}
	}
	for _, o := range m.MetadataOptions {
		d.MetadataOptions = &ec2types.LaunchTemplateInstanceMetadataOptionsRequest{
			HttpEndpoint:            ec2types.LaunchTemplateInstanceMetadataEndpointState(o.HTTPEndpoint.ValueString()),
			HttpPutResponseHopLimit: positive(o.HTTPPutResponseHopLimit),
			HttpTokens:              ec2types.LaunchTemplateHttpTokensState(o.HTTPTokens.ValueString()),
			InstanceMetadataTags:    ec2types.LaunchTemplateInstanceMetadataTagsState(o.InstanceMetadataTags.ValueString()),
		}
	}
	for _, w := range m.Monitoring {
		d.Monitoring = &ec2types.LaunchTemplatesMonitoringRequest{Enabled: aws.Bool(w.Enabled.ValueBool())}
	}
	for _, s := range m.TagSpecifications {
		tags, _ := known(ctx, s.Tags) // all is known when a change is applied
		d.TagSpecifications = append(d.TagSpecifications, ec2types.LaunchTemplateTagSpecificationRequest{
			ResourceType: ec2types.ResourceType(s.ResourceType.ValueString()), Tags: ec2Tags(tags),
		})
	}
	return d
}

func (b blockDeviceMapping) request() ec2types.LaunchTemplateBlockDeviceMappingRequest {
	out := ec2types.LaunchTemplateBlockDeviceMappingRequest{
		DeviceName: textOf(b.DeviceName), NoDevice: textOf(b.NoDevice), VirtualName: textOf(b.VirtualName),
	}
	for _, e := range b.EBS {
		out.Ebs = &ec2types.LaunchTemplateEbsBlockDeviceRequest{
			DeleteOnTermination: tristate(e.DeleteOnTermination),
			Encrypted:           tristate(e.Encrypted),
			Iops:                positive(e.IOPS),
			KmsKeyId:            textOf(e.KMSKeyID),
			SnapshotId:          textOf(e.SnapshotID),
			Throughput:          positive(e.Throughput),
			VolumeSize:          positive(e.VolumeSize),
			VolumeType:          ec2types.VolumeType(e.VolumeType.ValueString()),
		}
	}
	return out
}

// read takes over a template and its latest version.
func (m *launchTemplateModel) read(ctx context.Context, t ec2types.LaunchTemplate, v ec2types.LaunchTemplateVersion, f fill) {
	f.long(&m.DefaultVersion, t.DefaultVersionNumber)
	f.long(&m.LatestVersion, t.LatestVersionNumber)
	f.text(&m.Name, t.LaunchTemplateName)
	f.word(&m.NamePrefix, namePrefix(aws.ToString(t.LaunchTemplateName)))
	f.maybeText(&m.Description, v.VersionDescription)
	d := v.LaunchTemplateData
	if d == nil {
		d = &ec2types.ResponseLaunchTemplateData{}
	}
	f.maybeFlag(&m.DisableAPITermination, d.DisableApiTermination)
	f.maybeTristate(&m.EBSOptimized, d.EbsOptimized)
	f.maybeText(&m.ImageID, d.ImageId)
	f.maybeText(&m.InstanceType, (*string)(&d.InstanceType))
	f.maybeText(&m.KeyName, d.KeyName)
	f.maybeText(&m.UserData, d.UserData)
	f.maybeSet(&m.SecurityGroupNames, d.SecurityGroups)
	f.maybeSet(&m.VPCSecurityGroupIDs, d.SecurityGroupIds)

	m.BlockDeviceMappings = resized(f, m.BlockDeviceMappings, len(d.BlockDeviceMappings))
	for i := range min(len(m.BlockDeviceMappings), len(d.BlockDeviceMappings)) {
		m.BlockDeviceMappings[i].read(d.BlockDeviceMappings[i], f)
	}
	m.IAMInstanceProfile = resized(f, m.IAMInstanceProfile, count(d.IamInstanceProfile))
	for i := range m.IAMInstanceProfile {
		if d.IamInstanceProfile != nil {
			f.maybeText(&m.IAMInstanceProfile[i].ARN, d.IamInstanceProfile.Arn)
			f.maybeText(&m.IAMInstanceProfile[i].Name, d.IamInstanceProfile.Name)
		}
	}
	m.Monitoring = resized(f, m.Monitoring, count(d.Monitoring))
	for i := range m.Monitoring {
		if d.Monitoring != nil {
			f.maybeFlag(&m.Monitoring[i].Enabled, d.Monitoring.Enabled)
		}
	}
	m.readMetadataOptions(d, f)
	m.TagSpecifications = resized(f, m.TagSpecifications, len(d.TagSpecifications))
	for i := range min(len(m.TagSpecifications), len(d.TagSpecifications)) {
		m.TagSpecifications[i].read(ctx, d.TagSpecifications[i], f)
	}
}

func (m *launchTemplateModel) readMetadataOptions(d *ec2types.ResponseLaunchTemplateData, f fill) {
	m.MetadataOptions = resized(f, m.MetadataOptions, count(d.MetadataOptions))
	options := d.MetadataOptions
	if options == nil {
		options = &ec2types.LaunchTemplateInstanceMetadataOptions{}
	}
	for i := range m.MetadataOptions {
		o := &m.MetadataOptions[i]
		f.word(&o.HTTPEndpoint, string(options.HttpEndpoint))
		f.number(&o.HTTPPutResponseHopLimit, options.HttpPutResponseHopLimit)
		f.word(&o.HTTPTokens, string(options.HttpTokens))
		f.word(&o.InstanceMetadataTags, string(options.InstanceMetadataTags))
	}
}

func (b *blockDeviceMapping) read(v ec2types.LaunchTemplateBlockDeviceMapping, f fill) {
	f.maybeText(&b.DeviceName, v.DeviceName)
	f.maybeText(&b.NoDevice, v.NoDevice)
	f.maybeText(&b.VirtualName, v.VirtualName)
	b.EBS = resized(f, b.EBS, count(v.Ebs))
	ebs := v.Ebs
	if ebs == nil {
		ebs = &ec2types.LaunchTemplateEbsBlockDevice{}
	}
	for i := range b.EBS {
		e := &b.EBS[i]
		f.maybeTristate(&e.DeleteOnTermination, ebs.DeleteOnTermination)
		f.maybeTristate(&e.Encrypted, ebs.Encrypted)
		f.number(&e.IOPS, ebs.Iops)
		f.maybeText(&e.KMSKeyID, ebs.KmsKeyId)
		f.maybeText(&e.SnapshotID, ebs.SnapshotId)
		f.number(&e.Throughput, ebs.Throughput)
		f.number(&e.VolumeSize, ebs.VolumeSize)
		f.word(&e.VolumeType, string(ebs.VolumeType))
	}
}

func (s *tagSpecification) read(ctx context.Context, v ec2types.LaunchTemplateTagSpecification, f fill) {
	f.maybeText(&s.ResourceType, (*string)(&v.ResourceType))
	if s.Tags.IsNull() {
		s.Tags = types.MapNull(types.StringType) // of a block that is new here, it has not even a type
	}
	if f.openOnly || len(v.Tags) == 0 && len(s.Tags.Elements()) == 0 {
		return
	}
	s.Tags, _ = types.MapValueFrom(ctx, types.StringType, fromEC2Tags(v.Tags)) // strings always fit
}

// resized returns the blocks of a model with as many elements as AWS has; after a change, untouched.
// Elements that stay keep their place, so that what AWS does not tell apart, such as an empty string and
// none, stays as it was written.
func resized[T any](f fill, blocks []T, n int) []T {
	if f.openOnly {
		return blocks
	}
	out := make([]T, n)
	copy(out, blocks)
	return out
}

// count returns how many blocks stand for an optional part of an answer.
func count[T any](part *T) int {
	if part == nil {
		return 0
	}
	return 1
}
