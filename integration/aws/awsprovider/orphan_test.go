package awsprovider_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A provider whose Terraform was killed must end, and with it what it holds open: a pipe here, the lock of
// an apply in life. One that is in a call ends anyway, of the broken pipe that it logs to; this one has
// nothing to do, because a shell keeps Terraform busy.
func TestOrphanEnds(t *testing.T) {
	t.Parallel()
	program := terraform(t)
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111111111111</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`)
		asked <- struct{}{}
	}))
	t.Cleanup(server.Close)
	w := newWorkspace(t, program, server.URL)
	busy, _ := fifo(t, w, "busy"), fifo(t, w, "release") // the shell reads release until the test closes it
	w.config(`
resource "terraform_data" "busy" {
  provisioner "local-exec" { command = "exec 3<&-; echo > busy; read x < release" }
}
data "aws_caller_identity" "me" { depends_on = [terraform_data.busy] }
`)
	w.init()
	held, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	cmd := exec.CommandContext(t.Context(), program, "apply", "-no-color", "-auto-approve")
	cmd.Dir, cmd.Env, cmd.ExtraFiles = w.dir, w.env, []*os.File{hold}
	if err := errors.Join(cmd.Start(), hold.Close()); err != nil {
		t.Fatal(err)
	}
	if err := busy.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := busy.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the shell does not run: %v", err)
	}
	<-asked // for the plan
	<-asked // for the apply
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if err := held.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := held.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("20 s after Terraform was killed the provider is still there: %v", err)
	}
}

// fifo makes a pipe in the workspace and holds it open, so that nobody waits for the other end.
func fifo(t *testing.T, w *workspace, name string) *os.File {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
