//nolint:thelper // some of its functions are tests, run by TestContract
package terraform_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// pulled is the state of a root module, as objects would be read from it.
func pulled(t *testing.T, tf *terraform.Terraform, root plan.Root) (string, plan.StateHeader) {
	t.Helper()
	var text bytes.Buffer
	if err := tf.StatePull(t.Context(), root, &text); err != nil {
		t.Fatal(err)
	}
	header, err := plan.Objects(bytes.NewReader(text.Bytes()), func(plan.Object) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return text.String(), header
}

// foreign initialises a root module that is nothing but a backend.
func (s *stack) foreign(backend string, root plan.Root) plan.Root {
	s.Helper()
	root.Data = filepath.Join(s.root.Data, "foreign")
	root.Checkout = filepath.Join(root.Data, "checkout")
	root.Dir = root.Checkout
	if err := s.tf.WriteBackend(root.Dir, backend); err != nil {
		s.Fatal(err)
	}
	if err := s.tf.InitBackend(s.Context(), root); err != nil {
		s.Fatal(err)
	}
	return root
}

// testStatePull reads the state of a new stack, that of one which was applied, and the same as a foreign one.
func testStatePull(t *testing.T, binary string) {
	s := newStack(t, binary, "terraform {\n  backend \"local\" {}\n}\n"+three)
	err := s.tf.StatePull(t.Context(), s.root, io.Discard)
	wantCode(t, err, upgrade.CodeInvalid, "nitialization required")
	s.root.BackendConfig = map[string]string{"path": filepath.Join(s.root.Data, "a.tfstate")}
	s.init()
	if text, header := pulled(t, s.tf, s.root); strings.Contains(text, "terraform_data") || header.Lineage != "" && header.Serial != 0 {
		t.Errorf("a new stack has the state %q", text)
	}
	if ended := s.apply(s.ready(), nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	own, header := pulled(t, s.tf, s.root)
	if strings.Count(strings.ReplaceAll(own, " ", ""), `"type":"terraform_data"`) != 3 || header.Lineage == "" {
		t.Errorf("got %q", own)
	}
	nowhere(t, header.Lineage, filepath.Join(s.root.Data, "logs"))

	foreign := s.foreign("local", plan.Root{BackendConfig: s.root.BackendConfig})
	if other, _ := pulled(t, s.tf, foreign); other != own {
		t.Errorf("as a foreign state: %q", other)
	}
}

// testForeignWorkspace reads another workspace than the default one, and is told when there is none.
func testForeignWorkspace(t *testing.T, binary string) {
	s := newStack(t, binary, "terraform {\n  backend \"local\" {}\n}\n"+three)
	dir := filepath.Join(s.root.Data, "spaces")
	s.root.BackendConfig = map[string]string{"workspace_dir": dir}
	if err := os.MkdirAll(filepath.Join(dir, "blue"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "blue", "terraform.tfstate"), `{"version":4,"serial":7,"lineage":"abc","resources":[]}`)
	root := s.foreign("local", plan.Root{BackendConfig: s.root.BackendConfig, Workspace: "blue"})
	if text, header := pulled(t, s.tf, root); header.Serial != 7 {
		t.Errorf("got %q", text)
	}
	root.Workspace = "green"
	wantCode(t, s.tf.InitBackend(t.Context(), root), upgrade.CodeInvalid, `no workspace "green"`)
}

// testStatePullOnlyReads reads a remote state whose lock somebody holds. It asks for no lock, and posts nothing.
func testStatePullOnlyReads(t *testing.T, binary string) {
	server := newStateServer(t)
	s := newStack(t, binary, server.backend(three))
	s.root.Env["TF_HTTP_PASSWORD"] = statePassword
	if ended := s.apply(s.ready(), nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	server.mu.Lock()
	server.lock = []byte(`{"ID":"somebody-else"}`)
	state := string(server.state)
	server.mu.Unlock()
	foreign := s.foreign("http", plan.Root{
		BackendConfig: map[string]string{"address": server.URL, "username": "gate", "retry_max": "0"}, Env: s.root.Env,
	})
	for _, root := range []plan.Root{s.root, foreign} {
		if text, _ := pulled(t, s.tf, root); !strings.Contains(text, "terraform_data") {
			t.Errorf("got %q", text)
		}
	}
	server.mu.Lock()
	if string(server.state) != state || string(server.lock) != `{"ID":"somebody-else"}` {
		t.Errorf("the state or its lock changed: %s, %s", server.state, server.lock)
	}
	server.mu.Unlock()
	nowhere(t, statePassword, s.root.Data)
	wrong := foreign
	wrong.Env = map[string]upgrade.Secret{"TF_HTTP_PASSWORD": "wrong-password"}
	wantCode(t, s.tf.StatePull(t.Context(), wrong, io.Discard), upgrade.CodeInvalid, "")
	server.Close()
	wantCode(t, s.tf.StatePull(t.Context(), foreign, io.Discard), upgrade.CodeUnavailable, "connection refused")
}

// testStateOfUnknownProvider reads a state, with a backend alone and with a configuration, whose providers
// cannot be had here.
func testStateOfUnknownProvider(t *testing.T, binary string) {
	s := newStack(t, binary, `
terraform {
  backend "local" {}
  required_providers {
    other = { source = "example.org/other/other" }
  }
}
module "grants" {
  source = "./grants"
}
`)
	if err := os.Mkdir(filepath.Join(s.root.Dir, "grants"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.root.Dir, "grants", "main.tf"), `resource "other_thing" "it" {}`)
	path := filepath.Join(s.root.Data, "a.tfstate")
	write(t, path, `{"version": 4, "terraform_version": "1.5.0", "serial": 7, "lineage": "abc", "outputs": {}, "resources": [
		{"mode": "managed", "type": "other_thing", "name": "it", "provider": "provider[\"example.org/other/other\"]",
		 "instances": [{"schema_version": 0, "attributes": {"id": "x-1"}}]}]}`)
	s.root.BackendConfig = map[string]string{"path": path}
	write(t, filepath.Join(s.root.Dir, ".terraform.lock.hcl"), `provider "example.org/other/other" {
  version = "1.2.3"
  hashes  = ["h1:Xr5A4DIFQ5N9iCuo8mG8rQ0mX2Lk1QKqz7mG5C1tq0A="]
}
`)
	if err := s.tf.InitBackend(t.Context(), s.root); err != nil {
		t.Fatal(err)
	}
	for _, root := range []plan.Root{s.root, s.foreign("local", plan.Root{BackendConfig: s.root.BackendConfig})} {
		if text, header := pulled(t, s.tf, root); header.Serial != 7 || header.Objects != 1 {
			t.Errorf("got %q", text)
		}
	}
	write(t, filepath.Join(s.root.Dir, "main.tf"), "terraform {\n  backend \"lokal\" {}\n}\n")
	wantCode(t, s.tf.InitBackend(t.Context(), s.root), upgrade.CodeInvalid, "lokal")
}

// TestStatePull pins the command line, and what comes of a reader that fails, of too large a state, and of
// a Terraform that hangs.
func TestStatePull(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	binary := fake(t, dir+"/terraform", "Terraform v1.5.7", `echo "$@" >> `+log+`
case $BEHAVE in
huge) yes 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' ;;
hang) echo begun; exec sleep 60 ;;
fail) echo 'half of it'; printf '\nError: no access\n\nThe password s3cr3t-word is wrong.\n' >&2; exit 1 ;;
*) echo state ;;
esac`)
	s := newStack(t, binary, "")
	pull := func(ctx context.Context, behave upgrade.Secret, w io.Writer) error {
		s.root.Env = map[string]upgrade.Secret{"BEHAVE": behave, "PASSWORD": "s3cr3t-word"}
		return s.tf.StatePull(ctx, s.root, w)
	}
	var text bytes.Buffer
	if err := pull(t.Context(), "", &text); err != nil || text.String() != "state\n" {
		t.Errorf("got %q, %v", text.String(), err)
	}
	if got, err := os.ReadFile(log); err != nil || string(got) != "state pull -no-color\n" {
		t.Errorf("the command line was %q (%v)", got, err)
	}
	err := pull(t.Context(), "fail", io.Discard)
	wantCode(t, err, upgrade.CodeInvalid, "no access")
	if strings.Contains(fmt.Sprint(err), "s3cr3t-word") {
		t.Errorf("the error tells the password: %v", err)
	}
	wantCode(t, pull(t.Context(), "huge", io.Discard), upgrade.CodeInvalid, "more than 512 MB")
	if err := pull(t.Context(), "huge", broken{}); err == nil || err.Error() != "nobody reads" {
		t.Errorf("got %v", err)
	}
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, late)
	defer cancel()
	if err := pull(ctx, "hang", io.Discard); !errors.Is(err, late) {
		t.Errorf("got %v", err)
	}
}

func TestWriteBackendRefuses(t *testing.T) {
	for _, name := range []string{"", "S3", "s3\" {}\n}\n"} {
		wantCode(t, new(terraform.Terraform).WriteBackend(filepath.Join(t.TempDir(), "x"), name), upgrade.CodeInvalid, "not a backend")
	}
}
