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

// Hook is a subscription to events as the API tells it; Raw is the whole answer.
type Hook struct {
	Name       upgrade.HookName    `json:"name"`
	URL        string              `json:"url"`
	Events     []string            `json:"events"`
	Stacks     []upgrade.StackName `json:"stacks"`
	Configured bool                `json:"configured"`
	State      upgrade.HookState   `json:"state"`
	Why        string              `json:"why"`
	Pending    int                 `json:"pending"`
	Dead       int                 `json:"dead"`
	Raw        json.RawMessage     `json:"-"`
}

// HookMessage is one event on its way to a subscription.
type HookMessage struct {
	ID      int64                `json:"id"`
	Event   int64                `json:"event"`
	Run     upgrade.RunID        `json:"run"`
	Type    string               `json:"type"`
	State   upgrade.MessageState `json:"state"`
	Tries   int                  `json:"tries"`
	MadeAt  time.Time            `json:"made_at"`
	TriedAt time.Time            `json:"tried_at"`
	Answer  string               `json:"answer"`
	Raw     json.RawMessage      `json:"-"`
}

// Hooks returns the subscriptions, by name.
func (c *Client) Hooks(ctx context.Context) ([]Hook, error) {
	var page struct{ Items []json.RawMessage }
	if err := c.call(ctx, http.MethodGet, "/api/v1/hooks", nil, &page); err != nil {
		return nil, err
	}
	hooks := make([]Hook, 0, len(page.Items))
	for _, raw := range page.Items {
		one := Hook{Raw: raw}
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, fmt.Errorf("decode a subscription: %w", err)
		}
		hooks = append(hooks, one)
	}
	return hooks, nil
}

// DeadMessages returns the newest messages of a subscription that were given up, at most limit. CodeNotFound.
func (c *Client) DeadMessages(ctx context.Context, name upgrade.HookName, limit int) ([]HookMessage, error) {
	var page struct{ Items []json.RawMessage }
	path := fmt.Sprintf("/api/v1/hooks/%s/messages?state=%s&limit=%d", url.PathEscape(string(name)), upgrade.MessageDead, limit)
	if err := c.call(ctx, http.MethodGet, path, nil, &page); err != nil {
		return nil, err
	}
	messages := make([]HookMessage, 0, len(page.Items))
	for _, raw := range page.Items {
		one := HookMessage{Raw: raw}
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, fmt.Errorf("decode a message: %w", err)
		}
		messages = append(messages, one)
	}
	return messages, nil
}

// Resend sends a message again. CodeForbidden, CodeNotFound, CodeConflict if it is on its way.
func (c *Client) Resend(ctx context.Context, name upgrade.HookName, id int64) error {
	return c.call(ctx, http.MethodPost, fmt.Sprintf("/api/v1/hooks/%s/messages/%d/resend", url.PathEscape(string(name)), id), nil, nil)
}
