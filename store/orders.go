package store

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// writeOrders inserts orders without an ID and updates the others.
func (c *commit) writeOrders() error {
	for i := range c.step.Orders {
		order := c.step.Orders[i]
		if err := c.writeOrder(&order); err != nil {
			return fmt.Errorf("write order %s of upgrade %d: %w", order.Hold.Key(), order.Upgrade, err)
		}
	}
	return nil
}

func (c *commit) writeOrder(o *upgrade.Order) error {
	o.At = or(o.At, c.now)
	doc, err := encode(docOfOrder(o))
	if err != nil {
		return err
	}
	if o.ID == 0 {
		id, takeErr := c.take(c.ctx, "order", 1)
		if takeErr != nil {
			return takeErr
		}
		_, err = c.exec(c.ctx, `INSERT INTO orders (id, upgrade_id, run_id, hold_key, state, doc) VALUES ($1, $2, $3, $4, $5, $6)`,
			id, int64(o.Upgrade), int64(o.Run), o.Hold.Key(), string(o.State), doc)
	} else {
		var n int64
		n, err = c.exec(c.ctx, `UPDATE orders SET run_id = $1, state = $2, doc = $3 WHERE id = $4 AND upgrade_id = $5 AND hold_key = $6`,
			int64(o.Run), string(o.State), doc, int64(o.ID), int64(o.Upgrade), o.Hold.Key())
		if err == nil && n == 0 {
			return notFound("order %d of this upgrade and hold", o.ID)
		}
	}
	if err != nil && c.d.unique(err) {
		return stale("another order of this upgrade and hold is not void")
	}
	return err
}

// Orders returns the unlock orders of an upgrade, void ones too, the first one first.
func (s *Store) Orders(ctx context.Context, id upgrade.UpgradeID) ([]upgrade.Order, error) {
	var orders []upgrade.Order
	err := s.view(ctx, fmt.Sprintf("read the orders of upgrade %d", id), func(t tx) (err error) {
		orders, err = list(ctx, t, scanOrder, `SELECT id, upgrade_id, run_id, state, doc FROM orders WHERE upgrade_id = $1 ORDER BY id`, int64(id))
		return err
	})
	return orders, err
}

func scanOrder(scan func(...any) error) (o upgrade.Order, err error) {
	var text string
	if err := scan(&o.ID, &o.Upgrade, &o.Run, &o.State, &text); err != nil {
		return upgrade.Order{}, err
	}
	var doc orderDoc
	if err := decode(text, &doc); err != nil {
		return upgrade.Order{}, err
	}
	doc.fill(&o)
	return o, nil
}
