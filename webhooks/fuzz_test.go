package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgradegate/upgradegate/upgrade"
)

func sign(key []byte, id, stamp, body string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// FuzzReceive sends whatever it likes. Property: nothing is kept that does not prove itself; and what
// is kept is JSON, has a usable id, and its hint is either "other" or names its project, with commits
// that are commits.
func FuzzReceive(f *testing.F) {
	names, err := filepath.Glob("testdata/*.json")
	if err != nil || len(names) == 0 {
		f.Fatalf("no bodies: %v", err)
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, "Push Hook", testToken, "id", "1744578123", "")
		f.Add(body[:len(body)/2], "Push Hook", testToken, "", "", "")
	}
	f.Add([]byte(vectorBody), "", "", vectorID, "1744578123", vectorSig)
	f.Add([]byte(`{"object_kind":"build","build_id":1e400,"project_id":"1","environment":[]}`), "", testToken, "\x7f", "-1", "v1, v1")
	f.Fuzz(func(t *testing.T, body []byte, event, token, id, stamp, signature string) {
		b := newBench(t, Secrets{Token: testToken, Signing: testSigning})
		w := b.post(strings.NewReader(string(body)), map[string]string{
			"X-Gitlab-Event": event, "X-Gitlab-Token": token,
			"webhook-id": id, "webhook-timestamp": stamp, "webhook-signature": signature,
		})
		if w.Body.Len() != 0 {
			t.Fatalf("answered with a body: %q", w.Body)
		}
		if kept := len(b.inbox.deliveries) == 1; kept != (w.Code == http.StatusOK) {
			t.Fatalf("answered %d, kept: %v", w.Code, kept)
		}
		if w.Code != http.StatusOK {
			return
		}
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(testSigning, "whsec_"))
		if err != nil {
			t.Fatal(err)
		}
		if token != testToken && !strings.Contains(signature, sign(key, id, stamp, string(body))) {
			t.Fatalf("kept without proof: token %q, signature %q", token, signature)
		}
		checkKept(t, b.inbox.deliveries[0])
	})
}

func checkKept(t *testing.T, d upgrade.Delivery) {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal(d.Body, &object); err != nil || object == nil {
		t.Errorf("kept %q: %v", d.Body, err)
	}
	if !visible(string(d.ID), maxID) || d.Event == "" || len(d.Event) > maxEvent {
		t.Errorf("kept with id %q, event %q", d.ID, d.Event)
	}
	h := d.Hint
	if h.Kind == "" || h.ProjectID < 0 || h.Kind != upgrade.HintOther && h.ProjectID == 0 {
		t.Errorf("hint %+v", h)
	}
	for _, c := range []upgrade.Commit{h.Before, h.After} {
		if _, err := upgrade.ParseCommit(string(c)); c != "" && err != nil {
			t.Errorf("commit %q", c)
		}
	}
}
