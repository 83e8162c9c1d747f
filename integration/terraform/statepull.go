package terraform

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

const (
	// largestState is how many bytes of a state are read. Terraform itself holds all of it in memory.
	largestState = 512 << 20
	// pullPatience is how long a `state pull` that is cut off may take to end in order: it changes nothing.
	pullPatience = 10 * time.Second
)

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
	cmd := exec.CommandContext(pulling, program, "state", "pull") //nolint:gosec // the operator names the program
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
