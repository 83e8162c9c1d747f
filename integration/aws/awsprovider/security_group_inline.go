package awsprovider

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/setplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// inlineRule is an element of ingress and egress.
type inlineRule struct {
	CIDRBlocks     types.List   `tfsdk:"cidr_blocks"`
	Description    types.String `tfsdk:"description"`
	FromPort       types.Int64  `tfsdk:"from_port"`
	IPv6CIDRBlocks types.List   `tfsdk:"ipv6_cidr_blocks"`
	PrefixListIDs  types.List   `tfsdk:"prefix_list_ids"`
	Protocol       types.String `tfsdk:"protocol"`
	SecurityGroups types.Set    `tfsdk:"security_groups"`
	Self           types.Bool   `tfsdk:"self"`
	ToPort         types.Int64  `tfsdk:"to_port"`
}

func inlineRuleType() types.ObjectType {
	texts := types.ListType{ElemType: types.StringType}
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"cidr_blocks": texts, "description": types.StringType, "from_port": types.Int64Type, "ipv6_cidr_blocks": texts,
		"prefix_list_ids": texts, "protocol": types.StringType, "security_groups": types.SetType{ElemType: types.StringType},
		"self": types.BoolType, "to_port": types.Int64Type,
	}}
}

// inlineRulesAttribute is an attribute that may also be written as blocks, as in the original. Without
// it in the configuration the rules are not managed here.
func inlineRulesAttribute() schema.Attribute {
	return schema.SetAttribute{
		ElementType:   inlineRuleType(),
		Optional:      true,
		Computed:      true,
		PlanModifiers: []planmodifier.Set{setplanmodifier.UseStateForUnknown()},
	}
}

// grain is the smallest permission: one protocol, one range of ports, one source. AWS and a
// configuration may group them differently, so they are compared grain by grain.
type grain struct {
	protocol, description string
	from, to              int32
	kind                  grainKind
	source                string
}

type grainKind int

const (
	grainIPv4 grainKind = iota
	grainIPv6
	grainPrefixList
	grainGroup
)

// grainsOf takes the rules of a configuration apart; self stands for groupID.
func grainsOf(ctx context.Context, rules types.Set, groupID string) (map[grain]bool, error) {
	var elements []inlineRule
	if !rules.IsNull() && !rules.IsUnknown() {
		if diags := rules.ElementsAs(ctx, &elements, false); diags.HasError() {
			return nil, fmt.Errorf("read rules: %s", diags[0].Detail())
		}
	}
	grains := map[grain]bool{}
	for _, rule := range elements {
		g := grain{
			protocol: protocol(rule.Protocol.ValueString()), description: rule.Description.ValueString(),
			from: aws.ToInt32(int32of(rule.FromPort)), to: aws.ToInt32(int32of(rule.ToPort)),
		}
		if g.protocol == "-1" && (g.from != 0 || g.to != 0) {
			return nil, fmt.Errorf(`from_port (%d) and to_port (%d) must both be 0 to use the 'ALL' "-1" protocol`, g.from, g.to)
		}
		groups := list(ctx, rule.SecurityGroups)
		if rule.Self.ValueBool() {
			groups = append(groups, groupID)
		}
		for kind, sources := range map[grainKind][]string{
			grainIPv4: list(ctx, rule.CIDRBlocks), grainIPv6: list(ctx, rule.IPv6CIDRBlocks),
			grainPrefixList: list(ctx, rule.PrefixListIDs), grainGroup: groups,
		} {
			for _, source := range sources {
				g.kind, g.source = kind, source
				grains[g] = true
			}
		}
	}
	return grains, nil
}

// grainsFrom takes the permissions apart that EC2 lists.
func grainsFrom(permissions []ec2types.IpPermission) map[grain]bool {
	grains := map[grain]bool{}
	for _, p := range permissions {
		g := grain{protocol: protocol(aws.ToString(p.IpProtocol))}
		if g.protocol != "-1" {
			g.from, g.to = aws.ToInt32(p.FromPort), aws.ToInt32(p.ToPort)
		}
		add := func(kind grainKind, source, description *string) {
			g.kind, g.source, g.description = kind, aws.ToString(source), aws.ToString(description)
			grains[g] = true
		}
		for _, r := range p.IpRanges {
			add(grainIPv4, r.CidrIp, r.Description)
		}
		for _, r := range p.Ipv6Ranges {
			add(grainIPv6, r.CidrIpv6, r.Description)
		}
		for _, r := range p.PrefixListIds {
			add(grainPrefixList, r.PrefixListId, r.Description)
		}
		for _, r := range p.UserIdGroupPairs {
			add(grainGroup, r.GroupId, r.Description)
		}
	}
	return grains
}

// permission turns a grain into what EC2 takes.
func (g grain) permission() ec2types.IpPermission {
	p := ec2types.IpPermission{IpProtocol: &g.protocol}
	if g.protocol != "-1" {
		p.FromPort, p.ToPort = &g.from, &g.to
	}
	var description *string
	if g.description != "" {
		description = &g.description
	}
	switch g.kind {
	case grainIPv4:
		p.IpRanges = []ec2types.IpRange{{CidrIp: &g.source, Description: description}}
	case grainIPv6:
		p.Ipv6Ranges = []ec2types.Ipv6Range{{CidrIpv6: &g.source, Description: description}}
	case grainPrefixList:
		p.PrefixListIds = []ec2types.PrefixListId{{PrefixListId: &g.source, Description: description}}
	case grainGroup:
		pair := ec2types.UserIdGroupPair{GroupId: &g.source, Description: description}
		if account, id, ok := strings.Cut(g.source, "/"); ok {
			pair.UserId, pair.GroupId = &account, &id
		}
		p.UserIdGroupPairs = []ec2types.UserIdGroupPair{pair}
	}
	return p
}

