package bench

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is a process that is measured.
type program struct {
	addr string
	pid  int
}

// start starts a server in dir, waits until it is ready, and ends it with the test. What it writes goes to
// NAME.log of dir, which is shown if the test fails.
func start(t *testing.T, dir, name, addr string, command []string, env map[string]string) *program {
	t.Helper()
	path := filepath.Join(dir, name+".log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	for key, value := range env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // a signal ends it, else its log says why
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = log.Close()
		if said, err := os.ReadFile(path); err == nil && t.Failed() {
			t.Logf("%s said, at the end:\n%s", name, said[max(0, len(said)-4000):])
		}
	})
	p := &program{addr: addr, pid: cmd.Process.Pid}
	await(t, name+" to be ready", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s ended before it was ready", name)
		default:
		}
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// await waits until done says so, for at most two minutes. It asks seldom: asking costs the processors that
// are measured. Nobody takes a time from when it returns.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 2 minutes for %s", what)
		}
	}
}

// worked returns for how long the process has kept processors busy.
func (p *program) worked(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold spaces
	fields := strings.Fields(rest)
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime: proc(5)
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ is 100 wherever Linux runs
}

// sample is for how long a process had kept processors busy at a time.
type sample struct {
	at     time.Time
	worked time.Duration
}

// rest waits until the process has nothing to do any more, and returns how long that took.
func (p *program) rest(t *testing.T) time.Duration {
	t.Helper()
	first := sample{time.Now(), p.worked(t)}
	last, calm := first, first.at
	await(t, "the service to rest", func() bool {
		now := time.Now()
		worked := p.worked(t)
		if worked-last.worked > 10*time.Millisecond {
			calm = now
		}
		last = sample{now, worked}
		return now.Sub(calm) >= 400*time.Millisecond
	})
	return calm.Sub(first.at)
}

// memory returns what /proc says of the process under the given names, in bytes.
func (p *program) memory(t *testing.T, names ...string) []int64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	values := make([]int64, len(names))
	for line := range strings.Lines(string(status)) {
		for i, name := range names {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				values[i] = kib << 10
			}
		}
	}
	return values
}
