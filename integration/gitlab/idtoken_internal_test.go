package gitlab

import (
	"encoding/json"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

// FuzzIDTokenClaims: whatever a token says, it is refused as unauthorized or gives a whole answer.
func FuzzIDTokenClaims(f *testing.F) {
	const good = `{"jti":"7f0e","nbf":1795000000,"project_id":"20","project_path":"a/b","sha":"8f2c1ab04d5e6f708192a3b4c5d6e7f8091a2b3c","ref":"main",` +
		`"ref_type":"branch","ref_path":"refs/heads/main","ref_protected":"true","pipeline_id":"5","job_id":6,"pipeline_source":"push"}`
	for _, seed := range []string{good, `{}`, `null`, `[]`, `{"jti":null}`, `{"project_id":1e3}`, `{"ref":"\u0000"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := decodeClaims(payload)
		if err != nil {
			if upgrade.CodeOf(err) != upgrade.CodeUnauthorized || upgrade.Public(err) == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		if !json.Valid(payload) {
			t.Fatal("taken though it is not JSON")
		}
		if _, err := upgrade.ParseCommit(string(c.Commit)); err != nil || c.ID == "" || c.ProjectID <= 0 || c.Pipeline <= 0 || c.Job <= 0 ||
			c.Ref == "" || c.notBefore < 0 {
			t.Fatalf("taken: %+v", c)
		}
		switch c.RefType {
		case "branch", "tag", "merge_request":
		default:
			t.Fatalf("taken: %+v", c)
		}
	})
}

// FuzzIDTokenHeader: reading which key signed refuses without falling over.
func FuzzIDTokenHeader(f *testing.F) {
	for _, seed := range []string{"", "a.b.c", "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.c2ln", "e30.e30.e30", "bnVsbA.e30.e30"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		kid, err := keyID(raw)
		if err == nil && (kid == "" || len(raw) > maxToken) || err != nil && upgrade.CodeOf(err) != upgrade.CodeUnauthorized {
			t.Fatalf("%q, %v", kid, err)
		}
	})
}

// FuzzKeySet: whatever GitLab says its keys are, those that are taken can be used.
func FuzzKeySet(f *testing.F) {
	for _, seed := range []string{`{"keys":[]}`, `{"keys":[{"kty":"RSA","kid":"a","n":"AQAB","e":"AQAB"}]}`, `{"keys":null}`, `{"keys":[{}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var set keySet
		if json.Unmarshal(raw, &set) != nil {
			return
		}
		for id, key := range set.usable() {
			if id == "" || key.N.BitLen() < 2048 || key.E < 3 {
				t.Fatalf("%q %v", id, key)
			}
		}
	})
}
