//nolint:thelper // its functions are tests, run by TestContract
package terraform_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// stateServer is a remote state with a lock, as GitLab keeps one, behind a password.
type stateServer struct {
	*httptest.Server
	mu    sync.Mutex // guards the fields below
	state []byte
	lock  []byte
}

const statePassword = "correct-horse-battery"

func newStateServer(t *testing.T) *stateServer {
	t.Helper()
	s := &stateServer{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *stateServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, password, _ := r.BasicAuth(); password != statePassword {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var asked, held struct{ ID string }
	_ = json.Unmarshal(body, &asked)
	_ = json.Unmarshal(s.lock, &held)
	switch {
	case r.Method == http.MethodGet && s.state == nil:
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet:
		_, _ = w.Write(s.state)
	case r.Method == "LOCK" && s.lock != nil:
		w.WriteHeader(http.StatusLocked)
		_, _ = w.Write(s.lock)
	case r.Method == "LOCK":
		s.lock = body
	case r.Method == "UNLOCK" && asked.ID != "" && asked.ID != held.ID:
		w.WriteHeader(http.StatusConflict)
	case r.Method == "UNLOCK":
		s.lock = nil
	case r.Method == http.MethodPost && r.URL.Query().Get("ID") == held.ID:
		s.state = body
	default:
		w.WriteHeader(http.StatusConflict)
	}
}

func (s *stateServer) locked() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.lock)
}

// remote gives a stack this state.
func (s *stateServer) backend(main string) string {
	return `
terraform {
  backend "http" {
    address        = "` + s.URL + `"
    lock_address   = "` + s.URL + `"
    unlock_address = "` + s.URL + `"
    username       = "gate"
    retry_max      = 0
  }
}
` + main
}

func testRemoteState(t *testing.T, binary string) {
	server := newStateServer(t)
	s := newStack(t, binary, server.backend(three))
	s.root.Env["TF_HTTP_PASSWORD"] = "wrong-password"
	wantCode(t, s.tf.Init(t.Context(), s.root, nil), upgrade.CodeInvalid, "")
	s.root.Env["TF_HTTP_PASSWORD"] = statePassword
	attempt := s.ready()
	if ended := s.apply(attempt, nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	nowhere(t, statePassword, s.root.Data)
	if !strings.Contains(string(server.state), "terraform_data") || server.locked() != "" {
		t.Errorf("state %s, lock %s", server.state, server.locked())
	}
	server.Close()
	_, err := s.tf.Plan(t.Context(), s.root, nil)
	wantCode(t, err, upgrade.CodeUnavailable, "connection refused")
	wantCode(t, s.tf.Init(t.Context(), s.root, nil), upgrade.CodeUnavailable, "connection refused")
}

// A plan that nothing will apply neither waits for a lock that somebody holds nor takes one.
func testPlanWithoutLock(t *testing.T, binary string) {
	server := newStateServer(t)
	s := newStack(t, binary, server.backend(three))
	s.root.Env["TF_HTTP_PASSWORD"] = statePassword
	if ended := s.apply(s.ready(), nil); !ended.OK {
		t.Fatalf("got %+v", ended)
	}
	server.lock = []byte(`{"ID":"somebody","Operation":"OperationTypeApply","Who":"production"}`)
	if _, err := s.tf.Plan(t.Context(), s.root, nil); err == nil {
		t.Fatal("a plan that may be applied did not wait for the lock")
	}
	s.root.Unlocked = true
	if planned := s.plan(); !planned.Empty || !strings.Contains(server.locked(), "somebody") {
		t.Errorf("got %+v, lock %s", planned, server.locked())
	}
}

// An apply that is killed leaves the lock of a remote state behind.
func testStateLock(t *testing.T, binary string) {
	server := newStateServer(t)
	s := newStack(t, binary, server.backend(slow))
	s.root.Env["TF_HTTP_PASSWORD"] = statePassword
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
	if err := os.WriteFile(filepath.Join(s.root.Dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, plan.ErrLost) {
		t.Fatalf("got %v, want ErrLost", err)
	}
	if server.locked() == "" {
		t.Fatal("no lock was left")
	}
	if _, found, err := s.tf.Adopt(t.Context(), attempt, nil); found != plan.FoundLost {
		t.Fatalf("found %q, %v", found, err)
	}
	_, err := s.tf.Plan(t.Context(), s.root, t.Output())
	wantCode(t, err, upgrade.CodeUnavailable, "the state is locked")
	var held *terraform.LockedError
	if !errors.As(err, &held) || !strings.Contains(server.locked(), held.ID) {
		t.Fatalf("got %+v, want the holder of %s", held, server.locked())
	}
	other := attempt
	other.Dir = filepath.Join(s.root.Data, "never-ran")
	if broken, err := s.tf.BreakLock(t.Context(), s.root, other, err); broken || err != nil {
		t.Errorf("the lock of somebody else was broken: %v, %v", broken, err)
	}
	// Terraform 1.5 does not say whose the lock of an http backend is, so nothing proves that it is ours.
	provable := held.Who != ""
	if broken, err := s.tf.BreakLock(t.Context(), s.root, attempt, err); broken != provable || err != nil {
		t.Errorf("broken: %v, %v; the lock is %+v", broken, err, held)
	}
	if provable != (server.locked() == "") {
		t.Errorf("lock %q is left", server.locked())
	}
	if provable {
		s.plan()
	}
}

func testNoWorkspaces(t *testing.T, binary string) {
	s := newStack(t, binary, newStateServer(t).backend(three))
	s.root.Env["TF_HTTP_PASSWORD"] = statePassword
	s.root.Workspace = "staging"
	wantCode(t, s.tf.Init(t.Context(), s.root, nil), upgrade.CodeInvalid, "knows no workspaces")
}
