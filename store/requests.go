package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Ask keeps what somebody asks of a run, tells it to the run's journal and wakes the run's job, which
// grants or refuses it. At must be set: it is world time, which the store does not have.
// Errors: CodeNotFound for a run that does not exist, CodeInvalid without a time.
func (s *Store) Ask(ctx context.Context, r upgrade.Request) (upgrade.RequestID, error) {
	if r.At.IsZero() {
		return 0, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a request needs the time at which it was made"}
	}
	if act := upgrade.ActingOf(ctx); act != nil {
		act.Result = upgrade.AuditAsked
	}
	err := s.update(ctx, fmt.Sprintf("ask run %d to %s", r.Run, r.Kind), func(t tx) (err error) {
		if r.ID, err = insertRequest(ctx, t, r); err != nil {
			return err
		}
		if err := appendEvents(ctx, t, []upgrade.Event{requestEvent(r)}, func(*upgrade.Event) {}); err != nil {
			return err
		}
		return wake(ctx, t, upgrade.JobForRun(r.Run))
	})
	if err != nil {
		return 0, err
	}
	s.signal()
	s.changed.tick()
	return r.ID, nil
}

func insertRequest(ctx context.Context, t tx, r upgrade.Request) (upgrade.RequestID, error) {
	var exists int
	if err := t.row(ctx, `SELECT count(*) FROM runs WHERE id = $1`, int64(r.Run)).Scan(&exists); err != nil {
		return 0, err
	}
	if exists == 0 {
		return 0, notFound("run %d", r.Run)
	}
	doc, err := encode(docOfRequest(&r))
	if err != nil {
		return 0, err
	}
	id, err := t.take(ctx, "request", 1)
	if err != nil {
		return 0, err
	}
	_, err = t.exec(ctx, `INSERT INTO requests (id, run_id, kind, asked_at, handled_at, doc) VALUES ($1, $2, $3, $4, 0, $5)`,
		id, int64(r.Run), string(r.Kind), millis(r.At), doc)
	return upgrade.RequestID(id), err
}

func requestEvent(r upgrade.Request) upgrade.Event {
	text := r.Reason
	if text == "" {
		text = fmt.Sprintf("asked to %s", r.Kind)
	}
	data := map[string]string{"kind": string(r.Kind)}
	if r.Other != 0 {
		data["other"] = r.Other.String()
	}
	return upgrade.Event{Run: r.Run, At: r.At, Kind: upgrade.EventRequest, Who: r.By.Name, Text: text, Data: data}
}

// writeRequests keeps what the step asks of other runs, and closes what it granted or refused.
func (c *commit) writeRequests() error {
	for _, r := range c.step.Requests {
		r.At = or(r.At, c.now)
		var err error
		if r.Kind == upgrade.RequestSupersede && r.Other == 0 {
			if r.Other, err = c.successor(r.Run); err != nil {
				return err
			}
		}
		if r.ID, err = insertRequest(c.ctx, c.tx, r); err != nil {
			return fmt.Errorf("ask run %d to %s: %w", r.Run, r.Kind, err)
		}
		if !c.tells(r.Run, upgrade.EventRequest) {
			c.journal = append(c.journal, requestEvent(r))
		}
		c.wakes = append(c.wakes, upgrade.JobForRun(r.Run))
	}
	for _, id := range c.step.Handled {
		if err := c.auditRequest(id); err != nil {
			return err
		}
		n, err := c.exec(c.ctx, `UPDATE requests SET handled_at = $1 WHERE id = $2`, millis(c.now), int64(id))
		if err != nil {
			return fmt.Errorf("close request %d: %w", id, err)
		}
		if n == 0 {
			return notFound("request %d", id)
		}
	}
	return nil
}

// successor returns the run that this step starts on the same stack, 0 if it starts none.
func (c *commit) successor(of upgrade.RunID) (upgrade.RunID, error) {
	var stack upgrade.StackName
	err := c.row(c.ctx, `SELECT stack FROM runs WHERE id = $1`, int64(of)).Scan(&stack)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, notFound("run %d", of)
	}
	for i, started := range c.step.Starts {
		if err == nil && started.Stack == stack {
			return c.started[i], nil
		}
	}
	return 0, err
}

// OpenRequests returns the requests to a run that were neither granted nor refused yet, oldest first.
func (s *Store) OpenRequests(ctx context.Context, run upgrade.RunID) ([]upgrade.Request, error) {
	var requests []upgrade.Request
	err := s.view(ctx, fmt.Sprintf("read the requests to run %d", run), func(t tx) (err error) {
		requests, err = list(ctx, t, scanRequest,
			`SELECT id, run_id, kind, asked_at, doc FROM requests WHERE run_id = $1 AND handled_at = 0 ORDER BY id`, int64(run))
		return err
	})
	return requests, err
}

func scanRequest(scan func(...any) error) (r upgrade.Request, err error) {
	var at int64
	var text string
	if err := scan(&r.ID, &r.Run, &r.Kind, &at, &text); err != nil {
		return upgrade.Request{}, err
	}
	r.At = timeOf(at)
	var doc requestDoc
	if err := decode(text, &doc); err != nil {
		return upgrade.Request{}, err
	}
	doc.fill(&r)
	return r, nil
}
