package store_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// manyWorld has so many runs that a search does not look at all of them: written past the store, as an older
// version left them, and made findable when it is opened.
func manyWorld(t *testing.T, runs int) *store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gate.db")
	if err := mustOpen(t, "sqlite:"+path).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, query := range []string{
		`CREATE TEMP TABLE n AS WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ` + fmt.Sprint(runs) + `) SELECT id FROM n`,
		`INSERT INTO upgrades (id, project_id, project, tree, created_at) SELECT id, 1, 'platform/edge', 't' || id, 0 FROM n`,
		// The older half is Lena's and passed, the newer Priya's and was blocked. One of each hundred has a word of its own.
		`INSERT INTO runs (id, upgrade_id, project_id, stack, environment, tree, commit_name, attempt, phase, rev, event_seq, created_at, doc)
			SELECT id, id, 1, 'stack-' || (id % 3), 'staging', 't' || id, printf('%040x', id), 1, CASE WHEN id * 2 <= ` + fmt.Sprint(runs) + ` THEN 'promoted' ELSE 'blocked' END, 1, 0, id * 3600000,
			json_object('title', CASE WHEN id % 100 = 0 THEN 'hundred' ELSE 'usual' END, 'author', CASE WHEN id * 2 <= ` + fmt.Sprint(runs) + ` THEN 'Lena' ELSE 'Priya' END,
				'created_at', strftime('%Y-%m-%dT%H:%M:%SZ', id * 3600, 'unixepoch')) FROM n`,
	} {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, "sqlite:"+path)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestSearchManyRuns: a search that many runs might match tells where it stopped looking, and whoever goes on
// from there finds every run once.
func TestSearchManyRuns(t *testing.T) {
	const runs = 9000
	s := manyWorld(t, runs)
	month := upgrade.MonthOf(time.UnixMilli(4000 * 3600000))
	for name, tc := range map[string]struct {
		search upgrade.RunSearch
		fits   func(id int) bool
		pages  int // at most
	}{
		"all":                 {upgrade.RunSearch{}, func(int) bool { return true }, 20},
		"frequent":            {upgrade.RunSearch{Text: "lena"}, func(id int) bool { return id <= runs/2 }, 10},
		"two_that_exclude":    {upgrade.RunSearch{Text: "lena priya"}, func(int) bool { return false }, 3},
		"frequent_and_phase":  {upgrade.RunSearch{Text: "usual", Phases: []upgrade.Phase{upgrade.PhasePromoted}}, func(id int) bool { return id <= runs/2 && id%100 != 0 }, 15},
		"other_phase":         {upgrade.RunSearch{Text: "priya", Phases: []upgrade.Phase{upgrade.PhasePromoted}}, func(int) bool { return false }, 3},
		"rare":                {upgrade.RunSearch{Text: "hundred"}, func(id int) bool { return id%100 == 0 }, 1},
		"rare_and_frequent":   {upgrade.RunSearch{Text: "lena hundred"}, func(id int) bool { return id%100 == 0 && id <= runs/2 }, 1},
		"beginnings":          {upgrade.RunSearch{Text: "l us s", Stack: "stack-1"}, func(id int) bool { return id <= runs/2 && id%100 != 0 && id%3 == 1 }, 10},
		"month_and_stack":     {upgrade.RunSearch{Month: month, Stack: "stack-2"}, func(id int) bool { return upgrade.MonthOf(time.UnixMilli(int64(id)*3600000)) == month && id%3 == 2 }, 1},
		"month_and_word":      {upgrade.RunSearch{Month: month, Text: "usual"}, func(id int) bool { return upgrade.MonthOf(time.UnixMilli(int64(id)*3600000)) == month && id%100 != 0 }, 3},
		"two_phases_and_word": {upgrade.RunSearch{Text: "hundred", Phases: []upgrade.Phase{upgrade.PhasePromoted, upgrade.PhaseBlocked}}, func(id int) bool { return id%100 == 0 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var want, got []int
			for id := runs; id > 0; id-- {
				if tc.fits(id) {
					want = append(want, id)
				}
			}
			f := tc.search
			f.Limit = 500
			pages := 0
			for again := true; again; pages++ {
				found, older, err := s.SearchRuns(t.Context(), f)
				if err != nil || older != 0 && f.Before != 0 && older >= f.Before {
					t.Fatalf("before %d: goes on at %d: %v", f.Before, older, err)
				}
				for _, r := range found {
					got = append(got, int(r.ID))
				}
				f.Before, again = older, older != 0
			}
			if !slices.Equal(got, want) {
				t.Errorf("found %d runs, want %d", len(got), len(want))
			}
			if pages > tc.pages {
				t.Errorf("took %d pages, want at most %d", pages, tc.pages)
			}
		})
	}
}

// TestNewestOfStacks: of each stack one run, however long ago it ended.
func TestNewestOfStacks(t *testing.T) {
	s := manyWorld(t, 1000)
	for name, tc := range map[string]struct {
		phases []upgrade.Phase
		want   string
	}{
		"one_phase":  {[]upgrade.Phase{upgrade.PhasePromoted}, "500 499 498"},
		"two_phases": {[]upgrade.Phase{upgrade.PhasePromoted, upgrade.PhaseBlocked}, "1000 999 998"},
		"none":       {[]upgrade.Phase{upgrade.PhaseStopped}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			runs, err := s.Runs(t.Context(), upgrade.RunFilter{Phases: tc.phases, Newest: true})
			var got []string
			for _, r := range runs {
				got = append(got, r.ID.String())
			}
			if err != nil || strings.Join(got, " ") != tc.want {
				t.Errorf("got %v, want %s: %v", got, tc.want, err)
			}
		})
	}
}
