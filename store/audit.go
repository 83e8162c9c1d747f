package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

const auditQuery = `SELECT seq, at, who, gl_user, via, origin, act, object, project, stack, run_id, why, result, detail, prev, hash FROM audit`

// appendAudit numbers an entry, links it to the one before and keeps it. The head's row stays locked to the
// end of the transaction.
func appendAudit(ctx context.Context, t tx, e *upgrade.AuditEntry) error {
	var head upgrade.AuditHead
	if err := t.row(ctx, `UPDATE audit_head SET seq = seq + 1 WHERE one = 1 RETURNING seq, hash`).Scan(&head.Seq, &head.Hash); err != nil {
		return fmt.Errorf("count on the audit log: %w", err)
	}
	if e.At.IsZero() {
		return errors.New("an audit entry needs a time")
	}
	for _, text := range []*string{&e.Who, &e.Via, &e.From, (*string)(&e.Act), &e.On, &e.Project, (*string)(&e.Stack), &e.Why, (*string)(&e.Result), &e.Detail} {
		*text = strings.ToValidUTF8(strings.ReplaceAll(*text, "\x00", ""), "\uFFFD")
	}
	kept := *e
	kept.Seq, kept.Prev = head.Seq, head.Hash
	kept.Hash = kept.Sum()
	_, err := t.exec(ctx, `INSERT INTO audit (seq, at, who, gl_user, via, origin, act, object, project, stack, run_id, why, result, detail, prev, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		kept.Seq, millis(kept.At), kept.Who, kept.User, kept.Via, kept.From, string(kept.Act), kept.On, kept.Project, string(kept.Stack), int64(kept.Run),
		kept.Why, string(kept.Result), kept.Detail, kept.Prev, kept.Hash)
	if err == nil {
		_, err = t.exec(ctx, `UPDATE audit_head SET hash = $1 WHERE one = 1`, kept.Hash)
	}
	if err != nil {
		return fmt.Errorf("append audit entry %d: %w", kept.Seq, err)
	}
	*e = kept
	return nil
}

// acted runs fn and keeps the entry of the act under way in the same transaction, unless it was kept before,
// and that what the post asks for was done.
func acted(ctx context.Context, fn func(tx) error) (with func(tx) error, undo func()) {
	entry := upgrade.ActingOf(ctx)
	if entry == nil || entry.Seq != 0 {
		return fn, func() {}
	}
	return func(t tx) error {
		if err := fn(t); err != nil {
			return err
		}
		if err := notePost(ctx, t, upgrade.PostOf(ctx)); err != nil {
			return err
		}
		return appendAudit(ctx, t, entry)
	}, func() { entry.Seq = 0 }
}

// Record keeps an act that no transaction of its own does, or that was refused. At must be set.
func (s *Store) Record(ctx context.Context, e upgrade.AuditEntry) error {
	e.Seq = 0
	return s.inTurn(ctx, "keep an audit entry", s.write, func(t tx) error { return appendAudit(ctx, t, &e) })
}

// Audit returns the entries that the filter chooses, newest first.
func (s *Store) Audit(ctx context.Context, f upgrade.AuditFilter) (all []upgrade.AuditEntry, err error) {
	var w where
	w.add(f.Who != "", `who = ?`, f.Who)
	w.add(f.Act != "", `act = ?`, string(f.Act))
	w.add(f.Stack != "", `stack = ?`, string(f.Stack))
	w.add(f.Run != 0, `run_id = ?`, int64(f.Run))
	w.add(f.Result != "", `result = ?`, string(f.Result))
	w.add(f.Result != "" && f.Result != upgrade.AuditDone, `result <> 'done'`) // those have an index of their own
	w.add(!f.Since.IsZero(), `at + 0 >= ?`, millis(f.Since))                   // compared, not looked up
	w.add(!f.Until.IsZero(), `at + 0 < ?`, millis(f.Until))
	w.add(f.Before != 0, `seq < ?`, f.Before)
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	err = s.view(ctx, "read the audit log", func(t tx) (err error) {
		if err := auditTimes(ctx, t, f, &w); err != nil {
			return err
		}
		query := auditQuery + w.String() + ` ORDER BY seq DESC LIMIT ` + w.param(min(limit, 501))
		all, err = list(ctx, t, scanAudit, query, w.args...)
		return err
	})
	return all, err
}

// auditTimes adds between which numbers the entries of the time that is asked for are, so that no others are
// looked at. A clock that was set back is why the first and last are not simply those.
func auditTimes(ctx context.Context, t tx, f upgrade.AuditFilter, w *where) error {
	if f.Since.IsZero() && f.Until.IsZero() {
		return nil
	}
	var of where
	of.add(!f.Since.IsZero(), `at >= ?`, millis(f.Since))
	of.add(!f.Until.IsZero(), `at < ?`, millis(f.Until))
	var first, last int64
	err := t.row(ctx, `SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM (SELECT seq FROM audit`+of.String()+` ORDER BY at)`, of.args...).Scan(&first, &last)
	if err != nil {
		return fmt.Errorf("find the time: %w", err)
	}
	w.add(true, `seq >= ?`, first)
	w.add(true, `seq <= ?`, last)
	return nil
}

// AuditHead returns the number and the hash of the newest entry: whoever noted it elsewhere can tell later whether
// the log was made anew. Seq is 0 while there is none.
func (s *Store) AuditHead(ctx context.Context) (head upgrade.AuditHead, err error) {
	err = s.view(ctx, "read the end of the audit log", func(t tx) error {
		return t.row(ctx, `SELECT seq, hash FROM audit_head WHERE one = 1`).Scan(&head.Seq, &head.Hash)
	})
	return head, err
}

// auditBatch is how many entries are read at a time.
const auditBatch = 1000

// WalkAudit gives every entry in the order of the numbers, and the newest one as it was kept beside them.
// It ends with the first error of see. It reads in batches, and so sees entries that are added meanwhile
// only up to the head that it returns.
func (s *Store) WalkAudit(ctx context.Context, see func(upgrade.AuditEntry) error) (upgrade.AuditHead, error) {
	return walkAudit(ctx, s.view, see)
}

func walkAudit(ctx context.Context, view func(ctx context.Context, what string, fn func(tx) error) error, see func(upgrade.AuditEntry) error) (head upgrade.AuditHead, err error) {
	err = view(ctx, "read the end of the audit log", func(t tx) error {
		return t.row(ctx, `SELECT seq, hash FROM audit_head WHERE one = 1`).Scan(&head.Seq, &head.Hash)
	})
	if err != nil {
		return head, err
	}
	// Row ids follow the order of the numbers even where somebody put a number in that does not fit.
	from, most := int64(0), int64(0)
	for first := true; ; first = false {
		var batch []upgrade.AuditEntry
		err := view(ctx, "read the audit log", func(t tx) (err error) {
			if first {
				if err := t.row(ctx, `SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM audit`).Scan(&from, &most); err != nil {
					return err
				}
				if err := t.row(ctx, `SELECT seq, hash FROM audit_head WHERE one = 1`).Scan(&head.Seq, &head.Hash); err != nil {
					return err
				}
			}
			batch, err = list(ctx, t, scanAudit, auditQuery+` WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT $3`, from, most, auditBatch)
			return err
		})
		if err != nil || len(batch) == 0 {
			return head, err
		}
		for _, e := range batch {
			if err := see(e); err != nil {
				return head, err
			}
		}
		from = batch[len(batch)-1].Seq + 1
	}
}

func scanAudit(scan func(...any) error) (e upgrade.AuditEntry, err error) {
	var at int64
	err = scan(&e.Seq, &at, &e.Who, &e.User, &e.Via, &e.From, &e.Act, &e.On, &e.Project, &e.Stack, &e.Run, &e.Why, &e.Result, &e.Detail, &e.Prev, &e.Hash)
	e.At = timeOf(at)
	return e, err
}

// AuditFile is the audit log of a database that another process may have open. It is only read.
type AuditFile struct {
	pool *pool
	read *Store
}

// OpenAudit opens the audit log of a database for reading. Errors: CodeInvalid for an address that cannot be
// used, CodeNotFound where there is no database.
func OpenAudit(ctx context.Context, url string) (*AuditFile, error) {
	path, err := sqlitePath(url)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := checkFile(path); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	p, err := openPool(sqliteReader(path), 1)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", path, err)
	}
	f := &AuditFile{pool: p, read: &Store{dialect: sqliteDialect(), read: p, log: slog.New(slog.DiscardHandler)}}
	var n int
	if err := p.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = 'audit_head'`).Scan(&n); err != nil || n == 0 {
		if err == nil {
			err = &upgrade.Error{Code: upgrade.CodeInvalid, Msg: path + " has no audit log", Hint: "it is not a database of upgradegate, or of a version that kept none"}
		}
		return nil, errors.Join(fmt.Errorf("open the database %s: %w", path, err), p.Close())
	}
	return f, nil
}

// WalkAudit is as of Store.
func (f *AuditFile) WalkAudit(ctx context.Context, see func(upgrade.AuditEntry) error) (upgrade.AuditHead, error) {
	return walkAudit(ctx, f.read.view, see)
}

// Close closes it.
func (f *AuditFile) Close() error { return f.pool.Close() }
