package gitlab

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	// keysGoodFor is how long keys are believed without asking GitLab again: a key that was taken back
	// opens nothing any more after that.
	keysGoodFor = time.Hour
	// keysRest is the shortest time between two readings of the keys: anybody can send us the name of a
	// key that does not exist.
	keysRest = 10 * time.Second
	// keysRetry is the shortest time between a reading that failed and the next.
	keysRetry = 3 * time.Second
	// maxKeys bounds each of the two answers that are read, in bytes.
	maxKeys = 1 << 20
)

// keyring knows the public keys with which GitLab signs. It asks for them by OpenID Connect Discovery
// when it is asked for one that it does not know. go-oidc's own RemoteKeySet would do so for each
// unknown key and each bad signature, and tells "GitLab is away" from "not signed" by text only.
type keyring struct {
	base    *url.URL
	http    *http.Client
	timeout time.Duration
	clock   upgrade.Clock

	turn chan struct{} // holds a value while somebody reads the keys

	mu       sync.Mutex // guards the fields below
	keys     map[string]*rsa.PublicKey
	readAt   time.Time // when they were asked for last, with success
	begun    int       // counts the readings
	read     int       // the last one that succeeded
	failedAt time.Time // zero if the last reading succeeded
	failure  error
}

func newKeyring(base *url.URL, client *http.Client, timeout time.Duration, clock upgrade.Clock) *keyring {
	return &keyring{base: base, http: client, timeout: timeout, clock: clock, turn: make(chan struct{}, 1)}
}

// key returns a key by its name. Errors: CodeUnauthorized if GitLab, asked after the call began, has no
// such key; CodeUnavailable if that could not be found out, CodeLimited if GitLab was asked a moment ago.
func (k *keyring) key(ctx context.Context, kid string) (*rsa.PublicKey, error) {
	since := k.count()
	if key, done, err := k.known(kid, since); done {
		return key, err
	}
	select {
	case k.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "interrupted while GitLab's keys were read", Cause: context.Cause(ctx)}
	}
	defer func() { <-k.turn }()
	if key, done, err := k.known(kid, since); done { // somebody else has read them
		return key, err
	}
	// One who leaves must not spoil it for those who wait behind.
	err := k.renew(context.WithoutCancel(ctx))
	if key, done, err := k.known(kid, since); done {
		return key, err
	}
	return nil, err
}

func (k *keyring) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.begun
}

// known answers from what is known, if that is enough: the key; no such key, if GitLab was asked after
// the given reading; or that GitLab is not asked again yet.
func (k *keyring) known(kid string, since int) (key *rsa.PublicKey, done bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock.Now()
	fresh := k.read > 0 && now.Sub(k.readAt) < keysGoodFor
	switch key := k.keys[kid]; {
	case fresh && key != nil:
		return key, true, nil
	case !k.failedAt.IsZero() && now.Sub(k.failedAt) < keysRetry:
		return nil, true, k.failure
	case fresh && k.read > since:
		return nil, true, unproven("is signed with a key that GitLab does not have", "")
	case fresh && now.Sub(k.readAt) < keysRest:
		return nil, true, &upgrade.Error{
			Code: upgrade.CodeLimited, Msg: "the ID token is signed with a key that GitLab did not have a moment ago",
			Hint: "GitLab is asked again in a few seconds", RetryAfter: keysRest - now.Sub(k.readAt),
		}
	}
	return nil, false, nil
}

// renew reads the keys and remembers what came of it. One at a time may do so.
func (k *keyring) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	k.mu.Lock()
	k.begun++
	k.mu.Unlock()
	keys, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.clock.Now()
	if err != nil {
		k.failedAt, k.failure = now, err
		return err
	}
	k.keys, k.readAt, k.read, k.failedAt, k.failure = keys, now, k.begun, time.Time{}, nil
	return nil
}

// fetch asks GitLab where its keys are, and for them.
func (k *keyring) fetch(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	const elsewhere = "set gitlab.url to the address that GitLab itself calls external_url"
	var found struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := k.get(ctx, k.base.JoinPath(".well-known", "openid-configuration"), &found); err != nil {
		return nil, err
	}
	if found.Issuer != k.base.String() {
		return nil, keyless("it calls itself "+quote(found.Issuer), elsewhere, nil)
	}
	at, err := url.Parse(found.Keys)
	if err != nil || at.Scheme != k.base.Scheme || at.Host != k.base.Host {
		return nil, keyless("it says that they are at another address", elsewhere, nil)
	}
	var set keySet
	if err := k.get(ctx, at, &set); err != nil {
		return nil, err
	}
	keys := set.usable()
	if len(keys) == 0 {
		return nil, keyless("it shows none for RS256", "", nil)
	}
	return keys, nil
}

// keyless is the error of not having got the keys; no token is to blame.
func keyless(why, hint string, err error) error {
	return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "GitLab's keys for ID tokens cannot be had: " + why, Hint: hint, RetryAfter: keysRetry, Cause: err}
}

func (k *keyring) get(ctx context.Context, from *url.URL, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), http.NoBody)
	if err != nil {
		return keyless("their address cannot be used", "", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "upgradegate")
	resp, err := k.http.Do(req)
	switch {
	case errors.Is(err, errRedirect):
		return keyless("it sends us to another address", "set gitlab.url to the address that GitLab itself calls external_url", err)
	case err != nil && ctx.Err() != nil:
		return keyless(fmt.Sprintf("it did not answer within %s", k.timeout), "", err)
	case err != nil:
		return keyless("it cannot be reached", "", err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if resp.StatusCode != http.StatusOK {
		return keyless(fmt.Sprintf("it answers %d", resp.StatusCode), "check that gitlab.url leads to GitLab itself, not to a proxy or a sign-in page", nil)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys+1))
	if err != nil || len(body) > maxKeys {
		return keyless("its answer broke off or has no end", "", err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return keyless("its answer makes no sense", "check that gitlab.url leads to GitLab itself, not to a proxy or a sign-in page", err)
	}
	return nil
}

// keySet is a JSON Web Key Set (RFC 7517).
type keySet struct {
	Keys []struct {
		Type string `json:"kty"`
		ID   string `json:"kid"`
		Use  string `json:"use"`
		Alg  string `json:"alg"`
		N    string `json:"n"`
		E    string `json:"e"`
	} `json:"keys"`
}

// usable returns the keys that may sign with RS256; what is of another kind, too short or malformed is
// left out, as the RFC wants it.
func (s keySet) usable() map[string]*rsa.PublicKey {
	keys := map[string]*rsa.PublicKey{}
	for _, k := range s.Keys {
		if k.Type != "RSA" || k.ID == "" || k.Use != "" && k.Use != "sig" || k.Alg != "" && k.Alg != "RS256" {
			continue
		}
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if err != nil {
			continue
		}
		e, err := base64.RawURLEncoding.DecodeString(k.E)
		if err != nil || len(e) > 4 {
			continue
		}
		key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		if bits := key.N.BitLen(); bits < 2048 || bits > 8192 || key.E < 3 || key.E%2 == 0 || key.E > 1<<31-1 {
			continue
		}
		keys[k.ID] = key
	}
	return keys
}
