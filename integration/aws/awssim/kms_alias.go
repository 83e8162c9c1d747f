package awssim

import (
	"regexp"
	"slices"
	"strings"
)

// alias is another name of a key.
type alias struct {
	realmKey

	name string // alias/…
	key  *kmsKey
}

type aliasInput struct {
	AliasName, TargetKeyID, KeyID string
	Limit                         int
	Marker                        string
}

// mayName refuses what the caller may not do with an alias and its key: it needs the action on both.
func (c *call) mayName(name string, key *kmsKey) error {
	if err := c.may(access{perm: permission(serviceKMS, c.action), resource: c.realm.arn(serviceKMS, name)}); err != nil {
		return err
	}
	c.key = key
	return c.mayCall(key)
}

func createAlias(c *call) (any, error) {
	var in aliasInput
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if !regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]{1,250}$`).MatchString(in.AliasName) || strings.HasPrefix(in.AliasName, "alias/aws/") {
		return nil, refuse("InvalidAliasNameException", "The alias name %.80q is not valid", in.AliasName)
	}
	key, err := c.findKey(c.realm.realmKey, in.TargetKeyID)
	if err != nil {
		return nil, err
	}
	if err := c.mayName(in.AliasName, key); err != nil {
		return nil, err
	}
	if c.alias(c.realm.realmKey, in.AliasName) != nil {
		return nil, refuse("AlreadyExistsException", "An alias with the name %s already exists", c.realm.arn(serviceKMS, in.AliasName))
	}
	c.aliases = append(c.aliases, &alias{c.realm.realmKey, in.AliasName, key})
	return nil, nil //nolint:nilnil // KMS answers nothing
}

func (w *world) alias(of realmKey, name string) *alias {
	return find(w.aliases, func(a *alias) bool { return a.realmKey == of && a.name == name })
}

func deleteAlias(c *call) (any, error) {
	var in aliasInput
	if err := c.read(&in); err != nil {
		return nil, err
	}
	found := c.alias(c.realm.realmKey, in.AliasName)
	if found == nil {
		return nil, refuse("NotFoundException", "Alias %s is not found.", c.realm.arn(serviceKMS, in.AliasName))
	}
	if err := c.mayName(in.AliasName, found.key); err != nil {
		return nil, err
	}
	c.aliases = slices.DeleteFunc(c.aliases, func(a *alias) bool { return a == found })
	return nil, nil //nolint:nilnil // KMS answers nothing
}

func listAliases(c *call) (any, error) {
	var in aliasInput
	if err := c.read(&in); err != nil {
		return nil, err
	}
	all := []map[string]any{}
	add := func(name string, key *kmsKey) {
		if in.KeyID == "" || in.KeyID == key.id || in.KeyID == key.arn() {
			all = append(all, map[string]any{
				"AliasName": name, "AliasArn": c.realm.arn(serviceKMS, name), "TargetKeyId": key.id, "CreationDate": epoch(key.created),
			})
		}
	}
	add("alias/aws/ebs", c.managedKey(c.realm.realmKey))
	for _, a := range c.aliases {
		if a.realmKey == c.realm.realmKey {
			add(a.name, a.key)
		}
	}
	return c.kmsPage("Aliases", all, in.Limit, in.Marker)
}
