package webhooks

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// now is when every delivery of these tests arrives; the vector of gitlab.md §2 was signed then.
func now() time.Time { return time.Unix(1744578123, 0).UTC() }

func file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (rewrite with -update):\ngot\n%s\nwant\n%s", path, got, want)
	}
}

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name, event string
		want        upgrade.HintKind
	}{
		{"push", "Push Hook", upgrade.HintPush},
		{"push_delete", "Push Hook", upgrade.HintPush},
		{"tag_push", "Tag Push Hook", upgrade.HintOther},
		{"merge_request", "Merge Request Hook", upgrade.HintMergeRequest},
		{"pipeline", "Pipeline Hook", upgrade.HintPipeline},
		{"pipeline_strings", "Pipeline Hook", upgrade.HintPipeline},
		{"job", "Job Hook", upgrade.HintJob},
		{"deployment", "Deployment Hook", upgrade.HintDeployment},
		{"note", "Note Hook", upgrade.HintNote},
		{"note_commit", "Note Hook", upgrade.HintOther},
		{"emoji", "Emoji Hook", upgrade.HintOther},
		{"template", "", upgrade.HintOther},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body := file(t, tc.name+".json")
			h := http.Header{}
			h.Set("X-Gitlab-Event", tc.event)
			d, err := read(h, body, now())
			if err != nil {
				t.Fatal(err)
			}
			if d.Hint.Kind != tc.want {
				t.Errorf("kind is %q, want %q", d.Hint.Kind, tc.want)
			}
			if string(d.Body) != string(body) {
				t.Error("the body is not kept as it came")
			}
			text := strings.ReplaceAll(fmt.Sprintf("%+v", d.Hint), " ", "\n")
			golden(t, tc.name+".golden", fmt.Sprintf("event %s\nid %s\n%s\n", d.Event, d.ID, text))
		})
	}
}

func TestStringsMeanTheSame(t *testing.T) {
	plain, err := read(http.Header{}, file(t, "pipeline.json"), now())
	if err != nil {
		t.Fatal(err)
	}
	asStrings, err := read(http.Header{}, file(t, "pipeline_strings.json"), now())
	if err != nil {
		t.Fatal(err)
	}
	if plain.Hint != asStrings.Hint {
		t.Errorf("got %+v, want %+v", asStrings.Hint, plain.Hint)
	}
}

func TestReadRefuses(t *testing.T) {
	push := string(file(t, "push.json"))
	for name, body := range map[string]string{
		"empty":           "",
		"white_space":     " \r\n\t",
		"truncated":       push[:len(push)/2],
		"array":           `[{"object_kind":"push"}]`,
		"string":          `"push"`,
		"null":            `null`,
		"number":          `7`,
		"two_values":      `{"object_kind":"push"} {}`,
		"not_json":        `object_kind=push`,
		"trailing_comma":  `{"object_kind":"push",}`,
		"byte_order_mark": "\ufeff{}",
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := read(http.Header{}, []byte(body), now()); err == nil {
				t.Errorf("accepted as %+v", d.Hint)
			}
		})
	}
}

func TestIdentify(t *testing.T) {
	const ofBody = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // of {}
	long := strings.Repeat("x", 201)
	for _, tc := range []struct {
		name   string
		header map[string]string
		want   upgrade.DeliveryID
	}{
		{"webhook_id_first", map[string]string{"webhook-id": "a", "Idempotency-Key": "b"}, "a"},
		{"idempotency_key", map[string]string{"Idempotency-Key": "b"}, "b"},
		{"neither", nil, ofBody},
		{"uuid_of_the_request_is_no_name", map[string]string{"X-Gitlab-Event-UUID": "u", "X-Gitlab-Webhook-UUID": "w"}, ofBody},
		{"longest", map[string]string{"webhook-id": long[1:]}, upgrade.DeliveryID(long[1:])},
		{"too_long", map[string]string{"webhook-id": long}, hashed([]byte(long))},
		{"space", map[string]string{"webhook-id": "a b"}, hashed([]byte("a b"))},
		{"not_ascii", map[string]string{"webhook-id": "é"}, hashed([]byte("é"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := http.Header{}
			for k, v := range tc.header {
				h.Set(k, v)
			}
			if got := identify(h, []byte("{}")); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestBranch(t *testing.T) {
	for _, tc := range []struct {
		name, ref string
		tag       bool
		want      string
	}{
		{"full", "refs/heads/a/b", false, "a/b"},
		{"short", "main", false, "main"},
		{"tag_by_name", "refs/tags/1.0", false, ""},
		{"tag_by_flag", "1.0", true, ""},
		{"merge_request", "refs/merge-requests/15/head", false, ""},
		{"control_character", "a\x00b", false, ""},
		{"too_long", strings.Repeat("b", 1025), false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := branch(tc.ref, tc.tag); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
