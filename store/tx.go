package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// tx is one transaction in one dialect.
type tx struct {
	q *sql.Tx
	d dialect
	p *pool
}

// exec runs a statement and returns how many rows it changed.
func (t tx) exec(ctx context.Context, query string, args ...any) (int64, error) {
	var res sql.Result
	var err error
	if stmt := t.p.statement(query); stmt != nil {
		res, err = t.q.StmtContext(ctx, stmt).ExecContext(ctx, args...) //nolint:sqlclosecheck // closed with the transaction
	} else {
		res, err = t.q.ExecContext(ctx, t.d.sql(query), args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// row runs a query of at most one row. The error of none is sql.ErrNoRows, from Scan.
func (t tx) row(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := t.p.statement(query); stmt != nil {
		return t.q.StmtContext(ctx, stmt).QueryRowContext(ctx, args...) //nolint:sqlclosecheck // closed with the transaction
	}
	return t.q.QueryRowContext(ctx, t.d.sql(query), args...)
}

func (t tx) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := t.p.statement(query); stmt != nil {
		return t.q.StmtContext(ctx, stmt).QueryContext(ctx, args...) //nolint:sqlclosecheck // closed with the transaction
	}
	return t.q.QueryContext(ctx, t.d.sql(query), args...)
}

// list runs a query and scans each of its rows.
func list[T any](ctx context.Context, t tx, scan func(scan func(...any) error) (T, error), query string, args ...any) (all []T, err error) {
	rows, err := t.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// take reserves n numbers of a counter and returns the first. The counter's row stays locked to the
// end of the transaction, so numbers become visible in their order.
func (t tx) take(ctx context.Context, counter string, n int) (int64, error) {
	var last int64
	err := t.row(ctx, `UPDATE counters SET value = value + $1 WHERE name = $2 RETURNING value`, n, counter).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("count on %s: %w", counter, err)
	}
	return last - int64(n) + 1, nil
}

// lock locks a counter's row to the end of the transaction and returns its last number; set sets it.
func (t tx) lock(ctx context.Context, counter string) (last int64, err error) {
	if err := t.row(ctx, `UPDATE counters SET value = value WHERE name = $1 RETURNING value`, counter).Scan(&last); err != nil {
		return 0, fmt.Errorf("count on %s: %w", counter, err)
	}
	return last, nil
}

func (t tx) set(ctx context.Context, counter string, last int64) error {
	if _, err := t.exec(ctx, `UPDATE counters SET value = $1 WHERE name = $2`, last, counter); err != nil {
		return fmt.Errorf("count on %s: %w", counter, err)
	}
	return nil
}

// update runs fn in a transaction that writes. It must not wait for anything but the database. Under a
// context that says what is being done, the audit log is told in the same transaction.
func (s *Store) update(ctx context.Context, what string, fn func(tx) error) error {
	fn, undo := acted(ctx, fn)
	err := s.inTurn(ctx, what, s.write, fn)
	if err != nil {
		undo()
	}
	return err
}

// updateLeases is update for what only says who works on what. It survives the process at once, and the
// machine as soon as anything else is written, but does not wait for the disk: when the power fails,
// whoever held the lease is gone too, and the job is as due as it was before. A claim is half of all
// writes, so this halves what a step costs.
func (s *Store) updateLeases(ctx context.Context, what string, fn func(tx) error) error {
	return s.inTurn(ctx, what, s.lease, fn)
}

// inTurn lets one transaction write at a time, in the order in which they came.
func (s *Store) inTurn(ctx context.Context, what string, p *pool, fn func(tx) error) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return s.fail(what, context.Cause(ctx))
	}
	defer func() { <-s.turn }()
	return s.inTx(ctx, what, p, fn)
}

// view runs fn on one snapshot of the database.
func (s *Store) view(ctx context.Context, what string, fn func(tx) error) error {
	return s.inTx(ctx, what, s.read, fn)
}

func (s *Store) inTx(ctx context.Context, what string, p *pool, fn func(tx) error) error {
	began, err := p.BeginTx(ctx, nil)
	if err != nil {
		return s.fail(what, err)
	}
	if err := fn(tx{q: began, d: s.dialect, p: p}); err != nil {
		if undo := began.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			err = errors.Join(err, undo)
		}
		return s.fail(what, err)
	}
	if err := began.Commit(); err != nil {
		return s.fail(what, err)
	}
	p.prepare(context.WithoutCancel(ctx), s.dialect)
	return nil
}

// fail says what was being done, and gives faults of the database that may pass a code that says so.
func (s *Store) fail(what string, err error) error {
	if err == nil {
		return nil
	}
	_, coded := errors.AsType[*upgrade.Error](err)
	if !coded && (s.dialect.passing(err) || errors.Is(err, sql.ErrConnDone)) {
		err = &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the database did not answer", Cause: err}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// millis returns t as columns hold it: milliseconds since 1970, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// millisUp is millis, rounded up. Wake times are rounded up: rounded down, a job would wake a moment
// before what it waits for, and a clock that is moved by hand to that moment would never pass it.
func millisUp(t time.Time) int64 {
	ms := millis(t)
	if ms != 0 && time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}

// timeOf is the inverse of millis.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// or returns t, or now if t is zero.
func or(t, now time.Time) time.Time {
	if t.IsZero() {
		return now.UTC()
	}
	return t.UTC()
}
