package server

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestSignInFromElsewhere: a link with a token on a page of another site signs nobody in by itself.
func TestSignInFromElsewhere(t *testing.T) {
	s := newSite(t, fullWorld())
	for from, asks := range map[string]bool{"": false, "none": false, "same-origin": false, "same-site": true, "cross-site": true} {
		w := s.do("GET", "/login?token="+managerToken+"&next=/runs/481", "", "", "Sec-Fetch-Site", from)
		body := w.Body.String()
		if !asks {
			if w.Code != 303 {
				t.Errorf("from %q: answered %d", from, w.Code)
			}
			continue
		}
		if w.Code != 200 || len(w.Result().Cookies()) != 0 || !strings.Contains(body, "Sign in as Mira Holt") || !strings.Contains(body, `name="next" value="/runs/481"`) {
			t.Errorf("from %q: answered %d %v %s", from, w.Code, w.Header(), body)
		}
	}
	if w := s.do("GET", "/login?token=nobody", "", "", "Sec-Fetch-Site", "cross-site"); w.Code != 401 {
		t.Errorf("an unknown token is answered %d", w.Code)
	}
	form := url.Values{"token": {managerToken}, "next": {"/runs/481"}}.Encode()
	w := s.do("POST", "/login", "", form, "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.org")
	if w.Code != 403 || len(w.Result().Cookies()) != 0 {
		t.Errorf("the form on another site is answered %d %v", w.Code, w.Header())
	}
}

// TestBreakGlassGuesses: who tries too often waits, and whoever comes from elsewhere does not; from everywhere together
// there are only so many tries. What waits is not told whether it was right.
func TestBreakGlassGuesses(t *testing.T) {
	const password = "right-password-of-the-tests"
	salt := []byte("salt-of-tests")
	sum := argon2.IDKey([]byte(password), salt, 1, 19<<10, 1, 32)
	hash := fmt.Sprintf("$argon2id$v=19$m=%d,t=1,p=1$%s$%s", 19<<10, base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	s := newSite(t, fullWorld(), func(c *Config) {
		c.SignIn.BreakGlass, c.Now = &BreakGlass{Name: "emergency", Hash: upgrade.Secret(hash)}, func() time.Time { return now }
	})
	try := func(from, password string) int {
		form := url.Values{"account": {"emergency"}, "password": {password}}.Encode()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/login", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = from + ":40000"
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	for i := range maxGuesses {
		if code := try("192.0.2.1", "wrong-password-of-the-tests"); code != 401 {
			t.Fatalf("try %d is answered %d", i+1, code)
		}
	}
	if code := try("192.0.2.1", password); code != 429 {
		t.Errorf("one more is answered %d", code)
	}
	if code := try("192.0.2.2", password); code != 303 {
		t.Errorf("somebody else is answered %d", code)
	}
	for i := range maxAllGuesses - maxGuesses - 1 {
		if code := try(fmt.Sprint("198.51.100.", i), strings.Repeat("x", maxPassword+1)); code != 401 { // costs nothing, and counts
			t.Fatalf("from address %d: answered %d", i, code)
		}
	}
	if code := try("192.0.2.3", password); code != 429 {
		t.Errorf("one more from anywhere is answered %d", code)
	}
	now = now.Add(time.Minute)
	if code := try("192.0.2.1", password); code != 303 {
		t.Errorf("a minute later it is answered %d", code)
	}
}
