package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Token is an API token as the service lists it, without its secret.
type Token struct {
	ID       string       `json:"id"`
	Name     string       `json:"name"`
	Owner    string       `json:"owner"`
	Role     upgrade.Role `json:"role"`
	Projects []string     `json:"projects"`
	State    string       `json:"state"`
	EndsAt   time.Time    `json:"ends_at"`
	UsedAt   time.Time    `json:"used_at,omitzero"` // zero: never
	UsedFrom string       `json:"used_from,omitempty"`
}

// MakeToken is what a new token is to be.
type MakeToken struct {
	Name     string       `json:"name"`
	Role     upgrade.Role `json:"role,omitempty"`
	Projects []string     `json:"projects,omitempty"`
	Within   string       `json:"within,omitempty"`
}

// Session is somebody's being signed in.
type Session struct {
	ID      string    `json:"id"`
	Who     string    `json:"who"`
	BegunAt time.Time `json:"begun_at"`
	SeenAt  time.Time `json:"seen_at"`
	EndsAt  time.Time `json:"ends_at"`
	From    string    `json:"from"`
	Browser string    `json:"browser"`
}

// Tokens lists one's own API tokens, or everybody's. CodeForbidden.
func (c *Client) Tokens(ctx context.Context, all bool) ([]Token, error) {
	return everything[Token](ctx, c, fmt.Sprintf("/api/v1/tokens?all=%t&limit=200", all))
}

// MakeToken makes an API token and returns its secret, which nobody can see again.
func (c *Client) MakeToken(ctx context.Context, t MakeToken) (upgrade.Secret, Token, error) {
	body, err := json.Marshal(t)
	if err != nil {
		return "", Token{}, fmt.Errorf("encode: %w", err)
	}
	var made struct {
		Token  string `json:"token"`
		Listed Token  `json:"listed"`
	}
	err = c.call(ctx, http.MethodPost, "/api/v1/tokens", body, &made)
	return upgrade.Secret(made.Token), made.Listed, err
}

// RevokeToken revokes an API token. CodeNotFound, CodeConflict.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, "/api/v1/tokens/"+url.PathEscape(id)+"/revoke", []byte("{}"), nil)
}

// Sessions lists one's own sessions, or everybody's. CodeForbidden.
func (c *Client) Sessions(ctx context.Context, all bool) ([]Session, error) {
	return everything[Session](ctx, c, fmt.Sprintf("/api/v1/sessions?all=%t&limit=200", all))
}

// RevokeSession ends a session. CodeNotFound.
func (c *Client) RevokeSession(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, "/api/v1/sessions/"+url.PathEscape(id)+"/revoke", []byte("{}"), nil)
}

// everything follows a list to its end.
func everything[T any](ctx context.Context, c *Client, next string) (all []T, err error) {
	for next != "" {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		if err := c.call(ctx, http.MethodGet, next, nil, &page); err != nil {
			return nil, err
		}
		if page.Next == next || page.Next != "" && !strings.HasPrefix(page.Next, "/api/v1/") {
			return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the service says that the list goes on at " + page.Next, Hint: "compare the versions of the service and of this program"}
		}
		all, next = append(all, page.Items...), page.Next
	}
	return all, nil
}
