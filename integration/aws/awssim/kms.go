package awssim

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"
)

// kmsKey is a KMS key.
type kmsKey struct {
	realmKey

	id          string
	description string
	state       string // Enabled, Disabled, PendingDeletion
	spec, usage string
	manager     string // CUSTOMER, or AWS for aws/ebs
	created     time.Time
	deletion    time.Time
	rotation    bool
	tags        map[string]string
	policies    []keyPolicy // oldest first; the last is what GetKeyPolicy shows
	grants      []*grant    // revoked ones stay as long as they are enforced
}

// keyPolicy is a version of a key's policy.
type keyPolicy struct {
	text   string
	parsed policy
	from   time.Time
}

func (k *kmsKey) arn() string { return k.realmKey.arn(serviceKMS, "key/"+k.id) }

func kmsActions() map[string]action {
	return map[string]action{
		"CreateKey":            createKey,
		"DescribeKey":          onKey(describeKey),
		"ListKeys":             listKeys,
		"CreateAlias":          createAlias,
		"DeleteAlias":          deleteAlias,
		"ListAliases":          listAliases,
		"GetKeyPolicy":         onKey(getKeyPolicy),
		"PutKeyPolicy":         onKey(putKeyPolicy),
		"GetKeyRotationStatus": onKey(getKeyRotationStatus),
		"EnableKeyRotation":    onKey(setRotation(true)),
		"DisableKeyRotation":   onKey(setRotation(false)),
		"EnableKey":            onKey(setState("Enabled")),
		"DisableKey":           onKey(setState("Disabled")),
		"ListResourceTags":     onKey(listResourceTags),
		"TagResource":          onKey(tagResource),
		"UntagResource":        onKey(untagResource),
		"UpdateKeyDescription": onKey(updateKeyDescription),
		"ScheduleKeyDeletion":  onKey(scheduleKeyDeletion),
		"CancelKeyDeletion":    onKey(cancelKeyDeletion),
		"CreateGrant":          onKey(createGrant),
		"ListGrants":           onKey(listGrants),
		"RevokeGrant":          onKey(revokeGrant),
		"RetireGrant":          retireGrant,
	}
}

// epoch is how KMS writes times: seconds, with a fraction.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// read decodes the body of a JSON request.
func (c *call) read(into any) error {
	if err := json.Unmarshal(c.body, into); err != nil {
		return refuse("SerializationException", "cannot read the request: %v", err)
	}
	return nil
}

// onKey finds the key that a request names, checks that the caller may, and calls do.
func onKey(do func(*call, *kmsKey) (any, error)) action {
	return func(c *call) (any, error) {
		var in struct{ KeyId string } //nolint:revive // the wire's own name
		if err := c.read(&in); err != nil {
			return nil, err
		}
		if in.KeyId == "" {
			return nil, refuse("ValidationException",
				"1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null")
		}
		key, err := c.findKey(c.realm.realmKey, in.KeyId)
		if err != nil {
			return nil, err
		}
		c.key = key
		if err := c.mayCall(key); err != nil {
			return nil, err
		}
		if err := stateAllows(key, c.action); err != nil {
			return nil, err
		}
		return do(c, key)
	}
}

// sameAccountOnly lists what KMS does not do across accounts.
func sameAccountOnly(action string) bool {
	switch action {
	case "DescribeKey", "GetKeyRotationStatus", "CreateGrant", "ListGrants", "RevokeGrant", "RetireGrant":
		return false
	}
	return true
}

// mayCall refuses a call of one's own that neither grant nor policies allow.
func (c *call) mayCall(key *kmsKey) error {
	a := access{permission(serviceKMS, c.action), key.arn(), c.keyFacts()}
	v := c.judge(c.who, a)
	if v != forbidden && (key.account == c.who.Account || !sameAccountOnly(c.action)) && c.mayUse(c.who, key, c.action, c.now, a.facts, false) {
		return nil
	}
	if v == allowed {
		v = unsaid // it is the key's policy that does not
	}
	return notAllowed(serviceKMS, a, c.who, v)
}

