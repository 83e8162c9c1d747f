// Package lab sets up a site behind Varnish on this machine and breaks it on purpose, for tests and for
// the demonstration. Nothing of it belongs into a service.
//
// A [Lab] is real: network namespaces joined by a router, varnishd, hitch for TLS where it is installed,
// back ends and a DNS server in Go. It needs Linux, root, ip, nft and varnishd; [Available] says what is
// missing. Its addresses are 10.77.0.0/16 and exist inside its namespaces only: from the machine itself
// they would leave by the default route, so dial them with [Lab.Dialer] and nothing else.
//
// A [Site] is what a demonstration needs of it, and falls back to a plain varnishd, or to the stand-in
// of package standin, behind a [Gatekeeper] on loopback.
package lab
