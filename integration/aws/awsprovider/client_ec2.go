package awsprovider

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// ec2Call is one operation of EC2.
type ec2Call[I, O any] func(context.Context, *I, ...func(*ec2.Options)) (*O, error)

// ec2Calls are the operations that are used, instead of the client that has all 800 of them. Where
// html/template is in a program, the linker keeps every method that reflection could find, and it could
// find those of a client in any value that is ever put into an interface. With the client in clients the
// test binary had 78 MB, with these it has 41; and Terraform takes the checksum of the provider before
// each command.
type ec2Calls struct {
	AuthorizeSecurityGroupEgress   ec2Call[ec2.AuthorizeSecurityGroupEgressInput, ec2.AuthorizeSecurityGroupEgressOutput]
	AuthorizeSecurityGroupIngress  ec2Call[ec2.AuthorizeSecurityGroupIngressInput, ec2.AuthorizeSecurityGroupIngressOutput]
	CreateLaunchTemplate           ec2Call[ec2.CreateLaunchTemplateInput, ec2.CreateLaunchTemplateOutput]
	CreateLaunchTemplateVersion    ec2Call[ec2.CreateLaunchTemplateVersionInput, ec2.CreateLaunchTemplateVersionOutput]
	CreateSecurityGroup            ec2Call[ec2.CreateSecurityGroupInput, ec2.CreateSecurityGroupOutput]
	CreateTags                     ec2Call[ec2.CreateTagsInput, ec2.CreateTagsOutput]
	DeleteLaunchTemplate           ec2Call[ec2.DeleteLaunchTemplateInput, ec2.DeleteLaunchTemplateOutput]
	DeleteSecurityGroup            ec2Call[ec2.DeleteSecurityGroupInput, ec2.DeleteSecurityGroupOutput]
	DeleteTags                     ec2Call[ec2.DeleteTagsInput, ec2.DeleteTagsOutput]
	DescribeImages                 ec2Call[ec2.DescribeImagesInput, ec2.DescribeImagesOutput]
	DescribeLaunchTemplateVersions ec2Call[ec2.DescribeLaunchTemplateVersionsInput, ec2.DescribeLaunchTemplateVersionsOutput]
	DescribeLaunchTemplates        ec2Call[ec2.DescribeLaunchTemplatesInput, ec2.DescribeLaunchTemplatesOutput]
	DescribeSecurityGroupRules     ec2Call[ec2.DescribeSecurityGroupRulesInput, ec2.DescribeSecurityGroupRulesOutput]
	DescribeSecurityGroups         ec2Call[ec2.DescribeSecurityGroupsInput, ec2.DescribeSecurityGroupsOutput]
	ModifyLaunchTemplate           ec2Call[ec2.ModifyLaunchTemplateInput, ec2.ModifyLaunchTemplateOutput]
	ModifySecurityGroupRules       ec2Call[ec2.ModifySecurityGroupRulesInput, ec2.ModifySecurityGroupRulesOutput]
	RevokeSecurityGroupEgress      ec2Call[ec2.RevokeSecurityGroupEgressInput, ec2.RevokeSecurityGroupEgressOutput]
	RevokeSecurityGroupIngress     ec2Call[ec2.RevokeSecurityGroupIngressInput, ec2.RevokeSecurityGroupIngressOutput]
}

func ec2CallsOf(c *ec2.Client) ec2Calls {
	return ec2Calls{
		AuthorizeSecurityGroupEgress:   c.AuthorizeSecurityGroupEgress,
		AuthorizeSecurityGroupIngress:  c.AuthorizeSecurityGroupIngress,
		CreateLaunchTemplate:           c.CreateLaunchTemplate,
		CreateLaunchTemplateVersion:    c.CreateLaunchTemplateVersion,
		CreateSecurityGroup:            c.CreateSecurityGroup,
		CreateTags:                     c.CreateTags,
		DeleteLaunchTemplate:           c.DeleteLaunchTemplate,
		DeleteSecurityGroup:            c.DeleteSecurityGroup,
		DeleteTags:                     c.DeleteTags,
		DescribeImages:                 c.DescribeImages,
		DescribeLaunchTemplateVersions: c.DescribeLaunchTemplateVersions,
		DescribeLaunchTemplates:        c.DescribeLaunchTemplates,
		DescribeSecurityGroupRules:     c.DescribeSecurityGroupRules,
		DescribeSecurityGroups:         c.DescribeSecurityGroups,
		ModifyLaunchTemplate:           c.ModifyLaunchTemplate,
		ModifySecurityGroupRules:       c.ModifySecurityGroupRules,
		RevokeSecurityGroupEgress:      c.RevokeSecurityGroupEgress,
		RevokeSecurityGroupIngress:     c.RevokeSecurityGroupIngress,
	}
}
