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

// State is what is known of a Terraform state; Raw is the whole answer.
type State struct {
	Name    upgrade.StateName `json:"name"`
	Account string            `json:"account"`
	Region  string            `json:"region"`
	Objects int               `json:"objects"`
	ReadAt  time.Time         `json:"read_at"` // zero: it was never read
	Problem string            `json:"problem"` // why the last try failed; "" when it did not
	Raw     json.RawMessage   `json:"-"`
}

// States returns the states that are known, by name.
func (c *Client) States(ctx context.Context) ([]State, error) {
	var page struct{ Items []json.RawMessage }
	if err := c.call(ctx, http.MethodGet, "/api/v1/states", nil, &page); err != nil {
		return nil, err
	}
	states := make([]State, 0, len(page.Items))
	for _, raw := range page.Items {
		state, err := decodeState(raw)
		if err != nil {
			return nil, err
		}
		states = append(states, state)
	}
	return states, nil
}

// readPatience is how long an answer may take for which the service has to read a state.
const readPatience = 7 * time.Minute

// RefreshState has a state read now and returns what came of it: a state that could not be read has a
// Problem and is no error. CodeForbidden, CodeNotFound.
func (c *Client) RefreshState(ctx context.Context, name upgrade.StateName) (State, error) {
	var raw json.RawMessage
	path := "/api/v1/states/" + url.PathEscape(string(name)) + "/refresh"
	if err := c.callWithin(ctx, max(c.timeout, readPatience), http.MethodPost, path, nil, &raw); err != nil {
		return State{}, err
	}
	return decodeState(raw)
}

func decodeState(raw json.RawMessage) (State, error) {
	state := State{Raw: raw}
	if err := json.Unmarshal(raw, &state); err != nil {
		return State{}, fmt.Errorf("decode a state: %w", err)
	}
	return state, nil
}
