package store

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// writePosted keeps which statuses were posted, one for each run, commit and pipeline.
func (c *commit) writePosted() error {
	for _, p := range c.step.Posted {
		_, err := c.exec(c.ctx, `INSERT INTO posted (run_id, commit_name, pipeline, state, text, at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (run_id, commit_name, pipeline) DO UPDATE SET state = excluded.state, text = excluded.text, at = excluded.at`,
			int64(p.Run), string(p.Commit), p.Pipeline, string(p.State), p.Text, millis(or(p.At, c.now)))
		if err != nil {
			return fmt.Errorf("keep the status of run %d on %s: %w", p.Run, p.Commit.Short(), err)
		}
	}
	return nil
}

// Posted returns the statuses that were last posted for a run, by commit and pipeline.
func (s *Store) Posted(ctx context.Context, run upgrade.RunID) ([]upgrade.Posted, error) {
	var posted []upgrade.Posted
	err := s.view(ctx, fmt.Sprintf("read the statuses of run %d", run), func(t tx) (err error) {
		posted, err = list(ctx, t, func(scan func(...any) error) (p upgrade.Posted, err error) {
			var at int64
			err = scan(&p.Run, &p.Commit, &p.Pipeline, &p.State, &p.Text, &at)
			p.At = timeOf(at)
			return p, err
		}, `SELECT run_id, commit_name, pipeline, state, text, at FROM posted WHERE run_id = $1 ORDER BY commit_name, pipeline`, int64(run))
		return err
	})
	return posted, err
}
