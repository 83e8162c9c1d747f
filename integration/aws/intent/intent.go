// Package intent writes and reads the tag by which a real Auto Scaling group says that it was asked one
// instance more, so that this can be taken back from AWS alone.
package intent

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	tagLimit  = 256 // characters of a tag's value
	noMembers = "-"
	markSize  = 4
)

// Intent is what the tag says: that a run asked one instance more, and what the group was like before. In
// the tag it is four words:
//
//	481 2025-06-13T16:00:00Z 2 9gcYAB3f
//
// the run, when it expires, the desired capacity before, the members before. Of each member the last six
// hexadecimal digits are kept, as four characters: those 24 bits tell the few members of one group apart,
// and some fifty of them fit into a tag.
type Intent struct {
	Run     string    // a word
	Expires time.Time // whole seconds
	Desired int       // capacity before

	members string // of markSize each
}

// Remember adds a member of before.
func (i *Intent) Remember(instanceID string) {
	if m, ok := mark(instanceID); ok {
		i.members += m
	}
}

// mark is what is kept of an instance's id.
func mark(instanceID string) (string, bool) {
	if len(instanceID) < 8 {
		return "", false
	}
	raw, err := hex.DecodeString(instanceID[len(instanceID)-6:])
	if err != nil {
		return "", false
	}
	return base64.RawURLEncoding.EncodeToString(raw), true
}

// Knows reports whether an instance was a member before. Of an id of another form that cannot be told: it
// counts as known, since what is not known may be ended.
func (i Intent) Knows(instanceID string) bool {
	m, ok := mark(instanceID)
	if !ok {
		return true
	}
	for at := 0; at+markSize <= len(i.members); at += markSize {
		if i.members[at:at+markSize] == m {
			return true
		}
	}
	return false
}

// Text returns the tag's value. Errors: CodeInvalid for words that would not be read back; CodeConflict when
// they do not fit.
func (i Intent) Text() (string, error) {
	if i.Run == "" || strings.ContainsFunc(i.Run, func(r rune) bool { return r <= ' ' || r > '~' }) || i.Expires.IsZero() {
		return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "one instance more needs the tags gate:run, a word, and gate:expires, a time"}
	}
	members := i.members
	if members == "" {
		members = noMembers
	}
	text := strings.Join([]string{i.Run, i.Expires.UTC().Format(time.RFC3339), strconv.Itoa(i.Desired), members}, " ")
	if len(text) > tagLimit {
		return "", &upgrade.Error{
			Code: upgrade.CodeConflict,
			Msg:  fmt.Sprintf("the group has %d instances: a tag of %d characters cannot hold which they are", len(i.members)/markSize, tagLimit),
			Hint: "use the method temporary-group",
		}
	}
	return text, nil
}

// Read reads the tag's value. It reports whether it is one that Text wrote.
func Read(value string) (i Intent, ok bool) {
	words := strings.Split(value, " ")
	if len(words) != 4 {
		return Intent{}, false
	}
	i = Intent{Run: words[0], members: words[3]}
	if i.members == noMembers {
		i.members = ""
	}
	var err error
	if i.Expires, err = time.Parse(time.RFC3339, words[1]); err != nil {
		return Intent{}, false
	}
	i.Expires = i.Expires.UTC()
	if i.Desired, err = strconv.Atoi(words[2]); err != nil || i.Desired < 0 {
		return Intent{}, false
	}
	if _, err := base64.RawURLEncoding.DecodeString(i.members); err != nil || len(i.members)%markSize != 0 {
		return Intent{}, false
	}
	again, err := i.Text()
	return i, err == nil && again == value
}
