package gates

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

const (
	memoVersion = 1
	maxInMemo   = 5000 // grants; KMS allows 50,000 on a key, nearly all of them of attached volumes
)

// memo is the inventory of keys before a change.
type memo struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	Group   string    `json:"group"`
	Role    string    `json:"role"`
	Keys    []memoKey `json:"keys"`
	// Losses are what a standing gate has seen somebody lose of late.
	Losses []memoLoss `json:"losses,omitempty"`
}

// memoLoss is a loss that the group does not feel.
type memoLoss struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

type memoKey struct {
	ARN    string      `json:"arn"`
	State  string      `json:"state"`
	Policy string      `json:"policy,omitempty"` // digest
	Grants []memoGrant `json:"grants"`
}

type memoGrant struct {
	ID          string   `json:"id"`
	Name        string   `json:"name,omitempty"`
	Grantee     string   `json:"grantee"`
	Retirer     string   `json:"retirer,omitempty"`
	Operations  []string `json:"operations"`
	Constraints string   `json:"constraints,omitempty"`
}

// write returns the memo of what was seen.
func (k keyState) memo() memoKey {
	out := memoKey{ARN: k.key.ARN, State: k.key.State, Policy: k.digest, Grants: []memoGrant{}}
	for _, g := range k.grants {
		if !ofVolume(g) {
			out.Grants = append(out.Grants, memoGrant{g.ID, g.Name, g.Grantee, g.Retirer, slices.Sorted(slices.Values(g.Operations)), g.Constraints})
		}
	}
	return out
}

// text writes the memo. Error: CodeInvalid when it would be too large.
func (m memo) text() (string, error) {
	grants := 0
	for _, key := range m.Keys {
		grants += len(key.Grants)
	}
	if grants > maxInMemo {
		return "", &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the keys of group %s have %d grants, %d can be compared", m.Group, grants, maxInMemo),
			Hint: "retire grants that nobody needs",
		}
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("write the inventory: %w", err)
	}
	return string(text), nil
}

// readMemo reads what text wrote. Error: CodeConflict for what it did not write, or a later version did.
func readMemo(text string) (memo, error) {
	var m memo
	err := json.Unmarshal([]byte(text), &m)
	if err == nil && m.Version == memoVersion {
		return m, nil
	}
	if err == nil {
		err = fmt.Errorf("its version is %d, not %d", m.Version, memoVersion)
	}
	return memo{}, &upgrade.Error{
		Code: upgrade.CodeConflict, Msg: "the inventory of the time before the change cannot be read",
		Hint: "rehearse again", Cause: err,
	}
}

// ofVolume reports whether AWS itself made the grant, for a volume that is attached to an instance: such
// grants come and go with instances. The form of their grantee is that of
// https://docs.aws.amazon.com/kms/latest/developerguide/determining-access-grants.html.
func ofVolume(g cloud.Grant) bool {
	return strings.Contains(g.Grantee, ":assumed-role/aws:") || strings.Contains(g.Constraints, `"aws:ebs:id"`)
}

func (g memoGrant) grant(key string) cloud.Grant {
	return cloud.Grant{
		ID: g.ID, Name: g.Name, KeyARN: key, Grantee: g.Grantee, Retirer: g.Retirer, Operations: g.Operations, Constraints: g.Constraints,
	}
}

// identity is what makes two grants of a key the same, whatever their ids.
func identity(g cloud.Grant) string {
	return strings.Join([]string{g.Grantee, strings.Join(slices.Sorted(slices.Values(g.Operations)), ","), g.Constraints}, "\x00")
}

// fate is what became of a grant.
type fate string

// The fates.
const (
	fateLost    fate = "lost"
	fateMoved   fate = "moved"   // made anew with the same content
	fateChanged fate = "changed" // the grantee has another one instead
	fateNew     fate = "new"
)

// words says it behind the grant's name.
func (f fate) words() string {
	if f == fateChanged {
		return "was changed"
	}
	return "is gone"
}

// took begins what it took from somebody.
func (f fate) took(since string) string {
	if f == fateChanged {
		return "was changed " + since + " and no longer gives"
	}
	return "is gone " + since + ", and with it"
}

// difference is one grant that is not what it was.
type difference struct {
	fate   fate
	key    string // ARN
	before cloud.Grant
	after  cloud.Grant // of a moved, a changed and a new one
	gone   []string    // operations that the grantee no longer has by any grant
}

// compared returns how the grants on a key differ from what they were: not by id, so that a grant that was
// made anew is not lost, and of two equal ones one may go.
func compared(key string, before, after []cloud.Grant) []difference {
	before, after = slices.DeleteFunc(slices.Clone(before), ofVolume), slices.DeleteFunc(slices.Clone(after), ofVolume)
	has := func(list []cloud.Grant, g cloud.Grant, same func(a, b cloud.Grant) bool) int {
		return slices.IndexFunc(list, func(other cloud.Grant) bool { return same(g, other) })
	}
	byID := func(a, b cloud.Grant) bool { return a.ID == b.ID }
	byContent := func(a, b cloud.Grant) bool { return identity(a) == identity(b) }
	fresh := slices.DeleteFunc(slices.Clone(after), func(g cloud.Grant) bool { return has(before, g, byID) >= 0 })
	take := func(at int) cloud.Grant {
		g := fresh[at]
		fresh = slices.Delete(fresh, at, at+1)
		return g
	}
	var out, rest []difference
	for _, g := range before {
		if at := has(after, g, byID); at >= 0 && after[at].Grantee == g.Grantee {
			continue // the grantee is another, AROA…, once the role was deleted
		}
		d := difference{fate: fateLost, key: key, before: g}
		if at := has(fresh, g, byContent); at >= 0 {
			d.fate, d.after = fateMoved, take(at)
			out = append(out, d)
			continue
		}
		if has(after, g, byContent) < 0 { // else it was there twice
			rest = append(rest, d)
		}
	}
	for _, d := range rest {
		if at := has(fresh, d.before, func(a, b cloud.Grant) bool { return a.Grantee == b.Grantee }); at >= 0 {
			d.fate, d.after = fateChanged, take(at)
		}
		d.gone = uncovered(d.before, after)
		out = append(out, d)
	}
	for _, g := range fresh {
		out = append(out, difference{fate: fateNew, key: key, after: g})
	}
	slices.SortStableFunc(out, func(a, b difference) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// rank puts what takes something away first.
func rank(d difference) int {
	switch {
	case len(d.gone) > 0:
		return 0
	case d.fate == fateNew:
		return 2
	}
	return 1
}

// uncovered returns the operations of a grant that its grantee has by none of the others.
func uncovered(g cloud.Grant, others []cloud.Grant) []string {
	var out []string
	for _, op := range g.Operations {
		covers := func(o cloud.Grant) bool {
			return o.Grantee == g.Grantee && slices.Contains(o.Operations, op) && (o.Constraints == "" || o.Constraints == g.Constraints)
		}
		if !slices.ContainsFunc(others, covers) {
			out = append(out, op)
		}
	}
	return out
}
