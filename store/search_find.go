package store

import (
	"cmp"
	"context"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Bounds of one search, whatever is asked and however many runs there are.
const (
	maxSet    = 500    // runs up to which those of a word are read at once
	maxLooked = 65_536 // runs of which it is looked up whether they have words that many have
)

// SearchRuns returns the runs that the search finds, newest first. older is where the search goes on, as its
// Before; 0: there is nothing more. A search for words that many runs have, and none all of them, ends after
// some thousand runs, perhaps without having found one.
func (s *Store) SearchRuns(ctx context.Context, f upgrade.RunSearch) (runs []upgrade.Run, older upgrade.RunID, err error) {
	err = s.view(ctx, "search runs", func(t tx) error {
		q := finder{ctx: ctx, t: t, RunSearch: f, most: limit(f.Limit, 50, 500)}
		runs, older, err = q.page()
		return err
	})
	return runs, older, err
}

// page searches, and reads what it finds.
func (q *finder) page() ([]upgrade.Run, upgrade.RunID, error) {
	if err := q.find(); err != nil {
		return nil, 0, err
	}
	return q.read()
}

// read reads what was found.
func (q *finder) read() ([]upgrade.Run, upgrade.RunID, error) {
	runs, err := runsOf(q.ctx, q.t, q.found)
	if err != nil {
		return nil, 0, err
	}
	return runs, upgrade.RunID(q.older), addAnswers(q.ctx, q.t, runs)
}

// finder is one search at work.
type finder struct {
	upgrade.RunSearch
	ctx  context.Context //nolint:containedctx // lives for one search; saves a parameter on each of its helpers
	t    tx
	most int

	from, to int64      // ids that are searched, both inclusive
	frequent [][]string // words that many runs have: one of each list is to be there
	set      []int64    // if not nil, whoever is found is among these

	found []int64 // newest first
	older int64
}

func (q *finder) find() error {
	if none, err := q.bounds(); err != nil || none {
		return err
	}
	for i, word := range searchWords(q.Text) {
		if i == maxSearchWords {
			break
		}
		if err := q.take(word); err != nil || q.set != nil && len(q.set) == 0 {
			return err
		}
	}
	if q.set == nil {
		some, err := q.filtered(max(maxSet, q.most) + 1)
		if err != nil {
			return err
		}
		switch {
		case len(q.frequent) == 0:
			q.keep(some)
			return nil
		case len(some) <= maxSet:
			q.set = some
		default:
			return q.meet()
		}
	}
	// The newest first, a batch after the other: most searches are answered by the first.
	for len(q.set) > 0 && len(q.found) <= q.most {
		n := min(len(q.set), batchLooked)
		if err := q.look(q.set[:n], q.frequent); err != nil {
			return err
		}
		q.set = q.set[n:]
	}
	q.keep(q.found)
	return nil
}

// keep takes what was found, at most as many as asked for.
func (q *finder) keep(ids []int64) {
	if q.found = ids; len(ids) > q.most {
		q.found = ids[:q.most]
		q.older = q.found[q.most-1]
	}
}

// bounds finds between which ids the runs are that may be found. Runs of a month stand beside one another.
func (q *finder) bounds() (none bool, err error) {
	q.from, q.to = 1, 1<<62
	if q.Month != 0 {
		err := q.t.row(q.ctx, `SELECT coalesce((SELECT min(id) FROM runs WHERE month = $1), 0), coalesce((SELECT max(id) FROM runs WHERE month = $1), 0)`, int(q.Month)).Scan(&q.from, &q.to)
		if err != nil {
			return false, err
		}
	}
	if q.Before != 0 {
		q.to = min(q.to, int64(q.Before)-1)
	}
	return q.to < q.from || q.to < 1, nil
}

// take reads the runs that a word of the text stands for, if those are few.
func (q *finder) take(word string) error {
	words, err := complete(q.ctx, q.t, word)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		q.set = []int64{}
		return nil
	}
	var w where
	w.in(`word`, padded(words)...)
	q.between(&w, `run_id`)
	from, args := `FROM run_words`+w.String(), w.args
	var n int // counted first: to read them would take longer than all else, and be for nothing if there are many
	if err := q.t.row(q.ctx, `SELECT count(*) FROM (SELECT 1 `+from+` LIMIT `+w.param(maxSet+1)+`)`, w.args...).Scan(&n); err != nil {
		return err
	}
	if n > maxSet {
		q.frequent = append(q.frequent, words)
		return nil
	}
	ids, err := list(q.ctx, q.t, scanOne[int64], `SELECT run_id `+from, args...)
	if err != nil {
		return err
	}
	ids = newestFirst(ids)
	if q.set != nil {
		ids = slices.DeleteFunc(ids, func(id int64) bool {
			_, both := slices.BinarySearchFunc(q.set, id, func(a, b int64) int { return cmp.Compare(b, a) })
			return !both
		})
	}
	if q.set = ids; q.set == nil {
		q.set = []int64{}
	}
	return nil
}

