package gitlab

import (
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// maxToken is the longest ID token that is looked at, in bytes. GitLab's have about two thousand.
	maxToken = 16 << 10
	// leeway is how far GitLab's clock and ours may be apart.
	leeway = 30 * time.Second
)

// TokensConfig is what Tokens needs. URL must be set.
type TokensConfig struct {
	// URL is the address of the instance as GitLab itself calls it (external_url): its tokens name it as
	// their issuer, letter by letter.
	URL string
	// Audience is what a token must be made for, the aud of id_tokens: the service's public address. If it
	// is empty, no token is good.
	Audience string
	// Projects are the paths with namespace of the projects whose jobs are believed; none: all. On a GitLab
	// that we share, strangers get tokens for us too.
	Projects []string
	// HTTP gives the transport; default: one of our own.
	HTTP *http.Client
	// Timeout bounds each reading of GitLab's keys; default 10 s.
	Timeout time.Duration
	// Clock says whether a token is still good; default upgrade.SystemClock.
	Clock upgrade.Clock
}

// Tokens checks the ID tokens with which jobs of one GitLab say who they are. It may be used by several
// goroutines. https://docs.gitlab.com/ci/secrets/id_token_authentication/
type Tokens struct {
	issuer   string
	audience string
	projects []string
	clock    upgrade.Clock
	keys     *keyring
}

// NewTokens returns Tokens that know no key yet: GitLab is asked for them when they are wanted. Error:
// CodeInvalid.
func NewTokens(cfg TokensConfig) (*Tokens, error) {
	base, err := checkedURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Timeout < 0 {
		return nil, &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("timeout %s of reading keys is negative", cfg.Timeout)}
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Clock == nil {
		cfg.Clock = upgrade.SystemClock{}
	}
	return &Tokens{
		issuer: base.String(), audience: cfg.Audience, projects: slices.Clone(cfg.Projects), clock: cfg.Clock,
		keys: newKeyring(base, httpClient(cfg.HTTP, base, func(*http.Response, error) {}), cfg.Timeout, cfg.Clock),
	}, nil
}

// Verify returns what the token proves: that GitLab signed it (RS256 only), for us, for now. Whether it
// was used before is not known here. Errors: CodeUnauthorized, which never quotes the token, if it
// proves nothing; CodeUnavailable if GitLab's keys could not be had, or CodeLimited if it is too early to
// ask for them again: the token may be good. CodeUnavailable without an audience, too. CodeForbidden for
// a good token of a project that is not one of ours.
func (t *Tokens) Verify(ctx context.Context, raw string) (upgrade.PipelineToken, error) {
	if t.audience == "" {
		return upgrade.PipelineToken{}, &upgrade.Error{
			Code: upgrade.CodeUnavailable, Msg: "the service does not know the address for which ID tokens are made", Hint: "set server.public_url",
		}
	}
	kid, err := keyID(raw)
	if err != nil {
		return upgrade.PipelineToken{}, err
	}
	key, err := t.keys.key(ctx, kid)
	if err != nil {
		return upgrade.PipelineToken{}, err
	}
	signed := &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{key}}
	token, err := oidc.NewVerifier(t.issuer, signed, &oidc.Config{
		ClientID: t.audience, SupportedSigningAlgs: []string{oidc.RS256}, Now: t.lately,
	}).Verify(ctx, raw)
	if err != nil {
		return upgrade.PipelineToken{}, t.why(ctx, signed, raw, err)
	}
	var payload json.RawMessage
	if err := token.Claims(&payload); err != nil {
		return upgrade.PipelineToken{}, unproven("says nothing that can be read", "")
	}
	claims, err := decodeClaims(payload)
	if err != nil {
		return upgrade.PipelineToken{}, err
	}
	if from := time.Unix(claims.notBefore, 0); from.After(t.clock.Now().Add(leeway)) {
		return upgrade.PipelineToken{}, unproven("is not good before "+from.UTC().Format(time.RFC3339), "compare the clocks of GitLab and of this service")
	}
	known := func(path string) bool { return strings.EqualFold(path, claims.Project) }
	if len(t.projects) > 0 && !slices.ContainsFunc(t.projects, known) {
		return upgrade.PipelineToken{}, &upgrade.Error{
			Code: upgrade.CodeForbidden, Msg: fmt.Sprintf("the ID token is of project %s, of which no stack is configured here", quote(claims.Project)),
			Hint: "name the project's present path in the stack's project",
		}
	}
	claims.ID, claims.ExpiresAt = token.Issuer+" "+claims.ID, token.Expiry.UTC()
	return claims.PipelineToken, nil
}

