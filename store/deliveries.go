package store

import (
	"context"
	"encoding/base64"
	"fmt"

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