// without returns the permissions of the grains that are not among others, in a fixed order.
func without(grains, others map[grain]bool) []ec2types.IpPermission {
	var left []grain
	for g := range grains {
		if !others[g] {
			left = append(left, g)
		}
	}
	slices.SortFunc(left, compareGrains)
	var out []ec2types.IpPermission
	for _, g := range left {
		out = append(out, g.permission())
	}
	return out
}

func compareGrains(a, b grain) int {
	return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to),
		cmp.Compare(a.description, b.description), cmp.Compare(a.kind, b.kind), cmp.Compare(a.source, b.source))
}

// updateRules revokes the inline rules that are no longer wanted, then authorizes the new ones, in the
// original's order: between the two calls the group lets through less, never more.
func (r *securityGroup) updateRules(ctx context.Context, old, now securityGroupModel) error {
	id := now.ID.ValueString()
	if err := changeRules(ctx, id, old.Ingress, now.Ingress,
		func(gone []ec2types.IpPermission) error {
			_, err := r.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &id, IpPermissions: gone})
			return err
		},
		func(fresh []ec2types.IpPermission) error {
			_, err := r.ec2.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: &id, IpPermissions: fresh})
			return err
		}); err != nil {
		return err
	}
	return changeRules(ctx, id, old.Egress, now.Egress,
		func(gone []ec2types.IpPermission) error {
			_, err := r.ec2.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: &id, IpPermissions: gone})
			return err
		},
		func(fresh []ec2types.IpPermission) error {
			_, err := r.ec2.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{GroupId: &id, IpPermissions: fresh})
			return err
		})
}

// changeRules calls revoke and authorize with what differs between old and now; unknown means that the
// rules are not managed here.
func changeRules(ctx context.Context, id string, old, now types.Set, revoke, authorize func([]ec2types.IpPermission) error) error {
	if now.IsUnknown() {
		return nil
	}
	was, err := grainsOf(ctx, old, id)
	if err != nil {
		return err
	}
	want, err := grainsOf(ctx, now, id)
	if err != nil {
		return err
	}
	if gone := without(was, want); len(gone) > 0 {
		if err := revoke(gone); err != nil {
			return err
		}
	}
	if fresh := without(want, was); len(fresh) > 0 {
		return authorize(fresh)
	}
	return nil
}

// revokeAll takes all rules of a group away.
func (r *securityGroup) revokeAll(ctx context.Context, id string) error {
	group, err := r.findSecurityGroup(ctx, id)
	if err != nil || group == nil {
		return err
	}
	if len(group.IpPermissions) > 0 {
		_, err = r.ec2.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: &id, IpPermissions: group.IpPermissions})
	}
	if err == nil && len(group.IpPermissionsEgress) > 0 {
		_, err = r.ec2.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: &id, IpPermissions: group.IpPermissionsEgress})
	}
	return err
}

// rules fills in ingress or egress. Rules that mean the same stay as they are written.
func (f fill) rules(ctx context.Context, dst *types.Set, groupID string, permissions []ec2types.IpPermission) {
	if f.openOnly && !dst.IsUnknown() {
		return
	}
	has := grainsFrom(permissions)
	if !dst.IsUnknown() && !dst.IsNull() {
		if before, err := grainsOf(ctx, *dst, groupID); err == nil && len(without(has, before)) == 0 && len(without(before, has)) == 0 {
			return
		}
	}
	*dst = inlineRules(has, groupID)
}

// inlineRules puts grains together again: one rule for all sources of the same protocol, ports and
// description.
func inlineRules(grains map[grain]bool, groupID string) types.Set {
	groups := map[grain][]grain{}
	for g := range grains {
		key := grain{protocol: g.protocol, from: g.from, to: g.to, description: g.description}
		groups[key] = append(groups[key], g)
	}
	elements := []attr.Value{}
	for key, members := range groups {
		slices.SortFunc(members, compareGrains)
		sources := map[grainKind][]attr.Value{}
		self := false
		for _, g := range members {
			if g.kind == grainGroup && g.source == groupID {
				self = true
				continue
			}
			sources[g.kind] = append(sources[g.kind], types.StringValue(g.source))
		}
		elements = append(elements, types.ObjectValueMust(inlineRuleType().AttrTypes, map[string]attr.Value{
			"cidr_blocks":      types.ListValueMust(types.StringType, sources[grainIPv4]),
			"description":      types.StringValue(key.description),
			"from_port":        types.Int64Value(int64(key.from)),
			"ipv6_cidr_blocks": types.ListValueMust(types.StringType, sources[grainIPv6]),
			"prefix_list_ids":  types.ListValueMust(types.StringType, sources[grainPrefixList]),
			"protocol":         types.StringValue(key.protocol),
			"security_groups":  types.SetValueMust(types.StringType, sources[grainGroup]),
			"self":             types.BoolValue(self),
			"to_port":          types.Int64Value(int64(key.to)),
		}))
	}
	return types.SetValueMust(inlineRuleType(), elements)
}
