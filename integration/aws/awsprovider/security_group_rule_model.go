package awsprovider

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// errNoRule is an answer that AWS does not give: it always lists what it has authorized.
var errNoRule = errors.New("AWS did not name the one rule that it was asked to add")

type ruleModel struct {
	ARN               types.String `tfsdk:"arn"`
	CIDRIPv4          types.String `tfsdk:"cidr_ipv4"`
	CIDRIPv6          types.String `tfsdk:"cidr_ipv6"`
	Description       types.String `tfsdk:"description"`
	FromPort          types.Int64  `tfsdk:"from_port"`
	ID                types.String `tfsdk:"id"`
	Protocol          types.String `tfsdk:"ip_protocol"`
	PrefixListID      types.String `tfsdk:"prefix_list_id"`
	ReferencedGroupID types.String `tfsdk:"referenced_security_group_id"`
	GroupID           types.String `tfsdk:"security_group_id"`
	RuleID            types.String `tfsdk:"security_group_rule_id"`
	Tags              types.Map    `tfsdk:"tags"`
	TagsAll           types.Map    `tfsdk:"tags_all"`
	ToPort            types.Int64  `tfsdk:"to_port"`
}

// ruleSources names the arguments of which exactly one is set.
func ruleSources() []string {
	return []string{"cidr_ipv4", "cidr_ipv6", "prefix_list_id", "referenced_security_group_id"}
}

// sourceName returns which of them is.
func (m ruleModel) sourceName() string {
	for i, v := range []types.String{m.CIDRIPv4, m.CIDRIPv6, m.PrefixListID} {
		if !v.IsNull() {
			return ruleSources()[i]
		}
	}
	return "referenced_security_group_id"
}

// sameRule reports whether both mean the same rule; tags aside.
func (m ruleModel) sameRule(other ruleModel) bool {
	return m.CIDRIPv4.Equal(other.CIDRIPv4) && m.CIDRIPv6.Equal(other.CIDRIPv6) &&
		m.Description.Equal(other.Description) && m.FromPort.Equal(other.FromPort) && m.ToPort.Equal(other.ToPort) &&
		m.Protocol.Equal(other.Protocol) && m.PrefixListID.Equal(other.PrefixListID) &&
		m.ReferencedGroupID.Equal(other.ReferencedGroupID)
}

// permission returns the rule as it is authorized.
func (m ruleModel) permission() ec2types.IpPermission {
	wire := protocol(m.Protocol.ValueString())
	p := ec2types.IpPermission{IpProtocol: &wire, FromPort: int32of(m.FromPort), ToPort: int32of(m.ToPort)}
	description := m.Description.ValueStringPointer()
	switch m.sourceName() {
	case "cidr_ipv4":
		p.IpRanges = []ec2types.IpRange{{CidrIp: m.CIDRIPv4.ValueStringPointer(), Description: description}}
	case "cidr_ipv6":
		p.Ipv6Ranges = []ec2types.Ipv6Range{{CidrIpv6: m.CIDRIPv6.ValueStringPointer(), Description: description}}
	case "prefix_list_id":
		p.PrefixListIds = []ec2types.PrefixListId{{PrefixListId: m.PrefixListID.ValueStringPointer(), Description: description}}
	default:
		pair := ec2types.UserIdGroupPair{GroupId: m.ReferencedGroupID.ValueStringPointer(), Description: description}
		if account, id, ok := strings.Cut(m.ReferencedGroupID.ValueString(), "/"); ok {
			pair.UserId, pair.GroupId = &account, &id
		}
		p.UserIdGroupPairs = []ec2types.UserIdGroupPair{pair}
	}
	return p
}

// request returns the rule as it is modified.
func (m ruleModel) request() *ec2types.SecurityGroupRuleRequest {
	wire := protocol(m.Protocol.ValueString())
	return &ec2types.SecurityGroupRuleRequest{
		CidrIpv4:          m.CIDRIPv4.ValueStringPointer(),
		CidrIpv6:          m.CIDRIPv6.ValueStringPointer(),
		Description:       m.Description.ValueStringPointer(),
		FromPort:          int32of(m.FromPort),
		IpProtocol:        &wire,
		PrefixListId:      m.PrefixListID.ValueStringPointer(),
		ReferencedGroupId: m.ReferencedGroupID.ValueStringPointer(),
		ToPort:            int32of(m.ToPort),
	}
}

// read takes over what EC2 lists.
func (m *ruleModel) read(rule *ec2types.SecurityGroupRule, c *clients) {
	m.ARN = types.StringValue(c.arn("security-group-rule", m.ID.ValueString()))
	m.CIDRIPv4 = types.StringPointerValue(rule.CidrIpv4)
	m.CIDRIPv6 = types.StringPointerValue(rule.CidrIpv6)
	fill{}.maybeText(&m.Description, rule.Description)
	m.PrefixListID = types.StringPointerValue(rule.PrefixListId)
	m.ReferencedGroupID = types.StringNull()
	if group := rule.ReferencedGroupInfo; group != nil {
		m.ReferencedGroupID = types.StringPointerValue(group.GroupId)
		if owner := aws.ToString(group.UserId); owner != "" && owner != c.account {
			m.ReferencedGroupID = types.StringValue(owner + "/" + aws.ToString(group.GroupId))
		}
	}
	m.GroupID = types.StringPointerValue(rule.GroupId)
	m.RuleID = types.StringPointerValue(rule.SecurityGroupRuleId)
	if !sameProtocol(m.Protocol.ValueString(), aws.ToString(rule.IpProtocol)) {
		m.Protocol = types.StringPointerValue(rule.IpProtocol)
	}
	readPort(&m.FromPort, rule.FromPort)
	readPort(&m.ToPort, rule.ToPort)
	c.setTags(&m.Tags, &m.TagsAll, fromEC2Tags(rule.Tags))
}

// readPort takes a port over. For protocols without ports EC2 says -1, the configuration nothing.
func readPort(dst *types.Int64, port *int32) {
	if port == nil || *port == -1 && dst.IsNull() {
		*dst = types.Int64Null()
		return
	}
	*dst = types.Int64Value(int64(*port))
}
