package webhooks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

var errNotObject = errors.New("the body is not a JSON object")

// maxID and maxEvent bound what is kept of headers, in characters.
const (
	maxID    = 200
	maxEvent = 100
)

// read makes a delivery of a verified request. What it does not understand becomes a HintOther; only
// a body that is no JSON object is an error.
func read(h http.Header, body []byte, now time.Time) (upgrade.Delivery, error) {
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return upgrade.Delivery{}, errNotObject
	}
	var p payload
	err := json.Unmarshal(body, &p)
	// A field of another type than expected is left out: custom templates and older GitLabs send such,
	// and everything else of the body is still read.
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !ok {
		return upgrade.Delivery{}, fmt.Errorf("%w: %w", errNotObject, err)
	}
	event := "unknown"
	for _, name := range []string{h.Get("X-Gitlab-Event"), p.ObjectKind} {
		if visible(strings.ReplaceAll(name, " ", "_"), maxEvent) { // "Push Hook"
			event = name
			break
		}
	}
	return upgrade.Delivery{
		ID: identify(h, body), Event: event, ReceivedAt: now, Body: body, Hint: p.hint(), Fate: upgrade.FatePending,
	}, nil
}

// identify returns what makes two deliveries the same one. X-Gitlab-Event-UUID and
// X-Gitlab-Webhook-UUID do not: the first is shared by different deliveries, the second is made anew
// by each retry.
func identify(h http.Header, body []byte) upgrade.DeliveryID {
	given := h.Get("webhook-id")
	if given == "" {
		given = h.Get("Idempotency-Key")
	}
	switch {
	case visible(given, maxID):
		return upgrade.DeliveryID(given)
	case given != "": // too long or not printable: its hash is as good a name
		return hashed([]byte(given))
	}
	return hashed(body)
}

func hashed(b []byte) upgrade.DeliveryID {
	sum := sha256.Sum256(b)
	return upgrade.DeliveryID("sha256:" + hex.EncodeToString(sum[:]))
}

// visible reports whether s is one to limit visible ASCII characters.
func visible(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}
