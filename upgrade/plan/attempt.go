package plan

import "github.com/upgradegate/upgradegate/upgrade"

// Attempt is one application of one plan file, as the shim is told to make it.
type Attempt struct {
	Dir         string // absolute; order, events, result of this attempt; made by whoever applies
	Stack       upgrade.StackName
	Environment upgrade.EnvName
	File        string // plan file
	FileDigest  string // that it must have (S2)
	LockDigest  string // that .terraform.lock.hcl must have (S2)
}

// Found is what is found of an attempt after a restart.
type Found string

// What may be found.
const (
	FoundResult   Found = "result"    // it ended and its result is known
	FoundNeverRan Found = "never_ran" // Terraform was never started
	FoundLost     Found = "lost"      // it was started and nobody knows how it ended
)
