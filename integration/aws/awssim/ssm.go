package awssim

import (
	"slices"
	"strings"
	"time"
)

func ssmActions() map[string]action {
	return map[string]action{
		"GetParameter":                getParameter,
		"GetParameters":               getParameters,
		"DescribeInstanceInformation": describeNodes,
		"SendCommand":                 sendCommand,
		"GetCommandInvocation":        getCommandInvocation,
	}
}

// publicParameters are those of Amazon's that name its newest images.
func publicParameters() map[string]string {
	return map[string]string{
		"/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id":      "ami-0a1b2c3d4e5f60001",
		"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64":      "ami-0a1b2c3d4e5f60002",
		"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64":          "ami-0a1b2c3d4e5f60002",
		"/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_version": "2023.0.20250602",
	}
}

// parameter returns the value of a parameter by name or ARN.
func (r *realm) parameter(name string) (value string, known bool) {
	if at := strings.Index(name, ":parameter/"); strings.HasPrefix(name, "arn:") && at >= 0 {
		name = name[at+len(":parameter"):]
	}
	if value, known = r.parameters[name]; !known {
		value, known = publicParameters()[name]
	}
	return value, known
}

// resolve returns the image that a launch names: "ami-…", or by "resolve:ssm:NAME" the value of a
// parameter. Error: InvalidParameterValue.
func (r *realm) resolve(image string) (string, error) {
	name, indirect := strings.CutPrefix(image, "resolve:ssm:")
	if !indirect {
		return image, nil
	}
	ami, known := r.parameter(name)
	if !known {
		return "", refuse("InvalidParameterValue", "Parameter resolution failed: the parameter %s does not exist", name)
	}
	return ami, nil
}

func (r *realm) parameterARN(name string) string {
	account := r.account
	if strings.HasPrefix(name, "/aws/") {
		account = ""
	}
	return "arn:aws:ssm:" + r.region + ":" + account + ":parameter/" + strings.TrimPrefix(name, "/")
}

func (r *realm) parameterBody(name, value string) map[string]any {
	return map[string]any{
		"Name": name, "Type": "String", "Value": value, "Version": 1, "DataType": "text", "ARN": r.parameterARN(name),
		"LastModifiedDate": epoch(time.Date(2025, 6, 2, 12, 0, 0, 0, time.UTC)),
	}
}

func getParameter(c *call) (any, error) {
	var in struct {
		Name           string
		WithDecryption bool
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	value, known := c.realm.parameter(in.Name)
	if !known {
		return nil, refuse("ParameterNotFound", "")
	}
	return map[string]any{"Parameter": c.realm.parameterBody(in.Name, value)}, nil
}

func getParameters(c *call) (any, error) {
	var in struct {
		Names          []string
		WithDecryption bool
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if len(in.Names) == 0 || len(in.Names) > 10 {
		return nil, refuse("ValidationException", "1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and 10")
	}
	found, lacking := []map[string]any{}, []string{}
	for _, name := range in.Names {
		if value, known := c.realm.parameter(name); known {
			found = append(found, c.realm.parameterBody(name, value))
		} else {
			lacking = append(lacking, name)
		}
	}
	return map[string]any{"Parameters": found, "InvalidParameters": lacking}, nil
}

// managed reports whether Systems Manager knows an instance, and what it calls it. guess: an instance
// profile is all that the agent needs; in reality its role must allow it.
func (w *world) managed(i *instance, now time.Time) (status string, known bool) {
	if i.profile == "" || i.spoil.NoPing || i.ran.IsZero() || now.Before(i.ran.Add(w.cfg.Timing.Ping)) {
		return "", false
	}
	if i.state != "running" {
		return "ConnectionLost", i.state != "terminated"
	}
	return "Online", true
}

// nodeFilter is a filter of DescribeInstanceInformation, in its old or its new form.
type nodeFilter struct {
	Key              string
	Values, ValueSet []string
}

// keeps reports whether an instance passes. Error: InvalidFilterKey.
func (f nodeFilter) keeps(i *instance, status string) (bool, error) {
	var have string
	switch f.Key {
	case "InstanceIds":
		have = i.id
	case "PingStatus":
		have = status
	case "ResourceType":
		have = "EC2Instance"
	default:
		return false, refuse("InvalidFilterKey", "The filter key %.80q is not modelled", f.Key)
	}
	return slices.Contains(f.Values, have) || slices.Contains(f.ValueSet, have), nil
}

func describeNodes(c *call) (any, error) {
	var in struct {
		Filters, InstanceInformationFilterList []nodeFilter

		MaxResults int
		NextToken  string
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if len(in.Filters) > 0 && len(in.InstanceInformationFilterList) > 0 {
		return nil, refuse("ValidationException", "Filters and InstanceInformationFilterList cannot both be given")
	}
	if in.MaxResults != 0 && (in.MaxResults < 5 || in.MaxResults > 50) {
		return nil, refuse("ValidationException", "1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value between 5 and 50", in.MaxResults)
	}
	filters := slices.Concat(in.Filters, in.InstanceInformationFilterList)
	all := []map[string]any{}
	for _, i := range c.realm.instances {
		status, kept := c.managed(i, c.now)
		for _, f := range filters {
			passes, err := f.keeps(i, status)
			if err != nil {
				return nil, err
			}
			kept = kept && passes
		}
		if kept {
			all = append(all, c.nodeBody(i, status))
		}
	}
	limit := 50
	if in.MaxResults > 0 {
		limit = in.MaxResults
	}
	page, next, ok := cut(all, in.NextToken, c.smaller(limit, 50))
	if !ok {
		return nil, refuse("InvalidNextToken", "The specified token isn't valid.")
	}
	out := map[string]any{"InstanceInformationList": page}
	if next != "" {
		out["NextToken"] = next
	}
	return out, nil
}

func (c *call) nodeBody(i *instance, status string) map[string]any {
	return map[string]any{
		"InstanceId": i.id, "PingStatus": status, "LastPingDateTime": epoch(c.now), "AgentVersion": "3.3.2299.0",
		"IsLatestVersion": true, "PlatformType": "Linux", "PlatformName": "Amazon Linux", "PlatformVersion": "2023",
		"ResourceType": "EC2Instance", "IPAddress": i.address, "ComputerName": "ip-" + i.address + ".internal",
		"SourceId": i.id, "SourceType": "AWS::EC2::Instance",
	}
}
