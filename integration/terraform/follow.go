package terraform

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// follower reads the events of an attempt as they are written.
type follower struct {
	terraform *Terraform
	path      string
	tick      func(plan.Tick)
	story     Story

	file *os.File
	held []byte // a line that is not whole yet
}

// read hands on what has been written since the last time.
func (f *follower) read() error {
	if f.tick == nil {
		return nil
	}
	if f.file == nil {
		root, err := os.OpenRoot(filepath.Dir(f.path))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		f.file, err = root.Open(filepath.Base(f.path))
		_ = root.Close()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := f.file.Read(buf)
		f.held = append(f.held, buf[:n]...)
		f.lines()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (f *follower) lines() {
	for {
		end := bytes.IndexByte(f.held, '\n')
		if end < 0 {
			return
		}
		_, tick := f.story.Line(f.held[:end])
		f.held = f.held[end+1:]
		tick.At = f.terraform.worldTime(tick.At)
		f.tick(tick)
	}
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close()
	}
}

// worldTime turns a time that another process wrote down, by the operating system's clock, into the
// time of our clock: as long ago as it was.
func (t *Terraform) worldTime(at time.Time) time.Time {
	now := t.cfg.Clock.Now()
	if at.IsZero() {
		return now
	}
	age := time.Since(at) //nolint:forbidigo // the other process knows no clock of ours
	return now.Add(-max(age, 0))
}

// shimSays returns the last line that the shim printed, for an error.
func shimSays(dir string) string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "its folder is gone"
	}
	defer func() { _ = root.Close() }()
	raw, err := root.ReadFile(FileShimLog)
	if err != nil {
		return "it printed nothing"
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	if last := shorten(lines[len(lines)-1]); last != "" {
		return last
	}
	return "it printed nothing"
}
