package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// allowShape is one range of addresses with ports, such as "10.20.0.0/16:80,443". An address without a
// length is that address alone; one of IPv6 without a length needs brackets.
func allowShape() shape[Allow] {
	s := schema{Type: "string", MinLength: 1, MaxLength: maxText}
	return shape[Allow]{schema: s, read: func(r *reader, at string, n ast.Node, into *Allow) {
		written, ok := r.word(at, n)
		if !ok {
			return
		}
		entry, wrong, hint := parseAllow(written)
		if wrong != "" {
			r.problem(at, hint, "%s", wrong)
			return
		}
		*into = entry
	}}
}

func parseAllow(s string) (entry Allow, wrong, hint string) {
	const form = `write a range of addresses and its ports, such as "10.20.0.0/16:80,443"`
	where, list, ok := cutPorts(s)
	if !ok {
		return entry, quoted(s) + " has no ports", form
	}
	prefix, err := netip.ParsePrefix(where)
	if addr, single := netip.ParseAddr(where); single == nil && addr.Zone() == "" {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil || prefix.Addr().Is4In6() {
		return entry, quoted(where) + " is neither an address nor a range", form
	}
	if prefix != prefix.Masked() {
		return entry, fmt.Sprintf("%s has bits set beyond its length", prefix), fmt.Sprintf("write %s:%s", prefix.Masked(), list)
	}
	entry.Prefix = prefix
	for one := range strings.SplitSeq(list, ",") {
		port, ok := parsePort(one)
		if !ok || port == 0 {
			return entry, quoted(one) + " is not a port from 1 to 65535", form
		}
		entry.Ports = append(entry.Ports, port)
	}
	slices.Sort(entry.Ports)
	entry.Ports = slices.Compact(entry.Ports)
	if what := closed(prefix); what != "" {
		return entry, fmt.Sprintf("%s reaches %s", prefix, what), "probes never go there; name the site's own addresses"
	}
	if prefix.Addr().IsLoopback() && !prefix.IsSingleIP() {
		return entry, fmt.Sprintf("%s is the whole of loopback", prefix), "name the one address, such as 127.0.0.1/32:8080"
	}
	return entry, "", ""
}

// cutPorts cuts at the colon between range and ports.
func cutPorts(s string) (where, ports string, ok bool) {
	if rest, bracketed := strings.CutPrefix(s, "["); bracketed {
		return strings.Cut(rest, "]:")
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	where, ports = s[:i], s[i+1:]
	// "fd12::1:80" may be an address without a port.
	return where, ports, !strings.Contains(where, ":") || strings.Contains(where, "/")
}

// closed says what a range reaches that no probe may, or nothing. A range that merely has a cloud's
// metadata service somewhere in it is let through: the guard on the socket keeps that address shut.
func closed(prefix netip.Prefix) string {
	for _, one := range neverReached() {
		never := netip.MustParsePrefix(one.prefix)
		if never.Overlaps(prefix) && (one.wide || never.Bits() <= prefix.Bits()) {
			return one.what
		}
	}
	if loopback := netip.MustParsePrefix("127.0.0.0/8"); loopback.Overlaps(prefix) && prefix.Bits() < loopback.Bits() {
		return "loopback"
	}
	if prefix.Addr().Is6() && prefix.Bits() < 128 && prefix.Contains(netip.IPv6Loopback()) {
		return "loopback"
	}
	return ""
}

// stretch is a range that no probe may reach; wide: nor any part of it within a larger range.
type stretch struct {
	prefix string
	wide   bool
	what   string
}

func neverReached() []stretch {
	return []stretch{
		{"169.254.0.0/16", true, "link-local addresses, where clouds keep their metadata service"},
		{"fe80::/10", true, "link-local addresses"},
		{"224.0.0.0/4", true, "multicast addresses"},
		{"ff00::/8", true, "multicast addresses"},
		{"0.0.0.0/8", true, "addresses of this host"},
		{"::/128", true, "the unspecified address"},
		{"240.0.0.0/4", true, "reserved addresses"},
		{"fd00:ec2::/32", false, "a cloud's metadata service"},
		{"fd20:ce::254/128", false, "a cloud's metadata service"},
		{"168.63.129.16/32", false, "a cloud's metadata service"},
		{"100.100.100.200/32", false, "a cloud's metadata service"},
		{"192.0.0.192/32", false, "a cloud's metadata service"},
		{"64:ff9b::/96", false, "IPv4 addresses wrapped in IPv6"},
		{"2002::/16", false, "IPv4 addresses wrapped in IPv6"},
		{"2001::/32", false, "IPv4 addresses wrapped in IPv6"},
	}
}
