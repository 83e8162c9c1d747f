package varnish

import (
	"net"

	"golang.org/x/sys/unix"
)

// retransmits returns how many packets of a fresh connection had to be sent again, 0 where that is not
// known. More than none means that packets get lost though the connection stands.
func retransmits(conn net.Conn) int {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Total_retrans)
		}
	})
	if err != nil {
		return 0
	}
	return n
}
