package varnish

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// lossPatience is how long a climb waits for a connection that did not come within the limit: Linux sends
// a lost SYN again after 1 s, and only an answer to that tells lost packets from dropped ones.
const lossPatience = 1300 * time.Millisecond

// connect opens TCP and, where the address says so, TLS. The caller closes the connection.
func (c *climber) connect(ctx context.Context) (net.Conn, error) {
	conn, err := c.connectTCP(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.preamble(ctx, conn); err != nil {
		_ = conn.Close() // what broke it is the news
		return nil, err
	}
	if !c.t.tls {
		c.skip(probe.LayerTLS, "plain http")
		return conn, nil
	}
	secure, err := c.connectTLS(ctx, conn)
	if err != nil {
		_ = conn.Close() // the handshake's error is the news
		return nil, err
	}
	return secure, nil
}

func (c *climber) connectTCP(ctx context.Context) (net.Conn, error) {
	if err := c.p.check(c.addr); err != nil {
		return nil, &brokenError{layer: probe.LayerTCP, class: probe.ClassGuarded, detail: guarded(err)}
	}
	limited, cancel := context.WithTimeout(ctx, max(c.p.limits.Connect, lossPatience))
	defer cancel()
	start := c.p.now()
	conn, err := c.p.dial(limited, "tcp", c.addr.String())
	took := c.p.now().Sub(start)
	if err == nil {
		c.raw, c.resent = conn, retransmits(conn)
		if took <= c.p.limits.Connect || c.resent > 0 {
			c.connected(took)
			return conn, nil
		}
		_ = conn.Close() // too late to be of use
		err = context.DeadlineExceeded
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if local := localTrouble(err); local != nil {
		return nil, local
	}
	class := tcpClass(err)
	detail := sentence(class, c.t, c.addr, c.p.limits)
	switch class { //nolint:exhaustive // the others need no second look
	case probe.ClassGuarded:
		detail = guarded(err)
	case probe.ClassNetUnreachable:
		if c.p.noRoute(ctx, c.addr) {
			detail = fmt.Sprintf("this machine has no route to %s", c.addr.Addr())
		}
	}
	return nil, &brokenError{layer: probe.LayerTCP, class: class, took: took, detail: detail}
}

// connected writes that TCP stands, and whether packets had to be repeated for it.
func (c *climber) connected(took time.Duration) {
	if c.resent == 0 {
		c.good(probe.LayerTCP, took, "connected")
		return
	}
	c.good(probe.LayerTCP, took, fmt.Sprintf("connected, but %s had to be repeated", counted(c.resent, "packet")))
	c.lost(c.resent, "connecting took %s", probe.Length(took))
}

// lost warns that packets get lost on the way.
func (c *climber) lost(n int, format string, args ...any) {
	c.warn(probe.LayerTCP, probe.ClassPacketLoss, "packets to %s get lost: %s had to be repeated, and "+format,
		append([]any{c.addr, counted(n, "packet")}, args...)...)
}

// preamble begins a connection with the PROXY protocol where the path says so.
func (c *climber) preamble(ctx context.Context, conn net.Conn) error {
	if !c.t.path.Proxy {
		c.skip(probe.LayerProxy, "not spoken")
		return nil
	}
	err := bounded(ctx, conn, c.p.limits.Connect, func() error { _, err := conn.Write([]byte(proxyLocal)); return err })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.skip(probe.LayerProxy, "sent, and not answered yet")
	if err != nil {
		return &brokenError{layer: probe.LayerProxy, class: probe.ClassTCPReset, detail: "the connection is cut by what should take the PROXY protocol"}
	}
	return nil
}

// guarded returns the guard's sentence with what to do.
func guarded(err error) string {
	if hint := upgrade.HintOf(err); hint != "" {
		return upgrade.Public(err) + "; " + hint
	}
	return upgrade.Public(err)
}

func (c *climber) connectTLS(ctx context.Context, conn net.Conn) (net.Conn, error) {
	secure := tls.Client(conn, c.tlsConfig())
	start := c.p.now()
	limited, cancel := context.WithTimeout(ctx, c.p.limits.Connect)
	defer cancel()
	err := secure.HandshakeContext(limited)
	took := c.p.now().Sub(start)
	if err == nil {
		state := secure.ConnectionState()
		c.ladder.Chain = certs(state.PeerCertificates)
		if broken := c.judgeTLS(&state); broken != nil {
			broken.took = took
			return nil, broken
		}
		until := state.PeerCertificates[0].NotAfter
		c.good(probe.LayerTLS, took, fmt.Sprintf("%s, certificate until %s", tls.VersionName(state.Version), until.UTC().Format(time.DateOnly)))
		return secure, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c.ladder.Chain = certs(presentedBy(err))
	broken := &brokenError{layer: probe.LayerTLS, class: tlsClass(err), took: took}
	if broken.class == probe.ClassTLSTimeout && c.speaksHTTP(ctx) {
		// Varnish waits for the rest of a request line; only asking in its own language shows it.
		broken.class = probe.ClassTLSNotTLS
	}
	broken.detail = sentence(broken.class, c.t, c.addr, c.p.limits) + certDetail(err)
	return nil, broken
}

// connectOnce opens TCP and, where the address says so, TLS as cfg says, both within the connect limit, without a
// second look at what went wrong. The caller closes the connection.
func (c *climber) connectOnce(ctx context.Context, cfg *tls.Config) (net.Conn, error) {
	if err := c.p.check(c.addr); err != nil {
		return nil, &brokenError{layer: probe.LayerTCP, class: probe.ClassGuarded, detail: guarded(err)}
	}
	ctx, cancel := context.WithTimeout(ctx, c.p.limits.Connect)
	defer cancel()
	conn, err := c.p.direct(ctx, c.addr)
	if err != nil {
		if local := localTrouble(err); local != nil {
			return nil, local
		}
		class := tcpClass(err)
		if class == probe.ClassNetUnreachable && c.addr.Addr().Is6() && c.p.noRoute(context.WithoutCancel(ctx), c.addr) {
			return nil, errNoIPv6 // this machine has none, or none any more: nobody can tell
		}
		return nil, c.broke(probe.LayerTCP, class)
	}
	if err := c.preamble(ctx, conn); err != nil {
		_ = conn.Close() // as below
		return nil, err
	}
	if !c.t.tls {
		return conn, nil
	}
	secure := tls.Client(&corked{Conn: conn}, cfg)
	// In place of the context, which would cost a goroutine, and with it the waking of a thread.
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // fails on a closed connection only, as the handshake then does
	}
	if err := secure.Handshake(); err != nil { //nolint:noctx // see above
		_ = secure.NetConn().Close() // the handshake's error is the news
		c.presented = presentedBy(err)
		return nil, c.broke(probe.LayerTLS, tlsClass(err))
	}
	c.presented = secure.ConnectionState().PeerCertificates
	return secure, nil
}

// tlsConfig says whose certificate is good.
func (c *climber) tlsConfig() *tls.Config {
	return &tls.Config{
		ServerName: c.t.host, RootCAs: c.t.roots, Time: c.p.now,
		NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
	}
}

// tcpClass sorts an error of connecting.
func tcpClass(err error) probe.Class {
	switch {
	case upgrade.CodeOf(err) == upgrade.CodeForbidden:
		return probe.ClassGuarded
	case errors.Is(err, syscall.ECONNREFUSED):
		return probe.ClassTCPRefused
	case errors.Is(err, syscall.ENETUNREACH):
		return probe.ClassNetUnreachable
	case errors.Is(err, syscall.EHOSTUNREACH):
		return probe.ClassHostUnreachable
	case errors.Is(err, syscall.ECONNRESET):
		return probe.ClassTCPReset
	}
	return probe.ClassTCPTimeout
}

// localTrouble returns a CodeUnavailable error when err is this machine's own trouble, from which nothing
// follows about the site; else nil.
func localTrouble(err error) error {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, // out of something
		syscall.EADDRNOTAVAIL,         // out of local ports
		syscall.EPERM, syscall.EACCES, // a firewall on this machine
		syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT, syscall.EINVAL, // no such network here
	} {
		if errors.Is(err, errno) {
			return &upgrade.Error{
				Code: upgrade.CodeUnavailable, Msg: "this machine cannot probe: " + errno.Error(),
				Hint: "look at its limits on open files and ports, and at its own firewall", Cause: err,
			}
		}
	}
	return nil
}

// tlsClass sorts an error of a handshake.
func tlsClass(err error) probe.Class {
	var (
		header    tls.RecordHeaderError
		name      x509.HostnameError
		authority x509.UnknownAuthorityError
		cert      x509.CertificateInvalidError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &header):
		return probe.ClassTLSNotTLS
	case errors.As(err, &name):
		return probe.ClassTLSWrongName
	case errors.As(err, &authority):
		return probe.ClassTLSUnknownCA
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return probe.ClassTLSExpired
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return probe.ClassTLSReset
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return probe.ClassTLSTimeout
	}
	return probe.ClassTLSOther
}

// certDetail returns what the certificate itself says about why it was refused, to follow the sentence.
func certDetail(err error) string {
	var (
		name x509.HostnameError
		cert x509.CertificateInvalidError
		op   *net.OpError
	)
	switch {
	case errors.As(err, &name) && name.Certificate != nil:
		return fmt.Sprintf(" (it is for %s)", printable(fmt.Sprint(name.Certificate.DNSNames), 200))
	case errors.As(err, &cert) && cert.Reason == x509.Expired && cert.Cert != nil:
		return fmt.Sprintf(" (valid from %s to %s)", cert.Cert.NotBefore.UTC().Format(time.DateOnly), cert.Cert.NotAfter.UTC().Format(time.DateOnly))
	case errors.As(err, &op) && op.Op == "remote error":
		return fmt.Sprintf(": the other side says %q", printable(op.Err.Error(), 200)) // one of TLS's alerts
	}
	return ""
}
