package varnish

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// redacted stands where a secret stood.
const redacted = "(redacted)"

// shortSecret is the length below which a value is not looked for by itself: replacing every "x" would
// leave no page readable and hide nothing. Its name=value or Name: value form is replaced all the same.
const shortSecret = 4

// carrier finds echoed headers that carry credentials, in whatever a page prints.
var carrier = regexp.MustCompile(`(?i)\b((?:set-)?cookie2?|(?:proxy-)?authorization)(["']?\s*[:=]>?\s*)[^\r\n<]+`)

// redactor takes the secrets of a path out of what is kept.
type redactor struct {
	secrets []string // every form in which a secret may come back
}

func newRedactor(b probe.Bypass) *redactor {
	r := &redactor{}
	r.add(b.Value)
	for word := range strings.FieldsSeq(b.Value) {
		r.add(word) // such as the second word of "Basic …"
	}
	if b.Value != "" {
		r.secrets = append(r.secrets, b.Header+": "+b.Value)
	}
	for pair := range strings.SplitSeq(b.Cookie, ";") {
		if _, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
			r.add(value)
			r.secrets = append(r.secrets, strings.TrimSpace(pair))
		}
	}
	return r
}

func (r *redactor) add(secret string) {
	if len(secret) < shortSecret {
		return
	}
	r.secrets = append(r.secrets, secret, html.EscapeString(secret), url.QueryEscape(secret), url.PathEscape(secret))
}

// clean returns s without secrets.
func (r *redactor) clean(s string) string {
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, redacted)
	}
	return carrier.ReplaceAllString(s, "$1$2"+redacted)
}

// quote returns the status line, the headers that tell something, and the head of the body.
func (c *climber) quote(a *answer) string {
	var b strings.Builder
	b.WriteString(a.line)
	b.WriteByte('\n')
	names := []string{
		"Server", "Via", "X-Varnish", "Age", "X-Cache", "X-Served-By", "Cache-Control", "Content-Type",
		"Content-Length", "Location", "Retry-After", "Date",
	}
	told := map[string]bool{"Set-Cookie": true, "Set-Cookie2": true, "Authorization": true, http.CanonicalHeaderKey(c.t.path.Bypass.Header): true}
	for _, name := range append(names, sortedKeys(c.t.headers)...) {
		name = http.CanonicalHeaderKey(name)
		if told[name] {
			continue
		}
		told[name] = true
		for _, value := range a.header.Values(name) {
			b.WriteString(name + ": " + printable(value, 300) + "\n")
		}
	}
	b.WriteByte('\n')
	// Cleaned before it is cut: half a secret would not be found.
	b.WriteString(head(c.t.redact.clean(string(a.body)), quoteBody))
	return strings.TrimSpace(c.t.redact.clean(b.String()))
}

// head returns the first n bytes of text that is fit to print.
func head(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
