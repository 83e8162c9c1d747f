package gitlab_test

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/integration/gitlab"
	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

const audience = "https://gate.example.org"

// handClock is moved by hand.
type handClock struct {
	upgrade.SystemClock
	mu sync.Mutex
	at time.Time
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *handClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// counter counts the requests that go through it.
type counter struct{ n atomic.Int64 }

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return http.DefaultTransport.RoundTrip(r)
}

// identity is a job of a production pipeline and those who check its tokens.
type identity struct {
	*world
	*gitlab.Tokens
	clock    *handClock
	asked    *counter
	pipeline gitlabsim.Pipeline
	job      gitlabsim.Job
}

func newIdentity(t *testing.T) *identity {
	t.Helper()
	i := &identity{world: newWorld(t), clock: &handClock{at: time.Now()}, asked: &counter{}}
	var err error
	i.Tokens, err = gitlab.NewTokens(gitlab.TokensConfig{URL: i.url, Audience: audience, HTTP: &http.Client{Transport: i.asked}, Clock: i.clock, Timeout: 2 * time.Second})
	check(t, err)
	i.pipeline = i.production(t)
	i.job = i.sim.Jobs(i.pipeline.ID)[0]
	return i
}

// claims returns those of a good token.
func (i *identity) claims(t *testing.T) map[string]any {
	t.Helper()
	claims, err := i.sim.Claims(i.job.ID, audience)
	check(t, err)
	return claims
}

// token returns a good token.
func (i *identity) token(t *testing.T) string {
	t.Helper()
	token, err := i.sim.IDToken(i.job.ID, audience)
	check(t, err)
	return token
}

// refused demands an error of that code, whose text says what is wrong and nothing of the token.
func refused(t *testing.T, err error, code upgrade.Code, says, raw string) {
	t.Helper()
	if err == nil || upgrade.CodeOf(err) != code || !strings.Contains(upgrade.Public(err), says) {
		t.Errorf("got %v, want %s that says %q", err, code, says)
		return
	}
	for part := range strings.SplitSeq(raw, ".") {
		if len(part) > 8 && strings.Contains(err.Error()+upgrade.HintOf(err), part) {
			t.Errorf("the token is in the error: %v", err)
		}
	}
}

