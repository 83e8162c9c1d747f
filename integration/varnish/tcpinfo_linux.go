package varnish

import (
	"net"

	"golang.org/x/sys/unix"
)

// retransmits returns how many packets of a fresh connection had to be sent again, 0 where that is not
// known. More than none means that packets get lost though the connection stands. Packets that the other side
// says it had already (RFC 2883) are not counted: Linux sends the last one again when a busy peer lets it wait
// 10 ms (a tail loss probe, RFC 8985 §7).
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
			n = max(0, int(info.Total_retrans)-int(info.Dsack_dups))
		}
	})
	if err != nil {
		return 0
	}
	return n
}
