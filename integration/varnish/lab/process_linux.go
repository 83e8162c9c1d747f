package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/upgradegate/upgradegate/upgrade"
)

// stopWithin is how long a process may take to end by itself before it is killed.
const stopWithin = 3 * time.Second

// keeper is a thread that starts processes. It lives as long as they may: the kernel tells a process that
// its parent died when the starting thread ends, and so they end even if this program is killed.
type keeper struct {
	work chan func()
	done sync.WaitGroup
}

func newKeeper() *keeper {
	k := &keeper{work: make(chan func())}
	k.done.Go(func() {
		runtime.LockOSThread() // never unlocked: it may be in another namespace by then
		for f := range k.work {
			f()
		}
	})
	return k
}

// do runs f on the thread, within a namespace; "" stays in this program's own.
func (k *keeper) do(namespace string, f func() error) error {
	result := make(chan error)
	k.work <- func() {
		var err error
		if namespace != "" {
			err = enter(namespace)
		}
		if err == nil {
			err = f()
		}
		result <- err
	}
	return <-result
}

func (k *keeper) close() {
	close(k.work)
	k.done.Wait()
}

// process is a program in the foreground, with its last words.
type process struct {
	keeper    *keeper
	namespace string
	argv      []string

	mu   sync.Mutex // guards the fields below
	cmd  *exec.Cmd
	out  *tail
	gone chan struct{} // closed when the process has ended and was waited for
}

// start runs the program; a second start without a stop is refused.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: p.argv[0] + " runs already"}
	}
	out := &tail{}
	cmd := exec.Command(p.argv[0], p.argv[1:]...) //nolint:gosec,noctx // programs of this package's choice; ended by stop
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.keeper.do(p.namespace, cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", filepath.Base(p.argv[0]), err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its last words
		close(gone)
	}()
	p.cmd, p.out, p.gone = cmd, out, gone
	return nil
}

// stop ends the program and its children, gently at first, and waits for it. Stopping what does not run
// is fine.
func (p *process) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	leader := p.cmd.Process.Pid
	p.cmd = nil
	select {
	case <-p.gone:
		return nil // its number may be somebody else's by now
	default:
	}
	// hitch ends without waiting for its children. Whoever adopts them must: on a machine whose first
	// process does not, they would stay as zombies. So this process adopts, while it stops them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt the children of %s: %w", p.argv[0], err)
	}
	_ = syscall.Kill(-leader, syscall.SIGCONT) // a stopped process cannot end; it may be gone by now
	_ = syscall.Kill(-leader, syscall.SIGTERM)
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-p.gone:
	case <-timer.C:
		_ = syscall.Kill(-leader, syscall.SIGKILL) // as above
		<-p.gone
	}
	for _, pid := range adopted(leader) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // ours until it is waited for, so its number is not reused
		reap(pid)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("stop adopting processes: %w", err)
	}
	return nil
}

// reap waits for an adopted child that was killed; one that is nobody's child any more is gone.
func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// adopted returns the processes of a group that are children of this one; zombies are still of their group.
func adopted(leader int) []int {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // below /proc
		if err != nil {
			continue // ended meanwhile
		}
		// After the name in brackets, which may hold anything: state, parent, group.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 3 || fields[1] != strconv.Itoa(os.Getpid()) || fields[2] != strconv.Itoa(leader) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// signal sends to the program and its children.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: p.argv[0] + " does not run"}
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil {
		return fmt.Errorf("send %s to %s: %w", sig, p.argv[0], err)
	}
	return nil
}

// ended returns the program's last words when it has ended by itself, else nil.
func (p *process) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	select {
	case <-p.gone:
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: filepath.Base(p.argv[0]) + " ended: " + p.out.String()}
	default:
		return nil
	}
}

// tail keeps the last 4 kB that were written.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

// Write keeps b.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if over := len(t.text) - 4096; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(b), nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// runIn runs a program to its end within a namespace, "" for this program's own, with text on its
// standard input.
func runIn(ctx context.Context, namespace, stdin string, argv ...string) error {
	var out tail
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // programs of this package's choice
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &out
	start := cmd.Start
	if namespace != "" {
		start = func() error { return inNamespace(namespace, cmd.Start) }
	}
	if err := start(); err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out.String())
	}
	return nil
}

// program finds an executable, also where PATH of an ordinary user does not look.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: name + " is not installed"}
}

// inside returns the processes that are in a namespace.
func inside(namespace string) ([]int, error) {
	want, err := os.Stat("/run/netns/" + namespace)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, dir := range dirs {
		got, err := os.Stat(dir + "/ns/net")
		if err != nil || !os.SameFile(got, want) {
			continue // ended meanwhile, or elsewhere
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
