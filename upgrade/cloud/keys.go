package cloud

import "time"

// TemplateVersion is what one version of a launch template says, as far as launches depend on it.
type TemplateVersion struct {
	Template     Template // with the number of the version
	ImageID      string   // "ami-…", or as the template has it: "resolve:ssm:…"
	InstanceType string
	Profile      string // name or ARN of the instance profile; may be empty
	Devices      []Device
}

// Device is a mapped volume of an image or a template.
type Device struct {
	Name       string // such as "/dev/xvda"
	SnapshotID string // empty: an empty volume
	Encrypted  *bool  // nil: not said, so the snapshot or the account's default decides
	KeyID      string // id, alias or ARN as written; empty: not said
	Absent     bool   // the template takes the image's device away (NoDevice), or it is an instance store
}

// Image is an AMI.
type Image struct {
	ID      string
	Name    string
	State   string // available, pending, failed, disabled …
	Owner   string // account
	Devices []Device
}

// Snapshot is what a volume is made from.
type Snapshot struct {
	ID        string
	Owner     string // account
	Encrypted bool
	KeyID     string // ARN of the key; empty if not encrypted
}

// EBSDefault is how an account encrypts volumes in a region unless told otherwise.
type EBSDefault struct {
	Encrypt bool
	KeyID   string // key, alias or ARN; "alias/aws/ebs" for the AWS managed key
}

// Key is a KMS key.
type Key struct {
	ID          string
	ARN         string
	Account     string
	Description string
	State       string // Enabled, Disabled, PendingDeletion, PendingImport, Unavailable …
	Customer    bool   // a customer managed key; an AWS managed one needs no grants
	DeletionAt  time.Time
}

// Grant is a KMS grant.
type Grant struct {
	ID          string
	Name        string // may be empty
	KeyARN      string
	Grantee     string   // ARN; "AROA…" when the principal was deleted
	Retirer     string   // ARN of the retiring principal; may be empty
	Issuer      string   // ARN of the account that made it
	Operations  []string // such as "Decrypt"
	Constraints string   // canonical JSON; empty: none
	CreatedAt   time.Time
}

// KeyEvent is something that somebody did to a key or a grant, as CloudTrail has it.
type KeyEvent struct {
	ID      string
	Name    string // RevokeGrant, RetireGrant, CreateGrant, PutKeyPolicy, DisableKey, ScheduleKeyDeletion
	At      time.Time
	By      string // ARN of who did it
	Agent   string // user agent, such as Terraform's; may be empty
	KeyID   string // id or ARN as the request had it
	GrantID string // of RevokeGrant, RetireGrant and CreateGrant
}

// Container is an ECS container instance: a group's instance as its cluster sees it.
type Container struct {
	ARN        string
	InstanceID string
	Status     string // REGISTERING, ACTIVE, DRAINING …
	Connected  bool   // the agent is connected
	Running    int    // tasks that run on it
}

// Override is an entry of a mixed-instances policy.
type Override struct {
	InstanceType string
	Template     *Template // nil: the policy's own
}

// Volume is an EBS volume of an instance.
type Volume struct {
	ID         string
	Device     string // such as "/dev/xvda"
	SnapshotID string // that it was made from; empty: none
	State      string // creating, available, in-use, deleting, deleted, error
	Attachment string // attaching, attached, busy, detaching, detached
	Encrypted  bool
	KeyID      string // ARN of the key; empty if not encrypted
}

// Added is one instance more that a gate asked of a real group, as the group's own tag tells it: AddOne
// writes the tag first, TakeOne removes it last.
type Added struct {
	Group      string
	Run        string    // value of gate:run; empty when the tag cannot be read
	Expires    time.Time // after it the reaper may take the instance back; zero when the tag cannot be read
	Desired    int       // capacity before
	InstanceID string    // the first that was launched since and is not about to go; empty: none
}
