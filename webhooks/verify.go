package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Secrets are how deliveries prove that GitLab sent them. At least one is set. With both, a delivery
// that carries a signature must carry a good one, and any other must carry the token.
type Secrets struct {
	// Token is what GitLab sends as X-Gitlab-Token ("secret token" of the hook).
	Token upgrade.Secret
	// Signing is the signing token of the hook (GitLab 19.0 and later): whsec_ and the key in base64.
	Signing upgrade.Secret
}

// tolerance is how far webhook-timestamp may be from now, either way (Standard Webhooks).
const tolerance = 5 * time.Minute

// minKey is the shortest signing key that Standard Webhooks allows, in bytes.
const minKey = 24

var (
	errNoToken      = errors.New("no X-Gitlab-Token")
	errWrongToken   = errors.New("X-Gitlab-Token is wrong")
	errNoSignature  = errors.New("no webhook-signature, webhook-id and webhook-timestamp")
	errBadSignature = errors.New("no webhook-signature matches")
	errStale        = errors.New("webhook-timestamp is not within 5 minutes of now")
)

// verifier holds the configured secrets, ready to be compared.
type verifier struct {
	token *[sha256.Size]byte // digest of the token, so that a comparison tells not even its length; nil: none
	key   []byte             // nil: none
}

func newVerifier(s Secrets) (verifier, error) {
	var v verifier
	if !s.Token.Set() && !s.Signing.Set() {
		return v, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "no webhook secret is set",
			Hint: "set gitlab.webhook.secret_token, signing_token, or both, to what the hook in GitLab has",
		}
	}
	if s.Token.Set() {
		raw := s.Token.Reveal()
		if strings.TrimSpace(raw) != raw {
			return v, &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: "the webhook's secret token begins or ends with white space",
				Hint: "does its file end with an empty line?",
			}
		}
		digest := sha256.Sum256([]byte(raw))
		v.token = &digest
	}
	if s.Signing.Set() {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Signing.Reveal(), "whsec_"))
		if err != nil || len(key) < minKey { // err quotes nothing of the secret, and is left out all the same
			return v, &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: "the webhook's signing token is not a key of at least 24 bytes in base64",
				Hint: "copy it from GitLab as it is, with whsec_ in front",
			}
		}
		v.key = key
	}
	return v, nil
}

// signed reports whether the delivery is to be judged by its signature.
func (v verifier) signed(h http.Header) bool {
	return v.key != nil && (v.token == nil || h.Get("webhook-signature") != "")
}

// early refuses, before the body is read, what can be refused by its header alone.
func (v verifier) early(h http.Header) error {
	if !v.signed(h) {
		return v.checkToken(h)
	}
	if h.Get("webhook-id") == "" || h.Get("webhook-timestamp") == "" || h.Get("webhook-signature") == "" {
		return errNoSignature
	}
	return nil
}

// full judges the whole delivery; it repeats early, so that nothing depends on the order of calls.
func (v verifier) full(h http.Header, body []byte, now time.Time) error {
	if err := v.early(h); err != nil {
		return err
	}
	if !v.signed(h) {
		return nil
	}
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return errStale
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return errStale
	}
	mac := hmac.New(sha256.New, v.key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	want := mac.Sum(nil)
	for one := range strings.FieldsSeq(h.Get("webhook-signature")) {
		encoded, ok := strings.CutPrefix(one, "v1,")
		if !ok {
			continue
		}
		got, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return errBadSignature
}

func (v verifier) checkToken(h http.Header) error {
	given := h.Get("X-Gitlab-Token")
	if v.token == nil || given == "" {
		return errNoToken
	}
	digest := sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(digest[:], v.token[:]) != 1 {
		return errWrongToken
	}
	return nil
}
