package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

func agentsSite(t *testing.T, f *fakeAgents) *site {
	t.Helper()
	return newSite(t, fullWorld(), func(c *Config) { c.Agents = f })
}

func TestAPIVantages(t *testing.T) {
	now := time.Now()
	s := agentsSite(t, &fakeAgents{list: []upgrade.Agent{
		{
			Name: "staging-a", Key: []byte("k"), EnrolledAt: now, HeardAt: now, Facts: upgrade.AgentFacts{
				Version: "1", Host: "h", Allow: []string{"10.0.0.0/8:80"}, MaxRate: 200, MaxDuration: time.Hour, Offset: -1500 * time.Microsecond, RTT: 4 * time.Millisecond, MeasuredAt: now,
			},
		},
		{Name: "staging-b", Key: []byte("k"), HeardAt: now.Add(-time.Minute)},
		{Name: "staging-c", Token: "open", TokenUntil: now.Add(time.Hour)},
		{Name: "staging-d"},
		{Name: "staging-e", Key: []byte("k"), RevokedAt: now, RevokedBy: "Mira Holt"},
	}})
	all := decode[page[wireAgent]](t, s.do("GET", "/api/v1/vantages", viewerToken, "")).Items
	var states []string
	for _, a := range all {
		states = append(states, a.State)
	}
	if got := strings.Join(states, " "); got != "enrolled gone invited not_enrolled revoked" {
		t.Errorf("states %s", got)
	}
	if a := all[0]; a.Clock == nil || a.Clock.Offset != -1.5 || a.Clock.Within != 2 || a.MaxDuration != 3600 || !strings.HasPrefix(a.Key, "SHA256:") {
		t.Errorf("got %+v", a)
	}
}

func TestAPIInviteAndRevoke(t *testing.T) {
	f := &fakeAgents{}
	s := agentsSite(t, f)
	for name, test := range map[string]struct {
		token, body string
		code        int
	}{
		"viewer":       {viewerToken, "", http.StatusForbidden},
		"stranger":     {"nobody", "", http.StatusUnauthorized},
		"bad_duration": {managerToken, `{"within":"soon"}`, http.StatusBadRequest},
		"bad_json":     {managerToken, `{`, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			if got := s.do("POST", "/api/v1/vantages/staging-a/enrol", test.token, test.body); got.Code != test.code {
				t.Errorf("answered %d %s", got.Code, got.Body)
			}
		})
	}
	got := s.do("POST", "/api/v1/vantages/staging-a/enrol", managerToken, `{"within":"30m"}`)
	if token := decode[wireToken](t, got); got.Code != http.StatusCreated || token.Token != "uga_secret" || f.invited != "staging-a" || f.within != 30*time.Minute {
		t.Errorf("answered %d %+v, asked %+v", got.Code, token, f)
	}
	if strings.Contains(s.log.String(), "uga_secret") {
		t.Error("the token is in the log")
	}
	if got := s.do("POST", "/api/v1/vantages/staging-a/revoke", managerToken, ""); got.Code != http.StatusOK {
		t.Errorf("revoke: %d %s", got.Code, got.Body)
	}
}

// TestAgentCallsBounded: calls need no session, are bounded in size and number, and say what the clock shows
// when they are refused.
func TestAgentCallsBounded(t *testing.T) {
	f := &fakeAgents{}
	s := agentsSite(t, f)
	for _, path := range []string{"poll", "samples", "ping", "enrol"} {
		if got := s.do("POST", "/api/v1/agent/"+path, "", "{}"); got.Code != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
		if got := s.do("POST", "/api/v1/agent/"+path, "", strings.Repeat("x", maxAgentBody+1)); got.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("%s, too large: %d %s", path, got.Code, got.Body)
		}
	}
	f.err = &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: "no"}
	got := s.do("POST", "/api/v1/agent/poll", "", "{}")
	if got.Code != http.StatusUnauthorized || got.Header().Get("Upgradegate-Time") != "17" {
		t.Errorf("refused with %d %v", got.Code, got.Header())
	}
	s.calling.Store(maxAgentCalls)
	if got := s.do("POST", "/api/v1/agent/poll", "", "{}"); got.Code != http.StatusTooManyRequests || got.Header().Get("Retry-After") == "" {
		t.Errorf("too many: %d %v", got.Code, got.Header())
	}
	if n := s.calling.Load(); n != maxAgentCalls {
		t.Errorf("%d calls are counted as open", n)
	}
}

// TestEnrolLimited: tokens are not tried by the thousand.
func TestEnrolLimited(t *testing.T) {
	s := agentsSite(t, &fakeAgents{err: &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: "no"}})
	limited := 0
	for range 3 * maxEnrol {
		if s.do("POST", "/api/v1/agent/enrol", "", "{}").Code == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < maxEnrol {
		t.Errorf("%d of %d were refused", limited, 3*maxEnrol)
	}
}

// TestAgentCallsEndWithTheService: an agent that waits for orders does not hold up the service's end.
func TestAgentCallsEndWithTheService(t *testing.T) {
	s := agentsSite(t, &fakeAgents{wait: true})
	ended := make(chan int, 1)
	go func() { ended <- s.do("POST", "/api/v1/agent/poll", "", "{}").Code }()
	s.EndStreams()
	select {
	case code := <-ended:
		if code != http.StatusOK {
			t.Errorf("answered %d", code)
		}
	case <-time.After(10 * time.Second):
		t.Error("it still waits")
	}
}
