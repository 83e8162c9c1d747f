package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// know adds words by which a run is found.
func know(ctx context.Context, t tx, id upgrade.RunID, words []string) error {
	for _, word := range words {
		if _, err := t.exec(ctx, `INSERT INTO run_words (word, run_id) VALUES ($1, $2) ON CONFLICT (word, run_id) DO NOTHING`, word, int64(id)); err != nil {
			return fmt.Errorf("keep what run %d is known by: %w", id, err)
		}
	}
	return nil
}

// tally adds n to how many runs of the stack and month are in the phase.
func tally(ctx context.Context, t tx, month upgrade.Month, stack upgrade.StackName, phase upgrade.Phase, n int) error {
	_, err := t.exec(ctx, `INSERT INTO run_counts (month, stack, phase, n) VALUES ($1, $2, $3, $4)
		ON CONFLICT (month, stack, phase) DO UPDATE SET n = run_counts.n + excluded.n`, int(month), string(stack), string(phase), n)
	if err != nil {
		return fmt.Errorf("count runs: %w", err)
	}
	return nil
}

// knowNew makes a run that was just started findable.
func (c *commit) knowNew(run *upgrade.Run) error {
	if err := tally(c.ctx, c.tx, upgrade.MonthOf(run.CreatedAt), run.Stack, run.Phase, 1); err != nil {
		return err
	}
	return know(c.ctx, c.tx, run.ID, runWords(run).sorted())
}

// knowChanged follows a run that is written over.
func (c *commit) knowChanged(old, run *upgrade.Run) error {
	if old.Phase != run.Phase {
		month := upgrade.MonthOf(run.CreatedAt)
		for phase, n := range map[upgrade.Phase]int{old.Phase: -1, run.Phase: 1} {
			if err := tally(c.ctx, c.tx, month, run.Stack, phase, n); err != nil {
				return err
			}
		}
	}
	fresh := runWords(run)
	for word := range runWords(old) {
		delete(fresh, word)
	}
	return know(c.ctx, c.tx, run.ID, fresh.sorted())
}

// SearchRuns returns the runs that the search finds, newest first.
func (s *Store) SearchRuns(ctx context.Context, f upgrade.RunSearch) (runs []upgrade.Run, err error) {
	most := limit(f.Limit, 50, 500)
	err = s.view(ctx, "search runs", func(t tx) error {
		terms, found, err := s.terms(ctx, t, f.Text)
		if err != nil || !found {
			return err
		}
		var ids []int64
		// A list for each phase is read in the order of its index; one for several would be sorted.
		phases := f.Phases
		if len(phases) == 0 {
			phases = []upgrade.Phase{""}
		}
		for _, phase := range phases {
			some, err := searched(ctx, t, f, phase, terms, most)
			if err != nil {
				return err
			}
			ids = append(ids, some...)
		}
		slices.SortFunc(ids, func(a, b int64) int { return cmp.Compare(b, a) })
		ids = slices.Compact(ids)
		ids = ids[:min(len(ids), most)]
		if runs, err = runsOf(ctx, t, ids); err != nil {
			return err
		}
		return addAnswers(ctx, t, runs)
	})
	return runs, err
}

