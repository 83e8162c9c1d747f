package varnish

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// headRoom is how many bytes of status line and headers are read at most, beside the body.
const headRoom = 64 << 10

// answer is what came back to one request, read to its end or to the limit.
type answer struct {
	status    int
	line      string // such as "HTTP/1.1 200 OK"
	header    http.Header
	body      []byte
	cut       bool // the body is longer than the limit
	bypass    bool // it was asked past the cache
	closes    bool // the other side closes the connection after it
	firstByte time.Duration
	took      time.Duration
}

// look makes one request on a connection of its own. A *brokenError says at which layer it ended.
func (c *climber) look(ctx context.Context, bypass bool) (*answer, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // everything that mattered has been read
	start := c.p.now()
	got, err := c.exchange(ctx, conn, c.request(bypass))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if broken, ok := errors.AsType[*brokenError](err); ok {
		broken.took = c.p.now().Sub(start)
		return nil, c.secondLook(ctx, broken)
	}
	if err != nil {
		return nil, err
	}
	got.bypass = bypass
	if c.t.path.Proxy {
		c.good(probe.LayerProxy, 0, "version 2, LOCAL")
	}
	if n := retransmits(c.raw) - c.resent; n > 0 {
		c.lost(n, "the answer took %s", probe.Length(got.took))
	}
	return got, nil
}

// request returns the bytes of a GET of the path's page.
func (c *climber) request(bypass bool) []byte { return c.requestFor(*c.t.url, bypass) }

// requestFor returns the bytes of a GET of a page of the path's host. There is no other method.
func (c *climber) requestFor(uri url.URL, bypass bool) []byte {
	extra := ""
	if b := c.t.path.Bypass; bypass {
		if b.Query != "" {
			values := uri.Query()
			values.Set(b.Query, rand.Text())
			uri.RawQuery = values.Encode()
		}
		if b.Header != "" {
			extra += b.Header + ": " + b.Value + "\r\n"
		}
		if b.Cookie != "" {
			extra += "Cookie: " + b.Cookie + "\r\n"
		}
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept: */*\r\n%sConnection: close\r\n\r\n",
		uri.RequestURI(), uri.Host, c.p.agent, extra)
}

// exchange writes a request and reads the answer, each step within its limit.
func (c *climber) exchange(ctx context.Context, conn net.Conn, request []byte) (*answer, error) {
	start := c.p.now()
	reader := bufio.NewReader(io.LimitReader(conn, headRoom+c.p.limits.Body+1))
	err := bounded(ctx, conn, c.p.limits.Response, func() error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		_, err := reader.Peek(1)
		return err
	})
	if err != nil {
		return nil, c.broke(c.front(), firstByteClass(err))
	}
	got := &answer{firstByte: c.p.now().Sub(start)}
	err = bounded(ctx, conn, c.p.limits.Response, func() error { return got.read(reader, c.p.limits.Body) })
	got.took = c.p.now().Sub(start)
	if err != nil {
		layer := c.front()
		if tr := c.traceOf(got.header); layer == probe.LayerVarnish && got.status != 0 && tr.ids == 1 {
			layer = probe.LayerBackend // Varnish hands on what it gets as it gets it
			c.good(probe.LayerVarnish, got.firstByte, tr.String())
		}
		broken := c.broke(layer, bodyClass(err))
		if got.status != 0 {
			broken.answer = got
		}
		return nil, broken
	}
	return got, nil
}

// broke returns a broken layer with the sentence of its class.
func (c *climber) broke(layer probe.Layer, class probe.Class) *brokenError {
	return &brokenError{layer: layer, class: class, detail: sentence(class, c.t, c.addr, c.p.limits)}
}

// read fills the answer from the wire. What was read before an error stays.
func (a *answer) read(reader *bufio.Reader, limit int64) error {
	resp, err := http.ReadResponse(reader, nil)
	for range 4 { // such as 103 Early Hints
		if err != nil || resp.StatusCode >= 200 {
			break
		}
		_ = resp.Body.Close() // has none
		resp, err = http.ReadResponse(reader, nil)
	}
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // the connection is closed anyway
	a.status, a.header, a.closes = resp.StatusCode, resp.Header, resp.Close
	a.line = printable(resp.Proto+" "+resp.Status, 200)
	var body bytes.Buffer
	_, err = io.Copy(&body, io.LimitReader(resp.Body, limit+1))
	a.body = body.Bytes()
	if int64(len(a.body)) > limit {
		a.body, a.cut = a.body[:limit], true
		return nil
	}
	return err
}

// bounded runs do, which uses conn, for at most limit, or until ctx ends; then do sees an
// os.ErrDeadlineExceeded. It needs no wall clock, and leaves no deadline behind.
func bounded(ctx context.Context, conn net.Conn, limit time.Duration, do func() error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cut := make(chan struct{})
	stop := context.AfterFunc(limited, func() {
		defer close(cut)
		_ = conn.SetDeadline(time.Unix(1, 0)) // long past; fails only on a closed connection
	})
	err := do()
	if !stop() {
		<-cut
		_ = conn.SetDeadline(time.Time{})
	}
	return err
}

// firstByteClass sorts an error of asking and waiting for the first byte.
func firstByteClass(err error) probe.Class {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return probe.ClassHTTPFirstByte
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return probe.ClassHTTPEOF
	}
	return probe.ClassHTTPReset
}

// bodyClass sorts an error of reading an answer that had begun.
func bodyClass(err error) probe.Class {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return probe.ClassHTTPBody
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return probe.ClassHTTPCut
	}
	return probe.ClassHTTPMalformed
}

// printable returns s on one line without control characters, cut to n bytes.
func printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
