package plan

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// Object is a thing in the world outside, as a state or a plan names it. Two objects are the same thing if
// type and key are equal and neither account nor region tells them apart.
type Object struct {
	Type    string // of the resource, such as aws_kms_grant; of types for one thing always the same: aws_lb, not aws_alb
	Key     string // what identifies it for real: for a grant its grant_id, else its ARN, else its id
	Account string // twelve digits; "" when it cannot be told
	Region  string // "" when it cannot be told, or when the thing has none
	Address string // in the configuration
}

// Same reports whether both are the same thing, as far as can be told: what is not known of account and
// region may be equal.
func (o Object) Same(other Object) bool {
	return o.Type == other.Type && o.Key != "" && o.Key == other.Key && mayEqual(o.Account, other.Account) && mayEqual(o.Region, other.Region)
}

func mayEqual(a, b string) bool { return a == "" || b == "" || a == b }

// unique are the forms of keys that are given once in the world: ARNs, ids that AWS makes up (the
// longer ones have 17 digits, old ones 8), UUIDs, paths of Azure and Google.
var unique = regexp.MustCompile(`^(arn:|[a-z][a-z0-9-]*-[0-9a-f]{8}(?:[0-9a-f]{9})?$|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$|/subscriptions/|projects/|https://)`)

// Unique reports whether the key alone tells the thing from every other of its type. Without that, two
// things of one key, such as the namespace "web" of two clusters, may be different ones.
func (o Object) Unique() bool { return o.Type == "aws_kms_grant" || unique.MatchString(o.Key) }

// ObjectOf returns what a change of a managed resource is done to, from the values before it. The key is
// "" when there was nothing before, when the values do not say which thing it is, or when it is nothing
// outside of Terraform.
func ObjectOf(change Change) Object {
	address := change.Address
	if change.Deposed != "" {
		address += " (deposed " + change.Deposed + ")"
	}
	return objectOf(change.Type, address, textsOf(change.Before))
}

// objectOf finds out which thing a resource with these attributes is.
func objectOf(kind, address string, values map[string]string) Object {
	o := Object{Type: kind, Address: address}
	provider, _, _ := strings.Cut(kind, "_")
	switch provider {
	case "random", "null", "time", "local", "tls", "terraform", "archive", "template", "cloudinit", "external":
		return o // nothing outside: the same id in two states means nothing
	}
	for _, name := range []string{"arn", "key_id", "id"} {
		if arn, ok := strings.CutPrefix(values[name], "arn:"); ok && o.Account == "" {
			if parts := strings.SplitN(arn, ":", 5); len(parts) == 5 && (name != "arn" || !foreignARN(kind)) {
				o.Region, o.Account = parts[2], account(parts[3])
			}
		}
	}
	parts := identity(kind)
	if len(parts) > 0 && values[parts[0]] != "" {
		words := make([]string, len(parts))
		for i, name := range parts {
			words[i] = values[name]
		}
		o.Key = strings.TrimSpace(strings.Join(words, " "))
	}
	if o.Key != "" && strings.HasPrefix(o.Key, "sgr-") {
		o.Type = "aws_security_group_rule" // aws_vpc_security_group_ingress_rule manages the same things
	}
	if rest, ok := strings.CutPrefix(kind, "aws_alb"); ok {
		o.Type = "aws_lb" + rest
	}
	switch {
	case o.Key != "":
	case strings.HasPrefix(values["arn"], "arn:") && !foreignARN(kind):
		o.Key = values["arn"]
	default:
		o.Key = values["id"]
	}
	return o
}

func account(s string) string {
	if len(s) != 12 || strings.Trim(s, "0123456789") != "" {
		return "" // "aws" owns the managed policies
	}
	return s
}

// foreignARN reports whether the type's attribute arn is another thing's.
func foreignARN(kind string) bool {
	return kind == "aws_cloudwatch_event_target" || kind == "aws_secretsmanager_secret_version"
}

// identity returns the attributes that together identify a resource whose arn or id does not: ids that the
// provider makes up at random when it creates the resource, or that are names within something else.
func identity(kind string) []string {
	switch kind {
	case "aws_kms_grant": // its id has the key before it, by id in one state and by ARN in another
		return []string{"grant_id"}
	case "aws_security_group_rule", "aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule":
		return []string{"security_group_rule_id"} // not there when one resource stands for several rules
	case "aws_iam_role_policy_attachment":
		return []string{"role", "policy_arn"}
	case "aws_iam_user_policy_attachment":
		return []string{"user", "policy_arn"}
	case "aws_iam_group_policy_attachment":
		return []string{"group", "policy_arn"}
	case "aws_autoscaling_attachment":
		return []string{"autoscaling_group_name", "lb_target_group_arn", "alb_target_group_arn", "elb"}
	case "aws_autoscaling_lifecycle_hook":
		return []string{"autoscaling_group_name", "name"}
	case "aws_lb_target_group_attachment", "aws_alb_target_group_attachment":
		return []string{"target_group_arn", "target_id", "port"}
	case "aws_appautoscaling_target":
		return []string{"resource_id", "service_namespace", "scalable_dimension"}
	case "aws_cloudwatch_event_target":
		return []string{"rule", "event_bus_name", "target_id"}
	case "aws_cloudwatch_log_metric_filter":
		return []string{"log_group_name", "name"}
	case "aws_lambda_permission":
		return []string{"function_name", "qualifier", "statement_id"}
	case "aws_s3_object", "aws_s3_bucket_object":
		return []string{"bucket", "key"}
	}
	return nil
}

// Identity returns of the values before the change only those that ObjectOf looks at; null if there were none.
func Identity(change Change) json.RawMessage {
	parts := identity(change.Type)
	return Only(change.Before, func(name string) bool {
		return name == "arn" || name == "id" || name == "key_id" || slices.Contains(parts, name)
	})
}

// identifying reports whether an attribute may be part of what tells things apart. Nothing else of a state
// is ever kept.
func identifying(name string) bool {
	switch name {
	case "arn", "id", "grant_id", "key_id", "security_group_rule_id", "role", "user", "group", "policy_arn",
		"autoscaling_group_name", "lb_target_group_arn", "alb_target_group_arn", "elb", "name", "target_group_arn",
		"target_id", "port", "resource_id", "service_namespace", "scalable_dimension", "rule", "event_bus_name",
		"log_group_name", "function_name", "qualifier", "statement_id", "bucket", "key":
		return true
	}
	return false
}

// textsOf returns the identifying attributes of an object that are text or numbers, without what is
// hidden because it is sensitive.
func textsOf(raw json.RawMessage) map[string]string {
	parts, ok := partsOf(raw, make([]part, 0, 8))
	if !ok {
		return nil
	}
	texts := map[string]string{}
	for _, p := range parts {
		if !identifying(string(p.name)) {
			continue
		}
		if text := textOf(p.value); text != "" && text != hidden {
			texts[string(p.name)] = text
		}
	}
	return texts
}

// textOf returns a JSON string, or a number as it is written; "" for anything else.
func textOf(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return ""
	}
	switch b := raw[0]; {
	case b == '"':
		text, _ := unquoted(raw)
		return text
	case b == '-' || b >= '0' && b <= '9':
		return string(raw)
	}
	return ""
}
