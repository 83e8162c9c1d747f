package gitlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	gl "github.com/xanzy/go-gitlab"

	"github.com/upgradegate/upgradegate/upgrade"
)

// failure is an error with what the retry rules need to know about it.
type failure struct {
	*upgrade.Error
	status int    // of the answer; 0: there was none
	said   string // GitLab's own words, without the token
	again  bool   // a read may be tried again
}

// cause is what the log gets. It ends the chain of the library's errors, so that its types stay in this
// package and its texts are free of the token; only the end of a context can be asked for through it.
type cause struct {
	text string
	ctx  error
}

func (c *cause) Error() string { return c.text }

// Unwrap returns the context's error, if that is why.
func (c *cause) Unwrap() error { return c.ctx }

// failure translates what the library says, in which there may be an answer (resp) or none.
func (c *Client) failure(ctx context.Context, what string, resp *gl.Response, err error) *failure {
	f := &failure{Error: &upgrade.Error{Code: upgrade.CodeUnavailable, Cause: &cause{text: c.scrub(err.Error(), 500)}}}
	switch {
	case ctx.Err() != nil:
		f.interrupted(ctx, what, c.timeout)
	case errors.Is(err, errRedirect):
		f.Code = upgrade.CodeInvalid
		f.Msg = what + ": gitlab sends us to another address"
		f.Hint = "set gitlab.url to the address that GitLab itself calls external_url"
	case resp == nil || resp.Response == nil:
		f.Msg = what + ": gitlab cannot be reached"
		f.again = true
	case resp.StatusCode < 300:
		f.status = resp.StatusCode
		f.Msg = what + ": gitlab's answer makes no sense"
		f.Hint = "check that gitlab.url leads to GitLab itself, not to a proxy or a sign-in page"
		// An answer that breaks off is a fault of the network; one that is not JSON will not be JSON next time.
		_, syntax := errors.AsType[*json.SyntaxError](err)
		_, mistyped := errors.AsType[*json.UnmarshalTypeError](err)
		f.again = !syntax && !mistyped
	default:
		f.answered(c, what, resp, err)
	}
	return f
}

func (f *failure) interrupted(ctx context.Context, what string, timeout time.Duration) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		f.Msg = fmt.Sprintf("%s: gitlab did not answer within %s", what, timeout)
		f.Cause = &cause{text: f.Cause.Error(), ctx: context.DeadlineExceeded}
		return
	}
	f.Msg = what + ": interrupted"
	f.Cause = &cause{text: f.Cause.Error(), ctx: context.Cause(ctx)}
}

// answered is for an answer that says no.
func (f *failure) answered(c *Client, what string, resp *gl.Response, err error) {
	f.status = resp.StatusCode
	if body, ok := errors.AsType[*gl.ErrorResponse](err); ok {
		f.said = c.scrub(words(body.Body), 200)
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized:
		f.Code, f.Msg = upgrade.CodeUnauthorized, what+": gitlab does not accept the token"
		f.Hint = "the token may have expired or been revoked: make a new one with scope api"
	case s == http.StatusForbidden:
		f.Code, f.Msg = upgrade.CodeForbidden, what+": gitlab does not allow it"
		f.Hint = "check the bot's role in the project, the token's scope (api), protected branches and protected environments"
	case s == http.StatusNotFound:
		f.Code, f.Msg = upgrade.CodeNotFound, what+": gitlab knows no such thing"
		f.Hint = "it may be gone, or the bot may not be a member of the project"
	case s == http.StatusConflict:
		f.Code, f.Msg = upgrade.CodeConflict, what+": gitlab is busy with the same thing"
	case s == http.StatusTooManyRequests:
		f.Code, f.Msg = upgrade.CodeLimited, what+": gitlab limits our requests"
		f.RetryAfter = c.retryAfter(resp.Header)
		f.again = true
	case s >= 500:
		f.Msg = fmt.Sprintf("%s: gitlab is in trouble (%d)", what, s)
		f.RetryAfter = seconds(resp.Header.Get("Retry-After"), c.clock.Now())
		f.again = true
	case s >= 300 && s < 400:
		f.Code, f.Msg = upgrade.CodeInvalid, fmt.Sprintf("%s: gitlab sends us elsewhere (%d)", what, s)
		f.Hint = "set gitlab.url to the address that GitLab itself calls external_url"
	default:
		f.Code, f.Msg = upgrade.CodeInvalid, fmt.Sprintf("%s: gitlab refuses it (%d)", what, s)
	}
	if f.said != "" && s4xx(f.status) && f.Code != upgrade.CodeUnauthorized {
		f.Msg += ": " + f.said
	}
}

func s4xx(status int) bool { return status >= 400 && status < 500 }

// retryAfter returns how long a 429 asks us to wait: Retry-After, else until RateLimit-Reset, else 0.
// Application limits (notes, pipelines) come without either.
func (c *Client) retryAfter(h http.Header) time.Duration {
	now := c.clock.Now()
	if d := seconds(h.Get("Retry-After"), now); d > 0 {
		return d
	}
	reset, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64)
	if err != nil {
		return 0
	}
	return bounds(time.Unix(reset, 0).Sub(now))
}

// seconds reads a Retry-After header, which is a number of seconds or a date.
func seconds(v string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(v, 10, 32); err == nil {
		return bounds(time.Duration(n) * time.Second)
	}
	if at, err := http.ParseTime(v); err == nil {
		return bounds(at.Sub(now))
	}
	return 0
}

// bounds keeps a wait that we were told sensible: not negative, and at most a day.
func bounds(d time.Duration) time.Duration { return min(max(d, 0), 24*time.Hour) }

// words returns the message of an answer's body: GitLab sends {"message": text or fields} or {"error": text};
// its limiter and the servers before it send plain text.
func words(body []byte) string {
	var m struct {
		Message any    `json:"message"`
		Error   string `json:"error"`
		Detail  string `json:"error_description"`
	}
	if json.Unmarshal(body, &m) != nil {
		text := strings.TrimSpace(string(body))
		if strings.HasPrefix(text, "<") { // a page
			return ""
		}
		return text
	}
	switch {
	case m.Message != nil:
		return flat(m.Message)
	case m.Detail != "":
		return m.Error + ": " + m.Detail
	}
	return m.Error
}

func flat(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, flat(e))
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		var parts []string
		for k, e := range v {
			parts = append(parts, k+" "+flat(e))
		}
		slices.Sort(parts)
		return strings.Join(parts, "; ")
	}
	return fmt.Sprint(v)
}

// scrub returns text on one line, without the token, cut to limit bytes.
func (c *Client) scrub(text string, limit int) string {
	text = strings.ReplaceAll(text, c.token.Reveal(), c.token.String())
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
