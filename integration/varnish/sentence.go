package varnish

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// sentence says a class to people: what was seen, then what is likely behind it.
func sentence(class probe.Class, t *target, addr netip.AddrPort, limits probe.Limits) string {
	port := "TCP " + strconv.Itoa(int(addr.Port()))
	switch class { //nolint:exhaustive // the others carry what was seen and are said where it was seen
	case probe.ClassDNSMissing:
		return fmt.Sprintf("%s has no address in DNS", t.host)
	case probe.ClassDNSServfail:
		return fmt.Sprintf("DNS fails to answer for %s: the server refuses, or the zone is broken", t.host)
	case probe.ClassDNSTimeout:
		return fmt.Sprintf("DNS does not answer for %s within %s: its port is dropped, or the server is gone", t.host, probe.Length(limits.DNS))
	case probe.ClassDNSRefused:
		return "the DNS server refuses the question: nothing listens there"
	case probe.ClassNetUnreachable:
		return fmt.Sprintf("the network of %s cannot be reached: no route, says a router or a firewall", addr.Addr())
	case probe.ClassHostUnreachable:
		return fmt.Sprintf("%s cannot be reached: a router or a firewall says so, or the host is gone", addr.Addr())
	case probe.ClassTCPRefused:
		return port + " is refused: nothing listens there, or a firewall rejects"
	case probe.ClassTCPTimeout:
		return fmt.Sprintf("%s does not answer within %s: a security group, network ACL or route drops it, or the host is gone", port, probe.Length(limits.Connect))
	case probe.ClassTCPReset:
		return port + " is reset while connecting: a proxy or load balancer in between gives up"
	case probe.ClassTLSTimeout:
		return fmt.Sprintf("%s takes the connection but does not finish TLS within %s: the terminator hangs", port, probe.Length(limits.Connect))
	case probe.ClassTLSNotTLS:
		return port + " answers plain HTTP where TLS was expected"
	case probe.ClassTLSReset:
		if t.path.Proxy {
			return "the connection is cut during the TLS handshake: the terminator does not expect the PROXY protocol"
		}
		return "the connection is cut during the TLS handshake: the terminator refuses it, or expects another protocol in front"
	case probe.ClassTLSWrongName:
		return "the certificate is not for " + t.host
	case probe.ClassTLSUnknownCA:
		return "the certificate is signed by an authority that is not trusted here, or an intermediate certificate is missing"
	case probe.ClassTLSExpired:
		return "the certificate is not valid at this time"
	case probe.ClassTLSOther:
		return "the TLS handshake fails"
	}
	return httpSentence(class, t, limits)
}

// httpSentence says the classes of what happens on an open connection.
func httpSentence(class probe.Class, t *target, limits probe.Limits) string {
	switch class { //nolint:exhaustive // see sentence
	case probe.ClassHTTPFirstByte:
		if t.path.Plain {
			return fmt.Sprintf("connected, but not a byte of an answer within %s: the server hangs", probe.Length(limits.Response))
		}
		return fmt.Sprintf("connected, but not a byte of an answer within %s: Varnish hangs", probe.Length(limits.Response))
	case probe.ClassHTTPBody:
		return fmt.Sprintf("the answer begins but does not end within %s: the backend stalls, or large packets get lost on the way (MTU)", probe.Length(limits.Response))
	case probe.ClassHTTPEOF:
		if t.tls && t.path.Plain {
			return "TLS stands, but the connection closes without an answer: what is behind the terminator is down"
		}
		if t.tls {
			return "TLS stands, but the connection closes without an answer: Varnish is down behind the terminator, or they disagree about the PROXY protocol"
		}
		if t.path.Plain {
			return "the connection closes without an answer: what listens there is no HTTP port, or what is behind it is down"
		}
		return "the connection closes without an answer: what listens there is not Varnish's HTTP port, or what is behind it is down"
	case probe.ClassHTTPReset:
		return "the connection is reset instead of answered: what listens there does not speak HTTP, or what is behind it is down"
	case probe.ClassHTTPCut:
		return "the answer is cut off in the middle: the backend or Varnish gave up on it"
	case probe.ClassHTTPMalformed:
		return "the answer is not HTTP"
	case probe.ClassProxyPort:
		return "this is a port for the PROXY protocol: users must reach the plain one, and nobody but the terminator this one"
	case probe.ClassProxyMismatch:
		if t.path.Proxy {
			return "the PROXY protocol is refused with a bare 400: the port is one for plain HTTP"
		}
		return "Varnish refuses the first bytes with a bare 400: what stands in front sends the PROXY protocol to a port that does not expect it"
	case probe.ClassNotViaVarnish:
		return "the answer did not come through Varnish: no X-Varnish, no Via"
	case probe.ClassBackendFetch:
		return "Varnish runs but gets nothing from the backend: Backend fetch failed"
	case probe.ClassBypassNotHonoured:
		return "the cache answered a request that was to go past it, so the backend is not proven: check the bypass of the path against the VCL"
	}
	return strings.ReplaceAll(string(class), "_", " ")
}

// statuses lists numbers for people: "200 or 204".
func statuses(list []int) string {
	words := make([]string, len(list))
	for i, status := range list {
		words[i] = strconv.Itoa(status)
	}
	return strings.Join(words, " or ")
}

// counted returns "1 byte" or "2 bytes".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
