package oidc_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/integration/oidc"
	"github.com/upgradegate/upgradegate/integration/oidc/oidcsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	redirect = "https://gate.example.org/login/corp/callback"
	verifier = "a-verifier-that-is-long-enough-for-everybody-to-like-it"
)

func provider(t *testing.T, sim *oidcsim.Provider, change ...func(*oidc.Config)) *oidc.Provider {
	t.Helper()
	cfg := oidc.Config{Name: "corp", Issuer: sim.Issuer(), ClientID: sim.ClientID, Secret: upgrade.Secret(sim.Secret), Redirect: redirect, Groups: "groups", Timeout: 5 * time.Second}
	for _, f := range change {
		f(&cfg)
	}
	p, err := oidc.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// code goes where Begin sends a browser and returns the code with which that comes back.
func code(t *testing.T, p *oidc.Provider) string {
	t.Helper()
	to, err := p.Begin(t.Context(), "the-state", "the-nonce", verifier)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	back, err := resp.Location()
	if err != nil || !strings.HasPrefix(back.String(), redirect) || back.Query().Get("state") != "the-state" {
		t.Fatalf("sent back to %v: %v", back, err)
	}
	return back.Query().Get("code")
}

func newSim(t *testing.T) *oidcsim.Provider {
	t.Helper()
	sim := oidcsim.New(time.Now)
	t.Cleanup(sim.Close)
	return sim
}

// TestWhoSignsIn reads the claims as providers of different makes write them.
func TestWhoSignsIn(t *testing.T) {
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprintf("g%d", i)
	}
	for name, test := range map[string]struct {
		person map[string]any
		change func(*oidc.Config)
		want   upgrade.Identity
		code   upgrade.Code
	}{
		"keycloak":         {map[string]any{"sub": "3f2a", "preferred_username": "mira", "name": "Mira Holt", "groups": []string{"ops", "web", "ops", ""}}, nil, upgrade.Identity{Subject: "oidc/corp/3f2a", Name: "Mira Holt", Username: "mira", Groups: []string{"corp/ops", "corp/web"}}, ""},
		"another_claim":    {map[string]any{"sub": "1", "email": "m@example.org", "roles": []string{"ops"}, "groups": []string{"no"}}, func(c *oidc.Config) { c.Groups = "roles" }, upgrade.Identity{Subject: "oidc/corp/1", Name: "m@example.org", Groups: []string{"corp/ops"}}, ""},
		"a_claim_by_url":   {map[string]any{"sub": "1", "https://example.org/groups": "ops"}, func(c *oidc.Config) { c.Groups = "https://example.org/groups" }, upgrade.Identity{Subject: "oidc/corp/1", Name: "1", Groups: []string{"corp/ops"}}, ""},
		"no_groups_wanted": {map[string]any{"sub": "1", "groups": []string{"ops"}, "": []string{"admins"}}, func(c *oidc.Config) { c.Groups = "" }, upgrade.Identity{Subject: "oidc/corp/1", Name: "1"}, ""},
		"groups_of_others": {map[string]any{"sub": "1", "groups": []any{1, nil, "ops", []string{"x"}, map[string]any{}}}, nil, upgrade.Identity{Subject: "oidc/corp/1", Name: "1", Groups: []string{"corp/ops"}}, ""},
		"groups_no_list":   {map[string]any{"sub": "1", "groups": map[string]any{"ops": true}}, nil, upgrade.Identity{Subject: "oidc/corp/1", Name: "1"}, ""},
		"too_many_groups":  {map[string]any{"sub": "1", "groups": many}, nil, upgrade.Identity{}, upgrade.CodeUnauthorized},
		"name_in_disguise": {map[string]any{"sub": "1", "name": " Mi\u202era\r\n\x00 "}, nil, upgrade.Identity{Subject: "oidc/corp/1", Name: "Mira"}, ""},
		"long_name":        {map[string]any{"sub": "1", "name": strings.Repeat("ü", 150)}, nil, upgrade.Identity{Subject: "oidc/corp/1", Name: strings.Repeat("ü", 100)}, ""},
		"no_subject":       {map[string]any{"name": "Mira"}, nil, upgrade.Identity{}, upgrade.CodeUnauthorized},
		"empty_subject":    {map[string]any{"sub": ""}, nil, upgrade.Identity{}, upgrade.CodeUnauthorized},
		"subject_in_lines": {map[string]any{"sub": "1\n2"}, nil, upgrade.Identity{}, upgrade.CodeUnauthorized},
		"long_subject":     {map[string]any{"sub": strings.Repeat("1", 256)}, nil, upgrade.Identity{}, upgrade.CodeUnauthorized},
		"gitlab":           {map[string]any{"sub": "17", "nickname": "mira", "name": "Mira", "groups": []string{"ops"}}, func(c *oidc.Config) { c.GitLab = true }, upgrade.Identity{Subject: "gitlab/17", GitLabUser: 17, Name: "Mira", Username: "mira"}, ""},
		"gitlab_no_number": {map[string]any{"sub": "mira"}, func(c *oidc.Config) { c.GitLab = true }, upgrade.Identity{}, upgrade.CodeUnauthorized},
		"gitlab_zeros":     {map[string]any{"sub": "017"}, func(c *oidc.Config) { c.GitLab = true }, upgrade.Identity{}, upgrade.CodeUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			sim := newSim(t)
			sim.Person = test.person
			p := provider(t, sim, func(c *oidc.Config) {
				if test.change != nil {
					test.change(c)
				}
			})
			who, err := p.Finish(t.Context(), code(t, p), "the-nonce", verifier)
			if test.code != "" {
				if err == nil || upgrade.CodeOf(err) != test.code || upgrade.HintOf(err) == "" {
					t.Fatalf("let in as %+v: %v", who, err)
				}
				return
			}
			if diff := cmp.Diff(test.want, who); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestTokensThatDoNotHold has each way in which an ID token must not let somebody in.
func TestTokensThatDoNotHold(t *testing.T) {
	claim := func(name string, value any) func(*oidcsim.Provider) {
		return func(s *oidcsim.Provider) { s.Token = func(_, claims map[string]any) { claims[name] = value } }
	}
	other := newSim(t)
	for name, change := range map[string]func(*oidcsim.Provider){
		"another_issuer":      claim("iss", "https://evil.example.org"),
		"issuer_without_path": func(s *oidcsim.Provider) { at, _, _ := strings.Cut(s.Issuer(), "/realms"); claim("iss", at)(s) },
		"issuer_with_slash":   func(s *oidcsim.Provider) { claim("iss", s.Issuer()+"/")(s) },
		"another_audience":    claim("aud", "somebody-else"),
		"no_audience":         claim("aud", []string{}),
		"for_several":         claim("aud", []string{"upgradegate", "somebody-else"}),
		"made_for_another":    claim("azp", "somebody-else"),
		"authorized_no_text":  claim("azp", 1),
		"another_nonce":       claim("nonce", "another"),
		"no_nonce":            claim("nonce", ""),
		"expired":             claim("exp", time.Now().Add(-time.Second).Unix()),
		"no_expiry":           claim("exp", 0),
		"not_yet":             claim("nbf", time.Now().Add(6*time.Minute).Unix()),
		"distributed_claims":  claim("_claim_names", map[string]any{"groups": "none"}),
		"unknown_key":         func(s *oidcsim.Provider) { s.Token = func(header, _ map[string]any) { header["kid"] = "key-9" } },
		"key_of_another": func(s *oidcsim.Provider) {
			s.Token = func(header, _ map[string]any) { header["jwk"] = map[string]any{"kty": "RSA"} }
			s.Instead = map[string]http.HandlerFunc{"/jwks": func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, other.Issuer()+"/jwks", http.StatusFound)
			}}
		},
		"unsigned": func(s *oidcsim.Provider) {
			s.Forge = func(header, claims map[string]any) string {
				header["alg"] = "none"
				return oidcsim.Body(header, claims) + "."
			}
		},
		"unsigned_in_capitals": func(s *oidcsim.Provider) {
			s.Forge = func(header, claims map[string]any) string {
				header["alg"] = "NONE"
				return oidcsim.Body(header, claims) + "."
			}
		},
		"signature_gone": func(s *oidcsim.Provider) {
			s.Forge = func(header, claims map[string]any) string { return oidcsim.Body(header, claims) + "." }
		},
		"signed_with_public_key": func(s *oidcsim.Provider) {
			s.Forge = func(header, claims map[string]any) string {
				header["alg"] = "HS256"
				return signed(s.PublicKey(), header, claims)
			}
		},
		"signed_with_client_secret": func(s *oidcsim.Provider) {
			s.Forge = func(header, claims map[string]any) string {
				header["alg"] = "HS256"
				return signed([]byte(s.Secret), header, claims)
			}
		},
		"no_token":      func(s *oidcsim.Provider) { s.Forge = func(_, _ map[string]any) string { return "" } },
		"no_dots":       func(s *oidcsim.Provider) { s.Forge = func(_, _ map[string]any) string { return "token" } },
		"claims_a_list": func(s *oidcsim.Provider) { s.Forge = func(_, _ map[string]any) string { return "e30.W10.AAAA" } },
	} {
		t.Run(name, func(t *testing.T) {
			sim := newSim(t)
			change(sim)
			p := provider(t, sim)
			who, err := p.Finish(t.Context(), code(t, p), "the-nonce", verifier)
			if err == nil || upgrade.CodeOf(err) != upgrade.CodeUnauthorized || upgrade.HintOf(err) == "" || who.Subject != "" {
				t.Fatalf("let in as %+v: %v", who, err)
			}
			if strings.Contains(err.Error(), sim.Secret) {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

func signed(key []byte, header, claims map[string]any) string {
	body := oidcsim.Body(header, claims)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(body)) // a hash takes everything
	return body + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestTokensThatHold: what looks odd and is not.
func TestTokensThatHold(t *testing.T) {
	for name, token := range map[string]func(header, claims map[string]any){
		"for_several_and_us": func(_, claims map[string]any) {
			claims["aud"], claims["azp"] = []string{"x", "upgradegate"}, "upgradegate"
		},
		"a_clock_ahead": func(_, claims map[string]any) {
			claims["iat"], claims["nbf"] = time.Now().Add(4*time.Minute).Unix(), time.Now().Add(4*time.Minute).Unix()
		},
		"no_key_id": func(header, _ map[string]any) { delete(header, "kid") },
	} {
		t.Run(name, func(t *testing.T) {
			sim := newSim(t)
			sim.Token = token
			p := provider(t, sim)
			if _, err := p.Finish(t.Context(), code(t, p), "the-nonce", verifier); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTheCodeCountsOnceAndOnlyForWhoBegan: PKCE and the nonce bind it to the browser that began.
func TestTheCodeCountsOnceAndOnlyForWhoBegan(t *testing.T) {
	sim := newSim(t)
	p := provider(t, sim)
	for name, try := range map[string]struct{ nonce, verifier string }{
		"another_verifier": {"the-nonce", "another"}, "no_verifier": {"the-nonce", ""}, "another_nonce": {"another", verifier}, "no_nonce": {"", verifier},
	} {
		if _, err := p.Finish(t.Context(), code(t, p), try.nonce, try.verifier); upgrade.CodeOf(orNil(err)) != upgrade.CodeUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	once := code(t, p)
	if _, err := p.Finish(t.Context(), once, "the-nonce", verifier); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(t.Context(), once, "the-nonce", verifier); upgrade.CodeOf(orNil(err)) != upgrade.CodeUnauthorized {
		t.Errorf("a second time: %v", err)
	}
	wrong := provider(t, sim, func(c *oidc.Config) { c.Secret = "another" })
	if _, err := wrong.Finish(t.Context(), code(t, p), "the-nonce", verifier); upgrade.CodeOf(orNil(err)) != upgrade.CodeUnavailable || !strings.Contains(upgrade.HintOf(err), "client_secret") {
		t.Errorf("with another secret: %v", err)
	}
}

func orNil(err error) error {
	if err == nil {
		return &upgrade.Error{Code: "none"}
	}
	return err
}

// TestKeysRotate: a key that was not there when somebody signed in last is fetched.
func TestKeysRotate(t *testing.T) {
	sim := newSim(t)
	p := provider(t, sim)
	for range 3 {
		if _, err := p.Finish(t.Context(), code(t, p), "the-nonce", verifier); err != nil {
			t.Fatal(err)
		}
		sim.Rotate()
	}
	if n := sim.Asked("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("discovery was asked %d times", n)
	}
}

// TestDiscoveryThatIsRefused: nobody is sent anywhere by what such a provider says.
func TestDiscoveryThatIsRefused(t *testing.T) {
	evil := newSim(t)
	says := func(key string, value any) func(*oidcsim.Provider) {
		return func(s *oidcsim.Provider) { s.Discovery = func(doc map[string]any) { doc[key] = value } }
	}
	answers := func(with http.HandlerFunc) func(*oidcsim.Provider) {
		return func(s *oidcsim.Provider) {
			s.Instead = map[string]http.HandlerFunc{"/.well-known/openid-configuration": with}
		}
	}
	for name, change := range map[string]func(*oidcsim.Provider){
		"sent_to_another_host": answers(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, evil.Issuer()+"/.well-known/openid-configuration", http.StatusMovedPermanently)
		}),
		"another_issuer":       says("issuer", evil.Issuer()),
		"no_issuer":            says("issuer", ""),
		"no_authorization":     says("authorization_endpoint", ""),
		"no_token":             says("token_endpoint", ""),
		"token_of_a_file":      says("token_endpoint", "file:///etc/passwd"),
		"script_for_a_browser": says("authorization_endpoint", "javascript:alert(1)"),
		"no_json":              answers(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }),
		"broken":               answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }),
		"huge": answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"x":"%s","issuer":"%s"}`, strings.Repeat("x", 2<<20), "y")
		}),
	} {
		t.Run(name, func(t *testing.T) {
			sim := newSim(t)
			change(sim)
			p := provider(t, sim)
			to, err := p.Begin(t.Context(), "s", "n", verifier)
			if err == nil || upgrade.CodeOf(err) != upgrade.CodeUnavailable || upgrade.HintOf(err) == "" || to != "" {
				t.Fatalf("sent to %q: %v", to, err)
			}
			sim.Discovery, sim.Instead = nil, nil // it recovers
			if _, err := p.Finish(t.Context(), code(t, p), "the-nonce", verifier); err != nil {
				t.Errorf("after it recovered: %v", err)
			}
		})
	}
	if n := evil.Asked("/.well-known/openid-configuration"); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

// TestHTTPSStays: an issuer by https must not have the secret sent unencrypted.
func TestHTTPSStays(t *testing.T) {
	for name, broken := range map[string]string{"none": "", "token": "token_endpoint", "keys": "jwks_uri", "authorization": "authorization_endpoint"} {
		t.Run(name, func(t *testing.T) {
			var srv *httptest.Server
			srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				doc := map[string]string{"issuer": srv.URL}
				for _, key := range []string{"authorization_endpoint", "token_endpoint", "jwks_uri"} {
					if doc[key] = srv.URL + "/" + key; key == broken {
						doc[key] = "http" + strings.TrimPrefix(doc[key], "https")
					}
				}
				_, _ = fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q,"jwks_uri":%q}`, doc["issuer"], doc["authorization_endpoint"], doc["token_endpoint"], doc["jwks_uri"])
			}))
			defer srv.Close()
			p, err := oidc.New(oidc.Config{Name: "corp", Issuer: srv.URL, ClientID: "a", Secret: "b", Redirect: redirect, HTTP: srv.Client()})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = p.Begin(t.Context(), "s", "n", verifier); (err == nil) != (broken == "") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAnswersThatAreTooLong: neither keys nor a token are read without end.
func TestAnswersThatAreTooLong(t *testing.T) {
	for _, path := range []string{"/jwks", "/token"} {
		t.Run(path[1:], func(t *testing.T) {
			sim := newSim(t)
			p := provider(t, sim)
			once := code(t, p)
			var sent atomic.Int64 // bytes; the provider may still be writing when the client is gone
			sim.Instead = map[string]http.HandlerFunc{path: func(w http.ResponseWriter, _ *http.Request) {
				for ; sent.Load() < 64<<20; sent.Add(64 << 10) {
					if _, err := w.Write(make([]byte, 64<<10)); err != nil {
						return
					}
				}
			}}
			if who, err := p.Finish(t.Context(), once, "the-nonce", verifier); err == nil {
				t.Errorf("let in as %+v", who)
			}
			if sent.Load() >= 64<<20 {
				t.Error("all of it was read")
			}
		})
	}
}

// TestASlowProviderIsAskedOnce: who comes meanwhile waits for the same answer, and no longer than they want.
func TestASlowProviderIsAskedOnce(t *testing.T) {
	sim := newSim(t)
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	sim.Instead = map[string]http.HandlerFunc{"/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		w.WriteHeader(http.StatusBadGateway)
	}}
	p := provider(t, sim)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := p.Begin(t.Context(), "s", "n", verifier); upgrade.CodeOf(orNil(err)) != upgrade.CodeUnavailable {
				t.Errorf("%v", err)
			}
		})
	}
	<-asked
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Begin(short, "s", "n", verifier); err == nil {
		t.Error("waits though nobody wants it any more")
	}
	close(answer)
	group.Wait()
	if n := sim.Asked("/.well-known/openid-configuration"); n > 20 {
		t.Errorf("asked %d times", n)
	}
}

