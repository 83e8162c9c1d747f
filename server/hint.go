package server

import (
	"net/http"

	"github.com/upgradegate/upgradegate/upgrade"
)

// hinted gives a problem of the API a hint if nobody who knew better gave it one: whoever reads it is told what to
// do in each case. The command line shows these hints too, so they speak of things and not of addresses.
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
		return "change what was sent: the description at /api/v1/openapi.json says what is taken here"
	case upgrade.CodeUnauthorized:
		return "sign in, or send a token that counts: as Authorization: Bearer …, on the command line as UPGRADEGATE_TOKEN"
	case upgrade.CodeForbidden:
		return "ask somebody who may, or an admin for the role; GET /api/v1/me says what you may do"
	case upgrade.CodeNotFound:
		return "check the name or number: the list that it is from shows what there is"
	case upgrade.CodeConflict:
		return "look at it again: its state says what can be done now"
	case upgrade.CodeStale:
		return "look at it again, and decide by what it is now"
	case upgrade.CodeBusy:
		return "wait until what is under way has ended, then send it again"
	case upgrade.CodeLimited:
		return "wait a moment, as long as Retry-After says, then send it again"
	case upgrade.CodeUnavailable:
		return "try again in a minute; /readyz and the log of the service say what does not answer"
	case upgrade.CodeInternal:
	}
	return "look for the request id in the log of the service"
}
