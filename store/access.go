package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

type sessionDoc struct {
	Who     upgrade.Identity `json:"who"`
	From    string           `json:"from,omitempty"`
	Browser string           `json:"browser,omitempty"`
	Proof   string           `json:"proof,omitempty"`
}

type tokenDoc struct {
	Name     string           `json:"name"`
	Owner    upgrade.Identity `json:"owner"`
	Role     upgrade.Role     `json:"role"`
	Projects []string         `json:"projects,omitempty"`
	UsedFrom string           `json:"used_from,omitempty"`
	EndedBy  string           `json:"ended_by,omitempty"`
}

// AddSession keeps a session that begins. CodeInvalid without a digest, an id or a subject.
func (s *Store) AddSession(ctx context.Context, n upgrade.Session) error {
	if n.Digest == "" || n.ID == "" || n.Who.Subject == "" {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a session needs a digest, an id and a subject"}
	}
	doc, err := encode(sessionDoc{Who: n.Who, From: n.From, Browser: n.Browser, Proof: n.Proof})
	if err != nil {
		return err
	}
	return s.update(ctx, "begin a session", func(t tx) error {
		_, err := t.exec(ctx, `INSERT INTO sessions (digest, id, subject, begun_at, seen_at, ends_at, doc) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			n.Digest, n.ID, n.Who.Subject, millis(n.BegunAt), millis(n.SeenAt), millis(n.EndsAt), doc)
		return err
	})
}

const sessionQuery = `SELECT digest, id, begun_at, seen_at, ends_at, doc FROM sessions`

func scanSession(scan func(...any) error) (n upgrade.Session, err error) {
	var begun, seen, ends int64
	var text string
	if err := scan(&n.Digest, &n.ID, &begun, &seen, &ends, &text); err != nil {
		return n, err
	}
	n.BegunAt, n.SeenAt, n.EndsAt = timeOf(begun), timeOf(seen), timeOf(ends)
	var doc sessionDoc
	err = decode(text, &doc)
	n.Who, n.From, n.Browser, n.Proof = doc.Who, doc.From, doc.Browser, doc.Proof
	return n, err
}

// Session returns the session of that digest, whether or not its time is over. CodeNotFound.
func (s *Store) Session(ctx context.Context, digest string) (n upgrade.Session, err error) {
	err = s.view(ctx, "read a session", func(t tx) (err error) {
		n, err = scanSession(t.row(ctx, sessionQuery+` WHERE digest = $1`, digest).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("the session")
		}
		return err
	})
	return n, err
}

// maxAccess is how many sessions or tokens are listed, the newest; a subject has no more than 50 tokens that count.
const maxAccess = 10_000

// Sessions returns the sessions of a subject, of everybody for "", the newest first, at most 10,000.
func (s *Store) Sessions(ctx context.Context, subject string) (all []upgrade.Session, err error) {
	err = s.view(ctx, "list sessions", func(t tx) (err error) {
		all, err = list(ctx, t, scanSession, sessionQuery+` WHERE $1 = '' OR subject = $1 ORDER BY begun_at DESC, id LIMIT $2`, subject, maxAccess)
		return err
	})
	return all, err
}

// SeeSession notes that a session was used. It does not wait for the disk.
func (s *Store) SeeSession(ctx context.Context, digest string, at time.Time) error {
	return s.updateLeases(ctx, "note that a session was used", func(t tx) error {
		_, err := t.exec(ctx, `UPDATE sessions SET seen_at = $1 WHERE digest = $2 AND seen_at < $1`, millis(at), digest)
		return err
	})
}

// EndSession ends a session. CodeNotFound.
func (s *Store) EndSession(ctx context.Context, id string) error {
	return s.update(ctx, "end a session", func(t tx) error {
		n, err := t.exec(ctx, `DELETE FROM sessions WHERE id = $1`, id)
		if err == nil && n == 0 {
			return notFound("session %s", id)
		}
		return err
	})
}

// PurgeSessions removes sessions that were over or unused before then.
func (s *Store) PurgeSessions(ctx context.Context, ended, unused time.Time) error {
	return s.update(ctx, "purge sessions", func(t tx) error {
		_, err := t.exec(ctx, `DELETE FROM sessions WHERE ends_at < $1 OR seen_at < $2`, millis(ended), millis(unused))
		return err
	})
}

// AddToken keeps a new API token. CodeInvalid without a digest, an id or an owner.
func (s *Store) AddToken(ctx context.Context, n upgrade.APIToken) error {
	if n.Digest == "" || n.ID == "" || n.Owner.Subject == "" {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a token needs a digest, an id and an owner"}
	}
	doc, err := encode(docOfToken(n))
	if err != nil {
		return err
	}
	return s.update(ctx, "keep a token", func(t tx) error {
		_, err := t.exec(ctx, `INSERT INTO api_tokens (digest, id, subject, made_at, ends_at, used_at, ended_at, doc) VALUES ($1, $2, $3, $4, $5, 0, 0, $6)`,
			n.Digest, n.ID, n.Owner.Subject, millis(n.MadeAt), millis(n.EndsAt), doc)
		return err
	})
}

func docOfToken(n upgrade.APIToken) tokenDoc {
	return tokenDoc{Name: n.Name, Owner: n.Owner, Role: n.Role, Projects: n.Projects, UsedFrom: n.UsedFrom, EndedBy: n.EndedBy}
}

const tokenQuery = `SELECT digest, id, made_at, ends_at, used_at, ended_at, doc FROM api_tokens`

func scanToken(scan func(...any) error) (n upgrade.APIToken, err error) {
	var made, ends, used, ended int64
	var text string
	if err := scan(&n.Digest, &n.ID, &made, &ends, &used, &ended, &text); err != nil {
		return n, err
	}
	n.MadeAt, n.EndsAt, n.UsedAt, n.EndedAt = timeOf(made), timeOf(ends), timeOf(used), timeOf(ended)
	var doc tokenDoc
	err = decode(text, &doc)
	n.Name, n.Owner, n.Role, n.Projects, n.UsedFrom, n.EndedBy = doc.Name, doc.Owner, doc.Role, doc.Projects, doc.UsedFrom, doc.EndedBy
	return n, err
}

// Token returns the API token of that digest, whether or not it still counts. CodeNotFound.
func (s *Store) Token(ctx context.Context, digest string) (upgrade.APIToken, error) {
	return s.token(ctx, ` WHERE digest = $1`, digest)
}

// TokenByID returns the API token of that id, whether or not it still counts. CodeNotFound.
func (s *Store) TokenByID(ctx context.Context, id string) (upgrade.APIToken, error) {
	return s.token(ctx, ` WHERE id = $1`, id)
}

func (s *Store) token(ctx context.Context, where, arg string) (n upgrade.APIToken, err error) {
	err = s.view(ctx, "read a token", func(t tx) (err error) {
		n, err = scanToken(t.row(ctx, tokenQuery+where, arg).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("the token")
		}
		return err
	})
	return n, err
}

// Tokens returns the API tokens of a subject, of everybody for "", the newest first, at most 10,000.
func (s *Store) Tokens(ctx context.Context, subject string) (all []upgrade.APIToken, err error) {
	err = s.view(ctx, "list tokens", func(t tx) (err error) {
		all, err = list(ctx, t, scanToken, tokenQuery+` WHERE $1 = '' OR subject = $1 ORDER BY made_at DESC, id LIMIT $2`, subject, maxAccess)
		return err
	})
	return all, err
}

// UseToken notes that a token was used.
func (s *Store) UseToken(ctx context.Context, n upgrade.APIToken) error {
	doc, err := encode(docOfToken(n))
	if err != nil {
		return err
	}
	return s.updateLeases(ctx, "note that a token was used", func(t tx) error {
		_, err := t.exec(ctx, `UPDATE api_tokens SET used_at = $1, doc = $2 WHERE digest = $3 AND used_at < $1 AND ended_at = 0`, millis(n.UsedAt), doc, n.Digest)
		return err
	})
}

// EndToken revokes a token, for good. CodeNotFound; CodeConflict if it was revoked before.
func (s *Store) EndToken(ctx context.Context, id, by string, at time.Time) error {
	return s.update(ctx, "revoke a token", func(t tx) error {
		n, err := scanToken(t.row(ctx, tokenQuery+` WHERE id = $1`, id).Scan)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return notFound("token %s", id)
		case err != nil:
			return err
		case !n.EndedAt.IsZero():
			return &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("token %s was revoked by %s already", id, n.EndedBy)}
		}
		n.EndedBy = by
		doc, err := encode(docOfToken(n))
		if err == nil {
			_, err = t.exec(ctx, `UPDATE api_tokens SET ended_at = $1, doc = $2 WHERE id = $3`, millis(at), doc, id)
		}
		return err
	})
}
