package lab

import (
	"context"
	"net/netip"
)

// NameOfAnother lets the name point at another host of Varnish's subnet, on which nothing listens.
func NameOfAnother(_ context.Context, l *Lab) (func() error, error) {
	l.names.set(namesAnswer, placeAddr(Peer))
	return func() error { l.names.set(namesAnswer, VarnishAddr()); return nil }, nil
}

// NamesDropped drops questions to the DNS server, as a security group does.
func NamesDropped(ctx context.Context, l *Lab) (func() error, error) {
	return filterAt(dns, "input", "udp dport 53 drop")(ctx, l)
}

// WrongNextHop lets Varnish's host send everything by a neighbour that forwards nothing.
func WrongNextHop(ctx context.Context, l *Lab) (func() error, error) {
	return change(edge, "route replace default via "+placeAddr(Peer).String(), "route replace default via 10.77.2.1")(ctx, l)
}

// LinkDown takes the link of Varnish's host down.
func LinkDown(ctx context.Context, l *Lab) (func() error, error) {
	return change(edge, "link set eth0 down", "link set eth0 up\nroute add default via 10.77.2.1")(ctx, l)
}

// PacketsLost loses every other packet that opens a connection to the site: Linux sends it again after a
// second, so that everything works, a second late.
func PacketsLost(ctx context.Context, l *Lab) (func() error, error) {
	return filter("input", "tcp dport { 80, 443 } tcp flags & (syn | ack) == syn numgen inc mod 2 0 drop")(ctx, l)
}

// UsersShut lets users reach the two ports of the site and no other; nothing is broken by it.
func UsersShut(ctx context.Context, l *Lab) (func() error, error) {
	users, edgeNet := netip.MustParsePrefix("10.77.1.0/24"), netip.MustParsePrefix("10.77.2.0/24")
	err := l.SetIngress(ctx, []Rule{Admit(users, 80), Admit(users, 443), Admit(edgeNet, 0)})
	if err != nil {
		return nil, err
	}
	return func() error { return l.SetIngress(context.WithoutCancel(ctx), []Rule{Admit(Anywhere(), 0)}) }, nil
}
