package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// insertJob makes a job if it is not there. Its last parameter is when it wakes; 0 is at once.
const insertJob = `INSERT INTO jobs
	(id, number, kind, subject, ended, wake_at, queued_at, attempt, fence, wakes, told, owner, lease_until)
	VALUES ($1, $2, $3, $4, 0, $5, {now}, 0, 0, 0, 0, '', 0) ON CONFLICT (id) DO NOTHING`

// Claim takes the job that has waited longest of those which are due at now (world time) and which
// nobody holds, for as long as lease (counted by the database) unless a Heartbeat prolongs it. ok is
// false when there is none.
func (s *Store) Claim(ctx context.Context, worker string, lease time.Duration, now time.Time) (job upgrade.Job, ok bool, err error) {
	if worker == "" {
		return upgrade.Job{}, false, errors.New("claim a job: the worker has no name")
	}
	// Two ways, so that neither has to sort more than a few: those due at once lie in the index in their
	// order, and of those whose time has come there are never many.
	const (
		oldest = ` AND ended = 0 AND lease_until < {now} ORDER BY queued_at, number LIMIT 1 {skip}`
		query  = `UPDATE jobs SET owner = $1, lease_until = {now} + $2, fence = fence + 1, told = wakes
			WHERE id = (SELECT id FROM (
				SELECT * FROM (SELECT id, queued_at, number FROM jobs WHERE wake_at = 0` + oldest + `) AS woken
				UNION ALL
				SELECT * FROM (SELECT id, queued_at, number FROM jobs WHERE wake_at > 0 AND wake_at <= $3` + oldest + `) AS timed
			) AS due ORDER BY queued_at, number LIMIT 1)
			RETURNING id, kind, subject, attempt, fence, wakes`
	)
	err = s.updateLeases(ctx, "claim a job", func(t tx) error {
		return t.row(ctx, query, worker, lease.Milliseconds(), millis(now)).
			Scan(&job.ID, &job.Kind, &job.Subject, &job.Attempt, &job.Fence, &job.Wakes)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return upgrade.Job{}, false, nil
	}
	return job, err == nil, err
}

// Heartbeat prolongs every lease of the worker to the given length from now on.
func (s *Store) Heartbeat(ctx context.Context, worker string, lease time.Duration) error {
	return s.updateLeases(ctx, "prolong leases", func(t tx) error {
		_, err := t.exec(ctx, `UPDATE jobs SET lease_until = {now} + $1 WHERE owner = $2 AND owner <> ''`,
			lease.Milliseconds(), worker)
		return err
	})
}

// Nudged returns the jobs that the worker holds and that were woken since their claim. Each wake-up is
// told once.
func (s *Store) Nudged(ctx context.Context, worker string) ([]upgrade.JobID, error) {
	var woken bool
	err := s.view(ctx, "look for wake-ups", func(t tx) error {
		// Asked far more often than there is an answer: it must not stand in the writer's queue.
		return t.row(ctx, `SELECT EXISTS (SELECT 1 FROM jobs WHERE owner = $1 AND owner <> '' AND wakes > told)`, worker).Scan(&woken)
	})
	if err != nil || !woken {
		return nil, err
	}
	var ids []upgrade.JobID
	err = s.updateLeases(ctx, "take wake-ups", func(t tx) error {
		ids, err = list(ctx, t, scanOne[upgrade.JobID],
			`UPDATE jobs SET told = wakes WHERE owner = $1 AND owner <> '' AND wakes > told RETURNING id`, worker)
		return err
	})
	return ids, err
}

func scanOne[T any](scan func(...any) error) (one T, err error) {
	err = scan(&one)
	return one, err
}

// Retry gives the job back, to be tried once more at the given world time, or at once if that is zero or
// the job was woken since the claim. Error: CodeStale if the lease was lost.
func (s *Store) Retry(ctx context.Context, job upgrade.Job, at time.Time) error {
	err := s.updateLeases(ctx, fmt.Sprintf("give back job %s", job.ID), func(t tx) error {
		n, err := t.exec(ctx, `UPDATE jobs SET attempt = attempt + 1, owner = '', lease_until = 0, queued_at = {now},
				wake_at = CASE WHEN wakes > $1 THEN 0 ELSE $2 END
			WHERE id = $3 AND fence = $4 AND owner <> ''`,
			job.Wakes, millisUp(at), string(job.ID), job.Fence)
		if err != nil {
			return err
		}
		return held(n)
	})
	if err == nil {
		s.signal()
	}
	return err
}

// held turns the number of job rows that a fenced statement changed into an error.
func held(n int64) error {
	if n == 0 {
		return &upgrade.Error{Code: upgrade.CodeStale, Msg: "the lease was lost: somebody else holds the job, or nobody"}
	}
	return nil
}

// NextWake returns the earliest world time at which a job that nobody holds becomes due. It may have
// passed: then the job is due. ok is false when every such job only waits to be woken.
func (s *Store) NextWake(ctx context.Context) (at time.Time, ok bool, err error) {
	var wake sql.NullInt64
	err = s.view(ctx, "look for the next wake time", func(t tx) error {
		return t.row(ctx, `SELECT min(wake_at) FROM jobs WHERE ended = 0 AND lease_until < {now} AND wake_at < $1`,
			int64(upgrade.Never)).Scan(&wake)
	})
	if err != nil || !wake.Valid {
		return time.Time{}, false, err
	}
	return time.UnixMilli(wake.Int64).UTC(), true, nil
}

// Recover ends every lease and returns how many there were. It may be called only before any work is
// claimed: the lock of the file proves that their holders are dead. Fences stay, so nothing that a
// holder left behind can be written.
func (s *Store) Recover(ctx context.Context) (int, error) {
	var n int64
	err := s.update(ctx, "end the leases of dead processes", func(t tx) (err error) {
		n, err = t.exec(ctx, `UPDATE jobs SET owner = '', lease_until = 0 WHERE owner <> ''`)
		return err
	})
	return int(n), err
}

// Ensure makes a status, note or periodic job that is due at the given world time, unless it is there
// already; one that has ended begins anew. Error: CodeInvalid for other kinds.
func (s *Store) Ensure(ctx context.Context, id upgrade.JobID, at time.Time) error {
	kind, subject := splitJob(id)
	if !selfMade(kind) || subject == "" {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("job %q is neither of kind status, note nor periodic", id)}
	}
	err := s.update(ctx, fmt.Sprintf("make job %s", id), func(t tx) error {
		if err := makeJob(ctx, t, id, millis(at)); err != nil {
			return err
		}
		_, err := t.exec(ctx, `UPDATE jobs SET ended = 0, attempt = 0, wake_at = $1, queued_at = {now} WHERE id = $2 AND ended <> 0`,
			millis(at), string(id))
		return err
	})
	if err == nil {
		s.signal()
	}
	return err
}

