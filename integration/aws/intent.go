package aws

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
	runTag    = "gate:run"
	intentTag = "gate:added" // on a real group that has one instance more, or is about to have
	tagLimit  = 256          // characters of a tag's value
	noMembers = "-"
	markSize  = 4
)

// intent is what the tag of a real group says: that a run asked one instance more of it, and what the group
// was like before. In the tag it is four words:
//
//	481 2025-06-13T16:00:00Z 2 Yy13C6b3
//
// the run, when it expires, the desired capacity before, the members before. Of each member the last six
// hexadecimal digits are kept, as four characters: those 24 bits tell the few members of one group apart,
// and some fifty of them fit into a tag.
type intent struct {
	run     string
	expires time.Time
	desired int
	members string // of markSize each
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

// knows reports whether an instance was a member before.
func (i intent) knows(instanceID string) bool {
	m, ok := mark(instanceID)
	for at := 0; ok && at+markSize <= len(i.members); at += markSize {
		if i.members[at:at+markSize] == m {
			return true
		}
	}
	return false
}

// text is the tag's value. Errors: CodeInvalid for words that would not be read back; CodeConflict when
// they do not fit.
func (i intent) text() (string, error) {
	if i.run == "" || strings.ContainsFunc(i.run, func(r rune) bool { return r <= ' ' || r > '~' }) || i.expires.IsZero() {
		return "", invalid("one instance more needs the tags %s, a word, and %s, a time", runTag, expiresTag)
	}
	members := i.members
	if members == "" {
		members = noMembers
	}
	text := strings.Join([]string{i.run, i.expires.UTC().Format(time.RFC3339), strconv.Itoa(i.desired), members}, " ")
	if len(text) > tagLimit {
		return "", &upgrade.Error{
			Code: upgrade.CodeConflict,
			Msg:  fmt.Sprintf("the group has %d instances: a tag of %d characters cannot hold which they are", len(i.members)/markSize, tagLimit),
			Hint: "use the method temporary-group",
		}
	}
	return text, nil
}

// readIntent reads the tag's value. It reports whether it is one that text wrote.
func readIntent(value string) (i intent, ok bool) {
	words := strings.Split(value, " ")
	if len(words) != 4 {
		return intent{}, false
	}
	i = intent{run: words[0], members: words[3]}
	if i.members == noMembers {
		i.members = ""
	}
	var err error
	if i.expires, err = time.Parse(time.RFC3339, words[1]); err != nil {
		return intent{}, false
	}
	i.expires = i.expires.UTC()
	if i.desired, err = strconv.Atoi(words[2]); err != nil || i.desired < 0 {
		return intent{}, false
	}
	if _, err := base64.RawURLEncoding.DecodeString(i.members); err != nil || len(i.members)%markSize != 0 {
		return intent{}, false
	}
	again, err := i.text()
	return i, err == nil && again == value
}
