package awsprovider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource"
)

const (
	// deleteGroupTimeout is the original's.
	deleteGroupTimeout = 10 * time.Minute
	pollGroup          = 500 * time.Millisecond
)

// Update changes the group in place, and waits for its capacity if that was changed.
func (r *autoScalingGroup) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m autoScalingGroupModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	names, err := changed(req.Plan, req.State)
	if resp.Diagnostics.HasError() {
		return
	}
	name := m.ID.ValueString()
	var before []astypes.Activity
	if err == nil && r.waits(m) {
		before, err = r.activities(ctx, name)
	}
	if err == nil {
		err = r.update(ctx, old, m, names)
	}
	if err != nil {
		resp.Diagnostics.AddError("updating Auto Scaling Group ("+name+")", err.Error())
		return
	}
	if names["desired_capacity"] || names["min_size"] {
		want := max(m.MinSize.ValueInt64(), m.DesiredCapacity.ValueInt64())
		if err := r.waitForCapacity(ctx, m, before, func(have int64) bool { return have == want }); err != nil {
			resp.Diagnostics.AddError("waiting for Auto Scaling Group ("+name+") capacity satisfied", err.Error())
			return
		}
	}
	r.finish(ctx, &m, &resp.Diagnostics)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// update makes the calls that the changes need.
func (r *autoScalingGroup) update(ctx context.Context, old, m autoScalingGroupModel, names map[string]bool) error {
	name := m.ID.ValueString()
	for _, own := range []string{"force_delete", "ignore_failed_scaling_activities", "wait_for_capacity_timeout"} {
		delete(names, own) // these are the provider's, AWS does not know them
	}
	if input := m.update(ctx, names); input != nil {
		if _, err := r.autoscaling.UpdateAutoScalingGroup(ctx, input); err != nil {
			return err
		}
	}
	if names["tag"] {
		if err := r.retag(ctx, old.tags(name), m.tags(name)); err != nil {
			return fmt.Errorf("change tags: %w", err)
		}
	}
	was, want := list(ctx, old.SuspendedProcesses), list(ctx, m.SuspendedProcesses)
	if resume := minus(was, want); len(resume) > 0 {
		if _, err := r.autoscaling.ResumeProcesses(ctx, &autoscaling.ResumeProcessesInput{AutoScalingGroupName: &name, ScalingProcesses: resume}); err != nil {
			return err
		}
	}
	if suspend := minus(want, was); len(suspend) > 0 {
		if _, err := r.autoscaling.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: &name, ScalingProcesses: suspend}); err != nil {
			return err
		}
	}
	return r.updateTargets(ctx, old, m)
}

// updateTargets attaches and detaches target groups.
func (r *autoScalingGroup) updateTargets(ctx context.Context, old, m autoScalingGroupModel) error {
	if m.TargetGroupARNs.IsUnknown() {
		return nil
	}
	name, was, want := m.ID.ValueString(), list(ctx, old.TargetGroupARNs), list(ctx, m.TargetGroupARNs)
	if gone := minus(was, want); len(gone) > 0 {
		if _, err := r.autoscaling.DetachLoadBalancerTargetGroups(ctx, &autoscaling.DetachLoadBalancerTargetGroupsInput{
			AutoScalingGroupName: &name, TargetGroupARNs: gone,
		}); err != nil {
			return err
		}
	}
	if fresh := minus(want, was); len(fresh) > 0 {
		if _, err := r.autoscaling.AttachLoadBalancerTargetGroups(ctx, &autoscaling.AttachLoadBalancerTargetGroupsInput{
			AutoScalingGroupName: &name, TargetGroupARNs: fresh,
		}); err != nil {
			return err
		}
	}
	return nil
}

