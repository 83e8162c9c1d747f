package gitlab

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// pulse is whether GitLab answered the last time that it was asked.
type pulse struct {
	mu     sync.Mutex // guards the fields below
	last   time.Time  // of the last answer; before the first one, of the first request that had none
	silent bool
}

// heard takes note of what came of a request. What a proxy says in GitLab's place is no answer of GitLab's.
func (c *Client) heard(resp *http.Response, err error) {
	if errors.Is(err, context.Canceled) {
		return // we hung up
	}
	silent := err != nil
	if !silent {
		switch resp.StatusCode {
		case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			silent = true
		}
	}
	c.pulse.mu.Lock()
	defer c.pulse.mu.Unlock()
	if c.pulse.silent = silent; !silent || c.pulse.last.IsZero() {
		c.pulse.last = c.clock.Now()
	}
}

// SilentSince returns since when GitLab has not answered: its last answer, or the first request if there never was one.
// The zero time: it answered when it was asked last, or was not asked yet.
func (c *Client) SilentSince() time.Time {
	c.pulse.mu.Lock()
	defer c.pulse.mu.Unlock()
	if !c.pulse.silent {
		return time.Time{}
	}
	return c.pulse.last
}
