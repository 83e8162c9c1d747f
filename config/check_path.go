package config

import (
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
	settings := gates.VarnishSettings{Tries: g.varnish.tries}
	for i := range g.varnish.paths {
		settings.Paths = append(settings.Paths, r.checkPath(&g.varnish.paths[i], nth(under(at, "paths"), i), raw.network.allow))
	}
	return settings
}

func (r *reader) checkPath(p *rawPath, at string, allow []Allow) probe.Path {
	path := probe.Path{URL: p.url, ViaVarnish: p.viaVarnish, CAFile: p.caFile, Expect: probe.Expect{Status: p.expect.status, BodyContains: p.expect.bodyContains}}
	if len(path.Expect.Status) == 0 {
		path.Expect.Status = []int{200}
	}
	if len(p.expect.headers) > 0 {
		path.Expect.Headers = map[string]string{}
		for _, one := range p.expect.headers {
			path.Expect.Headers[one.key] = one.value
		}
	}
	r.checkBypass(p, at, &path)
	u, err := url.Parse(p.url)
	if err != nil || p.url == "" {
		return path
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		r.checkReachable(netip.AddrPortFrom(addr, portOf(u)), under(at, "url"), allow)
	}
	for _, one := range p.resolve {
		r.checkResolve(one, u, under(under(at, "resolve"), one.key), &path, allow)
	}
	if p.caFile != "" {
		path.CAFile = r.checkAuthority(p.caFile, u, under(at, "ca_file"))
	}
	return path
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

func (r *reader) checkResolve(one pair[string], u *url.URL, at string, path *probe.Path, allow []Allow) {
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
	r.checkReachable(addr, at, allow)
}

// checkReachable refuses an address that the guard on probes would keep shut at every asking.
func (r *reader) checkReachable(addr netip.AddrPort, at string, allow []Allow) {
	ip := addr.Addr().Unmap()
	if what := closed(netip.PrefixFrom(ip, ip.BitLen())); what != "" {
		r.problem(at, "probe the site by an address that its users have", "%s is among %s: probes never go there", ip, what)
		return
	}
	if public(ip) {
		return
	}
	open := func(one Allow) bool { return one.Prefix.Contains(ip) && slices.Contains(one.Ports, addr.Port()) }
	if !slices.ContainsFunc(allow, open) && !r.broken("network") {
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
