package gates

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// GuardSettings are the settings of a destroy-guard gate. Globs over types are as of [path.Match], such as
// "aws_kms_*". In globs over addresses * stands for any characters, dots and brackets included, and ? for
// one; everything else stands for itself, so that an address with an index can be written as it is:
// aws_kms_grant.asg["eu"]. One without indexes, such as module.kms.aws_kms_grant.asg, means every
// instance of the resource in every instance of its modules. Where either may stand, what has a dot in it
// is over addresses.
type GuardSettings struct {
	Types []string // empty: GuardedTypes
	Also  []string // on top of Types
	// Addresses are globs over addresses of resources that are guarded whatever their type.
	Addresses []string
	// Refuse are globs over types or addresses of which nothing may be destroyed or replaced at all: nobody
	// is asked for a yes.
	Refuse []string
	// Allow is what may be destroyed without a yes. What is under Refuse too may not.
	Allow []Allowance
}

// Allowance lets resources be destroyed or replaced until a day, for a reason.
type Allowance struct {
	Match  string // glob over types or addresses
	Reason string
	Until  time.Time // from then on it counts no longer
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
func (s GuardSettings) Bind(gate *Gate, deps Deps) error {
	if len(s.Types) == 0 {
		s.Types = GuardedTypes()
	}
	g := guard{GuardSettings: s, types: slices.Concat(s.Types, s.Also), clock: deps.Clock}
	if g.clock == nil {
		g.clock = upgrade.SystemClock{}
	}
	globs := slices.Concat(g.types, s.Refuse)
	for _, allowance := range s.Allow {
		globs = append(globs, allowance.Match)
	}
	for _, glob := range globs {
		if _, err := path.Match(glob, ""); err != nil && !strings.Contains(glob, ".") {
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q is not a glob", glob), Cause: err}
		}
	}
	gate.Check = g.check
	return nil
}

type guard struct {
	GuardSettings
	types []string
	clock upgrade.Clock
}

// weighed is what a plan destroys and replaces, by what the guard says to it.
type weighed struct {
	refused, guarded, free []*plan.Change
	allowed                []*plan.Change
	by                     []Allowance // of allowed
	expired                []Allowance // that would have allowed one of guarded
}

func (g guard) weigh(p plan.Summary) weighed {
	var w weighed
	now, known := g.clock.Now(), map[string]bool{}
	for i := range p.Changes {
		change := &p.Changes[i]
		if !destroys(change) {
			continue
		}
		switch at := slices.IndexFunc(g.Allow, func(a Allowance) bool { return now.Before(a.Until) && matches(a.Match, change) }); {
		case slices.ContainsFunc(g.Refuse, func(glob string) bool { return matches(glob, change) }):
			w.refused = append(w.refused, change)
		case !g.guards(change, known):
			w.free = append(w.free, change)
		case at >= 0:
			w.allowed, w.by = append(w.allowed, change), append(w.by, g.Allow[at])
		default:
			w.guarded = append(w.guarded, change)
			for _, a := range g.Allow {
				if matches(a.Match, change) && !slices.Contains(w.expired, a) {
					w.expired = append(w.expired, a)
				}
			}
		}
	}
	return w
}

func (g guard) check(_ context.Context, in Input, rec *Recorder) error {
	if err := judgeable(in); err != nil {
		return err
	}
	w := g.weigh(in.Plan)
	w.record(rec, in.Plan)
	for _, a := range w.expired {
		rec.Warnf("the allowance for %s ended on %s, so it no longer counts: %s", a.Match, day(a.Until), a.Reason)
	}
	switch {
	case len(w.refused) > 0:
		return FailBrief(lossBrief(w.refused, "resource", "may not be"), "the plan would destroy or replace %s which the configuration refuses to lose, whoever agrees: %s",
			counted(len(w.refused), "resource"), lossList(w.refused))
	case len(w.guarded) == 0:
		rec.Passed("%s", w.passed())
		return nil
	}
	if yes, ok := in.Run.AgreedTo(in.Run.Plan.ChangeDigest); ok {
		rec.Passed("%s agreed to this change at %s: %s", yes.By, yes.At.UTC().Format("15:04 MST"), yes.Reason)
		return nil
	}
	return AskYes(lossBrief(w.guarded, "guarded resource", "would be"), "the plan would destroy or replace %s under guard: %s%s",
		counted(len(w.guarded), "resource"), lossList(w.guarded), w.ended())
}

// guards reports whether a resource is under guard. Forgetting is not destroying: the resource lives on,
// and whether somebody else owns it is another gate's question. Types are looked up in known first, which
// it fills: plans have many resources of few types.
func (g guard) guards(change *plan.Change, known map[string]bool) bool {
	under, ok := known[change.Type]
	if !ok {
		under = slices.ContainsFunc(g.types, func(glob string) bool {
			ok, err := path.Match(glob, change.Type)
			return ok && err == nil
		})
		known[change.Type] = under
	}
	return under || slices.ContainsFunc(g.Addresses, func(glob string) bool { return matchesAddress(glob, change) })
}

// matches reports whether a glob over types or addresses means the resource.
func matches(glob string, change *plan.Change) bool {
	if strings.Contains(glob, ".") {
		return matchesAddress(glob, change)
	}
	ok, err := path.Match(glob, change.Type)
	return ok && err == nil
}

// matchesAddress reports whether a glob means the resource by its address, with or without indexes. A
// resource that moves on the way is meant by its old address too.
func matchesAddress(glob string, change *plan.Change) bool {
	for _, address := range []string{change.Address, change.PreviousAddress} {
		if address != "" && (globbed(glob, address) || globbed(glob, withoutIndexes(address))) {
			return true
		}
	}
	return false
}

// withoutIndexes takes the keys of count and for_each out of an address: module.a["x.y"].aws_b.c[0] is
// module.a.aws_b.c. In a key a quote is escaped with a backslash.
func withoutIndexes(address string) string {
	var b strings.Builder
	inKey, inText := false, false
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case inText && c == '\\':
			i++
		case inKey && c == '"':
			inText = !inText
		case inText:
		case c == '[':
			inKey = true
		case c == ']':
			inKey = false
		case !inKey:
			b.WriteByte(c)
		}
	}
	return b.String()
}
