package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

func (r *reader) checkVarnish(raw *rawFile, g *rawGate, at string) gates.VarnishSettings {
	settings := gates.VarnishSettings{
		Tries: g.varnish.tries, Paths: r.climbedPaths(raw, g, at), Vantages: g.varnish.from, Closed: r.checkClosed(raw, g, at),
	}
	if node := g.varnish.node; node != nil {
		settings.Node = probe.Node{Command: node.command, Name: node.name}
		if !r.has(under(under(at, "varnish"), "command")) && !r.has(under(under(at, "varnish"), "name")) {
			r.problem(under(at, "varnish"), "set command, name, or both", "names no way to Varnish's tools")
		}
	}
	r.checkFrom(raw, g.varnish.from, under(at, "from"))
	return settings
}

func (r *reader) checkHTTP(raw *rawFile, g *rawGate, at string) gates.HTTPSettings {
	r.checkFrom(raw, g.varnish.from, under(at, "from"))
	return gates.HTTPSettings{
		Tries: g.varnish.tries, Paths: r.climbedPaths(raw, g, at), Vantages: g.varnish.from, Closed: r.checkClosed(raw, g, at),
	}
}

func (r *reader) climbedPaths(raw *rawFile, g *rawGate, at string) []probe.Path {
	var paths []probe.Path
	for i := range g.varnish.paths {
		paths = append(paths, r.checkPath(&g.varnish.paths[i], nth(under(at, "paths"), i), raw.network.allow, fromHere(g.varnish.from)))
	}
	return paths
}

// checkClosed refuses doors that could not be tried, and places from which the gate does not probe.
func (r *reader) checkClosed(raw *rawFile, g *rawGate, at string) []gates.Closed {
	var list []gates.Closed
	for i, one := range g.varnish.closed {
		below := nth(under(at, "closed"), i)
		closed := gates.Closed{From: one.from}
		for _, port := range one.ports {
			if port > 0 {
				closed.Ports = append(closed.Ports, uint16(port)) //nolint:gosec // of that range: number
			}
		}
		for j, text := range one.at {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				continue // said where it was read
			}
			closed.At = append(closed.At, addr)
			for _, port := range closed.Ports {
				r.checkReachable(netip.AddrPortFrom(addr, port), nth(under(below, "at"), j), raw.network.allow, fromHere(one.from, g.varnish.from))
			}
		}
		all := g.varnish.from
		if len(all) == 0 {
			all = []probe.Vantage{probe.Here}
		}
		for j, from := range one.from {
			if place := nth(under(below, "from"), j); from != "" && !slices.Contains(all, from) && !r.broken(place) && !r.broken(under(at, "from")) {
				r.problem(place, "add it to from of the gate", "the gate does not probe from %s", quoted(string(from)))
			}
		}
		list = append(list, closed)
	}
	return list
}

func (r *reader) checkPath(p *rawPath, at string, allow []Allow, here bool) probe.Path {
	path := probe.Path{
		URL: p.url, ViaVarnish: p.viaVarnish, VarnishHeader: p.varnishHeader, CAFile: p.caFile, Proxy: p.proxy == "v2",
		Expect: probe.Expect{Status: p.expect.status, BodyContains: p.expect.bodyContains, BodySHA256: strings.ToLower(p.expect.bodySHA256), MaxAge: p.expect.maxAge},
	}
	if len(path.Expect.Status) == 0 {
		path.Expect.Status = []int{200}
	}
	if len(p.expect.headers) > 0 {
		path.Expect.Headers = map[string]string{}
		for _, one := range p.expect.headers {
			path.Expect.Headers[one.key] = one.value
		}
	}
	if p.large != nil {
		path.Large = probe.Large{Page: p.large.page, MinBytes: p.large.minBytes}
	}
	for _, text := range p.dns.expect {
		if prefix, ok := parseRange(text); ok {
			path.Addresses = append(path.Addresses, prefix)
		}
	}
	r.checkBypass(p, at, &path)
	u, err := url.Parse(p.url)
	if err != nil || p.url == "" {
		return path
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		r.checkReachable(netip.AddrPortFrom(addr, portOf(u)), under(at, "url"), allow, here)
	}
	r.checkTLS(p, u, under(at, "tls"), &path)
	for _, one := range p.resolve {
		r.checkResolve(one, u, under(under(at, "resolve"), one.key), &path, allow, here)
	}
	if p.caFile != "" {
		path.CAFile = r.checkAuthority(p.caFile, u, under(at, "ca_file"))
	}
	return path
}

