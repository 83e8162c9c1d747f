package terraform

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// Plan plans to plan.tfplan in the data folder, 0600, and takes its digest at once; with root.Destroy it
// plans to take everything away, with root.Unlocked it takes no lock. What Terraform reports goes, line by line and masked, to logs/plan.log
// of the data folder and to log, which may be nil. Error: CodeInvalid with Terraform's first error, as
// "main.tf:3: …"; CodeUnavailable when something could not be reached or the state is locked.
func (t *Terraform) Plan(ctx context.Context, root plan.Root, log io.Writer) (plan.Planned, error) {
	w, err := t.workplace(root)
	if err != nil {
		return plan.Planned{}, err
	}
	defer w.close()
	out, err := w.log("plan", log)
	if err != nil {
		return plan.Planned{}, err
	}
	planned := plan.Planned{File: filepath.Join(root.Data, planFile)}
	if err := os.Remove(planned.File); err != nil && !os.IsNotExist(err) {
		return plan.Planned{}, fmt.Errorf("remove the plan before: %w", err)
	}
	var stderr tail
	tf, err := t.tool(ctx, w, root.Env, io.Discard, io.MultiWriter(out, &stderr))
	if err != nil {
		return plan.Planned{}, err
	}
	options := []tfexec.PlanOption{tfexec.Out(planned.File), tfexec.LockTimeout(t.cfg.LockTimeout.String())}
	if root.Destroy {
		options = append(options, tfexec.Destroy(true))
	}
	if root.Unlocked {
		options = append(options, tfexec.Lock(false))
	}
	for _, file := range root.VarFiles {
		options = append(options, tfexec.VarFile(file))
	}
	story := &narrator{to: out}
	err = locked(func() error {
		changes, err := tf.PlanJSON(ctx, story, options...)
		planned.Empty = !changes
		return err
	})
	story.flush()
	if err != nil {
		return plan.Planned{}, w.failure(ctx, "terraform plan", err, story.First, stderr.String())
	}
	if planned.Tool, err = t.planner(ctx, story.Tool); err != nil {
		return plan.Planned{}, err
	}
	if err := seal(&planned, root); err != nil {
		return plan.Planned{}, err
	}
	return planned, nil
}

// planner returns what made a plan: what it said itself while it did, else what the binary is now.
func (t *Terraform) planner(ctx context.Context, itself string) (string, error) {
	if itself != "" {
		return itself, nil
	}
	name, version, err := t.Tool(ctx)
	return name + " " + version, err
}

// narrator turns the JSON log of a command into lines for people.
type narrator struct {
	Story
	to   io.Writer
	held []byte
}

// Write never fails: see Steady.
func (n *narrator) Write(p []byte) (int, error) {
	n.held = append(n.held, p...)
	for {
		end := bytes.IndexByte(n.held, '\n')
		if end < 0 {
			return len(p), nil
		}
		text, _ := n.Line(n.held[:end])
		n.held = n.held[end+1:]
		_, _ = io.WriteString(n.to, text+"\n")
	}
}

func (n *narrator) flush() {
	if len(n.held) > 0 {
		_, _ = n.Write([]byte("\n"))
	}
}

// Show reads the plan that Plan made and returns what it would change. Error: CodeConflict when the
// file is no longer the one that was made (S2), or another version of the tool made it.
func (t *Terraform) Show(ctx context.Context, root plan.Root, planned plan.Planned) (plan.Summary, error) {
	w, err := t.workplace(root)
	if err != nil {
		return plan.Summary{}, err
	}
	defer w.close()
	if err := SamePlan(planned.File, planned.FileDigest); err != nil {
		return plan.Summary{}, err
	}
	env, err := t.environ(w, root.Env)
	if err != nil {
		return plan.Summary{}, err
	}
	program, env, err := w.launcher(t.binary, "", env)
	if err != nil {
		return plan.Summary{}, err
	}
	var summary plan.Summary
	err = locked(func() error {
		summary, err = t.show(ctx, w, program, env, planned.File)
		return err
	})
	return summary, err
}

// show runs `show -json` itself: terraform-exec would hold the whole plan in memory.
func (t *Terraform) show(ctx context.Context, w *workplace, program string, env map[string]string, file string) (plan.Summary, error) {
	cmd := exec.CommandContext(ctx, program, "show", "-json", "-no-color", file) //nolint:gosec // the operator names the program
	var stderr tail
	cmd.Dir, cmd.Stderr = w.root.Dir, &stderr
	cmd.Env = append(pairs(env), "TF_IN_AUTOMATION=1", "TF_INPUT=0")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return plan.Summary{}, fmt.Errorf("read the plan: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return plan.Summary{}, fmt.Errorf("start terraform show: %w", err)
	}
	summary, errRead := plan.Summarize(pipe)
	_, _ = io.Copy(io.Discard, pipe) // so that it can end
	if err := cmd.Wait(); err != nil {
		return plan.Summary{}, w.failure(ctx, "terraform show", err, nil, stderr.String())
	}
	if errRead != nil {
		return plan.Summary{}, fmt.Errorf("read the plan: %w", errRead)
	}
	return summary, nil
}
