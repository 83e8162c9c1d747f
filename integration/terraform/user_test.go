package terraform_test

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/upgradegate/upgradegate/integration/terraform"
)

// Where the service is root, Terraform runs as a user that cannot read what the service keeps.
func TestAsAnotherUser(t *testing.T) {
	nobody, err := user.Lookup("nobody")
	if os.Geteuid() != 0 || err != nil {
		t.Skip("only root may switch users")
	}
	for name, binary := range tools(t) {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, binary, `
variable "greeting" {}
resource "terraform_data" "who" {
  input = var.greeting
  provisioner "local-exec" { command = "id -u > who; id -G >> who; cat ${abspath(path.root)}/../../../private 2>> who || true" }
}
`)
			// A service's folder: others may pass through it, not look into it.
			service := filepath.Join(s.root.Data, "service")
			data := filepath.Join(service, "run")
			if err := os.MkdirAll(filepath.Join(data, "checkout"), 0o711); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(s.root.Dir, filepath.Join(data, "checkout", "stack")); err != nil {
				t.Fatal(err)
			}
			for dir, mode := range map[string]os.FileMode{s.root.Data: 0o711, service: 0o711, data: 0o700} {
				if err := os.Chmod(dir, mode); err != nil {
					t.Fatal(err)
				}
			}
			write(t, filepath.Join(service, "private"), "the database")
			self, err := os.ReadFile(s.cfg.Self)
			if err != nil {
				t.Fatal(err)
			}
			cfg := s.cfg
			cfg.User, cfg.Self = "nobody", filepath.Join(service, "upgradegate")
			if err := os.WriteFile(cfg.Self, self, 0o755); err != nil {
				t.Fatal(err)
			}
			rc, err := os.ReadFile(cfg.CLIConfig)
			if err != nil {
				t.Fatal(err)
			}
			cfg.CLIConfig = filepath.Join(service, "cli.tfrc") // where that user may read it
			if err := os.WriteFile(cfg.CLIConfig, rc, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(binary, filepath.Join(service, "terraform")); err != nil {
				t.Fatal(err)
			}
			if readable, err := runnable(binary); err != nil || !readable { // such as one below /root
				raw, err := os.ReadFile(binary)
				if err != nil {
					t.Fatal(err)
				}
				cfg.Binary = filepath.Join(service, "tool")
				if err := os.WriteFile(cfg.Binary, raw, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if s.tf, err = terraform.New(cfg); err != nil {
				t.Fatal(err)
			}
			s.root.Data, s.root.Checkout = data, filepath.Join(data, "checkout")
			s.root.Dir = filepath.Join(s.root.Checkout, "stack")
			s.root.Env["TF_VAR_greeting"] = "hello there"
			s.init()
			planned := s.plan()
			if _, err := s.tf.Show(t.Context(), s.root, planned); err != nil {
				t.Fatal(err)
			}
			if ended := s.apply(s.attempt(planned), nil); !ended.OK {
				t.Fatalf("got %+v: %s", ended, s.read("logs/apply.log"))
			}
			// What we start as root is nowhere where that user could have put something else.
			if there(filepath.Join(data, "launch"))() {
				t.Error("the launcher is in the folder of Terraform's user")
			}
			if left, err := filepath.Glob(filepath.Join(cfg.LockDir, "launch*")); len(left) > 0 || err != nil {
				t.Errorf("launchers that stayed: %v, %v", left, err)
			}
			who, err := os.ReadFile(filepath.Join(s.root.Dir, "who"))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(who), "\n")
			if lines[0] != nobody.Uid || strings.Contains(" "+lines[1]+" ", " 0 ") || !strings.Contains(string(who), "Permission denied") {
				t.Errorf("got %s", who)
			}
			info, err := os.Stat(planned.File)
			if err != nil || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Uid == 0 {
				t.Errorf("plan file: %+v, %v", info, err)
			}
		})
	}
}

// runnable reports whether every folder on the way to path lets others through.
func runnable(path string) (bool, error) {
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false, err
		}
	}
	return true, nil
}
