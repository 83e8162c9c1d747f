package store

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const deliveryColumns = `number, id, event, received_at, hint, fate, reason, runs`

// Delivery returns one delivery with its body. Error: CodeNotFound.
func (s *Store) Delivery(ctx context.Context, id upgrade.DeliveryID) (upgrade.Delivery, error) {
	var d upgrade.Delivery
	err := s.view(ctx, fmt.Sprintf("read delivery %s", id), func(t tx) error {
		found, err := list(ctx, t, func(scan func(...any) error) (upgrade.Delivery, error) {
			var coding, body string
			d, err := scanDelivery(func(dest ...any) error { return scan(append(dest, &coding, &body)...) })
			if err != nil {
				return d, err
			}
			d.Body = []byte(body)
			if coding == "base64" {
				d.Body, err = base64.StdEncoding.DecodeString(body)
			}
			return d, err
		}, `SELECT `+deliveryColumns+`, coding, body FROM deliveries WHERE id = $1`, string(id))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return notFound("delivery %s", id)
		}
		d = found[0]
		return nil
	})
	return d, err
}

// Deliveries returns the deliveries that the filter chooses, newest first, without their bodies.
func (s *Store) Deliveries(ctx context.Context, f upgrade.DeliveryFilter) ([]upgrade.Delivery, error) {
	var w where
	w.in(`fate`, texts(f.Fates)...)
	w.add(f.Before != 0, `number < ?`, f.Before)
	query := `SELECT ` + deliveryColumns + ` FROM deliveries` + w.String() + ` ORDER BY number DESC LIMIT ` + w.param(limit(f.Limit, 50, 500))
	var found []upgrade.Delivery
	err := s.view(ctx, "list deliveries", func(t tx) (err error) {
		found, err = list(ctx, t, scanDelivery, query, w.args...)
		return err
	})
	return found, err
}

func scanDelivery(scan func(...any) error) (d upgrade.Delivery, err error) {
	var at int64
	var hint, runs string
	if err := scan(&d.Number, &d.ID, &d.Event, &at, &hint, &d.Fate, &d.Reason, &runs); err != nil {
		return upgrade.Delivery{}, err
	}
	d.ReceivedAt = timeOf(at)
	if err := decode(hint, &d.Hint); err != nil {
		return upgrade.Delivery{}, err
	}
	if runs != "[]" {
		err = decode(runs, &d.Runs)
	}
	return d, err
}

// writeDelivery says what came of the delivery that the job was about. Of one that was refused no body is
// kept: what nobody here asked for may say anything, and its hint is enough to look at it anew.
func (c *commit) writeDelivery() error {
	d := c.step.Delivery
	if d == nil {
		return nil
	}
	runs := slices.Clone(d.Runs)
	for _, id := range c.started {
		if !slices.Contains(runs, id) {
			runs = append(runs, id)
		}
	}
	refusal := 0
	if d.Fate == upgrade.FateRefused {
		refusal = 1
	}
	doc, err := encode(nonNil(runs))
	if err != nil {
		return err
	}
	n, err := c.exec(c.ctx, `UPDATE deliveries SET fate = $1, reason = $2, runs = $3,
			coding = CASE WHEN $4 = 1 THEN 'text' ELSE coding END, body = CASE WHEN $4 = 1 THEN '' ELSE body END
		WHERE id = $5`,
		string(d.Fate), d.Reason, doc, refusal, string(d.ID))
	if err == nil && n == 0 {
		err = notFound("delivery %s", d.ID)
	}
	return err
}

// purged is how many deliveries one transaction removes at most: nobody waits long for his turn to write.
const purged = 200

// PurgeDeliveries removes every delivery that was received before the time and is not waiting to be looked
// at, with the job that looked at it. It returns how many, also with an error. A delivery of a removed
// one's ID counts as new; that it starts nothing twice is left to the refs (S7).
func (s *Store) PurgeDeliveries(ctx context.Context, before time.Time) (int, error) {
	const old = `SELECT id FROM deliveries WHERE received_at < $1 AND fate <> $2 ORDER BY number LIMIT $3`
	for all := 0; ; {
		n := 0
		err := s.update(ctx, "remove old deliveries", func(t tx) error {
			ids, err := list(ctx, t, func(scan func(...any) error) (id string, err error) { return id, scan(&id) },
				old, millis(before), string(upgrade.FatePending), purged)
			if err != nil {
				return err
			}
			for _, id := range ids {
				if _, err := t.exec(ctx, `DELETE FROM deliveries WHERE id = $1`, id); err != nil {
					return fmt.Errorf("remove delivery %s: %w", id, err)
				}
				job := upgrade.JobFor(upgrade.JobIntake, id)
				if _, err := t.exec(ctx, `DELETE FROM jobs WHERE id = $1 AND ended = 1`, string(job)); err != nil {
					return fmt.Errorf("remove job %s: %w", job, err)
				}
			}
			n = len(ids)
			return nil
		})
		if err != nil {
			return all, err
		}
		if all += n; n < purged {
			return all, nil
		}
	}
}
