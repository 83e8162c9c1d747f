package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// pageOf serves one page, with a sign of Varnish if so told, and returns its address and port.
func pageOf(t *testing.T, varnish bool) (url, port string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if varnish {
			w.Header().Set("X-Varnish", "7")
			w.Header().Set("Via", "1.1 varnish (Varnish/7.1)")
			w.Header().Set("Age", "0")
		}
		_, _ = io.WriteString(w, "a marker")
	}))
	t.Cleanup(server.Close)
	return server.URL, server.URL[strings.LastIndexByte(server.URL, ':')+1:]
}

func TestProbeCommand(t *testing.T) {
	t.Parallel()
	url, port := pageOf(t, false)
	allow := "--allow=127.0.0.1:" + port
	cli(t, nil, "probe", allow, "--contains", "marker", url).is(t, exitOK, `http://127\.0\.0\.1:.* at 127\.0\.0\.1:\d+\n.*TCP +ok .*Content +ok .*`, ``)
	cli(t, nil, "probe", allow, "--contains", "another", url).is(t, exitClosed, `.*Content +broken .*`, `upgradegate: the page cannot be reached as it should be\n`)
	cli(t, nil, "probe", allow, "--varnish", url).is(t, exitClosed, `.*Varnish +broken .*did not come through Varnish.*`, `upgradegate: .*\n`)
	cli(t, nil, "probe", url).is(t, exitError, `.*TCP +broken .*`, `upgradegate: .* is not public .*\nupgradegate: hint: list the address with --allow.*\n`)
	cli(t, nil, "probe", "ftp://a").is(t, exitUsage, ``, `upgradegate: .*only http and https.*\n`)
	cli(t, nil, "probe").is(t, exitUsage, ``, `upgradegate: .*needs \[URL\].*\n`)
	cli(t, nil, "probe", "--bypass-header", "X-Gate", url).is(t, exitUsage, ``, `upgradegate: --bypass-header needs its value in UPGRADEGATE_BYPASS\n`)
	var ladders []probe.Ladder
	said := cli(t, nil, "probe", allow, "--json", url)
	if err := json.Unmarshal([]byte(said.out), &ladders); err != nil || len(ladders) != 1 || ladders[0].Status != http.StatusOK {
		t.Errorf("as JSON: %v %q", err, said.out)
	}
}

// newcomer is an AWS in which one instance starts at once and runs what it is told on this machine, with a PATH of
// its own. What the gate does not ask of it, it does not have.
type newcomer struct {
	gates.Cloud
	path  string
	ended bool
	out   []byte
}

func (n *newcomer) Group(_ context.Context, name string) (cloud.Group, error) {
	g := cloud.Group{Name: name, Template: cloud.Template{ID: "lt-1", Version: "1"}}
	if strings.HasPrefix(name, "gate-probe-") {
		g.Members = []cloud.Member{{InstanceID: "i-1", Lifecycle: "InService", Health: "Healthy"}}
	}
	return g, nil
}

func (n *newcomer) Trials(context.Context) ([]cloud.Group, error)  { return nil, nil }
func (n *newcomer) StartTrial(context.Context, cloud.Trial) error  { return nil }
func (n *newcomer) Continue(context.Context, string, string) error { return nil }
func (n *newcomer) SetDesired(context.Context, string, int) error  { return nil }
func (n *newcomer) EndTrial(context.Context, string) error         { n.ended = true; return nil }

func (n *newcomer) Gone(context.Context, string) (bool, error) { return n.ended, nil }

func (n *newcomer) Added(context.Context) ([]cloud.Added, error) { return nil, nil }

func (n *newcomer) Volumes(context.Context, string) ([]cloud.Volume, error) { return nil, nil }

func (n *newcomer) Ping(context.Context, string) (bool, error) { return true, nil }

func (n *newcomer) Activities(context.Context, string) ([]cloud.Activity, error) { return nil, nil }

func (n *newcomer) Instances(context.Context, []string) ([]cloud.Instance, error) {
	return []cloud.Instance{{ID: "i-1", State: "running"}}, nil
}

func (n *newcomer) RunScript(ctx context.Context, _, script string, _ time.Duration) (string, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.Env = []string{"PATH=" + n.path, asProgram + "=1"}
	var err error
	n.out, err = cmd.Output()
	return "command", err
}

func (n *newcomer) Command(context.Context, string, string) (cloud.Command, error) {
	return cloud.Command{Status: "Success", Stdout: string(n.out)}, nil
}

// TestS5TestInstanceProbes: what the gate sends to a test instance is what the program there reads, and what it
// says is what the gate reads; without the program, curl says it.
func TestS5TestInstanceProbes(t *testing.T) {
	t.Parallel()
	good, goodPort := pageOf(t, true)
	bad, badPort := pageOf(t, false)
	self, err := os.Executable()
	check(t, err)
	own := t.TempDir()
	check(t, os.Symlink(self, filepath.Join(own, "upgradegate")))
	for name, test := range map[string]struct {
		url, path string
		want      upgrade.Outcome
		says, by  string
	}{
		"by_the_product":        {good, own + ":" + os.Getenv("PATH"), upgrade.OutcomePassed, "healthy after", "upgradegate on i-1"},
		"by_curl":               {good, os.Getenv("PATH"), upgrade.OutcomePassed, "healthy after", "curl on i-1"},
		"broken_by_the_product": {bad, own + ":" + os.Getenv("PATH"), upgrade.OutcomeFailed, "did not come through Varnish", "upgradegate on i-1"},
		"broken_by_curl":        {bad, os.Getenv("PATH"), upgrade.OutcomeFailed, "did not come through Varnish", "curl on i-1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath("curl"); err != nil && strings.Contains(name, "curl") {
				need(t, "curl", "no curl")
			}
			clock := world.New(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
			done := make(chan struct{})
			mover := &world.Mover{Clock: clock, NextWake: func(context.Context) (time.Time, bool, error) { return time.Time{}, false, nil }}
			defer mover.Wait()()
			ctx, stop := context.WithCancel(t.Context())
			go func() { defer close(done); mover.Run(ctx) }()
			defer func() { stop(); <-done }()
			gate := gates.Gate{Name: "launch", Kind: gates.KindLaunch, Environment: "staging", Deadline: 20 * time.Minute}
			settings := gates.LaunchSettings{
				Group: "web", Probe: []probe.Path{{URL: test.url + "/", ViaVarnish: true, Expect: probe.Expect{BodyContains: "a marker"}, Bypass: probe.Bypass{Query: "fresh"}}},
				Reach: []string{fmt.Sprintf("127.0.0.1/32:%s,%s", goodPort, badPort)},
			}
			check(t, settings.Bind(&gate, gates.Deps{Clock: clock, Cloud: func(upgrade.EnvName) (gates.Cloud, error) { return &newcomer{path: test.path}, nil }}))
			end := clock.Begin()
			got := gates.Runner{Clock: clock}.Ask(t.Context(), gate, gates.Input{Round: 1})
			end()
			by := ""
			for _, fact := range got.Evidence.Facts {
				if fact.Name == "Probed by" {
					by = fact.Value
				}
			}
			if got.Outcome != test.want || !strings.Contains(got.Message, test.says) || by != test.by {
				t.Errorf("got %s by %q: %s", got.Outcome, by, got.Message)
			}
		})
	}
}
