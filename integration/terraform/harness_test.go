package terraform_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// tools returns the tools that are there: those that the environment names, else terraform on PATH.
func tools(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, key := range map[string]string{"terraform": "UPGRADEGATE_TEST_TERRAFORM", "tofu": "UPGRADEGATE_TEST_TOFU"} {
		if path := os.Getenv(key); path != "" {
			found[name] = path
			continue
		}
		if strings.Contains(","+os.Getenv("UPGRADEGATE_TEST_NEED")+",", ","+name+",") {
			t.Fatalf("UPGRADEGATE_TEST_NEED lists %s but %s is empty", name, key)
		}
		if path, err := exec.LookPath(name); err == nil {
			found[name] = path
		}
	}
	if len(found) == 0 {
		t.Skip("no terraform and no tofu: set UPGRADEGATE_TEST_TERRAFORM or UPGRADEGATE_TEST_TOFU")
	}
	return found
}

// stack is a root module, its data folder, and a Terraform for it.
type stack struct {
	*testing.T
	tf       *terraform.Terraform
	cfg      terraform.Config
	root     plan.Root
	attempts int
}

func config(t *testing.T, binary string) terraform.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cli := filepath.Join(t.TempDir(), "cli.tfrc")
	write(t, cli, "disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = \""+t.TempDir()+"\"\n  }\n}\n")
	return terraform.Config{
		Binary: binary, CLIConfig: cli, Environ: []string{"PATH=" + os.Getenv("PATH"), "AWS_PROFILE=mine"},
		LockTimeout: 3 * time.Second, Self: self, LockDir: filepath.Join(t.TempDir(), "locks"),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Clock: upgrade.SystemClock{},
	}
}

// newStack writes main as main.tf and makes a Terraform for it.
func newStack(t *testing.T, binary, main string) *stack {
	t.Helper()
	cfg := config(t, binary)
	tf, err := terraform.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.MkdirTemp("/tmp", "ug") //nolint:usetesting // a short path, as TMPDIR has to be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	dir := filepath.Join(data, "checkout", "stack")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "main.tf"), main)
	return &stack{T: t, tf: tf, cfg: cfg, root: plan.Root{
		Dir: dir, Checkout: filepath.Join(data, "checkout"), Data: data, Env: map[string]upgrade.Secret{},
	}}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) init() {
	s.Helper()
	if err := s.tf.Init(s.Context(), s.root, s.Output()); err != nil {
		s.Fatal(err)
	}
}

func (s *stack) plan() plan.Planned {
	s.Helper()
	planned, err := s.tf.Plan(s.Context(), s.root, s.Output())
	if err != nil {
		s.Fatal(err)
	}
	return planned
}

func (s *stack) attempt(planned plan.Planned) plan.Attempt {
	s.attempts++
	return plan.Attempt{
		Dir: filepath.Join(s.root.Data, "apply-"+string(rune('0'+s.attempts))), Stack: "ecs/master", Environment: "staging",
		File: planned.File, FileDigest: planned.FileDigest, LockDigest: planned.LockDigest, Tool: planned.Tool, Total: 3,
	}
}

// ready initialises and plans.
func (s *stack) ready() plan.Attempt {
	s.Helper()
	s.init()
	return s.attempt(s.plan())
}

func (s *stack) apply(attempt plan.Attempt, tick func(plan.Tick)) plan.Ended {
	s.Helper()
	ended, err := s.tf.Apply(s.Context(), s.root, attempt, tick)
	if err != nil {
		s.Fatal(err)
	}
	return ended
}

func (s *stack) read(name string) string {
	s.Helper()
	raw, err := os.ReadFile(filepath.Join(s.root.Data, name))
	if err != nil {
		s.Fatal(err)
	}
	return string(raw)
}

// state returns the addresses of the resources in the state.
func (s *stack) state() []string {
	s.Helper()
	raw, err := os.ReadFile(filepath.Join(s.root.Dir, "terraform.tfstate"))
	if os.IsNotExist(err) || err == nil && len(raw) == 0 { // Terraform makes the file to lock it, and takes it away unless it is killed first
		return nil
	}
	if err != nil {
		s.Fatal(err)
	}
	var state struct {
		Resources []struct{ Type, Name string }
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		s.Fatal(err)
	}
	var names []string
	for _, r := range state.Resources {
		names = append(names, r.Type+"."+r.Name)
	}
	return names
}

// wantCode fails the test if err has another code or lacks text.
func wantCode(t *testing.T, err error, code upgrade.Code, text string) {
	t.Helper()
	if err == nil || upgrade.CodeOf(err) != code || !strings.Contains(err.Error()+" "+upgrade.HintOf(err), text) {
		t.Errorf("got error %v (%s), want %s with %q", err, codeOf(err), code, text)
	}
}

func codeOf(err error) upgrade.Code {
	if err == nil {
		return "none"
	}
	return upgrade.CodeOf(err)
}

// eventually waits until f reports true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func there(path string) func() bool {
	return func() bool {
		_, err := os.Stat(path)
		return err == nil
	}
}

// ticks collects ticks of two goroutines.
type ticks struct {
	mu  sync.Mutex
	all []plan.Tick
}

func (l *ticks) add(tick plan.Tick) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, tick)
}

func (l *ticks) of(kind plan.TickKind) []plan.Tick {
	l.mu.Lock()
	defer l.mu.Unlock()
	var some []plan.Tick
	for _, tick := range l.all {
		if tick.Kind == kind {
			some = append(some, tick)
		}
	}
	return some
}

// startedPID returns the shim's process id once it has begun.
func (s *stack) startedPID(attempt plan.Attempt) int {
	s.Helper()
	var started terraform.Started
	eventually(s.T, "the shim starts", func() bool {
		return terraform.ReadJSON(attempt.Dir, terraform.FileStarted, &started) == nil
	})
	return started.PID
}

// everywhere fails the test if any file below the folders holds text.
func nowhere(t *testing.T, text string, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			if err == nil && bytes.Contains(raw, []byte(text)) {
				t.Errorf("%s holds %q", path, text)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
