package awsprovider

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// launchTemplate is aws_launch_template. A change of what instances are launched with makes a new
// version of the template and never replaces it.
type launchTemplate struct{ base }

func newLaunchTemplate() resource.Resource { return &launchTemplate{base{kind: "launch_template"}} }

// ValidateConfig refuses arguments that contradict each other.
func (r *launchTemplate) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	conflict(ctx, req.Config, "name", "name_prefix", &resp.Diagnostics)
	conflict(ctx, req.Config, "default_version", "update_default_version", &resp.Diagnostics)
	conflict(ctx, req.Config, "security_group_names", "vpc_security_group_ids", &resp.Diagnostics)
}

// ModifyPlan says that the version numbers will be known only after apply if there will be a new version,
// so that what refers to them is updated in the same apply. As in the original, changed tags count too.
func (r *launchTemplate) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	r.planTags(ctx, req, resp)
	names, err := changed(resp.Plan, req.State)
	if err != nil {
		resp.Diagnostics.AddError("planning EC2 Launch Template", err.Error())
		return
	}
	for _, name := range []string{"name", "name_prefix", "default_version", "latest_version", "update_default_version"} {
		delete(names, name)
	}
	if len(names) == 0 {
		return
	}
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("latest_version"), types.Int64Unknown())...)
	var follow types.Bool
	resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, path.Root("update_default_version"), &follow)...)
	if follow.ValueBool() {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("default_version"), types.Int64Unknown())...)
	}
}

// Create creates the template with its first version.
func (r *launchTemplate) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m launchTemplateModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	tags, diags := known(ctx, m.TagsAll)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	name := r.name(m.Name.ValueString(), m.NamePrefix.ValueString())
	out, err := r.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: &name,
		LaunchTemplateData: m.data(ctx),
		VersionDescription: textOf(m.Description),
		TagSpecifications:  ec2TagSpecs(ec2types.ResourceTypeLaunchTemplate, tags),
	})
	if err != nil {
		resp.Diagnostics.AddError("creating EC2 Launch Template ("+name+")", err.Error())
		return
	}
	m.ID = types.StringPointerValue(out.LaunchTemplate.LaunchTemplateId)
	remember(ctx, resp, m.ID.ValueString())
	if _, err := r.refresh(ctx, &m, fill{openOnly: true}); err != nil {
		resp.Diagnostics.AddError("reading EC2 Launch Template ("+m.ID.ValueString()+")", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Read refreshes the state from the latest version, or removes the resource if the template is gone.
func (r *launchTemplate) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m launchTemplateModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	found, err := r.refresh(ctx, &m, fill{})
	if err != nil {
		resp.Diagnostics.AddError("reading EC2 Launch Template ("+m.ID.ValueString()+")", err.Error())
		return
	}
	if !found {
		resp.State.RemoveResource(ctx)
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// refresh reads the template and its latest version into the model, and reports whether it exists.
func (r *launchTemplate) refresh(ctx context.Context, m *launchTemplateModel, f fill) (bool, error) {
	id := m.ID.ValueString()
	templates, err := r.ec2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{LaunchTemplateIds: []string{id}})
	if hasCode(err, "InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.NotFoundException") {
		return false, nil
	}
	if err != nil || len(templates.LaunchTemplates) == 0 {
		return false, err
	}
	template := templates.LaunchTemplates[0]
	latest := aws.ToInt64(template.LatestVersionNumber)
	versions, err := r.ec2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{
		LaunchTemplateId: &id, Versions: []string{strconv.FormatInt(latest, 10)},
	})
	if err != nil || len(versions.LaunchTemplateVersions) == 0 {
		return false, err
	}
	m.read(ctx, template, versions.LaunchTemplateVersions[0], f)
	f.text(&m.ARN, aws.String(r.arn("launch-template", id)))
	if !f.openOnly {
		r.setTags(&m.Tags, &m.TagsAll, fromEC2Tags(template.Tags))
	}
	return true, nil
}

// Update makes a new version if anything that a version holds is to change, and moves the default version
// if that is wanted.
func (r *launchTemplate) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m launchTemplateModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	names, err := changed(req.Plan, req.State)
	if resp.Diagnostics.HasError() {
		return
	}
	if err == nil {
		err = r.update(ctx, old, &m, names)
	}
	if err != nil {
		resp.Diagnostics.AddError("updating EC2 Launch Template ("+m.ID.ValueString()+")", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (r *launchTemplate) update(ctx context.Context, old launchTemplateModel, m *launchTemplateModel, names map[string]bool) error {
	id := m.ID.ValueString()
	latest := old.LatestVersion.ValueInt64()
	for _, name := range []string{
		"default_version", "latest_version", "name", "name_prefix", "tags", "tags_all", "update_default_version",
	} {
		delete(names, name) // these are the template's, not the version's
	}
	if len(names) > 0 {
		out, err := r.ec2.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{
			LaunchTemplateId: &id, LaunchTemplateData: m.data(ctx), VersionDescription: textOf(m.Description),
		})
		if err != nil {
			return err
		}
		latest = aws.ToInt64(out.LaunchTemplateVersion.VersionNumber)
	}
	wanted := old.DefaultVersion.ValueInt64()
	if m.UpdateDefaultVersion.ValueBool() {
		wanted = latest
	} else if !m.DefaultVersion.IsUnknown() {
		wanted = m.DefaultVersion.ValueInt64()
	}
	if wanted != old.DefaultVersion.ValueInt64() {
		if _, err := r.ec2.ModifyLaunchTemplate(ctx, &ec2.ModifyLaunchTemplateInput{
			LaunchTemplateId: &id, DefaultVersion: aws.String(strconv.FormatInt(wanted, 10)),
		}); err != nil {
			return err
		}
	}
	if err := r.retagEC2(ctx, id, old.TagsAll, m.TagsAll); err != nil {
		return err
	}
	found, err := r.refresh(ctx, m, fill{openOnly: true})
	if err == nil && !found {
		err = errGone
	}
	return err
}

// Delete deletes the template with all its versions.
func (r *launchTemplate) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m launchTemplateModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	_, err := r.ec2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: m.ID.ValueStringPointer()})
	if err != nil && !hasCode(err, "InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.NotFoundException") {
		resp.Diagnostics.AddError("deleting EC2 Launch Template ("+m.ID.ValueString()+")", err.Error())
	}
}
