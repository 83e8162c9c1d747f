package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// writeApplies inserts or updates applies.
func (c *commit) writeApplies() error {
	for i := range c.step.Applies {
		apply := &c.step.Applies[i]
		if err := c.writeApply(apply); err != nil {
			return fmt.Errorf("write apply %d of run %d: %w", apply.N, apply.Run, err)
		}
	}
	return nil
}

func (c *commit) writeApply(a *upgrade.Apply) error {
	if a.FileDigest == "" || a.N < 1 {
		return errors.New("an apply needs a number and the digest of its plan file")
	}
	doc, err := encode(docOfApply(a))
	if err != nil {
		return err
	}
	var digest string
	var state upgrade.ApplyState
	err = c.row(c.ctx, `SELECT file_digest, state FROM applies WHERE run_id = $1 AND n = $2`, int64(a.Run), a.N).Scan(&digest, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return c.insertApply(a, doc)
	}
	if err != nil {
		return err
	}
	if digest != a.FileDigest {
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "it was begun with another plan file"}
	}
	if over(state) && !over(a.State) {
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("it is %s and cannot be %s again", state, a.State)}
	}
	_, err = c.exec(c.ctx, `UPDATE applies SET state = $1, doc = $2 WHERE run_id = $3 AND n = $4`, string(a.State), doc, int64(a.Run), a.N)
	return err
}

func (c *commit) insertApply(a *upgrade.Apply, doc string) error {
	if err := c.noneClaimed(a); err != nil {
		return err
	}
	seq, err := c.take(c.ctx, "apply", 1)
	if err != nil {
		return err
	}
	_, err = c.exec(c.ctx, `INSERT INTO applies (run_id, n, seq, stack, environment, file_digest, state, doc)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		int64(a.Run), a.N, seq, string(a.Stack), string(a.Environment), a.FileDigest, string(a.State), doc)
	if err != nil && c.d.unique(err) {
		return &upgrade.Error{
			Code: upgrade.CodeConflict, Msg: "this plan file was applied before", Hint: "a plan is applied once: plan again", Cause: err,
		}
	}
	return err
}

// noneClaimed refuses an apply on a stack while an order of an upgrade that tested it is being
// delivered: what opens production must not be overtaken by another apply (product.md §5).
func (c *commit) noneClaimed(a *upgrade.Apply) error {
	var claimed int
	err := c.row(c.ctx, `SELECT count(*) FROM orders o WHERE o.state = $1 AND EXISTS
		(SELECT 1 FROM runs r WHERE r.upgrade_id = o.upgrade_id AND r.stack = $2 AND r.environment = $3)`,
		string(upgrade.OrderClaimed), string(a.Stack), string(a.Environment)).Scan(&claimed)
	if err == nil && claimed > 0 {
		err = &upgrade.Error{Code: upgrade.CodeBusy, Msg: fmt.Sprintf("production is being opened for what %s of %s has", a.Environment, a.Stack)}
	}
	return err
}

// over reports whether an apply in the state has ended.
func over(state upgrade.ApplyState) bool {
	return state == upgrade.ApplyExited || state == upgrade.ApplyLost
}

const applyColumns = `run_id, n, seq, stack, environment, file_digest, state, doc`

func scanApply(scan func(...any) error) (a upgrade.Apply, err error) {
	var text string
	if err := scan(&a.Run, &a.N, &a.Seq, &a.Stack, &a.Environment, &a.FileDigest, &a.State, &text); err != nil {
		return upgrade.Apply{}, err
	}
	var doc applyDoc
	if err := decode(text, &doc); err != nil {
		return upgrade.Apply{}, err
	}
	doc.fill(&a)
	return a, nil
}

// Applies returns the applies of a run, the first one first.
func (s *Store) Applies(ctx context.Context, run upgrade.RunID) ([]upgrade.Apply, error) {
	var applies []upgrade.Apply
	err := s.view(ctx, fmt.Sprintf("read the applies of run %d", run), func(t tx) (err error) {
		applies, err = list(ctx, t, scanApply, `SELECT `+applyColumns+` FROM applies WHERE run_id = $1 ORDER BY n`, int64(run))
		return err
	})
	return applies, err
}

// LastApply returns the apply that was begun last on a stack and environment, whatever came of it. ok
// is false when there was none.
func (s *Store) LastApply(ctx context.Context, stack upgrade.StackName, env upgrade.EnvName) (last upgrade.Apply, ok bool, err error) {
	var applies []upgrade.Apply
	err = s.view(ctx, fmt.Sprintf("read the last apply of %s on %s", stack, env), func(t tx) (err error) {
		applies, err = list(ctx, t, scanApply, `SELECT `+applyColumns+` FROM applies
			WHERE stack = $1 AND environment = $2 ORDER BY seq DESC LIMIT 1`, string(stack), string(env))
		return err
	})
	if err != nil || len(applies) == 0 {
		return upgrade.Apply{}, false, err
	}
	return applies[0], true, nil
}

// AppliesSince returns every apply that was begun on a stack and environment after the one numbered
// seq, the first one first, whatever came of it.
func (s *Store) AppliesSince(ctx context.Context, stack upgrade.StackName, env upgrade.EnvName, seq int64) ([]upgrade.Apply, error) {
	var applies []upgrade.Apply
	err := s.view(ctx, fmt.Sprintf("read the applies on %s of %s", env, stack), func(t tx) (err error) {
		applies, err = list(ctx, t, scanApply, `SELECT `+applyColumns+` FROM applies
			WHERE stack = $1 AND environment = $2 AND seq > $3 ORDER BY seq`, string(stack), string(env), seq)
		return err
	})
	return applies, err
}
