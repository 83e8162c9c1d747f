package store

import "slices"

// How many ids of runs, from the newest back, are searched at a time: the first time, and at most. Each time twice as
// many are searched as before. A run that has words which are looked for in an index counts once for each.
const (
	firstSpan = 1024
	mostSpan  = 16_384
)

// meet finds the runs that have a word of each list, where each list alone has too many. SQLite goes through the runs
// of one list and looks each up in the others.
func (q *finder) meet() error {
	if err := q.newest(); err != nil {
		return err
	}
	if err := q.sparsestFirst(); err != nil {
		return err
	}
	weight := 1
	for _, words := range q.frequent[1:] {
		weight += len(words)
	}
	for span, looked := max(firstSpan/weight, 64), 0; len(q.found) <= q.most && q.to >= q.from; span = min(2*span, max(mostSpan/weight, 64)) {
		if looked >= maxLooked {
			q.older = q.to + 1
			return nil
		}
		low := max(q.from, q.to-int64(span)+1)
		if err := q.meetFrom(low); err != nil {
			return err
		}
		looked += int(q.to-low+1) * weight
		q.to = low - 1
	}
	q.keep(q.found)
	return nil
}

// newest bounds what is searched by the runs that there are.
func (q *finder) newest() error {
	var newest int64
	if err := q.t.row(q.ctx, `SELECT coalesce(max(id), 0) FROM runs`).Scan(&newest); err != nil {
		return err
	}
	q.to = min(q.to, newest)
	return nil
}

// sparsestFirst puts the list in front that the fewest of the newest runs have.
func (q *finder) sparsestFirst() error {
	fewest := 0
	for i, words := range q.frequent {
		var w where
		w.in(`word`, padded(words)...)
		w.add(true, `run_id >= ?`, q.to-firstSpan)
		w.add(true, `run_id <= ?`, q.to)
		var n int
		if err := q.t.row(q.ctx, `SELECT count(*) FROM run_words`+w.String(), w.args...).Scan(&n); err != nil {
			return err
		}
		if i == 0 || n < fewest {
			fewest = n
			q.frequent[0], q.frequent[i] = q.frequent[i], q.frequent[0]
		}
	}
	return nil
}

// meetFrom adds the runs of the ids from low to q.to, newest first, until there is one more than asked for.
func (q *finder) meetFrom(low int64) error {
	var w where
	w.in(`a.word`, padded(q.frequent[0])...)
	w.add(true, `a.run_id >= ?`, low)
	w.add(true, `a.run_id <= ?`, q.to)
	for _, words := range q.frequent[1:] {
		w.known(`a.run_id`, words)
	}
	from := `run_words a`
	if q.Stack != "" || q.Month != 0 || len(q.Phases) > 0 {
		from += ` CROSS JOIN runs r ON r.id = a.run_id` // CROSS: in this order
		q.restrict(&w, "")
		w.in(`r.phase`, texts(q.Phases)...)
	}
	some, err := list(q.ctx, q.t, scanOne[int64],
		`SELECT DISTINCT a.run_id FROM `+from+w.String()+` ORDER BY a.run_id DESC LIMIT `+w.param(q.most+1-len(q.found)), w.args...)
	q.found = slices.Concat(q.found, some)
	return err
}
