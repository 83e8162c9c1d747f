package awssim

import (
	"encoding/json"
	"fmt"
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
		if !c.mayCall(key) {
			return nil, accessDenied(serviceKMS, c.action, key.arn(), c.who)
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

func (c *call) mayCall(key *kmsKey) bool {
	if key.account != c.who.Account && sameAccountOnly(c.action) {
		return false
	}
	return c.mayUse(c.who, key, c.action, c.now, false)
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

// findKey finds a key by id, ARN or the alias of the AWS managed key for EBS. Errors: NotFoundException,
// InvalidArnException.
func (w *world) findKey(from realmKey, name string) (*kmsKey, error) {
	arn := name
	if !strings.HasPrefix(name, "arn:") {
		if name == "alias/aws/ebs" {
			return w.managedKey(from), nil
		}
		arn = from.arn(serviceKMS, "key/"+name)
	} else if !regexp.MustCompile(`^arn:aws:kms:[a-z0-9-]+:\d{12}:(key|alias)/.+$`).MatchString(name) {
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

// defaultKeyPolicy is what CreateKey puts in place without one: IAM decides.
func defaultKeyPolicy(account string) string {
	return fmt.Sprintf(`{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "arn:aws:iam::%s:root"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}`, account)
}

func (w *world) newKey(of realmKey, description string) *kmsKey {
	text := defaultKeyPolicy(of.account)
	parsed, _ := parsePolicy(text) // our own
	key := &kmsKey{
		realmKey: of, id: w.uuid(), description: description, state: "Enabled", spec: "SYMMETRIC_DEFAULT",
		usage: "ENCRYPT_DECRYPT", manager: "CUSTOMER", created: w.cfg.Clock.Now(), tags: map[string]string{},
		policies: []keyPolicy{{text: text, parsed: parsed}},
	}
	w.keys = append(w.keys, key)
	return key
}

func (k *kmsKey) metadata() map[string]any {
	m := map[string]any{
		"AWSAccountId": k.account, "Arn": k.arn(), "KeyId": k.id, "CreationDate": epoch(k.created),
		"CustomerMasterKeySpec": k.spec, "KeySpec": k.spec, "KeyUsage": k.usage, "Description": k.description,
		"Enabled": k.state == "Enabled", "KeyState": k.state, "KeyManager": k.manager, "MultiRegion": false,
		"Origin": "AWS_KMS", "EncryptionAlgorithms": []string{"SYMMETRIC_DEFAULT"},
	}
	if !k.deletion.IsZero() {
		m["DeletionDate"] = epoch(k.deletion)
	}
	return m
}

// kmsTag is a tag as KMS writes it.
type kmsTag struct{ TagKey, TagValue string }

type createKeyInput struct {
	Policy, Description, KeyUsage, KeySpec, CustomerMasterKeySpec string
	BypassPolicyLockoutSafetyCheck                                bool
	Tags                                                          []kmsTag
}

func createKey(c *call) (any, error) {
	var in createKeyInput
	if err := c.read(&in); err != nil {
		return nil, err
	}
	key := &kmsKey{realmKey: c.realm.realmKey}
	text := in.Policy
	if text == "" {
		text = defaultKeyPolicy(c.realm.account)
	}
	parsed, err := c.acceptPolicy(key, text, in.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	key = c.newKey(c.realm.realmKey, in.Description)
	key.created = c.now
	key.policies = []keyPolicy{{text: text, parsed: parsed}} // a new key's policy is in force at once
	for _, spec := range []string{in.CustomerMasterKeySpec, in.KeySpec} {
		if spec != "" {
			key.spec = spec
		}
	}
	if in.KeyUsage != "" {
		key.usage = in.KeyUsage
	}
	for _, tag := range in.Tags {
		key.tags[tag.TagKey] = tag.TagValue
	}
	return map[string]any{"KeyMetadata": key.metadata()}, nil
}

func describeKey(_ *call, key *kmsKey) (any, error) {
	return map[string]any{"KeyMetadata": key.metadata()}, nil
}

func listKeys(c *call) (any, error) {
	var in struct {
		Limit  int
		Marker string
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	var all []map[string]any
	for _, key := range c.keys {
		if key.realmKey == c.realm.realmKey {
			all = append(all, map[string]any{"KeyId": key.id, "KeyArn": key.arn()})
		}
	}
	return c.kmsPage("Keys", all, in.Limit, in.Marker)
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

func getKeyRotationStatus(_ *call, key *kmsKey) (any, error) {
	return map[string]any{"KeyRotationEnabled": key.rotation, "KeyId": key.arn()}, nil
}

func setRotation(on bool) func(*call, *kmsKey) (any, error) {
	return func(_ *call, key *kmsKey) (any, error) {
		key.rotation = on
		return nil, nil //nolint:nilnil // KMS answers nothing
	}
}

func setState(state string) func(*call, *kmsKey) (any, error) {
	return func(_ *call, key *kmsKey) (any, error) {
		key.state = state
		return nil, nil //nolint:nilnil // KMS answers nothing
	}
}

func listResourceTags(c *call, key *kmsKey) (any, error) {
	var in struct {
		Limit  int
		Marker string
	}
	if err := c.read(&in); err != nil {
		return nil, err
	}
	var all []map[string]any
	for _, name := range sortedKeys(key.tags) {
		all = append(all, map[string]any{"TagKey": name, "TagValue": key.tags[name]})
	}
	return c.kmsPage("Tags", all, in.Limit, in.Marker)
}

func tagResource(c *call, key *kmsKey) (any, error) {
	var in struct{ Tags []kmsTag }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	for _, tag := range in.Tags {
		if strings.HasPrefix(strings.ToLower(tag.TagKey), "aws:") {
			return nil, refuse("TagException", "Tag keys must not start with aws:")
		}
		key.tags[tag.TagKey] = tag.TagValue
	}
	return nil, nil //nolint:nilnil // KMS answers nothing
}

func untagResource(c *call, key *kmsKey) (any, error) {
	var in struct{ TagKeys []string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	for _, name := range in.TagKeys {
		delete(key.tags, name)
	}
	return nil, nil //nolint:nilnil // KMS answers nothing
}

func updateKeyDescription(c *call, key *kmsKey) (any, error) {
	var in struct{ Description string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	key.description = in.Description
	return nil, nil //nolint:nilnil // KMS answers nothing
}

func scheduleKeyDeletion(c *call, key *kmsKey) (any, error) {
	var in struct{ PendingWindowInDays *int }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	days := 30
	if in.PendingWindowInDays != nil {
		days = *in.PendingWindowInDays
	}
	if days < 7 || days > 30 {
		return nil, refuse("ValidationException", "1 validation error detected: Value '%d' at 'pendingWindowInDays' failed to satisfy constraint: Member must have value between 7 and 30", days)
	}
	key.state, key.deletion = "PendingDeletion", c.now.AddDate(0, 0, days)
	c.at(key.deletion, func(now time.Time) {
		if key.state == "PendingDeletion" && !key.deletion.After(now) {
			c.keys = slices.DeleteFunc(c.keys, func(k *kmsKey) bool { return k == key })
		}
	})
	return map[string]any{
		"KeyId": key.arn(), "DeletionDate": epoch(key.deletion), "KeyState": key.state, "PendingWindowInDays": days,
	}, nil
}

func cancelKeyDeletion(_ *call, key *kmsKey) (any, error) {
	if key.state != "PendingDeletion" {
		return nil, refuse("KMSInvalidStateException", "%s is not pending deletion.", key.arn())
	}
	key.state, key.deletion = "Disabled", time.Time{}
	return map[string]any{"KeyId": key.arn()}, nil
}
