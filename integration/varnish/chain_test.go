package varnish

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// TestVerifier: a chain that was good is taken for good for a while, and nothing else is.
func TestVerifier(t *testing.T) {
	now := time.Now()
	read := func(cert tls.Certificate) *x509.Certificate {
		t.Helper()
		parsed, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	cert, _ := selfSigned(t, "site.test", now.Add(30*time.Second))
	again, _ := selfSigned(t, "site.test", now.Add(time.Hour))
	good, stranger := read(cert), read(again)
	roots := x509.NewCertPool()
	roots.AddCert(good)
	at := now
	v := &verifier{name: "site.test", roots: roots, now: func() time.Time { return at }}
	shown := func(certs ...*x509.Certificate) error {
		return v.verify(tls.ConnectionState{PeerCertificates: certs})
	}
	for _, step := range []struct {
		name  string
		at    time.Duration
		chain []*x509.Certificate
		class probe.Class // "": good
	}{
		{"first", 0, []*x509.Certificate{good}, ""},
		{"remembered", 10 * time.Second, []*x509.Certificate{good}, ""},
		{"another_one", 11 * time.Second, []*x509.Certificate{stranger}, probe.ClassTLSUnknownCA},
		{"another_one_again", 12 * time.Second, []*x509.Certificate{stranger}, probe.ClassTLSUnknownCA},
		{"another_one_before_it", 13 * time.Second, []*x509.Certificate{stranger, good}, probe.ClassTLSUnknownCA},
		{"nothing", 14 * time.Second, nil, probe.ClassTLSOther},
		{"ended_while_remembered", 31 * time.Second, []*x509.Certificate{good}, probe.ClassTLSExpired},
		{"not_yet_valid", -200 * 24 * time.Hour, []*x509.Certificate{good}, probe.ClassTLSExpired},
	} {
		at = now.Add(step.at)
		err := shown(step.chain...)
		var told *tls.CertificateVerificationError
		switch {
		case step.class == "" && err != nil:
			t.Errorf("%s: %v", step.name, err)
		case step.class != "" && (!errors.As(err, &told) || tlsClass(err) != step.class):
			t.Errorf("%s: %v, want %s", step.name, err, step.class)
		}
	}
	v.name, at = "other.test", now
	v.good = nil
	if err := shown(good); tlsClass(err) != probe.ClassTLSWrongName {
		t.Errorf("of another name: %v", err)
	}
}

// TestVerifierRemembers: the very same chain is not verified again within a minute, and at most keptChains are kept.
func TestVerifierRemembers(t *testing.T) {
	cert, _ := selfSigned(t, "site.test", time.Now().Add(time.Hour))
	parsed, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	at := time.Now()
	v := &verifier{name: "site.test", roots: roots, now: func() time.Time { return at }}
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{parsed}}
	if err := v.verify(state); err != nil {
		t.Fatal(err)
	}
	v.roots = x509.NewCertPool() // now it could not be verified any more
	at = at.Add(chainFor)
	if err := v.verify(state); err != nil {
		t.Errorf("verified again: %v", err)
	}
	at = at.Add(time.Second)
	if err := v.verify(state); err == nil {
		t.Error("not verified again after a minute")
	}
	for range 2 * keptChains {
		next, _ := selfSigned(t, "site.test", time.Now().Add(time.Hour))
		other, err := x509.ParseCertificate(next.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		v.roots.AddCert(other)
		if err := v.verify(tls.ConnectionState{PeerCertificates: []*x509.Certificate{other}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(v.good) != keptChains {
		t.Errorf("%d chains are kept", len(v.good))
	}
}

// TestStreamChain: a terminator that comes back with another certificate is noticed by the next probe, although the
// one before was remembered.
func TestStreamChain(t *testing.T) {
	soon := time.Now().Add(24 * time.Hour)
	good, ca := selfSigned(t, "site.test", soon)
	other, _ := selfSigned(t, "site.test", soon)
	expired, _ := selfSigned(t, "site.test", time.Now().Add(-time.Hour))
	var which atomic.Pointer[tls.Certificate]
	which.Store(&good)
	addr := serve(t, func(_ int, conn net.Conn) {
		secure := tls.Server(conn, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return which.Load(), nil }})
		if secure.Handshake() != nil {
			return
		}
		_, _ = secure.Read(make([]byte, 2000))
		_, _ = io.WriteString(secure, reply("200 OK", "X-Varnish: 5", "Via: 1.1 varnish"))
		_ = secure.Close()
	})
	path := probe.Path{URL: "https://site.test/", CAFile: ca, ViaVarnish: true, Resolve: map[string]string{"site.test": addr.String()}}
	const every, phase = 20 * time.Millisecond, 400 * time.Millisecond
	samples := streamedOf(t, prober(t, addr), probe.Stream{Path: path, Every: every, Limits: probe.Limits{Connect: 2 * time.Second}}, 4*phase, func() {
		time.Sleep(phase)
		which.Store(&other)
		time.Sleep(phase)
		which.Store(&good)
		time.Sleep(phase)
		which.Store(&expired)
	})
	classes := map[probe.Class]int{}
	changes, before := 0, probe.Class("")
	for _, s := range samples {
		classes[s.Class]++
		if s.Class != before {
			changes, before = changes+1, s.Class
		}
	}
	if classes[probe.ClassOK] == 0 || classes[probe.ClassTLSUnknownCA] == 0 || before == probe.ClassOK {
		t.Errorf("%v, at last %s", classes, before)
	}
	t.Logf("%v, %d changes", classes, changes)
}
