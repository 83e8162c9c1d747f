package store

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// slotOf returns the slot that a run in its phase holds: NULL, or its stack and environment. Names of
// neither have a tab.
func slotOf(r *upgrade.Run) sql.NullString {
	return sql.NullString{String: string(r.Stack) + "\t" + string(r.Environment), Valid: r.Phase.HoldsSlot()}
}

// writeStarts creates runs, each queued, with both of its jobs.
func (c *commit) writeStarts() error {
	for i := range c.step.Starts {
		run := c.step.Starts[i]
		if err := c.start(&run); err != nil {
			return fmt.Errorf("start a run of %s: %w", run.Stack, err)
		}
		c.started = append(c.started, run.ID)
	}
	return nil
}

func (c *commit) start(run *upgrade.Run) error {
	if run.Phase != "" && run.Phase != upgrade.PhaseQueued {
		return fmt.Errorf("a run starts in phase %s, not in %s", upgrade.PhaseQueued, run.Phase)
	}
	if run.Stack == "" || run.Environment == "" || run.Tree == "" || run.ProjectID == 0 {
		return errors.New("a run needs a project, a stack, an environment and a tree")
	}
	var err error
	if run.Upgrade, err = c.upgradeOf(run); err != nil {
		return err
	}
	if run.Attempt, err = c.nextAttempt(run); err != nil {
		return err
	}
	id, err := c.take(c.ctx, "run", 1)
	if err != nil {
		return err
	}
	run.ID, run.Rev, run.Phase = upgrade.RunID(id), 1, upgrade.PhaseQueued
	run.CreatedAt, run.Since = or(run.CreatedAt, c.now), or(run.Since, c.now)
	if run.Verdict == "" {
		run.Verdict = upgrade.VerdictClosed
	}
	doc, err := encode(docOfRun(run))
	if err != nil {
		return err
	}
	_, err = c.exec(c.ctx, `INSERT INTO runs (id, upgrade_id, project_id, stack, environment, tree, commit_name, attempt, phase,
			slot, rev, event_seq, created_at, month, doc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, 0, $11, $12, $13)`,
		int64(run.ID), int64(run.Upgrade), run.ProjectID, string(run.Stack), string(run.Environment), string(run.Tree),
		string(run.Commit), run.Attempt, string(run.Phase), slotOf(run), millis(run.CreatedAt), int(upgrade.MonthOf(run.CreatedAt)), doc)
	if err != nil {
		if c.d.unique(err) { // two at once counted to the same attempt
			return stale("another run of this upgrade and stack was started just now")
		}
		return err
	}
	if err := c.knowNew(run); err != nil {
		return err
	}
	for _, answer := range run.Answers {
		if _, err := c.answer(run.ID, answer); err != nil {
			return err
		}
	}
	for _, job := range []upgrade.JobID{upgrade.JobForRun(run.ID), upgrade.JobForStatus(run.ID)} {
		if err := makeJob(c.ctx, c.tx, job, 0); err != nil {
			return err
		}
	}
	c.due = true
	c.journal = append(c.journal, upgrade.Event{
		Run: run.ID, At: run.CreatedAt, Kind: upgrade.EventCreated, Who: upgrade.ByRule().Name, Text: run.Reason,
	})
	return nil
}

// upgradeOf finds or makes the upgrade of a run.
func (c *commit) upgradeOf(run *upgrade.Run) (upgrade.UpgradeID, error) {
	const find = `SELECT id FROM upgrades WHERE project_id = $1 AND tree = $2`
	var id int64
	err := c.row(c.ctx, find, run.ProjectID, string(run.Tree)).Scan(&id)
	if !errors.Is(err, sql.ErrNoRows) {
		return upgrade.UpgradeID(id), err
	}
	if id, err = c.take(c.ctx, "upgrade", 1); err != nil {
		return 0, err
	}
	_, err = c.exec(c.ctx, `INSERT INTO upgrades (id, project_id, project, tree, created_at) VALUES ($1, $2, $3, $4, $5)`,
		id, run.ProjectID, run.Project, string(run.Tree), millis(c.now))
	if err != nil && c.d.unique(err) {
		return 0, stale("the upgrade was made just now")
	}
	return upgrade.UpgradeID(id), err
}

