package bench

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// stacks is how many stacks the history has.
const stacks = 40

// pastDay is the last day of the history, which goes back three years from there.
func pastDay() time.Time { return time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC) }

// past returns a database of its own with so many runs and their journals, some fifty events each. It is made
// once for each version of the schema and of this generator, and kept in the user's cache folder.
func past(t *testing.T, dir string, runs int) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cache = filepath.Join(cache, "upgradegate")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(cache, fmt.Sprintf("past-%d-%s.db", runs, pastVersion(t)))
	if _, err := os.Stat(kept); errors.Is(err, fs.ErrNotExist) {
		began := time.Now()
		_, _ = fmt.Fprintf(os.Stderr, "bench: making a database of %d runs, once for this schema\n", runs)
		made := filepath.Join(t.TempDir(), "past.db")
		makePast(t, made, runs)
		copyFile(t, made, kept)
		_, _ = fmt.Fprintf(os.Stderr, "bench: made in %s\n", time.Since(began).Round(time.Second))
	}
	path := filepath.Join(dir, "gate.db")
	copyFile(t, kept, path)
	return path
}

// pastVersion changes with the schema and with the generator.
func pastVersion(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("past*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := filepath.Glob(filepath.Join("..", "..", "..", "store", "migrations", "*.sql"))
	if err != nil || len(schema) == 0 {
		t.Fatalf("%d migrations: %v", len(schema), err)
	}
	sum := sha256.New()
	for _, name := range append(files, schema...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(name), len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// copyFile copies a database that nobody has open. The copy appears when it is whole.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(filepath.Dir(to), ".past-")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		t.Fatal(errors.Join(err, os.Remove(out.Name())))
	}
}

// makePast makes the database: the schema by the store, then copies of the models, as rows.
func makePast(t *testing.T, path string, runs int) {
	t.Helper()
	models := modelled(t, t.TempDir())
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite://" + path, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	// Nothing is to outlive a crash here.
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-200000)&_pragma=temp_store(MEMORY)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	c := copier{t: t, db: db, random: rand.New(rand.NewPCG(1, 2))}
	c.do(`ATTACH DATABASE ? AS m`, "file:"+models)
	c.do(`BEGIN`)
	c.choose(runs)
	for _, query := range copies() {
		c.do(query)
	}
	c.audit()
	c.do(`COMMIT`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// copier writes rows past the store.
type copier struct {
	t      *testing.T
	db     *sql.DB
	random *rand.Rand
}

func (c *copier) do(query string, args ...any) {
	c.t.Helper()
	began := time.Now()
	if _, err := c.db.ExecContext(c.t.Context(), query, args...); err != nil {
		c.t.Fatalf("%v in %s", err, query)
	}
	if took := time.Since(began); took > time.Second {
		_, _ = fmt.Fprintf(os.Stderr, "bench: %5.1f s %.60s\n", took.Seconds(), query)
	}
}

// choose says for each run which model it is a copy of, and what it has of its own.
func (c *copier) choose(runs int) {
	c.t.Helper()
	c.do(`CREATE TEMP TABLE own (id INTEGER PRIMARY KEY, model INT, stack TEXT, version TEXT, base TEXT, first TEXT, family TEXT, thing TEXT, mr INT, day TEXT, days INT, month INT, live INT)`)
	insert, err := c.db.PrepareContext(c.t.Context(), `INSERT INTO own VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = insert.Close() }()
	var chances, newest []int
	for i, m := range models() {
		for range m.share {
			chances = append(chances, i+1)
		}
		if m.share == 0 {
			newest = append(newest, i+1)
		}
	}
	firsts := []string{"Priya", "Jonas", "Lena", "Tomas", "Mira", "Hugo", "Ines", "Akira"}
	families := []string{"Raman", "Weber", "Vogt", "Lindqvist", "Holt", "Berg", "Moreau", "Sato"}
	base, err := time.Parse(time.DateOnly, modelDay)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range runs {
		model, stack := chances[c.random.IntN(len(chances))], c.random.IntN(stacks)
		live := 0
		if left := runs - i; left <= len(newest) { // the newest ones are still on their way, each on a stack of its own
			model, stack, live = newest[len(newest)-left], left, 1
		}
		day := pastDay().AddDate(0, 0, -(runs-1-i)*3*365/runs)
		args := []any{
			i + 1, model, stackName(stack), fmt.Sprintf("%d.%d.%d", i/4000+1, i/40%100, i%40), fmt.Sprintf("%d.%d.%d", i/4000+1, i/40%100, i%40/2),
			firsts[c.random.IntN(8)], families[c.random.IntN(8)], fmt.Sprintf("%08x%08x", c.random.Uint32(), i), i/2 + 1,
			day.Format(time.DateOnly), day.Sub(base).Milliseconds(), day.Year()*100 + int(day.Month()), live,
		}
		if _, err := insert.ExecContext(c.t.Context(), args...); err != nil {
			c.t.Fatal(err)
		}
	}
}

func stackName(i int) string {
	return fmt.Sprintf("%s-%02d", []string{"edge", "cms", "search", "billing"}[i%4], i)
}

// audit writes the audit log, whose entries are chained by their hashes: what people did, and some sign-ins.
func (c *copier) audit() {
	c.t.Helper()
	var last int
	if err := c.db.QueryRowContext(c.t.Context(), `SELECT max(id) FROM own`).Scan(&last); err != nil {
		c.t.Fatal(err)
	}
	insert, err := c.db.PrepareContext(c.t.Context(), `INSERT INTO audit (seq, at, who, gl_user, via, origin, act, object, project, stack, run_id, why, result, detail, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = insert.Close() }()
	acts := []upgrade.Act{upgrade.ActByRule, upgrade.ActByRule, upgrade.ActByRule, upgrade.ActByRule, upgrade.ActApprove, upgrade.ActSignIn, upgrade.ActSignIn, upgrade.ActRecheck, upgrade.ActStop}
	people := []string{"Hugo Berg", "Mira Holt", "Lena Vogt", "Priya Raman"}
	prev := ""
	for i := range 2 * last {
		run := upgrade.RunID(i/2 + 1)
		e := upgrade.AuditEntry{
			Seq: int64(i + 1), At: pastDay().Add(-time.Duration(2*last-i) * 3 * 365 * 24 * time.Hour / time.Duration(2*last)), Who: people[c.random.IntN(4)], User: 17, Via: "session", From: "192.0.2.7",
			Act: acts[c.random.IntN(len(acts))], On: "run " + run.String(), Project: "platform/edge", Stack: upgrade.StackName(stackName(c.random.IntN(stacks))), Run: run, Why: "seen with Priya", Result: upgrade.AuditDone, Prev: prev,
		}
		if e.Act == upgrade.ActByRule {
			e.Who, e.User, e.Via, e.From, e.Why = upgrade.ByRule().Name, 0, "", "", ""
		}
		if c.random.IntN(200) == 0 {
			e.Result, e.Detail = upgrade.AuditRefused, "it needs the role release manager"
		}
		e.Hash = e.Sum()
		prev = e.Hash
		if _, err := insert.ExecContext(c.t.Context(), e.Seq, e.At.UnixMilli(), e.Who, e.User, e.Via, e.From, string(e.Act), e.On, e.Project, string(e.Stack), int64(e.Run), e.Why, string(e.Result), e.Detail, e.Prev, e.Hash); err != nil {
			c.t.Fatal(err)
		}
	}
	c.do(`UPDATE audit_head SET seq = ?, hash = ? WHERE one = 1`, 2*last, prev)
}

// TestPast: what is made is what the store reads.
func TestPast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	makePast(t, path, 300)
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite://" + path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	checkPast(t.Context(), t, s)
}

func checkPast(ctx context.Context, t *testing.T, s *store.Store) {
	t.Helper()
	runs, err := s.Runs(ctx, upgrade.RunFilter{Limit: 500})
	if err != nil || len(runs) != 300 {
		t.Fatalf("%d runs: %v", len(runs), err)
	}
	phases, events := map[upgrade.Phase]int{}, 0
	for _, r := range runs {
		phases[r.Phase]++
		journal, err := s.Events(ctx, upgrade.EventFilter{Run: r.ID})
		if err != nil || len(journal) == 0 || journal[0].Seq != 1 || journal[0].At.Sub(r.CreatedAt).Abs() > time.Hour {
			t.Fatalf("the journal of run %d: %+v %v", r.ID, journal[:min(1, len(journal))], err)
		}
		events += len(journal)
		found, _, err := s.SearchRuns(ctx, upgrade.RunSearch{Text: string(r.Stack) + " " + r.Version, Month: upgrade.MonthOf(r.CreatedAt), Phases: []upgrade.Phase{r.Phase}})
		if err != nil || len(found) == 0 {
			t.Errorf("run %d is not found by %s %s: %v", r.ID, r.Stack, r.Version, err)
		}
	}
	if len(phases) < 10 || events < 45*300 {
		t.Errorf("%d events, phases %v", events, phases)
	}
	var chain upgrade.AuditChain
	head, err := s.WalkAudit(ctx, func(e upgrade.AuditEntry) error {
		if wrong := chain.Next(e); wrong != "" {
			return errors.New(wrong)
		}
		return nil
	})
	if err != nil || chain.End(head) != "" || head.Seq != 600 {
		t.Errorf("the audit log: %v %s %+v", err, chain.End(head), head)
	}
	if _, err := s.Results(ctx, runs[200].ID); err != nil {
		t.Error(err)
	}
}