func TestIDTokenProves(t *testing.T) {
	i := newIdentity(t)
	claims := i.claims(t)
	want := upgrade.PipelineToken{
		ID: i.url + " " + claims["jti"].(string), ProjectID: i.project.ID, Project: i.project.Path, Commit: i.pipeline.Commit,
		Ref: "main", RefType: "branch", Protected: true, Pipeline: i.pipeline.ID, Job: i.job.ID, ExpiresAt: time.Unix(claims["exp"].(int64), 0).UTC(),
	}
	for name, change := range map[string]map[string]any{
		"as_gitlab_says_it": {},
		"numbers_and_truths": {
			"project_id": i.project.ID, "pipeline_id": i.pipeline.ID, "job_id": i.job.ID, "ref_protected": true,
		},
		"several_audiences": {"aud": []string{"https://other.example.org", audience}},
		"more_claims":       {"job_source": "push", "SHA": "no", "user_identities": []any{}},
		"clocks_apart":      {"nbf": i.clock.Now().Add(20 * time.Second).Unix()},
	} {
		t.Run(name, func(t *testing.T) {
			said := maps.Clone(claims)
			maps.Copy(said, change)
			raw, err := i.sim.SignClaims(nil, said)
			check(t, err)
			got, err := i.Verify(t.Context(), raw)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	if n := i.asked.n.Load(); n != 2 { // where the keys are, and the keys
		t.Errorf("GitLab was asked %d times for all of them", n)
	}
}

// TestIDTokenOfOthers: what a pipeline of a tag, an unprotected branch or a merge request is, shows.
func TestIDTokenOfOthers(t *testing.T) {
	i := newIdentity(t)
	for name, test := range map[string]struct {
		change   map[string]any
		kind     string
		shielded bool
	}{
		"tag":                {map[string]any{"ref_type": "tag", "ref": "v1", "ref_path": "refs/tags/v1"}, "tag", true},
		"unprotected":        {map[string]any{"ref": "feature", "ref_protected": "false"}, "branch", false},
		"merge_request":      {map[string]any{"pipeline_source": "merge_request_event"}, "merge_request", true},
		"merge_request_path": {map[string]any{"ref_path": "refs/merge-requests/7/head"}, "merge_request", true},
	} {
		t.Run(name, func(t *testing.T) {
			said := i.claims(t)
			maps.Copy(said, test.change)
			raw, err := i.sim.SignClaims(nil, said)
			check(t, err)
			got, err := i.Verify(t.Context(), raw)
			if err != nil || got.RefType != test.kind || got.Protected != test.shielded {
				t.Errorf("got %+v (%v)", got, err)
			}
		})
	}
}

// TestIDTokenClaims: each claim that counts, wrong or missing, and the token is refused by name.
func TestIDTokenClaims(t *testing.T) {
	i := newIdentity(t)
	now := i.clock.Now()
	for _, test := range []struct {
		name, claim string
		value       any // nil: left out
		says        string
	}{
		{"iss_missing", "iss", nil, "is of"},
		{"iss_other", "iss", "https://gitlab.example.net", `is of "https://gitlab.example.net"`},
		{"iss_with_slash", "iss", i.url + "/", "is of"},
		{"iss_long", "iss", strings.Repeat("x", 3000), "is of"},
		{"aud_missing", "aud", nil, "another service"},
		{"aud_other", "aud", "https://gate.example.net", "another service"},
		{"aud_with_slash", "aud", audience + "/", "another service"},
		{"aud_empty", "aud", []string{}, "another service"},
		{"exp_missing", "exp", nil, "does not say when it expires"},
		{"exp_past", "exp", now.Add(-31 * time.Second).Unix(), "expired at"},
		{"exp_text", "exp", "tomorrow", "make no sense"},
		{"nbf_soon", "nbf", now.Add(time.Minute).Unix(), "not good before"},
		{"nbf_later", "nbf", now.Add(time.Hour).Unix(), "not good yet"},
		{"jti_missing", "jti", nil, "does not say jti"},
		{"jti_empty", "jti", "", "does not say jti"},
		{"jti_number", "jti", 7, "has no text as jti"},
		{"jti_long", "jti", strings.Repeat("x", 1025), "jti"},
		{"project_id_missing", "project_id", nil, "does not say project_id"},
		{"project_id_zero", "project_id", "0", "project_id"},
		{"project_id_negative", "project_id", -7, "project_id"},
		{"project_id_signed", "project_id", "+7", "project_id"},
		{"project_id_fraction", "project_id", 7.5, "project_id"},
		{"project_id_huge", "project_id", "9223372036854775808", "project_id"},
		{"project_id_list", "project_id", []int{7}, "project_id"},
		{"project_path_control", "project_path", "a\nb", "project_path"},
		{"sha_missing", "sha", nil, "does not say sha"},
		{"sha_short", "sha", "8f2c1ab", "whole commit"},
		{"sha_zero", "sha", strings.Repeat("0", 40), "whole commit"},
		{"sha_upper", "sha", strings.ToUpper("a" + string(i.pipeline.Commit[1:])), "whole commit"},
		{"ref_missing", "ref", nil, "does not say ref"},
		{"ref_control", "ref", "ma\x00in", "ref"},
		{"ref_type_missing", "ref_type", nil, "does not say ref_type"},
		{"ref_type_other", "ref_type", "note", "neither a branch nor a tag"},
		{"ref_protected_missing", "ref_protected", nil, "does not say ref_protected"},
		{"ref_protected_odd", "ref_protected", "yes", "ref_protected"},
		{"pipeline_id_missing", "pipeline_id", nil, "does not say pipeline_id"},
		{"pipeline_id_text", "pipeline_id", "seven", "pipeline_id"},
		{"job_id_missing", "job_id", nil, "does not say job_id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			said := i.claims(t)
			said[test.claim] = test.value
			if test.value == nil {
				delete(said, test.claim)
			}
			raw, err := i.sim.SignClaims(nil, said)
			check(t, err)
			_, err = i.Verify(t.Context(), raw)
			refused(t, err, upgrade.CodeUnauthorized, test.says, raw)
			if test.value == nil && test.claim != "exp" { // null is as good as nothing
				said[test.claim] = nil
				raw, err = i.sim.SignClaims(nil, said)
				check(t, err)
				_, err = i.Verify(t.Context(), raw)
				refused(t, err, upgrade.CodeUnauthorized, test.says, raw)
			}
		})
	}
}

// TestIDTokenForged: tokens that GitLab did not sign.
func TestIDTokenForged(t *testing.T) {
	i := newIdentity(t)
	good := i.token(t)
	parts := strings.Split(good, ".")
	kid, public, err := i.sim.SigningKey()
	check(t, err)
	other := newWorld(t) // another GitLab, whose key has the same name
	changed := i.claims(t)
	changed["project_id"] = "1"
	encode := func(v any) string {
		raw, err := json.Marshal(v)
		check(t, err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	none := encode(map[string]any{"alg": "none", "kid": kid})
	symmetric := encode(map[string]any{"alg": "HS256", "kid": kid}) + "." + parts[1]
	foreign, err := other.sim.SignClaims(map[string]any{"kid": kid}, i.claims(t))
	check(t, err)
	sign := func(header map[string]any) string {
		raw, err := i.sim.SignClaims(header, i.claims(t))
		check(t, err)
		return raw
	}
	for _, test := range []struct{ name, raw, says string }{
		{"nothing", "", "is missing"},
		{"too_long", strings.Repeat("a", 16<<10+1), "longer than"},
		{"no_token", "glpat-abcdefghijkl", "no JSON Web Token"},
		{"two_parts", parts[0] + "." + parts[1], "no JSON Web Token"},
		{"four_parts", good + ".x", "no JSON Web Token"},
		{"no_base64", "!" + good, "no JSON Web Token"},
		{"no_json", base64.RawURLEncoding.EncodeToString([]byte("{")) + "." + parts[1] + "." + parts[2], "no JSON Web Token"},
		{"alg_none", none + "." + parts[1] + ".", "RS256"},
		{"alg_none_with_signature", none + "." + parts[1] + "." + parts[2], "RS256"},
		{"alg_missing", sign(map[string]any{"alg": nil}), "RS256"},
		{"alg_rs512", sign(map[string]any{"alg": "RS512"}), "RS256"},
		{"alg_lower_case", sign(map[string]any{"alg": "rs256"}), "RS256"},
		{"hs256_with_the_public_pem", symmetric + "." + mac(symmetric, publicPEM(t, public)), "RS256"},
		{"rs256_with_the_public_pem", parts[0] + "." + parts[1] + "." + mac(parts[0]+"."+parts[1], publicPEM(t, public)), "not signed by GitLab"},
		{"kid_missing", sign(map[string]any{"kid": nil}), "which key"},
		{"kid_unknown", sign(map[string]any{"kid": "made-up"}), "a key that GitLab does not have"},
		{"claims_changed", parts[0] + "." + encode(changed) + "." + parts[2], "not signed by GitLab"},
		{"no_signature", parts[0] + "." + parts[1] + ".", "not signed by GitLab"},
		{"signature_of_another", foreign, "not signed by GitLab"},
		{"critical_header", sign(map[string]any{"crit": []string{"exp"}, "exp": 1}), "not signed by GitLab"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := i.Verify(t.Context(), test.raw)
			refused(t, err, upgrade.CodeUnauthorized, test.says, test.raw)
			i.clock.move(11 * time.Second) // GitLab may be asked again
		})
	}
	if _, err := i.Verify(t.Context(), good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func publicPEM(t *testing.T, key *rsa.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func mac(text string, key []byte) string {
	m := hmac.New(sha256.New, key)
	_, _ = m.Write([]byte(text)) // never fails
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func TestIDTokenExpires(t *testing.T) {
	i := newIdentity(t)
	raw := i.token(t)
	i.clock.move(time.Hour + 20*time.Second)
	if _, err := i.Verify(t.Context(), raw); err != nil {
		t.Errorf("with clocks a little apart: %v", err)
	}
	i.clock.move(15 * time.Second)
	_, err := i.Verify(t.Context(), raw)
	refused(t, err, upgrade.CodeUnauthorized, "expired at", raw)
}

func TestNewTokens(t *testing.T) {
	for name, cfg := range map[string]gitlab.TokensConfig{
		"no_url":           {Audience: audience},
		"no_https":         {URL: "gitlab.example.org", Audience: audience},
		"negative_timeout": {URL: "https://gitlab.example.org", Audience: audience, Timeout: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := gitlab.NewTokens(cfg); err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestIDTokenWithoutAudience: a service that does not know who it is believes nobody.
func TestIDTokenWithoutAudience(t *testing.T) {
	i := newIdentity(t)
	tokens, err := gitlab.NewTokens(gitlab.TokensConfig{URL: i.url})
	check(t, err)
	said := i.claims(t)
	said["aud"] = ""
	raw, err := i.sim.SignClaims(nil, said)
	check(t, err)
	_, err = tokens.Verify(t.Context(), raw)
	refused(t, err, upgrade.CodeUnavailable, "does not know the address", raw)
}

// TestIDTokenOfStrangers: on a GitLab that is shared, a good token of another project is not for us.
func TestIDTokenOfStrangers(t *testing.T) {
	i := newIdentity(t)
	for name, test := range map[string]struct {
		projects []string
		ours     bool
	}{
		"listed":        {[]string{"other/project", i.project.Path}, true},
		"in_upper_case": {[]string{strings.ToUpper(i.project.Path)}, true},
		"not_listed":    {[]string{"other/project", i.project.Path + "s"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			tokens, err := gitlab.NewTokens(gitlab.TokensConfig{URL: i.url, Audience: audience, Projects: test.projects})
			check(t, err)
			raw := i.token(t)
			_, err = tokens.Verify(t.Context(), raw)
			if test.ours {
				check(t, err)
				return
			}
			refused(t, err, upgrade.CodeForbidden, `of project "`+i.project.Path+`", of which no stack`, raw)
		})
	}
}
