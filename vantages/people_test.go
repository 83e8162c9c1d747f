package vantages_test

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/vantages"
)

// room is a room alone, with a clock that is moved by hand.
type room struct {
	*vantages.Room
	t   *testing.T
	db  *store.Store
	now time.Time
}

func newRoom(t *testing.T) *room {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + t.TempDir() + "/gate.db", Log: logTo(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r := &room{t: t, db: db, now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	r.restart()
	return r
}

// restart makes another room over the same store.
func (r *room) restart() {
	r.t.Helper()
	made, err := vantages.New(r.t.Context(), vantages.Config{
		Store: r.db, Names: []upgrade.AgentName{"staging-a", "staging-b"}, Now: func() time.Time { return r.now }, Log: logTo(r.t),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Room = made
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (r *room) enrol(token string, key ed25519.PrivateKey) error {
	r.t.Helper()
	body, err := json.Marshal(wire.Enrolment{Token: token, Key: key.Public().(ed25519.PublicKey), Version: "1", Host: "h"})
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = r.Enrol(r.t.Context(), body)
	return err
}

func (r *room) enrolled(name upgrade.AgentName) ed25519.PrivateKey {
	r.t.Helper()
	token, _, err := r.Invite(r.t.Context(), name, 0, manager())
	if err != nil {
		r.t.Fatal(err)
	}
	key := newKey(r.t)
	if err := r.enrol(token.Reveal(), key); err != nil {
		r.t.Fatal(err)
	}
	return key
}

// TestS9EnrolmentToken: a token is good once, for a while, for one key, and its text is nowhere kept.
func TestS9EnrolmentToken(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	token, until, err := r.Invite(t.Context(), "staging-a", 0, manager())
	if err != nil || !until.Equal(r.now.Add(time.Hour)) {
		t.Fatalf("until %s: %v", until, err)
	}
	key, other := newKey(t), newKey(t)
	refused(t, r.enrol("uga_SOMETHINGELSE", key), upgrade.CodeUnauthorized, "vantage enrol")
	refused(t, r.enrol("", key), upgrade.CodeUnauthorized)
	if err := r.enrol(token.Reveal(), key); err != nil {
		t.Fatal(err)
	}
	refused(t, r.enrol(token.Reveal(), other), upgrade.CodeUnauthorized)
	if err := r.enrol(token.Reveal(), key); err != nil { // the answer was lost
		t.Fatal(err)
	}
	r.restart()
	refused(t, r.enrol(token.Reveal(), other), upgrade.CodeUnauthorized)
	kept, err := r.db.Agents(t.Context())
	if err != nil || len(kept) != 1 || kept[0].Token == token.Reveal() || !kept[0].Enrolled() {
		t.Fatalf("kept %+v (%v)", kept, err)
	}
	second, _, err := r.Invite(t.Context(), "staging-b", 2*time.Minute, manager())
	if err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(2 * time.Minute)
	refused(t, r.enrol(second.Reveal(), key), upgrade.CodeUnauthorized)
	// Another key under the old name: the one before is void from then on, and not sooner.
	third, _, err := r.Invite(t.Context(), "staging-a", 0, manager())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.ping(key); err != nil {
		t.Errorf("the old key while the new token is open: %v", err)
	}
	if err := r.enrol(third.Reveal(), other); err != nil {
		t.Fatal(err)
	}
	refused(t, r.ping(key), upgrade.CodeUnauthorized)
	if err := r.ping(other); err != nil {
		t.Error(err)
	}
}

func TestInviteRefused(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	invite := func(name upgrade.AgentName, within time.Duration, role upgrade.Role) error {
		_, _, err := r.Invite(t.Context(), name, within, upgrade.Person{Name: "Vera", Role: role})
		return err
	}
	refused(t, invite("staging-a", 0, upgrade.RoleDeveloper), upgrade.CodeForbidden, "release manager")
	refused(t, invite("staging-c", 0, upgrade.RoleReleaseManager), upgrade.CodeNotFound, "staging-a", "staging-b")
	refused(t, invite("staging-a", time.Second, upgrade.RoleReleaseManager), upgrade.CodeInvalid)
	refused(t, invite("staging-a", 48*time.Hour, upgrade.RoleReleaseManager), upgrade.CodeInvalid)
	refused(t, r.Revoke(t.Context(), "staging-a", manager()), upgrade.CodeConflict)
	refused(t, r.Revoke(t.Context(), "staging-a", upgrade.Person{Name: "Vera", Role: upgrade.RoleDeveloper}), upgrade.CodeForbidden)
	refused(t, r.Revoke(t.Context(), "nobody", manager()), upgrade.CodeNotFound)
}

// signed is a call as it goes over the wire.
type signed struct {
	method, path string
	header       http.Header
	body         []byte
}

func (r *room) sign(key ed25519.PrivateKey, at time.Time) signed {
	s := signed{http.MethodPost, wire.PathPing, http.Header{}, []byte("{}")}
	wire.Sign(key, "staging-a", s.method, s.path, s.body, at).Write(s.header)
	return s
}

func (r *room) make(s signed) error {
	_, err := r.Call(r.t.Context(), s.method, s.path, s.header, s.body, nil)
	return err
}

func (r *room) ping(key ed25519.PrivateKey) error { return r.make(r.sign(key, r.now)) }

// TestS9AgentCalls: a call counts once, now, as it was signed, and for the agent that signed it; a restart of
// the gate makes none of that weaker.
func TestS9AgentCalls(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	key := r.enrolled("staging-a")
	good := r.sign(key, r.now)
	if err := r.make(good); err != nil {
		t.Fatal(err)
	}
	refused(t, r.make(good), upgrade.CodeUnauthorized, "made before")
	for name, change := range map[string]func(*signed){
		"method":    func(s *signed) { s.method = http.MethodPut },
		"path":      func(s *signed) { s.path = wire.PathPoll },
		"body":      func(s *signed) { s.body = []byte("{ }") },
		"time":      func(s *signed) { s.header.Set(wire.HeaderTime, "1893553446000") },
		"nonce":     func(s *signed) { s.header.Set(wire.HeaderNonce, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") },
		"agent":     func(s *signed) { s.header.Set(wire.HeaderAgent, "staging-b") },
		"signature": func(s *signed) { s.header.Set(wire.HeaderSignature, good.header.Get(wire.HeaderSignature)) },
		"unsigned":  func(s *signed) { s.header = http.Header{} },
	} {
		one := r.sign(key, r.now)
		change(&one)
		if err := r.make(one); err == nil || upgrade.CodeOf(err) != upgrade.CodeUnauthorized {
			t.Errorf("another %s: %v", name, err)
		}
	}
	refused(t, r.make(r.sign(newKey(t), r.now)), upgrade.CodeUnauthorized)
	r.now = r.now.Add(10 * time.Minute)
	for _, off := range []time.Duration{-wire.Window - time.Second, wire.Window + time.Second} {
		refused(t, r.make(r.sign(key, r.now.Add(off))), upgrade.CodeUnauthorized, "time")
	}
	for _, off := range []time.Duration{-wire.Window + time.Second, wire.Window - time.Second} {
		if err := r.make(r.sign(key, r.now.Add(off))); err != nil {
			t.Error(err)
		}
	}
	late := r.sign(key, r.now)
	r.now = r.now.Add(time.Second)
	r.restart()
	refused(t, r.make(late), upgrade.CodeUnauthorized, "time")
	if err := r.ping(key); err != nil {
		t.Fatal(err)
	}
	if err := r.Revoke(t.Context(), "staging-a", manager()); err != nil {
		t.Fatal(err)
	}
	refused(t, r.ping(key), upgrade.CodeUnauthorized, "revoked")
	r.restart()
	refused(t, r.ping(key), upgrade.CodeUnauthorized, "revoked")
}

// TestAgentCallsTooOften: a runaway agent is slowed down, and heard again when it calms down.
func TestAgentCallsTooOften(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	key := r.enrolled("staging-a")
	limited := 0
	for range 300 {
		if err := r.ping(key); err != nil {
			refused(t, err, upgrade.CodeLimited)
			limited++
		}
	}
	if limited != 100 {
		t.Errorf("%d of 300 calls were refused, want 100", limited)
	}
	r.now = r.now.Add(time.Second)
	if err := r.ping(key); err != nil {
		t.Error(err)
	}
}

func TestAgentsListed(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.enrolled("staging-b")
	if _, _, err := r.Invite(t.Context(), "staging-a", 0, manager()); err != nil {
		t.Fatal(err)
	}
	agents, err := r.Agents(t.Context())
	if err != nil || len(agents) != 2 || agents[0].Name != "staging-a" || agents[0].Enrolled() || agents[0].Token != "open" || !agents[1].Enrolled() {
		t.Errorf("got %+v (%v)", agents, err)
	}
}
