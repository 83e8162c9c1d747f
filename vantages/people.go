package vantages

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
)

// DefaultInvitation is how long a token may be used unless said otherwise.
const DefaultInvitation = time.Hour

// The bounds of how long a token may be used.
const (
	shortestInvitation = time.Minute
	longestInvitation  = 24 * time.Hour
)

// tokenMark begins every token, so that scanners for secrets know one.
const tokenMark = "uga_"

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Invite makes a token with which an agent may enrol once. An agent that is enrolled under the name stays so
// until the token is used. Only the token's digest is kept. CodeForbidden, CodeNotFound, CodeInvalid.
func (r *Room) Invite(ctx context.Context, name upgrade.AgentName, within time.Duration, by upgrade.Person) (upgrade.Secret, time.Time, error) {
	if err := upgrade.May(by, upgrade.ActInvite, upgrade.Object{Name: "vantage " + string(name)}); err != nil {
		return "", time.Time{}, err
	}
	if within == 0 {
		within = DefaultInvitation
	}
	if within < shortestInvitation || within > longestInvitation {
		return "", time.Time{}, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("a token is good for between %s and %s, not %s", shortestInvitation, longestInvitation, within)}
	}
	if !r.configured(name) {
		return "", time.Time{}, r.unknown(name)
	}
	token := tokenMark + rand.Text()
	now := r.now()
	until := now.Add(within).UTC().Truncate(time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.agents[name]
	row := a.row
	row.Token, row.TokenUntil, row.InvitedBy, row.InvitedAt = tokenHash(token), until, by.Name, now.UTC().Truncate(time.Millisecond)
	if err := r.cfg.Store.SaveAgent(ctx, row); err != nil {
		return "", time.Time{}, fmt.Errorf("keep the invitation of %s: %w", name, err)
	}
	a.row = row
	r.cfg.Log.InfoContext(ctx, "agent invited", "agent", string(name), "by", by.Name, "until", until)
	return upgrade.Secret(token), until, nil
}

// Revoke shuts an agent out, and ends what it was asked for; an open token is void too. It can be invited
// again. CodeForbidden, CodeNotFound, CodeConflict when there is nothing to revoke.
func (r *Room) Revoke(ctx context.Context, name upgrade.AgentName, by upgrade.Person) error {
	if err := upgrade.May(by, upgrade.ActRevokeAgent, upgrade.Object{Name: "vantage " + string(name)}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.agents[name]
	if a == nil {
		return r.unknown(name)
	}
	if !a.row.Enrolled() && a.row.Token == "" {
		return &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("agent %s is not enrolled", name)}
	}
	row := a.row
	row.Token, row.TokenUntil = "", time.Time{}
	row.RevokedBy, row.RevokedAt = by.Name, r.now().UTC().Truncate(time.Millisecond)
	if err := r.cfg.Store.SaveAgent(ctx, row); err != nil {
		return fmt.Errorf("revoke %s: %w", name, err)
	}
	a.row = row
	for _, w := range a.works {
		w.tellLocked()
	}
	a.changedLocked()
	r.cfg.Log.InfoContext(ctx, "agent revoked", "agent", string(name), "by", by.Name)
	return nil
}

// Agents lists the vantages that agents are, enrolled or not, and agents that are no longer configured, by name.
func (r *Room) Agents(context.Context) ([]upgrade.Agent, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]upgrade.Agent, 0, len(r.agents))
	for _, a := range r.agents {
		row := a.row
		if row.TokenUntil.Before(r.now()) {
			row.Token, row.TokenUntil = "", time.Time{}
		}
		if row.Token != "" {
			row.Token = "open" // its digest is nobody's business
		}
		row.Facts.Allow = slices.Clone(row.Facts.Allow)
		row.Unlisted, row.Watches = !r.configured(row.Name), a.watches()
		list = append(list, row)
	}
	slices.SortFunc(list, func(x, y upgrade.Agent) int { return strings.Compare(string(x.Name), string(y.Name)) })
	return list, nil
}

// watches lists the streams that are wanted of an agent.
func (a *agent) watches() []upgrade.AgentWatch {
	var list []upgrade.AgentWatch
	for _, w := range a.works {
		if of := w.order.Stream; of != nil && !w.order.Stop {
			list = append(list, upgrade.AgentWatch{Target: cmp.Or(of.Target, of.Path.URL), Stream: of.Name, Since: w.since.UTC()})
		}
	}
	slices.SortFunc(list, func(x, y upgrade.AgentWatch) int {
		return cmp.Or(x.Since.Compare(y.Since), strings.Compare(x.Target, y.Target), strings.Compare(x.Stream, y.Stream))
	})
	return list
}

// Enrol answers the call of an agent that shows a token and its public key. The token is good once, though the
// same agent may ask again with it when the answer was lost. CodeUnauthorized, CodeInvalid.
func (r *Room) Enrol(ctx context.Context, body []byte) (any, error) {
	var in wire.Enrolment
	if err := wire.Lenient(body, &in); err != nil {
		return nil, err
	}
	if len(in.Key) != keySize || !strings.HasPrefix(in.Token, tokenMark) || len(in.Token) > 64 || len(in.Version) > 256 || len(in.Host) > 256 {
		return nil, badToken()
	}
	hash, now := tokenHash(in.Token), r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, a := range r.agents {
		if a.row.Token != hash || !now.Before(a.row.TokenUntil) || !r.configured(name) {
			continue
		}
		spent := a.row.EnrolledAt.After(a.row.InvitedAt)
		if spent && string(a.row.Key) != string(in.Key) {
			return nil, badToken()
		}
		row := a.row
		row.Key, row.RevokedAt, row.RevokedBy = in.Key, time.Time{}, ""
		row.EnrolledAt = laterThan(now, row.InvitedAt)
		row.Facts = upgrade.AgentFacts{Version: wire.Clip(in.Version), Host: wire.Clip(in.Host)}
		if err := r.cfg.Store.SaveAgent(ctx, row); err != nil {
			return nil, fmt.Errorf("enrol %s: %w", name, err)
		}
		a.row, a.nonces = row, map[string]time.Time{}
		r.cfg.Log.InfoContext(ctx, "agent enrolled", "agent", string(name), "host", row.Facts.Host, "version", row.Facts.Version, "key", wire.Fingerprint(in.Key))
		return wire.Enrolled{Name: name, Now: now.UnixMilli()}, nil
	}
	return nil, badToken()
}

// laterThan returns a time in whole milliseconds that is after the other.
func laterThan(now, other time.Time) time.Time {
	now = now.UTC().Truncate(time.Millisecond)
	if !now.After(other) {
		now = other.Add(time.Millisecond)
	}
	return now
}

func badToken() error {
	return &upgrade.Error{
		Code: upgrade.CodeUnauthorized, Msg: "the token is not known, was used, or has ended", Hint: "make another with `upgradegate vantage enrol NAME`",
	}
}
