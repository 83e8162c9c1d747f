package varnish

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/probe"
)

// target is a path, checked: nothing of it is parsed again.
type target struct {
	path    probe.Path
	url     *url.URL
	host    string // of the URL, lower case, without brackets and port
	port    uint16
	tls     bool
	roots   *x509.CertPool // nil: the system's
	given   netip.Addr     // from the URL or from Resolve; invalid: ask DNS
	to      uint16         // port to dial; differs from port only when Resolve says so
	headers map[string]*regexp.Regexp
	status  []int
	large   url.URL // of the large object, if the path has one
	redact  *redactor
}

// parse checks path. Error: CodeInvalid.
func parse(path probe.Path) (*target, error) {
	u, err := url.Parse(path.URL)
	if err != nil {
		return nil, invalid(err, "%q is not an address of a page", path.URL)
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, invalid(nil, "%s: only http and https can be probed", u.Redacted())
	case host == "":
		return nil, invalid(nil, "%s: no host", u.Redacted())
	case u.User != nil:
		return nil, invalid(nil, "%s: a name and password in an address end up in logs; leave them out", u.Redacted())
	case !httpguts.ValidHostHeader(u.Host):
		return nil, invalid(nil, "%q is not a host", u.Host)
	}
	path.Expect.BodySHA256 = strings.ToLower(path.Expect.BodySHA256)
	t := &target{path: path, url: u, host: host, tls: u.Scheme == "https", status: path.Expect.Status, redact: newRedactor(path.Bypass)}
	if len(t.status) == 0 {
		t.status = []int{200}
	}
	if t.port, err = portOf(u); err != nil {
		return nil, err
	}
	t.to = t.port
	if err := t.readAddress(); err != nil {
		return nil, err
	}
	if err := t.readBypass(); err != nil {
		return nil, err
	}
	if err := t.readHeaders(); err != nil {
		return nil, err
	}
	if err := t.readLarge(); err != nil {
		return nil, err
	}
	return t, t.readRoots()
}

func invalid(cause error, format string, args ...any) error {
	return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf(format, args...), Cause: cause}
}

func portOf(u *url.URL) (uint16, error) {
	switch {
	case u.Port() == "" && u.Scheme == "https":
		return 443, nil
	case u.Port() == "":
		return 80, nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return 0, invalid(err, "%q is not a port", u.Port())
	}
	return uint16(port), nil
}

// readAddress fills given from a literal address in the URL, or from Resolve, whose values are addresses
// with or without a port.
func (t *target) readAddress() error {
	if addr, err := netip.ParseAddr(t.host); err == nil {
		t.given = addr
		return nil
	}
	for name, value := range t.path.Resolve {
		if !strings.EqualFold(name, t.host) {
			continue
		}
		if pair, err := netip.ParseAddrPort(value); err == nil && pair.Port() != 0 {
			t.given, t.to = pair.Addr(), pair.Port()
			return nil
		}
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return invalid(err, "%s is to be found at %q, which is not an address", name, value)
		}
		t.given = addr
	}
	return nil
}

// readBypass refuses what would not arrive as written. The value is a secret and in no message.
func (t *target) readBypass() error {
	b := t.path.Bypass
	switch {
	case b.Header == "" && b.Value != "":
		return invalid(nil, "the bypass has a value, but no header for it")
	case b.Header != "" && !httpguts.ValidHeaderFieldName(b.Header):
		return invalid(nil, "%q is not a name of a header", b.Header)
	case b.Header != "" && slices.Contains([]string{"host", "connection", "content-length", "transfer-encoding", "user-agent"}, strings.ToLower(b.Header)):
		return invalid(nil, "header %s cannot carry the bypass", b.Header)
	case !httpguts.ValidHeaderFieldValue(b.Value):
		return invalid(nil, "the value for header %s has characters that a header cannot carry", b.Header)
	case b.Cookie != "" && !strings.Contains(b.Cookie, "="):
		return invalid(nil, "the bypass cookie is not written name=value")
	case !httpguts.ValidHeaderFieldValue(b.Cookie):
		return invalid(nil, "the bypass cookie has characters that a header cannot carry")
	}
	return nil
}

func (t *target) readHeaders() error {
	t.headers = map[string]*regexp.Regexp{}
	for name, expr := range t.path.Expect.Headers {
		compiled, err := regexp.Compile(expr)
		if err != nil {
			return invalid(err, "expected header %s: %q is not a regular expression", name, expr)
		}
		t.headers[name] = compiled
	}
	return nil
}

func (t *target) readRoots() error {
	if !t.tls {
		return nil
	}
	if t.path.CAFile == "" {
		// Read here, where nothing is timed: the first handshake would read them within its own limit, which
		// took 0.7 s on a busy machine, and would be called a hanging terminator. On an error the handshake
		// tries again and says what is wrong.
		t.roots, _ = x509.SystemCertPool()
		return nil
	}
	pem, err := os.ReadFile(t.path.CAFile)
	if err != nil {
		return invalid(err, "the authority's certificates in %s cannot be read", t.path.CAFile)
	}
	t.roots = x509.NewCertPool()
	if !t.roots.AppendCertsFromPEM(pem) {
		return invalid(nil, "%s holds no certificate in PEM form", t.path.CAFile)
	}
	return nil
}

// readLarge fills the page of the large object.
func (t *target) readLarge() error {
	page := t.path.Large.Page
	if page == "" {
		return nil
	}
	ref, err := url.Parse(page)
	if err != nil || !strings.HasPrefix(page, "/") || strings.HasPrefix(page, "//") || ref.Host != "" || ref.Fragment != "" {
		return invalid(err, "large object %q is not the path of a page, such as /theme/big.css", page)
	}
	t.large = *t.url
	t.large.Path, t.large.RawPath, t.large.RawQuery = ref.Path, ref.RawPath, ref.RawQuery
	return nil
}
