package awssim

import (
	"slices"
	"strings"
	"time"
)

// isServiceLinked reports whether a role belongs to a service. Such roles cannot be assumed, and have no
// IAM permissions on keys.
func isServiceLinked(arn string) bool { return strings.Contains(arn, ":role/aws-service-role/") }

// exists reports whether a principal is one that the simulator knows. KMS refuses others.
func (w *world) exists(principal string) bool {
	if w.roles[principal] != nil || isRoot(principal) {
		return true
	}
	for _, key := range w.cfg.Keys {
		if key.ARN == principal {
			return true
		}
	}
	for _, s := range w.sessions {
		if s.who.ARN == principal {
			return true
		}
	}
	// Each account has the service-linked role of Auto Scaling from its first group on.
	k := realmKey{account: accountOf(principal)}
	return k.account != "" && k.defaultRole() == principal
}

// mayUse reports whether who may do action on key at now, by grant or by policies: the KMS developer guide,
// "Determining access". forResource says that an AWS service asks on its behalf, for a resource: the
// condition kms:GrantIsForAWSResource. Only then do changes take their while: calls of one's own see their
// effect at once. guess: in reality those may be late too, by seconds.
func (w *world) mayUse(who identity, key *kmsKey, action string, now time.Time, f facts, forResource bool) bool {
	if key.manager == "AWS" {
		return who.Account == key.account
	}
	newest := key.policies[len(key.policies)-1].parsed
	allows, forbids := newest, newest
	f = f.with(facts{
		"aws:resourceaccount": {key.account}, "aws:principalaccount": {who.Account}, "aws:principalarn": {who.Principal},
		"kms:calleraccount": {who.Account},
	}).with(tagged(key.tags, "aws:ResourceTag/"))
	if forResource {
		f["kms:grantisforawsresource"] = []string{"true"}
		f["kms:viaservice"] = []string{"ec2." + key.region + ".amazonaws.com"}
		allows, forbids = w.enforcedPolicies(key, now)
	}
	iam := unsaid // the policy of a service-linked role says nothing of keys
	if !isServiceLinked(who.Principal) {
		iam = w.judge(who, access{permission(serviceKMS, action), key.arn(), f})
	}
	if _, deny := forbids.judge(who, action, f); deny || iam == forbidden {
		return false
	}
	for _, g := range key.grants {
		counts := w.enforced(g, now)
		if !forResource {
			counts = g.revoked.IsZero()
		}
		if counts && g.grantee == who.Principal && slices.Contains(g.operations, action) && (!forResource || !g.excludes(action)) {
			return true
		}
	}
	allow, _ := allows.judge(who, action, f)
	if key.account == who.Account {
		return allow.direct || allow.account && iam == allowed
	}
	// Across accounts the key's policy and the caller's own account must both agree.
	return (allow.direct || allow.account) && iam == allowed
}

// excludes reports whether a grant's constraints keep EBS from an operation that the grant lists: EBS asks
// with the volume's id as the encryption context, which no constraint that was written beforehand has.
func (g *grant) excludes(operation string) bool {
	return !g.constraints.equal(grantConstraints{}) && operation != "DescribeKey"
}

// enforced reports whether a grant counts at now: both ways it takes a while.
func (w *world) enforced(g *grant, now time.Time) bool {
	if now.Before(g.created.Add(w.cfg.Timing.GrantDelay)) {
		return false
	}
	return g.revoked.IsZero() || now.Before(g.revoked.Add(w.cfg.Timing.RevokeDelay))
}

// launchOperations is what EBS needs of a key for an encrypted volume: the EBS guide, "Requirements for
// Amazon EBS encryption".
func launchOperations() []string {
	return []string{"CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"}
}

// lacks returns the operations on key that who needs for a launch and does not have.
func (w *world) lacks(who identity, key *kmsKey, now time.Time) []string {
	var out []string
	for _, op := range launchOperations() {
		if !w.mayUse(who, key, op, now, nil, true) {
			out = append(out, op)
		}
	}
	return out
}
