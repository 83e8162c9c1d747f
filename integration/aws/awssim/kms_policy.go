package awssim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// policy is a key policy, read as far as it decides who may do what.
type policy struct {
	Statement []statement
}

type statement struct {
	Effect    string
	Principal principals
	Action    words
	NotAction words
	Condition map[string]map[string]words
}

// words is a text or a list of texts, as policies write them.
type words []string

// UnmarshalJSON reads either form, and true and false, which conditions also have bare.
func (w *words) UnmarshalJSON(raw []byte) error {
	var one any
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	switch v := one.(type) {
	case string:
		*w = words{v}
	case bool:
		*w = words{map[bool]string{true: "true", false: "false"}[v]}
	default:
		var list []string
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
		*w = list
	}
	return nil
}

// principals are the AWS principals that a statement is for; services are not modelled.
type principals []string

// UnmarshalJSON reads "*" and {"AWS": …}.
func (p *principals) UnmarshalJSON(raw []byte) error {
	if string(raw) == `"*"` {
		*p = principals{"*"}
		return nil
	}
	var kinds map[string]words
	if err := json.Unmarshal(raw, &kinds); err != nil {
		return err
	}
	*p = principals(kinds["AWS"])
	return nil
}

func parsePolicy(text string) (policy, error) {
	var p policy
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return policy{}, refuse("MalformedPolicyDocumentException", "The policy is not valid JSON: %v", err)
	}
	if len(p.Statement) == 0 {
		return policy{}, refuse("MalformedPolicyDocumentException", "The policy has no statement")
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" || len(s.Action)+len(s.NotAction) == 0 {
			return policy{}, refuse("MalformedPolicyDocumentException", "The policy contains a statement with one or more invalid elements")
		}
	}
	return p, nil
}

// acceptPolicy checks a policy that is to be put on a key: it must be one, name principals that exist, and
// not lock its author out.
func (c *call) acceptPolicy(text string, bypass bool) (policy, error) {
	parsed, err := parsePolicy(text)
	if err != nil {
		return policy{}, err
	}
	for _, s := range parsed.Statement {
		for _, name := range s.Principal {
			if name != "*" && !isRoot(name) && !c.exists(name) {
				return policy{}, refuse("MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals.")
			}
		}
	}
	allow, deny := parsed.judge(c.who, "PutKeyPolicy", facts{"kms:calleraccount": {c.who.Account}, "aws:principalarn": {c.who.Principal}})
	if !bypass && (deny || !allow.direct && !allow.account) {
		return policy{}, refuse("MalformedPolicyDocumentException", "The new key policy will not allow you to update the key policy in the future.")
	}
	return parsed, nil
}

// isRoot reports whether a principal stands for a whole account.
func isRoot(principal string) bool {
	return strings.HasSuffix(principal, ":root") || len(principal) == 12 && !strings.Contains(principal, ":")
}

// rootOf returns the account that a principal like arn:aws:iam::111111111111:root stands for.
func rootOf(principal string) string {
	if account := accountOf(principal); account != "" {
		return account
	}
	return principal
}

// allowance says by which way a policy allows: naming the principal, or leaving it to its account's IAM.
type allowance struct{ direct, account bool }

// judge reports what p says of who doing action on the key.
func (p policy) judge(who identity, action string, f facts) (allow allowance, deny bool) {
	for _, s := range p.Statement {
		if !s.covers("kms:" + action) {
			continue
		}
		direct := slices.Contains(s.Principal, "*") || slices.Contains(s.Principal, who.Principal) || slices.Contains(s.Principal, who.ARN)
		account := slices.ContainsFunc(s.Principal, func(name string) bool { return isRoot(name) && rootOf(name) == who.Account })
		if !direct && !account {
			continue
		}
		holds := s.holds(f)
		switch {
		case s.Effect == "Deny" && holds:
			return allowance{}, true
		case s.Effect == "Allow" && holds:
			allow.direct = allow.direct || direct
			allow.account = allow.account || account
		}
	}
	return allow, false
}

// covers reports whether the statement speaks of a permission.
func (s statement) covers(perm string) bool {
	named := func(list words) bool {
		return slices.ContainsFunc(list, func(a string) bool { return wild(strings.ToLower(a), strings.ToLower(perm)) })
	}
	if len(s.NotAction) > 0 {
		return !named(s.NotAction)
	}
	return named(s.Action)
}

// holds reports whether every condition is met. One with an operator that the simulator does not know is
// not met.
func (s statement) holds(f facts) bool {
	for operator, tests := range s.Condition {
		for name, want := range tests {
			if !readCondition(operator, name, want).holds(f) {
				return false
			}
		}
	}
	return true
}

func getKeyPolicy(c *call, key *kmsKey) (any, error) {
	var in struct{ PolicyName string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if in.PolicyName != "" && in.PolicyName != "default" {
		return nil, refuse("NotFoundException", "No such policy exists")
	}
	return map[string]any{"Policy": key.policies[len(key.policies)-1].text, "PolicyName": "default"}, nil
}

func putKeyPolicy(c *call, key *kmsKey) (any, error) {
	var in struct {
		Policy                         string
		BypassPolicyLockoutSafetyCheck bool
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	parsed, err := c.acceptPolicy(in.Policy, in.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	key.policies = append(key.policies, keyPolicy{text: in.Policy, parsed: parsed, from: c.now})
	return nil, nil //nolint:nilnil // KMS answers nothing
}

// enforcedPolicies returns the versions that decide at now: what a version takes away is still allowed,
// and what it adds not yet, until the delay is over. Some of the service has the old one, some the new.
func (w *world) enforcedPolicies(key *kmsKey, now time.Time) (allows, forbids policy) {
	older, newest := key.policies[0], key.policies[0]
	for _, v := range key.policies[1:] {
		if !now.Before(v.from.Add(w.cfg.Timing.RevokeDelay)) {
			older = v
		}
		if !now.Before(v.from.Add(w.cfg.Timing.GrantDelay)) {
			newest = v
		}
	}
	// Additions count from the newest that is in force; what is still allowed comes from the older.
	return policy{Statement: slices.Concat(allowing(older.parsed), allowing(newest.parsed))}, older.parsed
}

func allowing(p policy) []statement {
	var out []statement
	for _, s := range p.Statement {
		if s.Effect == "Allow" {
			out = append(out, s)
		}
	}
	return out
}
