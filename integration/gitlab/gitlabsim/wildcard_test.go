package gitlabsim

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWildcard(t *testing.T) {
	for _, tc := range []struct {
		name, pattern, branch string
		want                  bool
	}{
		{"same", "main", "main", true},
		{"other", "main", "mainline", false},
		{"suffix", "release/*", "release/1/2", true},
		{"prefix", "*-stable", "16-stable", true},
		{"prefix_not", "*-stable", "16-stable-ee", false},
		{"middle", "a*c*e", "abcde", true},
		{"all", "*", "", true},
		{"nothing", "", "main", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := wildcard(tc.pattern, tc.branch); got != tc.want {
				t.Errorf("wildcard(%q, %q) = %v, want %v", tc.pattern, tc.branch, got, tc.want)
			}
		})
	}
}

// FuzzWildcard: it agrees with the regular expression that says the same.
func FuzzWildcard(f *testing.F) {
	f.Add("release/*", "release/1")
	f.Add("a*b*", "aab")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Count(pattern, "*") > 4 || len(name) > 50 || !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			return
		}
		want := regexp.MustCompile(`(?s)^` + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`) + `$`).MatchString(name)
		if got := wildcard(pattern, name); got != want {
			t.Errorf("wildcard(%q, %q) = %v, want %v", pattern, name, got, want)
		}
	})
}
