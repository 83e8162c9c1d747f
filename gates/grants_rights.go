package gates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// neededOperations is what EBS needs of a key for a volume, in order of the alphabet: "Requirements for
// Amazon EBS encryption" of the EBS user guide.
func neededOperations() []string {
	return []string{"CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"}
}

// advisedOperations is what only the examples in the user guide of EC2 Auto Scaling have on top.
func advisedOperations() []string { return []string{"Encrypt", "GenerateDataKey"} }

// keyState is what there is to see of one customer managed key.
type keyState struct {
	key    cloud.Key
	grants []cloud.Grant
	policy *keyPolicy // nil: it cannot be seen from the group's account
	digest string     // of the policy, hexadecimal SHA-256; "" without one
}

// lookAtKey reads the grants and the policy of a key. A policy of another account's key is left out: AWS
// shows it there only.
func lookAtKey(ctx context.Context, aws Keys, key cloud.Key, account string) (keyState, error) {
	state := keyState{key: key}
	var err error
	if state.grants, err = aws.Grants(ctx, key.ARN); err != nil {
		return state, fmt.Errorf("list the grants on %s: %w", key.ARN, err)
	}
	if key.Account != account {
		return state, nil
	}
	text, err := aws.KeyPolicy(ctx, key.ARN)
	if err != nil {
		return state, fmt.Errorf("read the policy of %s: %w", key.ARN, err)
	}
	policy, err := readPolicy(text)
	if err != nil {
		return state, fmt.Errorf("read the policy of %s: %w", key.ARN, err)
	}
	sum := sha256.Sum256([]byte(text))
	state.policy, state.digest = &policy, hex.EncodeToString(sum[:])
	return state, nil
}

// right is one operation on one key, and what gives it to a role.
type right struct {
	op          string
	needed      bool // else only advised
	grant       *cloud.Grant
	constrained *cloud.Grant // would give it, but for its constraints
	policy      ruling
}

// rightsOf judges every operation that a launch by the caller asks of the key.
func (k keyState) rightsOf(who caller) []right {
	var out []right
	for i, op := range slices.Concat(neededOperations(), advisedOperations()) {
		r := right{op: op, needed: i < len(neededOperations())}
		for _, g := range k.grants {
			if g.Grantee != who.role || !slices.Contains(g.Operations, op) {
				continue
			}
			if g.Constraints == "" {
				r.grant = &g
			} else {
				r.constrained = &g
			}
		}
		if k.policy != nil {
			r.policy = k.policy.rules(who, k.key.ARN, op)
		}
		out = append(out, r)
	}
	return out
}

// held reports whether the role has the operation. A grant does not help against a denial; one that cannot
// be judged is a warning, since a launch would show it.
func (r right) held() tri {
	switch {
	case r.policy.deny == yes:
		return no
	case r.grant != nil:
		return yes
	}
	return r.policy.allow
}

// words says what gives the operation, for a table.
func (r right) words() string {
	var out []string
	switch {
	case r.policy.deny == yes:
		return "denied by the key policy, statement " + r.policy.by
	case r.grant != nil:
		out = append(out, "grant "+grantName(*r.grant))
	}
	switch {
	case r.policy.deny == unclear:
		out = append(out, fmt.Sprintf("statement %s of the key policy may deny it: its condition %s cannot be judged", r.policy.by, r.policy.condition))
	case r.policy.allow == yes:
		out = append(out, "key policy, statement "+r.policy.by)
	case r.policy.allow == unclear && r.grant == nil:
		out = append(out, fmt.Sprintf("cannot tell: key policy, statement %s, has the condition %s", r.policy.by, r.policy.condition))
	}
	if len(out) == 0 {
		out = append(out, "missing")
	}
	if r.constrained != nil && r.grant == nil {
		out = append(out, fmt.Sprintf("grant %s does not count, for it has constraints", grantName(*r.constrained)))
	}
	return strings.Join(out, "; ")
}

// lacking returns the needed operations that the role certainly does not have.
func lacking(rights []right) []string {
	return opsWhere(rights, func(r right) bool { return r.needed && r.held() == no })
}

func opsWhere(rights []right, is func(right) bool) []string {
	var out []string
	for _, r := range rights {
		if is(r) {
			out = append(out, r.op)
		}
	}
	return out
}

// grantName names a grant for people: its name if it has one, else the beginning of its id.
func grantName(g cloud.Grant) string {
	if g.Name != "" {
		return g.Name
	}
	return shortID(g.ID)
}

// shortID returns the beginning of a grant's id, which has 64 digits.
func shortID(id string) string {
	if len(id) > 12 {
		return id[:12] + "…"
	}
	return id
}

// principalName names a role, a user or an account for people: what stands behind the last slash, with the
// account where it is another one than home.
func principalName(arn, home string) string {
	if strings.HasPrefix(arn, "AROA") || strings.HasPrefix(arn, "AIDA") {
		return "a deleted principal (" + arn + ")"
	}
	account := accountIn(arn)
	if account == "" {
		return arn
	}
	name := arn[strings.LastIndexAny(arn, "/:")+1:]
	if account != home {
		name += " of account " + account
	}
	return name
}

// stateFault says no to a key that cannot be used, whoever asks.
func stateFault(key cloud.Key) (words string, sure bool) {
	switch key.State {
	case "", "Enabled":
		return "", false
	case "Creating", "Updating":
		return "is " + strings.ToLower(key.State), false
	case "PendingDeletion", "PendingReplicaDeletion":
		words = "is going to be deleted"
		if !key.DeletionAt.IsZero() {
			words += " on " + key.DeletionAt.UTC().Format("2 Jan 2006")
		}
		return words, true
	}
	return "is " + strings.ToLower(key.State), true
}
