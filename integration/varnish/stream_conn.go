package varnish

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
)

// prepare makes what all probes of the stream have in common.
func (s *stream) prepare() {
	if s.t.tls {
		v := &verifier{name: s.t.host, roots: s.t.roots, now: s.p.now}
		s.tls = v.config()
	}
	if !s.of.Past || s.t.path.Bypass.Query == "" {
		s.request = s.newRequest()
	}
	s.readers.New = func() any { return bufio.NewReader(nil) }
}

// newRequest returns the bytes of a request, with a fresh value if the bypass needs one.
func (s *stream) newRequest() []byte {
	c := &climber{p: s.p, t: s.t}
	request := c.request(s.of.Past && s.t.path.Bypass.Used())
	if s.of.KeepAlive {
		request = bytes.Replace(request, []byte("Connection: close\r\n"), nil, 1)
	}
	return request
}

// corked is a connection on which nothing is sent before an answer to it is waited for. So the last words of a
// handshake and the request behind them are one packet, and one waking of the other side. It is for one goroutine.
type corked struct {
	net.Conn
	held []byte
}

func (c *corked) Write(b []byte) (int, error) {
	c.held = append(c.held, b...)
	return len(b), nil
}

func (c *corked) Read(b []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Close sends what is left first, such as why a certificate was refused.
func (c *corked) Close() error {
	_ = c.flush() // it is over anyway
	return c.Conn.Close()
}

func (c *corked) flush() error {
	if len(c.held) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.held)
	c.held = c.held[:0]
	return err
}

func (s *stream) connect(ctx context.Context, c *climber) (*link, error) {
	conn, err := c.connectOnce(ctx, s.tls)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, limit: io.LimitedReader{R: conn}, stream: s}
	l.reader, _ = s.readers.Get().(*bufio.Reader)
	l.reader.Reset(&l.limit)
	return l, nil
}

// link is a connection on which requests are made one after the other.
type link struct {
	stream *stream
	conn   net.Conn
	limit  io.LimitedReader
	reader *bufio.Reader
	asked  int
}

// close ends the connection, once. Everything that mattered has been read, so TLS is not told: that would be a
// packet more for each probe.
func (l *link) close() {
	conn := l.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close() // as above
	l.reader.Reset(nil)
	l.stream.readers.Put(l.reader)
}
