package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// FindRuns is SearchRuns, and counts by phase, by stack and by month what the search finds from the newest on. With a
// text it counts some hundred, and says so if there are more.
func (s *Store) FindRuns(ctx context.Context, f upgrade.RunSearch) (found upgrade.RunsFound, err error) {
	err = s.view(ctx, "find runs", func(t tx) error {
		q := finder{ctx: ctx, t: t, RunSearch: f, most: limit(f.Limit, 50, 500)}
		if len(searchWords(f.Text)) == 0 {
			found.Whole = true
			if found.Counts, err = sums(ctx, t, f); err != nil {
				return err
			}
			found.Runs, found.Older, err = q.page()
			return err
		}
		all := finder{ctx: ctx, t: t, RunSearch: upgrade.RunSearch{Text: f.Text}, most: maxCounted}
		if err := all.find(); err != nil {
			return err
		}
		counts, err := countsOf(ctx, t, all.found)
		if err != nil {
			return err
		}
		found.Counts, found.Whole = upgrade.CountEach(counts, f), all.older == 0
		if !q.among(all) {
			found.Runs, found.Older, err = q.page()
			return err
		}
		found.Runs, found.Older, err = q.read()
		return err
	})
	return found, err
}

// among takes what the search finds from one for its text alone, if that is enough.
func (q *finder) among(all finder) bool {
	if q.Stack != "" || q.Month != 0 || len(q.Phases) > 0 {
		return false
	}
	ids := all.found
	if q.Before != 0 {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return id >= int64(q.Before) })
	}
	if len(ids) <= q.most && all.older != 0 {
		return false
	}
	q.keep(ids)
	return true
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
