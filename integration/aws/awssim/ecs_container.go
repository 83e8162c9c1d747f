package awssim

import (
	"slices"
	"strings"
)

func listContainers(c *call, cl *cluster) (any, error) {
	var in struct {
		Filter, NextToken, Status string
		MaxResults                int
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	tests, err := parseContainerFilter(in.Filter)
	if err != nil {
		return nil, err
	}
	if in.Status != "" && !slices.Contains(strings.Fields("ACTIVE DRAINING REGISTERING DEREGISTERING REGISTRATION_FAILED"), in.Status) {
		return nil, refuse("InvalidParameterException", "status should be one of ACTIVE,DRAINING,REGISTERING,DEREGISTERING,REGISTRATION_FAILED")
	}
	if in.MaxResults < 0 || in.MaxResults > 100 {
		return nil, refuse("InvalidParameterException", "maxResults must be between 1 and 100")
	}
	arns := []string{}
	for _, k := range cl.containers {
		// Without a status all are listed but the inactive ones.
		if k.status == "INACTIVE" || in.Status != "" && k.status != in.Status {
			continue
		}
		if !slices.ContainsFunc(tests, func(t containerTest) bool { return !t.holds(k) }) {
			arns = append(arns, k.arn())
		}
	}
	page, next, ok := cut(arns, in.NextToken, c.smaller(in.MaxResults, 100))
	if !ok {
		return nil, refuse("InvalidParameterException", "Invalid token")
	}
	out := map[string]any{"containerInstanceArns": page}
	if next != "" {
		out["nextToken"] = next
	}
	return out, nil
}

// containerTest is one condition of the cluster query language.
type containerTest struct {
	attribute string
	negated   bool
	values    []string
}

func (t containerTest) holds(k *container) bool {
	have := map[string]string{
		"ec2InstanceId": k.of.id, "agentConnected": truth(k.connected), "runningTasksCount": itoa(k.tasks),
		"containerInstanceArn": k.arn(),
	}[t.attribute]
	return slices.Contains(t.values, have) != t.negated
}

// parseContainerFilter reads the part of the cluster query language that is modelled: conditions
// "subject == value", "subject != value" and "subject in [value, value]", joined by "and". Nothing is every
// instance. Error: InvalidParameterException.
func parseContainerFilter(text string) ([]containerTest, error) {
	var out []containerTest
	bad := refuse("InvalidParameterException", "Invalid filter: %.200s", text)
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, " and ") {
		subject, rest, ok := strings.Cut(strings.TrimSpace(part), " ")
		if !ok || !slices.Contains([]string{"ec2InstanceId", "agentConnected", "runningTasksCount", "containerInstanceArn"}, subject) {
			return nil, bad
		}
		test := containerTest{attribute: subject}
		rest = strings.TrimSpace(rest)
		switch {
		case strings.HasPrefix(rest, "=="), strings.HasPrefix(rest, "!="):
			test.negated = rest[0] == '!'
			test.values = []string{strings.TrimSpace(rest[2:])}
		case strings.HasPrefix(rest, "in"):
			list, opened := strings.CutPrefix(strings.TrimSpace(rest[2:]), "[")
			list, closed := strings.CutSuffix(list, "]")
			if !opened || !closed {
				return nil, bad
			}
			for v := range strings.SplitSeq(list, ",") {
				test.values = append(test.values, strings.TrimSpace(v))
			}
		}
		if len(test.values) == 0 || slices.ContainsFunc(test.values, func(v string) bool { return v == "" || strings.ContainsAny(v, " []") }) {
			return nil, bad
		}
		out = append(out, test)
	}
	return out, nil
}

// named finds the container instances that a request names, by id or ARN.
func (cl *cluster) named(c *call, ids []string) (found []*container, failures []map[string]any) {
	failures = []map[string]any{}
	for _, id := range ids {
		k := find(cl.containers, func(k *container) bool { return k.id == lastOf(id) })
		if k == nil {
			failures = append(failures, map[string]any{
				"arn": c.realm.arn(serviceECS, "container-instance/"+cl.name+"/"+lastOf(id)), "reason": "MISSING",
			})
			continue
		}
		found = append(found, k)
	}
	return found, failures
}

func describeContainers(c *call, cl *cluster) (any, error) {
	var in struct{ ContainerInstances, Include []string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if len(in.ContainerInstances) == 0 {
		return nil, refuse("InvalidParameterException", "Container instances can not be empty.")
	}
	if len(in.ContainerInstances) > 100 {
		return nil, refuse("InvalidParameterException", "instanceIds can have at most 100 items.")
	}
	found, failures := cl.named(c, in.ContainerInstances)
	out := []map[string]any{}
	for _, k := range found {
		out = append(out, k.describe(slices.Contains(in.Include, "TAGS")))
	}
	return map[string]any{"containerInstances": out, "failures": failures}, nil
}

// updateContainers sets instances to drain, or to take tasks again. One that is not ACTIVE yet cannot drain:
// the API reference of UpdateContainerInstancesState. guess: the wording, and that the whole request fails.
func updateContainers(c *call, cl *cluster) (any, error) {
	var in struct {
		ContainerInstances []string
		Status             string
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	switch {
	case in.Status != "ACTIVE" && in.Status != "DRAINING":
		return nil, refuse("InvalidParameterException", "Container instance status should be one of [ACTIVE,DRAINING]")
	case len(in.ContainerInstances) == 0:
		return nil, refuse("InvalidParameterException", "instanceIds cannot be empty.")
	case len(in.ContainerInstances) > 10:
		return nil, refuse("InvalidParameterException", "instanceIds can have at most 10 items.")
	}
	found, failures := cl.named(c, in.ContainerInstances)
	for _, k := range found {
		if k.status != "ACTIVE" && k.status != "DRAINING" {
			return nil, refuse("InvalidParameterException", "Container instance %s is %s: its status can be changed once it is ACTIVE.", k.arn(), k.status)
		}
	}
	out := []map[string]any{}
	for _, k := range found {
		if k.status != in.Status {
			k.status = in.Status
			k.version++
			c.place(k, c.now)
		}
		out = append(out, k.describe(false))
	}
	return map[string]any{"containerInstances": out, "failures": failures}, nil
}

func (k *container) describe(withTags bool) map[string]any {
	resources := []map[string]any{
		{"name": "CPU", "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": 2048},
		{"name": "MEMORY", "type": "INTEGER", "doubleValue": 0.0, "longValue": 0, "integerValue": 1952},
	}
	return map[string]any{
		"containerInstanceArn": k.arn(), "ec2InstanceId": k.of.id, "version": k.version, "status": k.status, "agentConnected": k.connected,
		"versionInfo":        map[string]any{"agentVersion": "1.94.0", "agentHash": "4b2c1b6f", "dockerVersion": "DockerVersion: 25.0.8"},
		"remainingResources": resources, "registeredResources": resources,
		"runningTasksCount": k.tasks, "pendingTasksCount": 0, "registeredAt": epoch(k.registered), "attachments": []any{},
		"attributes": []map[string]any{
			{"name": "ecs.ami-id", "value": k.of.image},
			{"name": "ecs.instance-type", "value": k.of.kind},
			{"name": "ecs.availability-zone", "value": k.of.subnet.zone},
			{"name": "ecs.os-type", "value": "linux"},
		},
		"tags": ecsTags(k.of.tags, withTags),
	}
}
