package demo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// tools is the Terraform that the demo uses by hand; the service finds and runs its own.
type tools struct {
	binary  string
	tool    string // as it calls itself
	cli     string // its own configuration file
	version string // of the provider
	dir     string
}

func findTools(ctx context.Context, binary, cli, version, dir string) (*tools, error) {
	for _, name := range []string{binary, "terraform", "tofu"} {
		if name == "" {
			continue
		}
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, "version").Output() //nolint:gosec // the operator's own Terraform
		if err != nil {
			return nil, fmt.Errorf("ask %s for its version: %w", path, err)
		}
		first, _, _ := strings.Cut(string(out), "\n")
		return &tools{binary: path, tool: first, cli: cli, version: version, dir: dir}, nil
	}
	return nil, &upgrade.Error{
		Code: upgrade.CodeInvalid, Msg: "there is no Terraform on this machine", Hint: "use `make demo`, which builds one, or put terraform 1.5 or later on PATH",
	}
}

// stateFile is where the stack's state of an environment is.
func (t *tools) stateFile(stack upgrade.StackName, env upgrade.EnvName) string {
	return filepath.Join(t.dir, "state", string(env), string(stack)+".tfstate")
}

// byHand is what is applied as it was before anybody thought of a gate.
type byHand struct {
	stack      upgrade.StackName
	files      map[string]string
	env        map[string]string // Terraform's
	varied     bool              // each environment has a file of variables
	production bool              // to production too, before staging
	later      string            // file that production does without
}

// applyByHand initialises and applies the configuration, and adds the provider lock file that init wrote
// to its files: each build of this program is another provider with a checksum of its own.
func (t *tools) applyByHand(ctx context.Context, h byHand) error {
	dir := filepath.Join(t.dir, "byhand", string(h.stack))
	for name, text := range h.files {
		if name == h.later {
			continue
		}
		if err := writeFile(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	init := []string{"init", "-input=false", "-no-color", "-backend-config=path=" + t.stateFile(h.stack, staging)}
	if err := t.run(ctx, dir, init, h.env); err != nil {
		return err
	}
	if h.production {
		if err := t.run(ctx, dir, t.apply(h, production), h.env); err != nil {
			return err
		}
	}
	if h.later != "" {
		if err := writeFile(filepath.Join(dir, h.later), h.files[h.later]); err != nil {
			return err
		}
	}
	if err := t.run(ctx, dir, t.apply(h, staging), h.env); err != nil {
		return err
	}
	lock, err := os.ReadFile(filepath.Join(dir, ".terraform.lock.hcl")) //nolint:gosec // a folder of ours
	if err != nil {
		return fmt.Errorf("read the lock file: %w", err)
	}
	h.files[".terraform.lock.hcl"] = string(lock)
	return nil
}

// apply is the command that applies to an environment.
func (t *tools) apply(h byHand, env upgrade.EnvName) []string {
	command := []string{"apply", "-input=false", "-no-color", "-auto-approve", "-state=" + t.stateFile(h.stack, env)}
	if h.varied {
		command = append(command, "-var-file="+string(env)+".tfvars")
	}
	return command
}

func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

func (t *tools) run(ctx context.Context, dir string, args []string, env map[string]string) error {
	cmd := exec.CommandContext(ctx, t.binary, args...) //nolint:gosec // the operator's own Terraform
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.dir, "TMPDIR=" + t.dir, "TF_CLI_CONFIG_FILE=" + t.cli, "TF_IN_AUTOMATION=1"}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("terraform %s: %w\n%s", args[0], err, out.Bytes())
	}
	return nil
}
