package sender

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// childKey names the variable that makes TestKill a child process: the path of the database.
const childKey = "UPGRADEGATE_SENDER_CHILD"

func openStore(t *testing.T, path string) *store.Store {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func realRoom(t *testing.T, db *store.Store) *Room {
	t.Helper()
	r, err := New(t.Context(), Config{
		Journals: db, Shelf: db, Queue: db, PublicURL: "https://gate.example.org", Mask: func(s string) string { return s },
		Guard: func(string, string, syscall.RawConn) error { return nil }, Clock: upgrade.SystemClock{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestKill has processes that deliver killed between what they send and what they note, again and again: every
// event arrives, in the order of its run, and what arrives twice has one webhook-id.
func TestKill(t *testing.T) {
	if path := os.Getenv(childKey); path != "" {
		_ = realRoom(t, openStore(t, path)).Run(t.Context()) // until it is killed
		return
	}
	const events, kills = 12, 5
	to := &killer{kills: kills, more: make(chan struct{}, 1000)}
	srv := httptest.NewServer(to)
	defer srv.Close()
	path := filepath.Join(t.TempDir(), "gate.db")
	fillJournals(t, path, srv.URL, events)

	deadline := time.Now().Add(time.Minute)
	for !to.whole(2 * events) {
		if time.Now().After(deadline) {
			t.Fatalf("not delivered within a minute: %v", to.ids)
		}
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
		child.Env = append(os.Environ(), childKey+"="+path)
		to.set(child)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = child.Wait(); close(ended) }() // killed: its exit is no news
		for open := true; open; {
			select {
			case <-ended:
				open = false
			case <-to.more:
				if to.whole(2 * events) {
					_ = child.Process.Kill()
				}
			}
		}
	}
	twice := 0
	last := map[string]int{}
	for i, id := range to.ids {
		twice += strings.Count(strings.Join(to.ids[:i], " ")+" ", id+" ")
		run, n := to.runs[i], to.seqs[i]
		if n > last[run]+1 || n < last[run] {
			t.Errorf("event %d of run %s came after event %d", n, run, last[run])
		}
		last[run] = n
	}
	if twice < kills {
		t.Errorf("%d came twice, though the sender was killed %d times: %v", twice, kills, to.ids)
	}
}

// fillJournals subscribes and then writes events of two runs.
func fillJournals(t *testing.T, path, url string, events int) {
	t.Helper()
	db := openStore(t, path)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	r := realRoom(t, db)
	now := time.Now()
	if err := db.Ensure(t.Context(), "periodic/pen", now); err != nil {
		t.Fatal(err)
	}
	pen, ok, err := db.Claim(t.Context(), "test", time.Minute, now)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	step := upgrade.Step{Starts: []upgrade.Run{{Stack: "a", Environment: "staging", Tree: "t", ProjectID: 1}, {Stack: "b", Environment: "staging", Tree: "t", ProjectID: 1}}}
	if err := db.Commit(t.Context(), pen, now, step); err != nil {
		t.Fatal(err)
	}
	add(t, r, upgrade.Hook{Name: "chat", URL: url, Events: []string{"run.note"}})
	for i := range events {
		var step upgrade.Step
		for run := upgrade.RunID(1); run <= 2; run++ {
			step.Events = append(step.Events, upgrade.Event{Run: run, Kind: upgrade.EventNote, Text: "n", Data: map[string]string{"n": fmt.Sprint(i + 1)}})
		}
		if err := db.Commit(t.Context(), pen, now, step); err != nil {
			t.Fatal(err)
		}
	}
}

// killer is a receiver that kills its sender after it has read a delivery and before it answers.
type killer struct {
	mu    sync.Mutex
	child *exec.Cmd
	kills int
	ids   []string
	runs  []string
	seqs  []int
	more  chan struct{}
}

func (k *killer) set(child *exec.Cmd) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.child = child
}

func (k *killer) whole(want int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := map[string]bool{}
	for _, id := range k.ids {
		seen[id] = true
	}
	return len(seen) == want
}

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p, err := readPayload(r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n := 0
	_, _ = fmt.Sscan(p.Data.Detail["n"], &n)
	k.ids, k.runs, k.seqs = append(k.ids, r.Header.Get("Webhook-Id")), append(k.runs, p.Data.Run.ID.String()), append(k.seqs, n)
	if k.kills > 0 && len(k.ids)%3 == 2 {
		k.kills--
		_ = k.child.Process.Kill() // SIGKILL
	}
	w.WriteHeader(http.StatusNoContent)
	k.more <- struct{}{}
}
