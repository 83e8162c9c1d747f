package store

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Commit writes everything that one piece of work changes, in one transaction under the job's fence,
// or nothing of it. now is world time, stamped where At, CreatedAt or the Since of a new phase is zero.
//
// Besides what the step says, it keeps these rules: a run whose phase changes wakes its status job and,
// unless it goes on in its slot, the job of every queued run; a started run gets both jobs and an EventCreated; requests and answers
// wake those whom they concern. A change of phase, a new reason to wait, an added answer and a request
// are told to the journal even if the step has no event for them.
//
// Errors: CodeStale when the lease was lost, or a run, ref, hold or attempt was written by somebody else
// since it was read, or what the step was given no longer holds: look again. CodeBusy when a run needs a
// slot that is taken, or an apply is to begin while an order of an upgrade of its stack is claimed. CodeConflict for a plan
// file that was applied before. CodeNotFound for what does not exist. CodeInternal for a phase that may
// not follow: nothing was written, whatever the error.
func (s *Store) Commit(ctx context.Context, job upgrade.Job, now time.Time, step upgrade.Step) error {
	c := &commit{ctx: ctx, store: s, job: job, now: now.UTC(), step: &step}
	update := s.update
	if reflect.DeepEqual(step, upgrade.Step{Next: step.Next}) {
		update = s.updateLeases // it changes nothing but who works when
	}
	err := update(ctx, fmt.Sprintf("commit step of job %s", job.ID), func(t tx) error {
		c.tx = t
		return c.all()
	})
	if err != nil {
		return err
	}
	if c.due {
		s.signal()
	}
	if len(c.journal) > 0 || len(step.Runs) > 0 || len(step.Verifications) > 0 || len(step.Standings) > 0 || len(step.Learned) > 0 {
		s.changed.tick()
	}
	return nil
}

// commit is one Commit at work.
type commit struct {
	tx
	ctx   context.Context //nolint:containedctx // lives for one call of Commit; saves a parameter on each of its twenty helpers
	store *Store
	job   upgrade.Job
	now   time.Time
	step  *upgrade.Step

	started []upgrade.RunID // ids of step.Starts
	journal []upgrade.Event // what is appended at the end
	wakes   []upgrade.JobID
	moved   []upgrade.StackName // stacks of which a run changed its phase so that others may go
	due     bool                // some job became due
}

func (c *commit) all() error {
	// The fence first: on a database with several writers this locks the job's row to the end.
	n, err := c.exec(c.ctx, `UPDATE jobs SET attempt = 0 WHERE id = $1 AND fence = $2 AND owner <> ''`, string(c.job.ID), c.job.Fence)
	if err != nil {
		return err
	}
	if err := held(n); err != nil {
		return err
	}
	for _, write := range []func() error{
		c.checkGiven, c.writeStarts, c.writeOwnEvents, c.writeRuns, c.writeAnswers, c.writeResults, c.writeLearned, c.writeStandings, c.writeApplies, c.writeOrders,
		c.writePosted, c.writeRefs, c.writeBases, c.writeRequests, c.writeVerifications, c.writeDelivery,
		c.writeJournal, c.wakeAll, c.release,
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// writeOwnEvents takes the step's events into the journal, behind the creation of what it started and
// before what the store adds: a gate's answer comes before the phase that follows from it.
func (c *commit) writeOwnEvents() error {
	for _, event := range c.step.Events {
		if event.Run == 0 {
			if len(c.started) != 1 {
				return fmt.Errorf("event %q names no run and the step starts %d", event.Text, len(c.started))
			}
			event.Run = c.started[0]
		}
		c.journal = append(c.journal, event)
	}
	return nil
}

// tells reports whether the step itself has an event of the kind for the run.
func (c *commit) tells(run upgrade.RunID, kind upgrade.EventKind) bool {
	return slices.ContainsFunc(c.step.Events, func(e upgrade.Event) bool { return e.Run == run && e.Kind == kind })
}

// wakeAll wakes what the step names and what follows from it.
func (c *commit) wakeAll() error {
	for _, stack := range c.moved {
		if err := c.wakeQueued(stack); err != nil {
			return err
		}
	}
	ids := slices.Concat(c.wakes, c.step.Wake)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	c.due = c.due || len(ids) > 0
	return wake(c.ctx, c.tx, ids...)
}

// wakeQueued wakes the job of every queued run: they look whether their slot, or the stack that they
// come after, is free now. Those of the stack itself go first; the others, of which most look in vain,
// stand behind everything that is due already.
func (c *commit) wakeQueued(stack upgrade.StackName) error {
	const which = `id IN (SELECT 'run/' || CAST(id AS TEXT) FROM runs WHERE phase = $1 AND stack`
	for _, query := range []string{wakeWhere + which + ` = $2)`, wakeLateWhere + which + ` <> $2)`} {
		n, err := c.exec(c.ctx, query, string(upgrade.PhaseQueued), string(stack))
		if err != nil {
			return fmt.Errorf("wake queued runs: %w", err)
		}
		c.due = c.due || n > 0
	}
	return nil
}

// release does with the job what the step's Next says. A job that was woken since it was claimed does
// not wait and does not end: its holder may not have seen what it was woken for.
func (c *commit) release() error {
	at, ended := int64(0), 0
	switch c.step.Next.Do {
	case upgrade.NextKeep:
		return nil
	case upgrade.NextGo:
	case upgrade.NextPark:
		switch wake := c.step.Next.At; {
		case wake.IsZero():
			at = upgrade.Never
		case wake.After(c.now):
			at = millisUp(wake)
		}
	case upgrade.NextEnd:
		at, ended = upgrade.Never, 1
	default:
		return fmt.Errorf("job %s: no such thing as next %d", c.job.ID, c.step.Next.Do)
	}
	var wakeAt int64
	err := c.row(c.ctx, `UPDATE jobs SET owner = '', lease_until = 0, queued_at = {now},
			wake_at = CASE WHEN wakes > $1 THEN 0 ELSE $2 END,
			ended = CASE WHEN wakes > $1 THEN 0 ELSE $3 END
		WHERE id = $4 RETURNING wake_at`, c.job.Wakes, at, ended, string(c.job.ID)).Scan(&wakeAt)
	c.due = c.due || wakeAt <= millis(c.now)
	return err
}

func notFound(format string, args ...any) error {
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf(format, args...) + " does not exist"}
}

func stale(format string, args ...any) error {
	return &upgrade.Error{Code: upgrade.CodeStale, Msg: fmt.Sprintf(format, args...), Hint: "look again"}
}

// nonNil makes an empty list of nil, so that its document is [].
func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
