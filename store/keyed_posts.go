package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// maxKeyedPosts is how many posts of one caller are remembered at a time.
	maxKeyedPosts = 10_000
	// forgetAtOnce is how many posts that are too old are forgotten with each new one.
	forgetAtOnce = 20
)

// BeginPost notes that a post is being worked on, unless one with that key was since then: that one is
// returned, and begun is false. What is older is forgotten. CodeLimited when the caller has more keys than are
// remembered.
func (s *Store) BeginPost(ctx context.Context, p upgrade.KeyedPost, since time.Time) (old upgrade.KeyedPost, begun bool, err error) {
	if p.Key == "" || p.Caller == "" {
		return old, false, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a post needs a key and a caller to be remembered"}
	}
	err = s.update(ctx, "remember a post", func(t tx) error {
		begun = false
		if _, err := t.exec(ctx, `DELETE FROM keyed_posts WHERE key_digest IN (SELECT key_digest FROM keyed_posts WHERE begun_at < $1 ORDER BY begun_at LIMIT $2)`, millis(since), forgetAtOnce); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM keyed_posts WHERE key_digest = $1 AND begun_at < $2`, p.Key, millis(since)); err != nil {
			return err
		}
		if old, err = scanPost(t.row(ctx, `SELECT key_digest, caller, imprint, begun_at, acted, code, body FROM keyed_posts WHERE key_digest = $1`, p.Key).Scan); !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var more int
		err := t.row(ctx, `SELECT 1 FROM keyed_posts WHERE caller = $1 AND begun_at >= $2 LIMIT 1 OFFSET $3`, p.Caller, millis(since), maxKeyedPosts-1).Scan(&more)
		switch {
		case err == nil:
			return &upgrade.Error{
				Code: upgrade.CodeLimited, Msg: fmt.Sprintf("you sent %d posts with an Idempotency-Key within a day, and no more are remembered", maxKeyedPosts),
				Hint: "send posts without a key, or wait until the oldest are forgotten", RetryAfter: time.Hour,
			}
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO keyed_posts (key_digest, caller, imprint, begun_at, acted, code, body) VALUES ($1, $2, $3, $4, 0, 0, '')`,
			p.Key, p.Caller, p.Imprint, millis(p.BegunAt))
		begun = err == nil
		return err
	})
	return old, begun, err
}

func scanPost(scan func(...any) error) (p upgrade.KeyedPost, err error) {
	var begun, acted int64
	err = scan(&p.Key, &p.Caller, &p.Imprint, &begun, &acted, &p.Code, &p.Body)
	p.BegunAt, p.Acted, p.Done = timeOf(begun), acted != 0, p.Code != 0
	return p, err
}

// notePost notes that what a post asks for is done, in the transaction that does it.
func notePost(ctx context.Context, t tx, key string) error {
	if key == "" {
		return nil
	}
	if _, err := t.exec(ctx, `UPDATE keyed_posts SET acted = 1 WHERE key_digest = $1`, key); err != nil {
		return fmt.Errorf("note that a post was done: %w", err)
	}
	return nil
}

// EndPost keeps what was answered to a post. CodeNotFound if it was forgotten meanwhile.
func (s *Store) EndPost(ctx context.Context, key string, code int, body []byte) error {
	return s.update(ctx, "keep the answer to a post", func(t tx) error {
		n, err := t.exec(ctx, `UPDATE keyed_posts SET acted = 1, code = $1, body = $2 WHERE key_digest = $3`, code, string(body), key)
		if err == nil && n == 0 {
			return notFound("the post")
		}
		return err
	})
}

// ForgetPost forgets a post that had no effect, so that the same may be tried again.
func (s *Store) ForgetPost(ctx context.Context, key string) error {
	return s.update(ctx, "forget a post", func(t tx) error {
		_, err := t.exec(ctx, `DELETE FROM keyed_posts WHERE key_digest = $1`, key)
		return err
	})
}
