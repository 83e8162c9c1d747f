//go:build !linux

package varnish

import "net"

// unwatch returns conn as it is.
func unwatch(conn net.Conn) net.Conn { return conn }
