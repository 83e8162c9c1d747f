package sender

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	keyPrefix = "whsec_"
	// Standard Webhooks: a key has 24 to 64 bytes.
	shortestKey, longestKey, newKey = 24, 64, 32
)

// CheckSecret refuses a secret that Standard Webhooks does not know how to sign with. CodeInvalid.
func CheckSecret(s upgrade.Secret) error {
	_, err := keyOf(s)
	return err
}

func keyOf(s upgrade.Secret) ([]byte, error) {
	encoded, _ := strings.CutPrefix(s.Reveal(), keyPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) < shortestKey || len(key) > longestKey { // err is left out: it could quote the secret
		return nil, &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "the secret is not whsec_ and 24 to 64 bytes in base64",
			Hint: `make one with: echo "whsec_$(openssl rand -base64 32)"`,
		}
	}
	return key, nil
}

// newSecret makes a secret that nobody guesses.
func newSecret() upgrade.Secret {
	key := make([]byte, newKey)
	_, _ = rand.Read(key) // never fails: it would end the program
	return upgrade.Secret(keyPrefix + base64.StdEncoding.EncodeToString(key))
}

// sign returns the value of webhook-signature: one signature for each key that is good at the time, newest
// key first, so that a receiver with any of them can tell.
func sign(keys []upgrade.HookKey, id string, at time.Time, body []byte) (string, error) {
	var all []string
	for _, k := range keys {
		if !k.Until.IsZero() && !at.Before(k.Until) {
			continue
		}
		key, err := keyOf(k.Secret)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(all) == 0 {
		return "", &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the subscription has no secret that is good now", Hint: "rotate its secret"}
	}
	return strings.Join(all, " "), nil
}
