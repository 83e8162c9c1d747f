package sender

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/varnish"
	"github.com/upgradegate/upgradegate/upgrade"
)

func hookTo(url string) upgrade.Hook {
	return upgrade.Hook{Name: "chat", URL: url, Keys: []upgrade.HookKey{{Secret: newSecret()}}}
}

// TestGuardIsAsked: with the guard that probes have, nothing goes to this machine, to link-local addresses or
// to a metadata service, whatever its name is.
func TestGuardIsAsked(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	r := open(t, newShelves(), nil)
	r.client = newClient(varnish.Guard{}.Control)
	port := srv.Listener.Addr().(*net.TCPAddr).Port
	for _, url := range []string{srv.URL, strings.Replace(srv.URL, "127.0.0.1", "localhost", 1), "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://10.1.2.3/"} {
		got := r.post(t.Context(), hookTo(url), "id", nil)
		if got.ok || !strings.HasPrefix(got.words, "not sent: ") {
			t.Errorf("%s (port %d): %+v", url, port, got)
		}
	}
	if hits.Load() != 0 {
		t.Error("the receiver was reached")
	}
}

// TestRedirectsAreNotFollowed: where they lead has not been allowed by anybody.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		followed.Store(followed.Load() || req.URL.Path == "/next")
		http.Redirect(w, req, "/next", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	r := open(t, newShelves(), nil)
	if got := r.post(t.Context(), hookTo(srv.URL), "id", nil); got.ok || followed.Load() || got.words != "answered 307 Temporary Redirect: redirects are not followed" {
		t.Errorf("%+v, followed %v", got, followed.Load())
	}
}

// TestEndlessAnswerIsCut: a receiver that never stops talking is not listened to.
func TestEndlessAnswerIsCut(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for req.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat("no ", 1000))); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	r := open(t, newShelves(), nil)
	begun := time.Now()
	if got := r.post(t.Context(), hookTo(srv.URL), "id", nil); got.ok || len(got.words) > 300 || time.Since(begun) > 5*time.Second {
		t.Errorf("%+v after %s", got, time.Since(begun))
	}
}

// TestAddressIsNotRepeated: the path of an address may be a secret of its own (S9).
func TestAddressIsNotRepeated(t *testing.T) {
	r := open(t, newShelves(), nil)
	r.client = newClient(func(string, string, syscall.RawConn) error { return syscall.ECONNREFUSED })
	if got := r.post(t.Context(), hookTo("http://127.0.0.1:1/in/hunter3?token=hunter3"), "id", nil); got.ok || strings.Contains(got.words, "hunter3") || got.words == "" {
		t.Errorf("%+v", got)
	}
}

func TestWhoMayChangeSubscriptions(t *testing.T) {
	r := open(t, newShelves(), nil, upgrade.Hook{Name: "file", URL: somewhere, Keys: []upgrade.HookKey{{Secret: newSecret()}}})
	add(t, r, upgrade.Hook{Name: "chat", URL: somewhere + "/secret"})
	acts := func(by upgrade.Person, name upgrade.HookName) map[string]error {
		all := map[string]error{}
		ctx := context.Background()
		_, all["pause"] = r.PauseHook(ctx, name, "", by)
		_, all["resume"] = r.ResumeHook(ctx, name, by)
		_, all["rotate"] = r.RotateHook(ctx, name, 0, by)
		all["remove"] = r.RemoveHook(ctx, name, by)
		return all
	}
	manager := upgrade.Person{Name: "Mira Holt", Role: upgrade.RoleReleaseManager}
	for act, err := range acts(manager, "chat") {
		if upgrade.CodeOf(err) != upgrade.CodeForbidden {
			t.Errorf("%s by a release manager: %v", act, err)
		}
	}
	if _, err := r.AddHook(t.Context(), upgrade.Hook{Name: "x", URL: somewhere}, manager); upgrade.CodeOf(err) != upgrade.CodeForbidden {
		t.Errorf("added by a release manager: %v", err)
	}
	seen, err := r.Hooks(t.Context(), manager)
	if err != nil || len(seen) != 2 {
		t.Fatalf("%+v, %v", seen, err)
	}
	for _, h := range seen {
		if h.URL != "https://hooks.example.org" || h.Keys[0].Secret.Set() {
			t.Errorf("shown to a release manager: %+v", h)
		}
	}
	for act, err := range acts(admin(), "file") {
		if file := act == "rotate" || act == "remove"; file != (err != nil && upgrade.CodeOf(err) == upgrade.CodeConflict) {
			t.Errorf("%s of one in the configuration: %v", act, err)
		}
	}
	for act, err := range acts(admin(), "chat") {
		if err != nil {
			t.Errorf("%s by an admin: %v", act, err)
		}
	}
	for act, err := range acts(admin(), "none") {
		if upgrade.CodeOf(err) != upgrade.CodeNotFound {
			t.Errorf("%s of none: %v", act, err)
		}
	}
}

func TestWhatCannotBeSubscribed(t *testing.T) {
	r := open(t, newShelves(), nil)
	for name, h := range map[string]upgrade.Hook{
		"name":     {Name: "a b", URL: somewhere},
		"http":     {Name: "a", URL: "http://hooks.example.org/"},
		"password": {Name: "a", URL: "https://u:hunter2@hooks.example.org/"},
		"fragment": {Name: "a", URL: somewhere + "#x"},
		"no_host":  {Name: "a", URL: "https:///in"},
		"type":     {Name: "a", URL: somewhere, Events: []string{"run.unlockd"}},
		"stack":    {Name: "a", URL: somewhere, Stacks: []upgrade.StackName{"none"}},
	} {
		if _, err := r.AddHook(t.Context(), h, admin()); upgrade.CodeOf(err) != upgrade.CodeInvalid || upgrade.HintOf(err) == "" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
