// Package gitlab is what the service may do in a GitLab: read projects, branches, merge requests,
// pipelines and deployments, play a held job, post a commit status, keep one note up to date.
//
// It is the only package that knows go-gitlab. It takes and returns types of package forge and errors of
// type upgrade.Error, and it has retry rules of its own: the library's own would repeat a POST after an
// answer of 500 and ignore Retry-After. It decides nothing: what a pipeline or an approval means is the
// business of the lifecycle.
package gitlab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	gl "github.com/xanzy/go-gitlab"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	defaultTimeout = 20 * time.Second
	// tries is how often a read is sent at most: the first time included.
	tries = 3
	// maxBody bounds an answer. The largest that GitLab gives us are lists of a hundred jobs.
	maxBody = 32 << 20
)

// errRedirect is the answer of somebody else than the GitLab that was configured.
var errRedirect = errors.New("redirected to another address")

// Config is what a Client needs.
type Config struct {
	// URL is the address of the instance, such as https://gitlab.example.org or
	// https://example.org/gitlab; http or https, without credentials, query or /api/v4.
	URL string
	// Token is an access token with scope api of the bot's own user. It is sent as PRIVATE-TOKEN.
	Token upgrade.Secret
	// Timeout bounds each method call with all its pages and tries; default 20 s.
	Timeout time.Duration
	// HTTP gives the transport; default: one of our own. It never follows a redirect to
	// another host, because the token would go there too.
	HTTP *http.Client
	// Clock is what waits between tries are taken from; default upgrade.SystemClock.
	Clock upgrade.Clock
	// Log gets what was tried again, at level debug; default: nothing is logged.
	Log *slog.Logger
}

// Client talks to one GitLab as one user. It may be used by several goroutines.
type Client struct {
	api     *gl.Client
	base    string
	token   upgrade.Secret
	timeout time.Duration
	clock   upgrade.Clock
	log     *slog.Logger

	pulse pulse
	notes sync.Mutex // held while a note is looked for and written: two of us must not both add one

	mu sync.Mutex // guards the fields below
	me user
}

type user struct {
	id   int64
	name string
}

// New returns a client. It sends nothing yet. Error: CodeInvalid.
func New(cfg Config) (*Client, error) {
	base, err := checkedURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if !cfg.Token.Set() {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "gitlab.token must be set", Hint: "create an access token with scope api for the bot's user"}
	}
	if cfg.Timeout < 0 {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("gitlab timeout %s is negative", cfg.Timeout)}
	}
	c := &Client{base: base.String(), token: cfg.Token, timeout: cfg.Timeout, clock: cfg.Clock, log: cfg.Log}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if c.clock == nil {
		c.clock = upgrade.SystemClock{}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.api, err = gl.NewClient(cfg.Token.Reveal(),
		gl.WithBaseURL(c.base),
		gl.WithHTTPClient(httpClient(cfg.HTTP, base, c.heard)),
		gl.WithoutRetries(),
		// The library's own limiter has a data race and knows nothing of Retry-After.
		gl.WithCustomLimiter(noLimit{}),
	)
	if err != nil {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "gitlab.url cannot be used", Cause: err}
	}
	c.api.UserAgent = "upgradegate"
	return c, nil
}

func checkedURL(raw string) (*url.URL, error) {
	wrong := func(why string) error {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "gitlab.url " + why, Hint: "give the address of the instance, such as https://gitlab.example.org"}
	}
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	switch {
	case raw == "":
		return nil, wrong("must be set")
	case err != nil: // its text may hold a password
		return nil, wrong("is not an address")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, wrong("must begin with https:// or http://")
	case u.Host == "":
		return nil, wrong("names no host")
	case u.User != nil:
		return nil, wrong("must not hold credentials")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, wrong("must not have a query or fragment")
	case strings.HasSuffix(u.Path, "/api/v4"):
		return nil, wrong("must not end in /api/v4")
	}
	return u, nil
}

