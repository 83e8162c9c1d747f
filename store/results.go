package store

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// writeResults adds results, each with its evidence in a row of its own.
func (c *commit) writeResults() error {
	if len(c.step.Results) == 0 {
		return nil
	}
	id, err := c.take(c.ctx, "result", len(c.step.Results))
	if err != nil {
		return err
	}
	for i := range c.step.Results {
		if err := c.writeResult(id+int64(i), &c.step.Results[i]); err != nil {
			return fmt.Errorf("write a result of gate %s: %w", c.step.Results[i].Gate, err)
		}
	}
	return nil
}

func (c *commit) writeResult(id int64, r *upgrade.Result) error {
	doc, err := encode(docOfResult(r))
	if err != nil {
		return err
	}
	evidence, err := encode(r.Evidence)
	if err != nil {
		return err
	}
	_, err = c.exec(c.ctx, `INSERT INTO results (id, run_id, gate, stage, environment, outcome, doc) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		id, int64(r.Run), string(r.Gate), string(r.Stage), string(r.Environment), string(r.Outcome), doc)
	if err != nil {
		return err
	}
	_, err = c.exec(c.ctx, `INSERT INTO evidence (result_id, doc, memo, pending) VALUES ($1, $2, $3, $4)`, id, evidence, r.Memo, r.Pending)
	if err != nil {
		return err
	}
	return know(c.ctx, c.tx, r.Run, resultWords(r).sorted())
}

// resultQuery is what scanResult reads.
const resultQuery = `SELECT r.run_id, r.gate, r.stage, r.environment, r.outcome, r.doc, e.doc, e.memo, e.pending
	FROM results r JOIN evidence e ON e.result_id = r.id`

// Results returns every result of a run with its evidence, in order of arrival.
func (s *Store) Results(ctx context.Context, run upgrade.RunID) ([]upgrade.Result, error) {
	return s.results(ctx, run, resultQuery+` WHERE r.run_id = $1 ORDER BY r.id`)
}

// Outcomes returns every result of a run as Results does, but without evidence and memo, which may be large.
func (s *Store) Outcomes(ctx context.Context, run upgrade.RunID) ([]upgrade.Result, error) {
	return s.results(ctx, run, `SELECT run_id, gate, stage, environment, outcome, doc, '{}', '', '' FROM results WHERE run_id = $1 ORDER BY id`)
}

func (s *Store) results(ctx context.Context, run upgrade.RunID, query string) ([]upgrade.Result, error) {
	var results []upgrade.Result
	err := s.view(ctx, fmt.Sprintf("read the results of run %d", run), func(t tx) (err error) {
		results, err = list(ctx, t, s.scanResult, query, int64(run))
		return err
	})
	return results, err
}

// OpenResults returns the results that left something open, of all runs, in order of arrival; at most limit.
func (s *Store) OpenResults(ctx context.Context, limit int) (open []upgrade.Open, err error) {
	err = s.view(ctx, "read what results left open", func(t tx) (err error) {
		open, err = list(ctx, t, func(scan func(...any) error) (o upgrade.Open, err error) {
			o.Result, err = s.scanResult(func(into ...any) error { return scan(append([]any{&o.ID}, into...)...) })
			return o, err
		}, `SELECT r.id, r.run_id, r.gate, r.stage, r.environment, r.outcome, r.doc, e.doc, e.memo, e.pending
			FROM evidence e JOIN results r ON r.id = e.result_id WHERE e.pending <> '' ORDER BY r.id LIMIT $1`, limit)
		return err
	})
	return open, err
}

// writeLearned writes the evidence of results over with what was learned since.
func (c *commit) writeLearned() error {
	for i := range c.step.Learned {
		l := &c.step.Learned[i]
		evidence, err := encode(l.Evidence)
		if err != nil {
			return err
		}
		n, err := c.exec(c.ctx, `UPDATE evidence SET doc = $1, pending = $2 WHERE result_id = $3`, evidence, l.Pending, int64(l.Result))
		if err != nil {
			return fmt.Errorf("write what was learned about result %d: %w", l.Result, err)
		}
		if n == 0 {
			return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no result %d", l.Result)}
		}
	}
	return nil
}

func (s *Store) scanResult(scan func(...any) error) (r upgrade.Result, err error) {
	var text, evidence string
	if err := scan(&r.Run, &r.Gate, &r.Stage, &r.Environment, &r.Outcome, &text, &evidence, &r.Memo, &r.Pending); err != nil {
		return upgrade.Result{}, err
	}
	var doc resultDoc
	if err := decode(text, &doc); err != nil {
		return upgrade.Result{}, err
	}
	doc.fill(&r)
	return r, s.seen.decode(evidence, &r.Evidence)
}
