package upgrade

import (
	"fmt"
	"regexp"
	"strconv"
)

// RunID numbers the runs of one installation, from 1, in order of creation.
type RunID int64

// String returns the number in decimal, as pages and addresses show it.
func (id RunID) String() string { return strconv.FormatInt(int64(id), 10) }

// ResultID identifies a kept result in the store.
type ResultID int64

// UpgradeID identifies an upgrade (a project and a tree) in the store.
type UpgradeID int64 //nolint:revive // ID alone would not say of what, beside RunID and DeliveryID

// StackName is the configured name of a stack, such as "ecs-master".
type StackName string

// EnvName is the configured name of an environment, such as "staging".
type EnvName string

// GateName is the configured name of a gate, such as "launch".
type GateName string

// DeliveryID identifies a delivery: GitLab's webhook-id or Idempotency-Key, else a hash of its body.
type DeliveryID string

// Commit is the full lower-case hexadecimal name of a git commit (40 or 64 digits).
type Commit string

// Short returns the first seven digits, the form that pages show.
func (c Commit) Short() string { return short(string(c)) }

// Tree is the full lower-case hexadecimal name of a git tree: the hash of a commit's whole content.
type Tree string

// Short returns the first seven digits, the form that pages show.
func (t Tree) Short() string { return short(string(t)) }

func short(s string) string {
	if len(s) > 7 {
		return s[:7]
	}
	return s
}

var hexName = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// ParseCommit returns s as a commit name. Error: CodeInvalid when s is not 40 or 64 lower-case
// hexadecimal digits, or is the all-zero name with which git says "none".
func ParseCommit(s string) (Commit, error) {
	if !hexName.MatchString(s) || Commit(s).Zero() {
		return "", &Error{Code: CodeInvalid, Msg: fmt.Sprintf("%q is not a commit", s), Hint: "give the full hexadecimal name"}
	}
	return Commit(s), nil
}

// Zero reports whether c is empty or the all-zero name that git and GitLab send for "no commit".
func (c Commit) Zero() bool {
	for _, digit := range c {
		if digit != '0' {
			return false
		}
	}
	return true
}
