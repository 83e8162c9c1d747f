package awsprovider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/integration/aws/awsprovider"
	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/internal/testkit"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestMain makes the test binary do what the product's does: started by Terraform, it is the provider.
func TestMain(m *testing.M) {
	if awsprovider.Requested(os.Getenv) {
		if err := awsprovider.Serve(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program returns the program that the test is to use: terraform or tofu.
func program(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("UPGRADEGATE_TEST_"+strings.ToUpper(name)) == "" {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	return testkit.Target(t, name)
}

func terraform(t *testing.T) string {
	t.Helper()
	return program(t, "terraform")
}

// workspace is a folder with a configuration, the provider in a mirror, and Terraform to run in it.
type workspace struct {
	t        *testing.T
	program  string
	dir      string
	env      []string
	endpoint string
}

// newWorkspace installs the test binary as provider. endpoint is where the simulated AWS listens.
func newWorkspace(t *testing.T, program, endpoint string) *workspace {
	t.Helper()
	// The provider's socket goes into TMPDIR, and its path may not be much longer than 100 characters.
	temp, err := os.MkdirTemp("", "tf") //nolint:usetesting // the path of t.TempDir is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	if len(temp) > 90 {
		t.Fatalf("TMPDIR %s is too long for the provider's socket: set a shorter one", temp)
	}
	root := t.TempDir()
	w := &workspace{t: t, program: program, dir: filepath.Join(root, "work"), endpoint: endpoint}
	mirror := filepath.Join(root, "mirror")
	install(t, mirror)
	config := filepath.Join(root, "cli.tfrc")
	w.env = []string{
		"TF_CLI_CONFIG_FILE=" + config, "TMPDIR=" + temp, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1",
		"UPGRADEGATE_SIM_AWS=" + endpoint, "AWS_REGION=eu-west-2",
		"AWS_ACCESS_KEY_ID=" + awssim.DefaultKeyID, "AWS_SECRET_ACCESS_KEY=" + awssim.DefaultSecret,
	}
	w.save(config, awsprovider.CLIConfig(mirror))
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// install installs the test binary and returns its version.
func install(t *testing.T, mirror string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	version, err := awsprovider.Version(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := awsprovider.Install(self, mirror, version); err != nil {
		t.Fatal(err)
	}
	return version
}

func (w *workspace) save(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// config writes the configuration, in front of it what every one begins with.
func (w *workspace) config(text string) {
	w.t.Helper()
	w.save(filepath.Join(w.dir, "main.tf"), `terraform {
  required_providers {
    aws = { source = "`+awsprovider.Address+`" }
  }
}
provider "aws" {}
`+text)
}

// try runs Terraform and returns what it printed, both channels together.
func (w *workspace) try(args ...string) (string, error) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), w.program, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// run is try, and the test ends if Terraform fails.
func (w *workspace) run(args ...string) string {
	w.t.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (w *workspace) init()  { w.t.Helper(); w.run("init", "-no-color", "-input=false") }
func (w *workspace) apply() { w.t.Helper(); w.run("apply", "-no-color", "-input=false", "plan.bin") }

// change is one line of a plan.
type change struct {
	Address string
	Type    string
	Change  struct {
		Actions      []string
		Before       map[string]any
		After        map[string]any
		AfterUnknown map[string]any `json:"after_unknown"`
		ReplacePaths [][]any        `json:"replace_paths"`
	}
}

// plan makes a plan and returns, by address, what it would change.
func (w *workspace) plan() map[string]change {
	w.t.Helper()
	w.run("plan", "-no-color", "-input=false", "-out=plan.bin")
	var plan struct {
		Changes []change `json:"resource_changes"`
	}
	w.show(&plan, "plan.bin")
	changes := map[string]change{}
	for _, c := range plan.Changes {
		if !slices.Equal(c.Change.Actions, []string{"no-op"}) && !slices.Equal(c.Change.Actions, []string{"read"}) {
			changes[c.Address] = c
		}
	}
	return changes
}

// show reads a plan, or the state.
func (w *workspace) show(into any, args ...string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), w.program, append([]string{"show", "-json"}, args...)...)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("terraform show: %v\n%s", err, out)
	}
	if err := json.Unmarshal(out, into); err != nil {
		w.t.Fatalf("terraform show: %v", err)
	}
}

// values returns the attributes of everything in the state, by address.
func (w *workspace) values() map[string]map[string]any {
	w.t.Helper()
	var state struct {
		Values struct {
			Root struct {
				Resources []struct {
					Address string
					Values  map[string]any
				}
			} `json:"root_module"`
		}
	}
	w.show(&state)
	all := map[string]map[string]any{}
	for _, r := range state.Values.Root.Resources {
		all[r.Address] = r.Values
	}
	return all
}

// mustPlan makes a plan and compares it with want: address and actions, such as "delete+create".
func (w *workspace) mustPlan(want map[string]string) map[string]change {
	w.t.Helper()
	if len(want) == 0 {
		// Quicker, and enough if all is well.
		if _, err := w.try("plan", "-no-color", "-input=false", "-detailed-exitcode"); err == nil {
			return nil
		}
	}
	changes := w.plan()
	for address, c := range changes {
		if got := strings.Join(c.Change.Actions, "+"); got != want[address] {
			w.t.Errorf("plan for %s: got %s, want %q\nbefore %v\nafter  %v\nunknown %v", address, got, want[address], c.Change.Before, c.Change.After, c.Change.AfterUnknown)
		}
	}
	for address, actions := range want {
		if _, ok := changes[address]; !ok {
			w.t.Errorf("plan for %s: got nothing, want %s", address, actions)
		}
	}
	return changes
}

// newCloud returns a simulated AWS in which everything happens at once, and its address.
func newCloud(t *testing.T) (*awssim.Sim, string) {
	t.Helper()
	const now = -1
	sim, err := awssim.New(awssim.Config{Clock: upgrade.SystemClock{}, Timing: awssim.Timing{
		GrantDelay: now, RevokeDelay: now, Reconcile: now, Pending: now, Checks: now, Die: now, Notice: now, Terminate: now,
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(server.Close)
	return sim, server.URL
}

// calls counts the calls of an action that were not refused.
func calls(sim *awssim.Sim, action string) int {
	n := 0
	for _, call := range sim.Calls() {
		if call.Action == action && call.Code == "" {
			n++
		}
	}
	return n
}
