package server

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// memberships says who is in which group, and may change.
type memberships struct {
	mu    sync.Mutex
	level int
	fails error
}

func (m *memberships) GroupLevel(_ context.Context, _ string, _ int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.level, m.fails
}

func (m *memberships) ProjectLevel(context.Context, string, int64) (int, error) { return 0, nil }

func (m *memberships) set(level int, fails error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.level, m.fails = level, fails
}

// TestOpenStreamsEnd: whoever may not come in any more reads no further, however long ago the stream was opened.
func TestOpenStreamsEnd(t *testing.T) {
	const cookie, token = "value-of-the-cookie", tokenPrefix + "value-of-the-token"
	session := map[string]string{"Cookie": hostPrefix + sessionCookie + "=" + cookie}
	bearer := map[string]string{"Authorization": "Bearer " + token}
	for name, test := range map[string]struct {
		header map[string]string
		change func(t *testing.T, s *site, access *fakeAccess, m *memberships)
		within time.Duration // after which it has ended
		stays  bool
	}{
		"session_revoked_here": {session, func(_ *testing.T, s *site, _ *fakeAccess, _ *memberships) {
			s.do("POST", "/api/v1/sessions/s1/revoke", managerToken, "{}")
		}, 0, false},
		"signed_out": {session, func(_ *testing.T, s *site, _ *fakeAccess, _ *memberships) {
			s.do("POST", "/logout", "", "", "Cookie", hostPrefix+sessionCookie+"="+cookie)
		}, 0, false},
		"token_revoked_here": {bearer, func(_ *testing.T, s *site, _ *fakeAccess, _ *memberships) {
			s.do("POST", "/api/v1/tokens/t1/revoke", managerToken, "{}")
		}, 0, false},
		"session_revoked_elsewhere": {session, func(t *testing.T, _ *site, access *fakeAccess, _ *memberships) {
			t.Helper()
			if err := access.EndSession(t.Context(), "s1"); err != nil {
				t.Error(err)
			}
		}, lookAgain, false},
		"token_revoked_elsewhere": {bearer, func(t *testing.T, _ *site, access *fakeAccess, _ *memberships) {
			t.Helper()
			if err := access.EndToken(t.Context(), "t1", "Mira", time.Now()); err != nil {
				t.Error(err)
			}
		}, lookAgain, false},
		"session_idle":    {session, func(*testing.T, *site, *fakeAccess, *memberships) {}, 30*time.Minute + 2*lookAgain, false},
		"token_expired":   {bearer, func(*testing.T, *site, *fakeAccess, *memberships) {}, 20*time.Minute + 2*lookAgain, false},
		"role_ended":      {session, func(_ *testing.T, _ *site, _ *fakeAccess, m *memberships) { m.set(0, nil) }, rolesFor + lookAgain, false},
		"session_is_good": {session, func(*testing.T, *site, *fakeAccess, *memberships) {}, 10 * time.Minute, true},
		"another_session": {session, func(_ *testing.T, s *site, _ *fakeAccess, _ *memberships) { s.revoked("s2") }, time.Minute, true},
		"gitlab_silent_for_a_while": {session, func(_ *testing.T, _ *site, _ *fakeAccess, m *memberships) {
			m.set(0, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "it does not answer"})
		}, 20 * time.Minute, true},
	} {
		for _, target := range []string{"/events?scope=board&after=6", "/events?scope=env", "/api/v1/runs/483/log/apply?follow=1"} {
			t.Run(name+"_"+strings.Trim(strings.NewReplacer("/", "_", "?", "_", "=", "_", "&", "_").Replace(target), "_"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					who := upgrade.Identity{Subject: "gitlab/17", Name: "Mira Holt", GitLabUser: 17}
					access := &fakeAccess{
						sessions: []upgrade.Session{{Digest: digestOf(cookie), ID: "s1", Who: who, BegunAt: time.Now(), SeenAt: time.Now(), EndsAt: time.Now().Add(8 * time.Hour)}},
						tokens:   []upgrade.APIToken{{Digest: digestOf(token), ID: "t1", Owner: who, Role: upgrade.RoleViewer, MadeAt: time.Now(), EndsAt: time.Now().Add(20 * time.Minute)}},
					}
					groups := &memberships{level: 30}
					w := fullWorld()
					w.logs["483/apply"] = "one\n"
					s := newSite(t, w, func(c *Config) {
						c.Access = access
						c.Tokens[1].Person.Role = upgrade.RoleAdmin
						c.SignIn.Members, c.SignIn.Roles = groups, Roles{Rules: []RoleRule{{Group: "ops", Role: upgrade.RoleViewer}}}
						c.SignIn.Limits.Idle = 30 * time.Minute
					})
					r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
					for key, value := range test.header {
						r.Header.Set(key, value)
					}
					ended := make(chan struct{})
					got := &wire{header: http.Header{}}
					go func() {
						defer close(ended)
						s.Handler().ServeHTTP(got, r)
					}()
					time.Sleep(2 * lookAgain)
					synctest.Wait()
					over := func() bool {
						select {
						case <-ended:
							return true
						default:
							return false
						}
					}
					if over() {
						t.Fatalf("ended before anything changed: %d", got.code)
					}
					test.change(t, s, access, groups)
					time.Sleep(test.within)
					synctest.Wait()
					if over() == test.stays {
						t.Errorf("ended %v", over())
					}
					s.EndStreams()
					<-ended
					synctest.Wait()
					if len(s.admissions.open) != 0 {
						t.Errorf("%d are remembered", len(s.admissions.open))
					}
				})
			})
		}
	}
}
