package varnish

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// What a stream remembers of the certificates that it has verified.
const (
	keptChains = 16          // of all terminators behind one name
	chainFor   = time.Minute // then a chain is verified again, although it is the same
)

// verifier verifies the certificates of one name, each chain once a minute: to do so for each probe is a tenth of
// what a probe costs. That the other side holds the key of its certificate is proven in every handshake all the
// same. Nothing but the very bytes of a chain that was good is taken for good, and it no longer than the first of
// its certificates; any other is verified, and what is refused is not remembered.
type verifier struct {
	name  string // as in tls.Config.ServerName
	roots *x509.CertPool
	now   func() time.Time

	mu   sync.Mutex // guards good
	good []goodChain
}

// goodChain is what a server presented that was good.
type goodChain struct {
	presented []*x509.Certificate
	at, until time.Time // taken for good from and until
}

// config returns what a handshake takes that verifies by v.
func (v *verifier) config() *tls.Config {
	return &tls.Config{
		ServerName: v.name, RootCAs: v.roots, Time: v.now,
		NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
		// Without the key exchange that withstands quantum computers, which is a seventh of what a probe costs, and
		// which every server can do without. Ladders offer it, as browsers do.
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521},
		InsecureSkipVerify: true, //nolint:gosec // it is VerifyConnection that verifies, as the package would
		VerifyConnection:   v.verify,
	}
}

// verify is for [tls.Config.VerifyConnection]. It refuses what crypto/tls itself would, with the same error.
func (v *verifier) verify(state tls.ConnectionState) error {
	presented, now := state.PeerCertificates, v.now()
	if len(presented) == 0 {
		return &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}}
	}
	if v.known(presented, now) {
		return nil
	}
	between := x509.NewCertPool()
	for _, cert := range presented[1:] {
		between.AddCert(cert)
	}
	chains, err := presented[0].Verify(x509.VerifyOptions{Roots: v.roots, CurrentTime: now, DNSName: v.name, Intermediates: between})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: err}
	}
	// The first end of any certificate of any way to a root: sooner than need be, never later.
	until := now.Add(chainFor)
	for _, cert := range slices.Concat(append(chains, presented)...) {
		if cert.NotAfter.Before(until) {
			until = cert.NotAfter
		}
	}
	v.remember(goodChain{presented, now, until})
	return nil
}

// known reports whether the very same chain was good a short while ago.
func (v *verifier) known(presented []*x509.Certificate, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, chain := range v.good {
		if slices.EqualFunc(chain.presented, presented, same) {
			return !now.Before(chain.at) && !now.After(chain.until)
		}
	}
	return false
}

func (v *verifier) remember(chain goodChain) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.good = slices.DeleteFunc(v.good, func(old goodChain) bool { return slices.EqualFunc(old.presented, chain.presented, same) })
	if len(v.good) >= keptChains {
		v.good = slices.Delete(v.good, 0, 1)
	}
	v.good = append(v.good, chain)
}

func same(a, b *x509.Certificate) bool { return a == b || bytes.Equal(a.Raw, b.Raw) }

// presentedBy returns the certificates that a handshake failed over, nil if it did not get so far.
func presentedBy(err error) []*x509.Certificate {
	if told, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return told.UnverifiedCertificates
	}
	return nil
}

// shown remembers which chain each address presented last.
type shown struct {
	mu   sync.Mutex // guards last
	last map[netip.AddrPort][]*x509.Certificate
}

// news returns what is told of a chain if it is another one than the address presented before; else nil.
func (s *shown) news(addr netip.AddrPort, presented []*x509.Certificate) []probe.Cert {
	if len(presented) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.last[addr]; slices.EqualFunc(last, presented, same) {
		return nil
	}
	if s.last == nil || len(s.last) >= keptVerdicts {
		s.last = map[netip.AddrPort][]*x509.Certificate{}
	}
	s.last[addr] = presented
	return certs(presented)
}

// certs returns what is told of certificates.
func certs(chain []*x509.Certificate) []probe.Cert {
	list := make([]probe.Cert, 0, min(len(chain), probe.MostCerts))
	for _, cert := range chain[:min(len(chain), probe.MostCerts)] {
		sum := sha256.Sum256(cert.Raw)
		issuer := cert.Issuer.CommonName
		if issuer == "" {
			issuer = strings.Join(cert.Issuer.Organization, ", ")
		}
		one := probe.Cert{
			Subject: printable(cert.Subject.CommonName, 100), Issuer: printable(issuer, 100), SHA256: hex.EncodeToString(sum[:]),
			From: cert.NotBefore.UTC(), Until: cert.NotAfter.UTC(),
		}
		if cert.SerialNumber != nil {
			one.Serial = pairs(cert.SerialNumber.Bytes())
		}
		names := slices.Clone(cert.DNSNames)
		for _, addr := range cert.IPAddresses {
			names = append(names, addr.String())
		}
		one.More = max(0, len(names)-probe.MostNames)
		for _, name := range names[:len(names)-one.More] {
			one.Names = append(one.Names, printable(name, 255))
		}
		list = append(list, one)
	}
	return list
}

// pairs writes bytes as OpenSSL writes serial numbers: 04:A1:7F.
func pairs(b []byte) string {
	words := make([]string, 0, len(b))
	for _, one := range b[:min(len(b), 20)] { // RFC 5280 allows no more
		words = append(words, strings.ToUpper(hex.EncodeToString([]byte{one})))
	}
	return strings.Join(words, ":")
}
