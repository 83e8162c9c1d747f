package webhooks

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/upgradegate/upgradegate/upgrade"
)

const (
	testToken   = "a token of the hook"
	testSigning = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

	// The vector of gitlab.md §2.
	vectorID   = "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"
	vectorBody = `{"object_kind":"push"}`
	vectorSig  = "v1,Sp6eEtWPfePxY+jOOgrLYjgw2PxaWCPwmS7SqImwe6U="
)

// kept is an inbox in memory.
type kept struct {
	mu         sync.Mutex
	deliveries []upgrade.Delivery
	err        error
	wait       bool // until the context ends
}

func (k *kept) Deliver(ctx context.Context, d upgrade.Delivery) (bool, error) {
	if k.wait {
		<-ctx.Done()
		return false, context.Cause(ctx)
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return false, k.err
	}
	for _, old := range k.deliveries {
		if old.ID == d.ID {
			return false, nil
		}
	}
	k.deliveries = append(k.deliveries, d)
	return true, nil
}

type bench struct {
	inbox  *kept
	log    *bytes.Buffer
	counts *prometheus.Registry
	router *gin.Engine
}

func newBench(t *testing.T, secrets Secrets) *bench {
	t.Helper()
	b := &bench{inbox: &kept{}, log: &bytes.Buffer{}, counts: prometheus.NewRegistry(), router: gin.New()}
	r, err := New(Config{
		Inbox: b.inbox, Secrets: secrets, Now: now,
		Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Registerer: b.counts,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Routes(b.router)
	return b
}

func (b *bench) post(body io.Reader, header map[string]string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, "/webhooks/gitlab", body)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	b.router.ServeHTTP(w, req)
	return w
}

// counted returns the counter as "event/outcome" → count.
func (b *bench) counted(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := b.counts.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[m.GetLabel()[0].GetValue()+"/"+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
		}
	}
	return got
}

func vector(extra ...string) map[string]string {
	h := map[string]string{
		"webhook-id": vectorID, "webhook-timestamp": "1744578123", "webhook-signature": vectorSig, "X-Gitlab-Event": "Push Hook",
	}
	for i := 0; i+1 < len(extra); i += 2 {
		h[extra[i]] = extra[i+1]
	}
	return h
}

func TestVerify(t *testing.T) {
	token, signing := upgrade.Secret(testToken), upgrade.Secret(testSigning)
	onlyToken := map[string]string{"X-Gitlab-Token": testToken}
	for _, tc := range []struct {
		name    string
		secrets Secrets
		header  map[string]string
		want    int
	}{
		{"token", Secrets{Token: token}, onlyToken, 200},
		{"token_wrong", Secrets{Token: token}, map[string]string{"X-Gitlab-Token": "a token of the hooK"}, 401},
		{"token_prefix", Secrets{Token: token}, map[string]string{"X-Gitlab-Token": testToken[:5]}, 401},
		{"token_absent", Secrets{Token: token}, nil, 401},
		{"token_empty", Secrets{Token: token}, map[string]string{"X-Gitlab-Token": ""}, 401},
		{"token_asked_signature_given", Secrets{Token: token}, vector(), 401},
		{"signature", Secrets{Signing: signing}, vector(), 200},
		{"signature_absent", Secrets{Signing: signing}, nil, 401},
		{"signature_asked_token_given", Secrets{Signing: signing}, onlyToken, 401},
		{"signature_second_of_list", Secrets{Signing: signing}, vector("webhook-signature", "v1a,AAAA v1,AAAA "+vectorSig), 200},
		{"signature_wrong", Secrets{Signing: signing}, vector("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))), 401},
		{"signature_without_version", Secrets{Signing: signing}, vector("webhook-signature", strings.TrimPrefix(vectorSig, "v1,")), 401},
		{"signature_of_other_id", Secrets{Signing: signing}, vector("webhook-id", "other"), 401},
		{"signature_of_other_time", Secrets{Signing: signing}, vector("webhook-timestamp", "1744578124"), 401},
		{"signature_without_time", Secrets{Signing: signing}, vector("webhook-timestamp", ""), 401},
		{"signature_time_no_number", Secrets{Signing: signing}, vector("webhook-timestamp", "now"), 401},
		{"both_token", Secrets{token, signing}, onlyToken, 200},
		{"both_signature", Secrets{token, signing}, vector(), 200},
		{"both_good_signature_wrong_token", Secrets{token, signing}, vector("X-Gitlab-Token", "x"), 200},
		{"both_bad_signature_good_token", Secrets{token, signing}, vector("X-Gitlab-Token", testToken, "webhook-signature", "v1,AAAA"), 401},
		{"both_neither", Secrets{token, signing}, nil, 401},
		{"both_id_and_time_only", Secrets{token, signing}, vector("webhook-signature", ""), 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, tc.secrets)
			w := b.post(strings.NewReader(vectorBody), tc.header)
			if w.Code != tc.want || w.Body.Len() != 0 {
				t.Errorf("answered %d %q, want %d and an empty body", w.Code, w.Body, tc.want)
			}
			if got := len(b.inbox.deliveries) == 1; got != (tc.want == 200) {
				t.Errorf("kept: %v", got)
			}
			for _, secret := range []string{testToken, testSigning, tc.header["X-Gitlab-Token"], tc.header["webhook-signature"]} {
				if len(secret) > 1 && strings.Contains(b.log.String(), secret) {
					t.Errorf("the log shows %q:\n%s", secret, b.log)
				}
			}
		})
	}
}

