//nolint:thelper // its functions are tests, run by TestContract
package terraform_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

func TestContract(t *testing.T) {
	for name, binary := range tools(t) {
		t.Run(name, func(t *testing.T) { testContract(t, binary) })
	}
}

const three = `
resource "terraform_data" "one" { input = "1" }
resource "terraform_data" "two" { input = terraform_data.one.output }
resource "terraform_data" "three" { input = terraform_data.two.output }
`

// slow has a step that waits for the file go, in the checkout, and says that it has begun by the file begun.
const slow = `
resource "terraform_data" "first" { input = "1" }
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    command = "touch begun; while test -e main.tf && ! test -e go; do sleep 0.05; done; echo went"
  }
}
`

func testContract(t *testing.T, binary string) {
	for name, test := range map[string]func(t *testing.T, binary string){
		"plan_show_apply":              testPlanShowApply,
		"failing_resource":             testFailingResource,
		"parse_error":                  testParseError,
		"plan_error":                   testPlanError,
		"plan_cancelled":               testPlanCancelled,
		"secrets_masked":               testSecretsMasked,
		"environment":                  testEnvironment,
		"stale_plan":                   testStalePlan,
		"changed_plan_file":            testChangedPlanFile,
		"changed_lock_file":            testChangedLockFile,
		"service_killed":               testServiceKilled,
		"shim_killed":                  testShimKilled,
		"second_apply":                 testSecondApply,
		"busy":                         testBusy,
		"stop":                         testStop,
		"stop_before_start":            testStopBeforeStart,
		"stop_early":                   testStopEarly,
		"context_ends":                 testContextEnds,
		"workspace":                    testWorkspace,
		"destroy":                      testDestroy,
		"plan_without_lock":            testPlanWithoutLock,
		"missing_lock_file":            testMissingLockFile,
		"background_child_is_no_apply": testBackgroundChild,
		"remote_state":                 testRemoteState,
		"no_workspaces":                testNoWorkspaces,
		"state_lock":                   testStateLock,
		"state_pull":                   testStatePull,
		"state_pull_only_reads":        testStatePullOnlyReads,
		"state_of_unknown_provider":    testStateOfUnknownProvider,
		"foreign_workspace":            testForeignWorkspace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, binary)
		})
	}
}

func testPlanShowApply(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	s.init()
	planned := s.plan()
	name, version, err := s.tf.Tool(t.Context())
	if err != nil || planned.Tool != name+" "+version || planned.Empty || len(planned.FileDigest) != 64 || planned.LockDigest != "" {
		t.Errorf("got %+v, %v", planned, err)
	}
	if info, err := os.Stat(planned.File); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("plan file: %v, %v", info.Mode(), err)
	}
	summary, err := s.tf.Show(t.Context(), s.root, planned)
	if err != nil || len(summary.Changes) != 3 || summary.Header.Tool != version {
		t.Fatalf("got %+v, %v", summary, err)
	}
	var seen ticks
	attempt := s.attempt(planned)
	if ended := s.apply(attempt, seen.add); !ended.OK || ended.ExitCode != 0 || ended.Message != "" || ended.At.IsZero() {
		t.Errorf("got %+v", ended)
	}
	done := seen.of(plan.TickDone)
	if len(done) != 3 || len(seen.of(plan.TickStart)) != 3 || len(done) == 3 && done[2].Done != 3 {
		t.Errorf("got ticks %+v", seen.all)
	}
	for i, tick := range done {
		want := "terraform_data." + []string{"one", "two", "three"}[i]
		if tick.Address != want || tick.Action != plan.Create || tick.Total != 3 || tick.At.IsZero() {
			t.Errorf("got tick %+v, want %s", tick, want)
		}
	}
	if log := s.read("logs/apply.log"); !strings.Contains(log, "terraform_data.one: Creation complete") {
		t.Errorf("apply.log: %s", log)
	}
	if log := s.read("logs/plan.log"); !strings.Contains(log, "Plan: 3 to add") {
		t.Errorf("plan.log: %s", log)
	}
	if again := s.plan(); !again.Empty {
		t.Error("the second plan is not empty")
	}
	if ended, found, err := s.tf.Adopt(t.Context(), attempt, nil); err != nil || found != plan.FoundResult || !ended.OK {
		t.Errorf("adopted %+v, %q, %v", ended, found, err)
	}
}

