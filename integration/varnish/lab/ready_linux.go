package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// readyTry is how long one look at a page may take while waiting for it.
const readyTry = time.Second

// untilGood asks for a page of the site, through dial, until it is the page that back ends serve. ended
// says why waiting has no use any more, nil while it has.
func untilGood(ctx context.Context, dial dialer, address, url, caFile string, ended func() error) error {
	client, err := clientFor(dial, address, caFile)
	if err != nil {
		return err
	}
	for {
		last := good(ctx, client, url)
		if last == nil {
			return nil
		}
		if err := ended(); err != nil {
			return err
		}
		if wait(ctx, 5*time.Millisecond) != nil {
			return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the site does not answer: " + last.Error(), Cause: context.Cause(ctx)}
		}
	}
}

// clientFor returns a client that keeps no connection and finds every host at address.
func clientFor(dial dialer, address, caFile string) (*http.Client, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, address)
		},
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile) //nolint:gosec // in the lab's own folder
		if err != nil {
			return nil, fmt.Errorf("read the lab's authority: %w", err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Timeout: readyTry, Transport: transport}, nil
}

// good says why a page is not the one that back ends serve, nil if it is.
func good(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", url, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // the connection is not kept
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w", url, err)
	case resp.StatusCode != http.StatusOK || !strings.Contains(string(body), Marker):
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
