package server

import (
	"context"
	"net/http"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// fakeAgents has one agent, and answers its calls with what they said.
type fakeAgents struct {
	list    []upgrade.Agent
	invited upgrade.AgentName
	within  time.Duration
	err     error
	wait    bool // a call is answered when the server ends
}

func (f *fakeAgents) Agents(context.Context) ([]upgrade.Agent, error) { return f.list, f.err }

func (f *fakeAgents) Invite(_ context.Context, name upgrade.AgentName, within time.Duration, by upgrade.Person) (upgrade.Secret, time.Time, error) {
	if f.err != nil || by.Role != upgrade.RoleReleaseManager {
		return "", time.Time{}, &upgrade.Error{Code: upgrade.CodeForbidden, Msg: "no", Cause: f.err}
	}
	f.invited, f.within = name, within
	return "uga_secret", fakeNow().Add(time.Hour), nil
}

func (f *fakeAgents) Revoke(context.Context, upgrade.AgentName, upgrade.Person) error { return f.err }

func (f *fakeAgents) Enrol(_ context.Context, body []byte) (any, error) {
	return map[string]int{"bytes": len(body)}, f.err
}

func (f *fakeAgents) Call(ctx context.Context, _, path string, _ http.Header, body []byte, ending <-chan struct{}) (any, error) {
	if f.wait {
		select {
		case <-ending:
		case <-ctx.Done():
		}
	}
	return map[string]any{"path": path, "bytes": len(body)}, f.err
}

func (f *fakeAgents) Stamp() (header, value string) { return "Upgradegate-Time", "17" }
