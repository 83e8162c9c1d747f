package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

func openAt(ctx context.Context, url string) (*store.Store, error) {
	return store.Open(ctx, store.Config{URL: url, Log: slog.New(slog.DiscardHandler)})
}

func mustOpen(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := openAt(t.Context(), url)
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

func TestSecondProcessIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	s := mustOpen(t, "sqlite:"+path)
	_, err := openAt(t.Context(), "sqlite://"+path)
	if err == nil || upgrade.CodeOf(err) != upgrade.CodeConflict || upgrade.HintOf(err) == "" {
		t.Fatalf("a second one was let in, or not told why: %v", err)
	}
	want := fmt.Sprintf("the database %s is in use by another upgradegate (process %d)", path, os.Getpid())
	if upgrade.Public(err) != want {
		t.Fatalf("says %q, want %q", upgrade.Public(err), want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, "sqlite:"+path)
}

func TestCloseTwice(t *testing.T) {
	s := mustOpen(t, "sqlite:"+filepath.Join(t.TempDir(), "gate.db"))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAddresses(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct{ url, want string }{
		"empty":          {"", "the database address has no scheme"},
		"no_scheme":      {"gate.db", "the database address has no scheme"},
		"postgres":       {"postgres://hugo:secret@db/gate", "PostgreSQL is not built yet"},
		"unknown":        {"mysql://x", `no database of kind "mysql" is known`},
		"host":           {"sqlite://gate.db", `the database address "sqlite://gate.db" names a host`},
		"no_file":        {"sqlite:", `the database address "sqlite:" names no file`},
		"folder":         {"sqlite:///", `the database address "sqlite:///" names no file`},
		"memory":         {"sqlite::memory:", `the database address "sqlite::memory:" names no file`},
		"settings":       {"sqlite:gate.db?_pragma=synchronous(OFF)", `the database address "sqlite:gate.db?_pragma=synchronous(OFF)" has more than a path`},
		"missing_folder": {"sqlite:" + dir + "/no/gate.db", "the folder " + dir + "/no does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openAt(t.Context(), test.url)
			if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid || upgrade.Public(err) != test.want || upgrade.HintOf(err) == "" {
				t.Fatalf("got %v with hint %q, want %q and a hint", err, upgrade.HintOf(err), test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Fatal("the message has the password")
			}
		})
	}
}

func TestOddPaths(t *testing.T) {
	for _, name := range []string{"with space.db", "per%cent.db", "größe.db", "a&b=c.db"} {
		path := filepath.Join(t.TempDir(), name)
		mustOpen(t, "sqlite:"+path)
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestRelativePath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	mustOpen(t, "sqlite:gate.db")
	if _, err := os.Stat(filepath.Join(dir, "gate.db")); err != nil {
		t.Fatal(err)
	}
}

func TestNobodyElseReadsTheFiles(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, "sqlite:"+filepath.Join(dir, "gate.db"))
	if _, err := s.Deliver(t.Context(), upgrade.Delivery{ID: "d"}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "gate.db*"))
	if err != nil || len(files) < 4 { // database, log, its index, lock
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", file, info.Mode(), err)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	if err := mustOpen(t, "sqlite:"+path).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = openAt(t.Context(), "sqlite:"+path)
	if err == nil || upgrade.CodeOf(err) != upgrade.CodeConflict || !strings.Contains(err.Error(), "9999") {
		t.Fatalf("opened a database of the future: %v", err)
	}
	if _, err := openAt(t.Context(), "sqlite:"+path); err == nil || !strings.Contains(err.Error(), "9999") {
		t.Fatalf("the refused one kept the lock: %v", err)
	}
}

func TestNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openAt(t.Context(), "sqlite:"+path); err == nil {
		t.Fatal("opened something else")
	}
}
