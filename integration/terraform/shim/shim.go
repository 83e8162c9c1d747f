// Package shim is what an apply runs under: a detached process that holds the lock of the stack, checks
// that plan, provider lock file and tool are those that were judged, runs Terraform through
// terraform-exec, and leaves a result file. It outlives the service; whatever happens to the service,
// the next one reads the files that are written here. It must not decide anything else.
package shim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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

// tool returns terraform-exec, which wants to know the version. The binary is asked, unless it is the
// very file that said before that it is what the plan was made by. Should it start another version all
// the same, Terraform refuses the plan: see result.
func (s *shim) tool(ctx context.Context) (*tfexec.Terraform, error) {
	if _, version, ok := strings.Cut(s.order.Tool, " "); ok && s.sameBinary() {
		if tf, err := s.launcher(ctx, version); err == nil {
			return tf, nil
		} // else no scripts can be run there
	}
	return s.prepared(ctx, s.order.Binary)
}

func (s *shim) sameBinary() bool {
	return s.order.Known == s.order.Tool && s.order.BinaryID != "" && s.order.BinaryID == terraform.BinaryID(s.order.Binary)
}

// launcher is prepared with a script that answers for the binary.
func (s *shim) launcher(ctx context.Context, version string) (*tfexec.Terraform, error) {
	script, err := terraform.LaunchScript(s.order.Binary, version)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, terraform.FileLaunch)
	if err := terraform.WriteScript(path, script); err != nil {
		return nil, fmt.Errorf("write the launcher of Terraform: %w", err)
	}
	return s.prepared(ctx, path)
}

func (s *shim) prepared(ctx context.Context, program string) (*tfexec.Terraform, error) {
	tf, err := tfexec.NewTerraform(s.order.Dir, program)
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
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: s.otherTool(s.version)}
	}
	return nil
}

func (s *shim) otherTool(found string) string {
	return fmt.Sprintf("the plan was made by %s, and %s is installed now", s.order.Tool, found)
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
