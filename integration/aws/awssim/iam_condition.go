package awssim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// facts are what is known of a request, by the name of the condition key in small letters: conditions do
// not tell cases apart there. A key that is not there is not known.
type facts map[string][]string

// with returns f and more.
func (f facts) with(more facts) facts {
	out := maps.Clone(f)
	if out == nil {
		out = facts{}
	}
	maps.Copy(out, more)
	return out
}

// tagged returns the facts of tags under each of the prefixes, such as "aws:ResourceTag/".
func tagged(tags map[string]string, prefixes ...string) facts {
	out := facts{}
	for key, v := range tags {
		for _, prefix := range prefixes {
			out[strings.ToLower(prefix+key)] = []string{v}
		}
	}
	return out
}

// condition is one line of a statement's conditions: all lines must hold.
type condition struct {
	qualifier string // ForAllValues, ForAnyValue; usually empty
	operator  string
	ifExists  bool
	key       string // in small letters
	values    []string
}

// knownKeys are the condition keys that the simulator sets, in small letters; those that end in a slash go
// on with the key of a tag.
func knownKeys() []string {
	return strings.Fields(`aws:requesttag/ aws:resourcetag/ aws:tagkeys aws:principalarn aws:principalaccount aws:resourceaccount
		aws:requestedregion aws:userid autoscaling:resourcetag/ autoscaling:maxsize autoscaling:minsize
		autoscaling:launchtemplateversionspecified autoscaling:vpczoneidentifiers autoscaling:targetgrouparns
		ec2:resourcetag/ ec2:launchtemplate ec2:islaunchtemplateresource ec2:instancetype ec2:createaction ecs:cluster ecs:resourcetag/
		iam:passedtoservice kms:grantisforawsresource kms:viaservice kms:calleraccount kms:grantoperations kms:granteeprincipal
		ssm:resourcetag/ sts:externalid sts:rolesessionname`)
}

// operators are those that the simulator knows, besides Null.
func operators() map[string]func(want, have string) bool {
	number := func(holds func(want, have float64) bool) func(string, string) bool {
		return func(want, have string) bool {
			w, errW := strconv.ParseFloat(want, 64)
			h, errH := strconv.ParseFloat(have, 64)
			return errW == nil && errH == nil && holds(w, h)
		}
	}
	same := func(want, have string) bool { return want == have }
	return map[string]func(want, have string) bool{
		"StringEquals": same, "StringNotEquals": same, "StringLike": wild, "StringNotLike": wild,
		"StringEqualsIgnoreCase": strings.EqualFold, "StringNotEqualsIgnoreCase": strings.EqualFold, "Bool": strings.EqualFold,
		"ArnLike": arnLike, "ArnNotLike": arnLike, "ArnEquals": arnLike, "ArnNotEquals": arnLike,
		"NumericEquals":            number(func(w, h float64) bool { return h == w }),
		"NumericNotEquals":         number(func(w, h float64) bool { return h == w }),
		"NumericLessThan":          number(func(w, h float64) bool { return h < w }),
		"NumericLessThanEquals":    number(func(w, h float64) bool { return h <= w }),
		"NumericGreaterThan":       number(func(w, h float64) bool { return h > w }),
		"NumericGreaterThanEquals": number(func(w, h float64) bool { return h >= w }),
	}
}

// negative reports whether an operator asks that nothing matches.
func negative(operator string) bool { return strings.Contains(operator, "Not") }

// arnLike compares ARNs part by part, so that * does not cross a colon but in the last.
func arnLike(pattern, arn string) bool {
	want, have := strings.SplitN(pattern, ":", 6), strings.SplitN(arn, ":", 6)
	if len(want) != len(have) {
		return pattern == "*"
	}
	for i := range want {
		if !wild(want[i], have[i]) {
			return false
		}
	}
	return true
}

// parseConditions reads the conditions of a statement. It refuses operators and keys that it does not know.
func parseConditions(raw map[string]map[string]words) ([]condition, error) {
	var out []condition
	for _, operator := range sortedKeys(raw) {
		for _, key := range sortedKeys(raw[operator]) {
			c := readCondition(operator, key, raw[operator][key])
			if operators()[c.operator] == nil && c.operator != "Null" {
				return nil, fmt.Errorf("the condition operator %s is not simulated", operator)
			}
			if !slices.ContainsFunc(knownKeys(), func(k string) bool {
				if strings.HasSuffix(k, "/") {
					return strings.HasPrefix(c.key, k) && len(c.key) > len(k)
				}
				return k == c.key
			}) {
				return nil, fmt.Errorf("the condition key %s is not simulated", key)
			}
			if len(c.values) == 0 {
				return nil, fmt.Errorf("the condition on %s has no values", key)
			}
			for _, v := range c.values {
				if strings.Contains(v, "${") {
					return nil, fmt.Errorf("the condition on %s has %q: policy variables are not simulated", key, v)
				}
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// readCondition takes an operator such as "ForAllValues:StringEqualsIfExists" apart.
func readCondition(operator, key string, values words) condition {
	c := condition{operator: operator, key: strings.ToLower(key), values: values}
	if before, after, ok := strings.Cut(operator, ":"); ok && (before == "ForAllValues" || before == "ForAnyValue") {
		c.qualifier, c.operator = before, after
	}
	if c.operator != "Null" {
		c.operator, c.ifExists = strings.CutSuffix(c.operator, "IfExists")
	}
	return c
}

// holds reports whether a condition is met: the IAM user guide, "Condition operators" and "Set operators".
func (c condition) holds(f facts) bool {
	have, known := f[c.key]
	known = known && len(have) > 0
	if c.operator == "Null" {
		return slices.ContainsFunc(c.values, func(v string) bool { return strings.EqualFold(v, truth(!known)) })
	}
	compare := operators()[c.operator]
	if compare == nil {
		return false
	}
	matches := func(one string) bool {
		return slices.ContainsFunc(c.values, func(want string) bool { return compare(want, one) }) != negative(c.operator)
	}
	switch {
	case c.qualifier == "ForAllValues":
		return !slices.ContainsFunc(have, func(one string) bool { return !matches(one) })
	case !known:
		// Without a value nothing is equal, so that what must not be equal is fine.
		return c.ifExists || c.qualifier == "" && negative(c.operator)
	case c.qualifier == "" && negative(c.operator):
		return !slices.ContainsFunc(have, func(one string) bool { return !matches(one) })
	}
	return slices.ContainsFunc(have, matches)
}
