package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// askedID is of the question that was asked.
const askedID = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// call is one way in which an operation of the document is used, and what it must answer in calledWorld.
type call struct {
	Op     string // operationId
	Path   []string
	Query  url.Values
	Token  string // default: the manager's
	Body   string
	Status int
}

// calls has each operation of openapi.json at least once.
func calls() []call {
	run, get := []string{"481"}, http.StatusOK
	hook := []string{"chat"}
	page := url.Values{"limit": {"1"}}
	digest := `{"digest":"bb22","reason":"the reason is long enough for everybody","rev":37}`
	list := []call{
		{Op: "getOpenAPI", Status: get},
		{Op: "listRuns", Status: get},
		{Op: "listRuns", Query: url.Values{"phase": {"blocked"}, "stack": {"ecs-master"}, "limit": {"1"}}, Status: get},
		{Op: "listRuns", Query: page, Status: get},
		{Op: "listRuns", Query: url.Values{"nonsense": {"1"}}, Status: http.StatusBadRequest},
		{Op: "listRuns", Query: url.Values{"q": {"ecs"}, "month": {"2026-11"}}, Status: get},
		{Op: "listRuns", Query: url.Values{"q": {"ecs"}, "project_id": {"12"}}, Status: http.StatusBadRequest},
		{Op: "listFreezes", Status: get},
		{Op: "getConfig", Status: get},
		{Op: "listSessions", Query: page, Status: get},
		{Op: "listTokens", Query: url.Values{"after": {"nowhere"}}, Status: http.StatusBadRequest},
		{Op: "getRun", Path: run, Status: get},
		{Op: "getRun", Path: []string{"999"}, Status: http.StatusNotFound},
		{Op: "getRun", Path: run, Token: "nobody's", Status: http.StatusUnauthorized},
		{Op: "listEvents", Path: run, Query: page, Status: get},
		{Op: "listResults", Path: run, Status: get},
		{Op: "listGates", Path: run, Status: get},
		{Op: "getGateCSV", Path: []string{"481", "outage"}, Status: get},
		{Op: "getLog", Path: []string{"481", "apply"}, Status: get},
		{Op: "getLog", Path: []string{"481", "none"}, Status: http.StatusNotFound},
		{Op: "stopRun", Path: run, Token: viewerToken, Status: http.StatusForbidden},
		{Op: "getPlan", Path: run, Status: get},
		{Op: "getPlan", Path: []string{"480"}, Status: http.StatusNotFound},
		{Op: "listEnvironments", Status: get},
		{Op: "listDeliveries", Query: page, Status: get},
		{Op: "getDelivery", Path: []string{"a/b"}, Status: get},
		{Op: "getDelivery", Path: []string{"none"}, Status: http.StatusNotFound},
		{Op: "playDelivery", Path: []string{"a/b"}, Status: http.StatusAccepted},
		{Op: "listStacks", Status: get},
		{Op: "getStack", Path: []string{"ecs-master"}, Status: get},
		{Op: "setBase", Path: []string{"ecs-master"}, Body: `{"commit":"` + string(commitA) + `","reason":"as deployed by hand"}`, Status: get},
		{Op: "setBase", Path: []string{"ecs-master"}, Body: `{"commit":`, Status: http.StatusBadRequest},
		{Op: "listStates", Status: get},
		{Op: "refreshState", Path: []string{"network"}, Status: get},
		{Op: "listInvariants", Status: get},
		{Op: "getInvariant", Path: []string{"grants/production"}, Status: get},
		{Op: "checkInvariant", Path: []string{"grants/production"}, Status: http.StatusAccepted},
		{Op: "listVantages", Status: get},
		{Op: "inviteAgent", Path: []string{"staging-a"}, Body: `{"within":"1h"}`, Status: http.StatusCreated},
		{Op: "revokeAgent", Path: []string{"staging-a"}, Status: get},
		{Op: "askForProduction", Token: jobToken, Body: `{"commit":"` + string(commitA) + `"}`, Status: http.StatusCreated},
		{Op: "getAnswer", Path: []string{askedID}, Token: jobToken, Status: get},
		{Op: "getMe", Status: get},
		{Op: "listSessions", Status: get},
		{Op: "revokeSession", Path: []string{"s1"}, Status: get},
		{Op: "listTokens", Status: get},
		{Op: "makeToken", Body: `{"name":"nightly"}`, Status: http.StatusCreated},
		{Op: "revokeToken", Path: []string{"t1"}, Status: get},
		{Op: "listAudit", Query: page, Status: get},
		{Op: "exportAudit", Query: url.Values{"format": {"csv"}}, Status: get},
		{Op: "verifyAudit", Status: get},
		{Op: "listHooks", Status: get},
		{Op: "getHook", Path: hook, Status: get},
		{Op: "getHook", Path: []string{"none"}, Status: http.StatusNotFound},
		{Op: "addHook", Body: `{"name":"x","url":"https://x.example.org/in"}`, Status: http.StatusCreated},
		{Op: "addHook", Token: viewerToken, Body: `{"name":"x","url":"https://x.example.org/in"}`, Status: http.StatusForbidden},
		{Op: "listHookMessages", Path: hook, Query: url.Values{"state": {"dead"}}, Status: get},
		{Op: "resendHookMessage", Path: []string{"chat", "1"}, Status: http.StatusAccepted},
	}
	for _, act := range theActs() {
		list = append(list, call{Op: act.name + "Run", Path: run, Body: digest, Status: http.StatusAccepted})
	}
	for _, act := range []string{"pauseHook", "resumeHook", "rotateHookSecret", "removeHook", "testHook"} {
		list = append(list, call{Op: act, Path: hook, Body: `{"reason":"moving","overlap_seconds":60}`, Status: get})
	}
	return list
}

