package sender

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// FuzzAnswer reads whatever a receiver may answer.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "", []byte("ok"))
	f.Add(500, "", []byte("<html>\n<h1>no"))
	f.Add(503, "120", []byte(""))
	f.Add(429, "Mon, 23 Nov 2026 09:30:00 GMT", []byte("\xff\xfe\x00\x1b[31m"))
	f.Add(429, "18446744073709551615", []byte(strings.Repeat("x", 5000)))
	f.Add(302, "-1", []byte("\u202e"))
	now := time.Date(2026, 11, 23, 9, 16, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte) {
		a := judge(status, retryAfter, body, now)
		if a.ok != (status >= 200 && status < 300) || a.gone != (status == http.StatusGone) {
			t.Errorf("%d: %+v", status, a)
		}
		if a.after < 0 || a.after > maxPatience {
			t.Errorf("%q: waits %s", retryAfter, a.after)
		}
		if !utf8.ValidString(a.words) || len([]rune(a.words)) > maxQuote+100 || strings.ContainsFunc(a.words, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("shown: %q", a.words)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 16, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "Mon, 23 Nov 2026 09:17:00 GMT": time.Minute, "Mon, 23 Nov 2026 09:00:00 GMT": 0,
		"999999999": maxPatience, "-5": 0, "soon": 0, "99999999999999999999": 0,
	} {
		if got := patience(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}