// lately is the time at which a token must not have expired.
func (t *Tokens) lately() time.Time { return t.clock.Now().Add(-leeway) }

// why says what is wrong with a token that was refused. The library's texts are not passed on: they may
// quote it.
func (t *Tokens) why(ctx context.Context, signed oidc.KeySet, raw string, err error) error {
	if late, ok := errors.AsType[*oidc.TokenExpiredError](err); ok {
		if late.Expiry.IsZero() {
			return unproven("does not say when it expires", "")
		}
		return unproven("expired at "+late.Expiry.UTC().Format(time.RFC3339), "a token lasts as long as its job may run, and 5 minutes if that has no limit: set timeout: for the job")
	}
	if _, err := signed.VerifySignature(ctx, raw); err != nil {
		return unproven("was not signed by GitLab, or was changed since", "")
	}
	token, err := oidc.NewVerifier(t.issuer, signed, &oidc.Config{
		SupportedSigningAlgs: []string{oidc.RS256}, SkipIssuerCheck: true, SkipClientIDCheck: true, SkipExpiryCheck: true,
	}).Verify(ctx, raw)
	switch {
	case err != nil:
		return unproven("is GitLab's, but its claims make no sense", "")
	case token.Issuer != t.issuer:
		return unproven(fmt.Sprintf("is of %s, not of %s", quote(token.Issuer), t.issuer), "set gitlab.url to the address that GitLab itself calls external_url")
	case !slices.Contains(token.Audience, t.audience):
		return unproven("was made for another service than "+t.audience, fmt.Sprintf("set aud: %s under id_tokens of the job", t.audience))
	}
	return unproven("is not good yet", "compare the clocks of GitLab and of this service")
}

// unproven is the refusal of a token.
func unproven(why, hint string) error {
	return &upgrade.Error{Code: upgrade.CodeUnauthorized, Msg: "the ID token " + why, Hint: hint}
}

// quote returns what a token says, short enough for a message.
func quote(s string) string {
	if len(s) > 100 {
		s = s[:100]
	}
	return fmt.Sprintf("%q", strings.ToValidUTF8(s, "?"))
}

// keyID returns which key a token says that it was signed with. It refuses at once, without any
// cryptography, what cannot be one of GitLab's.
func keyID(raw string) (string, error) {
	const hint = "give the job id_tokens: with aud: the address of this service, and send the token as it is"
	switch {
	case raw == "":
		return "", unproven("is missing", hint)
	case len(raw) > maxToken:
		return "", unproven(fmt.Sprintf("is longer than %d bytes", maxToken), hint)
	case strings.Count(raw, ".") != 2:
		return "", unproven("is no JSON Web Token", hint)
	}
	first, _, _ := strings.Cut(raw, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return "", unproven("is no JSON Web Token", hint)
	}
	var header struct {
		Alg string `json:"alg"`
		Kid string `json:"kid"`
	}
	switch err := json.Unmarshal(decoded, &header); {
	case err != nil:
		return "", unproven("is no JSON Web Token", hint)
	case header.Alg != oidc.RS256: // "none" or a secret that everybody knows would prove nothing
		return "", unproven("is not signed in the way of GitLab, which is RS256", "")
	case header.Kid == "" || len(header.Kid) > 200:
		return "", unproven("does not say which key signed it", "")
	}
	return header.Kid, nil
}