// nextAttempt refuses a run beside one that is live or open, and counts.
func (c *commit) nextAttempt(run *upgrade.Run) (int, error) {
	type other struct {
		id      int64
		attempt int
		phase   upgrade.Phase
	}
	all, err := list(c.ctx, c.tx, func(scan func(...any) error) (o other, err error) {
		return o, scan(&o.id, &o.attempt, &o.phase)
	}, `SELECT id, attempt, phase FROM runs WHERE upgrade_id = $1 AND stack = $2`, int64(run.Upgrade), string(run.Stack))
	if err != nil {
		return 0, err
	}
	last := 0
	for _, o := range all {
		if o.phase.Live() || o.phase == upgrade.PhaseUnlocked {
			return 0, stale("run %d of the same upgrade and stack is %s", o.id, o.phase)
		}
		last = max(last, o.attempt)
	}
	return last + 1, nil
}

// writeRuns writes runs over.
func (c *commit) writeRuns() error {
	for i := range c.step.Runs {
		run := c.step.Runs[i]
		if err := c.writeRun(&run); err != nil {
			return fmt.Errorf("write run %d: %w", run.ID, err)
		}
	}
	return nil
}

func (c *commit) writeRun(run *upgrade.Run) error {
	old, err := c.lockRun(run)
	if err != nil {
		return err
	}
	if old.Upgrade != run.Upgrade || old.ProjectID != run.ProjectID || old.Stack != run.Stack || old.Environment != run.Environment ||
		old.Tree != run.Tree || old.Attempt != run.Attempt {
		return errors.New("upgrade, project, stack, environment, tree and attempt of a run never change")
	}
	run.CreatedAt = old.CreatedAt
	if run.Phase != old.Phase {
		if !old.Phase.CanFollow(run.Phase) {
			return fmt.Errorf("phase %q may not follow %q", run.Phase, old.Phase)
		}
		run.From = old.Phase
		if run.Since.IsZero() || run.Since.Equal(old.Since) {
			run.Since = c.now
		}
		if !old.Phase.HoldsSlot() || !run.Phase.HoldsSlot() || old.Phase.Live() != run.Phase.Live() {
			c.moved = append(c.moved, run.Stack) // within its slot it is in the same runs' way as before
		}
		if err := c.wakeTellers(run); err != nil {
			return err
		}
	}
	doc, err := encode(docOfRun(run))
	if err != nil {
		return err
	}
	_, err = c.exec(c.ctx, `UPDATE runs SET commit_name = $1, phase = $2, slot = $3, doc = $4 WHERE id = $5`,
		string(run.Commit), string(run.Phase), slotOf(run), doc, int64(run.ID))
	if err != nil && c.d.unique(err) {
		return &upgrade.Error{
			Code: upgrade.CodeBusy, Msg: fmt.Sprintf("the slot of %s on %s is taken", run.Stack, run.Environment), Cause: err,
		}
	}
	if err != nil {
		return err
	}
	if err := c.knowChanged(&old, run); err != nil {
		return err
	}
	c.tellRun(&old, run)
	return nil
}

// wakeTellers wakes whoever tells the outside of a run: its status, the notes on its merge requests, and
// production pipelines that wait for an answer.
func (c *commit) wakeTellers(run *upgrade.Run) error {
	c.wakes = append(c.wakes, upgrade.JobForStatus(run.ID))
	requests, err := list(c.ctx, c.tx, scanOne[int64],
		`SELECT DISTINCT merge_request FROM answers WHERE run_id = $1 AND merge_request <> 0`, int64(run.ID))
	if err != nil {
		return err
	}
	for _, iid := range requests {
		c.wakes = append(c.wakes, upgrade.JobForNote(run.ProjectID, iid))
	}
	questions, err := list(c.ctx, c.tx, scanOne[string],
		`SELECT id FROM verifications WHERE project_id = $1 AND state = $2`, run.ProjectID, string(upgrade.VerifyWaiting))
	for _, id := range questions {
		c.wakes = append(c.wakes, upgrade.JobFor(upgrade.JobVerify, id))
	}
	return err
}

