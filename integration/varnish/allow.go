package varnish

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Allow is one entry of the list of what probes may reach beyond public addresses: TCP ports of a range
// of addresses.
type Allow struct {
	Prefix netip.Prefix // masked, never IPv4 in IPv6
	Ports  []uint16     // ascending, at least one
}

// String returns the entry in the form that [ParseAllow] reads.
func (a Allow) String() string {
	ports := make([]string, len(a.Ports))
	for i, port := range a.Ports {
		ports[i] = strconv.Itoa(int(port))
	}
	return a.Prefix.String() + ":" + strings.Join(ports, ",")
}

// covers reports whether the entry names addr, an address that went through [plain].
func (a Allow) covers(addr netip.AddrPort) bool {
	if !slices.Contains(a.Ports, addr.Port()) || !a.Prefix.Contains(addr.Addr()) {
		return false
	}
	// A range that merely includes loopback was not written with loopback in mind.
	return !addr.Addr().IsLoopback() || loopback(a.Prefix)
}

// ParseAllow reads an entry such as "10.20.0.0/16:80,443", "10.20.0.5:80" or "fd12::/48:443". An
// address without a length is that address alone; one of IPv6 without a length needs brackets. Error:
// CodeInvalid with what is wrong and how to write it; a range in which nothing may ever be reached is
// refused too, so that nobody believes in it.
func ParseAllow(s string) (Allow, error) {
	refuse := func(hint, format string, args ...any) (Allow, error) {
		return Allow{}, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("%q: ", s) + fmt.Sprintf(format, args...), Hint: hint}
	}
	const form = `write a range of addresses and its ports, such as "10.20.0.0/16:80,443"`
	where, list, ok := splitAllow(s)
	if !ok {
		return refuse(form, "no ports")
	}
	prefix, err := parsePrefix(where)
	if err != nil {
		return refuse(form, "%q is neither an address nor a range", where)
	}
	if prefix != prefix.Masked() {
		return refuse(fmt.Sprintf("write %s:%s", prefix.Masked(), list), "%s has bits set beyond its length", prefix)
	}
	ports, err := parsePorts(list)
	if err != nil {
		return refuse(form, "%s", err)
	}
	if what := within(prefix); what != "" {
		return refuse("probes never reach these addresses; remove the entry", "%s is %s", prefix, what)
	}
	return Allow{Prefix: prefix, Ports: ports}, nil
}

// splitAllow cuts at the colon between range and ports.
func splitAllow(s string) (where, ports string, ok bool) {
	if rest, bracketed := strings.CutPrefix(s, "["); bracketed {
		where, ports, ok = strings.Cut(rest, "]:")
		return where, ports, ok
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	where, ports = s[:i], s[i+1:]
	if strings.Contains(where, ":") && !strings.Contains(where, "/") {
		return "", "", false // "fd12::1:80" may be an address without a port
	}
	return where, ports, true
}

// parsePrefix reads a range, or an address as a range of one.
func parsePrefix(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("parse %q: not an address", s)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("parse %q: IPv4 inside IPv6", s)
	}
	return prefix, nil
}

// parsePorts reads "80,443" into ascending order without repetition.
func parsePorts(list string) ([]uint16, error) {
	var ports []uint16
	for word := range strings.SplitSeq(list, ",") {
		port, err := strconv.ParseUint(word, 10, 16)
		if err != nil || port == 0 || word[0] == '+' {
			return nil, fmt.Errorf("%q is not a port from 1 to 65535", word)
		}
		ports = append(ports, uint16(port))
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}
