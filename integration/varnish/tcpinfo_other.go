//go:build !linux

package varnish

import "net"

// retransmits is known on Linux only.
func retransmits(net.Conn) int { return 0 }