func testFailingResource(t *testing.T, binary string) {
	s := newStack(t, binary, `
resource "terraform_data" "one" { input = "1" }
resource "terraform_data" "bad" {
  depends_on = [terraform_data.one]
  provisioner "local-exec" { command = "echo no such thing; exit 3" }
}
resource "terraform_data" "never" { depends_on = [terraform_data.bad] }
`)
	var seen ticks
	ended := s.apply(s.ready(), seen.add)
	if ended.OK || ended.ExitCode != 1 || ended.Address != "terraform_data.bad" || ended.Stale {
		t.Errorf("got %+v", ended)
	}
	if want := "main.tf:5: local-exec provisioner error"; !strings.HasPrefix(ended.Message, want) || strings.Contains(ended.Message, "\n") {
		t.Errorf("got message %q, want %q…", ended.Message, want)
	}
	failed := seen.of(plan.TickFailed)
	if len(failed) != 1 || failed[0].Address != "terraform_data.bad" || failed[0].Done != 1 {
		t.Errorf("got failed ticks %+v of %+v", failed, seen.all)
	}
	if log := s.read("logs/apply.log"); !strings.Contains(log, "no such thing") {
		t.Errorf("apply.log: %s", log)
	}
}

func testParseError(t *testing.T, binary string) {
	s := newStack(t, binary, "locals {\n  a = 1\n}\nresource \"terraform_data\" {\n}\n")
	err := s.tf.Init(t.Context(), s.root, nil)
	wantCode(t, err, upgrade.CodeInvalid, "main.tf:4: ")
	if log := s.read("logs/prepare.log"); !strings.Contains(log, "main.tf line 4") {
		t.Errorf("prepare.log: %s", log)
	}
}

func testPlanError(t *testing.T, binary string) {
	s := newStack(t, binary, "resource \"terraform_data\" \"a\" {\n  input = var.missing\n}\n")
	s.init()
	_, err := s.tf.Plan(t.Context(), s.root, nil)
	wantCode(t, err, upgrade.CodeInvalid, "main.tf:2: Reference to undeclared input variable")
	if log := s.read("logs/plan.log"); !strings.Contains(log, "on main.tf line 2") {
		t.Errorf("plan.log: %s", log)
	}
}

