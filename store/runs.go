package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// runColumns is what scanRun reads.
const runColumns = `id, upgrade_id, project_id, stack, environment, tree, commit_name, attempt, phase, rev, doc`

// scanRun reads a run without its answers.
func scanRun(scan func(...any) error) (r upgrade.Run, err error) {
	var text string
	err = scan(&r.ID, &r.Upgrade, &r.ProjectID, &r.Stack, &r.Environment, &r.Tree, &r.Commit, &r.Attempt, &r.Phase, &r.Rev, &text)
	if err != nil {
		return upgrade.Run{}, err
	}
	var doc runDoc
	if err := decode(text, &doc); err != nil {
		return upgrade.Run{}, fmt.Errorf("read run %d: %w", r.ID, err)
	}
	doc.fill(&r)
	return r, nil
}

// Run returns one run. Error: CodeNotFound.
func (s *Store) Run(ctx context.Context, id upgrade.RunID) (upgrade.Run, error) {
	var run upgrade.Run
	err := s.view(ctx, fmt.Sprintf("read run %d", id), func(t tx) error {
		runs, err := list(ctx, t, scanRun, `SELECT `+runColumns+` FROM runs WHERE id = $1`, int64(id))
		if err != nil {
			return err
		}
		if len(runs) == 0 {
			return notFound("run %d", id)
		}
		if err := addAnswers(ctx, t, runs); err != nil {
			return err
		}
		run = runs[0]
		return nil
	})
	return run, err
}

// Runs returns the runs that the filter chooses, newest first.
func (s *Store) Runs(ctx context.Context, f upgrade.RunFilter) ([]upgrade.Run, error) {
	var w where
	w.add(f.Stack != "", `stack = ?`, string(f.Stack))
	w.add(f.Upgrade != 0, `upgrade_id = ?`, int64(f.Upgrade))
	w.add(f.ProjectID != 0, `project_id = ?`, f.ProjectID)
	w.add(f.Tree != "", `tree = ?`, string(f.Tree))
	w.add(f.Commit != "", `(commit_name = ? OR id IN (SELECT run_id FROM answers WHERE commit_name = ?))`, string(f.Commit), string(f.Commit))
	w.in(`phase`, texts(f.Phases)...)
	w.add(f.Before != 0, `id < ?`, int64(f.Before))
	query := `SELECT ` + runColumns + ` FROM runs` + w.String() + ` ORDER BY id DESC LIMIT ` + w.param(limit(f.Limit, 50, 500))

	var runs []upgrade.Run
	err := s.view(ctx, "list runs", func(t tx) (err error) {
		if f.Newest {
			runs, err = newestOfStacks(ctx, t, f.Phases, limit(f.Limit, 50, 500))
		} else {
			runs, err = list(ctx, t, scanRun, query, w.args...)
		}
		if err != nil {
			return err
		}
		return addAnswers(ctx, t, runs)
	})
	return runs, err
}

// addAnswers fills the answers of each run, in the order in which they were added.
func addAnswers(ctx context.Context, t tx, runs []upgrade.Run) error {
	if len(runs) == 0 {
		return nil
	}
	at := map[upgrade.RunID]int{}
	ids := make([]any, 0, len(runs))
	for i := range runs {
		at[runs[i].ID] = i
		ids = append(ids, int64(runs[i].ID))
	}
	var w where
	w.in(`run_id`, padded(ids)...)
	type row struct {
		run    upgrade.RunID
		answer upgrade.Answer
	}
	rows, err := list(ctx, t, func(scan func(...any) error) (r row, err error) {
		var ms int64
		err = scan(&r.run, &r.answer.Ref, &r.answer.Commit, &r.answer.MergeRequest, &ms)
		r.answer.At = timeOf(ms)
		return r, err
	}, `SELECT run_id, ref, commit_name, merge_request, at FROM answers`+w.String()+` ORDER BY run_id, n`, w.args...)
	for _, r := range rows {
		run := &runs[at[r.run]]
		run.Answers = append(run.Answers, r.answer)
	}
	return err
}

// Upgrade returns one upgrade. Error: CodeNotFound.
func (s *Store) Upgrade(ctx context.Context, id upgrade.UpgradeID) (upgrade.Upgrade, error) {
	u := upgrade.Upgrade{ID: id}
	err := s.view(ctx, fmt.Sprintf("read upgrade %d", id), func(t tx) error {
		var created int64
		err := t.row(ctx, `SELECT project_id, project, tree, created_at FROM upgrades WHERE id = $1`, int64(id)).
			Scan(&u.ProjectID, &u.Project, &u.Tree, &created)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("upgrade %d", id)
		}
		u.CreatedAt = timeOf(created)
		return err
	})
	return u, err
}
