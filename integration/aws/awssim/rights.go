package awssim

import "strings"

// needs returns what a request needs to be allowed, as the service authorization reference has it: the
// types of resource and the condition keys of each action. Actions on keys are judged with the key's policy
// and grants, launches once it is known what is launched.
func (c *call) needs() []access {
	perm := permission(c.service, c.action)
	switch c.service {
	case serviceSTS:
		return c.stsNeeds(perm)
	case serviceKMS:
		return c.kmsNeeds(perm)
	case serviceASG:
		return c.scalingNeeds(perm)
	case serviceEC2:
		return c.ec2Needs(perm)
	case serviceECS:
		return c.ecsNeeds(perm)
	case serviceSSM:
		return c.ssmNeeds(perm)
	case serviceIAM:
		return []access{{perm: perm, resource: c.roleARN(c.p.str("RoleName"))}}
	}
	return []access{{perm: perm, resource: "*"}}
}

func (c *call) stsNeeds(perm string) []access {
	if c.action == "GetCallerIdentity" {
		return nil // nobody can be refused that
	}
	f := facts{"sts:rolesessionname": {c.p.str("RoleSessionName")}}
	if external := c.p.str("ExternalId"); external != "" {
		f["sts:externalid"] = []string{external}
	}
	return []access{{perm: perm, resource: c.p.or("RoleArn", "*"), facts: f}}
}

// roleARN finds the role of a name in the caller's account.
func (c *call) roleARN(name string) string {
	for _, arn := range sortedKeys(c.roles) {
		if accountOf(arn) == c.who.Account && strings.HasSuffix(arn, "/"+name) {
			return arn
		}
	}
	return "arn:aws:iam::" + c.who.Account + ":role/" + name
}

func (c *call) kmsNeeds(perm string) []access {
	switch c.action {
	case "ListKeys", "ListAliases":
		return []access{{perm: perm, resource: "*"}}
	case "CreateKey":
		var in createKeyInput
		if c.read(&in) != nil {
			return []access{{perm: perm, resource: "*"}}
		}
		tags := map[string]string{}
		for _, tag := range in.Tags {
			tags[tag.TagKey] = tag.TagValue
		}
		return []access{{perm: perm, resource: "*", facts: requestTags(tags)}}
	}
	return nil
}

// requestTags are the facts of tags that a request brings.
func requestTags(tags map[string]string) facts {
	f := tagged(tags, "aws:RequestTag/")
	if len(tags) > 0 {
		f["aws:tagkeys"] = sortedKeys(tags)
	}
	return f
}

func (c *call) ecsNeeds(perm string) []access {
	var in struct {
		Cluster                      string
		Clusters, ContainerInstances []string
	}
	if c.read(&in) != nil {
		return []access{{perm: perm, resource: "*"}}
	}
	named := func(name string) access {
		if name == "" {
			name = "default"
		}
		f := facts{}
		if cl := c.realm.cluster(name); cl != nil {
			f = tagged(cl.tags, "aws:ResourceTag/", "ecs:ResourceTag/")
		}
		return access{perm, c.realm.arn(serviceECS, "cluster/"+lastOf(name)), f}
	}
	var out []access
	switch c.action {
	case "DescribeClusters":
		if len(in.Clusters) == 0 {
			in.Clusters = []string{"default"}
		}
		for _, name := range in.Clusters {
			out = append(out, named(name))
		}
	case "ListContainerInstances":
		out = append(out, named(in.Cluster))
	default:
		of := named(in.Cluster).resource
		for _, id := range in.ContainerInstances {
			arn := c.realm.arn(serviceECS, "container-instance/"+lastOf(of)+"/"+lastOf(id))
			out = append(out, access{perm, arn, facts{"ecs:cluster": {of}}})
		}
	}
	return out
}

func (c *call) ssmNeeds(perm string) []access {
	var in struct {
		Name         string
		Names        []string
		DocumentName string
		InstanceIDs  []string
	}
	if c.action == "DescribeInstanceInformation" || c.action == "GetCommandInvocation" || c.read(&in) != nil {
		return []access{{perm: perm, resource: "*"}}
	}
	if c.action == "SendCommand" { // on the document, and on each instance
		out := []access{{perm: perm, resource: "arn:aws:ssm:" + c.realm.region + "::document/" + in.DocumentName}}
		for _, id := range in.InstanceIDs {
			f := facts{}
			if at := find(c.realm.instances, func(i *instance) bool { return i.id == id }); at != nil {
				f = tagged(at.tags, "aws:ResourceTag/", "ssm:resourceTag/")
			}
			out = append(out, access{perm, c.realm.arn(serviceEC2, "instance/"+id), f})
		}
		return out
	}
	if in.Name != "" {
		in.Names = append(in.Names, in.Name)
	}
	var out []access
	for _, name := range in.Names {
		out = append(out, access{perm: perm, resource: c.realm.parameterARN(name)})
	}
	return out
}
