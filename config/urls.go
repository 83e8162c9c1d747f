package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// No message about an address repeats it: it may hold a password.

// httpURL is the address of something that secrets are sent to: https, or http on this machine.
func httpURL(example string, more rule) shape[string] {
	one := word[string](func(s string) (string, string) { return checkURL(s, example) }, func(s string) (string, string) {
		u, err := url.Parse(s)
		if err == nil && u.Scheme == "http" && !loopbackHost(u.Hostname()) {
			return "must be https: secrets are sent there", "http is for this machine alone"
		}
		if err == nil && u.RawQuery != "" {
			return "must not have a query", "write it as in " + example
		}
		return "", ""
	}, more)
	one.schema.Format = "uri"
	return one
}

// httpOrHTTPS is the address of a page.
func httpOrHTTPS() shape[string] {
	one := word[string](func(s string) (string, string) { return checkURL(s, "https://staging.example.org/login") })
	one.schema.Format = "uri"
	return one
}

func checkURL(s, example string) (wrong, hint string) {
	u, err := url.Parse(s)
	hint = "write it as in " + example
	switch {
	case err != nil:
		return "is not an address", hint
	case u.Scheme != "http" && u.Scheme != "https":
		return "must begin with https:// or http://", hint
	case u.Hostname() == "" || strings.ContainsAny(u.Host, " \t\"<>\\^`{|}"):
		return "names no host", hint
	case u.User != nil:
		return "must not hold a name or password", hint
	case u.Fragment != "":
		return "must not have a fragment", hint
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, ok := parsePort(port); !ok || n == 0 {
			return "has a port that is none", "a port is a number from 1 to 65535"
		}
	}
	return "", ""
}

// noPath is for addresses of whole sites.
func noPath(s string) (wrong, hint string) {
	if u, err := url.Parse(s); err == nil && u.Path != "" && u.Path != "/" {
		return "must be the address of a site without a path", ""
	}
	return "", ""
}

// noAPI catches the address of GitLab's API instead of GitLab's.
func noAPI(s string) (wrong, hint string) {
	if u, err := url.Parse(s); err == nil && strings.HasSuffix(strings.TrimRight(u.Path, "/"), "/api/v4") {
		return "must not end in /api/v4", "give the address of the instance"
	}
	return "", ""
}

// loopbackHost reports whether a host can only be this machine.
func loopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// listenRule is for host:port, the host an address, localhost, or nothing for every address.
func listenRule(s string) (wrong, hint string) {
	const form = "write it as in 127.0.0.1:8080 or :8080"
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "is not an address with a port", form
	}
	if _, ok := parsePort(port); !ok {
		return "has a port that is none", form
	}
	if _, err := netip.ParseAddr(host); host != "" && host != "localhost" && err != nil {
		return "must begin with an address of this machine", form
	}
	return "", ""
}

// databaseRule is for addresses of databases.
func databaseRule(s string) (wrong, hint string) {
	const form = "write sqlite:///var/lib/upgradegate/gate.db, or sqlite:gate.db for a file in the working folder"
	scheme, rest, found := strings.Cut(s, ":")
	file := strings.TrimPrefix(rest, "//")
	switch {
	case !found:
		return "has no scheme", form
	case scheme == "postgres" || scheme == "postgresql":
		return "PostgreSQL is not built yet", "use a file for now: sqlite:///var/lib/upgradegate/gate.db"
	case scheme != "sqlite":
		return "is of no known kind", form
	case file != rest && !strings.HasPrefix(file, "/"):
		return "names a host", "three slashes begin an absolute path: sqlite:///var/lib/upgradegate/gate.db"
	case file == "" || strings.HasSuffix(file, "/") || strings.HasPrefix(file, ":"):
		return "names no file", form
	case strings.ContainsAny(file, "?#"):
		return "has more than a path", "the settings of the connection are the program's own"
	}
	return "", ""
}

// databaseFile returns the path in an address that databaseRule lets through.
func databaseFile(s string) string {
	return strings.TrimPrefix(strings.TrimPrefix(s, "sqlite:"), "//")
}
