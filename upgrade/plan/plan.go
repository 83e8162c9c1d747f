// Package plan is a Terraform plan as plain structs, with the one reader of `terraform show -json`
// and the change digest. Standard library only.
package plan

import (
	"encoding/json"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Action is what a plan does to a resource.
type Action string

// The actions. Replace stands for delete and create of one address, in either order.
const (
	NoOp    Action = "no-op"
	Create  Action = "create"
	Read    Action = "read"
	Update  Action = "update"
	Delete  Action = "delete"
	Replace Action = "replace"
	Forget  Action = "forget"
)

// Change is what a plan does to one resource or data source.
type Change struct {
	Address         string
	PreviousAddress string // before a move; else ""
	Mode            string // managed or data
	Type            string
	Name            string
	Provider        string
	Deposed         string // key of a deposed object; else ""
	Action          Action
	CreateFirst     bool            // with Replace: create_before_destroy
	Reason          string          // Terraform's action_reason; may be ""
	Before, After   json.RawMessage // null where there is none
	AfterUnknown    json.RawMessage
	ReplacePaths    json.RawMessage // attributes that force the replacement; may be null
}

// Output is a changed output value.
type Output struct {
	Name          string
	Actions       []string
	Before, After json.RawMessage
}

// Header is what a plan says about itself.
type Header struct {
	FormatVersion string
	Tool          string // version of Terraform or OpenTofu
	Errored       bool   // OpenTofu: the plan is incomplete
}

// Summary is a plan without its changes in full.
type Summary struct {
	Header  Header
	Changes []Change // only what is not a no-op and not a read
	Moves   []Move   // of what only gets another address
	Outputs []Output
	Drifted []string // addresses of what is not as the state had it when it was planned; no part of the change
	Digest  string   // change digest, hexadecimal SHA-256: see Summarize
}

// Move is a resource that gets another address and nothing else. One that is changed as well is a Change
// with a PreviousAddress.
type Move struct{ From, To string }

// Root is one Terraform root module, checked out and ready to be worked on.
type Root struct {
	Dir           string // absolute, of the root module
	Checkout      string // absolute, of the checkout; Dir is in it
	Data          string // absolute folder for this run: logs, plan file, TMPDIR, TF_DATA_DIR
	Workspace     string
	VarFiles      []string // relative to Dir
	BackendConfig map[string]string
	Env           map[string]upgrade.Secret // on top of the allow-list
	Destroy       bool                      // plan the destruction of everything in the state ("terraform plan -destroy")
	Unlocked      bool                      // plan without taking the state's lock: only a plan that nothing will apply
}

// Planned is a plan file that was made.
type Planned struct {
	File       string // absolute, 0600
	FileDigest string // hexadecimal SHA-256
	LockDigest string // of .terraform.lock.hcl
	Empty      bool   // Terraform says: no changes
	Tool       string // "terraform 1.11.4" or "tofu 1.12.6"
}

// Ended is how an apply ended.
type Ended struct {
	OK       bool
	ExitCode int
	Message  string // Terraform's first error, one line; empty when OK
	Address  string // resource it belongs to; may be empty
	Stale    bool   // Terraform refused the plan before its first change: the state has moved since
	At       time.Time
}

// Tick is one event of an apply's progress, read from Terraform's JSON log.
type Tick struct {
	At      time.Time
	Kind    TickKind
	Address string
	Action  Action
	Text    string // Terraform's own line
	Done    int    // resources finished so far
	Total   int    // resources that change, 0 while not known
}

// TickKind is what a Tick tells.
type TickKind string

// The kinds of ticks.
const (
	TickStart  TickKind = "start"
	TickDone   TickKind = "done"
	TickFailed TickKind = "failed"
	TickLine   TickKind = "line" // anything else worth a log line
)
