package aws_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wishes are the variables of policies/policies.tf.
type wishes struct {
	Account       string   `json:"account"`
	Region        string   `json:"region"`
	Trusted       []string `json:"trusted"`
	ExternalID    string   `json:"external_id"`
	Keys          []string `json:"keys,omitempty"`
	Parameters    []string `json:"parameters,omitempty"`
	Launch        bool     `json:"launch,omitempty"`
	Probe         bool     `json:"probe,omitempty"`
	ScaleOut      []string `json:"scale_out,omitempty"`
	Clusters      []string `json:"clusters,omitempty"`
	Templates     []string `json:"templates,omitempty"`
	InstanceRoles []string `json:"instance_roles,omitempty"`
	GroupRoles    []string `json:"group_roles,omitempty"`
}

// policy is a document of IAM's. Of a statement every key counts.
type policy struct {
	Version   string
	Statement []map[string]any
}

// names lists the policies that a role gets, without that of its trust.
func (w wishes) names() []string {
	names := []string{"read", "deny"}
	if w.Launch || len(w.ScaleOut) > 0 {
		names = append(names, "watch")
	}
	if w.Launch {
		names = append(names, "launch")
	}
	if w.Launch && w.Probe {
		names = append(names, "probe")
	}
	if len(w.ScaleOut) > 0 {
		names = append(names, "scale-out")
	}
	return names
}

// replaced returns what each placeholder of the files stands for.
func (w wishes) replaced() map[string][]string {
	here := w.Region + ":" + w.Account
	each := func(list []string, arn func(string) string) []string {
		var out []string
		for _, one := range list {
			out = append(out, arn(one))
		}
		return out
	}
	keys := w.Keys
	if len(keys) == 0 {
		keys = []string{"arn:aws:kms:" + here + ":key/*"}
	}
	parameters, templates := w.Parameters, w.Templates
	if parameters == nil {
		parameters = []string{"aws/service/*"}
	}
	if templates == nil {
		templates = []string{"*"}
	}
	return map[string][]string{
		"partition": {"aws"}, "account": {w.Account}, "region": {w.Region}, "external_id": {w.ExternalID},
		"trusted": w.Trusted, "keys": keys, "instance_roles": w.InstanceRoles, "group_roles": w.GroupRoles,
		"parameters": each(parameters, func(p string) string {
			owner := w.Account
			if p = strings.TrimPrefix(p, "/"); strings.HasPrefix(p, "aws/") {
				owner = "" // those that AWS publishes are in nobody's account
			}
			return "arn:aws:ssm:" + w.Region + ":" + owner + ":parameter/" + p
		}),
		"clusters":            each(w.Clusters, func(c string) string { return "arn:aws:ecs:" + here + ":cluster/" + c }),
		"container_instances": each(w.Clusters, func(c string) string { return "arn:aws:ecs:" + here + ":container-instance/" + c + "/*" }),
		"groups": each(w.ScaleOut, func(g string) string {
			return "arn:aws:autoscaling:" + here + ":autoScalingGroup:*:autoScalingGroupName/" + g
		}),
		"templates": each(templates, func(id string) string { return "arn:aws:ec2:" + here + ":launch-template/" + id }),
	}
}

// read reads a file of policies as it is.
func read(t *testing.T, name string) policy {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("policies", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var p policy
	if err := json.Unmarshal(data, &p); err != nil {
		t.Fatalf("%s.json is not JSON as it is: %v", name, err)
	}
	return p
}

// render fills a policy in as a person would, or Terraform.
func (w wishes) render(t *testing.T, name string) policy {
	t.Helper()
	p := read(t, name)
	with := w.replaced()
	var out []map[string]any
	for _, s := range p.Statement {
		filled := map[string]any{}
		for key, value := range s {
			filled[key] = fill(t, value, with)
		}
		empty := false
		for _, key := range []string{"Resource", "NotResource"} {
			if value, ok := filled[key]; ok {
				list, many := value.([]any)
				if !many {
					list = []any{value}
				}
				filled[key] = list
				empty = empty || len(list) == 0
			}
		}
		if !empty {
			out = append(out, filled)
		}
	}
	p.Statement = out
	return p
}

// fill puts values in the place of placeholders. One that stands alone in a list becomes as many items.
func fill(t *testing.T, value any, with map[string][]string) any {
	t.Helper()
	switch value := value.(type) {
	case string:
		for _, name := range slices.Sorted(maps.Keys(with)) {
			if mark := "${" + name + "}"; strings.Contains(value, mark) {
				if len(with[name]) != 1 {
					t.Fatalf("%s stands in the middle of %s, and is %d values", mark, value, len(with[name]))
				}
				value = strings.ReplaceAll(value, mark, with[name][0])
			}
		}
		if strings.Contains(value, "${") {
			t.Fatalf("%s has a placeholder that is not known", value)
		}
		return value
	case []any:
		out := []any{}
		for _, one := range value {
			text, _ := one.(string)
			if name, ok := strings.CutPrefix(text, "${"); ok && strings.HasSuffix(name, "}") && strings.Count(text, "}") == 1 {
				list, known := with[strings.TrimSuffix(name, "}")]
				if !known {
					t.Fatalf("%s is not known", text)
				}
				for _, item := range list {
					out = append(out, item)
				}
				continue
			}
			out = append(out, fill(t, one, with))
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, one := range value {
			out[key] = fill(t, one, with)
		}
		return out
	}
	return value
}

// strs returns what is one string or a list of them.
func strs(value any) []string {
	switch value := value.(type) {
	case string:
		return []string{value}
	case []any:
		var out []string
		for _, one := range value {
			text, _ := one.(string)
			out = append(out, text)
		}
		return out
	}
	return nil
}
