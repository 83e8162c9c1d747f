package varnish

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// selfSigned returns a certificate for name, valid until the given time, and a file with it as authority.
func selfSigned(t *testing.T, name string, until time.Time) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: until.Add(-120 * 24 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLS(t *testing.T) {
	soon := time.Now().Add(24 * time.Hour)
	good, goodCA := selfSigned(t, "site.test", soon)
	other, otherCA := selfSigned(t, "other.test", soon)
	stale, staleCA := selfSigned(t, "site.test", time.Now().Add(-time.Hour))
	tests := []struct {
		name   string
		config *tls.Config
		ca     string
		class  probe.Class
		says   string
	}{
		{"good", &tls.Config{Certificates: []tls.Certificate{good}}, goodCA, "", "TLS 1.3, certificate until " + soon.UTC().Format(time.DateOnly)},
		{"wrong_name", &tls.Config{Certificates: []tls.Certificate{other}}, otherCA, probe.ClassTLSWrongName, "the certificate is not for site.test (it is for [other.test])"},
		{"unknown_authority", &tls.Config{Certificates: []tls.Certificate{good}}, otherCA, probe.ClassTLSUnknownCA, "not trusted"},
		{"system_authorities", &tls.Config{Certificates: []tls.Certificate{good}}, "", probe.ClassTLSUnknownCA, "not trusted"},
		{"expired", &tls.Config{Certificates: []tls.Certificate{stale}}, staleCA, probe.ClassTLSExpired, "(valid from "},
		{"old_version", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, goodCA, probe.ClassTLSOther, "protocol version"},
		{"no_name_match", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, io.EOF }}, goodCA, probe.ClassTLSOther, "the other side says"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := serve(t, func(_ int, conn net.Conn) {
				secure := tls.Server(conn, tt.config)
				if secure.Handshake() != nil {
					return
				}
				_, _ = secure.Read(make([]byte, 2000))
				_, _ = io.WriteString(secure, reply("200 OK", "X-Varnish: 5", "Via: 1.1 varnish"))
				_ = secure.Close()
			})
			l := climbOne(t, addr, probe.Path{URL: "https://site.test/", CAFile: tt.ca, ViaVarnish: true})
			layer, class := verdict(l)
			if class != tt.class || class != "" && layer != probe.LayerTLS {
				t.Errorf("broken at %s with %q, want %q\n%+v", layer, class, tt.class, l.Rungs)
			}
			if says := l.Rungs[2].Detail; !strings.Contains(says, tt.says) {
				t.Errorf("TLS says %q, want %q", says, tt.says)
			}
		})
	}
}

// TestARefusalThatGotLost: behind a terminator Varnish's 400 may come or be lost with the connection, so an end without
// an answer is asked about again.
func TestARefusalThatGotLost(t *testing.T) {
	const refusal = "HTTP/1.1 400 Bad Request\r\n\r\n"
	cert, ca := selfSigned(t, "site.test", time.Now().Add(24*time.Hour))
	for name, test := range map[string]struct {
		answers []string // one a connection, the last one for all that follow; nothing closes it
		layer   probe.Layer
		class   probe.Class
	}{
		"came":         {[]string{refusal}, probe.LayerProxy, probe.ClassProxyMismatch},
		"lost_once":    {[]string{"", refusal}, probe.LayerProxy, probe.ClassProxyMismatch},
		"lost_thrice":  {[]string{"", "", "", refusal}, probe.LayerProxy, probe.ClassProxyMismatch},
		"never":        {[]string{""}, probe.LayerVarnish, probe.ClassHTTPEOF},
		"well_by_then": {[]string{"", reply("200 OK", "X-Varnish: 5", "Via: 1.1 varnish")}, probe.LayerVarnish, probe.ClassHTTPEOF},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, func(n int, conn net.Conn) {
				secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
				if secure.Handshake() != nil {
					return
				}
				_, _ = secure.Read(make([]byte, 2000))
				_, _ = io.WriteString(secure, test.answers[min(n, len(test.answers)-1)])
				_ = secure.Close()
			})
			layer, class := verdict(climbOne(t, addr, probe.Path{URL: "https://site.test/", CAFile: ca, ViaVarnish: true}))
			if layer != test.layer || class != test.class {
				t.Errorf("broken at %s with %q, want %s with %q", layer, class, test.layer, test.class)
			}
		})
	}
}
