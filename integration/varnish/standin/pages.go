package standin

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// New returns a proxy. Error: CodeInvalid without a backend.
func New(cfg Config) (*Proxy, error) {
	if len(cfg.Backends) == 0 {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a proxy needs a backend"}
	}
	cfg.Grace = cmp.Or(cfg.Grace, time.Hour)
	cfg.FirstByte = cmp.Or(cfg.FirstByte, 3*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the documented default
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	return &Proxy{
		cfg: cfg,
		client: &http.Transport{
			DialContext:           cfg.Dial,
			ResponseHeaderTimeout: cfg.FirstByte,
			DisableCompression:    true,
			IdleConnTimeout:       time.Minute,
		},
		objects: map[string]*object{},
	}, nil
}

// ttlOf returns for how long an answer may be kept, as Varnish's built-in configuration decides it; 0 for
// not at all.
func ttlOf(resp *http.Response) time.Duration {
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent, http.StatusMultipleChoices, http.StatusMovedPermanently,
		http.StatusNotModified, http.StatusNotFound, http.StatusGone, http.StatusRequestURITooLong:
	default:
		return 0
	}
	control := strings.ToLower(strings.Join(resp.Header.Values("Cache-Control"), ","))
	if resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Vary") == "*" {
		return 0
	}
	ttl := defaultTTL
	for word := range strings.SplitSeq(control, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
		switch name {
		case "no-store", "no-cache", "private":
			return 0
		case "max-age", "s-maxage":
			if seconds, err := strconv.ParseUint(value, 10, 31); err == nil && (name == "s-maxage" || !strings.Contains(control, "s-maxage")) {
				ttl = time.Duration(seconds) * time.Second
			}
		}
	}
	return ttl
}

// guru is what Varnish shows when it got nothing from a backend.
func guru(xid uint64) *object {
	return &object{
		status: http.StatusServiceUnavailable,
		header: http.Header{"Server": {"Varnish"}, "Content-Type": {"text/html; charset=utf-8"}, "Retry-After": {"5"}},
		body:   page("503 Backend fetch failed", "Backend fetch failed", xid),
	}
}

// synth answers without asking a backend, as a health page in VCL does: no Via, no Age.
func (p *Proxy) synth(w http.ResponseWriter, xid uint64) {
	body := page("200 OK", "OK", xid)
	header := w.Header()
	header["Server"] = []string{"Varnish stand-in"}
	header["X-Varnish"] = []string{strconv.FormatUint(xid, 10)}
	header["Content-Type"] = []string{"text/html; charset=utf-8"}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // a client that went away hears nothing more
}

// page is Varnish's own error page.
func page(title, reason string, xid uint64) []byte {
	return fmt.Appendf(nil, `<!DOCTYPE html>
<html>
  <head>
    <title>%s</title>
  </head>
  <body>
    <h1>Error %s</h1>
    <p>%s</p>
    <h3>Guru Meditation:</h3>
    <p>XID: %d</p>
    <hr>
    <p>Varnish cache server (stand-in)</p>
  </body>
</html>
`, title, title, reason, xid)
}
