package varnish

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// large fetches the path's large object: what does not fit into one packet is what shows that large
// packets get lost, when everything smaller has come through.
func (c *climber) large(ctx context.Context) error {
	want := c.t.path.Large
	if want.Page == "" {
		return nil
	}
	conn, err := c.connectOnce(ctx, c.tlsConfig())
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	defer func() { _ = conn.Close() }() // everything that mattered has been read

	if err := conn.SetDeadline(time.Time{}); err != nil { // what was left of connecting is no limit on the answer
		return c.broke(c.front(), probe.ClassHTTPReset)
	}
	start := c.p.now()
	got, err := c.exchange(ctx, conn, c.requestFor(c.t.large, false))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	took := c.p.now().Sub(start)
	fail := func(class probe.Class, format string, args ...any) error {
		return &brokenError{layer: probe.LayerContent, class: class, detail: want.Page + ": " + fmt.Sprintf(format, args...), took: took, answer: got}
	}
	if err != nil {
		broken, ok := err.(*brokenError) //nolint:errorlint // never wrapped: it is a result, not a failure
		if !ok {
			return err
		}
		switch broken.class { //nolint:exhaustive // the others say what they are
		case probe.ClassHTTPBody, probe.ClassHTTPFirstByte:
			return fail(broken.class, "small answers come whole, but this one does not within %s: large packets get lost on the way (MTU), or the backend stalls", probe.Length(c.p.limits.Response))
		}
		broken.layer, broken.detail = probe.LayerContent, want.Page+": "+broken.detail
		return broken
	}
	switch {
	case got.status != http.StatusOK:
		return fail(probe.ClassBackendStatus, "the answer is %d, expected 200", got.status)
	case len(got.body) < want.MinBytes && !got.cut:
		return fail(probe.ClassWrongContent, "it has %s, where %s is the least", counted(len(got.body), "byte"), counted(want.MinBytes, "byte"))
	}
	return nil
}
