package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"github.com/upgradegate/upgradegate/upgrade"
)

// Config is what a Provider needs. Issuer, ClientID, Secret and Redirect must be set.
type Config struct {
	Name     string // "gitlab", or another one's, as subjects begin
	Issuer   string // address, exactly as its tokens have it
	ClientID string
	Secret   upgrade.Secret
	Redirect string        // address of ours to which it sends people back
	Scopes   []string      // besides openid and profile
	Groups   string        // claim in which groups are; empty: none is read
	GitLab   bool          // it is GitLab: the subject is the number of the user
	Timeout  time.Duration // of one call; default 10 s
	HTTP     *http.Client  // default: one of its own, that follows no redirect
	Now      func() time.Time
}

// Provider is one OpenID Connect provider. It is asked for its addresses when somebody first signs in, so
// that it need not be up when the service starts. Safe for use by several goroutines.
type Provider struct {
	cfg  Config
	http *http.Client

	mu     sync.Mutex // guards the fields below
	found  *goidc.Provider
	asking *discovery // under way; nil: nobody asks
}

// discovery is one asking of a provider for its addresses, for which everybody waits who needs them.
type discovery struct {
	done  chan struct{}
	found *goidc.Provider
	err   error
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 1 << 20

// New returns a provider. Nothing is asked yet. CodeInvalid if something is missing.
func New(cfg Config) (*Provider, error) {
	if cfg.Issuer == "" || cfg.ClientID == "" || !cfg.Secret.Set() || cfg.Redirect == "" {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a provider needs issuer, client id, client secret and redirect"}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	bounded := *cfg.HTTP
	bounded.Transport = short{cfg.HTTP.Transport}
	return &Provider{cfg: cfg, http: &bounded}, nil
}

// provider returns what discovery found, asking at most until it worked once. Who comes while it is asked waits for
// the same answer.
func (p *Provider) provider(ctx context.Context) (*goidc.Provider, error) {
	p.mu.Lock()
	found, d := p.found, p.asking
	mine := found == nil && d == nil
	if mine {
		d = &discovery{done: make(chan struct{})}
		p.asking = d
	}
	p.mu.Unlock()
	switch {
	case found != nil:
		return found, nil
	case mine:
		p.discover(ctx, d)
	}
	select {
	case <-d.done:
		return d.found, d.err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for %s: %w", p.cfg.Name, ctx.Err())
	}
}

func (p *Provider) discover(ctx context.Context, d *discovery) {
	defer close(d.done)
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.found, p.asking = d.found, nil
	}()
	d.err = fmt.Errorf("%s was not asked to its end", p.cfg.Name) // unless it was
	// The keys are fetched under this context for as long as the provider is used: it must not end.
	found, err := goidc.NewProvider(goidc.ClientContext(context.WithoutCancel(ctx), p.limited()), p.cfg.Issuer)
	if err == nil {
		err = p.suits(found)
	}
	if err != nil {
		d.err = &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: p.cfg.Name + " does not say how people sign in there", Hint: "try again; the log has the details", Cause: errors.New(err.Error()),
		}
		return
	}
	d.found, d.err = found, nil
}

// suits refuses a provider that would have the client's secret, or the keys, cross the network unencrypted though
// its issuer is reached by https.
func (p *Provider) suits(found *goidc.Provider) error {
	var keys struct {
		At string `json:"jwks_uri"`
	}
	if err := found.Claims(&keys); err != nil {
		return fmt.Errorf("read what discovery says: %w", err)
	}
	for name, at := range map[string]string{"authorization_endpoint": found.Endpoint().AuthURL, "token_endpoint": found.Endpoint().TokenURL, "jwks_uri": keys.At} {
		u, err := url.Parse(at)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("%s is no address", name)
		}
		if strings.HasPrefix(p.cfg.Issuer, "https:") && u.Scheme != "https" {
			return fmt.Errorf("%s is not reached by https", name)
		}
	}
	return nil
}

// short gives answers up that are longer than maxAnswer.
type short struct{ by http.RoundTripper }

