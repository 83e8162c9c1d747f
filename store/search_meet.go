package store

import "slices"

// Ids that are read at a time of the runs that a word stands for, over all its completions: the first time, and at
// most. Each time twice as many are read as before.
const (
	firstRead = 1024
	mostRead  = 8192
)

// walker goes through the runs that have one of some words, from the newest back.
type walker struct {
	words []string
	ids   []int64 // read and not passed yet, newest first
	batch int     // how many are read next
	down  int64   // of all runs from here up it is known whether they have one of the words
}

// meet finds the runs that have a word of each list, where each list alone has too many. The lists are read
// beside one another from the newest run back, each as far as the others have come.
func (q *finder) meet() error {
	walkers := make([]walker, len(q.frequent))
	for i, words := range q.frequent {
		walkers[i] = walker{words: words, batch: firstRead, down: q.to + 1}
	}
	restricted := q.Stack != "" || q.Month != 0 || len(q.Phases) > 0
	for read, looked := 0, 0; len(q.found) <= q.most && q.to >= q.from; {
		low := q.from
		for i := range walkers {
			n, err := q.walk(&walkers[i])
			if err != nil {
				return err
			}
			read += n
			low = max(low, walkers[i].down)
		}
		both := walkers[0].pass(low)
		for i := range walkers[1:] {
			both = common(both, walkers[i+1].pass(low))
		}
		q.to = low - 1
		if !restricted {
			q.found = append(q.found, both...)
		} else {
			for batch := range slices.Chunk(both, batchLooked) {
				if err := q.look(batch, nil); err != nil {
					return err
				}
			}
			looked += len(both)
		}
		if (read >= maxRead || looked >= maxLooked) && len(q.found) <= q.most && q.to >= q.from {
			q.older = q.to + 1
			return nil
		}
	}
	q.keep(q.found)
	return nil
}

// walk reads on if everything that was read is passed. It returns how many ids were read.
func (q *finder) walk(w *walker) (read int, err error) {
	if len(w.ids) > 0 || w.down <= q.from {
		return 0, nil
	}
	most := max(w.batch/len(w.words), 64)
	w.batch = min(2*w.batch, mostRead)
	down := q.from
	for _, word := range w.words {
		some, err := list(q.ctx, q.t, scanOne[int64],
			`SELECT run_id FROM run_words WHERE word = $1 AND run_id >= $2 AND run_id < $3 ORDER BY run_id DESC LIMIT $4`, word, q.from, w.down, most)
		if err != nil {
			return read, err
		}
		if len(some) == most { // what is older than its last one is not known of this word
			down = max(down, some[most-1])
		}
		read += len(some)
		w.ids = append(w.ids, some...)
	}
	w.down = down
	w.ids = slices.DeleteFunc(newestFirst(w.ids), func(id int64) bool { return id < down })
	return read, nil
}

// pass returns the ids from low up and forgets them.
func (w *walker) pass(low int64) []int64 {
	n := 0
	for n < len(w.ids) && w.ids[n] >= low {
		n++
	}
	passed := w.ids[:n:n]
	w.ids = w.ids[n:]
	return passed
}

// common returns the ids that are in both lists. Both are newest first, and so is what is returned.
func common(a, b []int64) (both []int64) {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] > b[0]:
			a = a[1:]
		case a[0] < b[0]:
			b = b[1:]
		default:
			both = append(both, a[0])
			a, b = a[1:], b[1:]
		}
	}
	return both
}
