package varnish

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// climber is one attempt on one address.
type climber struct {
	p      *Prober
	t      *target
	addr   netip.AddrPort
	quiet  bool // only what comes of it is wanted, and no ladder
	ladder probe.Ladder
	raw    net.Conn // TCP of the last connection, below TLS
	resent int      // packets that were sent again when raw was connected

	presented []*x509.Certificate // by the terminator, if connectOnce got so far
}

// brokenError ends a climb: the site is broken at a layer. Any other error means that nobody could tell.
type brokenError struct {
	layer  probe.Layer
	class  probe.Class
	detail string
	took   time.Duration
	answer *answer // that showed it; nil when none came
}

// Error returns the sentence for people.
func (e *brokenError) Error() string { return e.detail }

// errNoIPv6 says that an address could not be judged from here.
var errNoIPv6 = &upgrade.Error{
	Code: upgrade.CodeUnavailable, Msg: "the name has IPv6 addresses only, and this machine has no IPv6",
	Hint: "probe from a machine with IPv6, or publish an IPv4 address",
}

// layers returns the layers of a path from the outside in.
func layers(path probe.Path) []probe.Layer {
	if path.Plain {
		return []probe.Layer{probe.LayerDNS, probe.LayerTCP, probe.LayerTLS, probe.LayerProxy, probe.LayerHTTP, probe.LayerContent}
	}
	return []probe.Layer{
		probe.LayerDNS, probe.LayerTCP, probe.LayerTLS, probe.LayerProxy,
		probe.LayerVarnish, probe.LayerBackend, probe.LayerContent, probe.LayerCache,
	}
}

// front returns the layer of what takes requests.
func (c *climber) front() probe.Layer {
	if c.t.path.Plain {
		return probe.LayerHTTP
	}
	return probe.LayerVarnish
}

// begin starts a ladder on which nothing has been reached.
func (p *Prober) begin(t *target, addr netip.AddrPort, at time.Time) *climber {
	c := &climber{p: p, t: t, addr: addr}
	c.ladder = probe.Ladder{URL: t.redact.clean(t.url.Redacted()), Address: addr, At: at}
	for _, layer := range layers(t.path) {
		c.ladder.Rungs = append(c.ladder.Rungs, probe.Rung{Layer: layer, State: probe.RungNotReached})
	}
	return c
}

// settle writes the rung that was found before the ladder of this address began. It reports whether the
// climb can go on from there.
func (c *climber) settle(f found) bool {
	c.ladder.Rungs[0], c.ladder.TTL = f.rung, f.ttl
	if f.rung.State == probe.RungOK && c.addr.IsValid() && !c.t.expects(c.addr.Addr()) {
		c.stop(&brokenError{
			layer: probe.LayerDNS, class: probe.ClassDNSUnexpected, took: f.rung.Took,
			detail: unexpected(c.t, c.addr.Addr()),
		})
	}
	return c.ladder.Rungs[0].State != probe.RungBroken
}

// finish returns the ladder.
func (c *climber) finish() probe.Ladder {
	c.ladder.Took = c.p.now().Sub(c.ladder.At)
	return c.ladder
}

// rung returns the rung of a layer, to be written.
func (c *climber) rung(layer probe.Layer) *probe.Rung {
	for i := range c.ladder.Rungs {
		if c.ladder.Rungs[i].Layer == layer {
			return &c.ladder.Rungs[i]
		}
	}
	panic("no layer " + string(layer))
}

// good writes that a layer is as it should be.
func (c *climber) good(layer probe.Layer, took time.Duration, detail string) {
	if c.quiet {
		return
	}
	r := c.rung(layer)
	r.State, r.Class, r.Took, r.Detail = probe.RungOK, probe.ClassOK, took, c.t.redact.clean(detail)
}

// warn notes what should be looked at although it breaks nothing, once per class.
func (c *climber) warn(layer probe.Layer, class probe.Class, format string, args ...any) {
	if c.quiet {
		return
	}
	known := func(w probe.Warning) bool { return w.Class == class }
	if !slices.ContainsFunc(c.ladder.Warnings, known) {
		c.ladder.Warnings = append(c.ladder.Warnings, probe.Warning{Layer: layer, Class: class, Detail: c.t.redact.clean(fmt.Sprintf(format, args...))})
	}
}

// skip writes that a layer was not asked, and why.
func (c *climber) skip(layer probe.Layer, detail string) {
	if c.quiet {
		return
	}
	r := c.rung(layer)
	r.State, r.Detail = probe.RungNotAsked, c.t.redact.clean(detail)
}

// stop writes the broken rung and forgets what was seen above it, for a later look may have broken lower
// than an earlier one.
func (c *climber) stop(e *brokenError) {
	reached := true
	for i := range c.ladder.Rungs {
		r := &c.ladder.Rungs[i]
		switch {
		case r.Layer == e.layer:
			r.State, r.Class, r.Took, r.Detail = probe.RungBroken, e.class, e.took, c.t.redact.clean(e.detail)
			reached = false
		case !reached:
			*r = probe.Rung{Layer: r.Layer, State: probe.RungNotReached}
		}
	}
	if e.answer != nil {
		c.ladder.Status = e.answer.status
		c.ladder.Quote = c.quote(e.answer)
	}
}

// climb goes up until a rung is broken. Error: nobody could tell.
func (c *climber) climb(ctx context.Context) error {
	err := c.steps(ctx)
	if err == nil {
		return nil
	}
	if broken, ok := err.(*brokenError); ok { //nolint:errorlint // never wrapped: it is a result, not a failure
		c.stop(broken)
		return nil
	}
	return err
}

// steps is the climb itself. A *brokenError is a result; any other error means that nobody could tell.
func (c *climber) steps(ctx context.Context) error {
	if c.p.check(c.addr) == nil && c.addr.Addr().Is6() && !c.t.given.IsValid() && c.p.noRoute(ctx, c.addr) {
		// A machine without IPv6 cannot judge the IPv6 half of a name.
		for _, layer := range layers(c.t.path)[1:] {
			c.skip(layer, "this machine has no IPv6")
		}
		return errNoIPv6
	}
	got, err := c.look(ctx, false)
	if err != nil {
		return err
	}
	if err := c.judge(ctx, got); err != nil {
		return err
	}
	return c.large(ctx)
}
