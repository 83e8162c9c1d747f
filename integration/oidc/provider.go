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
	"strconv"
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

	mu    sync.Mutex // guards found
	found *goidc.Provider
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
	return &Provider{cfg: cfg, http: cfg.HTTP}, nil
}

// provider returns what discovery found, asking at most until it worked once.
func (p *Provider) provider(ctx context.Context) (*goidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	// The keys are fetched under this context for as long as the provider is used: it must not end.
	found, err := goidc.NewProvider(goidc.ClientContext(context.WithoutCancel(ctx), p.limited()), p.cfg.Issuer)
	if err != nil {
		return nil, &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: p.cfg.Name + " does not say how people sign in there", Hint: "try again; the log has the details", Cause: errors.New(err.Error()),
		}
	}
	p.found = found
	return found, nil
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
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
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

// identity reads who the token is of.
func (p *Provider) identity(token *goidc.IDToken) (upgrade.Identity, error) {
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return upgrade.Identity{}, p.distrust("its ID token cannot be read", err)
	}
	text := func(names ...string) string {
		for _, name := range names {
			if s, _ := claims[name].(string); strings.TrimSpace(s) != "" {
				return s
			}
		}
		return ""
	}
	who := upgrade.Identity{Username: text("nickname", "preferred_username"), Name: text("name", "preferred_username", "nickname", "email")}
	if who.Name == "" {
		who.Name = token.Subject
	}
	if p.cfg.GitLab {
		id, err := strconv.ParseInt(token.Subject, 10, 64)
		if err != nil || id < 1 {
			return upgrade.Identity{}, p.distrust("it does not name a user by number, as GitLab does", nil)
		}
		who.Subject, who.GitLabUser = "gitlab/"+token.Subject, id
		return who, nil
	}
	who.Subject = "oidc/" + p.cfg.Name + "/" + token.Subject
	if groups, ok := claims[p.cfg.Groups].([]any); ok && p.cfg.Groups != "" {
		for _, group := range groups {
			if name, ok := group.(string); ok {
				who.Groups = append(who.Groups, p.cfg.Name+"/"+name)
			}
		}
	}
	return who, nil
}
