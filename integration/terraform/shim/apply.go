package shim

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/upgradegate/upgradegate/integration/terraform"
)

// apply runs Terraform and turns its end into a result.
func (s *shim) apply(ctx context.Context, tf *tfexec.Terraform, logs *logs) terraform.Result {
	tf.SetStderr(&terraform.Steady{W: &herald{to: logs.stderr, heard: logs.heard}})
	events := &terraform.Steady{W: &herald{to: logs.events, heard: logs.heard}}
	ctx, cancel := afterFirst(ctx, logs.heard.c)
	defer cancel()
	err := tf.ApplyJSON(ctx, events, tfexec.DirOrPlan(s.order.Plan), tfexec.LockTimeout(s.order.Wait))
	logs.flush()
	return s.result(ctx, err, &logs.story)
}

// afterFirst returns a context that ends once ctx has ended and Terraform has printed something. Before
// that it must not end: terraform-exec does not wait for a process that it starts at that very moment,
// so that Terraform would be killed with us instead of being asked to stop.
func afterFirst(ctx context.Context, heard <-chan struct{}) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-ctx.Done():
		case <-late.Done():
			return
		}
		select {
		case <-heard:
			cancel(context.Cause(ctx))
		case <-late.Done():
		}
	}()
	return late, func() { cancel(nil) }
}

func (s *shim) result(ctx context.Context, err error, story *terraform.Story) terraform.Result {
	if err != nil && !story.Begun && s.order.Tool != "" && story.Tool != "" && story.Tool != s.order.Tool {
		// Both tools refuse a plan of another version, before anything else.
		return terraform.Result{Refused: true, Message: s.otherTool(story.Tool)}
	}
	result := terraform.Result{OK: err == nil, Stale: story.First.Stale()}
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case ended:
		result.ExitCode = exit.ExitCode()
		result.Message = "Terraform ended with an error"
		if result.ExitCode < 0 {
			result.Message = "Terraform was killed"
		}
	case err != nil && ctx.Err() != nil: // err's text must not be asked for here: it may panic
		result.OK = story.Completed && story.First == nil // it ended well although it was asked to stop
		if !result.OK {
			result.ExitCode, result.Message = 1, "Terraform was stopped"
		}
	case err != nil:
		result.ExitCode, result.Message = -1, s.masker.Mask(err.Error())
	}
	if !result.OK && story.First != nil {
		result.Message, result.Address = s.masker.Mask(story.First.Sentence()), story.First.Address
	}
	return result
}

// once is closed once.
type once struct {
	sync.Once
	c chan struct{}
}

// herald says that something was written.
type herald struct {
	to    io.Writer
	heard *once
}

// Write passes p on.
func (h *herald) Write(p []byte) (int, error) {
	h.heard.Do(func() { close(h.heard.c) })
	return h.to.Write(p)
}

// logs are the files that an apply writes, all masked.
type logs struct {
	story  terraform.Story
	heard  *once          // closed when Terraform prints something
	events io.WriteCloser // JSON, whole lines
	stderr io.WriteCloser
	close  func()
}

func (s *shim) open() (*logs, error) {
	var files []*os.File
	closeAll := func() {
		for _, f := range files {
			_ = f.Close()
		}
	}
	open := func(dir, name string) (*os.File, error) {
		f, err := terraform.OpenLog(dir, name)
		if err == nil {
			files = append(files, f)
		}
		return f, err
	}
	events, err := open(s.dir, terraform.FileEvents)
	var stderr, readable *os.File
	if err == nil {
		stderr, err = open(s.dir, terraform.FileStderr)
	}
	if err == nil {
		readable, err = open(s.order.Data, s.order.Log)
	}
	if err != nil {
		closeAll()
		return nil, err
	}
	l := &logs{close: closeAll, heard: &once{c: make(chan struct{})}}
	l.events = s.masker.JSONWriter(&teller{
		story: &l.story, raw: &terraform.Steady{W: events}, text: &terraform.Steady{W: readable},
	})
	l.stderr = s.masker.Writer(io.MultiWriter(&terraform.Steady{W: stderr}, &terraform.Steady{W: readable}))
	return l, nil
}

// flush writes what has no end of line, and makes it last.
func (l *logs) flush() {
	_ = l.events.Close() // nothing below can fail: see Steady
	_ = l.stderr.Close()
}

// teller keeps whole masked lines of the JSON log, raw and readable.
type teller struct {
	story     *terraform.Story
	raw, text io.Writer
}

// Write takes whole lines.
func (t *teller) Write(p []byte) (int, error) {
	_, _ = t.raw.Write(p)
	for line := range strings.Lines(string(p)) {
		text, _ := t.story.Line([]byte(line))
		_, _ = io.WriteString(t.text, text+"\n")
	}
	return len(p), nil
}