// calledSite is a site in which every call finds what it needs.
func calledSite(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	w := fullWorld()
	key := upgrade.StandingKey{Gate: "grants", Environment: "production"}
	w.standings = []upgrade.Standing{{Key: key, Result: upgrade.Result{Gate: "grants", Kind: "kms-grants", Environment: "production", Outcome: upgrade.OutcomePassed, Message: "4 of 4 grants are there", StartedAt: at("09:00:00")}}}
	w.stretches = []upgrade.Stretch{{Key: key, Outcome: upgrade.OutcomePassed, Message: "4 of 4", Since: at("08:00:00"), Until: at("09:15:00"), Checks: 3}}
	w.readings = []upgrade.Reading{{State: "network", ReadAt: at("09:00:00")}}
	w.asks.all = []upgrade.Verification{{
		ID: askedID, Token: "https://gitlab.example.org 7f0d", ProjectID: 12, Project: "platform/ecs-master", Commit: commitA, Pipeline: 401, Job: 4711, AskedAt: fakeNow(), Until: fakeNow().Add(time.Hour),
		State: upgrade.VerifyOpen, Sentence: "It may go.", Run: 481, Told: 1,
	}}
	me := upgrade.Identity{Subject: "token/Mira Holt", Name: "Mira Holt"}
	access := &fakeAccess{
		sessions: []upgrade.Session{{Digest: "d", ID: "s1", Who: me, BegunAt: time.Now(), SeenAt: time.Now(), EndsAt: time.Now().Add(time.Hour)}},
		tokens:   []upgrade.APIToken{{Digest: "e", ID: "t1", Name: "pipeline", Owner: me, Role: upgrade.RoleViewer, MadeAt: time.Now(), EndsAt: time.Now().Add(time.Hour)}},
	}
	return newSite(t, w, append([]func(*Config){func(c *Config) {
		c.Hooks, c.Access = fullHooks(), access
		c.Freezes = []Freeze{{Name: "release week", From: fakeNow().Add(-time.Hour), To: fakeNow().Add(time.Hour), Reason: "a launch", By: "Mira Holt"}}
		c.Settings = func() Settings {
			return Settings{File: "upgradegate.yaml", LoadedAt: fakeNow(), Digest: "ab", Values: []Setting{{Path: "server.listen", Value: "127.0.0.1:8080", Line: 2}}, Rejected: []Problem{{Line: 3, Path: "stacks", Message: "must be set"}}}
		}
		c.Agents = &fakeAgents{list: []upgrade.Agent{{Name: "staging-a", EnrolledAt: fakeNow(), HeardAt: fakeNow(), Key: []byte("0123456789abcdef0123456789abcdef")}}}
	}}, change...)...)
}

// request is a call as HTTP.
func (c call) request(doc document) (method, target string) {
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.ID != c.Op {
				continue
			}
			for _, value := range c.Path {
				from, to := strings.IndexByte(path, '{'), strings.IndexByte(path, '}')
				path = path[:from] + url.PathEscape(value) + path[to+1:]
			}
			if len(c.Query) > 0 {
				path += "?" + c.Query.Encode()
			}
			return strings.ToUpper(method), path
		}
	}
	return "", ""
}

// document is openapi.json as far as these tests read it.
type document struct {
	Paths map[string]map[string]struct {
		ID        string `json:"operationId"`
		Responses map[string]struct {
			Content map[string]struct {
				Schema any `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
		Parameters []struct {
			Name string `json:"name"`
		} `json:"parameters"`
	} `json:"paths"`
}

func (d document) operations() (ids []string) {
	for _, methods := range d.Paths {
		for _, op := range methods {
			ids = append(ids, op.ID)
		}
	}
	slices.Sort(ids)
	return ids
}
