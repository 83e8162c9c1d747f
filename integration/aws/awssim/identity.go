package awssim

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The access key that a simulator accepts when none is configured: the one of AWS's documentation.
const (
	DefaultKeyID  = "AKIAIOSFODNN7EXAMPLE"                     //nolint:gosec // published by AWS as an example
	DefaultSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" //nolint:gosec // published by AWS as an example
)

// AccessKey is a long-lived credential of an IAM user.
type AccessKey struct {
	ID     string
	Secret upgrade.Secret
	ARN    string // of the user, such as arn:aws:iam::111111111111:user/terraform
}

// Role is an IAM role that AssumeRole gives out. Roles have every IAM permission but what Sim.Deny takes
// away; service-linked roles have none on keys, as in reality.
type Role struct {
	ARN        string
	ExternalID upgrade.Secret // that the trust policy asks for; empty: none
}

// identity is who signed a request.
type identity struct {
	ARN       string // of the user, or of the role's session
	Principal string // of the user or role: what policies and grants name
	Account   string
	UserID    string
}

// session is a temporary credential.
type session struct {
	secret  string
	token   string
	who     identity
	expires time.Time // by the client's clock
}

// accountOf returns the account of an ARN, "" if it is none.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return ""
	}
	return parts[4]
}

// authenticate finds out who signed the request.
func (w *world) authenticate(r *http.Request, body []byte) (identity, signature, time.Time, error) {
	sig, err := parseAuthorization(r.Header.Get("Authorization"))
	if err != nil {
		return identity{}, sig, time.Time{}, err
	}
	at, err := signedAt(r, sig)
	if err != nil {
		return identity{}, sig, at, err
	}
	who, secret, err := w.credential(sig.key, r.Header.Get(headerToken), sig.service, at)
	if err != nil {
		return identity{}, sig, at, err
	}
	return who, sig, at, verify(r, body, sig, secret)
}

// credential looks an access key up. Each service has its own word for one that is not known.
func (w *world) credential(id, token, service string, at time.Time) (identity, string, error) {
	for _, key := range w.cfg.Keys {
		if key.ID == id && token == "" {
			return identity{ARN: key.ARN, Principal: key.ARN, Account: accountOf(key.ARN), UserID: "AIDA" + short(key.ARN)}, key.Secret.Reveal(), nil
		}
	}
	s := w.sessions[id]
	if s == nil || s.token != token {
		switch {
		case service == serviceEC2:
			return identity{}, "", &apiError{
				http.StatusUnauthorized, "AuthFailure",
				"AWS was not able to validate the provided access credentials",
			}
		case speaksJSON(service):
			return identity{}, "", refuse("UnrecognizedClientException", "The security token included in the request is invalid.")
		}
		return identity{}, "", &apiError{http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."}
	}
	if at.After(s.expires) {
		switch {
		case service == serviceEC2:
			return identity{}, "", refuse("RequestExpired", "Request has expired.")
		case speaksJSON(service):
			return identity{}, "", refuse("ExpiredTokenException", "The security token included in the request is expired")
		}
		return identity{}, "", &apiError{http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired"}
	}
	return s.who, s.secret, nil
}

// denied reports whether a test or the demo took the permission away.
func (w *world) denied(who identity, service, action string) bool {
	for _, name := range []string{who.Principal, "*"} {
		if w.denials[denial{name, permission(service, action)}] || w.denials[denial{name, service + ":*"}] {
			return true
		}
	}
	return false
}

// denial is a permission that a principal does not have.
type denial struct{ principal, action string }

// startSession makes temporary credentials for a role.
func (w *world) startSession(role *Role, name string, until time.Time) (id string, s *session) {
	parts := strings.Split(role.ARN, "/")
	roleName := parts[len(parts)-1]
	account := accountOf(role.ARN)
	w.seq++
	sum := sha256.Sum256(fmt.Appendf(nil, "session %s %s %d", role.ARN, name, w.seq))
	roleID := "AROA" + short(role.ARN)
	id = "ASIA" + strings.ToUpper(hex.EncodeToString(sum[:8]))
	s = &session{
		secret: base64.RawStdEncoding.EncodeToString(sum[:30]),
		token:  "IQoJ" + base64.RawStdEncoding.EncodeToString(sum[:]),
		who: identity{
			ARN:       fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", account, roleName, name),
			Principal: role.ARN, Account: account, UserID: roleID + ":" + name,
		},
		expires: until,
	}
	w.sessions[id] = s
	return id, s
}

// short is a stable stand-in for the ids that AWS makes up.
func short(of string) string {
	sum := sha256.Sum256([]byte(of))
	return strings.ToUpper(hex.EncodeToString(sum[:8]))
}