// retag makes the tags of the group want, where they were was.
func (r *autoScalingGroup) retag(ctx context.Context, was, want []astypes.Tag) error {
	same := func(a, b astypes.Tag) bool {
		return aws.ToString(a.Key) == aws.ToString(b.Key) && aws.ToString(a.Value) == aws.ToString(b.Value) &&
			aws.ToBool(a.PropagateAtLaunch) == aws.ToBool(b.PropagateAtLaunch)
	}
	var gone, fresh []astypes.Tag
	for _, tag := range was {
		if !slices.ContainsFunc(want, func(t astypes.Tag) bool { return aws.ToString(t.Key) == aws.ToString(tag.Key) }) {
			gone = append(gone, tag)
		}
	}
	for _, tag := range want {
		if !slices.ContainsFunc(was, func(t astypes.Tag) bool { return same(t, tag) }) {
			fresh = append(fresh, tag)
		}
	}
	if len(gone) > 0 {
		if _, err := r.autoscaling.DeleteTags(ctx, &autoscaling.DeleteTagsInput{Tags: gone}); err != nil {
			return err
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	_, err := r.autoscaling.CreateOrUpdateTags(ctx, &autoscaling.CreateOrUpdateTagsInput{Tags: fresh})
	return err
}

// finish fills in what AWS has decided.
func (r *autoScalingGroup) finish(ctx context.Context, m *autoScalingGroupModel, diags *diag.Diagnostics) {
	group, err := r.findGroup(ctx, m.ID.ValueString())
	if err != nil || group == nil {
		diags.AddError("reading Auto Scaling Group ("+m.ID.ValueString()+")", words(err))
		return
	}
	m.read(group, fill{openOnly: true})
}

// waits reports whether the configuration wants to wait for capacity.
func (r *autoScalingGroup) waits(m autoScalingGroupModel) bool { return m.patience() > 0 }

// waitForCapacity waits until enough says that there are enough instances in service. It gives up at
// once when a launch has failed that was not among before. Like the original it takes for a failure only
// what AWS calls Failed: a launch that AWS cancels, such as for want of a KMS grant, is waited out.
func (r *autoScalingGroup) waitForCapacity(ctx context.Context, m autoScalingGroupModel, before []astypes.Activity, enough func(have int64) bool) error {
	limit := m.patience()
	if limit <= 0 {
		return nil
	}
	name := m.ID.ValueString()
	var have int64
	err := r.poll(ctx, pollGroup, limit, "getting its capacity", func(ctx context.Context) (bool, error) {
		if !m.IgnoreFailedActivities.ValueBool() {
			if err := r.failures(ctx, name, before); err != nil {
				return false, err
			}
		}
		group, err := r.findGroup(ctx, name)
		if err != nil || group == nil {
			return false, err
		}
		have = 0
		for _, instance := range group.Instances {
			if aws.ToString(instance.HealthStatus) == "Healthy" && instance.LifecycleState == astypes.LifecycleStateInService {
				have++
			}
		}
		return enough(have), nil
	})
	if err != nil {
		return fmt.Errorf("%d healthy instance(s) in Auto Scaling Group: %w", have, err)
	}
	return nil
}

// failures returns an error for the activities that failed and are not among before.
func (r *autoScalingGroup) failures(ctx context.Context, name string, before []astypes.Activity) error {
	now, err := r.activities(ctx, name)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range now {
		old := slices.ContainsFunc(before, func(b astypes.Activity) bool { return aws.ToString(b.ActivityId) == aws.ToString(a.ActivityId) })
		if !old && a.StatusCode == astypes.ScalingActivityStatusCodeFailed && aws.ToInt32(a.Progress) == 100 {
			errs = append(errs, fmt.Errorf("scaling activity (%s): %s: %s", aws.ToString(a.ActivityId), a.StatusCode, aws.ToString(a.StatusMessage)))
		}
	}
	return errors.Join(errs...)
}

// activities returns the latest activities of the group.
func (r *autoScalingGroup) activities(ctx context.Context, name string) ([]astypes.Activity, error) {
	out, err := r.autoscaling.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &name})
	if err != nil {
		return nil, fmt.Errorf("read scaling activities: %w", err)
	}
	return out.Activities, nil
}

// minus returns the elements of a that are not in b.
func minus(a, b []string) []string {
	var out []string
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}
