package awssim_test

import (
	"testing"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// TestGrantNames pins the one sentence of the API reference that the incident hangs on: with a name, a
// request with identical parameters returns the grant that is there.
func TestGrantNames(t *testing.T) {
	w := newWorld(t, nil)
	key, err := w.sim.AddKey("", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	slr := w.sim.ServiceLinkedRole("")
	ask := func(change ...any) (id, token string) {
		t.Helper()
		params := append([]any{"KeyId", key, "GranteePrincipal", slr, "Operations", []string{"Decrypt", "CreateGrant"}, "Name", "asg-ebs"}, change...)
		r := w.must(t, "kms", "CreateGrant", params...)
		return r.text("GrantId"), r.text("GrantToken")
	}
	first, token := ask()
	for name, tc := range map[string]struct {
		change []any
		same   bool
	}{
		"again":        {nil, true},
		"other_order":  {[]any{"Operations", []string{"CreateGrant", "Decrypt"}}, true},
		"bare_key_id":  {[]any{"KeyId", key[len(key)-36:]}, true},
		"other_name":   {[]any{"Name", "asg-ebs-2"}, false},
		"no_name":      {[]any{"Name", ""}, false},
		"operations":   {[]any{"Operations", []string{"Decrypt"}}, false},
		"retiring":     {[]any{"RetiringPrincipal", "arn:aws:iam::111111111111:role/gate"}, false},
		"constraints":  {[]any{"Constraints", map[string]any{"EncryptionContextSubset": map[string]string{"a": "b"}}}, false},
		"other_person": {[]any{"GranteePrincipal", "arn:aws:iam::111111111111:role/gate"}, false},
	} {
		id, tok := ask(tc.change...)
		if (id == first) != tc.same {
			t.Errorf("%s: same grant: %t, want %t", name, id == first, tc.same)
		}
		if tok == token {
			t.Errorf("%s: the token is not a new one", name)
		}
	}
	// Two owners, one grant: the first who removes it takes it from both.
	w.must(t, "kms", "RevokeGrant", "KeyId", key, "GrantId", first)
	if r := w.ask(t, "kms", "RevokeGrant", "KeyId", key, "GrantId", first); r.code != "NotFoundException" {
		t.Errorf("revoked twice: %q, want NotFoundException", r.code)
	}
	if again, _ := ask(); again == first {
		t.Error("a revoked grant came back")
	}
}

func TestGrantNameAlone(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.GrantNameAlone = true })
	key, err := w.sim.AddKey("", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(operation string) string {
		return w.must(t, "kms", "CreateGrant", "KeyId", key, "GranteePrincipal", w.sim.ServiceLinkedRole(""), "Name", "n",
			"Operations", []string{operation}).text("GrantId")
	}
	if ask("Decrypt") != ask("Encrypt") {
		t.Error("other parameters made a new grant")
	}
}

// TestUnnamedGrants is the control: without a name each request makes a grant.
func TestUnnamedGrants(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.PageSize = 2 })
	key, err := w.sim.AddKey("", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.must(t, "kms", "CreateGrant", "KeyId", key, "GranteePrincipal", w.sim.ServiceLinkedRole(""), "Operations", []string{"Decrypt"})
	}
	seen, marker := 0, ""
	for range 3 {
		params := []any{"KeyId", key, "Limit", 100}
		if marker != "" {
			params = append(params, "Marker", marker)
		}
		r := w.must(t, "kms", "ListGrants", params...)
		seen += len(r.body["Grants"].([]any))
		marker = r.text("NextMarker")
		if r.body["Truncated"].(bool) != (marker != "") {
			t.Errorf("Truncated is %v with marker %q", r.body["Truncated"], marker)
		}
	}
	if seen != 5 || marker != "" {
		t.Errorf("saw %d grants in three pages, then %q", seen, marker)
	}
	if r := w.ask(t, "kms", "ListGrants", "KeyId", key, "Marker", "x"); r.code != "InvalidMarkerException" {
		t.Errorf("got %q, want InvalidMarkerException", r.code)
	}
}
