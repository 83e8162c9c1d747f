package store

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

type agentDoc struct {
	InvitedBy   string        `json:"invited_by,omitempty"`
	InvitedAt   time.Time     `json:"invited_at,omitzero"`
	RevokedBy   string        `json:"revoked_by,omitempty"`
	Version     string        `json:"version,omitempty"`
	Host        string        `json:"host,omitempty"`
	Allow       []string      `json:"allow,omitempty"`
	MaxRate     float64       `json:"max_rate,omitempty"`
	MaxDuration time.Duration `json:"max_duration_ns,omitempty"`
	Offset      time.Duration `json:"offset_ns,omitempty"`
	RTT         time.Duration `json:"rtt_ns,omitempty"`
	MeasuredAt  time.Time     `json:"measured_at,omitzero"`
}

// SaveAgent keeps an agent, whatever was kept of it before. CodeInvalid without a name.
func (s *Store) SaveAgent(ctx context.Context, a upgrade.Agent) error {
	if a.Name == "" {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "an agent needs a name"}
	}
	f := a.Facts
	doc, err := encode(agentDoc{
		InvitedBy: a.InvitedBy, InvitedAt: a.InvitedAt.UTC(), RevokedBy: a.RevokedBy, Version: f.Version, Host: f.Host, Allow: f.Allow,
		MaxRate: f.MaxRate, MaxDuration: f.MaxDuration, Offset: f.Offset, RTT: f.RTT, MeasuredAt: f.MeasuredAt.UTC(),
	})
	if err != nil {
		return err
	}
	return s.update(ctx, fmt.Sprintf("keep agent %s", a.Name), func(t tx) error {
		_, err := t.exec(ctx, `INSERT INTO agents (name, public_key, token, token_until, enrolled_at, revoked_at, heard_at, doc)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (name) DO UPDATE SET public_key = excluded.public_key, token = excluded.token, token_until = excluded.token_until,
				enrolled_at = excluded.enrolled_at, revoked_at = excluded.revoked_at, heard_at = excluded.heard_at, doc = excluded.doc`,
			string(a.Name), base64.StdEncoding.EncodeToString(a.Key), a.Token, millis(a.TokenUntil), millis(a.EnrolledAt), millis(a.RevokedAt), millis(a.HeardAt), doc)
		return err
	})
}

// Agents returns every agent that was ever invited, by name.
func (s *Store) Agents(ctx context.Context) (agents []upgrade.Agent, err error) {
	err = s.view(ctx, "read the agents", func(t tx) (err error) {
		agents, err = list(ctx, t, scanAgent, `SELECT name, public_key, token, token_until, enrolled_at, revoked_at, heard_at, doc FROM agents ORDER BY name`)
		return err
	})
	return agents, err
}

func scanAgent(scan func(...any) error) (a upgrade.Agent, err error) {
	var until, enrolled, revoked, heard int64
	var key, text string
	if err := scan(&a.Name, &key, &a.Token, &until, &enrolled, &revoked, &heard, &text); err != nil {
		return a, err
	}
	a.TokenUntil, a.EnrolledAt, a.RevokedAt, a.HeardAt = timeOf(until), timeOf(enrolled), timeOf(revoked), timeOf(heard)
	if key != "" {
		if a.Key, err = base64.StdEncoding.DecodeString(key); err != nil {
			return a, fmt.Errorf("decode the key of agent %s: %w", a.Name, err)
		}
	}
	var doc agentDoc
	if err := decode(text, &doc); err != nil {
		return a, err
	}
	a.InvitedBy, a.InvitedAt, a.RevokedBy = doc.InvitedBy, doc.InvitedAt, doc.RevokedBy
	a.Facts = upgrade.AgentFacts{
		Version: doc.Version, Host: doc.Host, Allow: doc.Allow, MaxRate: doc.MaxRate, MaxDuration: doc.MaxDuration,
		Offset: doc.Offset, RTT: doc.RTT, MeasuredAt: doc.MeasuredAt,
	}
	return a, nil
}

// OpenStream keeps that a stream is asked of an agent, and returns what is kept of it since it was asked for
// first: a second asking changes nothing, unless it begins anew. CodeInvalid without an id or a time;
// CodeConflict when another agent was asked for it.
func (s *Store) OpenStream(ctx context.Context, o upgrade.AgentOpen, anew bool) (kept upgrade.AgentOpen, err error) {
	if o.ID == "" || o.Begun.IsZero() {
		return o, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a stream needs an id and a time"}
	}
	err = s.update(ctx, "keep that a stream is asked for", func(t tx) error {
		if anew {
			if _, err := t.exec(ctx, `DELETE FROM agent_streams WHERE id = $1`, o.ID); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `INSERT INTO agent_streams (id, agent, begun_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`,
			o.ID, string(o.Agent), millis(o.Begun)); err != nil {
			return err
		}
		var begun int64
		if err := t.row(ctx, `SELECT id, agent, begun_at FROM agent_streams WHERE id = $1`, o.ID).Scan(&kept.ID, &kept.Agent, &begun); err != nil {
			return err
		}
		kept.Begun = timeOf(begun)
		if kept.Agent != o.Agent {
			return &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("the stream %s was asked of agent %s, not of %s", o.ID, kept.Agent, o.Agent)}
		}
		return nil
	})
	return kept, err
}

// ForgetStreams removes streams that were asked for before that time.
func (s *Store) ForgetStreams(ctx context.Context, before time.Time) error {
	return s.update(ctx, "forget old streams", func(t tx) error {
		_, err := t.exec(ctx, `DELETE FROM agent_streams WHERE begun_at < $1`, millis(before))
		return err
	})
}
