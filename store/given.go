package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// checkGiven looks whether what the step was decided on still holds. It is part of the transaction
// that writes the decision: on SQLite nobody else writes meanwhile, and a database with several writers
// has to run it serialisably.
func (c *commit) checkGiven() error {
	g := c.step.Given
	for _, id := range slices.Sorted(maps.Keys(g.Runs)) {
		if err := unmoved(c.ctx, c.tx, "run "+id.String(), g.Runs[id], `SELECT rev FROM runs WHERE id = $1`, int64(id)); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(g.Newest)) {
		err := unmoved(c.ctx, c.tx, fmt.Sprintf("newest run of upgrade %d", id), int64(g.Newest[id]),
			`SELECT coalesce(max(id), 0) FROM runs WHERE upgrade_id = $1`, int64(id))
		if err != nil {
			return err
		}
	}
	for _, last := range g.Applies {
		err := unmoved(c.ctx, c.tx, fmt.Sprintf("last apply on %s of %s", last.Environment, last.Stack), last.Seq,
			`SELECT coalesce(max(seq), 0) FROM applies WHERE stack = $1 AND environment = $2`, string(last.Stack), string(last.Environment))
		if err != nil {
			return err
		}
	}
	for _, ref := range g.Refs {
		err := unmoved(c.ctx, c.tx, "ref "+ref.Key.Ref, ref.Rev,
			`SELECT rev FROM refs WHERE project_id = $1 AND ref = $2`, ref.Key.ProjectID, ref.Key.Ref)
		if err != nil {
			return err
		}
	}
	for _, stack := range slices.Sorted(maps.Keys(g.Bases)) {
		if err := unmoved(c.ctx, c.tx, "base of "+string(stack), g.Bases[stack], `SELECT rev FROM bases WHERE stack = $1`, string(stack)); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(g.Answers)) {
		err := unmoved(c.ctx, c.tx, fmt.Sprintf("what run %d answers for", id), int64(g.Answers[id]),
			`SELECT count(*) FROM answers WHERE run_id = $1`, int64(id))
		if err != nil {
			return err
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(g.Standings), upgrade.StandingKey.Compare) {
		err := unmoved(c.ctx, c.tx, fmt.Sprintf("what standing gate %s says", key), g.Standings[key],
			`SELECT rev FROM standings WHERE gate = $1 AND environment = $2 AND stack = $3`, string(key.Gate), string(key.Environment), string(key.Stack))
		if err != nil {
			return err
		}
	}
	for _, id := range g.Unasked {
		err := unmoved(c.ctx, c.tx, fmt.Sprintf("what is asked of run %d", id), 0,
			`SELECT count(*) FROM requests WHERE run_id = $1 AND handled_at = 0`, int64(id))
		if err != nil {
			return err
		}
	}
	return nil
}

// unmoved reports CodeStale when the query gives another number than the one that was read. No row
// counts as 0.
func unmoved(ctx context.Context, t tx, what string, was int64, query string, args ...any) error {
	var now int64
	err := t.row(ctx, query, args...).Scan(&now)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("look at the %s: %w", what, err)
	}
	if now != was {
		return stale("%s has changed since it was read", what)
	}
	return nil
}
