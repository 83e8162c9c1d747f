package states_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/upgradegate/upgradegate/states"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// childKey names the variable that makes the test binary a service that reads a state and hangs in the
// middle of it: its value is the house's folder.
const childKey = "UPGRADEGATE_STATES_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childKey); dir != "" {
		fmt.Println(hang(context.Background(), dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// half is a Terraform that prints half of a state and hangs.
type half struct{ *world }

func (half) StatePull(_ context.Context, _ plan.Root, w io.Writer) error {
	text := stateOf("n", "another", "one")
	if _, err := io.WriteString(w, text[:len(text)-60]); err != nil {
		return err
	}
	fmt.Println("half of it was read")
	select {}
}

func hang(ctx context.Context, dir string) error {
	db, err := store.Open(ctx, store.Config{URL: "sqlite:" + filepath.Join(dir, "gate.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s := states.New(states.Config{
		Foreign: []states.Foreign{network()}, Store: db, Terraform: half{&world{}}, Clock: upgrade.SystemClock{},
		Log: slog.New(slog.DiscardHandler), Data: filepath.Join(dir, "states"),
	})
	return s.Refresh(ctx, []upgrade.StateName{"network"})
}

// TestS11KilledWhileReading: what was known of a state is known after a kill, and it can be read again.
func TestS11KilledWhileReading(t *testing.T) {
	h := newHouse(t)
	h.text["network"] = stateOf("n", "shared")
	h.refresh("network")
	before := h.reading("network")
	if err := h.db.Close(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childKey+"="+h.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n') // what it says instead is shown
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if line != "half of it was read\n" {
		t.Fatalf("it said %q", line)
	}
	h.open()
	h.configure(nil, network())
	h.same("reading", h.reading("network"), before)
	h.same("owners", h.owners("shared"), []string{"network aws_kms_grant.g0"})
	h.text["network"] = stateOf("n", "shared", "later")
	h.refresh("network")
	h.same("later", h.owners("later"), []string{"network aws_kms_grant.g1"})
}
