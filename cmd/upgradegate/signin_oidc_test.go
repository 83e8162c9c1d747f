package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/oidc/oidcsim"
)

// TestSignInWithAnotherProvider: people come in by a provider that is not GitLab, with the roles that the file gives
// to its groups and subjects.
func TestSignInWithAnotherProvider(t *testing.T) {
	t.Parallel()
	sim := oidcsim.New(time.Now)
	defer sim.Close()
	h := newHouse(t, setup{real: true})
	h.secrets["T_APP"] = sim.Secret
	old, err := os.ReadFile(h.file)
	check(t, err)
	h.write("upgradegate.yaml", string(old)+fmt.Sprintf(`sign_in:
  oidc: [{name: corp, title: The company, issuer: %q, client_id: %s, client_secret: {env: T_APP}, groups_claim: memberships}]
roles:
  give:
    - {oidc_group: corp/release-managers, role: release_manager, projects: [platform/web]}
    - {oidc_group: corp/everybody, role: viewer}
    - {subject: oidc/corp/0001, role: admin}
`, sim.Issuer(), sim.ClientID), 0o600)
	h.start()
	for name, test := range map[string]struct {
		person map[string]any
		want   string // of what /api/v1/me says; empty: is not let in
	}{
		"by_group":    {map[string]any{"sub": "0002", "preferred_username": "mira", "memberships": []string{"everybody", "release-managers"}}, `"role":"viewer","projects":{"platform/web":"release_manager"}`},
		"by_subject":  {map[string]any{"sub": "0001", "name": "Ada"}, `"role":"admin"`},
		"by_nothing":  {map[string]any{"sub": "0003", "name": "Nobody", "memberships": []string{"corp/everybody", "others"}}, ""},
		"wrong_claim": {map[string]any{"sub": "0004", "groups": []string{"everybody"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			sim.Person = test.person
			b := h.browser()
			code, body, at := b.do(http.MethodGet, h.url+"/login/corp?next="+url.QueryEscape("/history?stack=web"), nil)
			if test.want == "" {
				if code != http.StatusUnauthorized || b.cookie() != "" || !strings.Contains(body, "has no role here") {
					t.Errorf("led to %s: %d %s", at, code, body)
				}
				return
			}
			if code != http.StatusOK || at.String() != h.url+"/history?stack=web" {
				t.Fatalf("led to %s: %d %s", at, code, body)
			}
			if code, body, _ := b.do(http.MethodGet, h.url+"/api/v1/me", nil); code != 200 || !strings.Contains(body, test.want) || !strings.Contains(body, fmt.Sprintf(`"subject":"oidc/corp/%s"`, test.person["sub"])) {
				t.Errorf("is %d %s", code, body)
			}
		})
	}
}
