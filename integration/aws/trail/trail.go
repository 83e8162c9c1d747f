// Package trail reads CloudTrail's records of what was done to KMS keys and grants. It knows the record,
// not how to ask for it: integration/aws does that.
//
// The form of the records is documented in the CloudTrail user guide ("CloudTrail record contents for
// management events") and, per operation, in the KMS developer guide ("Examples of AWS KMS log entries").
package trail

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// Source is the eventSource of KMS. Other services have operations of the same names.
const Source = "kms.amazonaws.com"

// Names returns the operations that are read: what changes who may use a key. Not among them is what a
// change gives back, such as EnableKey.
func Names() []string {
	return []string{"RevokeGrant", "RetireGrant", "PutKeyPolicy", "DisableKey", "ScheduleKeyDeletion", "CreateGrant"}
}

const (
	maxText = 512 // bytes of one text that is kept of a record
	arnType = "AWS::KMS::Key"
)

// record is a record as far as it is used.
type record struct {
	ID     string    `json:"eventID"`
	Source string    `json:"eventSource"`
	Name   string    `json:"eventName"`
	Time   time.Time `json:"eventTime"`
	Agent  string    `json:"userAgent"`
	Error  string    `json:"errorCode"`
	Who    struct {
		ARN       string `json:"arn"`
		Principal string `json:"principalId"`
		Service   string `json:"invokedBy"`
	} `json:"userIdentity"`
	Request  subject `json:"requestParameters"`
	Response subject `json:"responseElements"`
	// RetireGrant has no request parameters: KMS writes here which grant it was.
	More      subject `json:"additionalEventData"`
	Resources []struct {
		ARN  string `json:"ARN"`
		Type string `json:"type"`
	} `json:"resources"`
}

// subject is what an operation was about, in any of the three places.
type subject struct {
	KeyID   string `json:"keyId"`
	GrantID string `json:"grantId"`
}

// Parse reads one record. It reports ok = false for what does not count: a call that was refused, one of
// another service, an operation that is not among Names. What it returns holds no control characters and no
// text of more than 512 bytes. Error: the record is no JSON of that form, or lacks its time.
func Parse(text string) (event cloud.KeyEvent, ok bool, err error) {
	var r record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return cloud.KeyEvent{}, false, fmt.Errorf("read a CloudTrail record: %w", err)
	}
	if r.Source != Source || !slices.Contains(Names(), r.Name) || r.Error != "" {
		return cloud.KeyEvent{}, false, nil
	}
	if r.Time.IsZero() {
		return cloud.KeyEvent{}, false, fmt.Errorf("read a CloudTrail record: %s has no eventTime", r.Name)
	}
	event = cloud.KeyEvent{
		ID: clean(r.ID), Name: r.Name, At: r.Time.UTC(), Agent: clean(r.Agent),
		By:      clean(first(r.Who.ARN, r.Who.Service, r.Who.Principal)),
		KeyID:   clean(first(r.Request.KeyID, r.Response.KeyID, r.keyARN())),
		GrantID: clean(first(r.Request.GrantID, r.Response.GrantID, r.More.GrantID)),
	}
	return event, true, nil
}

// keyARN returns the key among the resources, which every record of KMS lists.
func (r record) keyARN() string {
	for _, res := range r.Resources {
		if res.Type == arnType {
			return res.ARN
		}
	}
	return ""
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// clean makes a text fit to be shown: who makes a call writes its user agent as they like.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "")
}
