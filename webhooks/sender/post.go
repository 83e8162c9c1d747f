package sender

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	postWithin  = 10 * time.Second
	maxAnswer   = 4 << 10 // bytes of an answer that are read
	maxHeader   = 16 << 10
	maxQuote    = 160 // characters of an answer that are shown
	maxPatience = 24 * time.Hour
)

// Guard decides whether an address may be dialled: it is the Control of a [net.Dialer], which sees the address
// after every name has been resolved.
type Guard func(network, address string, c syscall.RawConn) error

// newClient returns a client that goes nowhere but to the address itself: no proxy, no redirect, no cookie.
func newClient(guard Guard) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: guard}
	return &http.Client{
		Timeout:       postWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 5 * time.Second,
			MaxResponseHeaderBytes: maxHeader, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second, DisableCompression: true, ForceAttemptHTTP2: true,
		},
	}
}

// answer is what came of a post.
type answer struct {
	ok    bool
	gone  bool          // 410: nothing more is to be sent
	after time.Duration // how long the receiver asked to wait; 0: it did not
	words string        // for people
}

// post sends a body, signed, and says what came of it. It never returns longer than postWithin after it was
// called.
func (r *Room) post(ctx context.Context, h upgrade.Hook, id string, body []byte) answer {
	now := r.clock.Now()
	signature, err := sign(h.Keys, id, now, body)
	if err != nil {
		return answer{words: upgrade.Public(err)}
	}
	ctx, cancel := context.WithTimeout(ctx, postWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return answer{words: "the address cannot be used"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "upgradegate")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	resp, err := r.client.Do(req) //nolint:gosec // the address is an admin's own, and the guard sees where it leads
	if err != nil {
		return answer{words: unreached(err)}
	}
	defer func() { _ = resp.Body.Close() }() // read as far as it is wanted
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	a := judge(resp.StatusCode, resp.Header.Get("Retry-After"), text, now)
	a.words = r.mask(a.words)
	return a
}

// unreached says why nothing was answered. An error of net/http repeats the address, which may hold a secret:
// only the innermost part of it is told.
func unreached(err error) string {
	if refused, ok := errors.AsType[*upgrade.Error](err); ok {
		return "not sent: " + refused.Msg
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Sprintf("no answer within %s", postWithin)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return "no answer: " + oneLine([]byte(err.Error()))
}

// judge reads an answer. Whatever a receiver sends ends here.
func judge(status int, retryAfter string, body []byte, now time.Time) answer {
	a := answer{ok: status >= 200 && status < 300, gone: status == http.StatusGone}
	a.words = fmt.Sprintf("answered %d", status)
	if text := http.StatusText(status); text != "" {
		a.words += " " + text
	}
	switch {
	case a.ok:
		return a
	case status >= 300 && status < 400:
		a.words += ": redirects are not followed"
	default:
		if quote := oneLine(body); quote != "" {
			a.words += ": " + quote
		}
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		a.after = patience(retryAfter, now)
	}
	return a
}

// patience reads Retry-After: seconds or a date (RFC 9110 §10.2.3). What cannot be read is 0, and nobody makes
// us wait longer than a day.
func patience(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(n, uint64(maxPatience/time.Second))) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxPatience)
}

// oneLine is the first line of what a receiver said, as far as it can be shown.
func oneLine(body []byte) string {
	text, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(body), "")), "\n")
	text = strings.TrimSpace(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, text))
	if runes := []rune(text); len(runes) > maxQuote {
		text = string(runes[:maxQuote]) + "…"
	}
	return text
}
