// Package client talks to the service's API from outside, for the command line.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Config says where the service is. URL, Token and HTTP are needed.
type Config struct {
	URL     string // of the service, such as "https://gate.example.org"
	Token   upgrade.Secret
	NoToken bool // Token may be missing: only Replay works then
	HTTP    *http.Client
	Timeout time.Duration // of one call; default 20 s
	Clock   upgrade.Clock // what Verify waits by; default upgrade.SystemClock
}

// Client calls the API. Safe for use by several goroutines.
type Client struct {
	base    *url.URL
	token   upgrade.Secret
	http    *http.Client
	timeout time.Duration
	clock   upgrade.Clock
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 32 << 20

// New checks the address and returns a client. CodeInvalid if something is missing.
func New(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q is not the address of a service", c.URL), Hint: "set UPGRADEGATE_URL or --url, such as https://gate.example.org"}
	}
	if !c.Token.Set() && !c.NoToken {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "there is no token", Hint: "set UPGRADEGATE_TOKEN to the token that the configuration has for you"}
	}
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	if c.Clock == nil {
		c.Clock = upgrade.SystemClock{}
	}
	return &Client{base: base, token: c.Token, http: c.HTTP, timeout: c.Timeout, clock: c.Clock}, nil
}

// Run is a run as the API tells it; Raw is the whole answer.
type Run struct {
	ID     upgrade.RunID     `json:"id"`
	Stack  upgrade.StackName `json:"stack"`
	Commit upgrade.Commit    `json:"commit"`
	Tree   upgrade.Tree      `json:"tree"`
	Phase  upgrade.Phase     `json:"phase"`
	Since  time.Time         `json:"since"`
	URL    string            `json:"url"`
	Causes []Cause           `json:"causes"`
	// CausesDigest is of Causes: who overrides says with it what they saw.
	CausesDigest string    `json:"causes_digest"`
	Warnings     []string  `json:"warnings"`
	Deadline     time.Time `json:"deadline"`
	Applies      int       `json:"applies"`
	Plan         Plan      `json:"plan"`
	Override     *Override `json:"override"`
	Told         struct {
		Chip     string `json:"chip"`
		Headline string `json:"headline"`
		Next     string `json:"next"`
		Live     string `json:"live"`
	} `json:"told"`
	Raw json.RawMessage `json:"-"`
}

// Plan says what was planned: how many resources, and the digest of the change, to which a person agrees.
type Plan struct {
	Create       int    `json:"create"`
	Update       int    `json:"update"`
	Replace      int    `json:"replace"`
	Destroy      int    `json:"destroy"`
	Forget       int    `json:"forget"`
	ChangeDigest string `json:"change_digest"`
}

// Override is an unlock in spite of the verdict; it counts from two people on.
type Override struct {
	Reason string    `json:"reason"`
	By     []string  `json:"by"`
	Until  time.Time `json:"until"`
	Counts bool      `json:"counts"`
}

// Cause is one reason against a run.
type Cause struct {
	Gate    upgrade.GateName `json:"gate"`
	Run     upgrade.RunID    `json:"run"` // the earlier run that it comes from; 0: this one
	Message string           `json:"message"`
	Hint    string           `json:"hint"`
}

// Gate is the last answer of one gate.
type Gate struct {
	Gate        upgrade.GateName `json:"gate"`
	Environment upgrade.EnvName  `json:"environment"`
	Stage       upgrade.Stage    `json:"stage"`
	Apply       int              `json:"apply"`     // of the run that it is about, from 1; 0: none
	WayBack     bool             `json:"way_back"`  // of a rehearsal's way back: kept, not counted
	Agreeable   bool             `json:"agreeable"` // a release manager may agree to what it says no to
	Outcome     upgrade.Outcome  `json:"outcome"`
	Message     string           `json:"message"`
	Took        float64          `json:"took_seconds"`
	Evidence    struct {
		Tables []upgrade.Table `json:"tables"`
	} `json:"evidence"`
}

