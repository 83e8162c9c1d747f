package awsprovider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// kmsKey is aws_kms_key. Destroying it schedules its deletion; for Terraform it is gone from then on.
type kmsKey struct{ base }

func newKMSKey() resource.Resource { return &kmsKey{base{kind: "kms_key"}} }

// ModifyPlan plans tags_all, and leaves the rotation period open if rotation is switched.
func (r *kmsKey) ModifyPlan(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	r.planTags(ctx, req, resp)
	names, err := changed(req.Plan, req.State)
	if err != nil {
		resp.Diagnostics.AddError("planning KMS Key", err.Error())
		return
	}
	at := path.Root("rotation_period_in_days")
	if names["enable_key_rotation"] && !isSet(ctx, req.Config, at, &resp.Diagnostics) {
		resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, at, types.Int64Unknown())...)
	}
}

// Create creates the key, with the policy that AWS gives it if the configuration has none.
func (r *kmsKey) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	var m kmsKeyModel
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	tags, diags := known(ctx, m.TagsAll)
	if resp.Diagnostics.Append(diags...); resp.Diagnostics.HasError() {
		return
	}
	in := &kms.CreateKeyInput{
		BypassPolicyLockoutSafetyCheck: m.BypassLockoutCheck.ValueBool(),
		Description:                    textOf(m.Description),
		KeySpec:                        kmstypes.KeySpec(m.KeySpec.ValueString()),
		KeyUsage:                       kmstypes.KeyUsageType(m.KeyUsage.ValueString()),
		Policy:                         textOf(m.Policy),
		Tags:                           kmsTags(tags),
	}
	if !m.MultiRegion.IsUnknown() {
		in.MultiRegion = m.MultiRegion.ValueBoolPointer()
	}
	out, err := r.kms.CreateKey(ctx, in)
	if err != nil {
		resp.Diagnostics.AddError("creating KMS Key", err.Error())
		return
	}
	m.ID = types.StringPointerValue(out.KeyMetadata.KeyId)
	remember(ctx, resp, m.ID.ValueString())
	if m.EnableKeyRotation.ValueBool() {
		err = r.rotate(ctx, m)
	}
	if err == nil && !m.IsEnabled.ValueBool() {
		_, err = r.kms.DisableKey(ctx, &kms.DisableKeyInput{KeyId: m.ID.ValueStringPointer()})
	}
	if err == nil {
		err = r.finish(ctx, &m)
	}
	if err != nil {
		resp.Diagnostics.AddError("creating KMS Key ("+m.ID.ValueString()+")", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// finish waits until KMS shows the key as it was asked for, and fills in what KMS has decided. The
// original wants five equal answers in a row, a second apart.
func (r *kmsKey) finish(ctx context.Context, m *kmsKeyModel) error {
	return r.poll(ctx, 500*time.Millisecond, kmsTimeout, "showing the change", func(ctx context.Context) (bool, error) {
		key, err := r.find(ctx, m.ID.ValueString())
		if err != nil || key == nil || !key.shows(m) {
			return false, err
		}
		m.read(key, fill{openOnly: true})
		return true, nil
	})
}

// Read refreshes the state, or removes the resource from it if the key is gone or about to be.
func (r *kmsKey) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	var m kmsKeyModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	key, err := r.find(ctx, m.ID.ValueString())
	if err != nil {
		resp.Diagnostics.AddError("reading KMS Key ("+m.ID.ValueString()+")", err.Error())
		return
	}
	if key == nil {
		resp.State.RemoveResource(ctx)
		return
	}
	m.read(key, fill{})
	r.setTags(&m.Tags, &m.TagsAll, key.tags)
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

// Update changes the key in place. It enables the key first and disables it last, because nothing of a
// disabled key can be changed.
func (r *kmsKey) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	var old, m kmsKeyModel
	resp.Diagnostics.Append(req.State.Get(ctx, &old)...)
	resp.Diagnostics.Append(req.Plan.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.update(ctx, old, m)
	if err == nil {
		err = r.finish(ctx, &m)
	}
	if err != nil {
		resp.Diagnostics.AddError("updating KMS Key ("+m.ID.ValueString()+")", err.Error())
		return
	}
	resp.Diagnostics.Append(resp.State.Set(ctx, &m)...)
}

func (r *kmsKey) update(ctx context.Context, old, m kmsKeyModel) error {
	id := m.ID.ValueStringPointer()
	steps := []struct {
		needed bool
		do     func() error
	}{
		{m.IsEnabled.ValueBool() && !old.IsEnabled.ValueBool(), func() error {
			_, err := r.kms.EnableKey(ctx, &kms.EnableKeyInput{KeyId: id})
			return err
		}},
		{m.EnableKeyRotation.ValueBool() != old.EnableKeyRotation.ValueBool() ||
			m.EnableKeyRotation.ValueBool() && !m.RotationPeriod.Equal(old.RotationPeriod), func() error {
			return r.rotate(ctx, m)
		}},
		{!m.Description.Equal(old.Description), func() error {
			_, err := r.kms.UpdateKeyDescription(ctx, &kms.UpdateKeyDescriptionInput{KeyId: id, Description: aws.String(m.Description.ValueString())})
			return err
		}},
		{!m.Policy.Equal(old.Policy), func() error {
			_, err := r.kms.PutKeyPolicy(ctx, &kms.PutKeyPolicyInput{
				KeyId: id, Policy: m.Policy.ValueStringPointer(), PolicyName: aws.String("default"),
				BypassPolicyLockoutSafetyCheck: m.BypassLockoutCheck.ValueBool(),
			})
			return err
		}},
		{!m.TagsAll.Equal(old.TagsAll), func() error { return r.retag(ctx, id, old.TagsAll, m.TagsAll) }},
		{!m.IsEnabled.ValueBool() && old.IsEnabled.ValueBool(), func() error {
			_, err := r.kms.DisableKey(ctx, &kms.DisableKeyInput{KeyId: id})
			return err
		}},
	}
	for _, step := range steps {
		if !step.needed {
			continue
		}
		if err := step.do(); err != nil {
			return err
		}
	}
	return nil
}

// rotate switches the rotation of the key on, with its period, or off.
func (r *kmsKey) rotate(ctx context.Context, m kmsKeyModel) error {
	if !m.EnableKeyRotation.ValueBool() {
		_, err := r.kms.DisableKeyRotation(ctx, &kms.DisableKeyRotationInput{KeyId: m.ID.ValueStringPointer()})
		return err
	}
	_, err := r.kms.EnableKeyRotation(ctx, &kms.EnableKeyRotationInput{
		KeyId: m.ID.ValueStringPointer(), RotationPeriodInDays: positive(m.RotationPeriod),
	})
	return err
}

// retag makes the tags of the key want, where they were was.
func (r *kmsKey) retag(ctx context.Context, id *string, was, want types.Map) error {
	old, _ := known(ctx, was) // both are known once a change is applied
	now, _ := known(ctx, want)
	set, gone := tagChange(old, now)
	if len(gone) > 0 {
		if _, err := r.kms.UntagResource(ctx, &kms.UntagResourceInput{KeyId: id, TagKeys: gone}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	_, err := r.kms.TagResource(ctx, &kms.TagResourceInput{KeyId: id, Tags: kmsTags(set)})
	return err
}

// Delete schedules the deletion of the key.
func (r *kmsKey) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	var m kmsKeyModel
	resp.Diagnostics.Append(req.State.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	id := m.ID.ValueString()
	_, err := r.kms.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: positive(m.DeletionWindow)})
	if hasCode(err, "NotFoundException") || says(err, "KMSInvalidStateException", "is pending deletion") {
		return
	}
	if err == nil {
		err = r.poll(ctx, 500*time.Millisecond, kmsTimeout, "scheduling the deletion", func(ctx context.Context) (bool, error) {
			key, err := r.find(ctx, id)
			return err == nil && key == nil, err
		})
	}
	if err != nil {
		resp.Diagnostics.AddError("deleting KMS Key ("+id+")", err.Error())
	}
}

// foundKey is all that KMS says about a key.
type foundKey struct {
	*kmstypes.KeyMetadata
	policy   string
	rotation *kms.GetKeyRotationStatusOutput
	tags     map[string]string
}

// find asks KMS for everything about a key; nil if there is none, or it waits for its deletion.
func (r *kmsKey) find(ctx context.Context, id string) (*foundKey, error) {
	described, err := r.kms.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &id})
	if err != nil {
		return nil, ignore(err, "NotFoundException")
	}
	key := &foundKey{KeyMetadata: described.KeyMetadata, tags: map[string]string{}}
	if s := key.KeyState; s == kmstypes.KeyStatePendingDeletion || s == kmstypes.KeyStatePendingReplicaDeletion {
		return nil, nil
	}
	policy, policyErr := r.kms.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &id, PolicyName: aws.String("default")})
	if policyErr == nil {
		key.policy = aws.ToString(policy.Policy)
	}
	rotation, rotationErr := r.kms.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &id})
	key.rotation = rotation
	var tagsErr error
	for pages := kms.NewListResourceTagsPaginator(r.kms, &kms.ListResourceTagsInput{KeyId: &id}); tagsErr == nil && pages.HasMorePages(); {
		var page *kms.ListResourceTagsOutput
		if page, tagsErr = pages.NextPage(ctx); tagsErr == nil {
			for _, tag := range page.Tags {
				key.tags[aws.ToString(tag.TagKey)] = aws.ToString(tag.TagValue)
			}
		}
	}
	if err := errors.Join(policyErr, rotationErr, tagsErr); err != nil {
		return nil, fmt.Errorf("read policy, rotation and tags: %w", err)
	}
	return key, nil
}

