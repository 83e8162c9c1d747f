package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

func TestNew(t *testing.T) {
	for _, test := range []struct{ name, url, token string }{
		{"no_url", "", "t"}, {"no_scheme", "gate.example.org", "t"}, {"odd_scheme", "ftp://gate.example.org", "t"}, {"no_token", "https://gate.example.org", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client.New(client.Config{URL: test.url, Token: upgrade.Secret(test.token), HTTP: http.DefaultClient})
			if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid || upgrade.HintOf(err) == "" {
				t.Errorf("got %v, want invalid with a hint", err)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	const token = "a-token-that-must-not-be-seen"
	for _, test := range []struct {
		name, body string
		status     int
		want       upgrade.Code
		says       string
	}{
		{"problem", `{"code":"conflict","detail":"run 7 is promoted","hint":"look"}`, 409, upgrade.CodeConflict, "run 7 is promoted"},
		{"not_ours", `<html>nginx</html>`, 502, upgrade.CodeUnavailable, "502"},
		{"no_json", `hello`, 200, upgrade.CodeUnavailable, "JSON"},
		{"unauthorized", `{"code":"unauthorized","title":"Sign in"}`, 401, upgrade.CodeUnauthorized, "Sign in"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer "+token {
					t.Errorf("authorization is %q", r.Header.Get("Authorization"))
				}
				w.WriteHeader(test.status)
				_, _ = fmt.Fprint(w, test.body)
			}))
			defer server.Close()
			c, err := client.New(client.Config{URL: server.URL + "/", Token: token, HTTP: server.Client()})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Run(t.Context(), 7)
			if err == nil || upgrade.CodeOf(err) != test.want || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), token) {
				t.Errorf("got %v (%v), want %s that says %q and no token", err, upgrade.CodeOf(err), test.want, test.says)
			}
		})
	}
}
