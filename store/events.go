package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// writeJournal appends what the commit has gathered.
func (c *commit) writeJournal() error {
	if err := appendEvents(c.ctx, c.tx, c.journal, func(e *upgrade.Event) { e.At = or(e.At, c.now) }); err != nil {
		return err
	}
	return c.auditPhases()
}

// appendEvents numbers events and appends them, in the order given. stamp sees each before it is
// written.
func appendEvents(ctx context.Context, t tx, events []upgrade.Event, stamp func(*upgrade.Event)) error {
	if len(events) == 0 {
		return nil
	}
	id, err := t.take(ctx, "event", len(events))
	if err != nil {
		return err
	}
	for _, e := range events {
		stamp(&e)
		err := t.row(ctx, `UPDATE runs SET event_seq = event_seq + 1 WHERE id = $1 RETURNING event_seq`, int64(e.Run)).Scan(&e.Seq)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("run %d, of which an event tells,", e.Run)
		}
		if err != nil {
			return err
		}
		data := ""
		if len(e.Data) > 0 {
			if data, err = encode(e.Data); err != nil {
				return err
			}
		}
		_, err = t.exec(ctx, `INSERT INTO events (run_id, seq, id, at, kind, who, text, data) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			int64(e.Run), e.Seq, id, millis(e.At), string(e.Kind), e.Who, e.Text, data)
		if err != nil {
			return fmt.Errorf("append event %d of run %d: %w", e.Seq, e.Run, err)
		}
		id++
	}
	return nil
}

// Events returns the events that the filter chooses, oldest first.
func (s *Store) Events(ctx context.Context, f upgrade.EventFilter) ([]upgrade.Event, error) {
	var w where
	order := `id`
	if f.Run != 0 {
		order = `seq`
		w.add(true, `run_id = ?`, int64(f.Run))
	}
	w.add(f.After != 0, order+` > ?`, f.After)
	query := `SELECT run_id, seq, id, at, kind, who, text, data FROM events` + w.String() +
		` ORDER BY ` + order + ` LIMIT ` + w.param(limit(f.Limit, 500, 5000))

	var events []upgrade.Event
	err := s.view(ctx, "list events", func(t tx) (err error) {
		events, err = list(ctx, t, scanEvent, query, w.args...)
		return err
	})
	return events, err
}

func scanEvent(scan func(...any) error) (e upgrade.Event, err error) {
	var at int64
	var data string
	if err := scan(&e.Run, &e.Seq, &e.ID, &at, &e.Kind, &e.Who, &e.Text, &data); err != nil {
		return upgrade.Event{}, err
	}
	e.At = timeOf(at)
	if data != "" {
		err = decode(data, &e.Data)
	}
	return e, err
}
