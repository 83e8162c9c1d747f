package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// logBuffer keeps what the service logs.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// need skips the test for want of a program, or fails it when UPGRADEGATE_TEST_NEED lists it.
func need(t *testing.T, name, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("UPGRADEGATE_TEST_NEED"), ","), name) {
		t.Fatalf("UPGRADEGATE_TEST_NEED lists %s, but: %s", name, why)
	}
	t.Skip(why)
}

func terraformBinary(t *testing.T) string {
	t.Helper()
	for _, key := range []string{"UPGRADEGATE_TEST_TERRAFORM", "UPGRADEGATE_TEST_TOFU"} {
		if path := os.Getenv(key); path != "" {
			return path
		}
	}
	path, err := exec.LookPath("terraform")
	if err != nil {
		need(t, "terraform", "no terraform: set UPGRADEGATE_TEST_TERRAFORM")
	}
	return path
}

// hold makes Terraform, or the stack's provisioner, wait at a point: init, plan or provisioner.
func (h *house) hold(point string) { h.Helper(); h.write("hold-"+point, "", 0o644) }

// release lets whoever waits at the point go on.
func (h *house) release(point string) {
	h.Helper()
	if err := os.Remove(h.path("hold-" + point)); err != nil && !os.IsNotExist(err) {
		h.Fatal(err)
	}
}

// tool is a Terraform that waits where it is told to. It notes that it is there.
func (h *house) tool(binary string) string {
	h.Helper()
	script := strings.NewReplacer("DIR", h.dir, "BINARY", binary).Replace(`#!/bin/sh
for word in "$@"; do
	case "$word" in init|plan)
		echo "$word" >> DIR/terraform.calls
		while [ -e DIR/hold-"$word" ]; do sleep 0.05; done
		break;;
	esac
done
exec BINARY "$@"
`)
	return h.write("bin/terraform", script, 0o755)
}

// lines returns the lines of a file of the house; none if it does not exist.
func (h *house) lines(name string) []string {
	raw, err := os.ReadFile(h.path(name))
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw))
}

// stack is a root module whose one resource notes each time that it is created, and needs no provider.
func (h *house) stack(version string) map[string]string {
	return map[string]string{filepath.Join(h.setup.dir, "main.tf"): "terraform {\n  required_version = \">= 1.5\"\n  backend \"local\" {}\n}\n\n" + h.resource(version)}
}

// stackOf is the stack of a name, one of several; what it notes is name=version.
func (h *house) stackOf(name, version string) map[string]string {
	return map[string]string{filepath.Join(name, "main.tf"): h.stack(name + "=" + version)[filepath.Join(h.setup.dir, "main.tf")]}
}

// resource notes each time that it is created.
func (h *house) resource(version string) string {
	return strings.NewReplacer("DIR", h.dir, "VERSION", version).Replace(`resource "terraform_data" "it" {
  triggers_replace = ["VERSION"]

  provisioner "local-exec" {
    command = "echo VERSION >> DIR/applies; while [ -e DIR/hold-provisioner ]; do sleep 0.05; done"
  }
}
`)
}

// applies returns the versions that were really applied, one for each time.
func (h *house) applies() []string { return h.lines("applies") }

// appliedOnce demands that each of the versions was applied exactly once, in this order, and nothing else.
func (h *house) appliedOnce(versions ...string) {
	h.Helper()
	if got := h.applies(); !slices.Equal(got, versions) {
		h.Errorf("applied %v, want %v", got, versions)
	}
}
