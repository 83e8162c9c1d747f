package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Kind says how real a [Site] is, in words for people.
type Kind string

// The kinds, the best first.
const (
	KindNamespaces Kind = "varnishd in network namespaces"
	KindForwarder  Kind = "varnishd behind a forwarder"
	KindStandIn    Kind = "stand-in"
)

// SiteConfig is what [OpenSite] needs.
type SiteConfig struct {
	Config
	Kind Kind // demand this kind; empty: the best that this machine can have
}

// Site is a site behind Varnish, with a packet filter in front that can be told rules while it runs. All
// kinds look the same from outside. Close it.
type Site struct {
	Kind    Kind
	Why     string            // why it is not of a better kind; empty for the best
	URL     string            // of a page that is never cached, by name
	Resolve map[string]string // where that name is; no DNS knows it
	Port    uint16            // the port that rules speak of
	// Dial connects from where users are, to what Resolve says. Nothing else may dial it: addresses of
	// namespaces mean other machines outside of them.
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Allow    []Allow      // what a guard must let a prober reach, and no more
	Bypass   probe.Bypass // how to ask past the cache
	Backends []*Backend

	dial    func(from Place) dialer
	ingress func(context.Context, []Rule) error
	varnish service
	close   []func() error // in order
}

// Allow is a range of addresses and TCP ports of it.
type Allow struct {
	Prefix netip.Prefix
	Ports  []uint16
}

// String returns the form in which a configuration names it, such as "10.77.2.10/32:80,443".
func (a Allow) String() string {
	words := make([]string, len(a.Ports))
	for i, port := range a.Ports {
		words[i] = strconv.Itoa(int(port))
	}
	return a.Prefix.String() + ":" + strings.Join(words, ",")
}

// dialer connects to a literal address.
type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// service can be stopped and started again.
type service interface {
	start() error
	stop() error
}

// Path returns how to probe a page of the site, such as "/nocache", "/" or "/big".
func (s *Site) Path(page string) probe.Path {
	return probe.Path{
		URL: "http://" + Host + page, Resolve: s.Resolve, ViaVarnish: true, Bypass: s.Bypass,
		Expect: probe.Expect{BodyContains: Marker},
	}
}

// DialFrom connects from a place.
func (s *Site) DialFrom(from Place) func(ctx context.Context, network, address string) (net.Conn, error) {
	return s.dial(from)
}

// Addr returns the address that rules see for connections from a place: that of User, Peer or LB.
func (s *Site) Addr(from Place) netip.Addr { return placeAddr(from) }

// SetIngress makes the rules those by which new TCP connections reach the site; when it returns they hold.
// What no rule fits is dropped; connections that stand live on. A site that was told no rules is open.
func (s *Site) SetIngress(ctx context.Context, rules []Rule) error { return s.ingress(ctx, rules) }

// StopVarnish ends what answers, StartVarnish starts it again with an empty cache. Stopping twice is fine.
func (s *Site) StopVarnish() error { return s.varnish.stop() }

// StartVarnish starts what StopVarnish ended; it answers shortly afterwards.
func (s *Site) StartVarnish() error { return s.varnish.start() }

// Close ends everything that belongs to the site.
func (s *Site) Close() error {
	var errs []error
	for _, f := range s.close {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}
