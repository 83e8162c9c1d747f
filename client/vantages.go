package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Vantage is an agent that probes from another place; Raw is the whole answer.
type Vantage struct {
	Name       upgrade.AgentName `json:"name"`
	State      string            `json:"state"`
	HeardAt    time.Time         `json:"heard_at"` // zero: never
	TokenUntil time.Time         `json:"token_until"`
	Version    string            `json:"version"`
	Host       string            `json:"host"`
	Allow      []string          `json:"allow"`
	Clock      *struct {
		Offset float64 `json:"offset_ms"`
		Within float64 `json:"within_ms"`
	} `json:"clock"` // nil: never compared
	Raw json.RawMessage `json:"-"`
}

// Vantages returns the agents that probe from other places, by name.
func (c *Client) Vantages(ctx context.Context) ([]Vantage, error) {
	var page struct{ Items []json.RawMessage }
	if err := c.call(ctx, http.MethodGet, "/api/v1/vantages", nil, &page); err != nil {
		return nil, err
	}
	list := make([]Vantage, 0, len(page.Items))
	for _, raw := range page.Items {
		v := Vantage{Raw: raw}
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("decode a vantage: %w", err)
		}
		list = append(list, v)
	}
	return list, nil
}

// Invitation is a token with which an agent may enrol once; Raw is the whole answer.
type Invitation struct {
	Name  upgrade.AgentName `json:"name"`
	Token string            `json:"token"`
	Until time.Time         `json:"until"`
	Raw   json.RawMessage   `json:"-"`
}

// InviteAgent makes a token for an agent; within 0 is the service's default. CodeForbidden, CodeNotFound,
// CodeInvalid.
func (c *Client) InviteAgent(ctx context.Context, name upgrade.AgentName, within time.Duration) (Invitation, error) {
	fields := map[string]string{}
	if within != 0 {
		fields["within"] = within.String()
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return Invitation{}, fmt.Errorf("encode: %w", err)
	}
	var raw json.RawMessage
	if err := c.call(ctx, http.MethodPost, "/api/v1/vantages/"+url.PathEscape(string(name))+"/enrol", body, &raw); err != nil {
		return Invitation{}, err
	}
	invitation := Invitation{Raw: raw}
	if err := json.Unmarshal(raw, &invitation); err != nil {
		return Invitation{}, fmt.Errorf("decode an invitation: %w", err)
	}
	return invitation, nil
}

// RevokeAgent shuts an agent out. CodeForbidden, CodeNotFound, CodeConflict when there is nothing to revoke.
func (c *Client) RevokeAgent(ctx context.Context, name upgrade.AgentName) error {
	return c.call(ctx, http.MethodPost, "/api/v1/vantages/"+url.PathEscape(string(name))+"/revoke", []byte("{}"), nil)
}
