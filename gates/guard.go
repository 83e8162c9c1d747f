package gates

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// GuardSettings are the settings of a destroy-guard gate. Types are globs as of [path.Match] over types
// of resources, such as "aws_kms_*".
type GuardSettings struct {
	Types []string // empty: GuardedTypes
	Also  []string // on top of Types
	// Addresses are globs over addresses of resources that are guarded whatever their type.
	Addresses []string
	// Refuse are globs over types or addresses of which nothing may be destroyed or replaced at all: nobody
	// is asked for a yes.
	Refuse []string
	// Allow is what may be destroyed without a yes.
	Allow []Allowance
}

// Allowance lets resources be destroyed or replaced until a day, for a reason.
type Allowance struct {
	Match  string // glob over types or addresses
	Reason string
	Until  time.Time
}

// GuardedTypes lists the types whose destruction people have regretted: grants, keys and their policies,
// IAM, security groups and rules, routes, load balancers, Auto Scaling groups, databases, DNS.
func GuardedTypes() []string {
	return []string{
		"aws_kms_*", "aws_iam_*",
		"aws_security_group", "aws_security_group_rule", "aws_default_security_group", "aws_vpc_security_group_*",
		"aws_network_acl", "aws_network_acl_*", "aws_default_network_acl",
		"aws_route", "aws_route_table", "aws_route_table_association", "aws_main_route_table_association", "aws_default_route_table",
		"aws_ec2_transit_gateway_route*", "aws_vpn_connection_route", "aws_vpn_gateway_route_propagation",
		"aws_internet_gateway", "aws_internet_gateway_attachment", "aws_egress_only_internet_gateway", "aws_nat_gateway",
		"aws_lb", "aws_lb_*", "aws_alb", "aws_alb_*", "aws_elb", "aws_elb_*", "aws_load_balancer_*",
		"aws_autoscaling_group", "aws_autoscaling_attachment", "aws_autoscaling_traffic_source_attachment",
		"aws_db_instance", "aws_db_proxy*", "aws_db_subnet_group", "aws_rds_*", "aws_docdb_*", "aws_neptune_*",
		"aws_dynamodb_table", "aws_dynamodb_global_table", "aws_dax_cluster", "aws_keyspaces_*", "aws_memorydb_*", "aws_elasticache_*",
		"aws_redshift_cluster", "aws_redshiftserverless_*", "aws_opensearch_domain", "aws_elasticsearch_domain", "aws_timestreamwrite_*",
		"aws_route53_*", "aws_service_discovery_*",
	}
}

// listed is how many resources a sentence names at most.
const listed = 5

// longestBrief is how long the words for a headline may be, in characters.
const longestBrief = 80

// Kind returns "destroy-guard".
func (GuardSettings) Kind() string { return KindGuard }

// Bind gives the gate its check: the plan destroys and replaces nothing of the guarded types, or a
// release manager agreed to exactly this change. Error: CodeInvalid for a glob that is none.
func (s GuardSettings) Bind(gate *Gate, _ Deps) error {
	if len(s.Types) == 0 {
		s.Types = GuardedTypes()
	}
	g := guard{types: slices.Concat(s.Types, s.Also)}
	for _, glob := range g.types {
		if _, err := path.Match(glob, ""); err != nil {
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q is not a glob", glob), Cause: err}
		}
	}
	gate.Check = g.check
	return nil
}

type guard struct{ types []string }

func (g guard) check(_ context.Context, in Input, rec *Recorder) error {
	if err := readable(in.Plan); err != nil {
		return err
	}
	digest := in.Run.Plan.ChangeDigest
	if in.Plan.Digest != "" && digest != "" && in.Plan.Digest != digest {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "the plan that was read is not the one that would be applied",
			Hint: "start the run again",
		}
	}
	var lost []plan.Change
	for _, change := range in.Plan.Changes {
		if g.guards(change) {
			lost = append(lost, change)
		}
	}
	rec.Fact("Changes in the plan", "%d", len(in.Plan.Changes))
	rec.Fact("Of them destroyed or replaced under guard", "%d", len(lost))
	if len(lost) == 0 {
		rec.Passed("the plan destroys and replaces nothing that is guarded")
		return nil
	}
	rec.Table("Destroyed or replaced", []string{"Resource", "What happens", "Why"}, lossRows(lost))
	if yes, ok := in.Run.AgreedTo(digest); ok {
		rec.Passed("%s agreed to this change at %s: %s", yes.By, yes.At.UTC().Format("15:04 MST"), yes.Reason)
		return nil
	}
	return AskYes(lossBrief(lost), "the plan would destroy or replace %s of a guarded type: %s", counted(len(lost), "resource"), lossList(lost))
}

// guards reports whether the plan takes something from under guard away. Forgetting is not destroying:
// the resource lives on, and whether somebody else owns it is another gate's question.
func (g guard) guards(change plan.Change) bool {
	if change.Mode == "data" || change.Action != plan.Delete && change.Action != plan.Replace {
		return false
	}
	return slices.ContainsFunc(g.types, func(glob string) bool {
		ok, err := path.Match(glob, change.Type)
		return ok && err == nil
	})
}

