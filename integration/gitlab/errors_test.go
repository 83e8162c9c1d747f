package gitlab

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/upgrade"
)

func TestWords(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"message", `{"message":"404 Project Not Found"}`, "404 Project Not Found"},
		{"error", `{"error":"404 Not Found"}`, "404 Not Found"},
		{"oauth", `{"error":"invalid_token","error_description":"Token was revoked."}`, "invalid_token: Token was revoked."},
		{"fields", `{"message":{"name":["has already been taken"],"a":["x","y"]}}`, "a x, y; name has already been taken"},
		{"list", `{"message":["Another open merge request already exists"]}`, "Another open merge request already exists"},
		{"text", "Retry later\n", "Retry later"},
		{"page", "<html><body>502</body></html>", ""},
		{"nothing", "", ""},
		{"number", `{"message":7}`, "7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := words([]byte(tc.body)); got != tc.want {
				t.Errorf("words(%s) = %q, want %q", tc.body, got, tc.want)
			}
		})
	}
}

func TestSeconds(t *testing.T) {
	now := time.Date(2026, 3, 6, 9, 16, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, header string
		want         time.Duration
	}{
		{"number", "30", 30 * time.Second},
		{"date", "Fri, 06 Mar 2026 09:17:30 GMT", 90 * time.Second},
		{"past", "Fri, 06 Mar 2026 09:00:00 GMT", 0},
		{"negative", "-5", 0},
		{"far", "99999999", 24 * time.Hour},
		{"nonsense", "soon", 0},
		{"nothing", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := seconds(tc.header, now); got != tc.want {
				t.Errorf("seconds(%q) = %s, want %s", tc.header, got, tc.want)
			}
		})
	}
}

// FuzzWords: whatever comes back, what we say of it is one short line of text without the token.
func FuzzWords(f *testing.F) {
	f.Add([]byte(`{"message":{"a":["b",{"c":null}]}}`), "glpat-1")
	f.Add([]byte("Retry later\nglpat-1"), "glpat-1")
	f.Add([]byte{0xff, 0xfe, '\n'}, "x")
	f.Fuzz(func(t *testing.T, body []byte, token string) {
		if strings.TrimSpace(token) != token || len(token) < 3 || strings.Contains("(secret)…?", token) || !utf8.ValidString(token) {
			return // nobody's token
		}
		c := &Client{token: upgrade.Secret(token)}
		got := c.scrub(words(body), 200)
		if len(got) > 210 || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\t") {
			t.Errorf("%q", got)
		}
		if strings.Contains(got, token) && !strings.ContainsAny(token, " \n\t\r()?…;,") {
			t.Errorf("%q has the token %q", got, token)
		}
	})
}
