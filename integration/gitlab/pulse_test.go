package gitlab_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgradegate/upgradegate/integration/gitlab"
	"github.com/upgradegate/upgradegate/upgrade"
)

// answering answers requests in memory.
type answering func(*http.Request) (*http.Response, error)

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) { return a(r) }

// TestSilentSince: silence is told from the last answer on, and only while it lasts.
func TestSilentSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var status atomic.Int64 // 0: no answer at all
		c, err := gitlab.New(gitlab.Config{URL: "https://gitlab.example.org", Token: "t", Timeout: time.Second, HTTP: &http.Client{Transport: answering(func(r *http.Request) (*http.Response, error) {
			if status.Load() == 0 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			w := httptest.NewRecorder()
			w.WriteHeader(int(status.Load()))
			resp := w.Result()
			resp.Request = r
			return resp, nil
		})}})
		if err != nil {
			t.Fatal(err)
		}
		ask := func(ctx context.Context, answer int64) time.Time {
			status.Store(answer)
			_, _ = c.Pipelines(ctx, 12, upgrade.Commit("8f2c1ab"))
			return c.SilentSince()
		}
		if since := c.SilentSince(); !since.IsZero() {
			t.Errorf("before anything was asked: since %s", since)
		}
		begun := time.Now()
		if since := ask(t.Context(), 0); since.Before(begun) || since.IsZero() {
			t.Errorf("never answered: since %s", since)
		}
		for _, answer := range []int64{http.StatusNotFound, http.StatusUnauthorized, http.StatusInternalServerError} {
			time.Sleep(time.Minute)
			if since := ask(t.Context(), answer); !since.IsZero() {
				t.Errorf("%d: since %s", answer, since)
			}
		}
		last := time.Now()
		for _, answer := range []int64{0, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout} {
			time.Sleep(time.Minute)
			if since := ask(t.Context(), answer); since.IsZero() || since.After(last) || last.Sub(since) > time.Minute {
				t.Errorf("%d: since %s, want %s", answer, since, last)
			}
		}
		if since := ask(t.Context(), http.StatusNotFound); !since.IsZero() {
			t.Errorf("it answers again: since %s", since)
		}
		hungUp, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Millisecond)
			cancel()
		}()
		if since := ask(hungUp, 0); !since.IsZero() {
			t.Errorf("we hung up: since %s", since)
		}
	})
}