func (r *reader) checkTLS(p *rawPath, u *url.URL, at string, path *probe.Path) {
	if p.tls == nil {
		return
	}
	if u.Scheme != "https" {
		r.problem(at, "remove it, or probe https", "the url is not https")
	}
	path.Expect.MinDays, path.Expect.CertNames = p.tls.minDays, p.tls.names
	if p.tls.minVersion == "1.3" {
		path.Expect.MinTLS = tls.VersionTLS13
	}
}

func (r *reader) checkBypass(p *rawPath, at string, path *probe.Path) {
	b := p.bypass
	if b == nil {
		return
	}
	at = under(at, "bypass")
	path.Bypass = probe.Bypass{Header: b.header, Value: b.value.Reveal(), Cookie: b.cookie, Query: b.query}
	hasHeader, hasValue := r.has(under(at, "header")), r.has(under(at, "value"))
	switch {
	case hasHeader != hasValue:
		r.problem(at, "give both, or neither", "header and value belong together")
	case !hasHeader && !r.has(under(at, "cookie")) && !r.has(under(at, "query")):
		r.problem(at, "set header and value, cookie, or query", "names no way past the cache")
	}
	taken := []string{"host", "connection", "content-length", "transfer-encoding", "user-agent"}
	if slices.Contains(taken, strings.ToLower(b.header)) {
		r.problem(under(at, "header"), "choose a header of your own", "header %s cannot carry the bypass", b.header)
	}
}

func (r *reader) checkResolve(one pair[string], u *url.URL, at string, path *probe.Path, allow []Allow, here bool) {
	addr, ok := parseAddress(one.value)
	if !ok || one.key == "" {
		return
	}
	if !strings.EqualFold(one.key, u.Hostname()) {
		r.problem(at, "", "the url does not name this host, but %s", quoted(u.Hostname()))
		return
	}
	if path.Resolve == nil {
		path.Resolve = map[string]string{}
	}
	path.Resolve[one.key] = one.value
	if addr.Port() == 0 {
		addr = netip.AddrPortFrom(addr.Addr(), portOf(u))
	}
	r.checkReachable(addr, at, allow, here)
}

// fromHere reports whether the first list that says anything has the host of the service, which is the default.
func fromHere(lists ...[]probe.Vantage) bool {
	for _, list := range lists {
		if len(list) > 0 {
			return slices.Contains(list, probe.Here)
		}
	}
	return true
}

// checkReachable refuses an address that the guard on probes would keep shut at every asking. Where nobody probes
// from here, what may be reached is for the agents to say.
func (r *reader) checkReachable(addr netip.AddrPort, at string, allow []Allow, here bool) {
	ip := addr.Addr().Unmap()
	if what := closed(netip.PrefixFrom(ip, ip.BitLen())); what != "" {
		r.problem(at, "probe the site by an address that its users have", "%s is among %s: probes never go there", ip, what)
		return
	}
	if public(ip) {
		return
	}
	open := func(one Allow) bool { return one.Prefix.Contains(ip) && slices.Contains(one.Ports, addr.Port()) }
	if here && !slices.ContainsFunc(allow, open) && !r.broken("network") {
		r.problem(at, "add "+quoted(netip.PrefixFrom(ip, ip.BitLen()).String()+":"+strconv.Itoa(int(addr.Port())))+" to network.allow",
			"%s is not public and not among what probes may reach", addr)
	}
}

// public reports whether probes may reach an address without being told so.
func public(ip netip.Addr) bool {
	if ip.Is6() && !netip.MustParsePrefix("2000::/3").Contains(ip) {
		return false
	}
	for _, special := range []string{
		"10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20",
	} {
		if netip.MustParsePrefix(special).Contains(ip) {
			return false
		}
	}
	return true
}

func portOf(u *url.URL) uint16 {
	if port, ok := parsePort(u.Port()); ok {
		return port
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// checkAuthority returns the absolute path of a file of certificates.
func (r *reader) checkAuthority(file string, u *url.URL, at string) string {
	if u.Scheme != "https" {
		r.problem(at, "remove it, or probe https", "the url is not https")
		return ""
	}
	data, err := r.readFile(file)
	if err != nil {
		r.problem(at, "", "the file cannot be read: %s", reason(err))
		return ""
	}
	found := false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			found = true
		}
	}
	if !found {
		r.problem(at, "", "the file holds no certificate in PEM form")
	}
	full, err := filepath.Abs(file)
	if err != nil {
		r.problem(at, "give an absolute path", "cannot be resolved: %s", reason(err))
	}
	return full
}
