package lab

import (
	"fmt"
	"net/netip"
	"strings"
)

// What the lab's VCL knows by name.
const (
	// Host is the name of the site, in DNS, in certificates and in the Host header.
	Host = "www.site.lab"
	// BypassHeader goes past the cache when it carries the lab's secret.
	BypassHeader = "X-Gate-Bypass" //nolint:gosec // a name, not a value
	// BypassCookie is the session cookie that goes past the cache.
	BypassCookie = "MoodleSession"
	// HealthPath is answered by Varnish itself, and so proves nothing about the site.
	HealthPath = "/varnish-health"
)

// vcl returns the configuration of Varnish: two back ends in turn, an hour of grace, and a way past the
// cache. secret is hexadecimal.
func vcl(backends []netip.AddrPort, secret string) string {
	var b strings.Builder
	b.WriteString(`vcl 4.1;
import directors;
probe p {
	.request = "GET /healthz HTTP/1.1" "Host: ` + Host + `" "Connection: close";
	.interval = 500ms; .timeout = 400ms; .window = 4; .threshold = 2; .initial = 2;
}
`)
	for i, addr := range backends {
		fmt.Fprintf(&b, "backend web%d { .host = \"%s\"; .port = \"%d\"; .connect_timeout = 500ms; .first_byte_timeout = 3s; .probe = p; }\n",
			i+1, addr.Addr(), addr.Port())
	}
	b.WriteString("sub vcl_init {\n\tnew d = directors.round_robin();\n")
	for i := range backends {
		fmt.Fprintf(&b, "\td.add_backend(web%d);\n", i+1)
	}
	fmt.Fprintf(&b, `}
sub vcl_recv {
	set req.backend_hint = d.backend();
	if (req.url == "%s") { return (synth(200)); }
	if (req.http.%s == "%s") { return (pass); }
	if (req.http.Cookie ~ "%s") { return (pass); }
	unset req.http.Cookie;
}
sub vcl_backend_response {
	if (beresp.ttl > 0s) { set beresp.grace = 1h; }
}
`, HealthPath, BypassHeader, secret, BypassCookie)
	return b.String()
}

// varnishd returns the command line of a small Varnish in the foreground. The compiler's work is most of
// the start, so it gets none of the usual optimising: 0.4 s instead of 2 s on two cores.
func varnishd(program, workdir, config string, listen ...string) []string {
	argv := []string{
		program, "-F", "-n", workdir, "-f", config, "-s", "malloc,32m", "-j", "none",
		"-T", "127.0.0.1:0",
		"-p", "cc_command=exec gcc -O0 -fpic -shared -w -o %o %s",
		"-p", "thread_pools=1", "-p", "thread_pool_min=20", "-p", "vsl_space=4M",
	}
	for _, at := range listen {
		argv = append(argv, "-a", at)
	}
	return argv
}
