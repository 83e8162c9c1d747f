package gates

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// lostPrincipals finds key policies that no longer name a service-linked role. It is here and not in the
// guard of destructions, because nothing is destroyed by it, and because a yes must not help: a policy
// is replaced whole, by whoever writes it last, and what one code base drops was put there by another one,
// or by hand, for launches that it knows nothing of.
func lostPrincipals(p plan.Summary, rec *Recorder) []objection {
	var list []objection
	var rows [][]string
	for _, change := range p.Changes {
		if change.Mode == "data" || !hasKeyPolicy(change.Type) {
			continue
		}
		switch change.Action {
		case plan.Update, plan.Replace:
		case plan.Delete:
			if change.Type != "aws_kms_key_policy" {
				continue // the key itself goes, and its policy with it
			}
		case plan.NoOp, plan.Create, plan.Read, plan.Forget:
			continue
		}
		before, after, known := policies(change)
		roles := serviceRoles(before)
		switch {
		case len(roles) == 0:
			continue
		case !known:
			rec.Warnf("the new policy of %s is known only after the apply; the old one names %s, so look whether it still does", change.Address, strings.Join(roles, ", "))
			continue
		}
		kept := serviceRoles(after)
		for _, role := range roles {
			if slices.Contains(kept, role) {
				continue
			}
			rows = append(rows, []string{change.Address, role})
			list = append(list, objection{
				brief: clipped("the new key policy no longer names " + principal(role)),
				msg: fmt.Sprintf("the new policy of %s no longer names %s, which the old one lets use the key: what that role launches or opens with the key would fail; keep its statements, or give it a grant and take it out in a change of its own",
					change.Address, role),
			})
		}
	}
	if len(rows) > 0 {
		rec.Table("No longer named by a key policy", []string{"Resource", "Service-linked role"}, rows)
	}
	return list
}

func hasKeyPolicy(kind string) bool {
	switch kind {
	case "aws_kms_key", "aws_kms_key_policy", "aws_kms_external_key", "aws_kms_replica_key", "aws_kms_replica_external_key":
		return true
	}
	return false
}

// policies returns a key policy before and after a change; known is false when the new one is known only
// after the apply, or hidden because it is sensitive.
func policies(change plan.Change) (before, after string, known bool) {
	policy := func(raw json.RawMessage) string {
		var values struct {
			Policy string `json:"policy"`
		}
		_ = json.Unmarshal(raw, &values) // null, or of another shape: then there is none
		return values.Policy
	}
	var later struct {
		Policy bool `json:"policy"`
	}
	_ = json.Unmarshal(change.AfterUnknown, &later) // likewise: then nothing is unknown
	before, after = policy(change.Before), policy(change.After)
	return before, after, !later.Policy && json.Valid([]byte(before)) && (after == "" || json.Valid([]byte(after)))
}

// serviceRoles returns the ARNs of the service-linked roles to which a key policy allows something, in
// order.
func serviceRoles(text string) []string {
	policy, err := readPolicy(text)
	if err != nil {
		return nil // the caller has found it to be JSON, so it is no policy and allows nothing
	}
	var roles []string
	for _, s := range policy.Statement {
		if s.Effect != "Allow" {
			continue
		}
		for _, arn := range s.Principal {
			if strings.Contains(arn, ":role/aws-service-role/") {
				roles = append(roles, arn)
			}
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

// clipped cuts words for a headline.
func clipped(brief string) string {
	if runes := []rune(brief); len(runes) > longestBrief {
		return string(runes[:longestBrief-1]) + "…"
	}
	return brief
}