// lockRun takes the row for this transaction if nobody wrote it since, and returns what it held.
func (c *commit) lockRun(run *upgrade.Run) (upgrade.Run, error) {
	old, err := scanRun(c.row(c.ctx, `UPDATE runs SET rev = rev + 1 WHERE id = $1 AND rev = $2 RETURNING `+runColumns,
		int64(run.ID), run.Rev).Scan)
	if !errors.Is(err, sql.ErrNoRows) {
		return old, err
	}
	var rev int64
	err = c.row(c.ctx, `SELECT rev FROM runs WHERE id = $1`, int64(run.ID)).Scan(&rev)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return old, notFound("run %d", run.ID)
	case err != nil:
		return old, err
	}
	return old, stale("run %d was written since: revision %d, not %d", run.ID, rev, run.Rev)
}

// tellRun journals what the step itself did not tell.
func (c *commit) tellRun(old, run *upgrade.Run) {
	switch {
	case run.Phase != old.Phase:
		if c.tells(run.ID, upgrade.EventPhase) {
			return
		}
		text := fmt.Sprintf("went from %s to %s", old.Phase, run.Phase)
		if run.Reason != "" && run.Reason != old.Reason {
			text = run.Reason
		}
		c.journal = append(c.journal, upgrade.Event{
			Run: run.ID, Kind: upgrade.EventPhase, Who: upgrade.ByRule().Name, Text: text,
			Data: map[string]string{"from": string(old.Phase), "to": string(run.Phase)},
		})
	case run.Reason != old.Reason && !c.tells(run.ID, upgrade.EventWaiting):
		text := run.Reason
		if text == "" {
			text = "waits no longer"
		}
		c.journal = append(c.journal, upgrade.Event{Run: run.ID, Kind: upgrade.EventWaiting, Who: upgrade.ByRule().Name, Text: text})
	}
}

// writeAnswers adds what runs answer for. The order of runs is fixed, so that two commits that wait for
// each other's rows cannot do it crosswise.
func (c *commit) writeAnswers() error {
	for _, id := range slices.Sorted(maps.Keys(c.step.Answers)) {
		var exists int
		err := c.row(c.ctx, `SELECT 1 FROM runs WHERE id = $1`, int64(id)).Scan(&exists)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("run %d", id)
		}
		if err != nil {
			return err
		}
		for _, answer := range c.step.Answers[id] {
			added, err := c.answer(id, answer)
			if err != nil {
				return err
			}
			if added && !c.tells(id, upgrade.EventAnswer) {
				c.journal = append(c.journal, answerEvent(id, answer))
			}
		}
		c.wakes = append(c.wakes, upgrade.JobForStatus(id))
	}
	return nil
}

func answerEvent(id upgrade.RunID, a upgrade.Answer) upgrade.Event {
	text, data := "answers for "+a.Ref+" too", map[string]string{"ref": a.Ref, "commit": string(a.Commit)}
	if a.MergeRequest != 0 {
		data["merge_request"] = fmt.Sprint(a.MergeRequest)
		text = fmt.Sprintf("answers for merge request !%d too", a.MergeRequest)
	}
	return upgrade.Event{Run: id, Kind: upgrade.EventAnswer, Who: upgrade.ByRule().Name, Text: text, Data: data}
}

// answer adds one answer unless the run has it.
func (c *commit) answer(id upgrade.RunID, a upgrade.Answer) (added bool, err error) {
	n, err := c.exec(c.ctx, `INSERT INTO answers (run_id, n, ref, commit_name, merge_request, at)
		SELECT $1, coalesce(max(n), 0) + 1, $2, $3, $4, $5 FROM answers WHERE run_id = $1
		ON CONFLICT (run_id, ref, commit_name, merge_request) DO NOTHING`,
		int64(id), a.Ref, string(a.Commit), a.MergeRequest, millis(or(a.At, c.now)))
	if err != nil {
		return false, fmt.Errorf("add an answer to run %d: %w", id, err)
	}
	if n == 0 {
		return false, nil
	}
	return true, know(c.ctx, c.tx, id, answerWords(a).sorted())
}
