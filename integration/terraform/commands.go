package terraform

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// lockTimeout is how long Terraform waits for the lock of the state if the configuration does not say.
	lockTimeout = time.Minute
	// patience is how long a cancelled init, plan or show may take to end in order before it is killed.
	// None of them changes anything. An apply has no such limit.
	patience = 15 * time.Minute
	// lockFile is the name of the provider lock file.
	lockFile = ".terraform.lock.hcl"
	// keptTail is how much of stderr is kept for finding the error in it.
	keptTail = 64 << 10
)

// tool returns terraform-exec for one command, as it wants to be used: a new one each time, since it
// keeps the writer of the last command. It has asked for the version already, so that this is not in the
// log; the binary itself is asked only when it is not the file that told it before.
func (t *Terraform) tool(ctx context.Context, w *workplace, env map[string]upgrade.Secret, stdout, stderr io.Writer) (*tfexec.Terraform, error) {
	all, err := t.environ(w, env)
	if err != nil {
		return nil, err
	}
	tf, err := t.prepared(ctx, w, all, t.known())
	if err != nil {
		return nil, err
	}
	tf.SetStdout(&Steady{W: stdout})
	tf.SetStderr(&Steady{W: stderr})
	return tf, nil
}

// prepared returns terraform-exec that knows the tool's version: the given one, else it asks the tool.
func (t *Terraform) prepared(ctx context.Context, w *workplace, env map[string]string, version string) (*tfexec.Terraform, error) {
	program, changed, err := w.launcher(t.binary, version, env)
	if err != nil {
		return nil, err
	}
	tf, err := tfexec.NewTerraform(w.root.Dir, program)
	if err != nil {
		return nil, fmt.Errorf("set Terraform up: %w", err)
	}
	if err := tf.SetEnv(changed); err != nil {
		return nil, fmt.Errorf("set Terraform's environment: %w", err)
	}
	if err := tf.SetWaitDelay(patience); err != nil {
		return nil, fmt.Errorf("set Terraform's patience: %w", err)
	}
	err = locked(func() error { _, _, err := tf.Version(ctx, true); return err })
	switch {
	case err == nil:
		return tf, nil
	case version != "" && ctx.Err() == nil: // no scripts can be run there
		return t.prepared(ctx, w, env, "")
	}
	return nil, w.failure(ctx, "terraform version", err, nil, "")
}

// locked runs f on an operating system thread of its own: a child that asked for Pdeathsig, as
// terraform-exec's do, dies with the thread that started it, and Go ends threads of goroutines that
// end while locked to one.
func locked(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

// tail keeps the last part of what is written to it.
type tail struct{ buf []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*keptTail {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-keptTail:]...)
	}
	return len(p), nil
}

// String returns what was kept.
func (t *tail) String() string { return string(t.buf) }
