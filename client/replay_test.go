package client_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/client"
	"github.com/upgradegate/upgradegate/upgrade"
)

func TestReadRecorded(t *testing.T) {
	for _, test := range []struct {
		name, data, event string
		want, body        string // the event, the body
		wrong             string
	}{
		{"recorded", `{"headers":{"x-gitlab-event":"Push Hook","Host":"old"},"body":{"a":1}}`, "", "Push Hook", `{"a":1}`, ""},
		{"lists", `{"headers":{"X-Gitlab-Event":["Push Hook"]},"body":{"a":1}}`, "", "Push Hook", `{"a":1}`, ""},
		{"body_as_text", `{"headers":{"X-Gitlab-Event":"Push Hook"},"body":"{\"a\":1}"}`, "", "Push Hook", `{"a":1}`, ""},
		{"kept", `{"id":"d","event":"Push Hook","fate":"started","body":{"a":1}}`, "", "Push Hook", `{"a":1}`, ""},
		{"body_alone", `{"a":1}`, "Push Hook", "Push Hook", `{"a":1}`, ""},
		{"another_event", `{"headers":{"X-Gitlab-Event":"Push Hook"},"body":{"a":1}}`, "Job Hook", "Job Hook", `{"a":1}`, ""},
		{"no_event", `{"a":1}`, "", "", "", "which event"},
		{"no_body_any_more", `{"id":"d","event":"Push Hook","fate":"refused"}`, "", "", "", "no body"},
		{"odd_header", `{"headers":{"X-A":{}},"body":{}}`, "Push Hook", "", "", "neither a text"},
		{"smuggled_header", `{"headers":{"X-A":"b\r\nX-C: d"},"body":{}}`, "Push Hook", "", "", "cannot be sent"},
		{"no_json", "hello", "Push Hook", "", "", "not JSON"},
		{"cut_off", `{"headers":{"X-Gitlab-Event":"Push Hook"},"body":{"a"`, "", "", "", "which event"},
		{"empty", "", "", "", "", "which event"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := client.ReadRecorded([]byte(test.data), test.event)
			if test.wrong != "" {
				if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("got %v, want one that says %q", err, test.wrong)
				}
				return
			}
			if err != nil || got.Header.Get("X-Gitlab-Event") != test.want || string(got.Body) != test.body || got.Header.Get("Host") != "" {
				t.Errorf("got %+v %s, %v", got.Header, got.Body, err)
			}
		})
	}
}

// FuzzReadRecorded: whatever is taken can be sent, is JSON, and says which event it is.
func FuzzReadRecorded(f *testing.F) {
	for _, seed := range []string{
		`{"headers":{"X-Gitlab-Event":"Push Hook"},"body":{"a":1}}`, `{"headers":{"X-Gitlab-Event":["a","b"]},"body":"{}"}`, `{"id":"d","event":"Push Hook","fate":"started","body":{}}`, `{}`, `null`, `{"headers":{"":"x"},"body":1}`,
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "Push Hook")
	}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	f.Cleanup(server.Close)
	c, err := client.New(client.Config{URL: server.URL, NoToken: true, HTTP: server.Client()})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, event string) {
		if strings.ContainsFunc(event, func(r rune) bool { return r < ' ' || r > '~' }) { // of the command line, not of the file
			return
		}
		got, err := client.ReadRecorded(data, event)
		if err != nil {
			if upgrade.CodeOf(err) != upgrade.CodeInvalid {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if !json.Valid(got.Body) || got.Header.Get("X-Gitlab-Event") == "" {
			t.Fatalf("took %q as %v %q", data, got.Header, got.Body)
		}
		if _, _, err := c.Replay(t.Context(), client.Replay{Recorded: got}); err != nil {
			t.Errorf("took %q, and cannot send it: %v", data, err)
		}
	})
}

