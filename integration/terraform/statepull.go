package terraform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

const (
	// largestState is how many bytes of a state are read. Terraform itself holds all of it in memory.
	largestState = 512 << 20
	// pullPatience is how long a `state pull` that is cut off may take to end in order: it changes nothing.
	pullPatience = 10 * time.Second
)

// backendFile, in TF_DATA_DIR, is where both tools keep which backend was initialised.
const backendFile = "terraform.tfstate"

// InitBackend prepares a checked-out root module as far as StatePull needs it: backend and workspace. It
// gets modules but no providers, of which reading a state needs none: a foreign state may need some that
// cannot be had here. The lock file of providers is removed from the checkout: Terraform would not read a
// state without the very builds that it names. What Terraform prints goes, masked, to logs/prepare.log of
// the data folder.
//
// Error: CodeInvalid, with a hint, when the configuration is wrong or there is no such workspace;
// CodeUnavailable when the backend cannot be reached.
func (t *Terraform) InitBackend(ctx context.Context, root plan.Root) error {
	w, err := t.workplace(root)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.ownCheckout(); err != nil {
		return err
	}
	known, none := filepath.Join(w.tfData, backendFile), filepath.Join(root.Data, "no-plugins")
	locks := filepath.Join(root.Dir, lockFile)
	if err := errors.Join(os.RemoveAll(known), os.RemoveAll(locks), os.MkdirAll(none, 0o755)); err != nil { //nolint:gosec // Terraform's user reads it
		return fmt.Errorf("prepare the data folder: %w", err)
	}
	out, err := w.log("prepare", nil)
	if err != nil {
		return err
	}
	env := maps.Clone(root.Env)
	if env == nil {
		env = map[string]upgrade.Secret{}
	}
	maps.Copy(env, t.cfg.GitEnv) // for modules
	return locked(func() error {
		var stderr tail
		tf, err := t.tool(ctx, w, env, out, io.MultiWriter(out, &stderr))
		if err != nil {
			return err
		}
		// With a folder of plugins no other place is asked for any.
		options := []tfexec.InitOption{tfexec.PluginDir(none)}
		for _, key := range slices.Sorted(maps.Keys(root.BackendConfig)) {
			options = append(options, tfexec.BackendConfig(key+"="+root.BackendConfig[key]))
		}
		// Init ends with an error for each provider that it lacks, but the backend comes first.
		// An error of the backend after it was noted, such as that its state cannot be read, StatePull tells.
		if err := tf.Init(ctx, options...); err != nil {
			if _, errStat := os.Stat(known); errStat != nil || ctx.Err() != nil {
				return w.failure(ctx, "terraform init", err, nil, stderr.String())
			}
		}
		return t.workspace(ctx, w, tf, &stderr)
	})
}

// StatePull writes the state of an initialised root module to w, as `terraform state pull` prints it, piece
// by piece: terraform-exec would hold it whole. It takes no lock and writes nothing, and what it reads
// goes to w alone, never into a log or a file. The empty state of a new stack is nothing, or JSON without
// resources.
//
// Error: CodeInvalid with Terraform's own first error, such as that the root module is not initialised, or
// when the state has more than 512 MB; CodeUnavailable when the backend cannot be reached. An error of w
// ends the reading and is returned as it is.
func (t *Terraform) StatePull(ctx context.Context, root plan.Root, w io.Writer) error {
	place, err := t.workplace(root)
	if err != nil {
		return err
	}
	defer place.close()
	env, err := t.environ(place, root.Env)
	if err != nil {
		return err
	}
	program, env, err := place.launcher(t.binary, "", env)
	if err != nil {
		return err
	}
	return locked(func() error { return place.pull(ctx, program, env, &bounded{to: w, left: largestState}) })
}

func (w *workplace) pull(ctx context.Context, program string, env map[string]string, to *bounded) error {
	pulling, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(pulling, program, "state", "pull", "-no-color")
	var stderr tail
	cmd.Dir, cmd.Stderr = w.root.Dir, &stderr
	cmd.Env = append(pairs(env), "TF_IN_AUTOMATION=1", "TF_INPUT=0")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = pullPatience
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start terraform state pull: %w", err)
	}
	_, errRead := io.Copy(to, pipe)
	if errRead != nil {
		_ = pipe.Close() // nobody wants the rest, and who waits to write it would not end
		cancel()
	}
	errWait := cmd.Wait()
	switch {
	case to.err != nil:
		return to.err
	case ctx.Err() != nil:
		return fmt.Errorf("terraform state pull: %w", context.Cause(ctx))
	case errWait != nil:
		return w.failure(ctx, "terraform state pull", errWait, nil, stderr.String())
	case errRead != nil:
		return fmt.Errorf("read the state: %w", errRead)
	}
	return nil
}

// bounded passes on what is written until it is too much or the reader fails.
type bounded struct {
	to   io.Writer
	left int64
	err  error // of the reader, or that it was too much
}

// Write fails for good once it has failed.
func (b *bounded) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left -= int64(len(p)); b.left < 0 {
		b.err = &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the state has more than %d MB", largestState>>20),
			Hint: "split the stack: Terraform itself holds the whole state in memory several times",
		}
		return 0, b.err
	}
	n, err := b.to.Write(p)
	b.err = err
	return n, err
}

var backendName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// WriteBackend makes dir, which is empty or does not exist, a root module that is nothing but a backend of
// that name: enough to initialise and to read a state that no stack here works on. Error: CodeInvalid for
// what cannot be the name of a backend.
func (t *Terraform) WriteBackend(dir, backend string) error {
	if !backendName.MatchString(backend) {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q is not a backend of Terraform", backend), Hint: "such as s3"}
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the folder of a foreign state: %w", err)
	}
	text := strings.ReplaceAll("terraform {\n  backend \"NAME\" {}\n}\n", "NAME", backend)
	if err := os.WriteFile(filepath.Join(dir, "backend.tf"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the backend of a foreign state: %w", err)
	}
	return nil
}
