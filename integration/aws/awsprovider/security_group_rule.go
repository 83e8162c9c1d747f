package awsprovider

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// ruleSeenTimeout is how long a rule that was just made may be missing from the list of rules.
const ruleSeenTimeout = time.Minute

// securityGroupRule is aws_vpc_security_group_ingress_rule, or …_egress_rule.
type securityGroupRule struct {
	base
	egress bool
}

func newIngressRule() resource.Resource {
	return &securityGroupRule{base: base{kind: "vpc_security_group_ingress_rule"}}
}

func newEgressRule() resource.Resource {
	return &securityGroupRule{base: base{kind: "vpc_security_group_egress_rule"}, egress: true}
}

// Schema describes the resource: all but the group changes in place.
func (r *securityGroupRule) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	text := schema.StringAttribute{Optional: true}
	port := schema.Int64Attribute{Optional: true, Validators: []validator.Int64{within{-1, 65535}}}
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"arn":         settled(),
		"cidr_ipv4":   text,
		"cidr_ipv6":   text,
		"description": text,
		"from_port":   port,
		"id":          settled(),
		"ip_protocol": schema.StringAttribute{
			Required:      true,
			PlanModifiers: []planmodifier.String{equivalent{same: sameProtocol, what: "6 is tcp, and so on"}},
		},
		"prefix_list_id":               text,
		"referenced_security_group_id": text,
		"security_group_id": schema.StringAttribute{
			Required:      true,
			PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"security_group_rule_id": settled(),
		"tags":                   tagsAttribute(),
		"tags_all":               tagsAllAttribute(),
		"to_port":                port,
	}}
}

// ValidateConfig wants exactly one source.
func (r *securityGroupRule) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	count := 0
	for _, name := range ruleSources() {
		if isSet(ctx, req.Config, path.Root(name), &resp.Diagnostics) {
			count++
		}
	}
	if count != 1 {
		resp.Diagnostics.AddError("Invalid Attribute Combination",
			"Exactly one of these attributes must be configured: [cidr_ipv4,cidr_ipv6,prefix_list_id,referenced_security_group_id]")
	}
}

// ModifyPlan plans a replacement if the rule is to have another type of source: AWS cannot change that.
func (r *securityGroupRule) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if !req.State.Raw.IsNull() && !req.Plan.Raw.IsNull() {
		var old, now ruleModel
		resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
		resp.Diagnostics.Append(req.Plan.Get(ctx, &now)...)
		if resp.Diagnostics.HasError() {
			return
		}
		if was, is := old.sourceName(), now.sourceName(); was != is {
			resp.RequiresReplace = append(resp.RequiresReplace, path.Root(was), path.Root(is))
		}
	}
	r.planTags(ctx, req, resp)
}

// Create authorizes the rule.
func (r *securityGroupRule) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m ruleModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	tags, diags := known(ctx, m.TagsAll)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	id, err := r.authorize(ctx, m)
	if err != nil {
		resp.Diagnostics.AddError("creating VPC Security Group Rule", err.Error())
		return
	}
	m.ID, m.RuleID = types.StringValue(id), types.StringValue(id)
	m.ARN = types.StringValue(r.arn("security-group-rule", id))
	remember(ctx, resp, id)
	if len(tags) > 0 {
		if _, err := r.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: ec2Tags(tags)}); err != nil {
			resp.Diagnostics.AddError("setting VPC Security Group Rule ("+id+") tags", err.Error())
			return
		}
	}
	err = r.poll(ctx, 200*time.Millisecond, ruleSeenTimeout, "listing the new rule", func(ctx context.Context) (bool, error) {
		rule, err := r.find(ctx, id)
		return rule != nil, err
	})
	if err != nil {
		resp.Diagnostics.AddError("reading VPC Security Group Rule ("+id+")", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// authorize adds the rule and returns its id.
func (r *securityGroupRule) authorize(ctx context.Context, m ruleModel) (string, error) {
	var rules []ec2types.SecurityGroupRule
	permissions := []ec2types.IpPermission{m.permission()}
	if r.egress {
		out, err := r.ec2.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{
			GroupId: m.GroupID.ValueStringPointer(), IpPermissions: permissions,
		})
		if err != nil {
			return "", err
		}
		rules = out.SecurityGroupRules
	} else {
		out, err := r.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
			GroupId: m.GroupID.ValueStringPointer(), IpPermissions: permissions,
		})
		if err != nil {
			return "", err
		}
		rules = out.SecurityGroupRules
	}
	if len(rules) != 1 {
		return "", errNoRule
	}
	return aws.ToString(rules[0].SecurityGroupRuleId), nil
}

// find returns the rule, or nil if there is none of that id, or it is of the other direction.
func (r *securityGroupRule) find(ctx context.Context, id string) (*ec2types.SecurityGroupRule, error) {
	out, err := r.ec2.DescribeSecurityGroupRules(ctx, &ec2.DescribeSecurityGroupRulesInput{SecurityGroupRuleIds: []string{id}})
	if hasCode(err, "InvalidSecurityGroupRuleId.NotFound") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, rule := range out.SecurityGroupRules {
		if aws.ToString(rule.SecurityGroupRuleId) == id && aws.ToBool(rule.IsEgress) == r.egress {
			return &rule, nil
		}
	}
	return nil, nil
}

// Read refreshes the state, or removes the resource from it if the rule is gone.
func (r *securityGroupRule) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m ruleModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	rule, err := r.find(ctx, m.ID.ValueString())
	if err != nil {
		resp.Diagnostics.AddError("reading VPC Security Group Rule ("+m.ID.ValueString()+")", err.Error())
		return
	}
	if rule == nil {
		resp.State.RemoveResource(ctx)
		return
	}
	m.read(rule, r.clients)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update changes the rule in place.
func (r *securityGroupRule) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m ruleModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if !m.sameRule(old) {
		_, err := r.ec2.ModifySecurityGroupRules(ctx, &ec2.ModifySecurityGroupRulesInput{
			GroupId: m.GroupID.ValueStringPointer(),
			SecurityGroupRules: []ec2types.SecurityGroupRuleUpdate{{
				SecurityGroupRule: m.request(), SecurityGroupRuleId: m.ID.ValueStringPointer(),
			}},
		})
		if err != nil {
			resp.Diagnostics.AddError("updating VPC Security Group Rule ("+m.ID.ValueString()+")", err.Error())
			return
		}
	}
	if err := r.retagEC2(ctx, m.ID.ValueString(), old.TagsAll, m.TagsAll); err != nil {
		resp.Diagnostics.AddError("updating tags for VPC Security Group Rule ("+m.ID.ValueString()+")", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete revokes the rule.
func (r *securityGroupRule) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m ruleModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	var err error
	group, ids := m.GroupID.ValueStringPointer(), []string{m.ID.ValueString()}
	if r.egress {
		_, err = r.ec2.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: group, SecurityGroupRuleIds: ids})
	} else {
		_, err = r.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: group, SecurityGroupRuleIds: ids})
	}
	if err != nil && !hasCode(err, "InvalidGroup.NotFound", "InvalidSecurityGroupRuleId.NotFound") {
		resp.Diagnostics.AddError("deleting VPC Security Group Rule ("+m.ID.ValueString()+")", err.Error())
	}
}
