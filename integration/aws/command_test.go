package aws_test

import (
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// TestCommand follows a script from its sending to its end; what is too long is cut off.
func TestCommand(t *testing.T) {
	given := make(chan struct{})
	var script string
	w := node(t, func(cfg *awssim.Config) {
		cfg.Shell = func(_, text string) (string, string, int) {
			script = text
			<-given
			return strings.Repeat("ä", 30_000), "and an error", 3
		}
	})
	c := w.client(t, nil)
	ctx := t.Context()
	id := w.launched(t, c, 30*time.Second)
	if _, err := c.RunScript(ctx, id, "true", time.Minute); code(err) != upgrade.CodeUnavailable {
		t.Errorf("before it answers: %v", err)
	}
	w.pass(5 * time.Minute)
	command, err := c.RunScript(ctx, id, "echo hello", time.Minute)
	if err != nil || command == "" {
		t.Fatal(command, err)
	}
	look := func() cloud.Command {
		t.Helper()
		got, err := c.Command(ctx, command, id)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := look(); got.Status != "" || got.Ended() {
		t.Errorf("at once: %+v", got)
	}
	w.pass(2 * time.Second)
	if got := look(); got.Status != "InProgress" || got.Ended() || got.Code != -1 {
		t.Errorf("while it runs: %+v", got)
	}
	w.pass(2 * time.Minute)
	if got := look(); got.Status != "TimedOut" || !got.Ended() {
		t.Errorf("too long: %+v", got)
	}
	close(given)
	for end := time.Now().Add(10 * time.Second); look().Status != "Failed"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not end: %+v", look())
		}
	}
	got := look()
	if got.Code != 3 || len([]rune(got.Stdout)) != 24_000 || got.Stderr != "and an error" || script != "echo hello\n" {
		t.Errorf("ended as %s %d with %d bytes, %q, of %q", got.Status, got.Code, len(got.Stdout), got.Stderr, script)
	}
}
