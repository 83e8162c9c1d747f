package store_test

import (
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// BenchmarkSearch finds runs among 100,000 in three years.
func BenchmarkSearch(b *testing.B) {
	const many = 100_000
	path := filepath.Join(b.TempDir(), "gate.db")
	began := time.Now()
	makeRuns(b, path, many)
	made := time.Since(began)
	began = time.Now()
	s, err := store.Open(b.Context(), store.Config{URL: "sqlite:" + path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("made in %s, findable in %s", made, time.Since(began))
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	for name, f := range map[string]upgrade.RunSearch{
		"all":             {},
		"a_word_of_all":   {Text: "platform"},
		"stack":           {Text: "stack-7"},
		"stack_and_rare":  {Text: "stack-7", Phases: []upgrade.Phase{upgrade.PhaseInterrupted}},
		"merge_request":   {Text: "!4711"},
		"commit":          {Text: "00012c"},
		"person_in_month": {Text: "author3", Month: 202501},
		"two_frequent":    {Text: "author3 stack-7"},
		"blocked":         {Phases: []upgrade.Phase{upgrade.PhaseBlocked}},
		"three_phases":    {Phases: []upgrade.Phase{upgrade.PhaseStopped, upgrade.PhaseSuperseded, upgrade.PhaseFailed}},
		"nothing":         {Text: "nosuchthing"},
		"short":           {Text: "1"},
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			f.Limit = 51
			for b.Loop() {
				began := time.Now()
				if _, err := s.FindRuns(b.Context(), f); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)*95/100].Seconds()*1000, "p95-ms")
		})
	}
}

// makeRuns writes runs past the store, as an older version left them.
func makeRuns(tb testing.TB, path string, many int) {
	tb.Helper()
	s, err := store.Open(tb.Context(), store.Config{URL: "sqlite:" + path, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		tb.Fatal(err)
	}
	t, err := db.BeginTx(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	phases := []upgrade.Phase{upgrade.PhasePromoted, upgrade.PhasePromoted, upgrade.PhasePromoted, upgrade.PhaseBlocked, upgrade.PhaseFailed, upgrade.PhaseStopped, upgrade.PhaseSuperseded}
	from := time.Date(2023, 12, 1, 0, 0, 0, 0, time.UTC)
	for i := range many {
		id, stack, phase := i+1, fmt.Sprintf("stack-%d", random.IntN(20)), phases[random.IntN(len(phases))]
		if i%20_000 == 7 {
			phase = upgrade.PhaseInterrupted
		}
		at := from.Add(time.Duration(i) * 3 * 365 * 24 * time.Hour / time.Duration(many))
		doc := fmt.Sprintf(`{"project":"platform/edge","version":"%d.%d.%d","author":"Person author%d","title":"Change number %d of %s","created_at":%q}`,
			i/1000, i/10%100, i%10, random.IntN(40), i, stack, at.Format(time.RFC3339))
		commit := fmt.Sprintf("%040x", i)
		for _, one := range []struct {
			query string
			args  []any
		}{
			{`INSERT INTO upgrades (id, project_id, project, tree, created_at) VALUES (?, 1, 'platform/edge', ?, 0)`, []any{id, fmt.Sprint("t", i)}},
			{
				`INSERT INTO runs (id, upgrade_id, project_id, stack, environment, tree, commit_name, attempt, phase, rev, event_seq, created_at, doc) VALUES (?, ?, 1, ?, 'staging', ?, ?, 1, ?, 1, 0, ?, ?)`,
				[]any{id, id, stack, fmt.Sprint("t", i), commit, string(phase), at.UnixMilli(), doc},
			},
			{`INSERT INTO answers (run_id, n, ref, commit_name, merge_request, at) VALUES (?, 1, ?, ?, ?, 0)`, []any{id, fmt.Sprint("change-", i), commit, i}},
		} {
			if _, err := t.ExecContext(tb.Context(), one.query, one.args...); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := t.Commit(); err != nil {
		tb.Fatal(err)
	}
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
}
