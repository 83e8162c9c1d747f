package varnish

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"
	"time"
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

func same(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }
