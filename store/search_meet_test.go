package store_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// known is what the index says about a run.
type known struct {
	id    upgrade.RunID
	stack upgrade.StackName
	phase upgrade.Phase
	month upgrade.Month
	words []string
}

// spread moves most of the runs so far up that a search which walks down to the others ends on its way: above are more of them than are searched at first.
func spread(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, of := range []string{"runs SET id = id + 100000 WHERE id > 560", "run_words SET run_id = run_id + 100000 WHERE run_id > 560"} {
		if _, err := db.ExecContext(t.Context(), "UPDATE "+of); err != nil {
			t.Fatal(err)
		}
	}
}

func readKnown(t *testing.T, path string) []known {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), `SELECT r.id, stack, phase, month, group_concat(word, ' ') FROM runs r JOIN run_words k ON k.run_id = r.id GROUP BY r.id ORDER BY r.id DESC`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []known
	for rows.Next() {
		var k known
		var words string
		if err := rows.Scan(&k.id, &k.stack, &k.phase, &k.month, &words); err != nil {
			t.Fatal(err)
		}
		k.words = strings.Fields(words)
		all = append(all, k)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func (k known) fits(f upgrade.RunSearch) bool {
	for word := range strings.FieldsSeq(f.Text) {
		if !slices.ContainsFunc(k.words, func(w string) bool { return strings.HasPrefix(w, word) }) {
			return false
		}
	}
	return (f.Stack == "" || f.Stack == k.stack) && (f.Month == 0 || f.Month == k.month) &&
		(len(f.Phases) == 0 || slices.Contains(f.Phases, k.phase))
}

// TestSearchAmongMany: whatever is searched, page after page, is what looking at each run finds. Most of the
// words are of many runs.
func TestSearchAmongMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	makeRuns(t, path, 1300)
	if err := mustOpen(t, "sqlite:"+path).Close(); err != nil { // which makes them findable
		t.Fatal(err)
	}
	spread(t, path)
	s := mustOpen(t, "sqlite:"+path)
	all := readKnown(t, path)
	random := rand.New(rand.NewPCG(7, 11))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	pages, cut := 0, 0
	for i := range 20 {
		f := upgrade.RunSearch{Limit: 60 + random.IntN(300)}
		for range random.IntN(4) {
			f.Text += pick("platform", "person", "author1", "author", "stack-1", "stack", "number", "of", "edge", "0.12.3", "change-123") + " "
		}
		if random.IntN(3) == 0 {
			f.Stack = upgrade.StackName(fmt.Sprint("stack-", random.IntN(20)))
		}
		if random.IntN(3) == 0 {
			f.Month = all[random.IntN(len(all))].month
		}
		if random.IntN(3) == 0 {
			f.Phases = []upgrade.Phase{upgrade.PhaseBlocked, upgrade.PhasePromoted}[:1+random.IntN(2)]
		}
		var want, got []upgrade.RunID
		for _, k := range all {
			if k.fits(f) {
				want = append(want, k.id)
			}
		}
		asked := f
		for {
			runs, older, err := s.SearchRuns(t.Context(), f)
			if err != nil || len(runs) > f.Limit {
				t.Fatalf("%+v: %d runs: %v", f, len(runs), err)
			}
			for _, run := range runs {
				got = append(got, run.ID)
			}
			found, err := s.FindRuns(t.Context(), f)
			if err != nil || found.Older != older || !reflect.DeepEqual(found.Runs, runs) {
				t.Errorf("%+v: beside counts %d runs are found, and then %d: %v; want %d and %d", f, len(found.Runs), found.Older, err, len(runs), older)
			}
			pages++
			if older == 0 {
				break
			}
			if len(runs) < f.Limit {
				cut++
			}
			if f.Before != 0 && older >= f.Before {
				t.Fatalf("%+v goes on at %d", f, older)
			}
			f.Before = older
		}
		if !slices.Equal(got, want) {
			t.Errorf("search %d, %+v: found %d, want %d", i, asked, len(got), len(want))
		}
	}
	if cut == 0 {
		t.Error("no search ended on its way")
	}
	t.Logf("%d pages, %d of them cut short", pages, cut)
}
