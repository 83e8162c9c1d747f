package awsprovider

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// settled is a string that AWS gives and never changes.
func settled() schema.StringAttribute {
	return schema.StringAttribute{
		Computed:      true,
		PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()},
	}
}

// chosen is a string that the configuration may give, else AWS does; it keeps its value.
func chosen() schema.StringAttribute {
	a := settled()
	a.Optional = true
	return a
}

// chosenOnce is like chosen, and another value in the configuration forces a replacement.
func chosenOnce() schema.StringAttribute {
	a := chosen()
	a.PlanModifiers = append(a.PlanModifiers, stringplanmodifier.RequiresReplace())
	return a
}

// equivalent is a plan modifier for strings that can be written in several ways: an equivalent value in
// the configuration is no change.
type equivalent struct {
	same func(a, b string) bool
	what string
}

// Description says what the modifier does.
func (m equivalent) Description(context.Context) string { return m.what }

// MarkdownDescription says what the modifier does.
func (m equivalent) MarkdownDescription(context.Context) string { return m.what }

// PlanModifyString plans the value of the state if it means the same.
func (m equivalent) PlanModifyString(_ context.Context, req planmodifier.StringRequest, resp *planmodifier.StringResponse) {
	if req.StateValue.IsNull() || req.PlanValue.IsNull() || req.PlanValue.IsUnknown() {
		return
	}
	if m.same(req.StateValue.ValueString(), req.PlanValue.ValueString()) {
		resp.PlanValue = req.StateValue
	}
}

// sameJSON reports whether both are JSON and equal but for spaces and the order of keys.
func sameJSON(a, b string) bool {
	x, err := normalJSON(a)
	if err != nil {
		return false
	}
	y, err := normalJSON(b)
	return err == nil && bytes.Equal(x, y)
}

func normalJSON(text string) ([]byte, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// sameProtocol reports whether both name the same protocol of a security group's rule.
func sameProtocol(a, b string) bool { return protocol(a) == protocol(b) }

// protocol returns the form that EC2 answers with: tcp, udp, icmp, icmpv6 and -1 by these words, every
// other protocol by its number.
func protocol(s string) string {
	switch s = strings.ToLower(s); s {
	case "all", "-1":
		return "-1"
	case "6":
		return "tcp"
	case "17":
		return "udp"
	case "1":
		return "icmp"
	case "58":
		return "icmpv6"
	}
	return s
}

// atMostOne validates a block of which there may be one.
type atMostOne struct{}

// Description says what is validated.
func (atMostOne) Description(context.Context) string { return "at most one block" }

// MarkdownDescription says what is validated.
func (atMostOne) MarkdownDescription(context.Context) string { return "at most one block" }

// ValidateList refuses a second block.
func (atMostOne) ValidateList(_ context.Context, req validator.ListRequest, resp *validator.ListResponse) {
	if n := len(req.ConfigValue.Elements()); n > 1 {
		resp.Diagnostics.AddAttributeError(req.Path, "Too many blocks", fmt.Sprintf("No more than 1 block is allowed, there are %d", n))
	}
}

// oneOf validates a string against the words that AWS knows.
type oneOf []string

// Description says what is validated.
func (v oneOf) Description(context.Context) string { return "one of " + strings.Join(v, ", ") }

// MarkdownDescription says what is validated.
func (v oneOf) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

// ValidateString refuses other words.
func (v oneOf) ValidateString(ctx context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() || slices.Contains(v, req.ConfigValue.ValueString()) {
		return
	}
	resp.Diagnostics.AddAttributeError(req.Path, "Invalid value",
		fmt.Sprintf("expected %s, got %q", v.Description(ctx), req.ConfigValue.ValueString()))
}

// wordsOf returns the words of one of the SDK's enumerations.
func wordsOf[T ~string](values []T) oneOf {
	words := make(oneOf, 0, len(values))
	for _, v := range values {
		words = append(words, string(v))
	}
	return words
}

// within validates a number between two others, both included.
type within struct{ low, high int64 }

// Description says what is validated.
func (v within) Description(context.Context) string {
	return fmt.Sprintf("between %d and %d", v.low, v.high)
}

// MarkdownDescription says what is validated.
func (v within) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

// ValidateInt64 refuses other numbers.
func (v within) ValidateInt64(ctx context.Context, req validator.Int64Request, resp *validator.Int64Response) {
	if n := req.ConfigValue; !n.IsNull() && !n.IsUnknown() && (n.ValueInt64() < v.low || n.ValueInt64() > v.high) {
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid value", fmt.Sprintf("expected a number %s, got %d", v.Description(ctx), n.ValueInt64()))
	}
}

// conflict refuses a configuration that sets both of two arguments.
func conflict(ctx context.Context, config tfsdk.Config, one, other string, diags *diag.Diagnostics) {
	if isSet(ctx, config, path.Root(one), diags) && isSet(ctx, config, path.Root(other), diags) {
		diags.AddAttributeError(path.Root(one), "Conflicting configuration arguments", fmt.Sprintf("%q: conflicts with %s", one, other))
	}
}

// isSet reports whether the configuration sets an argument, be it to something not yet known.
func isSet(ctx context.Context, config tfsdk.Config, at path.Path, diags *diag.Diagnostics) bool {
	var v attr.Value
	diags.Append(config.GetAttribute(ctx, at, &v)...)
	return v != nil && !v.IsNull()
}

// each validates the elements of a set.
type each struct{ words oneOf }

// Description says what is validated.
func (v each) Description(ctx context.Context) string { return "each " + v.words.Description(ctx) }

// MarkdownDescription says what is validated.
func (v each) MarkdownDescription(ctx context.Context) string { return v.Description(ctx) }

// ValidateSet refuses other words.
func (v each) ValidateSet(ctx context.Context, req validator.SetRequest, resp *validator.SetResponse) {
	for _, element := range req.ConfigValue.Elements() {
		text, ok := element.(types.String)
		if !ok || text.IsNull() || text.IsUnknown() || slices.Contains(v.words, text.ValueString()) {
			continue
		}
		resp.Diagnostics.AddAttributeError(req.Path, "Invalid value",
			fmt.Sprintf("expected %s, got %q", v.words.Description(ctx), text.ValueString()))
	}
}
