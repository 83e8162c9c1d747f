package gates

import (
	"context"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Keys is what gates need of AWS to follow a group to the keys that its instances' volumes are encrypted
// with. Errors: CodeForbidden with a *cloud.Denied in the chain, CodeNotFound for what does not exist.
type Keys interface {
	// Group returns the group with its template version resolved to a number.
	Group(ctx context.Context, name string) (cloud.Group, error)
	// Template returns what a version of a launch template says; $Latest and $Default are resolved.
	Template(ctx context.Context, template cloud.Template) (cloud.TemplateVersion, error)
	// Image returns an AMI; "resolve:ssm:…" is resolved.
	Image(ctx context.Context, id string) (cloud.Image, error)
	// Snapshots returns those of the named snapshots that can be seen.
	Snapshots(ctx context.Context, ids []string) ([]cloud.Snapshot, error)
	// EBSDefault returns how the account encrypts volumes unless told otherwise.
	EBSDefault(ctx context.Context) (cloud.EBSDefault, error)
	// Key returns a key by id, alias or ARN.
	Key(ctx context.Context, id string) (cloud.Key, error)
	// Grants returns all grants on a key.
	Grants(ctx context.Context, keyARN string) ([]cloud.Grant, error)
	// KeyPolicy returns the key's policy, JSON. AWS gives it only in the key's own account.
	KeyPolicy(ctx context.Context, keyARN string) (string, error)
	// KeyEvents returns what CloudTrail knows was done to grants, policies and states of keys since then,
	// oldest first. It may know it up to 15 minutes late.
	KeyEvents(ctx context.Context, since time.Time) ([]cloud.KeyEvent, error)
}

// States is what is known of Terraform states, this run's own and others.
type States interface {
	// Readings returns the newest reading of every state that is known, by name.
	Readings(ctx context.Context) ([]upgrade.Reading, error)
	// Refresh reads the named states anew, and returns when each has been read or could not be: what came
	// of it is in Readings. Its error is one of ours, not of a state.
	Refresh(ctx context.Context, names []upgrade.StateName) error
	// Owners returns every place in every state in which one of the things is.
	Owners(ctx context.Context, objects []plan.Object) ([]upgrade.Owned, error)
}
