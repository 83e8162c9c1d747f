package varnish

import (
	"crypto/tls"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// judgeTLS holds a handshake that succeeded against what the path expects of it, nil if it is so. A
// certificate that ends soon is a warning where no limit is set.
func (c *climber) judgeTLS(state *tls.ConnectionState) *brokenError {
	expect := c.t.path.Expect
	fail := func(class probe.Class, format string, args ...any) *brokenError {
		return &brokenError{layer: probe.LayerTLS, class: class, detail: fmt.Sprintf(format, args...)}
	}
	if expect.MinTLS > state.Version {
		return fail(probe.ClassTLSOld, "the terminator agrees to %s only, where %s is the least", tls.VersionName(state.Version), tls.VersionName(expect.MinTLS))
	}
	cert := state.PeerCertificates[0]
	for _, name := range expect.CertNames {
		if err := cert.VerifyHostname(name); err != nil {
			return fail(probe.ClassTLSWrongName, "the certificate is not for %s (it is for %s)", name, printable(strings.Join(cert.DNSNames, ", "), 200))
		}
	}
	left := int(math.Floor(cert.NotAfter.Sub(c.p.now()).Hours() / 24))
	until := cert.NotAfter.UTC().Format(time.DateOnly)
	switch {
	case left < expect.MinDays:
		return fail(probe.ClassTLSExpires, "the certificate is good for %s more, until %s, where %s is the least: renew it", counted(left, "day"), until, counted(expect.MinDays, "day"))
	case expect.MinDays == 0 && left < probe.WarnDays:
		c.warn(probe.LayerTLS, probe.ClassTLSExpires, "the certificate of %s is good for %s more, until %s: renew it", c.t.host, counted(left, "day"), until)
	}
	return nil
}