// shows reports whether the key is as the model wants it.
func (k *foundKey) shows(m *kmsKeyModel) bool {
	return (m.Policy.IsUnknown() || sameJSON(k.policy, m.Policy.ValueString())) &&
		k.Enabled == m.IsEnabled.ValueBool() && k.rotation.KeyRotationEnabled == m.EnableKeyRotation.ValueBool() &&
		(m.Description.IsUnknown() || aws.ToString(k.Description) == m.Description.ValueString())
}

// read takes over what KMS says. A policy that means the same stays as it is written.
func (m *kmsKeyModel) read(k *foundKey, f fill) {
	f.text(&m.ARN, k.Arn)
	f.text(&m.KeyID, k.KeyId)
	f.word(&m.Description, aws.ToString(k.Description))
	f.word(&m.KeySpec, string(k.KeySpec))
	f.word(&m.KeyUsage, string(k.KeyUsage))
	f.flag(&m.MultiRegion, k.MultiRegion)
	f.flag(&m.IsEnabled, &k.Enabled)
	f.flag(&m.EnableKeyRotation, &k.rotation.KeyRotationEnabled)
	f.number(&m.RotationPeriod, k.rotation.RotationPeriodInDays)
	if !sameJSON(k.policy, m.Policy.ValueString()) {
		f.text(&m.Policy, &k.policy)
	}
}

func kmsTags(tags map[string]string) []kmstypes.Tag {
	var out []kmstypes.Tag
	for _, tag := range ec2Tags(tags) { // sorted
		out = append(out, kmstypes.Tag{TagKey: tag.Key, TagValue: tag.Value})
	}
	return out
}