// keyFacts are what a call says of a grant, for conditions on CreateGrant and its kin.
func (c *call) keyFacts() facts {
	f := facts{"aws:requestedregion": {c.realm.region}, "kms:calleraccount": {c.who.Account}}
	switch c.action {
	case "CreateGrant", "ListGrants", "RevokeGrant":
		f["kms:grantisforawsresource"] = []string{"false"}
	}
	var in createGrantInput
	if c.action == "CreateGrant" && c.read(&in) == nil {
		f["kms:granteeprincipal"], f["kms:grantoperations"] = []string{in.GranteePrincipal}, in.Operations
	}
	return f
}

// stateAllows refuses what a key that is disabled or about to go does not do.
func stateAllows(key *kmsKey, action string) error {
	switch {
	case key.state == "PendingDeletion" && slices.Contains([]string{
		"CreateGrant", "EnableKeyRotation", "DisableKeyRotation", "TagResource", "UntagResource",
		"UpdateKeyDescription", "ScheduleKeyDeletion", "EnableKey", "DisableKey",
	}, action):
		return refuse("KMSInvalidStateException", "%s is pending deletion.", key.arn())
	case key.state == "Disabled" && slices.Contains([]string{"CreateGrant", "EnableKeyRotation", "DisableKeyRotation"}, action):
		return refuse("DisabledException", "%s is disabled.", key.arn())
	}
	return nil
}

// findKey finds a key by id, ARN, alias or an alias's ARN. Errors: NotFoundException, InvalidArnException.
func (w *world) findKey(from realmKey, name string) (*kmsKey, error) {
	arn := name
	if parts := strings.SplitN(name, ":", 6); len(parts) == 6 && parts[0] == "arn" && strings.HasPrefix(parts[5], "alias/") {
		from, name = realmKey{parts[4], parts[3]}, parts[5]
	}
	if strings.HasPrefix(name, "alias/") {
		if name == "alias/aws/ebs" {
			return w.managedKey(from), nil
		}
		if found := w.alias(from, name); found != nil {
			return found.key, nil
		}
		return nil, refuse("NotFoundException", "Alias %s is not found.", from.arn(serviceKMS, name))
	}
	if !strings.HasPrefix(name, "arn:") {
		arn = from.arn(serviceKMS, "key/"+name)
	} else if !regexp.MustCompile(`^arn:aws:kms:[a-z0-9-]+:\d{12}:key/.+$`).MatchString(name) {
		return nil, refuse("InvalidArnException", "Invalid arn %s", name)
	}
	if key := find(w.keys, func(k *kmsKey) bool { return k.arn() == arn }); key != nil {
		return key, nil
	}
	return nil, refuse("NotFoundException", "Key '%s' does not exist", arn)
}

// managedKey returns the account's aws/ebs key, which whoever launches in the account may use.
func (w *world) managedKey(of realmKey) *kmsKey {
	key := find(w.keys, func(k *kmsKey) bool { return k.realmKey == of && k.manager == "AWS" })
	if key == nil {
		key = w.newKey(of, "Default key that protects my EBS volumes when no other key is defined")
		key.manager = "AWS"
	}
	return key
}

// kmsPage is an answer of KMS in pages.
func (c *call) kmsPage(name string, all []map[string]any, limit int, marker string) (any, error) {
	if limit < 0 || limit > 1000 {
		return nil, refuse("ValidationException", "1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 1000", limit)
	}
	page, next, ok := cut(all, marker, c.smaller(limit, 100))
	if !ok {
		return nil, refuse("InvalidMarkerException", "the marker is not valid")
	}
	if page == nil {
		page = []map[string]any{}
	}
	out := map[string]any{name: page, "Truncated": next != ""}
	if next != "" {
		out["NextMarker"] = next
	}
	return out, nil
}
