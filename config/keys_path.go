package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// Bounds of what a path may expect.
const (
	oldestPage = 365 * 24 * time.Hour
	mostDays   = 825 // the longest that a certificate was ever good for in public
	mostBytes  = 1 << 20
)

// climbFields are the keys of the kinds that climb paths.
func climbFields(path shape[rawPath]) []field[rawGate] {
	return []field[rawGate]{
		required("paths", "What is asked, layer by layer.", list(path, 1), func(g *rawGate) *[]rawPath { return &g.varnish.paths }),
		defaulted("tries", "How often a path is tried before a broken layer counts.", number[int](1, 10), defaultTries, func(g *rawGate) *int { return &g.varnish.tries }),
		fromField("Places from which each path is probed: here, and names of vantages; default: here.", func(g *rawGate) *[]probe.Vantage { return &g.varnish.from }),
		optional("closed", "Ports that must not take connections.", list(closedShape(), 1), func(g *rawGate) *[]rawClosed { return &g.varnish.closed }),
		againField(),
	}
}

// fromField is a list of vantages.
func fromField[S any](about string, in func(*S) *[]probe.Vantage) field[S] {
	return optional("from", about, set(name[probe.Vantage]("a vantage"), 1), in)
}

func closedShape() shape[rawClosed] {
	return object(
		required("ports", "Ports of TCP.", list(number[int](1, 65535), 1), func(c *rawClosed) *[]int { return &c.ports }),
		optional("at", "Addresses; default: every address behind the names of the gate's paths.", set(word[string](bareAddressRule), 1), func(c *rawClosed) *[]string { return &c.at }),
		fromField("Places of the gate's from at which they must be closed; default: here, or all of them without it.", func(c *rawClosed) *[]probe.Vantage { return &c.from }),
	)
}

func nodeShape() shape[rawNode] {
	return object(
		optional("command", "Program and arguments that varnishadm and varnishstat with their arguments are appended to, such as [ssh, varnish-1]; run without a shell. Default: they are run on this host.", list(word[string](), 1), func(n *rawNode) *[]string { return &n.command }),
		optional("name", "Name of the instance, as varnishd's -n.", pattern[string](`^[A-Za-z0-9/._][A-Za-z0-9/._-]*$`, "cannot be the name of a Varnish", "give what varnishd has as -n", atMost(200, "")), func(n *rawNode) *string { return &n.name }),
	)
}

// plainPathShape is a path behind which no Varnish is looked for.
func plainPathShape() shape[rawPath] { return object(plainPathFields()...) }

func pathShape() shape[rawPath] {
	return object(append(plainPathFields(),
		defaulted("via_varnish", "The answer must have come through Varnish.", flag(), true, func(p *rawPath) *bool { return &p.viaVarnish }),
		optional("varnish_header", "Name of a header that only Varnish sets, where X-Varnish and Via are taken out of answers.", headerName(), func(p *rawPath) *string { return &p.varnishHeader }),
		given("bypass", "How Varnish is asked to let a request through to the backend.", bypassShape(), func(p *rawPath) **rawBypass { return &p.bypass }),
	)...)
}

func plainPathFields() []field[rawPath] {
	return []field[rawPath]{
		required("url", "Address of a page.", httpOrHTTPS(), func(p *rawPath) *string { return &p.url }),
		optional("expect", "What a good answer looks like.", expectShape(), func(p *rawPath) *rawExpect { return &p.expect }),
		optional("dns", "What DNS must answer.", object(
			required("expect", "Addresses, or ranges of them, within which the answer must be.", set(word[string](rangeRule), 1), func(d *rawDNS) *[]string { return &d.expect }),
		), func(p *rawPath) *rawDNS { return &p.dns }),
		given("tls", "What the certificate and the terminator must be like.", tlsShape(), func(p *rawPath) **rawTLS { return &p.tls }),
		given("large_object", "Something on the same host that does not fit into one packet: only that shows that large packets get lost.", largeShape(), func(p *rawPath) **rawLarge { return &p.large }),
		defaulted("proxy_protocol", "Whether the port expects the PROXY protocol: v2 is sent as LOCAL, which claims no address.", choice("proxy_protocol", []string{"none", "v2"}, nil), "none", func(p *rawPath) *string { return &p.proxy }),
		optional("resolve", "Addresses of hosts, with or without a port, instead of asking DNS.", dictionary(word[string](hostRule), word[string](addressRule), 0), func(p *rawPath) *[]pair[string] { return &p.resolve }),
		optional("ca_file", "Certificates (PEM) of the authority that signed the site's; default: the system's.", word[string](), func(p *rawPath) *string { return &p.caFile }),
	}
}

