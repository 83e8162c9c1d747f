package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHooksCommand(t *testing.T) {
	var posted string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.RequestURI() {
		case "GET /api/v1/hooks":
			_, _ = w.Write([]byte(`{"items":[{"name":"chat","url":"https://chat.example.org/in","state":"gone","why":"its receiver answered 410 Gone","pending":3,"dead":1}]}`))
		case "GET /api/v1/hooks/chat/messages?state=dead&limit=200":
			_, _ = w.Write([]byte(`{"items":[{"id":17,"type":"run.blocked","run":481,"tries":10,"tried_at":"2026-11-23T09:16:00Z","answer":"answered 410 Gone"}]}`))
		case "POST /api/v1/hooks/chat/messages/17/resend":
			posted = r.Header.Get("Idempotency-Key")
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte(`{}`))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer srv.Close()
	t.Setenv("UPGRADEGATE_URL", srv.URL)
	t.Setenv("UPGRADEGATE_TOKEN", "a token of ada, the admin")
	for _, c := range []struct{ name, args, want string }{
		{"list", "list", "chat  gone (its receiver answered 410 Gone)  3        1     https://chat.example.org/in"},
		{"dead", "dead chat", "17       run.blocked  481  10     2026-11-23 09:16:00 UTC  answered 410 Gone"},
		{"resend", "resend chat 17", "Message 17 is on its way to chat again."},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := root(streams{out: &out, err: &out})
			cmd.SetArgs(append([]string{"hooks"}, strings.Fields(c.args)...))
			if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), c.want) {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
	if posted == "" {
		t.Error("sent again without an Idempotency-Key")
	}
}
