package awsprovider

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// groupInUseTimeout is how long the deletion of a security group waits until nothing uses it any more.
// The original waits 15 minutes; a demo would seem to hang.
const groupInUseTimeout = time.Minute

// securityGroup is aws_security_group.
type securityGroup struct{ base }

func newSecurityGroup() resource.Resource { return &securityGroup{base{kind: "security_group"}} }

type securityGroupModel struct {
	ARN                 types.String `tfsdk:"arn"`
	Description         types.String `tfsdk:"description"`
	Egress              types.Set    `tfsdk:"egress"`
	ID                  types.String `tfsdk:"id"`
	Ingress             types.Set    `tfsdk:"ingress"`
	Name                types.String `tfsdk:"name"`
	NamePrefix          types.String `tfsdk:"name_prefix"`
	OwnerID             types.String `tfsdk:"owner_id"`
	RevokeRulesOnDelete types.Bool   `tfsdk:"revoke_rules_on_delete"`
	Tags                types.Map    `tfsdk:"tags"`
	TagsAll             types.Map    `tfsdk:"tags_all"`
	VPCID               types.String `tfsdk:"vpc_id"`
}

// Schema describes the resource. A change of the description forces a replacement.
func (r *securityGroup) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"arn": settled(),
		"description": schema.StringAttribute{
			Optional:      true,
			Computed:      true,
			Default:       stringdefault.StaticString("Managed by Terraform"),
			PlanModifiers: []planmodifier.String{stringplanmodifier.RequiresReplace()},
		},
		"egress":                 inlineRulesAttribute(),
		"id":                     settled(),
		"ingress":                inlineRulesAttribute(),
		"name":                   chosenOnce(),
		"name_prefix":            chosenOnce(),
		"owner_id":               settled(),
		"revoke_rules_on_delete": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false)},
		"tags":                   tagsAttribute(),
		"tags_all":               tagsAllAttribute(),
		"vpc_id":                 chosenOnce(),
	}}
}

// ValidateConfig refuses name together with name_prefix.
func (r *securityGroup) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	conflict(ctx, req.Config, "name", "name_prefix", &resp.Diagnostics)
}

// ModifyPlan plans tags_all.
func (r *securityGroup) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	r.planTags(ctx, req, resp)
}

// Create creates the group, takes away the rule that lets everything out, which AWS puts into each new
// group, and adds the inline rules.
func (r *securityGroup) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m securityGroupModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	tags, diags := known(ctx, m.TagsAll)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	name := r.name(m.Name.ValueString(), m.NamePrefix.ValueString())
	out, err := r.ec2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		GroupName:         &name,
		Description:       m.Description.ValueStringPointer(),
		VpcId:             textOf(m.VPCID),
		TagSpecifications: ec2TagSpecs(ec2types.ResourceTypeSecurityGroup, tags),
	})
	if err != nil {
		resp.Diagnostics.AddError("creating Security Group ("+name+")", err.Error())
		return
	}
	m.ID = types.StringPointerValue(out.GroupId)
	remember(ctx, resp, m.ID.ValueString())
	if err := r.dropDefaultEgress(ctx, m.ID.ValueString()); err != nil {
		resp.Diagnostics.AddError("revoking default egress rule for Security Group ("+m.ID.ValueString()+")", err.Error())
		return
	}
	none := securityGroupModel{ID: m.ID}
	if err := r.updateRules(ctx, none, m); err != nil {
		resp.Diagnostics.AddError("authorizing Security Group ("+m.ID.ValueString()+") rules", err.Error())
		return
	}
	group, err := r.findSecurityGroup(ctx, m.ID.ValueString())
	if err != nil || group == nil {
		resp.Diagnostics.AddError("reading Security Group ("+m.ID.ValueString()+")", words(err))
		return
	}
	r.read(ctx, &m, group, fill{openOnly: true})
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// dropDefaultEgress takes the rule away by which AWS lets everything out.
func (r *securityGroup) dropDefaultEgress(ctx context.Context, id string) error {
	_, err := r.ec2.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{
		GroupId: &id,
		IpPermissions: []ec2types.IpPermission{{
			IpProtocol: aws.String("-1"),
			FromPort:   aws.Int32(0),
			ToPort:     aws.Int32(0),
			IpRanges:   []ec2types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}},
		}},
	})
	if hasCode(err, "InvalidPermission.NotFound") {
		return nil
	}
	return err
}

