package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/upgrade"
)

// batch is how many deliveries share a transaction at most, and so one wait for the disk.
const batch = 64

// Deliver keeps a delivery and makes the job that will find out what it means, in one transaction; both
// are on the disk when it returns. fresh is false, with a nil error, for an ID that came before: nothing
// is written then. Number is given here; Fate is FatePending whatever d says.
// When ctx ends first, the delivery may have been kept or not: sending it again is harmless.
func (s *Store) Deliver(ctx context.Context, d upgrade.Delivery) (fresh bool, err error) {
	if d.ID == "" {
		return false, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a delivery needs an id"}
	}
	hint, err := encode(d.Hint)
	if err != nil {
		return false, err
	}
	coding, body := codeBody(d.Body)
	item := &delivered{
		id: string(d.ID), done: make(chan struct{}),
		args: []any{string(d.ID), d.Event, millis(d.ReceivedAt), hint, string(upgrade.FatePending), "", "[]", coding, body},
	}
	act := upgrade.ActingOf(ctx)
	if act != nil {
		kept := *act // the inbox may go on when ctx has ended and nobody waits
		item.act = &kept
	}
	if err := s.inbox.put(ctx, item); err != nil {
		return false, fmt.Errorf("keep delivery %s: %w", d.ID, err)
	}
	if act != nil {
		*act = *item.act
	}
	return item.fresh, nil
}

// codeBody returns a body as a TEXT column of any database can hold it.
func codeBody(body []byte) (coding, text string) {
	text = string(body)
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 {
		return "text", text
	}
	return "base64", base64.StdEncoding.EncodeToString(body)
}

// delivered is one call of Deliver on its way through the inbox. fresh and err may be read once done
// is closed.
type delivered struct {
	id    string
	args  []any
	act   *upgrade.AuditEntry // told to the audit log with it; nil: nobody's act
	fresh bool
	err   error
	done  chan struct{}
}

// inbox writes deliveries in groups: everything that arrived while one transaction was on its way to
// the disk goes into the next one.
type inbox struct {
	store   *Store
	queue   chan *delivered
	closing chan struct{}
	ended   chan struct{}
	stop    func() // waits until what is queued is written; may be called twice
}

// newInbox starts an inbox. ctx must not end: callers come and go, and the others still want theirs
// written.
func newInbox(ctx context.Context, s *Store) *inbox {
	in := &inbox{
		store: s, queue: make(chan *delivered, batch),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	in.stop = sync.OnceFunc(func() {
		close(in.closing)
		<-in.ended
	})
	go in.loop(ctx)
	return in
}

// put hands one delivery over and waits until it is on the disk.
func (in *inbox) put(ctx context.Context, item *delivered) error {
	select {
	case in.queue <- item:
	case <-in.closing:
		return errClosed()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-item.done:
		return item.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-in.ended:
	}
	select { // it may have been in the last group
	case <-item.done:
		return item.err
	default:
		return errClosed()
	}
}

func errClosed() error {
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the service is stopping", Hint: "send it again"}
}

// loop writes groups until the inbox is stopped, and then what is still queued.
func (in *inbox) loop(ctx context.Context) {
	defer close(in.ended)
	for {
		select {
		case first := <-in.queue:
			in.flush(ctx, in.gather(first))
		case <-in.closing:
			for {
				select {
				case first := <-in.queue:
					in.flush(ctx, in.gather(first))
				default:
					return
				}
			}
		}
	}
}

// gather adds to the first delivery what is queued already, without waiting for more.
func (in *inbox) gather(first *delivered) []*delivered {
	group := []*delivered{first}
	for len(group) < batch {
		select {
		case next := <-in.queue:
			group = append(group, next)
		default:
			return group
		}
	}
	return group
}

// flush writes a group and tells each of its callers.
func (in *inbox) flush(ctx context.Context, group []*delivered) {
	err := in.store.update(ctx, "write deliveries", func(t tx) error { return insertAll(ctx, t, group) })
	if err == nil { // before anybody is told: who was told may look whether it was signalled
		in.store.signal()
	}
	for _, item := range group {
		item.err = err
		close(item.done)
	}
}

func insertAll(ctx context.Context, t tx, group []*delivered) (err error) {
	insert, err := t.q.PrepareContext(ctx, t.d.sql(`INSERT INTO deliveries
		(number, id, event, received_at, hint, fate, reason, runs, coding, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	insertJob, err := t.q.PrepareContext(ctx, t.d.sql(insertJob))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, insertJob.Close()) }()

	number, err := t.lock(ctx, "delivery")
	if err != nil {
		return err
	}
	job, err := t.lock(ctx, "job")
	if err != nil {
		return err
	}
	for _, item := range group {
		res, err := insert.ExecContext(ctx, append([]any{number + 1}, item.args...)...)
		if err != nil {
			return fmt.Errorf("insert delivery %s: %w", item.id, err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		if item.fresh = n == 1; !item.fresh {
			continue
		}
		number, job = number+1, job+1
		id := upgrade.JobFor(upgrade.JobIntake, item.id)
		if _, err := insertJob.ExecContext(ctx, string(id), job, string(upgrade.JobIntake), item.id, int64(0)); err != nil {
			return fmt.Errorf("insert job %s: %w", id, err)
		}
		if item.act != nil && item.act.Seq == 0 {
			if err := appendAudit(ctx, t, item.act); err != nil {
				return err
			}
		}
	}
	return errors.Join(t.set(ctx, "delivery", number), t.set(ctx, "job", job))
}
