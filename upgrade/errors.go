package upgrade

import (
	"context"
	"errors"
	"time"
)

// Code says what kind of trouble an error is, for those who decide on it: HTTP status, exit code, retry.
type Code string

// The codes. CodeInternal is what every error without a code counts as.
const (
	CodeInvalid      Code = "invalid"      // the input is wrong; the same input will be wrong again
	CodeUnauthorized Code = "unauthorized" // who asks could not be established
	CodeForbidden    Code = "forbidden"    // who asks may not
	CodeNotFound     Code = "not_found"    // the thing does not exist
	CodeConflict     Code = "conflict"     // the thing is in a state that does not allow it
	CodeStale        Code = "stale"        // somebody else moved it first, or the lease was lost
	CodeBusy         Code = "busy"         // the stack's slot is taken
	CodeLimited      Code = "limited"      // too many requests; see RetryAfter
	CodeUnavailable  Code = "unavailable"  // an outside system did not answer, or not sensibly; it may pass
	CodeInternal     Code = "internal"     // anything else
)

// Error is the one error type that crosses package borders. Msg may be shown to anybody who may see
// the thing concerned, so it never holds a secret; Cause is for the log.
type Error struct {
	Code       Code
	Msg        string        // what happened, lower case, no full stop
	Hint       string        // what to do about it; may be empty
	RetryAfter time.Duration // with CodeLimited or CodeUnavailable: how long the other side asked us to wait; 0: not said
	Cause      error
}

// Error returns the message and its cause.
func (e *Error) Error() string {
	switch {
	case e.Msg == "" && e.Cause != nil:
		return e.Cause.Error()
	case e.Cause != nil:
		return e.Msg + ": " + e.Cause.Error()
	}
	return e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// CodeOf returns the code of the first Error in err's chain; CodeUnavailable for a deadline that ran
// out; else CodeInternal. It must not be called with nil.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return CodeUnavailable
	}
	return CodeInternal
}

// Public returns what may be shown of err: the message of the first Error in its chain, or a sentence
// that discloses nothing.
func Public(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Msg != "" {
		return e.Msg
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took too long"
	}
	return "something went wrong; the log has the details"
}

// HintOf returns the hint of the first Error in err's chain that has one, else "".
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Cause
	}
	return ""
}

// Transient reports whether doing the same again later may help.
func Transient(err error) bool {
	switch CodeOf(err) {
	case CodeUnavailable, CodeLimited, CodeBusy, CodeInternal:
		return !errors.Is(err, context.Canceled)
	case CodeInvalid, CodeUnauthorized, CodeForbidden, CodeNotFound, CodeConflict, CodeStale:
		return false
	}
	return false
}

// RetryAfterOf returns how long the other side asked to wait, 0 if it did not say.
func RetryAfterOf(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
