package awsprovider

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// autoScalingGroup is aws_autoscaling_group. Its id is its name.
type autoScalingGroup struct{ base }

func newAutoScalingGroup() resource.Resource {
	return &autoScalingGroup{base{kind: "autoscaling_group"}}
}

// ValidateConfig refuses arguments that contradict each other, and a group without a launch template.
func (r *autoScalingGroup) ValidateConfig(ctx context.Context, req resource.ValidateConfigRequest, resp *resource.ValidateConfigResponse) {
	conflict(ctx, req.Config, "name", "name_prefix", &resp.Diagnostics)
	conflict(ctx, req.Config, "availability_zones", "vpc_zone_identifier", &resp.Diagnostics)
	var templates types.List
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("launch_template"), &templates)...)
	if !templates.IsUnknown() && len(templates.Elements()) == 0 {
		resp.Diagnostics.AddAttributeError(path.Root("launch_template"), "Missing block",
			"a launch_template block is needed; launch configurations and mixed instances are not simulated")
	}
	var wait types.String
	resp.Diagnostics.Append(req.Config.GetAttribute(ctx, path.Root("wait_for_capacity_timeout"), &wait)...)
	if text := wait.ValueString(); text != "" {
		if d, err := time.ParseDuration(text); err != nil || d < 0 {
			resp.Diagnostics.AddAttributeError(path.Root("wait_for_capacity_timeout"), "Invalid value",
				`cannot be parsed as a duration such as "10m"; "0" means not to wait`)
		}
	}
}

// ModifyPlan leaves open what AWS decides anew when something else changes. The original need not: it
// may return something else than it planned, this one may not.
func (r *autoScalingGroup) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	names, err := changed(req.Plan, req.State)
	if err != nil {
		resp.Diagnostics.AddError("planning Auto Scaling Group", err.Error())
		return
	}
	open := func(at path.Path, unknown any) {
		if !isSet(ctx, req.Config, at, &resp.Diagnostics) {
			resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, at, unknown)...)
		}
	}
	if names["min_size"] || names["max_size"] {
		open(path.Root("desired_capacity"), types.Int64Unknown())
	}
	if names["vpc_zone_identifier"] {
		open(path.Root("availability_zones"), types.SetUnknown(types.StringType))
	}
	if names["availability_zones"] {
		open(path.Root("vpc_zone_identifier"), types.SetUnknown(types.StringType))
	}
	if !names["launch_template"] {
		return
	}
	block := path.Root("launch_template").AtListIndex(0)
	for one, other := range map[string]string{"id": "name", "name": "id"} {
		var was, is types.String
		resp.Diagnostics.Append(req.State.GetAttribute(ctx, block.AtName(one), &was)...)
		resp.Diagnostics.Append(req.Plan.GetAttribute(ctx, block.AtName(one), &is)...)
		if !is.IsNull() && !is.Equal(was) {
			open(block.AtName(other), types.StringUnknown())
		}
	}
}

// Create creates the group and waits until it has its capacity, for as long as the configuration says.
func (r *autoScalingGroup) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m autoScalingGroupModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	name := r.name(m.Name.ValueString(), m.NamePrefix.ValueString())
	if _, err := r.autoscaling.CreateAutoScalingGroup(ctx, m.create(ctx, name)); err != nil {
		resp.Diagnostics.AddError("creating Auto Scaling Group ("+name+")", err.Error())
		return
	}
	m.ID = types.StringValue(name)
	remember(ctx, resp, name)
	if suspend := list(ctx, m.SuspendedProcesses); len(suspend) > 0 {
		if _, err := r.autoscaling.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: &name, ScalingProcesses: suspend}); err != nil {
			resp.Diagnostics.AddError("suspending Auto Scaling Group ("+name+") scaling processes", err.Error())
			return
		}
	}
	want := m.MinSize.ValueInt64()
	if desired := m.DesiredCapacity.ValueInt64(); desired > 0 {
		want = desired
	}
	if err := r.waitForCapacity(ctx, m, nil, func(have int64) bool { return have >= want }); err != nil {
		resp.Diagnostics.AddError("waiting for Auto Scaling Group ("+name+") capacity satisfied", err.Error())
		return
	}
	r.finish(ctx, &m, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// findGroup returns the group, or nil if there is none of that name.
func (r *autoScalingGroup) findGroup(ctx context.Context, name string) (*astypes.AutoScalingGroup, error) {
	out, err := r.autoscaling.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		return nil, err
	}
	for _, group := range out.AutoScalingGroups {
		if aws.ToString(group.AutoScalingGroupName) == name {
			return &group, nil
		}
	}
	return nil, nil
}

