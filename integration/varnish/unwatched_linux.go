package varnish

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unwatched is a TCP connection whose reads and writes do not tell Go's scheduler that they call the kernel. They
// never block there, since the socket does not; told of them, the scheduler would wake its watchdog thread for each,
// which costs a probe a fifth of its time of the processor. Waiting and deadlines are as usual.
type unwatched struct {
	*net.TCPConn
	raw   syscall.RawConn
	read  func(fd uintptr) bool // made once
	write func(fd uintptr) bool
	buf   []byte // of the call under way, one of a kind at a time
	n     int
	errno syscall.Errno
}

// unwatch returns conn unwatched if it is TCP. It is for one goroutine.
func unwatch(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	u := &unwatched{TCPConn: tcp, raw: raw}
	u.read = func(fd uintptr) bool { return u.call(unix.SYS_READ, fd) }
	u.write = func(fd uintptr) bool { return u.call(unix.SYS_WRITE, fd) }
	return u
}

// call reports whether the call ended: false to wait until it can.
func (u *unwatched) call(what, fd uintptr) bool {
	n, errno := uintptr(0), syscall.EINTR
	for errno == syscall.EINTR {
		n, _, errno = syscall.RawSyscall(what, fd, uintptr(unsafe.Pointer(&u.buf[0])), uintptr(len(u.buf))) //nolint:gosec // as syscall.Read does
	}
	if errno == syscall.EAGAIN {
		return false
	}
	if u.errno = errno; errno == 0 {
		u.n = int(n)
	}
	return true
}

func (u *unwatched) begin(b []byte) { u.buf, u.n, u.errno = b, 0, 0 }

func (u *unwatched) fail(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Source: u.LocalAddr(), Addr: u.RemoteAddr(), Err: os.NewSyscallError(op, u.errno)}
}

// Read is as of net.Conn.
func (u *unwatched) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	u.begin(b)
	err := u.raw.Read(u.read)
	u.buf = nil
	switch {
	case err != nil:
		return 0, err
	case u.errno != 0:
		return 0, u.fail("read")
	case u.n == 0:
		return 0, io.EOF
	}
	return u.n, nil
}

// Write is as of net.Conn.
func (u *unwatched) Write(b []byte) (done int, err error) {
	for done < len(b) {
		u.begin(b[done:])
		err := u.raw.Write(u.write)
		u.buf = nil
		switch {
		case err != nil:
			return done, err
		case u.errno != 0:
			return done, u.fail("write")
		}
		done += u.n
	}
	return done, nil
}
