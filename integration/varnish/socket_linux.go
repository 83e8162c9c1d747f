package varnish

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockets connects to literal addresses for probes of streams. The zero value is ready.
type sockets struct {
	spare sync.Pool // of *readiness that no socket uses: making one takes calls of which the scheduler is told
}

// begun is how often a connection is begun: Linux may give a socket the very port that it connects to, so that it
// meets itself, or one that is taken (golang.org/issue/2690).
const begun = 3

// connect connects to addr until the deadline of ctx; no other end of ctx is waited for. Errors are those of
// [net.Dialer].
func (from *sockets) connect(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	for try := 1; ; try++ {
		s := &socket{from: from, fd: noSocket, remote: net.TCPAddrFromAddrPort(addr)}
		s.try = s.call
		err := s.connect(ctx, addr)
		if err == nil {
			return s, nil
		}
		_ = s.Close() // what broke it is the news
		if try == begun || !errors.Is(err, errItself) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return nil, s.fail("dial", err)
		}
	}
}

// socket is a TCP connection that is made, used and closed without telling Go's scheduler that the kernel is called.
// It never blocks there; told of it, the scheduler would wake its watchdog thread for each call. That, and what
// [net.Dialer] starts beside to be able to give up, is a quarter of what a probe costs. It is for one goroutine, but
// for SetDeadline.
type socket struct {
	from          *sockets
	fd            uintptr // noSocket: none
	ready         *readiness
	local, remote *net.TCPAddr

	// The call under way: its number and what it is given; then what came of it.
	what   uintptr
	at     unsafe.Pointer
	length uintptr
	n      int
	errno  syscall.Errno
	try    func(epoll uintptr) bool // makes it; made once
}

const noSocket = ^uintptr(0)

// readiness tells that one socket may go on: an epoll instance, for which Go's own poller waits.
type readiness struct {
	epoll uintptr
	file  *os.File // owns epoll
	raw   syscall.RawConn
}

func newReadiness() (*readiness, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // by which os.NewFile knows that it can be waited for
		_ = unix.Close(epoll) // it was never used
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(epoll), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close() // as above
		return nil, err
	}
	return &readiness{epoll: uintptr(epoll), file: file, raw: raw}, nil
}

func (s *socket) connect(ctx context.Context, addr netip.AddrPort) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	var spare bool
	if s.ready, spare = s.from.spare.Get().(*readiness); !spare {
		if s.ready, err = newReadiness(); err != nil {
			return err
		}
	}
	deadline, _ := ctx.Deadline() // else the zero time: none
	if err := s.SetDeadline(deadline); err != nil {
		return err
	}
	family := s.aim(addr)
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	s.fd = fd
	if err := s.prepare(); err != nil {
		return err
	}
	s.what = unix.SYS_CONNECT
	if err := s.ready.raw.Read(s.try); err != nil {
		return err
	}
	if s.errno != 0 && s.errno != unix.EISCONN {
		return os.NewSyscallError("connect", s.errno)
	}
	if err := s.name(); err != nil {
		return err
	}
	if s.local.AddrPort() == s.remote.AddrPort() {
		return errItself
	}
	return nil
}

// errItself says that a socket met itself: nobody else listens there.
var errItself = os.NewSyscallError("connect", syscall.ECONNREFUSED)

// aim sets what connecting is given and returns the family of addr.
func (s *socket) aim(addr netip.AddrPort) (family uintptr) {
	port := addr.Port()<<8 | addr.Port()>>8 // in the network's order
	if at := addr.Addr().Unmap(); at.Is4() {
		s.at = unsafe.Pointer(&unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: at.As4()})
		s.length = unix.SizeofSockaddrInet4
		return unix.AF_INET
	}
	s.at = unsafe.Pointer(&unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: addr.Addr().As16()})
	s.length = unix.SizeofSockaddrInet6
	return unix.AF_INET6
}