// Read refreshes the state, or removes the resource from it if the group is gone.
func (r *autoScalingGroup) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m autoScalingGroupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	group, err := r.findGroup(ctx, m.ID.ValueString())
	if err != nil {
		resp.Diagnostics.AddError("reading Auto Scaling Group ("+m.ID.ValueString()+")", err.Error())
		return
	}
	if group == nil {
		resp.State.RemoveResource(ctx)
		return
	}
	m.read(group, fill{})
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Delete empties the group, unless force_delete leaves that to AWS, and deletes it.
func (r *autoScalingGroup) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m autoScalingGroupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	name := m.ID.ValueString()
	group, err := r.findGroup(ctx, name)
	if err == nil && group != nil && !m.ForceDelete.ValueBool() {
		err = r.drain(ctx, group)
	}
	if err == nil && group != nil {
		err = r.remove(ctx, name, m.ForceDelete.ValueBool())
	}
	if err != nil {
		resp.Diagnostics.AddError("deleting Auto Scaling Group ("+name+")", err.Error())
	}
}

// drain lets the group end all its instances and waits until none is left.
func (r *autoScalingGroup) drain(ctx context.Context, group *astypes.AutoScalingGroup) error {
	name, zero := aws.ToString(group.AutoScalingGroupName), aws.Int32(0)
	if _, err := r.autoscaling.UpdateAutoScalingGroup(ctx, &autoscaling.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: &name, MinSize: zero, MaxSize: zero, DesiredCapacity: zero,
	}); err != nil {
		return err
	}
	var held []string
	for _, instance := range group.Instances {
		if aws.ToBool(instance.ProtectedFromScaleIn) {
			held = append(held, aws.ToString(instance.InstanceId))
		}
	}
	if len(held) > 0 {
		_, err := r.autoscaling.SetInstanceProtection(ctx, &autoscaling.SetInstanceProtectionInput{
			AutoScalingGroupName: &name, InstanceIds: held, ProtectedFromScaleIn: aws.Bool(false),
		})
		if err != nil && !says(err, "ValidationError", "not part of Auto Scaling group") {
			return err
		}
	}
	return r.poll(ctx, pollGroup, deleteGroupTimeout, "ending its instances", func(ctx context.Context) (bool, error) {
		group, err := r.findGroup(ctx, name)
		return err == nil && (group == nil || len(group.Instances) == 0), err
	})
}

// remove deletes the group and waits until it is gone.
func (r *autoScalingGroup) remove(ctx context.Context, name string, force bool) error {
	var busy error
	err := r.poll(ctx, pollGroup, deleteGroupTimeout, "deletion", func(ctx context.Context) (bool, error) {
		_, err := r.autoscaling.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{
			AutoScalingGroupName: &name, ForceDelete: &force,
		})
		switch {
		case hasCode(err, "ResourceInUse", "ScalingActivityInProgress"):
			busy = err
			return false, nil
		case says(err, "ValidationError", "not found"):
			return true, nil
		}
		return err == nil, err
	})
	if err != nil {
		return errors.Join(err, busy)
	}
	return r.poll(ctx, pollGroup, deleteGroupTimeout, "deletion", func(ctx context.Context) (bool, error) {
		group, err := r.findGroup(ctx, name)
		return err == nil && group == nil, err
	})
}
