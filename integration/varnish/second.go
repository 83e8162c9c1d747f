package varnish

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// proxyLocal is a PROXY protocol version 2 preamble of kind LOCAL: it says "no proxied connection" and so
// claims no address for anybody.
const proxyLocal = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

// secondLook asks once more, differently, where the first look left two explanations. It returns broken,
// sharpened or as it was.
func (c *climber) secondLook(ctx context.Context, broken *brokenError) error {
	switch broken.class { //nolint:exhaustive // the others have one explanation
	case probe.ClassHTTPEOF, probe.ClassHTTPReset:
		if !c.t.tls && !c.t.path.Proxy && c.answers(ctx, append([]byte(proxyLocal), c.request(false)...)) {
			broken.layer, broken.class = probe.LayerProxy, probe.ClassProxyPort
			broken.detail = sentence(broken.class, c.t, c.addr, c.p.limits)
		}
		if refusal := c.refusal(ctx); refusal != nil {
			broken = refusal
		}
	case probe.ClassHTTPFirstByte:
		if c.t.path.Plain {
			break
		}
		// Varnish itself answers 400 to two Host headers (cache_http1_proto.c), without asking anybody.
		twice := "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\nUser-Agent: " + c.p.agent + "\r\nConnection: close\r\n\r\n"
		if c.answers(ctx, []byte(twice)) {
			broken.layer = probe.LayerBackend
			broken.detail = "small answers come, but this page does not begin within " + probe.Length(c.p.limits.Response) +
				": the backend hangs, the way to it drops packets, or large packets get lost on the way here (MTU)"
			c.good(probe.LayerVarnish, 0, "answers by itself")
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return broken
}

// refusalTries is how often a refusal that may get lost is asked for again.
const refusalTries = 3

// refusal asks again through a terminator for the bare 400 with which Varnish refuses a PROXY preamble it does not
// expect. Varnish closes with the request unread, so its kernel resets the connection, and a terminator that has not
// read the 400 by then loses it. Nil: none came.
func (c *climber) refusal(ctx context.Context) *brokenError {
	if !c.t.tls {
		return nil
	}
	for range refusalTries {
		again := &climber{p: c.p, t: c.t, addr: c.addr, quiet: true}
		if conn, err := again.connect(ctx); err == nil {
			got, err := again.exchange(ctx, conn, c.request(false))
			_ = conn.Close() // only its answer mattered
			switch {
			case err != nil: // lost again
			case c.refused(got):
				return c.mismatch(got)
			default:
				return nil
			}
		}
	}
	return nil
}

// answers reports whether a new connection, with TLS where the address says so, answers HTTP to raw
// bytes within the connect limit.
func (c *climber) answers(ctx context.Context, raw []byte) bool {
	second := &climber{p: c.p, t: c.t, addr: c.addr}
	second.ladder.Rungs = append(second.ladder.Rungs, c.ladder.Rungs...) // its rungs are not kept
	conn, err := second.connect(ctx)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // only its first answer mattered
	return c.hears(ctx, conn, raw)
}

// speaksHTTP reports whether plain HTTP is answered where TLS was expected.
func (c *climber) speaksHTTP(ctx context.Context) bool {
	limited, cancel := context.WithTimeout(ctx, c.p.limits.Connect)
	defer cancel()
	conn, err := c.p.dial(limited, "tcp", c.addr.String())
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // only its first answer mattered
	return c.hears(ctx, conn, c.request(false))
}

// hears reports whether HTTP comes back to raw bytes within the connect limit.
func (c *climber) hears(ctx context.Context, conn net.Conn, raw []byte) bool {
	heard := false
	err := bounded(ctx, conn, c.p.limits.Connect, func() error {
		if _, err := conn.Write(raw); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, headRoom)), nil)
		heard = err == nil
		if heard {
			return resp.Body.Close()
		}
		return err
	})
	return heard || err == nil
}