// httpClient returns a client that sends the token nowhere but to base and reads no endless answer. What came of each
// request is told to heard.
func httpClient(given *http.Client, base *url.URL, heard func(resp *http.Response, err error)) *http.Client {
	var c http.Client
	if given != nil {
		c = *given
	}
	next := c.Transport
	if next == nil {
		if t, ok := http.DefaultTransport.(*http.Transport); ok {
			own := t.Clone()
			own.MaxIdleConnsPerHost = 8
			next = own
		} else {
			next = http.DefaultTransport
		}
	}
	c.Transport = bounded{next, heard}
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > 3 || req.URL.Scheme != base.Scheme || req.URL.Host != base.Host || req.Method != http.MethodGet {
			return errRedirect
		}
		return nil
	}
	return &c
}

// bounded cuts answers off at maxBody.
type bounded struct {
	next  http.RoundTripper
	heard func(resp *http.Response, err error)
}

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	b.heard(resp, err)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxBody)
	return resp, nil
}

// noLimit lets every request through at once.
type noLimit struct{}

func (noLimit) Wait(context.Context) error { return nil }

// within gives a method call its deadline.
func (c *Client) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.timeout)
}

// request is one request of the library's; it must pass the option on.
type request func(opt gl.RequestOptionFunc) (*gl.Response, error)

// read sends an idempotent request, at most three times and only within the deadline of ctx.
// what says what is being done, for error texts.
func (c *Client) read(ctx context.Context, what string, send request) error {
	for n := 1; ; n++ {
		err := c.once(ctx, what, send)
		if err == nil {
			return nil
		}
		if n == tries || !err.again {
			return err.Error
		}
		wait := err.RetryAfter
		if wait == 0 {
			wait = 200 * time.Millisecond << (n - 1)
		}
		if !c.fits(ctx, wait) {
			return err.Error
		}
		c.log.DebugContext(ctx, "gitlab asked again", "what", what, "try", n, "wait", wait, "err", err.Error)
		if c.clock.Sleep(ctx, wait) != nil {
			return err.Error
		}
	}
}

// write sends a request that must not be repeated: GitLab may have done it and only the answer is lost.
func (c *Client) write(ctx context.Context, what string, send request) error {
	if err := c.once(ctx, what, send); err != nil {
		return err.Error
	}
	return nil
}

func (c *Client) once(ctx context.Context, what string, send request) *failure {
	resp, err := send(gl.WithContext(ctx))
	if err == nil {
		return nil
	}
	return c.failure(ctx, what, resp, err)
}

// fits reports whether there is time left after waiting.
func (c *Client) fits(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > wait //nolint:forbidigo // the deadline is one of the network, not of the world
}

// list reads all pages, or as many as give limit items (0: all).
func list[T any](ctx context.Context, c *Client, what string, limit int, page func(gl.ListOptions, ...gl.RequestOptionFunc) ([]T, *gl.Response, error)) ([]T, error) {
	const maxPages = 500 // GitLab itself ends offset paging at 50,000 rows
	opts := gl.ListOptions{PerPage: 100, Page: 1}
	if limit > 0 && limit < opts.PerPage {
		opts.PerPage = limit
	}
	var keyset gl.RequestOptionFunc
	var all []T
	for range maxPages {
		var got []T
		var resp *gl.Response
		err := c.read(ctx, what, func(opt gl.RequestOptionFunc) (_ *gl.Response, err error) {
			got, resp, err = page(opts, opt, keyset)
			return resp, err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, got...)
		switch {
		case limit > 0 && len(all) >= limit:
			return all[:limit], nil
		case resp.NextPage > opts.Page:
			opts.Page = resp.NextPage
		case resp.NextPage == 0 && resp.NextLink != "": // a list that pages by key
			keyset = gl.WithKeysetPaginationParameters(resp.NextLink)
		default:
			return all, nil
		}
	}
	return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s: gitlab's list has no end", what)}
}
