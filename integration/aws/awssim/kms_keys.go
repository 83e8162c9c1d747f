package awssim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

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
	text := in.Policy
	if text == "" {
		text = defaultKeyPolicy(c.realm.account)
	}
	parsed, err := c.acceptPolicy(text, in.BypassPolicyLockoutSafetyCheck)
	if err != nil {
		return nil, err
	}
	key := c.newKey(c.realm.realmKey, in.Description)
	key.created = c.now
	c.key = key
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
			c.aliases = slices.DeleteFunc(c.aliases, func(a *alias) bool { return a.key == key })
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
