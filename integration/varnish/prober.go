package varnish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// DefaultUserAgent is what probes call themselves unless configured.
const DefaultUserAgent = "upgradegate-probe/1"

// atOnce is how many addresses of one name are probed at the same time: enough for the address of each
// zone of a load balancer, not enough to be a burst.
const atOnce = 4

// quoteBody is how much of a failing answer's body is quoted, in bytes.
const quoteBody = 2 << 10

// resolver asks DNS; [net.Resolver] does it, and [Resolver], which tells for how long answers may be kept as well.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer connects to a literal address.
type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// Config is what a [Prober] needs. The zero value is usable.
type Config struct {
	Guard     Guard        // what may be dialled; the zero value: public addresses only
	Limits    probe.Limits // bounds of one attempt; zero fields take their defaults
	UserAgent string       // empty: DefaultUserAgent
	// Within runs do where the prober is to look from, such as on a thread in another network namespace. Nil: here.
	Within func(do func() error) error
	// Dial connects to a literal address in place of the prober, and Within is not asked. Nil: the prober does, with
	// the guard on the socket itself. Every address is checked by the guard either way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Resolver asks DNS. Nil: the system's way.
	Resolver resolver
	// Now dates ladders, measures latencies and judges certificates. Nil: the time of the system.
	Now func() time.Time
}

// Prober looks at paths. It keeps nothing of one look for another; all methods may be called at the same time.
type Prober struct {
	guard    Guard
	checked  *verdicts
	limits   probe.Limits
	agent    string
	dial     dialer
	direct   func(context.Context, netip.AddrPort) (net.Conn, error) // dial, for connections that nothing but a deadline cuts short
	route    dialer                                                  // asked for UDP only, to learn whether there is a route
	resolver resolver
	now      func() time.Time
}

// New returns a prober.
func New(cfg Config) *Prober {
	p := &Prober{
		guard: cfg.Guard, checked: &verdicts{},
		limits: probe.Limits{
			DNS:      cmp.Or(cfg.Limits.DNS, 2*time.Second),
			Connect:  cmp.Or(cfg.Limits.Connect, 800*time.Millisecond),
			Response: cmp.Or(cfg.Limits.Response, 5*time.Second),
			Body:     cmp.Or(cfg.Limits.Body, 1<<20),
		},
		agent:    cmp.Or(cfg.UserAgent, DefaultUserAgent),
		dial:     cfg.Dial,
		route:    cfg.Dial,
		resolver: cfg.Resolver,
		now:      cfg.Now,
	}
	if p.dial == nil {
		p.connectFrom(cfg.Within)
	} else {
		p.direct = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return p.dial(ctx, "tcp", addr.String())
		}
	}
	if p.resolver == nil {
		p.resolver = NewResolver(nil)
	}
	if p.now == nil {
		p.now = time.Now //nolint:forbidigo // the documented default: latencies are real
	}
	return p
}

// connectFrom has the prober connect by itself, from within.
func (p *Prober) connectFrom(within func(do func() error) error) {
	if within == nil {
		within = func(do func() error) error { return do() }
	}
	from := func(d *net.Dialer) dialer {
		return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = within(func() (err error) {
				conn, err = d.DialContext(ctx, network, address)
				return err
			})
			return conn, err
		}
	}
	p.route = from(&net.Dialer{})
	p.dial = from(&net.Dialer{Control: p.control, KeepAlive: -1, FallbackDelay: -1}) // no keep-alive packets: most connections live for one request
	direct := &sockets{}
	p.direct = func(ctx context.Context, addr netip.AddrPort) (conn net.Conn, err error) {
		err = within(func() (err error) {
			conn, err = direct.connect(ctx, addr)
			return err
		})
		return conn, err
	}
}

// Climb looks at path once: one ladder for each address behind its name, in DNS's order, or a single one
// without an address when DNS has none. A ladder has all layers, those of an HTTP server alone when the
// path is plain; the first broken one is the only broken one, and those above it are not reached. What a
// layer says holds no secret of the path. On a machine without IPv6 the ladders of IPv6 addresses are not
// asked, as long as there is another address. The first ladder tells of the doors that must be closed.
//
// Error: CodeInvalid when the path cannot be probed as written; CodeUnavailable when this machine could
// not tell, for a reason of its own; the context's own error when it ended. A broken site is no error.
func (p *Prober) Climb(ctx context.Context, path probe.Path) ([]probe.Ladder, error) {
	t, err := parse(path)
	if err != nil {
		return nil, err
	}
	at := p.now()
	found, err := p.lookUp(ctx, t)
	if err != nil {
		return nil, err
	}
	if len(found.addrs) == 0 {
		c := p.begin(t, netip.AddrPort{}, at)
		c.settle(found)
		c.ladder.Doors = p.knock(ctx, t, nil)
		return []probe.Ladder{c.finish()}, nil
	}
	ladders := make([]probe.Ladder, len(found.addrs))
	errs := make([]error, len(found.addrs))
	var group sync.WaitGroup
	turn := make(chan struct{}, atOnce)
	for i, addr := range found.addrs {
		turn <- struct{}{}
		group.Go(func() {
			defer func() { <-turn }()
			c := p.begin(t, addr, at)
			if c.settle(found) {
				errs[i] = c.climb(ctx)
			}
			ladders[i] = c.finish()
		})
	}
	group.Wait()
	blind := 0
	for _, err := range errs {
		switch {
		case errors.Is(err, errNoIPv6):
			blind++ // its ladder says so
		case err != nil:
			return nil, err
		}
	}
	if blind == len(ladders) {
		return nil, errNoIPv6
	}
	perAddress(t, ladders)
	ladders[0].Doors = p.knock(ctx, t, found.addrs)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return ladders, nil
}

// perAddress warns on the broken ladders of a name of which other addresses are whole: what users see
// depends on the address that they happen to take, and a client that tries them in turn hides it.
func perAddress(t *target, ladders []probe.Ladder) {
	broken, whole := 0, 0
	for _, ladder := range ladders {
		if _, bad := ladder.Broken(); bad {
			broken++
		} else if ladder.Rungs[1].State == probe.RungOK {
			whole++ // the others, of IPv6, were not asked
		}
	}
	if broken == 0 || whole == 0 {
		return
	}
	for i := range ladders {
		if _, bad := ladders[i].Broken(); bad {
			ladders[i].Warnings = append(ladders[i].Warnings, probe.Warning{
				Layer: probe.LayerDNS, Class: probe.ClassPerIP,
				Detail: fmt.Sprintf("%d of %d addresses behind %s do not work, among them %s: some users get through and some do not", broken, broken+whole, t.host, ladders[i].Address.Addr()),
			})
		}
	}
}
