package varnish

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair returns two ends of a TCP connection, the first one unwatched.
func pair(t *testing.T) (net.Conn, *net.TCPConn) {
	t.Helper()
	got := make(chan net.Conn, 1)
	addr := serve(t, func(_ int, conn net.Conn) {
		got <- conn
		<-t.Context().Done()
	})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	u := unwatch(conn)
	if _, ok := u.(*unwatched); !ok {
		t.Fatalf("got a %T", u)
	}
	return u, (<-got).(*net.TCPConn)
}

// TestUnwatched: such a connection does and fails as any other.
func TestUnwatched(t *testing.T) {
	t.Run("more_than_fits", func(t *testing.T) {
		u, other := pair(t)
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB: the socket is full again and again
		written := make(chan error, 1)
		go func() {
			_, err := u.Write(sent)
			written <- errors.Join(err, u.(*unwatched).CloseWrite())
		}()
		got, err := io.ReadAll(other)
		if err := errors.Join(err, <-written); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes: %v", len(got), len(sent), err)
		}
		go func() {
			_, err := other.Write(sent)
			written <- errors.Join(err, other.Close())
		}()
		got, err = io.ReadAll(u)
		if err := errors.Join(err, <-written); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes came back: %v", len(got), len(sent), err)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		u, _ := pair(t)
		if err := u.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := u.Read(make([]byte, 1))
		var network net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &network) || !network.Timeout() {
			t.Errorf("read: %v", err)
		}
		if _, err := u.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
		}
	})
	t.Run("nothing_asked", func(t *testing.T) {
		u, _ := pair(t)
		if n, err := u.Read(nil); n != 0 || err != nil {
			t.Errorf("read %d: %v", n, err)
		}
		if n, err := u.Write(nil); n != 0 || err != nil {
			t.Errorf("wrote %d: %v", n, err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		u, other := pair(t)
		if err := errors.Join(other.SetLinger(0), other.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		if _, err := u.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write: %v", err)
		}
	})
	t.Run("closed_meanwhile", func(t *testing.T) {
		u, _ := pair(t)
		read := make(chan error, 1)
		go func() {
			_, err := u.Read(make([]byte, 1))
			read <- err
		}()
		time.Sleep(10 * time.Millisecond)
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-read; !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: %v", err)
		}
	})
}
