//nolint:thelper // its functions are tests, run by TestContract
package terraform_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// service is what a process of the service needs to apply.
type service struct {
	Binary, CLIConfig, LockDir, Self string
	Root                             plan.Root
	Attempt                          plan.Attempt
}

// applyAndWait is the service that testServiceKilled kills.
func applyAndWait(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var s service
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	tf, err := terraform.New(terraform.Config{
		Binary: s.Binary, CLIConfig: s.CLIConfig, LockDir: s.LockDir, Self: s.Self, Environ: os.Environ(),
		Log: slog.New(slog.DiscardHandler), Clock: upgrade.SystemClock{},
	})
	if err != nil {
		return err
	}
	_, err = tf.Apply(context.Background(), s.Root, s.Attempt, nil)
	return err
}

// startService applies in another process, and returns once its slow step has begun.
func (s *stack) startService(attempt plan.Attempt) *exec.Cmd {
	s.Helper()
	raw, err := json.Marshal(service{s.cfg.Binary, s.cfg.CLIConfig, s.cfg.LockDir, s.cfg.Self, s.root, attempt})
	if err != nil {
		s.Fatal(err)
	}
	file := filepath.Join(s.root.Data, "service.json")
	write(s.T, file, string(raw))
	cmd := exec.Command(s.cfg.Self, "apply-and-wait", file)
	cmd.Stderr = s.Output()
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	eventually(s.T, "the slow step begins", there(filepath.Join(s.root.Dir, "begun")))
	return cmd
}

func testServiceKilled(t *testing.T, binary string) {
	s := newStack(t, binary, slow)
	attempt := s.ready()
	cmd := s.startService(attempt)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	var seen ticks
	adopted := make(chan string, 1)
	go func() {
		ended, found, err := s.tf.Adopt(t.Context(), attempt, seen.add)
		adopted <- fmt.Sprintln(ended.OK, found, err)
	}()
	eventually(t, "the events of before the restart are handed on", func() bool { return len(seen.of(plan.TickDone)) == 1 })
	select {
	case got := <-adopted:
		t.Fatalf("adopted %s while the apply went on", got)
	default:
	}
	_, err := s.tf.Apply(t.Context(), s.root, s.attempt(plan.Planned{}), nil)
	wantCode(t, err, upgrade.CodeBusy, "still lives")
	write(t, filepath.Join(s.root.Dir, "go"), "")
	if got := <-adopted; got != "true result <nil>\n" {
		t.Errorf("adopted %s", got)
	}
	if len(seen.of(plan.TickDone)) != 2 || len(s.state()) != 2 {
		t.Errorf("got ticks %+v, state %v", seen.all, s.state())
	}
}

func testShimKilled(t *testing.T, binary string) {
	s := newStack(t, binary, slow)
	attempt := s.ready()
	result := make(chan error, 1)
	go func() {
		_, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
		result <- err
	}()
	eventually(t, "the slow step begins", there(filepath.Join(s.root.Dir, "begun")))
	if err := syscall.Kill(s.startedPID(attempt), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The provisioner outlives Terraform, and the apply is not over before it.
	write(t, filepath.Join(s.root.Dir, "go"), "")
	err := <-result
	wantCode(t, err, upgrade.CodeConflict, "cut off")
	if !errors.Is(err, plan.ErrLost) {
		t.Errorf("got %v, want ErrLost", err)
	}
	if _, found, err := s.tf.Adopt(t.Context(), attempt, nil); found != plan.FoundLost || err != nil {
		t.Errorf("found %q, %v", found, err)
	}
	_, err = s.tf.Apply(t.Context(), s.root, attempt, nil)
	wantCode(t, err, upgrade.CodeConflict, "begun before")
}

func testStop(t *testing.T, binary string) {
	s := newStack(t, binary, slow+`
resource "terraform_data" "after" { depends_on = [terraform_data.slow] }
`)
	attempt := s.ready()
	ended := make(chan plan.Ended, 1)
	go func() {
		got, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
		if err != nil {
			t.Error(err)
		}
		ended <- got
	}()
	eventually(t, "the slow step begins", there(filepath.Join(s.root.Dir, "begun")))
	for range 3 { // only the first counts
		if err := s.tf.Stop(t.Context(), attempt); err != nil {
			t.Fatal(err)
		}
	}
	got := <-ended
	if got.OK || got.ExitCode != 1 {
		t.Errorf("got %+v", got)
	}
	// What was done is in the state. What depends on the stopped step may or may not be: that is
	// Terraform's own race.
	if state := s.state(); !slices.Contains(state, "terraform_data.first") {
		t.Errorf("got state %v, %s", state, s.read("logs/apply.log"))
	}
	if err := s.tf.Stop(t.Context(), attempt); err != nil {
		t.Errorf("stop after the end: %v", err)
	}
}

func testStopBeforeStart(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	attempt := s.ready()
	if err := s.tf.Stop(t.Context(), attempt); err != nil {
		t.Fatal(err)
	}
	ended := s.apply(attempt, nil)
	if ended.OK || ended.Message != "stopped before Terraform began" || s.state() != nil {
		t.Errorf("got %+v, state %v", ended, s.state())
	}
}

// However early somebody stops, the result and the state agree.
func testStopEarly(t *testing.T, binary string) {
	s := newStack(t, binary, three)
	s.init()
	for i := range 5 {
		planned := s.plan()
		if planned.Empty { // nothing is left to stop, and who asks to stop it is not passed on: see package lifecycle
			return
		}
		attempt := s.attempt(planned)
		ended := make(chan plan.Ended, 1)
		go func() {
			got, err := s.tf.Apply(t.Context(), s.root, attempt, nil)
			if err != nil {
				t.Error(err)
			}
			ended <- got
		}()
		s.startedPID(attempt)
		time.Sleep(time.Duration(i) * 20 * time.Millisecond) // wherever it may be by then
		if err := s.tf.Stop(t.Context(), attempt); err != nil {
			t.Fatal(err)
		}
		got := <-ended
		if n := len(s.state()); got.OK && n != 3 || !got.OK && got.Message == "" {
			t.Errorf("got %+v with %d resources in the state", got, n)
		}
		if got.OK {
			return
		}
	}
}

func testContextEnds(t *testing.T, binary string) {
	s := newStack(t, binary, slow)
	attempt := s.ready()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the service stops")
	go func() {
		for !there(filepath.Join(s.root.Dir, "begun"))() {
			syscall.Sync()
		}
		cancel(why)
	}()
	if _, err := s.tf.Apply(ctx, s.root, attempt, nil); !errors.Is(err, why) {
		t.Fatalf("got %v, want the context's cause", err)
	}
	write(t, filepath.Join(s.root.Dir, "go"), "")
	if ended, found, err := s.tf.Adopt(t.Context(), attempt, nil); err != nil || found != plan.FoundResult || !ended.OK {
		t.Errorf("adopted %+v, %q, %v", ended, found, err)
	}
}
