package server

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/upgradegate/upgradegate/upgrade"
)

// problem is an error as the API tells it: RFC 9457, with the code and the hint of upgrade.Error.
type problem struct {
	Type      string       `json:"type"` // always about:blank: code says which kind it is
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Code      upgrade.Code `json:"code"`
	Hint      string       `json:"hint"` // of the API always set
	RequestID string       `json:"request_id"`
}

func status(code upgrade.Code) int {
	switch code {
	case upgrade.CodeInvalid:
		return http.StatusBadRequest
	case upgrade.CodeUnauthorized:
		return http.StatusUnauthorized
	case upgrade.CodeForbidden:
		return http.StatusForbidden
	case upgrade.CodeNotFound:
		return http.StatusNotFound
	case upgrade.CodeConflict, upgrade.CodeStale, upgrade.CodeBusy:
		return http.StatusConflict
	case upgrade.CodeLimited:
		return http.StatusTooManyRequests
	case upgrade.CodeUnavailable:
		return http.StatusServiceUnavailable
	case upgrade.CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

func statusOf(err error) int {
	if errors.Is(err, errKeyReused) { // as draft-ietf-httpapi-idempotency-key-header has it
		return http.StatusUnprocessableEntity
	}
	return status(upgrade.CodeOf(err))
}

// problemOf says what may be shown of err.
func problemOf(err error, requestID string) problem {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem{
			Type: "about:blank", Title: http.StatusText(http.StatusRequestEntityTooLarge), Status: http.StatusRequestEntityTooLarge,
			Detail: "the body is too large", Code: upgrade.CodeInvalid, RequestID: requestID,
		}
	}
	code, status := upgrade.CodeOf(err), statusOf(err)
	return problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: upgrade.Public(err), Code: code, Hint: upgrade.HintOf(err), RequestID: requestID,
	}
}

// api turns a handler that may return an error into one of gin's. It is the only place where the API
// answers an error, and where one that nobody expected is logged.
func (s *Server) api(handle func(c *gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := handle(c); err != nil {
			s.answerProblem(c, err)
		}
	}
}

func (s *Server) answerProblem(c *gin.Context, err error) {
	s.logUnexpected(c, err)
	refusedBy(c.Request.Context(), err)
	if c.Writer.Written() { // too late to say anything: a cut connection is the only honest sign
		panic(http.ErrAbortHandler)
	}
	p := hinted(problemOf(err, requestID(c)))
	if after := upgrade.RetryAfterOf(err); after > 0 {
		c.Header("Retry-After", strconv.Itoa(int(after.Seconds()+1)))
	}
	if p.Status == http.StatusUnauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="upgradegate"`)
	}
	c.Abort()
	writeJSON(c, p.Status, "application/problem+json", p)
}

// logUnexpected logs what is our own fault, or our database's; the rest is told to who asked.
func (s *Server) logUnexpected(c *gin.Context, err error) {
	switch upgrade.CodeOf(err) {
	case upgrade.CodeInternal, upgrade.CodeUnavailable:
		if c.Request.Context().Err() == nil {
			s.log.ErrorContext(c.Request.Context(), "request went wrong", "route", c.FullPath(), "request_id", requestID(c), "err", err)
		}
	case upgrade.CodeInvalid, upgrade.CodeUnauthorized, upgrade.CodeForbidden, upgrade.CodeNotFound,
		upgrade.CodeConflict, upgrade.CodeStale, upgrade.CodeBusy, upgrade.CodeLimited:
	}
}
