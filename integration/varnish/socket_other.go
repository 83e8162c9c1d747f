//go:build !linux

package varnish

import (
	"context"
	"net"
	"net/netip"
)

// sockets connects to literal addresses for probes of streams. The zero value is ready.
type sockets struct{}

// connect connects to addr until ctx ends.
func (*sockets) connect(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", addr.String())
}