func expectShape() shape[rawExpect] {
	return object(
		defaulted("status", "Status of a good answer, or a list of them.", oneOrMore(number[int](100, 599)), []int{200}, func(e *rawExpect) *[]int { return &e.status }),
		optional("body_contains", "Text that the page must hold.", word[string](), func(e *rawExpect) *string { return &e.bodyContains }),
		optional("body_sha256", "SHA-256 of the whole page, in hexadecimal; of a page up to 1 MiB.", pattern[string](`^[0-9A-Fa-f]{64}$`, "is not a SHA-256", "write 64 hexadecimal digits, as sha256sum prints them"), func(e *rawExpect) *string { return &e.bodySHA256 }),
		optional("headers", "Headers that must be there, with a regular expression for their value.", dictionary(headerName(), word[string](regexpRule), 0), func(e *rawExpect) *[]pair[string] { return &e.headers }),
		optional("max_age", "How old a page from the cache may be, whatever the site itself allows.", duration(time.Second, oldestPage), func(e *rawExpect) *time.Duration { return &e.maxAge }),
	)
}

func tlsShape() shape[rawTLS] {
	return object(
		optional("min_days", "Days that the certificate must still be good for; without it, fewer than 14 are a warning.", number[int](1, mostDays), func(t *rawTLS) *int { return &t.minDays }),
		optional("names", "Names that the certificate must hold besides the host of the url.", set(word[string](hostRule), 1), func(t *rawTLS) *[]string { return &t.names }),
		defaulted("min_version", "The oldest TLS that the terminator may agree to.", choice("version", []string{"1.2", "1.3"}, nil), "1.2", func(t *rawTLS) *string { return &t.minVersion }),
	)
}

func largeShape() shape[rawLarge] {
	return object(
		required("path", "Path and query of it, such as /theme/big.css.", word[string](largeRule), func(l *rawLarge) *string { return &l.page }),
		optional("min_bytes", "Bytes that it must have at least.", number[int](1, mostBytes), func(l *rawLarge) *int { return &l.minBytes }),
	)
}

func bypassShape() shape[rawBypass] {
	return object(
		optional("header", "Name of a request header.", headerName(), func(b *rawBypass) *string { return &b.header }),
		optional("value", "Value of the header.", line(), func(b *rawBypass) *upgrade.Secret { return &b.value }),
		optional("cookie", "Cookie, as name=value.", word[string](cookieRule), func(b *rawBypass) *string { return &b.cookie }),
		optional("query", "Name of a query parameter that gets a fresh value each time.", pattern[string](`^[A-Za-z0-9_.-]+$`, "is not the name of a query parameter", ""), func(b *rawBypass) *string { return &b.query }),
	)
}

// largeRule is for the path of a page of a host that is said elsewhere.
func largeRule(s string) (wrong, hint string) {
	ref, err := url.Parse(s)
	if err != nil || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || ref.Host != "" || ref.Fragment != "" {
		return quoted(s) + " is not the path of a page", "write it as in /theme/big.css: it is on the host of the url"
	}
	return "", ""
}

// bareAddressRule is for addresses without a port.
func bareAddressRule(s string) (wrong, hint string) {
	if addr, err := netip.ParseAddr(s); err != nil || addr.Zone() != "" {
		return quoted(s) + " is not an address", "write it as in 10.20.0.5, without a port"
	}
	return "", ""
}

// rangeRule is for addresses and ranges of addresses.
func rangeRule(s string) (wrong, hint string) {
	if _, ok := parseRange(s); !ok {
		return quoted(s) + " is neither an address nor a range", "write it as in 10.20.0.5 or 10.20.0.0/16"
	}
	return "", ""
}

// parseRange reads a range, or an address as a range of one.
func parseRange(s string) (netip.Prefix, bool) {
	if prefix, err := netip.ParsePrefix(s); err == nil {
		return prefix, prefix == prefix.Masked()
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, addr.BitLen()), true
}