func testPlanCancelled(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	if ended := s.apply(s.ready(), nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	// Somebody else holds the lock of the state.
	state, err := os.OpenFile(filepath.Join(s.root.Dir, "terraform.tfstate"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = state.Close() }()
	if err := syscall.FcntlFlock(state.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.root.Dir, ".terraform.tfstate.lock.info"),
		`{"ID":"6f9c8d9e-0000-1111-2222-333344445555","Operation":"OperationTypeApply","Who":"somebody@elsewhere","Created":"2026-01-02T03:04:05Z"}`)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the lease was lost")
	go func() {
		select { // long enough for the plan to begin to wait
		case <-time.After(2 * time.Second):
		case <-t.Context().Done():
		}
		cancel(why)
	}()
	_, err = s.tf.Plan(ctx, s.root, t.Output())
	if !errors.Is(err, why) {
		t.Errorf("got %v, want the context's cause", err)
	}
}

func testSecretsMasked(t *testing.T, binary string) {
	const secret, inJSON = "hunter2&\"<ünïcode>", "correct-horse"
	s := newStack(t, binary, `
variable "password" {}
resource "terraform_data" "tell" {
  input = var.password
  provisioner "local-exec" { command = "printf '%s\\n' \"$MY_SECRET\"; printf correct-; sleep 0.1; echo horse; echo glpat-`+"abcdefghij0123456789"+`" }
  provisioner "local-exec" { command = "echo \"$MY_SECRET\" >&2; exit 1" }
}
`)
	s.root.Env["MY_SECRET"] = secret
	s.root.Env["TF_VAR_password"] = inJSON
	var shown strings.Builder
	s.init()
	planned, err := s.tf.Plan(t.Context(), s.root, &shown)
	if err != nil {
		t.Fatal(err)
	}
	var seen ticks
	attempt := s.attempt(planned)
	ended := s.apply(attempt, seen.add)
	if ended.OK {
		t.Error("the apply ended well")
	}
	all, err := json.Marshal(seen.all)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{secret, inJSON, "glpat-abcdefghij"} {
		if strings.Contains(shown.String()+ended.Message+string(all), text) {
			t.Errorf("%q is shown", text)
		}
		nowhere(t, text, filepath.Join(s.root.Data, "logs"), attempt.Dir)
	}
	if log := s.read("logs/apply.log"); strings.Count(log, "(secret)") < 3 {
		t.Errorf("apply.log: %s", log)
	}
	if len(seen.of(plan.TickFailed)) != 1 {
		t.Errorf("got ticks %+v", seen.all)
	}
}

func testEnvironment(t *testing.T, binary string) {
	s := newStack(t, binary, `
variable "greeting" {}
resource "terraform_data" "env" {
  input = var.greeting
  provisioner "local-exec" {
    command     = "env > seen; echo \"$INPUT\" >> seen"
    environment = { INPUT = self.input }
  }
}
`)
	s.root.Env["AWS_REGION"] = "eu-west-2"
	s.root.Env["TF_VAR_greeting"] = "it's $HOME"
	if ended := s.apply(s.ready(), nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	seen, err := os.ReadFile(filepath.Join(s.root.Dir, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"AWS_REGION=eu-west-2\n", "HOME=" + s.root.Data + "/home\n", "TF_IN_AUTOMATION=1\n", "\nit's $HOME\n"} {
		if !strings.Contains(string(seen), want) {
			t.Errorf("no %q in %s", want, seen)
		}
	}
	for _, never := range []string{"AWS_PROFILE", "UPGRADEGATE_", "GOCACHE"} {
		if strings.Contains(string(seen), never) {
			t.Errorf("%s reached Terraform", never)
		}
	}
}

func testStalePlan(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	first := s.ready()
	copied := filepath.Join(s.root.Data, "copy.tfplan")
	raw, err := os.ReadFile(first.File)
	if err != nil {
		t.Fatal(err)
	}
	write(t, copied, string(raw))
	if ended := s.apply(first, nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	second := first
	second.Dir += "-again"
	second.File = copied
	ended := s.apply(second, nil)
	if ended.OK || !ended.Stale || !strings.HasPrefix(ended.Message, "Saved plan is stale") {
		t.Errorf("got %+v, want a stale plan", ended)
	}
}

func testChangedPlanFile(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	attempt := s.ready()
	file, err := os.OpenFile(attempt.File, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	_, err = s.tf.Apply(t.Context(), s.root, attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "the plan file is not the one that was judged")
	_, found, err := s.tf.Adopt(t.Context(), attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "not the one")
	if found != plan.FoundNeverRan || s.state() != nil {
		t.Errorf("found %q, state %v", found, s.state())
	}
	_, err = s.tf.Show(t.Context(), s.root, plan.Planned{File: attempt.File, FileDigest: attempt.FileDigest})
	wantCode(t, err, upgrade.CodeConflict, "not the one")
}

func testChangedLockFile(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	attempt := s.ready()
	write(t, filepath.Join(s.root.Dir, ".terraform.lock.hcl"), "# another\n")
	_, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "provider lock file is not the one")
	if s.state() != nil {
		t.Errorf("state %v", s.state())
	}
}

// service is what a process of the service needs to apply.
type service struct {
	Binary, CLIConfig, LockDir, Self string
	Root                             plan.Root
	Attempt                          plan.Attempt
}

// applyAndWait is the service that testServiceKilled kills.
func applyAndWait(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var s service
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	tf, err := terraform.New(terraform.Config{
		Binary: s.Binary, CLIConfig: s.CLIConfig, LockDir: s.LockDir, Self: s.Self, Environ: os.Environ(),
		Log: slog.New(slog.DiscardHandler), Clock: upgrade.SystemClock{},
	})
	if err != nil {
		return err
	}
	_, err = tf.Apply(context.Background(), s.Root, s.Attempt, nil)
	return err
}

// startService applies in another process, and returns once its slow step has begun.
func (s *stack) startService(attempt plan.Attempt) *exec.Cmd {
	s.Helper()
	raw, err := json.Marshal(service{s.cfg.Binary, s.cfg.CLIConfig, s.cfg.LockDir, s.cfg.Self, s.root, attempt})
	if err != nil {
		s.Fatal(err)
	}
	file := filepath.Join(s.root.Data, "service.json")
	write(s.T, file, string(raw))
	cmd := exec.Command(s.cfg.Self, "apply-and-wait", file)
	cmd.Stderr = s.Output()
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	eventually(s.T, "the slow step begins", there(filepath.Join(s.root.Dir, "begun")))
	return cmd
}

func testServiceKilled(t *testing.T, binary string) {
	s := newStack(t, binary, slow)
	attempt := s.ready()
	cmd := s.startService(attempt)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	var seen ticks
	adopted := make(chan string, 1)
	go func() {
		ended, found, err := s.tf.Adopt(t.Context(), attempt, seen.add)
		adopted <- fmt.Sprintln(ended.OK, found, err)
	}()
	eventually(t, "the events of before the restart are handed on", func() bool { return len(seen.of(plan.TickDone)) == 1 })
	select {
	case got := <-adopted:
		t.Fatalf("adopted %s while the apply went on", got)
	default:
	}
	_, err := s.tf.Apply(t.Context(), s.root, s.attempt(plan.Planned{}), nil)
	wantCode(t, err, upgrade.CodeBusy, "still lives")
	write(t, filepath.Join(s.root.Dir, "go"), "")
	if got := <-adopted; got != "true result <nil>\n" {
		t.Errorf("adopted %s", got)
	}
	if len(seen.of(plan.TickDone)) != 2 || len(s.state()) != 2 {
		t.Errorf("got ticks %+v, state %v", seen.all, s.state())
	}
}

func testShimKilled(t *testing.T, binary string) {
	s := newStack(t, binary, slow)
	attempt := s.ready()
	result := make(chan error, 1)
	go func() {
		_, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
		result <- err
	}()
	eventually(t, "the slow step begins", there(filepath.Join(s.root.Dir, "begun")))
	if err := syscall.Kill(s.startedPID(attempt), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The provisioner outlives Terraform, and the apply is not over before it.
	write(t, filepath.Join(s.root.Dir, "go"), "")
	err := <-result
	wantCode(t, err, upgrade.CodeConflict, "cut off")
	if !errors.Is(err, plan.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
	if _, found, err := s.tf.Adopt(t.Context(), attempt, nil); found != plan.FoundLost || err != nil {
		t.Errorf("found %q, %v", found, err)
	}
	_, err = s.tf.Apply(t.Context(), s.root, attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "begun before")
}

func testSecondApply(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	attempt := s.ready()
	if _, found, err := s.tf.Adopt(t.Context(), attempt, nil); found != plan.FoundNeverRan || err != nil {
		t.Errorf("found %q, %v before it began", found, err)
	}
	s.apply(attempt, nil)
	_, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "begun before")
}

func testBusy(t *testing.T, binary string) {
	s := newStack(t, binary, slow)
	attempt := s.ready()
	ended := make(chan plan.Ended, 1)
	go func() {
		got, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
		if err != nil {
			t.Error(err)
		}
		ended <- got
	}()
	eventually(t, "the slow step begins", there(filepath.Join(s.root.Dir, "begun")))
	other := attempt
	other.Dir += "-other"
	_, err := s.tf.Apply(t.Context(), s.root, other, nil)
	wantCode(t, err, upgrade.CodeBusy, "still lives")
	write(t, filepath.Join(s.root.Dir, "go"), "")
	if got := <-ended; !got.OK {
		t.Errorf("got %+v", got)
	}
}

func testStop(t *testing.T, binary string) {
	s := newStack(t, binary, slow+`
resource "terraform_data" "after" { depends_on = [terraform_data.slow] }
`)
	attempt := s.ready()
	ended := make(chan plan.Ended, 1)
	go func() {
		got, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
		if err != nil {
			t.Error(err)
		}
		ended <- got
	}()
	eventually(t, "the slow step begins", there(filepath.Join(s.root.Dir, "begun")))
	for range 3 { // only the first counts
		if err := s.tf.Stop(t.Context(), attempt); err != nil {
			t.Fatal(err)
		}
	}
	got := <-ended
	if got.OK || got.ExitCode != 1 {
		t.Errorf("got %+v", got)
	}
	// What was done is in the state. What depends on the stopped step may or may not be: that is
	// Terraform's own race.
	if state := s.state(); !slices.Contains(state, "terraform_data.first") {
		t.Errorf("got state %v, %s", state, s.read("logs/apply.log"))
	}
	if err := s.tf.Stop(t.Context(), attempt); err != nil {
		t.Errorf("stop after the end: %v", err)
	}
}

func testStopBeforeStart(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	attempt := s.ready()
	if err := s.tf.Stop(t.Context(), attempt); err != nil {
		t.Fatal(err)
	}
	ended := s.apply(attempt, nil)
	if ended.OK || ended.Message != "stopped before Terraform began" || s.state() != nil {
		t.Errorf("got %+v, state %v", ended, s.state())
	}
}

// However early somebody stops, the result and the state agree.
func testStopEarly(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	s.init()
	for i := range 5 {
		attempt := s.attempt(s.plan())
		ended := make(chan plan.Ended, 1)
		go func() {
			got, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
			if err != nil {
				t.Error(err)
			}
			ended <- got
		}()
		s.startedPID(attempt)
		time.Sleep(time.Duration(i) * 20 * time.Millisecond) // wherever it may be by then
		if err := s.tf.Stop(t.Context(), attempt); err != nil {
			t.Fatal(err)
		}
		got := <-ended
		if n := len(s.state()); got.OK && n != 3 || !got.OK && got.Message == "" {
			t.Errorf("got %+v with %d resources in the state", got, n)
		}
		if got.OK {
			return
		}
	}
}

func testContextEnds(t *testing.T, binary string) {
	s := newStack(t, binary, slow)
	attempt := s.ready()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the service stops")
	go func() {
		for !there(filepath.Join(s.root.Dir, "begun"))() {
			syscall.Sync()
		}
		cancel(why)
	}()
	if _, err := s.tf.Apply(ctx, s.root, attempt, nil); !errors.Is(err, why) {
		t.Fatalf("got %v, want the context's cause", err)
	}
	write(t, filepath.Join(s.root.Dir, "go"), "")
	if ended, found, err := s.tf.Adopt(t.Context(), attempt, nil); err != nil || found != plan.FoundResult || !ended.OK {
		t.Errorf("adopted %+v, %q, %v", ended, found, err)
	}
}

func testWorkspace(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	s.root.Workspace = "staging"
	wantCode(t, s.tf.Init(t.Context(), s.root, nil), upgrade.CodeInvalid, `no workspace "staging"`)
	cmd := exec.Command(binary, "workspace", "new", "staging")
	cmd.Dir = s.root.Dir
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+s.cfg.CLIConfig, "TF_DATA_DIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if ended := s.apply(s.ready(), nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	if !there(filepath.Join(s.root.Dir, "terraform.tfstate.d", "staging", "terraform.tfstate"))() {
		t.Error("the state is not that of the workspace")
	}
}

func testDestroy(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	if ended := s.apply(s.ready(), nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	s.root.Destroy = true
	planned := s.plan()
	summary, err := s.tf.Show(t.Context(), s.root, planned)
	if err != nil || len(summary.Changes) != 3 || summary.Changes[0].Action != plan.Delete {
		t.Fatalf("got %+v, %v", summary, err)
	}
	if ended := s.apply(s.attempt(planned), nil); !ended.OK || len(s.state()) != 0 {
		t.Errorf("got %+v, state %v", ended, s.state())
	}
}

func testMissingLockFile(t *testing.T, binary string) {
	s := newStack(t, binary, `
terraform {
  required_providers {
    fake = { source = "example.test/test/fake" }
  }
}
resource "fake_thing" "a" {}
`)
	// A mirror with a provider that init only has to hash.
	mirror := t.TempDir()
	dir := filepath.Join(mirror, "example.test", "test", "fake", "1.0.0", "linux_"+goarch())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	provider := filepath.Join(dir, "terraform-provider-fake_v1.0.0")
	if err := os.WriteFile(provider, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, s.cfg.CLIConfig, "provider_installation {\n  filesystem_mirror {\n    path = \""+mirror+"\"\n  }\n}\n")
	err := s.tf.Init(t.Context(), s.root, nil)
	wantCode(t, err, upgrade.CodeInvalid, "has no .terraform.lock.hcl")
	if hint := upgrade.HintOf(err); !strings.Contains(hint, "commit .terraform.lock.hcl") {
		t.Errorf("got hint %q", hint)
	}
	cmd := exec.Command(binary, "init")
	cmd.Dir = s.root.Dir
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+s.cfg.CLIConfig, "TF_DATA_DIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.init() // with its lock file it is fine
	if err := os.WriteFile(provider, []byte("#!/bin/sh\nexit 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.tf.Init(t.Context(), s.root, nil), upgrade.CodeInvalid, "is not the build that .terraform.lock.hcl names")
	main, err := os.ReadFile(filepath.Join(s.root.Dir, "main.tf"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.root.Dir, "main.tf"), strings.Replace(string(main), "required_providers {",
		"required_providers {\n    second = { source = \"example.test/test/second\" }", 1))
	if err := os.CopyFS(filepath.Join(mirror, "example.test", "test", "second"), os.DirFS(filepath.Join(mirror, "example.test", "test", "fake"))); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(mirror, "example.test", "test", "second", "1.0.0", "linux_"+goarch())
	if err := os.Rename(filepath.Join(second, "terraform-provider-fake_v1.0.0"), filepath.Join(second, "terraform-provider-second_v1.0.0")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(provider, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.tf.Init(t.Context(), s.root, nil), upgrade.CodeInvalid, "does not name every provider")
}

func testBackgroundChild(t *testing.T, binary string) {
	s := newStack(t, binary, `
resource "terraform_data" "daemon" {
  provisioner "local-exec" { command = "(while test -e main.tf && ! test -e go; do sleep 0.05; done) >/dev/null 2>&1 &" }
}
`)
	attempt := s.ready()
	if ended := s.apply(attempt, nil); !ended.OK {
		t.Errorf("got %+v", ended)
	}
	other := attempt
	other.Dir += "-other"
	_, err := s.tf.Apply(t.Context(), s.root, other, nil)
	wantCode(t, err, upgrade.CodeBusy, "left in the background")
	write(t, filepath.Join(s.root.Dir, "go"), "")
}
