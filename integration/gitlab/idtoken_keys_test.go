package gitlab_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab/gitlabsim"
	"github.com/upgradegate/upgradegate/upgrade"
)

// TestIDTokenKeysRotate: a new key is found at once, an old one is no longer believed once it is known
// to be gone, and names of keys that do not exist cannot make us hammer GitLab.
func TestIDTokenKeysRotate(t *testing.T) {
	i := newIdentity(t)
	old := i.token(t)
	verify := func(raw string) error {
		_, err := i.Verify(t.Context(), raw)
		return err
	}
	check(t, verify(old))
	i.clock.move(time.Minute)
	check(t, i.sim.RotateKey(true))
	rotated := i.token(t)
	check(t, verify(rotated))
	check(t, verify(old))
	if n := i.asked.n.Load(); n != 4 {
		t.Errorf("GitLab was asked %d times", n)
	}

	check(t, i.sim.RotateKey(false)) // within the rest
	newest := i.token(t)
	err := verify(newest)
	refused(t, err, upgrade.CodeLimited, "a moment ago", newest)
	if wait := upgrade.RetryAfterOf(err); wait <= 0 || wait > 10*time.Second {
		t.Errorf("asks to wait for %s", wait)
	}
	i.clock.move(upgrade.RetryAfterOf(err))
	check(t, verify(newest))
	refused(t, verify(old), upgrade.CodeLimited, "a moment ago", old)
	i.clock.move(10 * time.Second)
	refused(t, verify(old), upgrade.CodeUnauthorized, "a key that GitLab does not have", old)

	before := i.asked.n.Load()
	for n := range 500 {
		raw, err := i.sim.SignClaims(map[string]any{"kid": "made-up-" + strconv.Itoa(n)}, i.claims(t))
		check(t, err)
		if err := verify(raw); err == nil {
			t.Fatal("let in")
		}
		i.clock.move(100 * time.Millisecond) // ten a second
	}
	if n := i.asked.n.Load() - before; n > 12 {
		t.Errorf("GitLab was asked %d times in 50 s", n)
	}
	check(t, verify(newest))
}

// TestIDTokenKeysTakenBack: a key that GitLab took back, for it leaked, opens nothing an hour later.
func TestIDTokenKeysTakenBack(t *testing.T) {
	i := newIdentity(t)
	said := i.claims(t)
	said["exp"] = i.clock.Now().Add(24 * time.Hour).Unix()
	stolen, err := i.sim.SignClaims(nil, said)
	check(t, err)
	_, err = i.Verify(t.Context(), stolen)
	check(t, err)
	check(t, i.sim.RotateKey(false))
	i.clock.move(time.Hour)
	_, err = i.Verify(t.Context(), stolen)
	refused(t, err, upgrade.CodeUnauthorized, "a key that GitLab does not have", stolen)
}

// TestIDTokenWithoutGitLab: what cannot be checked is neither good nor bad.
func TestIDTokenWithoutGitLab(t *testing.T) {
	page := gitlabsim.Fault{Status: 200, Body: "<html>Sign in</html>"}
	for _, test := range []struct {
		name, path, says string
		fault            gitlabsim.Fault
	}{
		{"trouble", "openid-configuration", "answers 502", gitlabsim.Fault{Status: 502}},
		{"not_found", "openid-configuration", "answers 404", gitlabsim.Fault{Status: 404}},
		{"unauthorized", "discovery/keys", "answers 401", gitlabsim.Fault{Status: 401}},
		{"cut", "openid-configuration", "cannot be reached", gitlabsim.Fault{Kind: gitlabsim.FaultCut, Times: 3}},
		{"hangs", "discovery/keys", "did not answer within", gitlabsim.Fault{Kind: gitlabsim.FaultHang}},
		{"half", "discovery/keys", "broke off", gitlabsim.Fault{Kind: gitlabsim.FaultHalf}},
		{"sign_in_page", "openid-configuration", "makes no sense", page},
		{"sign_in_page_for_keys", "discovery/keys", "makes no sense", page},
		{"no_keys", "discovery/keys", "none for RS256", gitlabsim.Fault{Status: 200, Body: `{"keys":[]}`}},
		{"short_key", "discovery/keys", "none for RS256", gitlabsim.Fault{Status: 200, Body: `{"keys":[{"kty":"RSA","kid":"gitlabsim-1","n":"u1SU1LfVLPHCozMxH2Mo","e":"AQAB"},{"kty":"EC","kid":"gitlabsim-1"}]}`}},
		{"other_issuer", "openid-configuration", "calls itself", gitlabsim.Fault{Status: 200, Body: `{"issuer":"https://gitlab.example.net","jwks_uri":"x"}`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := newIdentity(t)
			raw := i.token(t)
			test.fault.Path = test.path
			i.sim.Fail(test.fault)
			_, err := i.Verify(t.Context(), raw)
			refused(t, err, upgrade.CodeUnavailable, test.says, raw)
			i.sim.Heal()
			asked := i.asked.n.Load()
			_, err = i.Verify(t.Context(), raw)
			refused(t, err, upgrade.CodeUnavailable, test.says, raw) // not asked again yet
			if n := i.asked.n.Load(); n != asked {
				t.Errorf("GitLab was asked again at once")
			}
			i.clock.move(upgrade.RetryAfterOf(err))
			if _, err := i.Verify(t.Context(), raw); err != nil {
				t.Errorf("once GitLab is well: %v", err)
			}
		})
	}
}

// TestIDTokenKeysElsewhere: keys are taken from GitLab itself and from nobody to whom it points.
func TestIDTokenKeysElsewhere(t *testing.T) {
	i := newIdentity(t)
	raw := i.token(t)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody else was asked") }))
	defer other.Close()
	i.sim.Fail(gitlabsim.Fault{Path: "openid-configuration", Status: 200, Body: `{"issuer":"` + i.url + `","jwks_uri":"` + other.URL + `/keys"}`})
	_, err := i.Verify(t.Context(), raw)
	refused(t, err, upgrade.CodeUnavailable, "another address", raw)
}

// TestIDTokenReadsKeysOnce: many who ask at once share one reading, and one who leaves spoils nothing.
func TestIDTokenReadsKeysOnce(t *testing.T) {
	i := newIdentity(t)
	raw := i.token(t)
	i.sim.SetLatency(50 * time.Millisecond)
	var work sync.WaitGroup
	leaving, leave := context.WithCancel(t.Context())
	work.Go(func() { _, _ = i.Verify(leaving, raw) })
	for i.asked.n.Load() == 0 { // who leaves is the one who reads
		runtime.Gosched()
	}
	for range 20 {
		work.Go(func() {
			if _, err := i.Verify(t.Context(), raw); err != nil {
				t.Error(err)
			}
		})
	}
	leave()
	work.Wait()
	if n := i.asked.n.Load(); n != 2 {
		t.Errorf("GitLab was asked %d times", n)
	}
}