// prepare has what is written sent at once, and ready told of the socket: before anything happens to it, since each
// change is told once.
func (s *socket) prepare() error {
	on := int32(1)
	_, _, errno := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, uintptr(unsafe.Pointer(&on)), unsafe.Sizeof(on), 0)
	if errno != 0 {
		return os.NewSyscallError("setsockopt", errno)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET}
	_, _, errno = syscall.RawSyscall6(unix.SYS_EPOLL_CTL, s.ready.epoll, unix.EPOLL_CTL_ADD, s.fd, uintptr(unsafe.Pointer(&event)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// name learns the address that the socket was given.
func (s *socket) name() error {
	var got unix.RawSockaddrInet6 // the longer one
	length := uint32(unsafe.Sizeof(got))
	_, _, errno := syscall.RawSyscall(unix.SYS_GETSOCKNAME, s.fd, uintptr(unsafe.Pointer(&got)), uintptr(unsafe.Pointer(&length)))
	if errno != 0 {
		return os.NewSyscallError("getsockname", errno)
	}
	at := netip.AddrFrom16(got.Addr)
	if got.Family == unix.AF_INET {
		at = netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&got)).Addr)
	}
	s.local = net.TCPAddrFromAddrPort(netip.AddrPortFrom(at, got.Port<<8|got.Port>>8))
	return nil
}

// call makes the call and reports whether it ended: false to wait until it can.
func (s *socket) call(epoll uintptr) bool {
	for {
		var n uintptr
		n, _, s.errno = syscall.RawSyscall(s.what, s.fd, uintptr(s.at), s.length)
		switch s.errno { //nolint:exhaustive // the others end it
		case 0:
			s.n = int(n)
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN, unix.EINPROGRESS, unix.EALREADY:
		default:
			return true
		}
		var event unix.EpollEvent
		news, _, _ := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(&event)), 1, 0, 0, 0)
		if int(news) <= 0 { // all that was told is known: the next will wake
			return false
		}
	}
}

// move reads or writes b.
func (s *socket) move(op string, what uintptr, b []byte) (int, error) {
	s.what, s.at, s.length, s.n, s.errno = what, unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)), 0, 0
	if s.fd == noSocket {
		return 0, s.fail(op, net.ErrClosed)
	}
	err := s.ready.raw.Read(s.try)
	s.at = nil
	if err == nil && s.errno != 0 {
		err = os.NewSyscallError(op, s.errno)
	}
	if err != nil {
		return 0, s.fail(op, err)
	}
	return s.n, nil
}

func (s *socket) fail(op string, err error) error {
	failed := &net.OpError{Op: op, Net: "tcp", Addr: s.remote, Err: err}
	if s.local != nil {
		failed.Source = s.local
	}
	return failed
}

// Read is as of net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err := s.move("read", unix.SYS_READ, b)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// Write is as of net.Conn.
func (s *socket) Write(b []byte) (done int, err error) {
	for done < len(b) {
		n, err := s.move("write", unix.SYS_WRITE, b[done:])
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// Close is as of net.Conn.
func (s *socket) Close() error {
	var errno syscall.Errno
	if s.fd != noSocket {
		_, _, errno = syscall.RawSyscall(unix.SYS_CLOSE, s.fd, 0, 0)
		s.fd = noSocket
	}
	if s.ready != nil {
		if err := s.SetDeadline(time.Time{}); err == nil {
			s.from.spare.Put(s.ready)
		}
		s.ready = nil
	}
	if errno != 0 {
		return s.fail("close", os.NewSyscallError("close", errno))
	}
	return nil
}

// LocalAddr is as of net.Conn.
func (s *socket) LocalAddr() net.Addr { return s.local }

// RemoteAddr is as of net.Conn.
func (s *socket) RemoteAddr() net.Addr { return s.remote }

// SetDeadline is as of net.Conn.
func (s *socket) SetDeadline(at time.Time) error {
	if s.ready == nil {
		return s.fail("set", net.ErrClosed)
	}
	return s.ready.file.SetReadDeadline(at)
}

// SetReadDeadline is as of net.Conn, and the same as SetDeadline.
func (s *socket) SetReadDeadline(at time.Time) error { return s.SetDeadline(at) }

// SetWriteDeadline is as of net.Conn, and the same as SetDeadline.
func (s *socket) SetWriteDeadline(at time.Time) error { return s.SetDeadline(at) }
