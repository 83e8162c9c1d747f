// Package shim is what an apply runs under: a detached process that holds the lock of the stack, checks
// that plan, provider lock file and tool are those that were judged, runs Terraform through
// terraform-exec, and leaves a result file. It outlives the service; whatever happens to the service,
// the next one reads the files that are written here. It must not decide anything else.
package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/terraform-exec/tfexec"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
)

// The exit codes of Run. Nobody needs them: the result file says more. They are for whoever looks at
// the process.
const (
	exitOK      = 0
	exitFailed  = 1 // Terraform ended with an error
	exitBroken  = 2 // the shim itself failed
	exitRefused = 3 // Terraform was not started
)

// lockFD is the descriptor of the stack's lock. It stays inheritable, so that a provider that outlives
// Terraform still holds it.
const lockFD = 3

// Run carries out the order in dir and returns the exit code for the process. It must be called by the
// main goroutine of a process of its own, before that starts others. The end of ctx, SIGINT or SIGTERM
// are one SIGINT to Terraform, which then ends in order; nothing ever kills it.
func Run(ctx context.Context, dir string) int {
	runtime.LockOSThread() // Terraform dies with the thread that started it
	s := &shim{dir: dir}
	if err := terraform.ReadJSON(dir, terraform.FileOrder, &s.order); err != nil {
		fmt.Fprintf(os.Stderr, "apply-shim: %v\n", err)
		return exitBroken
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := s.run(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "apply-shim: %v\n", err)
		return exitBroken
	}
	result.At = now()
	if err := terraform.WriteJSON(dir, terraform.FileResult, result, true); err != nil {
		fmt.Fprintf(os.Stderr, "apply-shim: %v\n", err)
		return exitBroken
	}
	switch {
	case result.Refused:
		return exitRefused
	case result.OK:
		return exitOK
	}
	return exitFailed
}

func now() time.Time {
	return time.Now().UTC() //nolint:forbidigo // a process of its own: the reader turns it into its own time
}

type shim struct {
	dir     string
	order   terraform.Order
	masker  *terraform.Masker
	version string
}

// run returns a result to be kept, or an error when there is none: then Terraform was not started, or
// the result could not be known.
func (s *shim) run(ctx context.Context) (terraform.Result, error) {
	if err := s.checkLock(); err != nil {
		return terraform.Result{}, err
	}
	if err := s.environ(); err != nil {
		return terraform.Result{}, err
	}
	tmp, made, err := terraform.ShortTmp(s.order.Tmp)
	if err != nil {
		return terraform.Result{}, err
	}
	defer cleanTmp(tmp, made)
	if err := os.Setenv("TMPDIR", tmp); err != nil {
		return terraform.Result{}, fmt.Errorf("set TMPDIR: %w", err)
	}
	tf, err := s.tool(ctx)
	if err != nil {
		return terraform.Result{}, err
	}
	if err := s.check(); err != nil {
		if upgrade.CodeOf(err) != upgrade.CodeConflict {
			return terraform.Result{}, err
		}
		return terraform.Result{Refused: true, Message: upgrade.Public(err)}, nil
	}
	logs, err := s.open()
	if err != nil {
		return terraform.Result{}, err
	}
	defer logs.close()
	if err := s.begin(); err != nil {
		return terraform.Result{}, err
	}
	if s.stopWanted() {
		return terraform.Result{ExitCode: -1, Message: "stopped before Terraform began"}, nil
	}
	return s.apply(ctx, tf, logs), nil
}

// checkLock refuses to run without the stack's lock: nobody else may start us.
func (s *shim) checkLock() error {
	var ours, named syscall.Stat_t
	if err := syscall.Fstat(lockFD, &ours); err != nil {
		return errors.New("this is started by the service, never by hand: descriptor 3 is not the stack's lock")
	}
	if err := syscall.Stat(s.order.Lock, &named); err == nil && (ours.Ino != named.Ino || ours.Dev != named.Dev) {
		return fmt.Errorf("descriptor 3 is not %s", s.order.Lock)
	}
	if err := syscall.Flock(lockFD, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("take the stack's lock: %w", err)
	}
	return nil
}

// environ keeps only the variables that the order names. terraform-exec inherits them from here; set
// one by one it would refuse TF_VAR_ variables.
func (s *shim) environ() error {
	var secrets []upgrade.Secret
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if slices.Contains(s.order.Secrets, name) {
			secrets = append(secrets, upgrade.Secret(value))
		}
		if !slices.Contains(s.order.Env, name) {
			if err := os.Unsetenv(name); err != nil {
				return fmt.Errorf("drop a variable: %w", err)
			}
		}
	}
	s.masker = terraform.NewMasker(secrets...)
	return nil
}

func (s *shim) tool(ctx context.Context) (*tfexec.Terraform, error) {
	tf, err := tfexec.NewTerraform(s.order.Dir, s.order.Binary)
	if err != nil {
		return nil, fmt.Errorf("set Terraform up: %w", err)
	}
	if err := tf.SetWaitDelay(0); err != nil { // 0: never killed, however long it takes to end
		return nil, fmt.Errorf("set Terraform up: %w", err)
	}
	version, _, err := tf.Version(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("ask Terraform for its version: %w", err)
	}
	s.version = version.String()
	return tf, nil
}

// check compares plan, lock file and tool with what was judged (S2).
func (s *shim) check() error {
	if err := terraform.SamePlan(s.order.Plan, s.order.PlanDigest); err != nil {
		return err
	}
	lock, err := terraform.LockDigest(s.order.Dir)
	switch {
	case err != nil:
		return err
	case lock != s.order.LockDigest:
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "the provider lock file is not the one that the plan was made with"}
	}
	if _, version, ok := strings.Cut(s.order.Tool, " "); ok && version != s.version {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: fmt.Sprintf("the plan was made by %s, and %s is installed now", s.order.Tool, s.version),
		}
	}
	return nil
}

// begin uses the plan up: from here on it is never applied by anybody else.
func (s *shim) begin() error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("ask for the host's name: %w", err)
	}
	name := "" // as Terraform does when it names the holder of a lock
	if who, err := user.Current(); err == nil {
		name = who.Username
	}
	err = terraform.WriteJSON(s.dir, terraform.FileStarted, terraform.Started{
		PID: os.Getpid(), Ticks: terraform.StartTicks(os.Getpid()), User: name, Host: host,
		BootID: terraform.BootID(), At: now(), Version: s.version,
	}, true)
	if errors.Is(err, fs.ErrExist) {
		return errors.New("this apply was begun before, and no plan is applied twice")
	}
	return err
}

func (s *shim) stopWanted() bool {
	_, err := os.Lstat(filepath.Join(s.dir, terraform.FileStop))
	return err == nil
}

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

func cleanTmp(tmp string, made bool) {
	if made {
		_ = os.RemoveAll(tmp)
		return
	}
	entries, err := os.ReadDir(tmp)
	if err != nil {
		return
	}
	for _, entry := range entries {
		_ = os.RemoveAll(filepath.Join(tmp, entry.Name()))
	}
}