func (s short) RoundTrip(r *http.Request) (*http.Response, error) {
	by := s.by
	if by == nil {
		by = http.DefaultTransport
	}
	resp, err := by.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// limited is the client with a limit of its own for what go-oidc asks by itself.
func (p *Provider) limited() *http.Client {
	c := *p.http
	c.Timeout = p.cfg.Timeout
	return &c
}

// Begin returns where the browser is sent. CodeUnavailable while the provider does not answer.
func (p *Provider) Begin(ctx context.Context, state, nonce, verifier string) (string, error) {
	found, err := p.provider(ctx)
	if err != nil {
		return "", err
	}
	to, err := url.Parse(found.Endpoint().AuthURL)
	if err != nil {
		return "", fmt.Errorf("read the address of %s: %w", p.cfg.Name, err)
	}
	sum := sha256.Sum256([]byte(verifier))
	q := to.Query()
	for key, value := range map[string]string{
		"response_type": "code", "client_id": p.cfg.ClientID, "redirect_uri": p.cfg.Redirect, "state": state, "nonce": nonce,
		"scope":          strings.Join(append([]string{"openid", "profile"}, p.cfg.Scopes...), " "),
		"code_challenge": base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method": "S256",
	} {
		q.Set(key, value)
	}
	to.RawQuery = q.Encode()
	return to.String(), nil
}

// Finish returns who came back. CodeUnauthorized when the provider does not stand by it, CodeUnavailable
// while it does not answer.
func (p *Provider) Finish(ctx context.Context, code, nonce, verifier string) (upgrade.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	found, err := p.provider(ctx)
	if err != nil {
		return upgrade.Identity{}, err
	}
	raw, err := p.exchange(ctx, found.Endpoint().TokenURL, code, verifier)
	if err != nil {
		return upgrade.Identity{}, err
	}
	token, err := found.VerifierContext(goidc.ClientContext(ctx, p.limited()), &goidc.Config{
		ClientID: p.cfg.ClientID, SupportedSigningAlgs: []string{goidc.RS256, goidc.RS384, goidc.RS512, goidc.ES256, goidc.ES384, goidc.ES512, goidc.PS256, goidc.PS384, goidc.PS512, goidc.EdDSA},
		Now: p.cfg.Now,
	}).Verify(ctx, raw)
	if err != nil {
		return upgrade.Identity{}, p.distrust("its ID token does not hold", err)
	}
	if nonce == "" || subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {
		return upgrade.Identity{}, p.distrust("its ID token was made for another sign-in", nil)
	}
	return p.identity(token)
}

// exchange gives the code, which counts once, for an ID token.
func (p *Provider) exchange(ctx context.Context, at, code, verifier string) (string, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.cfg.Redirect}, "code_verifier": {verifier}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("ask %s for a token: %w", p.cfg.Name, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(p.cfg.ClientID), url.QueryEscape(p.cfg.Secret.Reveal())) // RFC 6749 §2.3.1
	resp, err := p.http.Do(req)
	if err != nil {
		// The library quotes the address, which holds nothing secret: the code went in the body.
		return "", &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: p.cfg.Name + " does not answer", Hint: "try again", Cause: err}
	}
	defer func() { _ = resp.Body.Close() }() // read to its end or given up: nothing to lose
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: p.cfg.Name + " stopped in the middle of its answer", Hint: "try again", Cause: err}
	}
	var answer struct {
		IDToken string `json:"id_token"`
		Error   string `json:"error"`
	}
	parsed := json.Unmarshal(body, &answer)
	switch {
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError:
		return "", &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: fmt.Sprintf("%s answered %d", p.cfg.Name, resp.StatusCode), Hint: "try again"}
	case answer.Error == "invalid_client":
		return "", &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: p.cfg.Name + " does not know this service", Hint: "compare client_id and client_secret with the application there"}
	case resp.StatusCode != http.StatusOK:
		return "", p.distrust("it does not take the code: it counts once, and for ten minutes", nil)
	case parsed != nil || answer.IDToken == "":
		return "", p.distrust("it sent no ID token", nil)
	}
	return answer.IDToken, nil
}

func (p *Provider) distrust(why string, err error) error {
	e := &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: p.cfg.Name + " does not stand by this sign-in: " + why, Hint: "sign in again"}
	if err != nil {
		e.Cause = errors.New(err.Error())
	}
	return e
}