func TestNewNeedsAll(t *testing.T) {
	if _, err := oidc.New(oidc.Config{Issuer: "https://id.example.org"}); upgrade.CodeOf(orNil(err)) != upgrade.CodeInvalid {
		t.Errorf("%v", err)
	}
}

// FuzzAnswer gives Finish any answer of a token endpoint: it must end, and let nobody in.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{`{"id_token":"e30.e30.AA"}`, `{"error":"invalid_grant"}`, `[]`, `{"id_token":{}}`, "\x00", `{"id_token":"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."}`} {
		f.Add([]byte(seed), 200)
	}
	sim := oidcsim.New(time.Now)
	f.Cleanup(sim.Close)
	var mu sync.Mutex
	var body []byte
	status := 200
	sim.Instead = map[string]http.HandlerFunc{"/token": func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}}
	p, err := oidc.New(oidc.Config{Name: "corp", Issuer: sim.Issuer(), ClientID: sim.ClientID, Secret: upgrade.Secret(sim.Secret), Redirect: redirect})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answer []byte, code int) {
		mu.Lock()
		body, status = answer, min(max(code, 200), 599)
		mu.Unlock()
		who, err := p.Finish(t.Context(), url.QueryEscape(string(answer[:min(len(answer), 10)])), "the-nonce", verifier)
		if err == nil || who.Subject != "" {
			t.Errorf("let in as %+v", who)
		}
	})
}
