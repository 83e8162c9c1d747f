package awssim

import (
	"maps"
	"slices"
	"strings"
)

func ec2Actions() map[string]action {
	all := map[string]action{
		"CreateTags":                createTags,
		"DeleteTags":                deleteTags,
		"DescribeAvailabilityZones": describeZones,
		"DescribeVpcs":              describeVPCs,
		"DescribeSubnets":           describeSubnets,
		"DescribeNetworkInterfaces": describeInterfaces,
		"GetEbsDefaultKmsKeyId":     getEBSDefaultKey,
		"GetEbsEncryptionByDefault": getEBSEncryption,
	}
	for _, more := range []map[string]action{firewallActions(), templateActions(), imageActions(), instanceActions()} {
		maps.Copy(all, more)
	}
	return all
}

// ec2Page cuts an answer of EC2 into pages. Error: InvalidNextToken.
func ec2Page[T any](c *call, all []T) (page []T, next node, err error) {
	asked, err := c.p.num("MaxResults", 0)
	if err != nil {
		return nil, node{}, err
	}
	page, token, ok := cut(all, c.p.str("NextToken"), c.smaller(asked, 0))
	if !ok {
		return nil, node{}, refuse("InvalidNextToken", "The provided 'NextToken' value is invalid.")
	}
	return page, opt("nextToken", token), nil
}

// described prints a list of things in pages, as most of EC2's Describe calls do.
func described[T any](c *call, name string, all []T, each func(T) node) (any, error) {
	page, next, err := ec2Page(c, all)
	if err != nil {
		return nil, err
	}
	return []node{list(name, page, each), next}, nil
}

// tagSet prints tags.
func tagSet(tags map[string]string) node {
	return list("tagSet", sortedKeys(tags), func(key string) node { return item(tx("key", key), tx("value", tags[key])) })
}

// tagsFor reads the TagSpecifications for one kind of resource.
func tagsFor(p *tree, kind string) map[string]string {
	out := map[string]string{}
	for _, spec := range p.items("TagSpecification") {
		tags := spec.pairs("Tag")
		if spec.str("ResourceType") == kind {
			maps.Copy(out, tags)
		}
	}
	return out
}

// taggable finds the tags of a resource by its id.
func (r *realm) taggable(w *world, id string) map[string]string {
	for _, x := range r.vpcs {
		if x.id == id {
			return x.tags
		}
	}
	for _, x := range r.subnets {
		if x.id == id {
			return x.tags
		}
	}
	for _, x := range r.firewalls {
		if x.id == id {
			return x.tags
		}
		if rule := find(x.rules, func(r *rule) bool { return r.id == id }); rule != nil {
			return rule.tags
		}
	}
	for _, x := range r.templates {
		if x.id == id {
			return x.tags
		}
	}
	for _, x := range r.instances {
		if x.id == id {
			return x.tags
		}
		if v := find(x.volumes, func(v *volume) bool { return v.id == id }); v != nil {
			return v.tags
		}
	}
	for _, x := range w.images {
		if x.id == id && x.account == r.account {
			return x.tags
		}
	}
	for _, x := range w.snapshots {
		if x.id == id && x.account == r.account {
			return x.tags
		}
	}
	return nil
}

func createTags(c *call) (any, error) {
	tags := c.p.pairs("Tag")
	for key := range tags {
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, refuse("InvalidParameterValue", "Value ( %s ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for internal use", key)
		}
	}
	return c.eachTagged(func(have map[string]string) { maps.Copy(have, tags) })
}

func deleteTags(c *call) (any, error) {
	return c.eachTagged(func(have map[string]string) {
		for _, tag := range c.p.items("Tag") {
			// Without a value the tag goes whatever its value is; with one, only if it is that.
			if v, has := tag.str("Value"), tag.has("Value"); !has || have[tag.str("Key")] == v {
				delete(have, tag.str("Key"))
			}
		}
	})
}

func (c *call) eachTagged(do func(map[string]string)) (any, error) {
	ids := c.p.strs("ResourceId")
	if len(ids) == 0 {
		return nil, missing("resourceIdSet")
	}
	for _, id := range ids {
		if c.realm.taggable(c.world, id) == nil {
			return nil, notFoundByID(id)
		}
	}
	for _, id := range ids {
		do(c.realm.taggable(c.world, id))
	}
	return returnTrue(), nil
}

func returnTrue() []node { return []node{flag("return", true)} }

// notFoundByID is EC2's word for an id that names nothing.
func notFoundByID(id string) error {
	prefix, _, _ := strings.Cut(id, "-")
	switch prefix {
	case "vpc":
		return refuse("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
	case "subnet":
		return refuse("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
	case "sg":
		return refuse("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
	case "sgr":
		return refuse("InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '%s' does not exist", id)
	case "lt":
		return refuse("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
	case "i":
		return refuse("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
	case "ami":
		return refuse("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	case "snap":
		return refuse("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
	case "vol":
		return refuse("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
	case "eni":
		return refuse("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
	}
	return refuse("InvalidID", "The ID '%s' is not valid", id)
}

// chosen returns those of all that ids names, all of them without ids. Error: EC2's word for the first
// that is not there.
func chosen[T any](all []T, ids []string, id func(T) string) ([]T, error) {
	if len(ids) == 0 {
		return all, nil
	}
	var out []T
	for _, want := range ids {
		at := slices.IndexFunc(all, func(x T) bool { return id(x) == want })
		if at < 0 {
			return nil, notFoundByID(want)
		}
		out = append(out, all[at])
	}
	return out, nil
}

func getEBSDefaultKey(c *call) (any, error) {
	key := c.realm.ebsKey
	if key == "" {
		key = "alias/aws/ebs"
	}
	return []node{tx("kmsKeyId", key)}, nil
}

func getEBSEncryption(c *call) (any, error) {
	return []node{flag("ebsEncryptionByDefault", c.realm.ebsEncrypt)}, nil
}
