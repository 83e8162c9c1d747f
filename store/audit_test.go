package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// audited returns the path of a database with n audit entries.
func audited(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate.db")
	s := mustOpen(t, "sqlite:"+path)
	for i := range n {
		e := upgrade.AuditEntry{
			At: time.UnixMilli(int64(1_790_000_000_000 + i*1000)), Who: "Mira Holt", User: 17, Via: "session", From: "192.0.2.7", Act: upgrade.ActStop,
			On: fmt.Sprintf("run %d", i), Project: "platform/ecs", Stack: "ecs-master", Run: upgrade.RunID(i + 1), Why: "zu früh", Result: upgrade.AuditRefused, Detail: "the run is stopped",
		}
		if err := s.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// spoil changes the database behind the store's back, as somebody with the file in hand can.
func spoil(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // nothing is lost with it
	for _, statement := range append([]string{"DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete"}, statements...) {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// wrongs verifies the log directly on the file.
func wrongs(t *testing.T, path string) (all []string) {
	t.Helper()
	f, err := store.OpenAudit(t.Context(), "sqlite://"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	var chain upgrade.AuditChain
	head, err := f.WalkAudit(t.Context(), func(e upgrade.AuditEntry) error {
		if wrong := chain.Next(e); wrong != "" {
			all = append(all, wrong)
		}
		return nil
	})
	if err != nil {
		return append(all, err.Error())
	}
	if wrong := chain.End(head); wrong != "" {
		all = append(all, wrong)
	}
	return all
}

// TestS6AuditFindsWhatWasChanged is S6's "visible for ever": an override cannot be taken out of the log unseen.
func TestS6AuditFindsWhatWasChanged(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, spoil, want string }{
		{"nothing", "SELECT 1", ""},
		{"changed", "UPDATE audit SET why = 'late' WHERE seq = 3", "entry 3 was changed"},
		{"other_person", "UPDATE audit SET who = 'Hugo' WHERE seq = 7", "entry 7 was changed"},
		{"first_removed", "DELETE FROM audit WHERE seq = 1", "entry 1 is missing"},
		{"one_removed", "DELETE FROM audit WHERE seq = 4", "entry 4 is missing"},
		{"some_removed", "DELETE FROM audit WHERE seq IN (4, 5, 6)", "entries 4 to 6 are missing"},
		{"last_removed", "DELETE FROM audit WHERE seq = 9", "entry 9 is missing"},
		{"all_removed", "DELETE FROM audit", "entries 1 to 9 are missing"},
		{"put_in_before", "INSERT INTO audit SELECT 0, at, who, gl_user, via, origin, act, object, project, stack, run_id, why, result, detail, prev, hash FROM audit WHERE seq = 1", "entry 0 was put in"},
		{"put_in_behind", "INSERT INTO audit SELECT 10, at, who, gl_user, via, origin, act, object, project, stack, run_id, why, result, detail, prev, hash FROM audit WHERE seq = 9", "entry 10 was changed"},
		{"head_taken_back", "UPDATE audit_head SET seq = 8, hash = (SELECT hash FROM audit WHERE seq = 8)", "goes on to entry 9"},
		{"field_moved", "UPDATE audit SET who = 'Mira Holt17', gl_user = 0 WHERE seq = 2", "entry 2 was changed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := audited(t, 9)
			spoil(t, path, tc.spoil)
			got := strings.Join(wrongs(t, path), "; ")
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("found %q, want %q", got, tc.want)
			}
		})
	}
}

// TestAuditFindsAnyFlippedByte flips one byte of one column of one entry, each time another.
func TestAuditFindsAnyFlippedByte(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	columns := []string{"at", "who", "gl_user", "via", "origin", "act", "object", "project", "stack", "run_id", "why", "result", "detail", "prev", "hash"}
	path := audited(t, 20)
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // a temporary file
	spoil(t, path)
	set := func(column string, seq int, value any) {
		if _, err := db.ExecContext(t.Context(), "UPDATE audit SET "+column+" = ? WHERE seq = ?", value, seq); err != nil {
			t.Fatal(err)
		}
	}
	for range 300 {
		seq, column := 2+random.IntN(19), columns[random.IntN(len(columns))]
		var was any
		if err := db.QueryRowContext(t.Context(), "SELECT "+column+" FROM audit WHERE seq = ?", seq).Scan(&was); err != nil {
			t.Fatal(err)
		}
		switch value := was.(type) {
		case int64:
			set(column, seq, value^1<<random.IntN(62))
		case string:
			flipped := []byte(value)
			flipped[random.IntN(len(flipped))] ^= 1 << random.IntN(7)
			set(column, seq, string(flipped))
		}
		found := strings.Join(wrongs(t, path), "; ")
		if !strings.Contains(found, fmt.Sprintf("entry %d ", seq)) {
			t.Fatalf("%s of entry %d: found %q", column, seq, found)
		}
		set(column, seq, was)
	}
	if found := wrongs(t, path); len(found) > 0 {
		t.Errorf("what was put back is found: %q", found)
	}
}

func TestAuditIsAppendOnly(t *testing.T) {
	t.Parallel()
	path := audited(t, 1)
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // a temporary file
	for _, statement := range []string{"UPDATE audit SET who = 'x'", "DELETE FROM audit"} {
		if _, err := db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// TestAuditNotedHead finds a log that was written anew as a whole.
func TestAuditNotedHead(t *testing.T) {
	t.Parallel()
	one, other := audited(t, 5), audited(t, 4)
	s := mustOpen(t, "sqlite:"+other)
	if err := s.Record(t.Context(), upgrade.AuditEntry{At: time.UnixMilli(5), Who: "somebody else", Act: upgrade.ActStop, Result: upgrade.AuditDone}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := store.OpenAudit(t.Context(), "sqlite://"+one)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	noted, err := f.WalkAudit(t.Context(), func(upgrade.AuditEntry) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if found := wrongs(t, other); len(found) > 0 {
		t.Fatalf("a chain that was made anew is whole in itself, found %q", found)
	}
	g, err := store.OpenAudit(t.Context(), "sqlite://"+other)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }() // it was only read
	chain, found := upgrade.AuditChain{Noted: noted}, ""
	if _, err := g.WalkAudit(t.Context(), func(e upgrade.AuditEntry) error { found += chain.Next(e); return nil }); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(found, "entry 5 is not the one that was noted") {
		t.Errorf("found %q", found)
	}
}

// TestAuditIsWrittenWithTheAct: an act that does not come about leaves no entry, and one that does has it in
// the same transaction.
func TestAuditIsWrittenWithTheAct(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, "sqlite:"+filepath.Join(t.TempDir(), "gate.db"))
	entry := upgrade.AuditEntry{At: time.UnixMilli(9), Who: "Mira", Act: upgrade.ActStop, Result: upgrade.AuditDone}
	ctx := upgrade.Acting(t.Context(), &entry)
	_, err := s.Ask(ctx, upgrade.Request{Run: 5, Kind: upgrade.RequestStop, At: time.UnixMilli(9)})
	if upgrade.CodeOf(err) != upgrade.CodeNotFound || entry.Seq != 0 {
		t.Fatalf("asked a run that does not exist: %v, entry %d", err, entry.Seq)
	}
	fresh, err := s.Deliver(ctx, upgrade.Delivery{ID: "retry:5:1", ReceivedAt: time.UnixMilli(9)})
	if err != nil || !fresh || entry.Seq != 1 {
		t.Fatalf("delivered %v %v, entry %d", fresh, err, entry.Seq)
	}
	if _, err := s.Deliver(ctx, upgrade.Delivery{ID: "retry:5:2", ReceivedAt: time.UnixMilli(9)}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Audit(t.Context(), upgrade.AuditFilter{})
	if err != nil || len(all) != 1 || all[0].Hash != entry.Hash || all[0].Sum() != entry.Hash {
		t.Errorf("kept %+v %v, want once %+v", all, err, entry)
	}
	ended, cancel := context.WithCancel(upgrade.Acting(t.Context(), &upgrade.AuditEntry{At: time.UnixMilli(9)}))
	cancel()
	if _, err := s.Deliver(ended, upgrade.Delivery{ID: "retry:5:3"}); !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("with an ended context: %v", err)
	}
}
