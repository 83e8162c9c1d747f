package store

import (
	"context"
	"fmt"

	"github.com/upgradegate/upgradegate/upgrade"
)

// CountRuns counts the runs that a search finds by phase, by stack and by month, as upgrade.CountEach does; with
// a text only the newest, and whole is false if there are more.
func (s *Store) CountRuns(ctx context.Context, f upgrade.RunSearch) (counts []upgrade.RunCount, whole bool, err error) {
	whole = true
	err = s.view(ctx, "count runs", func(t tx) error {
		if len(searchWords(f.Text)) == 0 {
			counts, err = sums(ctx, t, f)
			return err
		}
		q := finder{ctx: ctx, t: t, RunSearch: upgrade.RunSearch{Text: f.Text}, most: maxCounted}
		if err := q.find(); err != nil {
			return err
		}
		whole = q.older == 0
		all, err := countsOf(ctx, t, q.found)
		counts = upgrade.CountEach(all, f)
		return err
	})
	return counts, whole, err
}

// sums reads what was summed up when it was written.
func sums(ctx context.Context, t tx, f upgrade.RunSearch) (counts []upgrade.RunCount, err error) {
	phases := f.Phases
	if len(phases) == 0 {
		phases = []upgrade.Phase{""} // the sum of all
	}
	for _, of := range []struct {
		column string
		where  func(w *where)
	}{
		{`0, '', phase`, func(w *where) {
			w.add(true, `month = ?`, int(f.Month))
			w.add(true, `stack = ?`, string(f.Stack))
			w.add(true, `phase <> ''`)
		}},
		{`0, stack, ''`, func(w *where) {
			w.add(true, `month = ?`, int(f.Month))
			w.add(true, `stack <> ''`)
			w.in(`phase`, texts(phases)...)
		}},
		{`month, '', ''`, func(w *where) {
			w.add(true, `stack = ?`, string(f.Stack))
			w.in(`phase`, texts(phases)...)
			w.add(true, `month <> 0`)
		}},
	} {
		var w where
		of.where(&w)
		some, err := list(ctx, t, scanCount, `SELECT `+of.column+`, sum(n) FROM run_counts`+w.String()+` GROUP BY 1, 2, 3 HAVING sum(n) > 0`, w.args...)
		if err != nil {
			return nil, fmt.Errorf("sum up runs: %w", err)
		}
		counts = append(counts, some...)
	}
	return counts, nil
}

// countsOf counts the runs of those ids.
func countsOf(ctx context.Context, t tx, ids []int64) ([]upgrade.RunCount, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var w where
	w.in(`id`, padded(ids)...)
	return list(ctx, t, scanCount, `SELECT month, stack, phase, count(*) FROM runs`+w.String()+` GROUP BY month, stack, phase ORDER BY month DESC, stack, phase`, w.args...)
}

func scanCount(scan func(...any) error) (c upgrade.RunCount, err error) {
	return c, scan(&c.Month, &c.Stack, &c.Phase, &c.N)
}

// runsOf reads runs by their ids, newest first.
func runsOf(ctx context.Context, t tx, ids []int64) ([]upgrade.Run, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var w where
	w.in(`id`, padded(ids)...)
	return list(ctx, t, scanRun, `SELECT `+runColumns+` FROM runs`+w.String()+` ORDER BY id DESC`, w.args...)
}
