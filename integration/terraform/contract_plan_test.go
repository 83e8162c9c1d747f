//nolint:thelper // its functions are tests, run by TestContract
package terraform_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

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