func TestTimestamp(t *testing.T) {
	for _, tc := range []struct {
		name string
		off  time.Duration
		want error
	}{
		{"now", 0, nil},
		{"old_but_good", -5 * time.Minute, nil},
		{"too_old", -5*time.Minute - time.Second, errStale},
		{"ahead_but_good", 5 * time.Minute, nil},
		{"too_far_ahead", 5*time.Minute + time.Second, errStale},
		{"beyond_all_clocks", 1 << 62, errStale},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := newVerifier(Secrets{Signing: testSigning})
			if err != nil {
				t.Fatal(err)
			}
			stamp := strconv.FormatInt(now().Add(tc.off).Unix(), 10)
			h := http.Header{}
			h.Set("webhook-id", "a")
			h.Set("webhook-timestamp", stamp)
			h.Set("webhook-signature", sign(v.key, "a", stamp, "{}"))
			if err := v.full(h, []byte("{}"), now()); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for name, secrets := range map[string]Secrets{
		"neither":           {},
		"token_white_space": {Token: "abc\n"},
		"signing_no_base64": {Signing: "whsec_*"},
		"signing_short":     {Signing: "whsec_AAAA"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Config{Inbox: &kept{}, Secrets: secrets, Now: now, Log: slog.New(slog.DiscardHandler)})
			if err == nil || upgrade.CodeOf(err) != upgrade.CodeInvalid {
				t.Fatalf("got %v", err)
			}
			if s := secrets.Token.Reveal() + secrets.Signing.Reveal(); s != "" && strings.Contains(err.Error(), s) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
	if _, err := New(Config{Secrets: Secrets{Token: "x"}}); err == nil {
		t.Error("a receiver without an inbox")
	}
}

func TestReceive(t *testing.T) {
	b := newBench(t, Secrets{Token: testToken})
	header := map[string]string{"X-Gitlab-Token": testToken, "X-Gitlab-Event": "Push Hook", "Idempotency-Key": "one"}
	for range 3 {
		if w := b.post(bytes.NewReader(file(t, "push.json")), header); w.Code != 200 || w.Body.Len() != 0 {
			t.Fatalf("answered %d %q", w.Code, w.Body)
		}
	}
	if n := len(b.inbox.deliveries); n != 1 {
		t.Fatalf("kept %d deliveries, want 1", n)
	}
	d := b.inbox.deliveries[0]
	if d.ID != "one" || d.Event != "Push Hook" || !d.ReceivedAt.Equal(now()) || d.Fate != upgrade.FatePending {
		t.Errorf("kept %+v", d)
	}
	header["Idempotency-Key"] = "two"
	if w := b.post(bytes.NewReader(file(t, "emoji.json")), header); w.Code != 200 {
		t.Errorf("an unknown event is answered %d", w.Code)
	}
	if w := b.post(strings.NewReader(`{"object_kind":"push`), header); w.Code != 400 || w.Body.Len() != 0 {
		t.Errorf("a truncated body is answered %d %q", w.Code, w.Body)
	}
	header["X-Gitlab-Token"] = "wrong"
	b.post(strings.NewReader(`{}`), header)
	want := map[string]float64{
		"push/accepted": 1, "push/duplicate": 2, "other/accepted": 1, "other/malformed": 1, "other/unauthorized": 1,
	}
	if got := b.counted(t); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

func TestReceiveWhenInboxFails(t *testing.T) {
	b := newBench(t, Secrets{Token: testToken})
	b.inbox.err = &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "the disk is full"}
	header := map[string]string{"X-Gitlab-Token": testToken}
	if w := b.post(bytes.NewReader(file(t, "push.json")), header); w.Code != 503 || w.Body.Len() != 0 {
		t.Errorf("answered %d %q, want 503 and an empty body", w.Code, w.Body)
	}
	if n := strings.Count(b.log.String(), "the disk is full"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, b.log)
	}
}

func TestReceiveWhenInboxHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Secrets{Token: testToken})
		b.inbox.wait = true
		begun := time.Now()
		w := b.post(bytes.NewReader(file(t, "push.json")), map[string]string{"X-Gitlab-Token": testToken})
		if took := time.Since(begun); w.Code != 503 || took != inboxPatience {
			t.Errorf("answered %d after %s, want 503 after %s", w.Code, took, inboxPatience)
		}
		if !strings.Contains(b.log.String(), errInboxSlow.Error()) {
			t.Errorf("the log does not name the limit:\n%s", b.log)
		}
	})
}

// TestSenderHangsUp: a delivery that came in whole is kept even if nobody waits for the answer.
func TestSenderHangsUp(t *testing.T) {
	b := newBench(t, Secrets{Token: testToken})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/webhooks/gitlab", bytes.NewReader(file(t, "push.json")))
	req.Header.Set("X-Gitlab-Token", testToken)
	b.router.ServeHTTP(httptest.NewRecorder(), req)
	if len(b.inbox.deliveries) != 1 {
		t.Error("not kept")
	}
}

// endless is a body of n spaces followed by an object.
func endless(n int64) io.Reader {
	return io.MultiReader(io.LimitReader(spaces{}, n-2), strings.NewReader("{}"))
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestLargeBodies(t *testing.T) {
	b := newBench(t, Secrets{Token: testToken})
	server := httptest.NewServer(b.router)
	defer server.Close()
	for _, tc := range []struct {
		name    string
		size    int64
		chunked bool
		want    int
	}{
		{"just_fits", MaxBody, false, 200},
		{"one_more", MaxBody + 1, false, 413},
		{"26_MB", 26_000_000, false, 413},
		{"26_MiB_chunked", 26 << 20, true, 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/webhooks/gitlab", endless(tc.size))
			if err != nil {
				t.Fatal(err)
			}
			if !tc.chunked {
				req.ContentLength = tc.size
			}
			req.Header.Set("X-Gitlab-Token", testToken)
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tc.want || len(body) != 0 {
				t.Errorf("answered %d %q (%v), want %d and an empty body", resp.StatusCode, body, err, tc.want)
			}
		})
	}
}
