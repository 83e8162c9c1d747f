package server

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// fakeAccess keeps sessions and tokens in memory.
type fakeAccess struct {
	mu       sync.Mutex
	sessions []upgrade.Session
	tokens   []upgrade.APIToken
	fails    error
}

func (f *fakeAccess) AddSession(_ context.Context, s upgrade.Session) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sessions = append(f.sessions, s)
	return f.fails
}

func (f *fakeAccess) Session(_ context.Context, digest string) (upgrade.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		if s.Digest == digest {
			return s, f.fails
		}
	}
	if f.fails != nil {
		return upgrade.Session{}, f.fails
	}
	return upgrade.Session{}, notFound("the session")
}

func (f *fakeAccess) Sessions(_ context.Context, subject string) (all []upgrade.Session, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		if subject == "" || s.Who.Subject == subject {
			all = append(all, s)
		}
	}
	return all, f.fails
}

func (f *fakeAccess) SeeSession(_ context.Context, digest string, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.sessions {
		if f.sessions[i].Digest == digest {
			f.sessions[i].SeenAt = at
		}
	}
	return f.fails
}

func (f *fakeAccess) EndSession(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.sessions)
	f.sessions = slices.DeleteFunc(f.sessions, func(s upgrade.Session) bool { return s.ID == id })
	if len(f.sessions) == n {
		return notFound("session " + id)
	}
	return nil
}

func (f *fakeAccess) PurgeSessions(context.Context, time.Time, time.Time) error { return nil }

func (f *fakeAccess) AddToken(_ context.Context, t upgrade.APIToken) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens = append(f.tokens, t)
	return nil
}

func (f *fakeAccess) find(is func(upgrade.APIToken) bool) (upgrade.APIToken, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.tokens, is); i >= 0 {
		return f.tokens[i], nil
	}
	return upgrade.APIToken{}, notFound("the token")
}

func (f *fakeAccess) Token(_ context.Context, digest string) (upgrade.APIToken, error) {
	return f.find(func(t upgrade.APIToken) bool { return t.Digest == digest })
}

func (f *fakeAccess) TokenByID(_ context.Context, id string) (upgrade.APIToken, error) {
	return f.find(func(t upgrade.APIToken) bool { return t.ID == id })
}

func (f *fakeAccess) Tokens(_ context.Context, subject string) (all []upgrade.APIToken, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tokens {
		if subject == "" || t.Owner.Subject == subject {
			all = append(all, t)
		}
	}
	return all, nil
}

func (f *fakeAccess) UseToken(_ context.Context, used upgrade.APIToken) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.tokens {
		if f.tokens[i].Digest == used.Digest {
			f.tokens[i].UsedAt, f.tokens[i].UsedFrom = used.UsedAt, used.UsedFrom
		}
	}
	return nil
}

func (f *fakeAccess) EndToken(_ context.Context, id, by string, at time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.tokens {
		if f.tokens[i].ID == id {
			if !f.tokens[i].EndedAt.IsZero() {
				return &upgrade.Error{Code: upgrade.CodeConflict, Msg: "it was revoked already"}
			}
			f.tokens[i].EndedAt, f.tokens[i].EndedBy = at, by
		}
	}
	return nil
}

// fakeAudit keeps the audit log in memory, chained.
type fakeAudit struct {
	mu  sync.Mutex
	all []upgrade.AuditEntry
}

func (f *fakeAudit) Record(_ context.Context, e upgrade.AuditEntry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e.Seq = int64(len(f.all)) + 1
	if e.Seq > 1 {
		e.Prev = f.all[e.Seq-2].Hash
	}
	e.Hash = e.Sum()
	f.all = append(f.all, e)
	return nil
}

func (f *fakeAudit) Audit(_ context.Context, filter upgrade.AuditFilter) (out []upgrade.AuditEntry, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range slices.Backward(f.all) {
		if (filter.Who == "" || e.Who == filter.Who) && (filter.Before == 0 || e.Seq < filter.Before) && (filter.Result == "" || e.Result == filter.Result) {
			out = append(out, e)
		}
	}
	return out[:min(len(out), max(filter.Limit, 1))], nil
}

func (f *fakeAudit) WalkAudit(_ context.Context, see func(upgrade.AuditEntry) error) (head upgrade.AuditHead, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.all {
		if err := see(e); err != nil {
			return head, err
		}
		head = upgrade.AuditHead{Seq: e.Seq, Hash: e.Hash}
	}
	return head, nil
}

func (f *fakeAudit) entries() []upgrade.AuditEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}

func (f *fakeAudit) last() upgrade.AuditEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) == 0 {
		return upgrade.AuditEntry{}
	}
	return f.all[len(f.all)-1]
}