// Runs returns runs, newest first.
func (c *Client) Runs(ctx context.Context, stack upgrade.StackName, limit int) ([]Run, error) {
	query := url.Values{"limit": {fmt.Sprint(limit)}}
	if stack != "" {
		query.Set("stack", string(stack))
	}
	var page struct{ Items []json.RawMessage }
	if err := c.call(ctx, http.MethodGet, "/api/v1/runs?"+query.Encode(), nil, &page); err != nil {
		return nil, err
	}
	runs := make([]Run, 0, len(page.Items))
	for _, item := range page.Items {
		run, err := decode(item)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// Run returns one run. CodeNotFound if there is none of that number.
func (c *Client) Run(ctx context.Context, id upgrade.RunID) (Run, error) {
	var raw json.RawMessage
	if err := c.call(ctx, http.MethodGet, fmt.Sprintf("/api/v1/runs/%d", id), nil, &raw); err != nil {
		return Run{}, err
	}
	return decode(raw)
}

func decode(raw json.RawMessage) (Run, error) {
	run := Run{Raw: raw}
	if err := json.Unmarshal(raw, &run); err != nil {
		return Run{}, fmt.Errorf("decode a run: %w", err)
	}
	return run, nil
}

// Gates returns the last answers, one per gate, environment and stage; those of a way back beside the others.
func (c *Client) Gates(ctx context.Context, id upgrade.RunID) ([]Gate, error) {
	var page struct{ Items []Gate }
	err := c.call(ctx, http.MethodGet, fmt.Sprintf("/api/v1/runs/%d/gates", id), nil, &page)
	return page.Items, err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	return c.callWithin(ctx, c.timeout, method, path, body, into)
}

func (c *Client) callWithin(ctx context.Context, limit time.Duration, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.base.Host, err)
	}
	c.sign(req)
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", rand.Text()) // a post that a proxy sends again has no second effect
	}
	return c.send(req, body != nil, into)
}

func (c *Client) sign(req *http.Request) {
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
}

// send sends a request and decodes the answer.
func (c *Client) send(req *http.Request, body bool, into any) error {
	req.Header.Set("Accept", "application/json")
	if body {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: c.base.Host + " does not answer", Hint: "is the service running, and is the address right?", Cause: err}
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up: nothing to lose
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: c.base.Host + " stopped in the middle of its answer", Cause: err}
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return refusal(resp, data)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: c.base.Host + " did not answer with JSON", Hint: "is that the address of upgradegate?", Cause: err}
	}
	return nil
}

// refusal reads a problem document (RFC 9457).
func refusal(resp *http.Response, data []byte) error {
	var problem struct {
		Detail string       `json:"detail"`
		Title  string       `json:"title"`
		Code   upgrade.Code `json:"code"`
		Hint   string       `json:"hint"`
		ID     string       `json:"request_id"`
	}
	if err := json.Unmarshal(data, &problem); err != nil || problem.Code == "" {
		if s := resp.StatusCode; s == http.StatusNotFound || s == http.StatusMethodNotAllowed {
			return &upgrade.Error{
				Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%s answered %s", resp.Request.URL.Host, resp.Status), Hint: "is that the address of upgradegate, and is it new enough?",
			}
		}
		return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s answered %s", resp.Request.URL.Host, resp.Status), RetryAfter: retryAfter(resp)}
	}
	text := problem.Detail
	if text == "" {
		text = problem.Title
	}
	if problem.Code == upgrade.CodeInternal && problem.ID != "" { // what the log of the service is searched for
		text += ", request " + problem.ID
	}
	return &upgrade.Error{Code: problem.Code, Msg: text, Hint: problem.Hint, RetryAfter: retryAfter(resp)}
}

// retryAfter returns how long the service asks to wait, which it says in seconds; 0: nothing said.
func retryAfter(resp *http.Response) time.Duration {
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 3600)) * time.Second
}
