package awssim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// access is one thing that a request needs to be allowed: an action on a resource, with the facts that
// conditions may ask about.
type access struct {
	perm     string // such as "ec2:RunInstances"
	resource string // ARN; "*" where the action has no type of resource
	facts    facts
}

// verdict is what policies say of an access.
type verdict int

const (
	unsaid verdict = iota // no policy allows it
	allowed
	forbidden // a policy denies it, whatever others allow
)

// identityPolicy is a policy of a user or role.
type identityPolicy []identityStatement

type identityStatement struct {
	deny                   bool
	actions, resources     words
	butActions, butSources bool // NotAction, NotResource
	conditions             []condition
}

// rawStatement is one as it is written. Principals belong into the policies of resources.
type rawStatement struct {
	Sid, Effect           string
	Action, NotAction     words
	Resource, NotResource words
	Condition             map[string]map[string]words
}

// strictly decodes JSON that may not have fields which into does not know.
func strictly(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("there is more after the end")
	}
	return nil
}

// parseIdentityPolicy reads a policy of a user or role. What the simulator would have to ignore, it refuses.
func parseIdentityPolicy(text string) (identityPolicy, error) {
	var doc struct {
		Version, ID string
		Statement   json.RawMessage
	}
	if err := strictly([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("read the policy: %w", err)
	}
	if doc.Version != "2012-10-17" {
		return nil, fmt.Errorf("the policy's version is %q, not 2012-10-17", doc.Version)
	}
	var raw []rawStatement
	if one := bytes.TrimSpace(doc.Statement); len(one) > 0 && one[0] == '{' {
		raw = make([]rawStatement, 1)
		if err := strictly(one, &raw[0]); err != nil {
			return nil, fmt.Errorf("read the statement: %w", err)
		}
	} else if err := strictly(doc.Statement, &raw); err != nil {
		return nil, fmt.Errorf("read the statements: %w", err)
	}
	if len(raw) == 0 {
		return nil, fmt.Errorf("the policy has no statement")
	}
	var out identityPolicy
	for n, r := range raw {
		s, err := r.parse()
		if err != nil {
			return nil, fmt.Errorf("statement %d %s: %w", n+1, r.Sid, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func (r rawStatement) parse() (identityStatement, error) {
	s := identityStatement{
		deny: r.Effect == "Deny", actions: slices.Concat(r.Action, r.NotAction), butActions: len(r.NotAction) > 0,
		resources: slices.Concat(r.Resource, r.NotResource), butSources: len(r.NotResource) > 0,
	}
	switch {
	case r.Effect != "Allow" && r.Effect != "Deny":
		return s, fmt.Errorf("the effect is %q, not Allow or Deny", r.Effect)
	case (len(r.Action) > 0) == (len(r.NotAction) > 0):
		return s, fmt.Errorf("it must have Action or NotAction")
	case (len(r.Resource) > 0) == (len(r.NotResource) > 0):
		return s, fmt.Errorf("it must have Resource or NotResource")
	}
	for _, a := range s.actions {
		if service, name, ok := strings.Cut(a, ":"); a != "*" && (!ok || service == "" || name == "" || strings.ContainsAny(service, "*? ")) {
			return s, fmt.Errorf("%q is no action such as ec2:RunInstances", a)
		}
	}
	for _, arn := range s.resources {
		if arn != "*" && strings.Count(arn, ":") < 5 {
			return s, fmt.Errorf("%q is no ARN", arn)
		}
		if strings.Contains(arn, "${") {
			return s, fmt.Errorf("%q: policy variables are not simulated", arn)
		}
	}
	var err error
	s.conditions, err = parseConditions(r.Condition)
	return s, err
}

// covers reports whether the statement is about an access.
func (s identityStatement) covers(a access) bool {
	action := slices.ContainsFunc(s.actions, func(p string) bool { return wild(strings.ToLower(p), strings.ToLower(a.perm)) })
	resource := slices.ContainsFunc(s.resources, func(p string) bool { return p == "*" || a.resource != "*" && wild(p, a.resource) })
	return action != s.butActions && resource != s.butSources &&
		!slices.ContainsFunc(s.conditions, func(c condition) bool { return !c.holds(a.facts) })
}

// judge reports what a principal's policies say. One without policies may do everything.
func (w *world) judge(who identity, a access) verdict {
	service, action, _ := strings.Cut(a.perm, ":")
	if w.denied(who, service, action) {
		return unsaid
	}
	policies := w.policies[who.Principal]
	if len(policies) == 0 {
		return allowed
	}
	a.facts = a.facts.with(facts{
		"aws:principalarn": {who.Principal}, "aws:principalaccount": {who.Account}, "aws:userid": {who.UserID},
	})
	said := unsaid
	for _, p := range policies {
		for _, s := range p {
			switch {
			case !s.covers(a):
			case s.deny:
				return forbidden
			default:
				said = allowed
			}
		}
	}
	return said
}

// may refuses a request that lacks one of the accesses, in the words of its service.
func (c *call) may(needs ...access) error {
	for _, a := range needs {
		a.facts = a.facts.with(facts{"aws:requestedregion": {c.realm.region}})
		if v := c.judge(c.who, a); v != allowed {
			return notAllowed(c.service, a, c.who, v)
		}
	}
	return nil
}

// notAllowed is the refusal of IAM in the shape of a service.
func notAllowed(service string, a access, who identity, v verdict) error {
	why := "because no identity-based policy allows the " + a.perm + " action"
	if v == forbidden {
		why = "with an explicit deny in an identity-based policy"
	}
	on := " on resource: " + a.resource
	if a.resource == "*" && (service == serviceEC2 || service == serviceASG || service == serviceCT) {
		on = "" // these do not say "*"
	}
	words := fmt.Sprintf("User: %s is not authorized to perform: %s%s %s", who.ARN, a.perm, on, why)
	switch {
	case service == serviceEC2:
		words = "You are not authorized to perform this operation. " + words
		if on != "" {
			// Who may call sts:DecodeAuthorizationMessage reads the rest there; here it says nothing more.
			words += ". Encoded authorization failure message: " + base64.RawURLEncoding.EncodeToString([]byte(a.perm+" "+a.resource))
		}
		return &apiError{http.StatusForbidden, "UnauthorizedOperation", words}
	case speaksJSON(service):
		return &apiError{http.StatusBadRequest, "AccessDeniedException", words}
	}
	return &apiError{http.StatusForbidden, "AccessDenied", words}
}
