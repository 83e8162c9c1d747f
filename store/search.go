package store

import (
	"context"
	"fmt"

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

// tally adds n to how many runs of the stack and month are in the phase, and to each sum that those are in.
func tally(ctx context.Context, t tx, month upgrade.Month, stack upgrade.StackName, phase upgrade.Phase, n int) error {
	for _, m := range []upgrade.Month{month, 0} {
		for _, s := range []upgrade.StackName{stack, ""} {
			for _, p := range []upgrade.Phase{phase, ""} {
				if m == 0 && s == "" && p == "" {
					continue // nobody asks how many there are
				}
				if err := tallyOne(ctx, t, m, s, p, n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func tallyOne(ctx context.Context, t tx, month upgrade.Month, stack upgrade.StackName, phase upgrade.Phase, n int) error {
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
			for _, m := range []upgrade.Month{month, 0} { // sums of all phases stay as they are
				for _, stack := range []upgrade.StackName{run.Stack, ""} {
					if err := tallyOne(c.ctx, c.tx, m, stack, phase, n); err != nil {
						return err
					}
				}
			}
		}
	}
	fresh := runWords(run)
	for word := range runWords(old) {
		delete(fresh, word)
	}
	return know(c.ctx, c.tx, run.ID, fresh.sorted())
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
		results, err := list(ctx, t, (&Store{}).scanResult, resultQuery+` WHERE r.run_id = $1 ORDER BY r.id`, int64(run.ID))
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
