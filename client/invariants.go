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

// Invariant is what a standing gate says about an environment; Raw is the whole answer.
type Invariant struct {
	Name      string                 `json:"name"`
	State     upgrade.InvariantState `json:"state"`
	Outcome   upgrade.Outcome        `json:"outcome"` // of the newest asking; "" when it was never asked
	Message   string                 `json:"message"`
	Hint      string                 `json:"hint"`
	Warnings  []string               `json:"warnings"`
	CheckedAt time.Time              `json:"checked_at"` // zero: never
	Since     time.Time              `json:"since"`      // since when it has this outcome
	HeldAt    time.Time              `json:"held_at"`    // of the newest pass; zero: none
	Raw       json.RawMessage        `json:"-"`
}

// Invariants returns what standing gates say, in the order of the configuration.
func (c *Client) Invariants(ctx context.Context) ([]Invariant, error) {
	var page struct{ Items []json.RawMessage }
	if err := c.call(ctx, http.MethodGet, "/api/v1/invariants", nil, &page); err != nil {
		return nil, err
	}
	all := make([]Invariant, 0, len(page.Items))
	for _, raw := range page.Items {
		one, err := decodeInvariant(raw)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Invariant returns one with what it saw and what it said before. CodeNotFound.
func (c *Client) Invariant(ctx context.Context, name string) (Invariant, error) {
	var raw json.RawMessage
	if err := c.call(ctx, http.MethodGet, "/api/v1/invariants/"+url.PathEscape(name), nil, &raw); err != nil {
		return Invariant{}, err
	}
	return decodeInvariant(raw)
}

// CheckInvariant has a standing gate asked now; CheckedAt moves when it was. CodeForbidden, CodeNotFound.
func (c *Client) CheckInvariant(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, "/api/v1/invariants/"+url.PathEscape(name)+"/check", nil, nil)
}

func decodeInvariant(raw json.RawMessage) (Invariant, error) {
	one := Invariant{Raw: raw}
	if err := json.Unmarshal(raw, &one); err != nil {
		return Invariant{}, fmt.Errorf("decode an invariant: %w", err)
	}
	return one, nil
}
