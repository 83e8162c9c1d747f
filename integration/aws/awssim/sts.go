package awssim

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"time"
)

func stsActions() map[string]action {
	return map[string]action{
		"GetCallerIdentity": getCallerIdentity,
		"AssumeRole":        assumeRole,
	}
}

func getCallerIdentity(c *call) (any, error) {
	return []node{tx("UserId", c.who.UserID), tx("Account", c.who.Account), tx("Arn", c.who.ARN)}, nil
}

func assumeRole(c *call) (any, error) {
	arn, name := c.p.str("RoleArn"), c.p.str("RoleSessionName")
	external := c.p.str("ExternalId")
	if arn == "" || name == "" {
		return nil, invalid("1 validation error detected: Value at 'roleArn' or 'roleSessionName' failed to satisfy constraint: Member must not be null")
	}
	seconds, err := c.p.num("DurationSeconds", 3600)
	if err != nil {
		return nil, err
	}
	if seconds < 900 || seconds > 43200 {
		return nil, invalid("1 validation error detected: Value '%d' at 'durationSeconds' failed to satisfy constraint: Member must have value between 900 and 43200", seconds)
	}
	role := c.roles[arn]
	// The real service does not tell a role that does not exist from one that does not trust the caller.
	if role == nil || isServiceLinked(arn) ||
		subtle.ConstantTimeCompare([]byte(role.ExternalID.Reveal()), []byte(external)) != 1 && role.ExternalID.Set() {
		return nil, &apiError{
			http.StatusForbidden, "AccessDenied",
			fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.who.ARN, arn),
		}
	}
	// The expiry is by the clock of who asks: a client would throw away credentials that the world's
	// clock, which may be moved, calls fresh.
	until := c.signed.Add(time.Duration(seconds) * time.Second)
	id, s := c.startSession(role, name, until)
	return []node{
		nd("Credentials", tx("AccessKeyId", id), tx("SecretAccessKey", s.secret), tx("SessionToken", s.token),
			tx("Expiration", until.UTC().Format(time.RFC3339))),
		nd("AssumedRoleUser", tx("AssumedRoleId", s.who.UserID), tx("Arn", s.who.ARN)),
	}, nil
}