// Wake makes the jobs due at once. Those that are held are looked at again when their holder is done,
// whatever it decides. Unknown ones are made if they are of kind status, note or periodic, else passed over.
func (s *Store) Wake(ctx context.Context, ids ...upgrade.JobID) error {
	err := s.update(ctx, "wake jobs", func(t tx) error { return wake(ctx, t, ids...) })
	if err == nil {
		s.signal()
	}
	return err
}

// wake is Wake in a transaction. A job that is due at once already keeps its place in the queue: jobs
// that are woken often must not be pushed back by it for ever.
func wake(ctx context.Context, t tx, ids ...upgrade.JobID) error {
	for _, id := range ids {
		n, err := t.exec(ctx, wakeWhere+`id = $1`, string(id))
		if err != nil {
			return fmt.Errorf("wake job %s: %w", id, err)
		}
		if kind, subject := splitJob(id); n == 0 && selfMade(kind) && subject != "" {
			if err := makeJob(ctx, t, id, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	wakeWhere = `UPDATE jobs SET wakes = wakes + 1, ended = 0, wake_at = 0,
		queued_at = CASE WHEN wake_at = 0 AND ended = 0 THEN queued_at ELSE {now} END WHERE `
	// wakeLateWhere is the same for jobs that let others go first for a second.
	wakeLateWhere = `UPDATE jobs SET wakes = wakes + 1, ended = 0, wake_at = 0,
		queued_at = CASE WHEN wake_at = 0 AND ended = 0 THEN queued_at ELSE {now} + 1000 END WHERE `
)

// makeJob makes a job unless it is there.
func makeJob(ctx context.Context, t tx, id upgrade.JobID, wakeAt int64) error {
	number, err := t.take(ctx, "job", 1)
	if err != nil {
		return err
	}
	kind, subject := splitJob(id)
	if _, err := t.exec(ctx, insertJob, string(id), number, string(kind), subject, wakeAt); err != nil {
		return fmt.Errorf("insert job %s: %w", id, err)
	}
	return nil
}

// selfMade reports whether jobs of the kind may be made by whoever needs them.
func selfMade(kind upgrade.JobKind) bool {
	return kind == upgrade.JobStatus || kind == upgrade.JobNote || kind == upgrade.JobPeriodic
}

// splitJob is the inverse of upgrade.JobFor. A subject may have slashes, a kind has none.
func splitJob(id upgrade.JobID) (upgrade.JobKind, string) {
	kind, subject, _ := strings.Cut(string(id), "/")
	return upgrade.JobKind(kind), subject
}
