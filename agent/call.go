package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/upgrade"
)

// straight returns the client without redirects: a call holds a token or a signature, and where the agent goes is
// for its operator to say, not for the gate.
func straight(c *http.Client) *http.Client {
	if c == nil {
		return nil
	}
	other := *c
	other.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &other
}

// patience is how long the gate may take to answer, beyond what it was asked to wait.
const patience = 15 * time.Second

// caller calls the gate.
type caller struct {
	base *url.URL
	http *http.Client
	now  func() time.Time
	name upgrade.AgentName
	key  ed25519.PrivateKey

	mu     sync.Mutex    // guards the field below
	offset time.Duration // this machine's clock minus the gate's
}

// gateURL checks the address of a gate.
func gateURL(raw string) (*url.URL, error) {
	base, err := url.Parse(strings.TrimRight(raw, "/"))
	wrong := func(msg, hint string) (*url.URL, error) {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: msg, Hint: hint}
	}
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return wrong(fmt.Sprintf("%q is not the address of a gate", raw), "give its public_url with --gate, such as https://gate.example.org")
	case base.Scheme == "http" && !loopback(base.Hostname()):
		return wrong(fmt.Sprintf("the gate %s is not asked over https", raw), "orders hold secrets: http is for this machine alone")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return wrong(fmt.Sprintf("the address %s of the gate has more than a host and a path", base.Redacted()), "give its public_url with --gate")
	}
	return base, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// gateTime returns what the gate's clock shows at a moment of this machine's.
func (c *caller) gateTime(at time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return at.Add(-c.offset)
}

func (c *caller) setOffset(offset time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = offset
}

// call makes a signed call that the gate may hold for wait. When the gate says that the time of the call is
// not its own, its clock is believed and the call made once more.
func (c *caller) call(ctx context.Context, wait time.Duration, path string, in, into any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode for the gate: %w", err)
	}
	for try := 1; ; try++ {
		clock, err := c.once(ctx, wait, path, body, into, true)
		if err == nil || clock.IsZero() || try > 1 || upgrade.CodeOf(err) != upgrade.CodeUnauthorized {
			return err
		}
		c.setOffset(c.now().Sub(clock))
	}
}

// once makes one call. With an error, clock is what the gate's clock shows, if it said so.
func (c *caller) once(ctx context.Context, wait time.Duration, path string, body []byte, into any, signed bool) (clock time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait+patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return time.Time{}, fmt.Errorf("call the gate: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if signed {
		wire.Sign(c.key, c.name, http.MethodPost, path, body, c.gateTime(c.now())).Write(req.Header)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return time.Time{}, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: c.base.Host + " does not answer", Hint: "is the gate running, and may this host reach it?", Cause: err}
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up: nothing to lose
	data, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxAnswer))
	if err != nil {
		return time.Time{}, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: c.base.Host + " stopped in the middle of its answer", Cause: err}
	}
	if resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode < http.StatusBadRequest {
		return time.Time{}, &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s sends this agent elsewhere (%s), and it goes nowhere but to its gate", c.base.Host, resp.Status),
			Hint: "give the gate's public_url itself with --gate",
		}
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return clockOf(resp), refusal(resp, data)
	}
	if err := json.Unmarshal(data, new(any)); err != nil {
		return time.Time{}, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: c.base.Host + " did not answer with JSON", Hint: "is that the address of upgradegate?", Cause: err}
	}
	return time.Time{}, wire.Strict(data, into)
}

func clockOf(resp *http.Response) time.Time {
	ms, err := strconv.ParseInt(resp.Header.Get(wire.HeaderTime), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// refusal reads a problem document (RFC 9457).
func refusal(resp *http.Response, data []byte) error {
	var problem struct {
		Detail string       `json:"detail"`
		Code   upgrade.Code `json:"code"`
		Hint   string       `json:"hint"`
	}
	if err := json.Unmarshal(data, &problem); err != nil || problem.Code == "" {
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s answered %s", resp.Request.URL.Host, resp.Status), Hint: "is that the address of upgradegate, and is it new enough?"}
	}
	e := &upgrade.Error{Code: problem.Code, Msg: problem.Detail, Hint: problem.Hint}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.RetryAfter = time.Duration(min(n, 60)) * time.Second
	}
	return e
}

// measured is a comparison of clocks.
type measured struct{ offset, rtt time.Duration }

// pings is how many exchanges one comparison takes: the fastest counts.
const pings = 5

// measure compares this machine's clock with the gate's: the offset is right within half of rtt.
func (c *caller) measure(ctx context.Context) (measured, error) {
	best := measured{rtt: -1}
	for range pings {
		before := c.now()
		var pong wire.Pong
		if err := c.call(ctx, 0, wire.PathPing, struct{}{}, &pong); err != nil {
			return best, err
		}
		rtt := c.now().Sub(before)
		if best.rtt < 0 || rtt < best.rtt {
			best = measured{offset: before.Add(rtt / 2).Sub(time.Unix(0, pong.Now)), rtt: rtt}
		}
	}
	c.setOffset(best.offset)
	return best, nil
}
