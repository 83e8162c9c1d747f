package probe

import (
	"net/netip"
	"time"
)

// LookupEvery is how often a stream asks DNS for the site's addresses.
const LookupEvery = time.Second

// Classes of samples that no ladder has.
const (
	// ClassSlow is of answers that are good, and came after more time than they may take. Their samples are OK, of
	// ClassOK: a [Tally] tells them.
	ClassSlow   Class = "slow"
	ClassLate   Class = "late"             // good, but only after the others had stopped coming: a stall
	ClassProber Class = "prober_trouble"   // this machine could not probe, which says nothing about the site
	ClassUnsent Class = "prober_saturated" // not sent, because the prober could not keep up
	// ClassStalled is no probe: from Sched to Start the prober did not get round to anything, whatever it had begun.
	ClassStalled Class = "prober_stalled"
)

// Sample is one probe of a stream that goes on at a fixed rate whatever comes back. Its times are
// monotonic and count from the beginning of the stream.
type Sample struct {
	Sched   time.Duration  // when it was due
	Start   time.Duration  // when it was begun: later than Sched by the prober's own lag
	End     time.Duration  // when the answer was complete, or the probe gave up
	Address netip.AddrPort // that was dialled; zero: the name was looked up
	OK      bool           // the answer came and was the right one
	Class   Class          // ClassOK with OK
	Layer   Layer          // at which it broke; "" with OK
	Status  int            // HTTP status; 0 if none came
	Quote   string         // with a wrong answer: as in Ladder
	// TTL is for how long DNS lets its answer to a lookup be kept; 0: not known.
	TTL time.Duration `json:",omitempty"`
	// Chain is what the terminator presented, its own certificate first, whether it was good or not; only with the
	// first probe of an address that met it. Nil: the same as before, or none.
	Chain []Cert `json:",omitempty"`
}

// Blind reports whether the sample says nothing about the site, for a reason of the prober's own.
func (s Sample) Blind() bool {
	switch s.Class { //nolint:exhaustive // the others are the site's
	case ClassProber, ClassUnsent, ClassGuarded, ClassStalled:
		return true
	}
	return false
}

// TimedOut reports whether the class is of probes that gave up waiting, which a prober that was itself held up may have
// done for no reason of the site's.
func (c Class) TimedOut() bool {
	switch c { //nolint:exhaustive // the others are answers of some kind
	case ClassTCPTimeout, ClassTLSTimeout, ClassHTTPFirstByte, ClassHTTPBody, ClassDNSTimeout:
		return true
	}
	return false
}

// Failures returns the classes that a sample which is not OK may have for a reason of the site's, and ClassSlow.
func Failures() []Class {
	return []Class{
		ClassDNSMissing, ClassDNSUnexpected, ClassDNSServfail, ClassDNSTimeout, ClassDNSRefused,
		ClassNetUnreachable, ClassHostUnreachable, ClassTCPRefused, ClassTCPTimeout, ClassTCPReset,
		ClassTLSTimeout, ClassTLSNotTLS, ClassTLSReset, ClassTLSWrongName, ClassTLSUnknownCA, ClassTLSExpired, ClassTLSOther,
		ClassHTTPFirstByte, ClassHTTPBody, ClassHTTPEOF, ClassHTTPReset, ClassHTTPCut, ClassHTTPMalformed,
		ClassProxyMismatch, ClassProxyPort, ClassNotViaVarnish, ClassSynth, ClassBackendFetch, ClassBackendSlow,
		ClassBackendStatus, ClassLoadBalancer, ClassWrongContent, ClassBypassNotHonoured,
		ClassSlow,
	}
}