// TestReplay: a delivery proves itself with the secret that is given, for the id under which it goes.
func TestReplay(t *testing.T) {
	key := []byte("a key of at least 24 bytes, made for tests")
	signing := upgrade.Secret("whsec_" + base64.StdEncoding.EncodeToString(key))
	for _, test := range []struct {
		name   string
		secret upgrade.Secret
		same   bool
		token  string
		signed bool
	}{
		{"as_recorded", "", false, "old", false},
		{"token", "new", false, "new", false},
		{"signed", signing, false, "", true},
		{"signed_under_its_own_id", signing, true, "", true},
		{"as_recorded_under_its_own_id", "", true, "old", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got *http.Request
			var body []byte
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got = r
				body, _ = io.ReadAll(r.Body)
			}))
			defer server.Close()
			c, err := client.New(client.Config{URL: server.URL, NoToken: true, HTTP: server.Client()})
			if err != nil {
				t.Fatal(err)
			}
			r := client.Replay{Recorded: client.Recorded{Header: http.Header{}, Body: []byte(`{"a":1}`)}, Secret: test.secret, SameID: test.same}
			for name, value := range map[string]string{"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": "old", "webhook-id": "first", "webhook-signature": "v1,old"} {
				r.Header.Set(name, value)
			}
			id, answer, err := c.Replay(t.Context(), r)
			if err != nil || answer != "200 OK" || (id == "first") != test.same {
				t.Fatalf("sent as %s: %s, %v", id, answer, err)
			}
			h := got.Header
			if h.Get("webhook-id") != string(id) || h.Get("X-Gitlab-Token") != test.token || string(body) != `{"a":1}` || h.Get("Authorization") != "" || got.URL.Path != "/webhooks/gitlab" {
				t.Errorf("sent %v", h)
			}
			mac := hmac.New(sha256.New, key)
			_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, h.Get("webhook-timestamp"), body)
			want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
			if signed := h.Get("webhook-signature") == want; signed != test.signed {
				t.Errorf("signed is %v: %q, want %q", signed, h.Get("webhook-signature"), want)
			}
			if r.Header.Get("webhook-id") != "first" {
				t.Error("what was recorded was changed")
			}
		})
	}
}

func TestReplayRefused(t *testing.T) {
	for status, want := range map[int]upgrade.Code{401: upgrade.CodeUnauthorized, 400: upgrade.CodeInvalid, 404: upgrade.CodeInvalid, 413: upgrade.CodeInvalid, 503: upgrade.CodeUnavailable} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		c, err := client.New(client.Config{URL: server.URL, NoToken: true, HTTP: server.Client()})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.Replay(t.Context(), client.Replay{Recorded: client.Recorded{Header: http.Header{}, Body: []byte("{}")}})
		if err == nil || upgrade.CodeOf(err) != want {
			t.Errorf("%d is taken for %v, want %s", status, err, want)
		}
		server.Close()
		if _, _, err = c.Replay(t.Context(), client.Replay{Recorded: client.Recorded{Header: http.Header{}, Body: []byte("{}")}}); err == nil || upgrade.CodeOf(err) != upgrade.CodeUnavailable {
			t.Errorf("nobody there is taken for %v", err)
		}
	}
	c, err := client.New(client.Config{URL: "http://127.0.0.1:1", NoToken: true, HTTP: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Replay(t.Context(), client.Replay{Recorded: client.Recorded{Header: http.Header{}}, Secret: "whsec_s3cr3t!"})
	if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("a wrong signing token is taken for %v", err)
	}
}

// TestDo: an act is posted with what it needs, under a key of its own.
func TestDo(t *testing.T) {
	var bodies, keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies, keys = append(bodies, r.URL.Path+" "+string(body)), append(keys, r.Header.Get("Idempotency-Key"))
		_, _ = io.WriteString(w, `{"asked":"retry","delivery":"retry:7:1"}`)
	}))
	defer server.Close()
	c, err := client.New(client.Config{URL: server.URL, Token: "t", HTTP: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	asked, err := c.Do(t.Context(), 7, client.Act{Name: "retry"})
	if err != nil || asked.Delivery != "retry:7:1" {
		t.Errorf("got %+v, %v", asked, err)
	}
	until := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	if _, err := c.Do(t.Context(), 7, client.Act{Name: "override", Reason: "r", Digest: "d", Until: until}); err != nil {
		t.Error(err)
	}
	want := []string{`/api/v1/runs/7/retry {"reason":""}`, `/api/v1/runs/7/override {"digest":"d","reason":"r","until":"2026-12-24T18:00:00Z"}`}
	if strings.Join(bodies, "\n") != strings.Join(want, "\n") || keys[0] == "" || keys[0] == keys[1] {
		t.Errorf("posted %q with keys %q", bodies, keys)
	}
}
