package gates

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// maxPolicy is how long a key policy may be, in bytes. KMS takes 32 KiB.
const maxPolicy = 64 << 10

// tri is an answer that may be missing.
type tri int

const (
	no tri = iota
	unclear
	yes
)

// keyPolicy is a key policy, read as far as it decides what a role may do with the key. The form is that of
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html.
type keyPolicy struct {
	Statement statements
}

// statements are one statement or a list of them.
type statements []statement

// UnmarshalJSON reads either form.
func (s *statements) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '{' {
		*s = make(statements, 1)
		return json.Unmarshal(raw, &(*s)[0])
	}
	return json.Unmarshal(raw, (*[]statement)(s))
}

type statement struct {
	Sid          string
	Effect       string
	Principal    principals
	NotPrincipal principals
	Action       texts
	NotAction    texts
	Resource     texts
	NotResource  texts
	Condition    map[string]map[string]texts
}

// texts are a text or a list of texts. Conditions also have numbers and truth values.
type texts []string

// UnmarshalJSON reads either form.
func (t *texts) UnmarshalJSON(raw []byte) error {
	var many []json.RawMessage
	if len(raw) == 0 || raw[0] != '[' {
		many = []json.RawMessage{raw}
	} else if err := json.Unmarshal(raw, &many); err != nil {
		return err
	}
	*t = nil
	for _, one := range many {
		text := string(one)
		if len(one) > 0 && one[0] == '"' {
			if err := json.Unmarshal(one, &text); err != nil {
				return err
			}
		}
		*t = append(*t, text)
	}
	return nil
}

// principals are the AWS principals of a statement; "*" is everybody. Services and identity providers are
// never the role that launches.
type principals []string

// UnmarshalJSON reads "*" and {"AWS": …}.
func (p *principals) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		var text texts
		err := json.Unmarshal(raw, &text)
		*p = principals(text)
		return err
	}
	var kinds map[string]texts
	if err := json.Unmarshal(raw, &kinds); err != nil {
		return err
	}
	*p = append(principals{}, kinds["AWS"]...)
	return nil
}

// readPolicy reads a key policy. Error: CodeInvalid for what is none.
func readPolicy(text string) (keyPolicy, error) {
	var p keyPolicy
	if len(text) > maxPolicy {
		return p, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the key policy is longer than KMS allows"}
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the key policy cannot be read", Cause: err}
	}
	return p, nil
}

// caller is who asks KMS for something, and what is known of the request.
type caller struct {
	role    string // ARN
	account string // of the role
	ec2     string // service through which it asks, such as ec2.eu-west-2.amazonaws.com; "": not known
}

// ruling is what a key policy says of one operation.
type ruling struct {
	allow, deny tri
	by          string // Sid of the statement that decided, or that is unclear
	condition   string // key of the condition that could not be judged
}

// rules judges an operation such as "Decrypt". Only statements for the role itself, or for everybody,
// allow: one for its account leaves it to IAM, and the managed policy of a service-linked role gives no
// rights on keys. A denial of the account is one of its roles too.
func (p keyPolicy) rules(who caller, keyARN, op string) ruling {
	var out ruling
	for i, s := range p.Statement {
		if !s.covers(op, keyARN) {
			continue
		}
		applies, condition := s.concerns(who), ""
		if applies != no {
			held, doubt := s.holds(who.facts(op))
			applies, condition = min(applies, held), doubt
		}
		name := s.Sid
		if name == "" {
			name = "number " + strconv.Itoa(i+1)
		}
		switch {
		case s.Effect == "Deny" && applies > out.deny:
			out.deny, out.by, out.condition = applies, name, condition
		case s.Effect == "Allow" && applies > out.allow:
			out.allow = applies
			if out.deny == no {
				out.by, out.condition = name, condition
			}
		}
	}
	return out
}

// covers reports whether a statement speaks of the operation on the key. One without an action or a
// resource has no effect: https://docs.aws.amazon.com/kms/latest/APIReference/API_PutKeyPolicy.html.
func (s statement) covers(op, keyARN string) bool {
	names := func(list texts, what string) bool {
		return slices.ContainsFunc(list, func(glob string) bool { return globbed(strings.ToLower(glob), strings.ToLower(what)) })
	}
	action := names(s.Action, "kms:"+op)
	if len(s.NotAction) > 0 {
		action = !names(s.NotAction, "kms:"+op)
	}
	resource := names(s.Resource, keyARN)
	if len(s.NotResource) > 0 {
		resource = !names(s.NotResource, keyARN)
	}
	return action && resource
}

// concerns reports whether the statement is about who asks.
func (s statement) concerns(who caller) tri {
	role := func(list principals) bool { return slices.Contains(list, who.role) }
	account := func(list principals) bool {
		return slices.ContainsFunc(list, func(name string) bool {
			return name == who.account || strings.HasSuffix(name, ":iam::"+who.account+":root")
		})
	}
	if s.NotPrincipal != nil {
		switch {
		case role(s.NotPrincipal) || slices.Contains(s.NotPrincipal, "*"):
			return no
		case account(s.NotPrincipal) || s.Effect == "Allow":
			return unclear
		}
		return yes
	}
	if role(s.Principal) || slices.Contains(s.Principal, "*") || s.Effect == "Deny" && account(s.Principal) {
		return yes
	}
	return no
}

// facts are the condition keys of which the value is known when the caller asks for the operation; "" means
// that the request has none.
func (who caller) facts(op string) map[string]string {
	facts := map[string]string{
		"aws:principalarn": who.role, "aws:principalaccount": who.account, "kms:calleraccount": who.account,
	}
	if who.ec2 != "" {
		facts["kms:viaservice"], facts["kms:grantisforawsresource"] = who.ec2, ""
		if op == "CreateGrant" {
			facts["kms:grantisforawsresource"] = "true" // EC2 makes a grant for the volume
		}
	}
	return facts
}

// holds reports whether all conditions are met, and names the key of one that cannot be judged.
func (s statement) holds(facts map[string]string) (held tri, doubt string) {
	held = yes
	for operator, tests := range s.Condition {
		for key, want := range tests {
			value, known := facts[strings.ToLower(key)]
			met := unclear
			if known {
				met = compare(operator, want, value)
			}
			if met == unclear && (doubt == "" || key < doubt) { // the same one each time
				doubt = key
			}
			held = min(held, met)
		}
	}
	if held != unclear {
		return held, ""
	}
	return held, doubt
}

// compare judges one condition. A value "" is a key that the request does not have.
func compare(operator string, want texts, value string) tri {
	operator = strings.ToLower(operator)
	if operator == "null" {
		return truth(slices.Contains(want, "true") == (value == ""))
	}
	base, optional := strings.CutSuffix(operator, "ifexists")
	positive := strings.Replace(base, "not", "", 1)
	var match func(want string) bool
	switch positive {
	case "stringequals":
		match = func(want string) bool { return want == value }
	case "stringequalsignorecase", "bool":
		match = func(want string) bool { return strings.EqualFold(want, value) }
	case "stringlike", "arnlike", "arnequals":
		match = func(want string) bool { return globbed(want, value) }
	default:
		return unclear // ForAllValues and others
	}
	negated := positive != base
	switch {
	case slices.ContainsFunc(want, func(w string) bool { return strings.Contains(w, "${") }):
		return unclear // a policy variable
	case value == "":
		return truth(optional || negated)
	}
	return truth(slices.ContainsFunc(want, match) != negated)
}

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}

// globbed reports whether text matches a pattern in which * stands for any characters and ? for one.
func globbed(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0: // let the last star take one character more
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
