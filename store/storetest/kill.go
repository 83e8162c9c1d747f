package storetest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const acked = "acknowledged "

// deliverForEver is the child: it delivers from many goroutines and says on stdout what was
// acknowledged, until it is killed.
func deliverForEver(t *testing.T, url string) {
	t.Helper()
	s := open(t, url)
	var all sync.WaitGroup
	var mu sync.Mutex // one line at a time
	for w := range 16 {
		all.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				_, err := s.Deliver(t.Context(), upgrade.Delivery{ID: upgrade.DeliveryID(id), Body: []byte(strings.Repeat("x", 2000))})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				_, err = fmt.Fprintln(os.Stdout, acked+id)
				mu.Unlock()
				if err != nil {
					return // nobody listens any more
				}
			}
		})
	}
	all.Wait()
}

// testKill kills a process in the middle of deliveries, several times: whatever it acknowledged must be
// there, each with its job.
func testKill(t *testing.T, url string) {
	t.Helper()
	const rounds, each = 3, 200
	var promised []string
	for range rounds {
		promised = append(promised, killAfter(t, url, each)...)
	}
	s := open(t, url)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	jobs := map[upgrade.JobID]bool{}
	for {
		job, ok, err := s.Claim(t.Context(), "w", lease, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		jobs[job.ID] = true
	}
	for _, id := range promised {
		if _, err := s.Delivery(t.Context(), upgrade.DeliveryID(id)); err != nil {
			t.Errorf("acknowledged and gone: %v", err)
		}
		if !jobs[upgrade.JobFor(upgrade.JobIntake, id)] {
			t.Errorf("delivery %s has no job", id)
		}
	}
	t.Logf("%d acknowledged, %d kept", len(promised), len(jobs))
}

// killAfter starts a child, kills it after so many acknowledgements, and returns them all.
func killAfter(t *testing.T, url string, after int) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+root+"$") //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), childKey+"="+url)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), acked); ok {
			ids = append(ids, id)
		}
		if len(ids) == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(ids) < after {
		t.Fatalf("the child ended by itself (%v) after %d acknowledgements", err, len(ids))
	}
	return ids
}
