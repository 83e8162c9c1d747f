package service

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections lie in memory.
type pipes struct{ made chan net.Conn }

func (p *pipes) Accept() (net.Conn, error) {
	conn, ok := <-p.made
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p *pipes) Close() error {
	defer func() { _ = recover() }() // the server closes it again
	close(p.made)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// connected serves a handler and returns a connection to it.
func connected(t *testing.T, handler http.HandlerFunc) net.Conn {
	t.Helper()
	listener := &pipes{make(chan net.Conn)}
	s := newHTTPServer(handler, slog.New(slog.DiscardHandler))
	served := make(chan error)
	go func() { served <- s.Serve(listener) }()
	here, there := net.Pipe()
	listener.made <- there
	t.Cleanup(func() {
		time.Sleep(time.Second) // the server waits until its last words may have been read
		if err := errors.Join(here.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return here
}

// drip writes a text a byte at a time until nobody takes it any more, and returns how long that was.
func drip(t *testing.T, conn net.Conn, text string, every time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	for i := 0; ; i++ {
		if _, err := conn.Write([]byte{text[i%len(text)]}); err != nil {
			return time.Since(begun)
		}
		if time.Sleep(every); time.Since(begun) > time.Hour {
			t.Fatal("it is taken for an hour")
		}
	}
}

// TestSlowClients: who sends or reads slowly on purpose is let go of in time.
func TestSlowClients(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d bytes, %v", n, err)
	}
	ended := func(t *testing.T, took, least, most time.Duration) {
		t.Helper()
		if took < least || took > most {
			t.Errorf("it went on for %s", took)
		}
	}
	t.Run("header", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn := connected(t, answer)
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			ended(t, drip(t, conn, "GET / HTTP/1.1\r\nHost: "+strings.Repeat("x", 1<<20), time.Second), headerLong, headerLong+2*time.Second)
		})
	})
	t.Run("body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn := connected(t, answer)
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			ended(t, drip(t, conn, "x", time.Second), answerLong, requestLong+2*time.Second)
		})
	})
	t.Run("reader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begun, over := time.Now(), make(chan time.Duration, 1)
			conn := connected(t, func(w http.ResponseWriter, _ *http.Request) {
				for {
					if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
						over <- time.Since(begun)
						return
					}
				}
			})
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			ended(t, <-over, answerLong, answerLong+2*time.Second)
		})
	})
	t.Run("idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn := connected(t, answer)
			in := bufio.NewReader(conn)
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
				t.Fatal(resp.Status, err)
			}
			begun := time.Now()
			if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			ended(t, time.Since(begun), idleLong, idleLong+2*time.Second)
		})
	})
}

// TestTalkativeClient: a header has a bound, and who goes beyond it is told.
func TestTalkativeClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := connected(t, func(http.ResponseWriter, *http.Request) { t.Error("it is served") })
		go func() {
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n"+strings.Repeat("X-Much: "+strings.Repeat("x", 1000)+"\r\n", 100)+"\r\n")
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Fatal(resp, err)
		}
		_ = resp.Body.Close()
	})
}