// readable returns why a plan cannot be judged; nil if it can.
func readable(p plan.Summary) error {
	switch {
	case p.Header == plan.Header{}:
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "there is no plan to look at", Hint: "this gate is asked while a run is judged"}
	case p.Header.Errored:
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "planning ended with an error, so the plan is not complete",
			Hint: "read the plan's log, and make a new plan",
		}
	}
	return nil
}

// what says what happens to a resource.
func what(change plan.Change) string {
	switch change.Action {
	case plan.Delete:
		if change.Deposed != "" {
			return "its replaced object " + change.Deposed + " is destroyed"
		}
		return "destroyed"
	case plan.Replace:
		if change.CreateFirst {
			return "replaced, the new one first"
		}
		return "replaced, the old one destroyed first"
	case plan.Create:
		return "created"
	case plan.Update:
		return "updated in place"
	case plan.Forget:
		return "forgotten"
	case plan.Read, plan.NoOp:
	}
	return string(change.Action)
}

func lossRows(lost []plan.Change) [][]string {
	rows := make([][]string, len(lost))
	for i, change := range lost {
		rows[i] = []string{change.Address, what(change), why(change)}
	}
	return rows
}

// lossBrief says it for a headline: with the first address if there is room, else by itself.
func lossBrief(lost []plan.Change) string {
	replaced := 0
	for _, change := range lost {
		if change.Action == plan.Replace {
			replaced++
		}
	}
	verb := "destroyed or replaced"
	switch replaced {
	case 0:
		verb = "destroyed"
	case len(lost):
		verb = "replaced"
	}
	brief := fmt.Sprintf("%s would be %s", counted(len(lost), "guarded resource"), verb)
	for _, name := range []string{lost[0].Address, withoutModule(lost[0])} {
		with := brief + ": " + name
		if len(lost) > 1 {
			with += " …"
		}
		if len([]rune(with)) <= longestBrief {
			return with
		}
	}
	return brief
}

// withoutModule returns the type and name of a resource, for where there is no room for its address.
func withoutModule(change plan.Change) string {
	if change.Type == "" || change.Name == "" {
		return change.Address
	}
	return change.Type + "." + change.Name
}

func lossList(lost []plan.Change) string {
	words := make([]string, 0, listed)
	for _, change := range lost[:min(len(lost), listed)] {
		words = append(words, fmt.Sprintf("%s (%s)", change.Address, what(change)))
	}
	return andMore(words, len(lost))
}

// andMore joins words, of which there would be n.
func andMore(words []string, n int) string {
	list := strings.Join(words, ", ")
	if more := n - len(words); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// counted returns "1 resource" or "2 resources".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// why says why Terraform does it: its action_reason in words, else the attributes that force it. The
// reasons are those of https://developer.hashicorp.com/terraform/internals/json-format.
func why(change plan.Change) string {
	reasons := map[string]string{
		"replace_because_tainted":           "it is marked as tainted",
		"replace_because_cannot_update":     "it cannot be changed in place",
		"replace_by_request":                "somebody asked for it",
		"replace_by_triggers":               "replace_triggered_by says so",
		"delete_because_no_resource_config": "it is gone from the configuration",
		"delete_because_no_module":          "its module is gone from the configuration",
		"delete_because_wrong_repetition":   "count or for_each was added or removed",
		"delete_because_count_index":        "count is smaller now",
		"delete_because_each_key":           "its key is gone from for_each",
		"delete_because_enabled_false":      "it is switched off",
		"delete_because_no_move_target":     "it was moved to what is not there",
	}
	reason, known := reasons[change.Reason]
	if !known {
		reason = strings.ReplaceAll(change.Reason, "_", " ")
	}
	if forced := attributes(change.ReplacePaths); forced != "" {
		reason = strings.TrimPrefix(reason+": "+forced, ": ")
	}
	if change.Deposed != "" && reason == "" {
		reason = "left over from a replacement that did not end"
	}
	return reason
}

// attributes writes Terraform's replace_paths, a list of lists of names and indexes, as people write
// attributes: "engine, ingress[0].from_port".
func attributes(raw json.RawMessage) string {
	var paths [][]any
	if json.Unmarshal(raw, &paths) != nil {
		return "" // null, or a form that is not known: the table does without
	}
	words := make([]string, 0, len(paths))
	for _, steps := range paths {
		var b strings.Builder
		for _, step := range steps {
			switch step := step.(type) {
			case string:
				if b.Len() > 0 {
					b.WriteByte('.')
				}
				b.WriteString(step)
			case float64:
				b.WriteString("[" + strconv.FormatFloat(step, 'f', -1, 64) + "]")
			}
		}
		if b.Len() > 0 {
			words = append(words, b.String())
		}
	}
	return andMore(words[:min(len(words), listed)], len(words))
}
