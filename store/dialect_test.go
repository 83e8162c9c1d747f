package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func openInside(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "gate.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestPragmas asks every connection for the settings that the promises of this package rest on. What
// synchronous does shows only when the power fails.
func TestPragmas(t *testing.T) {
	s := openInside(t)
	want := map[string]string{"synchronous": "2", "journal_mode": "wal", "foreign_keys": "1", "busy_timeout": "10000", "query_only": "0"}
	check := func(pool *pool, connections int) {
		for range connections { // all at once, so that each is another one
			conn, err := pool.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }() // the pool closes them
			for pragma, value := range want {
				var got string
				if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != value {
					t.Errorf("%s is %q (%v), want %q", pragma, got, err, value)
				}
			}
		}
	}
	check(s.write, 1)
	want["synchronous"] = "1"
	check(s.lease, 1)
	want = map[string]string{"journal_mode": "wal", "busy_timeout": "10000", "query_only": "1"}
	check(s.read, readers)
}

func TestViewCannotWrite(t *testing.T) {
	s := openInside(t)
	err := s.view(t.Context(), "cheat", func(t tx) error {
		_, err := t.exec(context.Background(), `DELETE FROM counters`)
		return err
	})
	if err == nil {
		t.Fatal("a reader wrote")
	}
}

// TestDriverErrors pins how the driver's errors are told apart, for each dialect.
func TestDriverErrors(t *testing.T) {
	s := openInside(t)
	run := func(query string) error {
		return s.update(t.Context(), "try", func(x tx) error {
			_, err := x.exec(t.Context(), query)
			return err
		})
	}
	const bare = `INSERT INTO upgrades (id, project_id, project, tree, created_at) VALUES `
	for name, test := range map[string]struct {
		query           string
		unique, passing bool
	}{
		"primary_key": {`INSERT INTO counters (name, value) VALUES ('run', 1)`, true, false},
		"unique":      {bare + `(1, 1, '', 't', 0), (2, 1, '', 't', 0)`, true, false},
		"null":        {bare + `(1, NULL, '', 't', 0)`, false, false},
		"foreign_key": {`INSERT INTO evidence (result_id, doc) VALUES (1, '')`, false, false},
		"syntax":      {`INSERT`, false, false},
	} {
		err := run(test.query)
		if err == nil {
			t.Fatalf("%s: went through", name)
		}
		if got := s.dialect.unique(err); got != test.unique {
			t.Errorf("%s: unique is %v, want %v: %v", name, got, test.unique, err)
		}
		if got := s.dialect.passing(err); got != test.passing {
			t.Errorf("%s: passing is %v, want %v: %v", name, got, test.passing, err)
		}
	}
	if s.dialect.unique(errors.New("x")) || s.dialect.passing(errors.New("x")) {
		t.Error("an error of somebody else's was taken for the driver's")
	}
}

// TestFullDiskMayPass limits the database's size, which fails as a full disk does.
func TestFullDiskMayPass(t *testing.T) {
	s := openInside(t)
	var pages int
	if err := s.write.QueryRowContext(t.Context(), `PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		t.Helper()
		if _, err := s.write.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 2)
	big := upgrade.Delivery{ID: "big", Body: make([]byte, 1<<20)}
	_, err := s.Deliver(t.Context(), big)
	if err == nil || upgrade.CodeOf(err) != upgrade.CodeUnavailable || !upgrade.Transient(err) {
		t.Fatalf("got %v, want one that may pass", err)
	}
	if upgrade.Public(err) != "the database did not answer" {
		t.Fatalf("strangers read %q", upgrade.Public(err))
	}
	limit(1 << 30)
	if fresh, err := s.Deliver(t.Context(), big); err != nil || !fresh {
		t.Fatalf("after it has passed: %v %v", fresh, err)
	}
}

func TestClosedConnectionMayPass(t *testing.T) {
	s := openInside(t)
	if err := s.fail("do it", sql.ErrConnDone); upgrade.CodeOf(err) != upgrade.CodeUnavailable {
		t.Fatalf("got %v", err)
	}
	coded := &upgrade.Error{Code: upgrade.CodeStale}
	if err := s.fail("do it", coded); !errors.Is(err, coded) || upgrade.CodeOf(err) != upgrade.CodeStale {
		t.Fatalf("got %v", err)
	}
	if s.fail("do it", nil) != nil {
		t.Fatal("made an error of none")
	}
}

// TestLeasesAloneDoNotWaitForTheDisk tells by a closed connection which one a commit takes.
func TestLeasesAloneDoNotWaitForTheDisk(t *testing.T) {
	s := openInside(t)
	now := time.Now()
	if err := s.Ensure(t.Context(), "periodic/x", now); err != nil {
		t.Fatal(err)
	}
	job, _, err := s.Claim(t.Context(), "w", time.Minute, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.lease.Close(); err != nil {
		t.Fatal(err)
	}
	for name, step := range map[string]upgrade.Step{
		"base":  {Bases: []upgrade.Base{{Stack: "s"}}},
		"wake":  {Wake: []upgrade.JobID{"status/1"}},
		"start": {Starts: []upgrade.Run{{ProjectID: 1, Stack: "s", Environment: "e", Tree: "t"}}},
		"ref":   {Refs: []upgrade.RefState{{Key: upgrade.RefKey{Ref: "r"}}}},
	} {
		if err := s.Commit(t.Context(), job, now, step); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Commit(t.Context(), job, now, upgrade.Step{Next: upgrade.Go()}); err == nil {
		t.Error("giving a job back waits for the disk")
	}
}

func TestCodeBody(t *testing.T) {
	for body, want := range map[string]string{"": "text", "größe": "text", "a\x00b": "base64", "\xff": "base64"} {
		if coding, _ := codeBody([]byte(body)); coding != want {
			t.Errorf("%q is kept as %s, want %s", body, coding, want)
		}
	}
}
