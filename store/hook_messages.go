package store

import (
	"context"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const messageColumns = `id, hook, event_id, run_id, type, state, tries, made_at, next_at, tried_at, answer`

// QueueMessages says that a subscription was looked at up to the event to, and queues what it wants of those
// since the event from, in their order, all at once; IDs are given here. CodeStale if from is not where the
// subscription was.
func (s *Store) QueueMessages(ctx context.Context, hook upgrade.HookName, from, to int64, messages []upgrade.HookMessage) error {
	return s.update(ctx, fmt.Sprintf("queue messages of the subscription %s", hook), func(t tx) error {
		n, err := t.exec(ctx, `UPDATE hooks SET last_event = $1 WHERE name = $2 AND last_event = $3`, to, string(hook), from)
		if err != nil {
			return err
		}
		if n == 0 {
			return &upgrade.Error{Code: upgrade.CodeStale, Msg: fmt.Sprintf("the subscription %s is not at event %d any more", hook, from)}
		}
		if len(messages) == 0 {
			return nil
		}
		id, err := t.take(ctx, "hook_message", len(messages))
		if err != nil {
			return err
		}
		for i, m := range messages {
			_, err := t.exec(ctx, `INSERT INTO hook_messages (`+messageColumns+`) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, 0, '')`,
				id+int64(i), string(hook), m.Event, int64(m.Run), m.Type, string(upgrade.MessagePending), millis(m.MadeAt), millis(m.NextAt))
			if err != nil {
				return fmt.Errorf("queue event %d: %w", m.Event, err)
			}
		}
		return nil
	})
}

// NextMessages returns the messages of a subscription that may be tried next, by time: of each run the oldest
// one that is pending.
func (s *Store) NextMessages(ctx context.Context, hook upgrade.HookName, limit int) (messages []upgrade.HookMessage, err error) {
	err = s.view(ctx, fmt.Sprintf("read what goes to the subscription %s", hook), func(t tx) error {
		messages, err = list(ctx, t, scanMessage, `SELECT `+messageColumns+` FROM hook_messages WHERE id IN
			(SELECT min(id) FROM hook_messages WHERE hook = $1 AND state = 'pending' GROUP BY run_id)
			ORDER BY next_at, id LIMIT $2`, string(hook), limit)
		return err
	})
	return messages, err
}

// NoteMessage writes down what came of a message. was is how often it had been tried when it was read:
// CodeStale when somebody else noted something since, or it is gone.
func (s *Store) NoteMessage(ctx context.Context, m upgrade.HookMessage, was int) error {
	return s.update(ctx, fmt.Sprintf("note what came of message %d", m.ID), func(t tx) error {
		n, err := t.exec(ctx, `UPDATE hook_messages SET state = $1, tries = $2, made_at = $3, next_at = $4, tried_at = $5, answer = $6 WHERE id = $7 AND tries = $8`,
			string(m.State), m.Tries, millis(m.MadeAt), millisUp(m.NextAt), millis(m.TriedAt), m.Answer, m.ID, was)
		if err == nil && n == 0 {
			return &upgrade.Error{Code: upgrade.CodeStale, Msg: fmt.Sprintf("message %d was tried by somebody else meanwhile, or is gone", m.ID)}
		}
		return err
	})
}

// HookMessage returns one message of a subscription. CodeNotFound.
func (s *Store) HookMessage(ctx context.Context, hook upgrade.HookName, id int64) (m upgrade.HookMessage, err error) {
	err = s.view(ctx, fmt.Sprintf("read message %d", id), func(t tx) error {
		found, err := list(ctx, t, scanMessage, `SELECT `+messageColumns+` FROM hook_messages WHERE id = $1 AND hook = $2`, id, string(hook))
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return notFound("message %d of the subscription %s", id, hook)
		}
		m = found[0]
		return nil
	})
	return m, err
}

// HookMessages returns the messages that the filter chooses, newest first.
func (s *Store) HookMessages(ctx context.Context, f upgrade.MessageFilter) (messages []upgrade.HookMessage, err error) {
	var w where
	w.add(true, `hook = ?`, string(f.Hook))
	w.in(`state`, texts(f.States)...)
	w.add(f.Before != 0, `id < ?`, f.Before)
	query := `SELECT ` + messageColumns + ` FROM hook_messages` + w.String() + ` ORDER BY id DESC LIMIT ` + w.param(limit(f.Limit, 50, 500))
	err = s.view(ctx, "list messages", func(t tx) error {
		messages, err = list(ctx, t, scanMessage, query, w.args...)
		return err
	})
	return messages, err
}

// PurgeMessages removes messages that are not pending and were made before the time; it returns how many.
func (s *Store) PurgeMessages(ctx context.Context, before time.Time) (int, error) {
	var n int64
	err := s.update(ctx, "remove old messages", func(t tx) (err error) {
		n, err = t.exec(ctx, `DELETE FROM hook_messages WHERE id IN
			(SELECT id FROM hook_messages WHERE state <> 'pending' AND made_at < $1 ORDER BY made_at LIMIT 5000)`, millis(before))
		return err
	})
	return int(n), err
}

func scanMessage(scan func(...any) error) (m upgrade.HookMessage, err error) {
	var made, next, tried int64
	err = scan(&m.ID, &m.Hook, &m.Event, &m.Run, &m.Type, &m.State, &m.Tries, &made, &next, &tried, &m.Answer)
	m.MadeAt, m.NextAt, m.TriedAt = timeOf(made), timeOf(next), timeOf(tried)
	return m, err
}
