package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
)

func TestKindsHaveKeys(t *testing.T) {
	for _, kind := range gates.Kinds() {
		if !slices.Contains(builtKinds(), kind.Name) {
			t.Errorf("gates has kind %s, which no key configures", kind.Name)
		}
		if slices.Contains(laterKinds(), kind.Name) {
			t.Errorf("kind %s is there: it is not for later", kind.Name)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"workspace", "var_files", "backend_config", "env", "url"}
	for _, tt := range []struct{ name, word, want string }{
		{"swapped", "wrokspace", `did you mean "workspace"?`},
		{"missing_letter", "workspce", `did you mean "workspace"?`},
		{"other_case", "Workspace", `did you mean "workspace"?`},
		{"dash", "var-files", `did you mean "var_files"?`},
		{"short", "ulr", `did you mean "url"?`},
		{"far", "colour", ""},
		{"short_and_far", "abc", ""},
		{"long", strings.Repeat("workspace", 1000), ""},
		{"empty", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := didYouMean(tt.word, known); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "", 1},
		{"", "abc", 3},
		{"kitten", "sitting", 3},
		{"stage", "satge", 1},
		{"ünïcode", "unicode", 2},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("from %q to %q: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"5m", 5 * time.Minute, true},
		{"2d", 48 * time.Hour, true},
		{"1d12h", 36 * time.Hour, true},
		{"1h30m", 90 * time.Minute, true},
		{"500ms", 500 * time.Millisecond, true},
		{"0s", 0, true},
		{"32767d", 32767 * 24 * time.Hour, true},
		{"", 0, false},
		{"5", 0, false},
		{"-5m", 0, false},
		{"+5m", 0, false},
		{"1.5h", 0, false},
		{"5 m", 0, false},
		{"5m1h", 0, false},
		{"5M", 0, false},
		{"5m\n", 0, false},
		{"32768d", 0, false},
		{"99999999999999999999h", 0, false},
		{"32767d2562047h", 0, false},
	} {
		got, ok := parseDuration(tt.in)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%q: got %s, %v, want %s, %v", tt.in, got, ok, tt.want, tt.ok)
		}
		if ok {
			if back, ok := parseDuration(span(got)); !ok || back != got {
				t.Errorf("%q is written as %q, which reads as %s", tt.in, span(got), back)
			}
		}
	}
}

func TestParseAllow(t *testing.T) {
	for _, tt := range []struct{ in, prefix, ports string }{
		{"10.20.0.0/16:443,80,443", "10.20.0.0/16", "80 443"},
		{"10.20.0.5:80", "10.20.0.5/32", "80"},
		{"127.0.0.1:8080", "127.0.0.1/32", "8080"},
		{"[::1]:80", "::1/128", "80"},
		{"::1/128:80", "::1/128", "80"},
		{"fd12::/48:65535", "fd12::/48", "65535"},
		{"100.64.0.0/10:80", "100.64.0.0/10", "80"}, // has a metadata service somewhere in it
		{"fc00::/7:80", "fc00::/7", "80"},
	} {
		entry, wrong, _ := parseAllow(tt.in)
		ports := strings.Trim(fmt.Sprint(entry.Ports), "[]")
		if wrong != "" || entry.Prefix.String() != tt.prefix || ports != tt.ports {
			t.Errorf("%q: got %s %s %q, want %s %s", tt.in, entry.Prefix, ports, wrong, tt.prefix, tt.ports)
		}
	}
}

func TestParent(t *testing.T) {
	for _, tt := range []struct{ at, want string }{
		{"", ""},
		{"server", ""},
		{"server.tokens", "server"},
		{"server.tokens[0]", "server.tokens"},
		{"server.tokens[0].name", "server.tokens[0]"},
		{under("gates[0].resolve", "www.example.org"), "gates[0].resolve"},
		{under("", "a.b"), ""},
		{under("x", `["]`), "x"},
	} {
		if got := parent(tt.at); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.at, got, tt.want)
		}
	}
}
