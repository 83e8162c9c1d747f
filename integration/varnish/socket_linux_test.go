package varnish

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns a socket, and the other end of it.
func pair(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	got := make(chan net.Conn, 1)
	addr := serve(t, func(_ int, conn net.Conn) {
		got <- conn
		<-t.Context().Done()
	})
	s, err := (&sockets{}).connect(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, (<-got).(*net.TCPConn)
}

// TestSocket: it does and fails as any other connection.
func TestSocket(t *testing.T) {
	t.Run("more_than_fits", func(t *testing.T) {
		s, other := pair(t)
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB: it is full again and again
		written := make(chan error, 1)
		go func() {
			_, err := other.Write(sent)
			written <- errors.Join(err, other.CloseWrite())
		}()
		got, err := io.ReadAll(s)
		if err := errors.Join(err, <-written); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes came: %v", len(got), len(sent), err)
		}
		go func() {
			_, err := s.Write(sent)
			written <- errors.Join(err, s.Close())
		}()
		got, err = io.ReadAll(other)
		if err := errors.Join(err, <-written); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes went: %v", len(got), len(sent), err)
		}
	})
	t.Run("names", func(t *testing.T) {
		s, other := pair(t)
		if s.LocalAddr().String() != other.RemoteAddr().String() || s.RemoteAddr().String() != other.LocalAddr().String() {
			t.Errorf("%s to %s, and the other end says %s to %s", s.LocalAddr(), s.RemoteAddr(), other.RemoteAddr(), other.LocalAddr())
		}
	})
	t.Run("deadline", func(t *testing.T) {
		s, other := pair(t)
		if err := s.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := s.Read(make([]byte, 1))
		var network net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &network) || !network.Timeout() {
			t.Errorf("read: %v", err)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
		if err := s.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		_, written := other.Write([]byte("x"))
		if n, err := s.Read(make([]byte, 1)); n != 1 || written != nil || err != nil {
			t.Errorf("without a deadline: read %d: %v, %v", n, err, written)
		}
	})
	t.Run("nothing_asked", func(t *testing.T) {
		s, _ := pair(t)
		if n, err := s.Read(nil); n != 0 || err != nil {
			t.Errorf("read %d: %v", n, err)
		}
		if n, err := s.Write(nil); n != 0 || err != nil {
			t.Errorf("wrote %d: %v", n, err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		s, other := pair(t)
		if err := errors.Join(other.SetLinger(0), other.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write: %v", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		s, other := pair(t)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n, err := other.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("the other end read %d: %v", n, err)
		}
		_, read := s.Read(make([]byte, 1))
		_, written := s.Write([]byte("x"))
		for what, err := range map[string]error{"read": read, "write": written, "deadline": s.SetDeadline(time.Now())} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("again: %v", err)
		}
	})
}

// unused returns an address of this machine where nothing listens.
func unused(t *testing.T, at string) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", at)
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	defer func() { _ = ln.Close() }()
	return netip.MustParseAddrPort(ln.Addr().String())
}

// full returns an address where connections are neither taken nor refused: more wait than may.
func full(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port))
	for { // until one more does not fit
		conn, err := net.DialTimeout("tcp", addr.String(), 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

// TestSocketConnects: errors of connecting are those of any other connection.
func TestSocketConnects(t *testing.T) {
	var from sockets
	t.Run("refused", func(t *testing.T) {
		for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
			addr := unused(t, at)
			_, err := from.connect(t.Context(), addr)
			_, usual := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr.String())
			if !errors.Is(err, syscall.ECONNREFUSED) || err.Error() != usual.Error() {
				t.Errorf("got %v, want %v", err, usual)
			}
		}
	})
	t.Run("IPv6", func(t *testing.T) {
		ln, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Skipf("skipped: %v", err)
		}
		defer func() { _ = ln.Close() }()
		s, err := from.connect(t.Context(), netip.MustParseAddrPort(ln.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		other, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		if s.LocalAddr().String() != other.RemoteAddr().String() {
			t.Errorf("%s, and the other end says %s", s.LocalAddr(), other.RemoteAddr())
		}
	})
	t.Run("no_answer", func(t *testing.T) {
		addr := full(t)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := from.connect(ctx, addr)
		var network net.Error
		if !errors.As(err, &network) || !network.Timeout() {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begun); took < 50*time.Millisecond || took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
	t.Run("too_late_to_begin", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := from.connect(ctx, unused(t, "127.0.0.1:0")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no_such_network", func(t *testing.T) {
		for _, to := range []string{"255.255.255.255:80", "[fe80::1]:80"} { // broadcast; link-local on no link
			_, err := from.connect(t.Context(), netip.MustParseAddrPort(to))
			if localTrouble(err) == nil && !strings.Contains(err.Error(), "unreachable") {
				t.Errorf("%s: %v", to, err)
			}
		}
	})
}

// TestSocketMeetsItself: a connection that Linux makes from a port to itself is none. In a network of its own, with few
// ports to connect from.
func TestSocketMeetsItself(t *testing.T) {
	var unable error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and with it its network
		if unable = fewPorts(t.Context()); unable != nil {
			return
		}
		var from sockets
		for range 1000 {
			s, err := from.connect(t.Context(), netip.MustParseAddrPort("127.0.0.1:40001"))
			if err == nil {
				t.Errorf("it is connected: %s to %s", s.LocalAddr(), s.RemoteAddr())
				return
			}
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Error(err)
				return
			}
		}
	}()
	<-done
	if unable != nil {
		t.Skipf("skipped: it needs a network of its own: %v", unable)
	}
}

// fewPorts puts this thread into a network of its own, where connections come from the ports 40001 to 40010.
func fewPorts(ctx context.Context) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").Run(); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40001 40010"), 0o600)
}

// TestSocketsLeaveNothing: what they were given is given back.
func TestSocketsLeaveNothing(t *testing.T) {
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	addr := serve(t, func(_ int, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	nobody := unused(t, "127.0.0.1:0")
	var from sockets
	before := open()
	for range 200 {
		s, err := from.connect(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := from.connect(t.Context(), nobody); err == nil {
			t.Fatal("somebody answers")
		}
	}
	for range 200 { // the other ends close in their own time, spare epoll instances with the garbage
		runtime.GC()
		if open() <= before+4 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d open files became %d", before, open())
}