func newestFirst(ids []int64) []int64 {
	slices.SortFunc(ids, func(a, b int64) int { return cmp.Compare(b, a) })
	return slices.Compact(ids)
}

func (q *finder) between(w *where, column string) {
	w.add(true, column+` >= ?`, q.from)
	w.add(true, column+` <= ?`, q.to)
}

// restrict adds what is asked besides the text. The month is only compared: its index would find too many.
func (q *finder) restrict(w *where, phase upgrade.Phase) {
	w.add(q.Stack != "", `r.stack = ?`, string(q.Stack))
	w.add(phase != "", `r.phase = ?`, string(phase))
	w.add(q.Month != 0, `r.month + 0 = ?`, int(q.Month))
}

// filtered returns the newest runs that fit what is asked besides the text.
func (q *finder) filtered(most int) (ids []int64, err error) {
	// A list for each phase is read in the order of its index; one for several would be sorted.
	phases := q.Phases
	if len(phases) == 0 {
		phases = []upgrade.Phase{""}
	}
	for _, phase := range phases {
		var w where
		q.restrict(&w, phase)
		q.between(&w, `r.id`)
		some, err := list(q.ctx, q.t, scanOne[int64], `SELECT r.id FROM runs r`+w.String()+` ORDER BY r.id DESC LIMIT `+w.param(most), w.args...)
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	ids = newestFirst(ids)
	return ids[:min(len(ids), most)], nil
}

// batchLooked is how many runs are looked at by one query.
const batchLooked = 256

// look adds those of the runs, newest first, that have a word of each list and fit what else is asked.
func (q *finder) look(ids []int64, lists [][]string) error {
	var w where
	w.in(`r.id`, padded(ids)...)
	q.restrict(&w, "")
	w.in(`r.phase`, texts(q.Phases)...)
	for _, words := range lists {
		w.known(`r.id`, words)
	}
	some, err := list(q.ctx, q.t, scanOne[int64], `SELECT r.id FROM runs r`+w.String()+` ORDER BY r.id DESC`, w.args...)
	q.found = append(q.found, some...)
	return err
}

// complete returns the words that begin with one, itself first. Each is found by one look into the index.
func complete(ctx context.Context, t tx, word string) (all []string, err error) {
	if len(word) > maxWord {
		word = word[:maxWord]
	}
	for after := word; len(all) < maxCompletions; {
		some, err := list(ctx, t, scanOne[string], `SELECT word FROM run_words WHERE word >= $1 AND word < $2 ORDER BY word LIMIT 1`, after, word+"\U0010FFFF")
		if err != nil || len(some) == 0 {
			return all, err
		}
		all = append(all, some[0])
		after = some[0] + "\x01" // no word has control characters
	}
	return all, nil
}

// known adds the condition that the run whose id a column has is known by one of the words.
func (w *where) known(column string, words []string) {
	var in where
	in.args = w.args
	in.in(`k.word`, padded(words)...)
	w.args = in.args
	w.conds = append(w.conds, `EXISTS (SELECT 1 FROM run_words k`+in.String()+` AND k.run_id = `+column+`)`)
}

// padded makes parameters of values, the last one several times, so that lists of all lengths make few
// different statements: those are kept prepared.
func padded[T any](values []T) []any {
	n := 1
	for n < len(values) {
		n *= 2
	}
	args := make([]any, n)
	for i := range args {
		args[i] = values[min(i, len(values)-1)]
	}
	return args
}
