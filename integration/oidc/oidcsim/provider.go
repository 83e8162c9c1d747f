// Package oidcsim is a simulated OpenID Connect provider: discovery below an issuer with a path, authorization code
// with PKCE, keys that rotate, and claims as its user says. It signs by itself and shares no code with the library
// that it is tested with.
package oidcsim

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Provider is one provider, on an address of its own. Its fields may be set until it is used.
type Provider struct {
	ClientID, Secret string
	// Person has the claims of whoever signs in, "sub" too.
	Person map[string]any
	// Token changes header and claims of an ID token before it is signed, and Forge what is sent instead of it.
	Token func(header, claims map[string]any)
	Forge func(header, claims map[string]any) string
	// Discovery changes what discovery says.
	Discovery func(map[string]any)
	// Instead answers a path below the issuer, such as "/jwks", in place of the provider.
	Instead map[string]http.HandlerFunc

	server *httptest.Server
	now    func() time.Time // at which tokens are made

	mu    sync.Mutex // guards the fields below
	keys  []*rsa.PrivateKey
	codes map[string]grant
	seen  map[string]int // how often each path was asked for
}

// grant is a code that was given out and counts once.
type grant struct{ challenge, nonce, redirect string }

// New starts a provider that lives in the time of now; Close ends it.
func New(now func() time.Time) *Provider {
	p := &Provider{now: now, ClientID: "upgradegate", Secret: "secret of the client", Person: map[string]any{"sub": "3f2a"}, codes: map[string]grant{}, seen: map[string]int{}}
	p.Rotate()
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	return p
}

// Close ends it.
func (p *Provider) Close() { p.server.Close() }

// Issuer is its address, which has a path as those of Keycloak and Entra do.
func (p *Provider) Issuer() string { return p.server.URL + "/realms/corp" }

// Rotate makes a new key and forgets the ones before.
func (p *Provider) Rotate() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // rand does not fail
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, key)
}

// Asked returns how often a path below the issuer was asked for.
func (p *Provider) Asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[path]
}

// key returns the newest key and its id.
func (p *Provider) key() (key *rsa.PrivateKey, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[len(p.keys)-1], "key-" + strconv.Itoa(len(p.keys))
}

// PublicKey returns the bytes of the newest public key: what a forger has to confuse a verifier with.
func (p *Provider) PublicKey() []byte {
	key, _ := p.key()
	return key.N.Bytes()
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if len(path) > len("/realms/corp") {
		path = path[len("/realms/corp"):]
	}
	p.mu.Lock()
	p.seen[path]++
	p.mu.Unlock()
	if instead := p.Instead[path]; instead != nil {
		instead(w, r)
		return
	}
	switch path {
	case "/.well-known/openid-configuration":
		p.discovery(w)
	case "/jwks":
		key, id := p.key()
		answer(w, http.StatusOK, map[string]any{"keys": []map[string]any{{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
		}}})
	case "/authorize":
		p.authorize(w, r)
	case "/token":
		p.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (p *Provider) discovery(w http.ResponseWriter) {
	doc := map[string]any{
		"issuer": p.Issuer(), "authorization_endpoint": p.Issuer() + "/authorize", "token_endpoint": p.Issuer() + "/token", "jwks_uri": p.Issuer() + "/jwks",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
	}
	if p.Discovery != nil {
		p.Discovery(doc)
	}
	answer(w, http.StatusOK, doc)
}

// authorize says yes at once, as one does who is signed in there.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	to, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != p.ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" {
		http.Error(w, "invalid_request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = grant{q.Get("code_challenge"), q.Get("nonce"), q.Get("redirect_uri")}
	p.mu.Unlock()
	back := to.Query()
	back.Set("code", code)
	back.Set("state", q.Get("state"))
	to.RawQuery = back.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound) //nolint:gosec // a simulator, which has one client
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != p.ClientID || secret != p.Secret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	g, known := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	p.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || r.PostFormValue("grant_type") != "authorization_code" || r.PostFormValue("redirect_uri") != g.redirect || encode(sum[:]) != g.challenge {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 60, "id_token": p.sign(g.nonce)})
}

func (p *Provider) sign(nonce string) string {
	now := p.now
	key, kid := p.key()
	header := map[string]any{"alg": "RS256", "typ": "JWT", "kid": kid}
	claims := map[string]any{"iss": p.Issuer(), "aud": p.ClientID, "iat": now().Unix(), "exp": now().Add(time.Minute).Unix(), "nonce": nonce}
	maps.Copy(claims, p.Person)
	if p.Token != nil {
		p.Token(header, claims)
	}
	if p.Forge != nil {
		return p.Forge(header, claims)
	}
	body := Body(header, claims)
	sum := sha256.Sum256([]byte(body))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err) // the key is our own
	}
	return body + "." + encode(signature)
}

// Body is a token without its signature.
func Body(header, claims map[string]any) string {
	parts := make([]string, 2)
	for i, part := range []map[string]any{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			panic(fmt.Sprintf("a test gave what is no JSON: %v", err))
		}
		parts[i] = encode(text)
	}
	return parts[0] + "." + parts[1]
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the reader has gone
}
