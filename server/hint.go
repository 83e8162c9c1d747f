package server

import (
	"net/http"

	"github.com/upgradegate/upgradegate/upgrade"
)

// hinted gives a problem of the API a hint if nobody who knew better gave it one: whoever reads it is told what to
// do in each case.
func hinted(p problem) problem {
	if p.Hint == "" {
		p.Hint = usualHint(p.Status, p.Code)
	}
	return p
}

func usualHint(status int, code upgrade.Code) string {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return "send a shorter body"
	case http.StatusMethodNotAllowed:
		return "the Allow header has the methods that exist here; /api/v1/openapi.json has every operation"
	}
	switch code {
	case upgrade.CodeInvalid:
		return "change the request: /api/v1/openapi.json says what may be sent here"
	case upgrade.CodeUnauthorized:
		return "sign in, or send a token as Authorization: Bearer …"
	case upgrade.CodeForbidden:
		return "ask somebody who may, or an admin for the role; GET /api/v1/me says what you may do"
	case upgrade.CodeNotFound:
		return "look at the address: the list that it belongs to has what there is"
	case upgrade.CodeConflict:
		return "read it again: its state says what can be done now"
	case upgrade.CodeStale:
		return "read it again, and decide by what it is now"
	case upgrade.CodeBusy:
		return "wait until what is under way has ended, then send it again"
	case upgrade.CodeLimited:
		return "wait as long as Retry-After says, then send it again"
	case upgrade.CodeUnavailable:
		return "try again in a minute; /readyz and the log of the service say what does not answer"
	case upgrade.CodeInternal:
	}
	return "look for the request id in the log of the service"
}
