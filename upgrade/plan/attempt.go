package plan

import (
	"errors"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Attempt is one application of one plan file: what the process that runs it is told, and how it is
// found again after a restart. Dir, Stack and Environment alone are enough to find it.
type Attempt struct {
	Dir         string // absolute folder of this attempt alone: order, events, result; made if missing
	Stack       upgrade.StackName
	Environment upgrade.EnvName
	File        string // the plan file, absolute
	FileDigest  string // hexadecimal SHA-256 of the plan file that was judged (S2)
	LockDigest  string // of .terraform.lock.hcl when the plan was made; "" when the stack has none
	Tool        string // as in Planned.Tool; "" is not compared
	Total       int    // resources that change, for Tick.Total; 0: not known
}

// Found is what was found of an attempt after a restart.
type Found string

// What can be found of an attempt.
const (
	FoundResult   Found = "result"    // it ended, and its result says how
	FoundNeverRan Found = "never_ran" // Terraform was not started: the attempt may be begun again
	FoundLost     Found = "lost"      // it was cut off and nobody knows how far it came: that plan is never run again
)

// ErrLost is in the chain of an apply's error when its process vanished without a result.
var ErrLost = errors.New("the apply was cut off")
