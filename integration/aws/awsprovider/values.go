package awsprovider

import (
	"context"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// fill writes what AWS says into a model. After a change it may only fill in what the plan left open:
// Terraform refuses a result that differs from the plan. On refresh everything is taken from AWS.
type fill struct {
	openOnly bool
}

// text fills in a computed string.
func (f fill) text(dst *types.String, v *string) {
	if !f.openOnly || dst.IsUnknown() {
		*dst = types.StringPointerValue(v)
	}
}

// word fills in a computed string that is empty, not null, when AWS says nothing.
func (f fill) word(dst *types.String, v string) { f.text(dst, &v) }

// number fills in a computed number that is 0, not null, when AWS says nothing.
func (f fill) number(dst *types.Int64, v *int32) {
	if !f.openOnly || dst.IsUnknown() {
		*dst = types.Int64Value(int64(aws.ToInt32(v)))
	}
}

// flag fills in a computed boolean.
func (f fill) flag(dst *types.Bool, v *bool) {
	if !f.openOnly || dst.IsUnknown() {
		*dst = types.BoolValue(aws.ToBool(v))
	}
}

// set fills in a computed set of strings.
func (f fill) set(dst *types.Set, v []string) {
	if !f.openOnly || dst.IsUnknown() {
		*dst = setOf(v)
	}
}

// maybeText takes over an argument that has no computed value. To AWS an empty string and none are the
// same; the state keeps whichever the configuration has.
func (f fill) maybeText(dst *types.String, v *string) {
	if f.openOnly || aws.ToString(v) == "" && dst.ValueString() == "" {
		return
	}
	*dst = types.StringPointerValue(v)
}

// maybeFlag does the same for booleans, with false as nothing.
func (f fill) maybeFlag(dst *types.Bool, v *bool) {
	if f.openOnly || !aws.ToBool(v) && !dst.ValueBool() {
		return
	}
	*dst = types.BoolValue(*v)
}

// maybeSet does the same for sets of strings.
func (f fill) maybeSet(dst *types.Set, v []string) {
	if f.openOnly || len(v) == 0 && len(dst.Elements()) == 0 {
		return
	}
	*dst = setOf(v)
}

// maybeTristate does the same for the booleans that the original keeps as text, so that "not said" can
// be told from false.
func (f fill) maybeTristate(dst *types.String, v *bool) {
	if v == nil {
		f.maybeText(dst, nil)
		return
	}
	have := tristate(*dst)
	if have == nil && !*v || have != nil && *have == *v {
		return
	}
	f.maybeText(dst, aws.String(strconv.FormatBool(*v)))
}

// tristate is the way back.
func tristate(v types.String) *bool {
	switch v.ValueString() {
	case "true", "1":
		return aws.Bool(true)
	case "false", "0":
		return aws.Bool(false)
	}
	return nil
}

// int32of returns the number for AWS; nil if there is none.
func int32of(v types.Int64) *int32 {
	if v.IsNull() || v.IsUnknown() {
		return nil
	}
	return aws.Int32(int32(v.ValueInt64())) //nolint:gosec // no argument of AWS has larger numbers; those it would refuse
}

// positive returns the number for AWS; nil if there is none or it is 0.
func positive(v types.Int64) *int32 {
	if v.ValueInt64() == 0 {
		return nil
	}
	return int32of(v)
}

// textOf returns the string for AWS; nil if there is none or it is empty.
func textOf(v types.String) *string {
	if v.ValueString() == "" {
		return nil
	}
	return v.ValueStringPointer()
}

// setOf makes a set of strings.
func setOf(v []string) types.Set {
	elements := make([]attr.Value, 0, len(v))
	for _, s := range v {
		elements = append(elements, types.StringValue(s))
	}
	return types.SetValueMust(types.StringType, elements)
}

// list returns the strings of a set or list that has no unknown elements, sorted if it is a set.
func list(ctx context.Context, v interface {
	IsNull() bool
	IsUnknown() bool
	ElementsAs(ctx context.Context, target any, allowUnhandled bool) diag.Diagnostics
},
) []string {
	if v.IsNull() || v.IsUnknown() {
		return nil
	}
	var out []string
	_ = v.ElementsAs(ctx, &out, false) // fails only for null elements, which AWS would refuse as well
	if _, ok := v.(types.Set); ok {
		slices.Sort(out)
	}
	return out
}

// long fills in a computed number of 64 bits.
func (f fill) long(dst *types.Int64, v *int64) {
	if !f.openOnly || dst.IsUnknown() {
		*dst = types.Int64Value(aws.ToInt64(v))
	}
}
