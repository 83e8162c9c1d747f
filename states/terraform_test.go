package states_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/states"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// binaries returns the tools that the environment names, else terraform on PATH.
func binaries(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for name, key := range map[string]string{"terraform": "UPGRADEGATE_TEST_TERRAFORM", "tofu": "UPGRADEGATE_TEST_TOFU"} {
		path := os.Getenv(key)
		if path == "" {
			if slices.Contains(strings.Split(os.Getenv("UPGRADEGATE_TEST_NEED"), ","), name) {
				t.Fatalf("UPGRADEGATE_TEST_NEED lists %s but %s is empty", name, key)
			}
			path, _ = exec.LookPath(name) // none: it is not tested
		}
		if path != "" {
			found[name] = path
		}
	}
	if len(found) == 0 {
		t.Skip("no terraform and no tofu: set UPGRADEGATE_TEST_TERRAFORM or UPGRADEGATE_TEST_TOFU")
	}
	return found
}

const (
	statePassword = "correct-horse-battery"
	stateSecret   = "value-that-only-the-state-knows"
)

// genuine is a house whose Terraform is a real one. Its git is still that of the world, whose trees are
// configurations with a backend of that name.
type genuine struct {
	*world
	*terraform.Terraform
	backend string
}

func (r genuine) Init(ctx context.Context, root plan.Root, log io.Writer) error {
	return r.Terraform.Init(ctx, root, log)
}

func (r genuine) Plan(ctx context.Context, root plan.Root, log io.Writer) (plan.Planned, error) {
	return r.Terraform.Plan(ctx, root, log)
}

func (r genuine) Show(ctx context.Context, root plan.Root, planned plan.Planned) (plan.Summary, error) {
	return r.Terraform.Show(ctx, root, planned)
}

func (r genuine) WriteBackend(dir, backend string) error {
	return r.Terraform.WriteBackend(dir, backend)
}

func (r genuine) InitBackend(ctx context.Context, root plan.Root) error {
	if main := filepath.Join(root.Dir, "main.tf"); strings.Contains(root.Dir, "stacks") {
		text := "terraform {\n  backend \"" + r.backend + "\" {}\n}\n\nmodule \"grants\" {\n  source = \"./grants\"\n}\n"
		if err := os.MkdirAll(filepath.Join(root.Dir, "grants"), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(main, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return r.Terraform.InitBackend(ctx, root)
}

func (r genuine) StatePull(ctx context.Context, root plan.Root, w io.Writer) error {
	return r.Terraform.StatePull(ctx, root, w)
}

// TestS9RealStates reads states of stacks and foreign ones from files and over HTTP. A grant that three of
// them have is found in all; a state that is away keeps what was read; and nothing of a state's values is
// in the log, the database or a folder (S9).
func TestS9RealStates(t *testing.T) {
	for name, binary := range binaries(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testRealStates(t, binary)
		})
	}
}

func testRealStates(t *testing.T, binary string) {
	t.Helper()
	dir := t.TempDir()
	remote := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != statePassword {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodGet {
			t.Errorf("the state was asked to %s", r.Method)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprint(w, secretState("http", "shared"))
	}))
	defer remote.Close()
	paths := map[string]string{"a": filepath.Join(dir, "a.tfstate"), "b": filepath.Join(dir, "b.tfstate")}
	for lineage, path := range paths {
		if err := os.WriteFile(path, []byte(secretState(lineage, "shared", "of-"+lineage)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := stack("ecs")
	own.Staging.BackendConfig, own.Production.Site.BackendConfig = map[string]string{"path": paths["a"]}, map[string]string{"path": filepath.Join(dir, "none.tfstate")}
	h := newHouse(t, own)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tf, err := terraform.New(terraform.Config{
		Binary: binary, Environ: []string{"PATH=" + os.Getenv("PATH")}, Self: self, LockDir: filepath.Join(dir, "locks"),
		Log: slog.New(slog.NewTextHandler(&h.log, nil)), Clock: h.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.tool = genuine{h.world, tf, "local"}
	h.configure(
		[]upgrade.Stack{own},
		states.Foreign{Name: "file", Backend: "local", Config: map[string]string{"path": paths["b"]}},
		states.Foreign{
			Name: "http", Backend: "http", Config: map[string]string{"address": remote.URL, "username": "gate", "retry_max": "0"},
			Env: map[string]upgrade.Secret{"TF_HTTP_PASSWORD": statePassword},
		},
	)
	all := []upgrade.StateName{"ecs/staging", "ecs/production", "file", "http"}
	h.refresh(all...)
	for _, name := range all {
		if got := h.reading(name); got.Problem != "" || got.ReadAt.IsZero() {
			t.Errorf("the reading is %+v", got)
		}
	}
	h.same("shared", h.owners("shared"), []string{"ecs/staging aws_kms_grant.g0", "file aws_kms_grant.g0", "http aws_kms_grant.g0"})
	h.same("of a new stack", h.reading("ecs/production").Objects, 0)

	remote.Close()
	h.refresh("http")
	if got := h.reading("http"); !strings.Contains(got.Problem, "connection refused") || got.Objects != 2 {
		t.Errorf("the reading is %+v", got)
	}
	h.same("shared, with one away", len(h.owners("shared")), 3)
	for _, secret := range []string{stateSecret, statePassword} {
		if strings.Contains(h.log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
		h.nowhere(secret)
	}
}

// secretState is a state with grants, which has a secret besides.
func secretState(lineage string, grants ...string) string {
	text := stateOf(lineage, grants...)
	return strings.Replace(text, `"resources": [`, `"outputs": {"o": {"value": "`+stateSecret+`", "type": "string", "sensitive": true}}, "resources": [
		{"mode": "managed", "type": "other_thing", "name": "it", "provider": "provider[\"example.org/other/other\"]", "instances": [
			{"schema_version": 0, "attributes": {"id": "x-1", "password": "`+stateSecret+`"}, "sensitive_attributes": []}]},`, 1)
}

// nowhere fails the test if a file of the house holds text.
func (h *house) nowhere(text string) {
	h.Helper()
	err := filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(raw), text) {
			h.Errorf("%s holds %q", path, text)
		}
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
}
