package store

import (
	"context"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// writeStandings keeps the newest answers of standing gates, and lengthens the stretch that each belongs to
// or begins a new one. A pass under other settings is none. Since, HeldAt and Rev are worked out here.
func (c *commit) writeStandings() error {
	for i := range c.step.Standings {
		if err := c.writeStanding(&c.step.Standings[i]); err != nil {
			return fmt.Errorf("keep what standing gate %s says: %w", c.step.Standings[i].Key, err)
		}
	}
	return nil
}

func (c *commit) writeStanding(s *upgrade.Standing) error {
	r, k := &s.Result, s.Key
	doc, err := encode(docOfResult(r))
	if err != nil {
		return err
	}
	evidence, err := encode(r.Evidence)
	if err != nil {
		return err
	}
	at, held := millis(r.StartedAt), int64(0)
	if r.Outcome == upgrade.OutcomePassed {
		held = at
	}
	before, err := list(c.ctx, c.tx, scanStanding, standingQuery+` WHERE gate = $1 AND environment = $2 AND stack = $3`, string(k.Gate), string(k.Environment), string(k.Stack))
	if err != nil {
		return err
	}
	since, rev := at, int64(1)
	if len(before) > 0 {
		rev = before[0].Rev + 1
		if before[0].Result.Outcome == r.Outcome {
			since, rev = millis(before[0].Since), before[0].Rev
		}
		if held == 0 && !before[0].HeldAt.IsZero() && before[0].Settings == s.Settings {
			held = millis(before[0].HeldAt)
		}
	}
	_, err = c.exec(c.ctx, `INSERT INTO standings (gate, environment, stack, outcome, since, held_at, rev, settings, doc, evidence, memo)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (gate, environment, stack) DO UPDATE SET outcome = excluded.outcome, since = excluded.since,
			held_at = excluded.held_at, rev = excluded.rev, settings = excluded.settings, doc = excluded.doc, evidence = excluded.evidence, memo = excluded.memo`,
		string(k.Gate), string(k.Environment), string(k.Stack), string(r.Outcome), since, held, rev, s.Settings, doc, evidence, r.Memo)
	if err != nil {
		return err
	}
	_, err = c.exec(c.ctx, `INSERT INTO stretches (gate, environment, stack, since, until, outcome, message, checks)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 1)
		ON CONFLICT (gate, environment, stack, since) DO UPDATE SET until = excluded.until, outcome = excluded.outcome,
			message = excluded.message, checks = stretches.checks + 1`,
		string(k.Gate), string(k.Environment), string(k.Stack), since, at, string(r.Outcome), r.Message)
	return err
}

const standingQuery = `SELECT gate, environment, stack, outcome, since, held_at, rev, settings, doc, evidence, memo FROM standings`

func scanStanding(scan func(...any) error) (s upgrade.Standing, err error) {
	var since, held int64
	var text, evidence string
	r, k := &s.Result, &s.Key
	if err := scan(&k.Gate, &k.Environment, &k.Stack, &r.Outcome, &since, &held, &s.Rev, &s.Settings, &text, &evidence, &r.Memo); err != nil {
		return upgrade.Standing{}, err
	}
	s.Since, s.HeldAt = timeOf(since), timeOf(held)
	var doc resultDoc
	if err := decode(text, &doc); err != nil {
		return upgrade.Standing{}, err
	}
	doc.fill(r)
	r.Gate, r.Environment, r.Stage = k.Gate, k.Environment, upgrade.StageStanding
	return s, decode(evidence, &r.Evidence)
}

// Standings returns the newest answer of every standing gate that was ever asked, by gate, environment and
// stack.
func (s *Store) Standings(ctx context.Context) (all []upgrade.Standing, err error) {
	err = s.view(ctx, "read what standing gates say", func(t tx) (err error) {
		all, err = list(ctx, t, scanStanding, standingQuery+` ORDER BY gate, environment, stack`)
		return err
	})
	return all, err
}

// Stretches returns what a standing gate said from since on, in the order of time. The first may have begun
// before.
func (s *Store) Stretches(ctx context.Context, key upgrade.StandingKey, since time.Time) (all []upgrade.Stretch, err error) {
	err = s.view(ctx, "read what a standing gate said", func(t tx) (err error) {
		all, err = list(ctx, t, func(scan func(...any) error) (s upgrade.Stretch, err error) {
			var from, until int64
			err = scan(&s.Key.Gate, &s.Key.Environment, &s.Key.Stack, &from, &until, &s.Outcome, &s.Message, &s.Checks)
			s.Since, s.Until = timeOf(from), timeOf(until)
			return s, err
		}, `SELECT gate, environment, stack, since, until, outcome, message, checks FROM stretches
			WHERE gate = $1 AND environment = $2 AND stack = $3 AND until >= $4 ORDER BY since`,
			string(key.Gate), string(key.Environment), string(key.Stack), millis(since))
		return err
	})
	return all, err
}

// PurgeStretches removes what standing gates said up to then, and returns how many stretches that were.
// The stretch of a newest answer stays.
func (s *Store) PurgeStretches(ctx context.Context, before time.Time) (n int, err error) {
	err = s.update(ctx, "purge what standing gates said", func(t tx) error {
		removed, err := t.exec(ctx, `DELETE FROM stretches WHERE until < $1 AND NOT EXISTS (SELECT 1 FROM standings s
			WHERE s.gate = stretches.gate AND s.environment = stretches.environment AND s.stack = stretches.stack AND s.since = stretches.since)`, millis(before))
		n = int(removed)
		return err
	})
	return n, err
}