// terms completes each word of a text to those that runs are known by, the rarest word first. found is false
// if one of them is not known at all.
func (s *Store) terms(ctx context.Context, t tx, text string) (terms [][]string, found bool, err error) {
	for _, word := range searchWords(text) {
		if len(terms) == maxSearchWords {
			break
		}
		all, err := complete(ctx, t, word)
		if err != nil || len(all) == 0 {
			return nil, false, err
		}
		terms = append(terms, all)
	}
	slices.SortStableFunc(terms, func(a, b []string) int { return cmp.Compare(len(a), len(b)) })
	return terms, true, nil
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

// searched returns the ids of matches in one phase, newest first.
func searched(ctx context.Context, t tx, f upgrade.RunSearch, phase upgrade.Phase, terms [][]string, most int) (ids []int64, err error) {
	conditions := func() *where {
		w := &where{}
		w.add(f.Stack != "", `r.stack = ?`, string(f.Stack))
		w.add(phase != "", `r.phase = ?`, string(phase))
		w.add(f.Month != 0, `r.month = ?`, int(f.Month))
		w.add(f.Before != 0, `r.id < ?`, int64(f.Before))
		for _, term := range terms[min(1, len(terms)):] {
			w.known(term)
		}
		return w
	}
	if len(terms) == 0 {
		w := conditions()
		query := `SELECT r.id FROM runs r` + w.String() + ` ORDER BY r.id DESC LIMIT ` + w.param(most)
		return list(ctx, t, scanOne[int64], query, w.args...)
	}
	// Of each completion of the first word the newest, in the order of the index, so that a word that all runs
	// have costs no more than one that few have.
	for _, word := range terms[0] {
		w := conditions()
		w.add(true, `r.id = w.run_id AND w.word = ?`, word)
		w.add(f.Before != 0, `w.run_id < ?`, int64(f.Before))
		query := `SELECT w.run_id FROM run_words w CROSS JOIN runs r` + w.String() + ` ORDER BY w.run_id DESC LIMIT ` + w.param(most)
		some, err := list(ctx, t, scanOne[int64], query, w.args...)
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	return ids, nil
}

// known adds the condition that a run is known by one of the words.
func (w *where) known(words []string) {
	args := make([]any, len(words))
	for i, word := range words {
		args[i] = word
	}
	var in where
	in.args = w.args
	in.in(`k.word`, args...)
	w.args = in.args
	w.conds = append(w.conds, `EXISTS (SELECT 1 FROM run_words k`+in.String()+` AND k.run_id = r.id)`)
}

// runsOf reads runs by their ids, newest first.
func runsOf(ctx context.Context, t tx, ids []int64) ([]upgrade.Run, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	var w where
	w.in(`id`, args...)
	return list(ctx, t, scanRun, `SELECT `+runColumns+` FROM runs`+w.String()+` ORDER BY id DESC`, w.args...)
}

// CountRuns returns how many runs there are by month, stack and phase; with a text, of the newest that it
// finds. whole is false if there are more than those.
func (s *Store) CountRuns(ctx context.Context, text string) (counts []upgrade.RunCount, whole bool, err error) {
	whole = true
	err = s.view(ctx, "count runs", func(t tx) error {
		if len(searchWords(text)) == 0 {
			counts, err = list(ctx, t, scanCount, `SELECT month, stack, phase, n FROM run_counts WHERE n > 0 ORDER BY month DESC, stack, phase`)
			return err
		}
		terms, found, err := s.terms(ctx, t, text)
		if err != nil || !found {
			return err
		}
		ids, err := searched(ctx, t, upgrade.RunSearch{}, "", terms, maxCounted+1)
		if err != nil {
			return err
		}
		slices.SortFunc(ids, func(a, b int64) int { return cmp.Compare(b, a) })
		ids = slices.Compact(ids)
		if whole = len(ids) <= maxCounted; !whole {
			ids = ids[:maxCounted]
		}
		counts, err = countsOf(ctx, t, ids)
		return err
	})
	return counts, whole, err
}

// countsOf counts the runs of those ids.
func countsOf(ctx context.Context, t tx, ids []int64) ([]upgrade.RunCount, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	var w where
	w.in(`id`, args...)
	return list(ctx, t, scanCount, `SELECT month, stack, phase, count(*) FROM runs`+w.String()+` GROUP BY month, stack, phase ORDER BY month DESC, stack, phase`, w.args...)
}

func scanCount(scan func(...any) error) (c upgrade.RunCount, err error) {
	return c, scan(&c.Month, &c.Stack, &c.Phase, &c.N)
}

// fillBatch is how many runs are made findable in one transaction.
const fillBatch = 200

// fillSearch makes runs findable that were kept before there was a search.
func (s *Store) fillSearch(ctx context.Context) error {
	total := 0
	for {
		n := 0
		err := s.inTx(ctx, "make runs findable", s.write, func(t tx) (err error) {
			n, err = fillSome(ctx, t)
			return err
		})
		if total += n; err != nil || n < fillBatch {
			if total > 0 {
				s.log.InfoContext(ctx, "runs made findable", "runs", total)
			}
			return err
		}
	}
}

func fillSome(ctx context.Context, t tx) (int, error) {
	runs, err := list(ctx, t, scanRun, `SELECT `+runColumns+` FROM runs WHERE month = 0 ORDER BY id LIMIT $1`, fillBatch)
	if err != nil || len(runs) == 0 {
		return 0, err
	}
	if err := addAnswers(ctx, t, runs); err != nil {
		return 0, err
	}
	for i := range runs {
		run := &runs[i]
		words := runWords(run)
		for _, a := range run.Answers {
			for word := range answerWords(a) {
				words[word] = true
			}
		}
		results, err := list(ctx, t, scanResult, resultQuery+` WHERE r.run_id = $1 ORDER BY r.id`, int64(run.ID))
		if err != nil {
			return 0, err
		}
		for j := range results {
			for word := range resultWords(&results[j]) {
				words[word] = true
			}
		}
		month := upgrade.MonthOf(run.CreatedAt)
		if err := know(ctx, t, run.ID, words.sorted()); err != nil {
			return 0, err
		}
		if err := tally(ctx, t, month, run.Stack, run.Phase, 1); err != nil {
			return 0, err
		}
		if _, err := t.exec(ctx, `UPDATE runs SET month = $1 WHERE id = $2`, int(month), int64(run.ID)); err != nil {
			return 0, err
		}
	}
	return len(runs), nil
}
