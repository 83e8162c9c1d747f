package lab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// reservePort binds a port on loopback without listening: connecting to it is refused, and nobody else
// gets it, until somebody with SO_REUSEADDR (Go sets it) listens.
func reservePort() (netip.AddrPort, io.Closer, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.AddrPort{}, nil, err
	}
	file := os.NewFile(uintptr(fd), "reserved port")
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return netip.AddrPort{}, nil, errors.Join(err, file.Close())
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return netip.AddrPort{}, nil, errors.Join(err, file.Close())
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, nil, errors.Join(err, file.Close())
	}
	in4, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return netip.AddrPort{}, nil, errors.Join(fmt.Errorf("bound to %T", name), file.Close())
	}
	return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port)), file, nil //nolint:gosec // a port
}

// setBacklog changes how many connections the kernel takes before anybody accepts them.
func setBacklog(ln *net.TCPListener, n int) error {
	raw, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = unix.Listen(int(fd), n) })
	return errors.Join(err, inner)
}

// queueFull reports whether a listener takes no further connection until one is accepted. Of a listener,
// TCP_INFO tells the length of its queue as "unacked" and the limit as "sacked" (tcp_get_info, Linux).
func queueFull(ln *net.TCPListener) (bool, error) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return false, err
	}
	var info *unix.TCPInfo
	var inner error
	err = raw.Control(func(fd uintptr) { info, inner = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err = errors.Join(err, inner); err != nil {
		return false, err
	}
	return info.Unacked > info.Sacked, nil
}

// inNamespace runs f on a thread inside a network namespace: sockets made in f, and processes started in
// it, live there. Dial only literal addresses in f; a name would be looked up on other threads.
func inNamespace(name string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := enter(name)
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// enter moves the calling thread, which must be locked, into a namespace.
func enter(name string) error {
	fd, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", name, err)
	}
	err = unix.Setns(fd, unix.CLONE_NEWNET)
	if cerr := unix.Close(fd); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	return nil
}
