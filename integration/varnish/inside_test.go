package varnish

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

func recorded(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// What Varnish 7.1 printed, one back end set sick by hand.
func TestParseInside(t *testing.T) {
	vcls, err := parseVCLs(recorded(t, "vcl_list.json"))
	if err != nil || len(vcls) != 2 || activeOf(vcls) != "boot" || vcls[1].Status != "available" {
		t.Fatalf("%+v, %v", vcls, err)
	}
	list, err := parseBackends(recorded(t, "backend_list.json"), "boot")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", list)
	const want = "[{Name:d Type:round-robin Admin:probe Health:healthy Good:1 Of:2 Since:2026-11-23 03:41:32.477 +0000 UTC}" +
		" {Name:web1 Type:backend Admin:sick Health:sick Good:0 Of:4 Since:2026-11-23 03:41:32.477 +0000 UTC}" +
		" {Name:web2 Type:backend Admin:healthy Health:healthy Good:0 Of:0 Since:2026-11-23 03:41:29.661 +0000 UTC}]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !list[1].Sick() || !list[1].Forced() || list[2].Sick() || list[2].Forced() {
		t.Errorf("sick and forced are wrong: %+v", list)
	}
	counters, err := parseCounters(recorded(t, "varnishstat.json"), "boot")
	if err != nil {
		t.Fatal(err)
	}
	if counters["web2.fail_econnrefused"] != 1 || counters["web2.helddown"] != 1 || counters["MAIN.cache_miss"] != 2 || counters["MAIN.fetch_failed"] != 2 {
		t.Errorf("got %v", counters)
	}
	for name := range counters {
		if strings.HasPrefix(name, "VBE.") || strings.Contains(name, "happy") || strings.Contains(name, "bytes") {
			t.Errorf("%s is kept", name)
		}
	}
	older := `{"timestamp": "2019-01-01T00:00:00", "MAIN.cache_hit": {"type": "MAIN", "value": 7}, "VBE.boot.web1.helddown": {"value": 1}}`
	if counters, err = parseCounters([]byte(older), "boot"); err != nil || counters["MAIN.cache_hit"] != 7 || counters["web1.helddown"] != 1 {
		t.Errorf("of an older varnishstat: %v, %v", counters, err)
	}
}

// tool writes a program that prints what it is asked for from testdata, whatever stands before.
func tool(t *testing.T, body string) string {
	t.Helper()
	folder, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "reach")
	text := "#!/bin/sh\ntestdata=" + folder + "\n" + body
	if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

const reached = `case "$*" in
"to varnish-1 varnishadm -n /srv/v vcl.list -j") cat $testdata/vcl_list.json ;;
"to varnish-1 varnishadm -n /srv/v backend.list -j") cat $testdata/backend_list.json ;;
"to varnish-1 varnishstat -n /srv/v -1 -j") cat $testdata/varnishstat.json ;;
*) echo "asked for $*" >&2; exit 1 ;;
esac
`

func TestInspect(t *testing.T) {
	at := time.Date(2026, 11, 23, 3, 41, 33, 0, time.UTC)
	i := NewInspector(InspectorConfig{Environ: []string{"PATH=" + os.Getenv("PATH")}, Now: func() time.Time { return at }})
	node := probe.Node{Command: []string{tool(t, reached), "to", "varnish-1"}, Name: "/srv/v"}
	inside, err := i.Inspect(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	if inside.At != at || len(inside.VCLs) != 2 || len(inside.Backends) != 3 || len(inside.Counters) < 20 {
		t.Errorf("got %+v", inside)
	}
	tests := []struct {
		name string
		node probe.Node
		code upgrade.Code
		says string
	}{
		{"not_installed", probe.Node{Command: []string{"no-such-program-here"}}, upgrade.CodeUnavailable, "no-such-program-here is not installed"},
		{"not_running", probe.Node{Command: []string{tool(t, "echo 'Could not get hold of varnishd, is it running?' >&2; exit 2")}}, upgrade.CodeUnavailable, "Could not get hold of varnishd, is it running?"},
		{"silent", probe.Node{Command: []string{tool(t, "exit 3")}}, upgrade.CodeUnavailable, "exit status 3"},
		{"a_banner", probe.Node{Command: []string{tool(t, "echo welcome")}}, upgrade.CodeUnavailable, "printed what is not understood"},
		{"endless", probe.Node{Command: []string{tool(t, "yes")}}, upgrade.CodeUnavailable, "prints more than 4 MiB"},
		{"no_name", probe.Node{Name: "a; rm -rf /"}, upgrade.CodeInvalid, "cannot be the name of a Varnish"},
		{"an_option", probe.Node{Name: "-S"}, upgrade.CodeInvalid, "cannot be the name of a Varnish"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "endless" {
				tt.node.Command = []string{tool(t, "head -c 5000000 /dev/zero")}
			}
			_, err := i.Inspect(t.Context(), tt.node)
			if upgrade.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %s %v, want %s that says %q", upgrade.CodeOf(err), err, tt.code, tt.says)
			}
		})
	}
}

// TestS9InspectorEnvironment: a command sees no secret of the service's.
func TestS9InspectorEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "environ")
	i := NewInspector(InspectorConfig{Environ: []string{"PATH=" + os.Getenv("PATH"), "GITLAB_TOKEN=glpat-secret", "HOME=/root", "AWS_SECRET_ACCESS_KEY=hush"}})
	_, _ = i.Inspect(t.Context(), probe.Node{Command: []string{tool(t, "env > "+file)}})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); strings.Contains(s, "glpat") || strings.Contains(s, "hush") || !strings.Contains(s, "HOME=/root") {
		t.Errorf("the command sees %s", s)
	}
}

// Whatever a tool prints, what is kept is small and fit to print.
func FuzzInside(f *testing.F) {
	for _, name := range []string{"vcl_list.json", "backend_list.json", "varnishstat.json"} {
		f.Add(recorded(f, name))
	}
	f.Add([]byte(`[3, [], 1, {"boot.a\u0000\n": {"probe_message": ["x", 1e99, {}], "last_change": 1e300}}]`))
	f.Add([]byte(`{"counters": {"VBE.boot.a.fail": {"value": -1}, "MAIN.cache_hit": {"value": 18446744073709551616}, "MAIN.uptime": {"value": 1.5}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		fit := func(words ...string) {
			for _, word := range words {
				if len(word) > 210 || strings.ContainsFunc(word, func(r rune) bool { return r < ' ' }) {
					t.Errorf("%q is kept", word)
				}
			}
		}
		vcls, _ := parseVCLs(text)
		for _, one := range vcls {
			fit(one.Name, one.Status, one.Temperature)
		}
		backends, _ := parseBackends(text, "boot")
		for _, one := range backends {
			fit(one.Name, one.Type, one.Admin, one.Health)
		}
		counters, _ := parseCounters(text, "boot")
		for name := range counters {
			fit(name)
		}
		if len(vcls) > manyBackends || len(backends) > manyBackends || len(counters) > 20*manyBackends {
			t.Error("too much is kept")
		}
	})
}
