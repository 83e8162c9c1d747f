package oidc

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/upgrade"
)

// FuzzClaims reads any claims: whoever comes out has a subject of that provider, and groups of it.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{`{"name":"Mira","groups":["ops"]}`, `{"azp":1}`, `{"groups":"ops","preferred_username":"\u202e"}`, `{"name":{"a":1},"groups":[[]]}`, `null`} {
		f.Add([]byte(seed), "3f2a", true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, subject string, gitlab bool) {
		var claims map[string]any
		if json.Unmarshal(raw, &claims) != nil {
			return
		}
		p := &Provider{cfg: Config{Name: "corp", ClientID: "upgradegate", Groups: "groups", GitLab: gitlab}}
		who, err := p.who(subject, []string{"upgradegate"}, claims)
		if err != nil {
			if upgrade.CodeOf(err) != upgrade.CodeUnauthorized {
				t.Errorf("%v", err)
			}
			return
		}
		want := "oidc/corp/" + subject
		if gitlab {
			want = "gitlab/" + subject
		}
		if who.Subject != want || subject == "" || who.Name == "" || (who.GitLabUser != 0) != gitlab {
			t.Errorf("got %+v", who)
		}
		for _, text := range []string{who.Name, who.Username} {
			if !utf8.ValidString(text) || strings.ContainsAny(text, "\r\n\x00") || len(text) > longestSubject {
				t.Errorf("got %q", text)
			}
		}
		for _, group := range who.Groups {
			if !strings.HasPrefix(group, "corp/") {
				t.Errorf("group %q", group)
			}
		}
	})
}
