package terraform

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Init prepares the checked-out root module: providers exactly as its lock file names them, modules,
// backend, workspace. What Terraform prints goes, masked, to logs/prepare.log of the data folder and to
// log, which may be nil.
//
// Error: CodeInvalid, with a hint, when the configuration is wrong, when the lock file is missing or
// does not fit, or when there is no such workspace; CodeUnavailable when a registry or the backend
// cannot be reached.
func (t *Terraform) Init(ctx context.Context, root plan.Root, log io.Writer) error {
	w, err := t.workplace(root)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.ownCheckout(); err != nil {
		return err
	}
	out, err := w.log("prepare", log)
	if err != nil {
		return err
	}
	env := maps.Clone(root.Env)
	if env == nil {
		env = map[string]upgrade.Secret{}
	}
	maps.Copy(env, t.cfg.GitEnv)
	unlock, err := t.lockInit(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return locked(func() error { return t.initialise(ctx, w, env, out) })
}

func (t *Terraform) initialise(ctx context.Context, w *workplace, env map[string]upgrade.Secret, out io.Writer) error {
	var stderr tail
	tf, err := t.tool(ctx, w, env, out, io.MultiWriter(out, &stderr))
	if err != nil {
		return err
	}
	options := []tfexec.InitOption{}
	for _, key := range slices.Sorted(maps.Keys(w.root.BackendConfig)) {
		options = append(options, tfexec.BackendConfig(key+"="+w.root.BackendConfig[key]))
	}
	// terraform-exec has no option for this. It puts the "directory" last and Terraform parses it as a
	// flag; a test pins the command line.
	options = append(options, tfexec.Dir("-lockfile=readonly"))
	if err := tf.Init(ctx, options...); err != nil {
		return w.initFailure(ctx, err, stderr.String())
	}
	return t.workspace(ctx, w, tf, &stderr)
}

// initFailure says what to do when the lock file is why init failed.
func (w *workplace) initFailure(ctx context.Context, err error, stderr string) error {
	failed := w.failure(ctx, "terraform init", err, nil, stderr)
	if ctx.Err() != nil || upgrade.CodeOf(failed) != upgrade.CodeInvalid {
		return failed
	}
	const hint = "run terraform init where the stack is developed and commit " + lockFile
	switch {
	// Both tools say so: the lock file is missing or lacks a provider; it has another build of it.
	case strings.Contains(stderr, "Provider dependency changes detected"):
		_, errStat := os.Stat(filepath.Join(w.root.Dir, lockFile))
		if os.IsNotExist(errStat) {
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "the stack has no " + lockFile, Hint: hint, Cause: failed}
		}
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: lockFile + " does not name every provider that the stack needs", Hint: hint, Cause: failed}
	case strings.Contains(oneLine(stderr), "checksums previously recorded"), strings.Contains(oneLine(stderr), "match any of the checksums"):
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: "a provider is not the build that " + lockFile + " names",
			Hint: "run terraform providers lock -platform=" + runtime.GOOS + "_" + runtime.GOARCH + " and commit " + lockFile, Cause: failed,
		}
	}
	return failed
}

// workspace selects the root's workspace, which must exist: a new one would plan to create everything.
func (t *Terraform) workspace(ctx context.Context, w *workplace, tf *tfexec.Terraform, stderr *tail) error {
	want := w.root.Workspace
	if want == "" {
		want = "default"
	}
	// Which one is selected is kept in a file of TF_DATA_DIR. Without it the default is, as long as
	// TF_WORKSPACE says nothing, which environ does not let through: nobody need be asked.
	if _, err := os.Stat(filepath.Join(w.tfData, "environment")); want == "default" && os.IsNotExist(err) {
		return nil
	}
	// Asked first, because a backend without workspaces, such as the http one of GitLab's own states,
	// refuses to list them.
	tf.SetStdout(io.Discard)
	current, err := tf.WorkspaceShow(ctx)
	if err != nil {
		return w.failure(ctx, "terraform workspace show", err, nil, stderr.String())
	}
	if current == want {
		return nil
	}
	all, _, err := tf.WorkspaceList(ctx)
	if err != nil && ctx.Err() == nil && strings.Contains(stderr.String(), "workspaces not supported") {
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the stack's backend knows no workspaces, and %q is configured", want),
			Hint: "remove workspace from the configuration; give each environment a state of its own by backend_config",
		}
	}
	if err != nil {
		return w.failure(ctx, "terraform workspace list", err, nil, stderr.String())
	}
	if !slices.Contains(all, want) {
		return &upgrade.Error{
			Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the stack's backend has no workspace %q", want),
			Hint: fmt.Sprintf("run terraform workspace new %s once, or correct workspace in the configuration", want),
		}
	}
	if err := tf.WorkspaceSelect(ctx, want); err != nil {
		return w.failure(ctx, "terraform workspace select", err, nil, stderr.String())
	}
	return nil
}