// Read refreshes the state, or removes the resource from it if the group is gone.
func (r *securityGroup) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m securityGroupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	group, err := r.findSecurityGroup(ctx, m.ID.ValueString())
	if err != nil {
		resp.Diagnostics.AddError("reading Security Group ("+m.ID.ValueString()+")", err.Error())
		return
	}
	if group == nil {
		resp.State.RemoveResource(ctx)
		return
	}
	r.read(ctx, &m, group, fill{})
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (r *securityGroup) read(ctx context.Context, m *securityGroupModel, group *ec2types.SecurityGroup, f fill) {
	f.text(&m.ARN, aws.String(r.arn("security-group", aws.ToString(group.GroupId))))
	f.text(&m.Description, group.Description)
	f.text(&m.Name, group.GroupName)
	f.word(&m.NamePrefix, namePrefix(aws.ToString(group.GroupName)))
	f.text(&m.OwnerID, group.OwnerId)
	f.text(&m.VPCID, group.VpcId)
	f.rules(ctx, &m.Ingress, aws.ToString(group.GroupId), group.IpPermissions)
	f.rules(ctx, &m.Egress, aws.ToString(group.GroupId), group.IpPermissionsEgress)
	if !f.openOnly {
		r.setTags(&m.Tags, &m.TagsAll, fromEC2Tags(group.Tags))
	}
}

// findSecurityGroup returns the group, or nil if there is none of that id.
func (c *clients) findSecurityGroup(ctx context.Context, id string) (*ec2types.SecurityGroup, error) {
	out, err := c.ec2.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})
	switch {
	case hasCode(err, "InvalidGroup.NotFound", "InvalidSecurityGroupID.NotFound"):
		return nil, nil
	case err != nil:
		return nil, err
	case len(out.SecurityGroups) == 0:
		return nil, nil
	}
	return &out.SecurityGroups[0], nil
}

// Update changes inline rules and tags; everything else forces a replacement.
func (r *securityGroup) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m securityGroupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	if err := r.updateRules(ctx, old, m); err != nil {
		resp.Diagnostics.AddError("updating Security Group ("+m.ID.ValueString()+") rules", err.Error())
		return
	}
	if err := r.retagEC2(ctx, m.ID.ValueString(), old.TagsAll, m.TagsAll); err != nil {
		resp.Diagnostics.AddError("updating tags for Security Group ("+m.ID.ValueString()+")", err.Error())
		return
	}
	group, err := r.findSecurityGroup(ctx, m.ID.ValueString())
	if err != nil || group == nil {
		resp.Diagnostics.AddError("reading Security Group ("+m.ID.ValueString()+")", words(err))
		return
	}
	r.read(ctx, &m, group, fill{openOnly: true})
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete deletes the group, and waits for a while if something still uses it.
func (r *securityGroup) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m securityGroupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	id := m.ID.ValueString()
	if m.RevokeRulesOnDelete.ValueBool() {
		if err := r.revokeAll(ctx, id); err != nil {
			resp.Diagnostics.AddError("revoking Security Group ("+id+") rules", err.Error())
			return
		}
	}
	var inUse error
	err := r.poll(ctx, 500*time.Millisecond, groupInUseTimeout, "deletion", func(ctx context.Context) (bool, error) {
		_, err := r.ec2.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: &id})
		if hasCode(err, "DependencyViolation", "InvalidGroup.InUse") {
			inUse = err
			return false, nil
		}
		return err == nil || hasCode(err, "InvalidGroup.NotFound"), ignore(err, "InvalidGroup.NotFound")
	})
	if err != nil {
		resp.Diagnostics.AddError("deleting Security Group ("+id+")", words(err, inUse))
	}
}
