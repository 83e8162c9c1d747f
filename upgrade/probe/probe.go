// Package probe is what a prober saw of a path to a site, layer by layer, as plain structs that the
// adapter hands to gates. Standard library only.
package probe

import (
	"net/netip"
	"time"
)

// Layer is one rung of the ladder.
type Layer string

// The layers, from the outside in.
const (
	LayerDNS     Layer = "DNS"
	LayerTCP     Layer = "TCP"
	LayerTLS     Layer = "TLS"
	LayerProxy   Layer = "PROXY" // the protocol by which a terminator tells Varnish who asks
	LayerVarnish Layer = "Varnish"
	LayerHTTP    Layer = "HTTP" // in place of Varnish and Backend on a path that is Plain
	LayerBackend Layer = "Backend"
	LayerContent Layer = "Content"
	LayerCache   Layer = "Cache" // whether the cache is honest: no older than it may be
)

// State is what came of a rung.
type State string

// The states of a rung.
const (
	RungOK         State = "ok"
	RungBroken     State = "broken"
	RungNotReached State = "not_reached"
	RungNotAsked   State = "not_asked" // such as TLS on a plain http address
)

// Rung is one layer of one attempt.
type Rung struct {
	Layer  Layer
	State  State
	Class  Class
	Took   time.Duration
	Detail string // one sentence for people; for ok a short word such as "hit" or "200"
}

// Class names what was seen, finer than the layer: varnish.md §2.
type Class string

// The classes of the fault table.
const (
	ClassOK                Class = "ok"
	ClassDNSMissing        Class = "dns_nxdomain"
	ClassDNSUnexpected     Class = "dns_unexpected_address"
	ClassDNSServfail       Class = "dns_servfail"
	ClassDNSTimeout        Class = "dns_timeout"
	ClassDNSRefused        Class = "dns_resolver_refused"
	ClassGuarded           Class = "address_not_allowed"
	ClassNetUnreachable    Class = "net_unreachable"
	ClassHostUnreachable   Class = "host_unreachable"
	ClassTCPRefused        Class = "tcp_refused"
	ClassTCPTimeout        Class = "tcp_timeout"
	ClassTCPReset          Class = "tcp_reset"
	ClassTLSTimeout        Class = "tls_timeout"
	ClassTLSNotTLS         Class = "tls_not_tls"
	ClassTLSReset          Class = "tls_reset"
	ClassTLSWrongName      Class = "tls_wrong_name"
	ClassTLSUnknownCA      Class = "tls_unknown_ca"
	ClassTLSExpired        Class = "tls_expired"
	ClassTLSOther          Class = "tls_failed"
	ClassTLSExpires        Class = "tls_expires_soon"
	ClassTLSOld            Class = "tls_too_old"
	ClassPacketLoss        Class = "packet_loss" // a warning: connected, but packets had to be repeated
	ClassHTTPFirstByte     Class = "http_timeout_first_byte"
	ClassHTTPBody          Class = "http_timeout_body"
	ClassHTTPEOF           Class = "http_eof_first_byte"
	ClassHTTPReset         Class = "http_reset_first_byte"
	ClassHTTPCut           Class = "http_cut_off" // the answer began and broke off
	ClassHTTPMalformed     Class = "http_malformed"
	ClassProxyMismatch     Class = "proxy_mismatch"
	ClassProxyPort         Class = "proxy_port"
	ClassNotViaVarnish     Class = "not_via_varnish"
	ClassSynth             Class = "varnish_synth" // Varnish answered with an error of its own making
	ClassBackendFetch      Class = "varnish_backend_fetch_failed"
	ClassBackendSlow       Class = "varnish_backend_slow" // a 503 after Varnish had waited for the backend
	ClassForcedSick        Class = "forced_sick"          // the same, and somebody set the backends sick by hand
	ClassBackendStatus     Class = "backend_status"
	ClassLoadBalancer      Class = "lb_5xx"
	ClassWrongContent      Class = "wrong_backend"
	ClassBypassNotHonoured Class = "bypass_not_honoured" //nolint:gosec // no credential
	ClassStale             Class = "stale_cache"
	ClassHealthByVCL       Class = "health_by_vcl" // a warning: Varnish made the answer up, which proves no backend
	ClassPerIP             Class = "per_ip"        // of a name with several addresses some are broken
	ClassPortOpen          Class = "port_open"     // of a door that must be closed
)

