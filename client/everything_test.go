package client

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestListsAreFollowed: a list of several pages is read to its end, and only at the service that was asked.
func TestListsAreFollowed(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next := map[string]string{"": "/api/v1/tokens?after=1", "1": "/api/v1/tokens?after=2", "2": ""}[r.URL.Query().Get("after")]
		if r.URL.Path == "/api/v1/sessions" {
			next = "https://evil.example.org/api/v1/sessions"
		}
		_, _ = fmt.Fprintf(w, `{"items":[{"id":"T%s"}],"next":%q}`, r.URL.Query().Get("after"), next)
	}))
	defer srv.Close()
	c, err := New(Config{URL: srv.URL, Token: "x", HTTP: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := c.Tokens(t.Context(), false); err != nil || len(all) != 3 || all[2].ID != "T2" {
		t.Errorf("got %+v %v", all, err)
	}
	if all, err := c.Sessions(t.Context(), false); err == nil {
		t.Errorf("got %+v %v", all, err)
	}
}
