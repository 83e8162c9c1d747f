package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/upgradegate/upgradegate/agent/wire"
	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Policy bounds what the gate may order. It is this operator's, not the gate's.
type Policy struct {
	Allow       []varnish.Allow // the only addresses that are dialled; at least one
	MaxRate     float64         // probes a second of all streams together, to each address of a name
	MaxDuration time.Duration   // of one stream
}

// Defaults of a policy.
const (
	DefaultMaxRate     = 200
	DefaultMaxDuration = time.Hour
)

// Guard returns the guard that every dial of the agent goes through.
func (p Policy) Guard() varnish.Guard { return varnish.Guard{Allow: p.Allow, Only: true} }

// texts returns the list as it was written.
func (p Policy) texts() []string {
	out := make([]string, 0, len(p.Allow))
	for _, one := range p.Allow {
		out = append(out, one.String())
	}
	return out
}

// rateFits refuses a stream with which more would be sent than is allowed; running is what is sent already.
func (p Policy) rateFits(name upgrade.AgentName, running float64, every time.Duration) error {
	if every <= 0 {
		return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("probes cannot be sent every %s", every)}
	}
	with := running + float64(time.Second)/float64(every)
	if with <= p.MaxRate {
		return nil
	}
	return &upgrade.Error{
		Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("agent %s sends %s probes a second at most, and with this stream it would be %s", name, rate(p.MaxRate), rate(with)),
		Hint: "probe less often, or start the agent with a larger --max-rate",
	}
}

// What one probe may take at most: a page of a site, not a file.
const (
	mostConnect  = 10 * time.Second
	mostResponse = time.Minute
	mostBody     = 8 << 20
)

// limitsFit refuses probes that would hold the site, or this host, for longer than any page needs.
func limitsFit(name upgrade.AgentName, l probe.Limits) error {
	if l.DNS <= mostConnect && l.Connect <= mostConnect && l.Response <= mostResponse && l.Body <= mostBody && min(l.DNS, l.Connect, l.Response) >= 0 && l.Body >= 0 {
		return nil
	}
	return &upgrade.Error{
		Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("agent %s gives a probe %s to connect, %s to answer and %d MiB at most", name, mostConnect, mostResponse, mostBody>>20),
		Hint: "ask for less",
	}
}

// What a gate may ask for besides streams: a few looks at once, and one after another at the pace of people.
const (
	climbsAtOnce = 32
	climbsBurst  = 64
	climbsEvery  = 500 * time.Millisecond
)

// allowance lets a number of things happen at once, and then one after each pause. The zero value is full.
type allowance struct {
	used float64
	at   time.Time
}

// take takes one, and reports whether there was one.
func (a *allowance) take(now time.Time) bool {
	a.used = max(0, a.used-float64(now.Sub(a.at))/float64(climbsEvery))
	a.at = now
	if a.used+1 > climbsBurst {
		return false
	}
	a.used++
	return true
}

// climbFitsLocked refuses more looks than a gate has a use for.
func (a *Agent) climbFitsLocked() error {
	climbing := 0
	for _, w := range a.works {
		if !w.stream && w.state == wire.StateRunning {
			climbing++
		}
	}
	if climbing < climbsAtOnce && a.climbs.take(a.cfg.Now()) {
		return nil
	}
	return &upgrade.Error{
		Code: upgrade.CodeLimited, Msg: fmt.Sprintf("agent %s looks at %d paths at once at most, and at one more every %s", a.id.Name, climbsAtOnce, climbsEvery), Hint: "ask again in a minute",
	}
}

func rate(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// lookupWithin bounds the look at a name before an order is taken.
const lookupWithin = 2 * time.Second

// resolver asks DNS; net.Resolver does it.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// reachable refuses a path of which no address may be dialled, before anything is sent. The guard on the
// socket decides all the same, each time, about what is really dialled. Where DNS has no answer the probe says so.
func (p Policy) reachable(ctx context.Context, dns resolver, path probe.Path) error {
	u, err := url.Parse(path.URL)
	if err != nil {
		return nil // the prober says what is wrong with it
	}
	port, host := uint16(443), u.Hostname()
	if u.Scheme == "http" {
		port = 80
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		port = uint16(n)
	}
	var addrs []netip.AddrPort
	if at, ok := path.Resolve[host]; ok {
		if pair, err := netip.ParseAddrPort(at); err == nil {
			addrs = append(addrs, pair)
		} else if addr, err := netip.ParseAddr(at); err == nil {
			addrs = append(addrs, netip.AddrPortFrom(addr, port))
		}
	} else if addr, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, netip.AddrPortFrom(addr, port))
	} else {
		ctx, cancel := context.WithTimeout(ctx, lookupWithin)
		defer cancel()
		found, err := dns.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil // the prober says what DNS said
		}
		for _, addr := range found {
			addrs = append(addrs, netip.AddrPortFrom(addr, port))
		}
	}
	var refused []error
	for _, addr := range addrs {
		if err := p.Guard().Check(addr); err != nil {
			refused = append(refused, err)
		}
	}
	if len(refused) == 0 || len(refused) < len(addrs) {
		return nil
	}
	return errors.Join(refused[0])
}
