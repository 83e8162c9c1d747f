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

// searchWorld has runs that people look for.
func searchWorld(t *testing.T, s *store.Store) {
	t.Helper()
	ctx, now := t.Context(), time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for i, run := range []upgrade.Run{
		{Stack: "ecs-master", Version: "5.1.3", Author: "Lena Vogt", Title: "Patch", Commit: "aaaa1111", CreatedAt: now.AddDate(0, -1, 0)},
		{Stack: "ecs-master", Version: "5.2.0", Author: "Priya Raman", Title: "Move the grants", Commit: "8f2c1ab04d5e", Answers: []upgrade.Answer{{Ref: "move-grants", Commit: "8f2c1ab04d5e", MergeRequest: 412}}},
		{Stack: "cms-web", Version: "3.18.0", Author: "Lena Vogt", Title: "Ünïcode \"quoted\"", Commit: "bbbb2222", Answers: []upgrade.Answer{{Ref: "main", Commit: "bbbb2222", MergeRequest: 41}}},
	} {
		id := upgrade.DeliveryID(fmt.Sprint("d", i))
		if _, err := s.Deliver(ctx, upgrade.Delivery{ID: id}); err != nil {
			t.Fatal(err)
		}
		job, ok, err := s.Claim(ctx, "w", time.Hour, now)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		run.ProjectID, run.Project, run.Environment, run.Tree = 1, "platform/edge", "staging", upgrade.Tree(fmt.Sprint("t", i))
		if run.CreatedAt.IsZero() {
			run.CreatedAt = now
		}
		if err := s.Commit(ctx, job, now, upgrade.Step{Starts: []upgrade.Run{run}, Next: upgrade.End()}); err != nil {
			t.Fatal(err)
		}
		// The jobs of the run come next: nobody needs them here.
		for range 2 {
			if job, ok, err = s.Claim(ctx, "w", time.Hour, now); err != nil || !ok {
				t.Fatal(ok, err)
			}
			step := upgrade.Step{Next: upgrade.ParkUntilWoken()}
			if i == 1 && strings.HasPrefix(string(job.ID), "run/") {
				step.Results = []upgrade.Result{{
					Run: 2, Gate: "launch", Kind: "instance-launch", Stage: upgrade.StageAfter, Outcome: upgrade.OutcomeFailed, Message: "the instance never ran",
					Evidence: upgrade.Evidence{Facts: []upgrade.Fact{{Name: "Test instance", Value: "i-0c41d9e7a2b6f3058"}}, Tables: []upgrade.Table{{Rows: [][]string{{"gone", "asg-ebs (arn:aws:kms:eu-west-2:111111111111:key/6f1c9e04)"}}}}},
				}}
			}
			if err := s.Commit(ctx, job, now, step); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func found(t *testing.T, s *store.Store, f upgrade.RunSearch) string {
	t.Helper()
	runs, _, err := s.SearchRuns(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range runs {
		ids = append(ids, r.ID.String())
	}
	return strings.Join(ids, " ")
}

func TestSearchRuns(t *testing.T) {
	s := mustOpen(t, "sqlite:"+filepath.Join(t.TempDir(), "gate.db"))
	searchWorld(t, s)
	for name, tc := range map[string]struct {
		search upgrade.RunSearch
		want   string
	}{
		"all":           {upgrade.RunSearch{}, "3 2 1"},
		"stack":         {upgrade.RunSearch{Text: "ecs-master"}, "2 1"},
		"part_of_stack": {upgrade.RunSearch{Text: "master"}, "2 1"},
		"beginning":     {upgrade.RunSearch{Text: "ecs"}, "2 1"},
		"version":       {upgrade.RunSearch{Text: "5.2"}, "2"},
		"merge_request": {upgrade.RunSearch{Text: "!412"}, "2"},
		"number":        {upgrade.RunSearch{Text: "41"}, "3 2"},
		"commit":        {upgrade.RunSearch{Text: "8F2C1AB"}, "2"},
		"person":        {upgrade.RunSearch{Text: "lena"}, "3 1"},
		"two_words":     {upgrade.RunSearch{Text: "lena cms"}, "3"},
		"no_such_pair":  {upgrade.RunSearch{Text: "priya cms"}, ""},
		"grant":         {upgrade.RunSearch{Text: "asg-ebs"}, "2"},
		"key":           {upgrade.RunSearch{Text: "6f1c9e04"}, "2"},
		"instance":      {upgrade.RunSearch{Text: "i-0c41d9e7a2b6f3058"}, "2"},
		"umlaut":        {upgrade.RunSearch{Text: "ÜNÏ"}, "3"},
		"quotes":        {upgrade.RunSearch{Text: `"quoted"`}, "3"},
		"nothing":       {upgrade.RunSearch{Text: "x' OR 1=1 --"}, ""},
		"signs_only":    {upgrade.RunSearch{Text: " ... !! "}, "3 2 1"},
		"stack_filter":  {upgrade.RunSearch{Text: "lena", Stack: "ecs-master"}, "1"},
		"phase":         {upgrade.RunSearch{Phases: []upgrade.Phase{upgrade.PhaseQueued, upgrade.PhasePlanning}}, "3 2 1"},
		"other_phase":   {upgrade.RunSearch{Text: "lena", Phases: []upgrade.Phase{upgrade.PhasePromoted}}, ""},
		"month":         {upgrade.RunSearch{Month: 202610}, "1"},
		"before":        {upgrade.RunSearch{Text: "ecs", Before: 2}, "1"},
		"limit":         {upgrade.RunSearch{Text: "ecs", Limit: 1}, "2"},
		"long":          {upgrade.RunSearch{Text: strings.Repeat("ü", 500)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := found(t, s, tc.search); got != tc.want {
				t.Errorf("found %q, want %q", got, tc.want)
			}
		})
	}
	if runs, _, err := s.SearchRuns(t.Context(), upgrade.RunSearch{Text: "412"}); err != nil || len(runs) != 1 || len(runs[0].Answers) != 1 {
		t.Errorf("got %+v: %v", runs, err)
	}
}

func TestFindRunsCounts(t *testing.T) {
	s := mustOpen(t, "sqlite:"+filepath.Join(t.TempDir(), "gate.db"))
	searchWorld(t, s)
	count := func(f upgrade.RunSearch) string {
		found, err := s.FindRuns(t.Context(), f)
		if err != nil || !found.Whole {
			t.Fatal(found.Whole, err)
		}
		var said []string
		for _, c := range found.Counts {
			name := string(c.Phase) + string(c.Stack)
			if c.Month != 0 {
				name = fmt.Sprint(int(c.Month))
			}
			said = append(said, fmt.Sprintf("%s %d", name, c.N))
		}
		slices.Sort(said)
		return strings.Join(said, ", ")
	}
	for name, tc := range map[string]struct {
		search upgrade.RunSearch
		want   string
	}{
		"all":   {upgrade.RunSearch{}, "202610 1, 202611 2, cms-web 1, ecs-master 2, queued 3"},
		"text":  {upgrade.RunSearch{Text: "lena"}, "202610 1, 202611 1, cms-web 1, ecs-master 1, queued 2"},
		"stack": {upgrade.RunSearch{Stack: "cms-web"}, "202611 1, cms-web 1, ecs-master 2, queued 1"},
		"month": {upgrade.RunSearch{Month: 202610}, "202610 1, 202611 2, ecs-master 1, queued 1"},
		"phase": {upgrade.RunSearch{Phases: []upgrade.Phase{upgrade.PhaseFailed}}, "queued 3"},
		"both":  {upgrade.RunSearch{Text: "lena", Stack: "ecs-master", Month: 202610}, "202610 1, ecs-master 1, queued 1"},
	} {
		if got := count(tc.search); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
	// A run that goes on is counted where it is.
	if err := s.Wake(t.Context(), upgrade.JobForRun(2)); err != nil {
		t.Fatal(err)
	}
	job, ok, err := s.Claim(t.Context(), "w", time.Hour, time.Now())
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	run, err := s.Run(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	run.Phase, run.StoppedBy = upgrade.PhaseStopped, "Hugo Berg"
	if err := s.Commit(t.Context(), job, time.Now(), upgrade.Step{Runs: []upgrade.Run{run}, Next: upgrade.End()}); err != nil {
		t.Fatal(err)
	}
	if got, want := count(upgrade.RunSearch{}), "202610 1, 202611 2, cms-web 1, ecs-master 2, queued 2, stopped 1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := found(t, s, upgrade.RunSearch{Text: "hugo"}); got != "2" {
		t.Errorf("who stopped it is not known: %q", got)
	}
}

// TestFillSearch: runs that were kept before there was a search are found when the database is opened again,
// and counted once.
func TestFillSearch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	s := mustOpen(t, "sqlite:"+path)
	searchWorld(t, s)
	before, err := s.FindRuns(t.Context(), upgrade.RunSearch{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{`DELETE FROM run_words`, `DELETE FROM run_counts`, `UPDATE runs SET month = 0`} {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = mustOpen(t, "sqlite:"+path)
		after, err := s.FindRuns(t.Context(), upgrade.RunSearch{})
		if err != nil || !slices.Equal(before.Counts, after.Counts) {
			t.Errorf("counted %v, before %v: %v", after.Counts, before.Counts, err)
		}
		for _, text := range []string{"412", "asg-ebs", "priya"} {
			if got := found(t, s, upgrade.RunSearch{Text: text}); got != "2" {
				t.Errorf("%s finds %q", text, got)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
