package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// The logs of a run.
const (
	StagePrepare = "prepare"
	StagePlan    = "plan"
	StageApply   = "apply"
	StageSettled = "settled"
)

// LogStages lists the logs that a run may have, in order.
func LogStages() []string { return []string{StagePrepare, StagePlan, StageApply, StageSettled} }

// Log opens one log of a run: Terraform's output, masked as it was written. CodeNotFound when there is
// none (yet, or any more).
func (l *Lifecycle) Log(_ context.Context, run upgrade.RunID, stage string) (io.ReadCloser, error) {
	if !slices.Contains(LogStages(), stage) {
		return nil, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no log %q", stage), Hint: "ask for prepare, plan, apply or settled"}
	}
	file, err := os.Open(l.logFile(run, stage))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("run %d has no %s log", run, stage)}
	}
	if err != nil {
		return nil, fmt.Errorf("open the %s log of run %d: %w", stage, run, err)
	}
	return file, nil
}

func (l *Lifecycle) logFile(run upgrade.RunID, stage string) string {
	return filepath.Join(l.folder(run), "logs", stage+".log")
}

// logged calls work with the log of the stage open at its end.
func (l *Lifecycle) logged(run upgrade.RunID, stage string, work func(io.Writer) error) (err error) {
	name := l.logFile(run, stage)
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return fmt.Errorf("make the log folder: %w", err)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // made of a run number and a stage of ours
	if err != nil {
		return fmt.Errorf("open the %s log: %w", stage, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return work(file)
}