// Ladder is one attempt on one address of one path.
type Ladder struct {
	URL     string
	Vantage Vantage        // from where; empty: Here
	Address netip.AddrPort // that was dialled; zero when none was found
	Rungs   []Rung
	Status  int // HTTP status; 0 if none came
	At      time.Time
	Took    time.Duration
	Quote   string // first failing response: status line, headers of interest, up to 2 kB of body
	// TTL is for how long DNS lets its answer be kept; 0: not known.
	TTL time.Duration `json:",omitempty"`
	// Chain is what the terminator presented, its own certificate first, whether it was good or not.
	Chain []Cert `json:",omitempty"`
	// Warnings are what should be looked at although no rung is broken for it.
	Warnings []Warning
	Doors    []Knock // of Path.Closed
}

// Warning is something seen at a layer that is not as it should be and breaks nothing.
type Warning struct {
	Layer  Layer
	Class  Class
	Detail string // one sentence for people
}

// Door is a TCP port that must be closed.
type Door struct {
	Addr netip.Addr // invalid: every address behind the path's name
	Port uint16
}

// Knock is what came of trying a door.
type Knock struct {
	Address netip.AddrPort
	State   State  // RungOK: closed; RungBroken: open; RungNotAsked: could not be tried
	Class   Class  // of how it was found closed, such as ClassTCPRefused; ClassPortOpen
	Detail  string // one sentence for people
}

// Broken returns the first broken rung.
func (l Ladder) Broken() (Rung, bool) {
	for _, r := range l.Rungs {
		if r.State == RungBroken {
			return r, true
		}
	}
	return Rung{}, false
}

// Path is what to probe and what to expect.
type Path struct {
	URL        string
	Expect     Expect
	ViaVarnish bool // the answer must have come through Varnish
	Plain      bool // no Varnish is looked for: whatever answers is judged by its answer
	// VarnishHeader names a header that only Varnish sets, for sites that take X-Varnish and Via out of what
	// users get; empty: there is none.
	VarnishHeader string
	// Proxy lets the probe begin with the PROXY protocol, version 2, of kind LOCAL: it claims no address for
	// anybody. For ports behind a load balancer.
	Proxy     bool
	Resolve   map[string]string // host → address, instead of asking DNS; for tests and split horizons
	Bypass    Bypass
	CAFile    string         // PEM of the authority; empty: the system's
	Addresses []netip.Prefix // what DNS may answer; empty: anything. Of an address that is given it is not asked
	Large     Large
	Closed    []Door // ports that must not take connections from where is probed
}

// Large is an object of the same host that does not fit into one packet: only such a one shows that large
// packets get lost on the way (an MTU black hole).
type Large struct {
	Page     string // path and query, such as "/theme/big.css"; empty: none
	MinBytes int    // that it must have at least
}

// Expect is what a good answer looks like. Zero fields are not checked.
type Expect struct {
	Status       []int // empty: 200
	BodyContains string
	BodySHA256   string            // of the whole body, in hexadecimal
	Headers      map[string]string // name → regular expression
	MaxAge       time.Duration     // how old a page from the cache may be, whatever the site itself says
	MinDays      int               // that the certificate must be good for; 0: fewer than WarnDays are a warning
	CertNames    []string          // that the certificate must hold besides the host
	MinTLS       uint16            // as in crypto/tls; 0: TLS 1.2
}

// WarnDays is how many days before its end a certificate becomes a warning.
const WarnDays = 14

// Bypass asks Varnish not to answer from its cache, so that the backend is proven too.
type Bypass struct {
	Header string // name of a request header
	Value  string // its secret value
	Cookie string // name=value
	Query  string // name of a query parameter that gets a fresh value
}

// Used reports whether any way of bypassing is configured.
func (b Bypass) Used() bool { return b.Header != "" || b.Cookie != "" || b.Query != "" }

// Limits bounds one attempt. Zero fields take the default that is named.
type Limits struct {
	DNS      time.Duration // 2 s
	Connect  time.Duration // TCP and TLS each, 800 ms: below the 1 s after which Linux repeats a SYN
	Response time.Duration // first byte and body each, 5 s
	Body     int64         // bytes read at most, 1 MiB
}
