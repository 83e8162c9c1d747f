package awsprovider

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func tagsAttribute() schema.Attribute {
	return schema.MapAttribute{ElementType: types.StringType, Optional: true}
}

func tagsAllAttribute() schema.Attribute {
	return schema.MapAttribute{ElementType: types.StringType, Computed: true}
}

// planTags plans tags_all: the default tags of the provider block, with the resource's own over them.
func (b *base) planTags(ctx context.Context, req resource.ModifyPlanRequest, resp *resource.ModifyPlanResponse) {
	if req.Plan.Raw.IsNull() || b.clients == nil {
		return
	}
	var own types.Map
	resp.Diagnostics.Append(resp.Plan.GetAttribute(ctx, path.Root("tags"), &own)...)
	if resp.Diagnostics.HasError() {
		return
	}
	all := types.MapUnknown(types.StringType)
	if !own.IsUnknown() {
		values := map[string]attr.Value{}
		for key, value := range b.defaultTags {
			values[key] = types.StringValue(value)
		}
		maps.Copy(values, own.Elements())
		all = types.MapValueMust(types.StringType, values)
	}
	resp.Diagnostics.Append(resp.Plan.SetAttribute(ctx, path.Root("tags_all"), all)...)
}

// known returns the elements of a map without unknown values; nil for a null map.
func known(ctx context.Context, m types.Map) (map[string]string, diag.Diagnostics) {
	if m.IsNull() || m.IsUnknown() {
		return nil, nil
	}
	var out map[string]string
	diags := m.ElementsAs(ctx, &out, false)
	return out, diags
}

// setTags writes the tags that a thing has into the two attributes of its resource. Tags of Amazon's own
// are left out; those that come from the provider block are in tags_all only, unless the resource
// names them too.
func (c *clients) setTags(own, all *types.Map, has map[string]string) {
	before := own.Elements()
	ownValues, allValues := map[string]attr.Value{}, map[string]attr.Value{}
	for key, value := range has {
		if strings.HasPrefix(key, "aws:") {
			continue
		}
		allValues[key] = types.StringValue(value)
		_, named := before[key]
		if byDefault, ok := c.defaultTags[key]; !ok || byDefault != value || named {
			ownValues[key] = types.StringValue(value)
		}
	}
	*all = types.MapValueMust(types.StringType, allValues)
	if len(ownValues) > 0 || !own.IsNull() {
		*own = types.MapValueMust(types.StringType, ownValues)
	}
}

// ec2Tags turns tags into EC2's form, in the order of their keys.
func ec2Tags(tags map[string]string) []ec2types.Tag {
	var out []ec2types.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, ec2types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return out
}

func fromEC2Tags(tags []ec2types.Tag) map[string]string {
	out := map[string]string{}
	for _, tag := range tags {
		out[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return out
}

// ec2TagSpecs gives the tags to a thing that is about to be created; nil without tags.
func ec2TagSpecs(kind ec2types.ResourceType, tags map[string]string) []ec2types.TagSpecification {
	if len(tags) == 0 {
		return nil
	}
	return []ec2types.TagSpecification{{ResourceType: kind, Tags: ec2Tags(tags)}}
}

// tagChange returns what to set and what to take away so that was becomes want.
func tagChange(was, want map[string]string) (set map[string]string, gone []string) {
	set = map[string]string{}
	for key, value := range want {
		if old, ok := was[key]; !ok || old != value {
			set[key] = value
		}
	}
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if _, ok := want[key]; !ok {
			gone = append(gone, key)
		}
	}
	return set, gone
}

// retagEC2 makes the tags of the thing id want, where they were was.
func (c *clients) retagEC2(ctx context.Context, id string, was, want types.Map) error {
	if was.Equal(want) {
		return nil
	}
	old, _ := known(ctx, was) // both are known once a change is applied
	now, _ := known(ctx, want)
	set, gone := tagChange(old, now)
	if len(gone) > 0 {
		var tags []ec2types.Tag
		for _, key := range gone {
			tags = append(tags, ec2types.Tag{Key: aws.String(key)})
		}
		if _, err := c.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: tags}); err != nil {
			return err
		}
	}
	if len(set) == 0 {
		return nil
	}
	_, err := c.ec2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: ec2Tags(set)})
	return err
}
