package terraform_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/integration/terraform"
	"github.com/upgradegate/upgradegate/upgrade"
)

const pem = `-----BEGIN RSA PRIVATE KEY-----
MIIEpAIBAAKCAQEA1234567890abcdefghijABCDEFGHIJ/+klmnopqrstuvwxyz
c2hvcnQgdGFpbCBvZiBrZXk=
-----END RSA PRIVATE KEY-----`

func TestMask(t *testing.T) {
	m := terraform.NewMasker("hunter2hunter2", "a<b\"c&dé", "short", "first line of it\nsecond line of it\nx", "hunter2")
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "password hunter2hunter2.", "password (secret)."},
		{"longest_first", "hunter2hunter2hunter2", "(secret)(secret)"},
		{"json", `{"a":"a<b\"c&dé"}`, `{"a":"(secret)"}`},
		{"json_html", `"a\u003cb\"c\u0026dé"`, `"(secret)"`},
		{"url", url.QueryEscape(`a<b"c&dé`), "(secret)"},
		{"base64", base64.StdEncoding.EncodeToString([]byte("hunter2hunter2")), "(secret)"},
		{"short_ones_stay", "short", "short"},
		{"line_of_many", "│ second line of it", "│ (secret)"},
		{"gitlab", "glpat-abcdefghij0123456789 glrt-t1_abcdefghij0123456789", "(secret) (secret)"},
		{"github", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "(secret)"},
		{"aws_key", "AKIAIOSFODNN7EXAMPLE", "(secret)"},
		{"aws_secret", `aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"`, `aws_secret_access_key = "(secret)"`},
		{"aws_secret_env", `AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY`, `AWS_SECRET_ACCESS_KEY=(secret)`},
		{"header", "Authorization: Bearer abc.def", "Authorization: Bearer (secret)"},
		{"jwt", "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJ_-", "(secret)"},
		{"url_password", "https://user:pa55word@example.org/x", "https://user:(secret)@example.org/x"},
		{"plain_url", "https://example.org:8443/a@b", "https://example.org:8443/a@b"},
		{"address", "aws_kms_grant.asg: Creation complete after 2s [id=f6090be3-271a]", "aws_kms_grant.asg: Creation complete after 2s [id=f6090be3-271a]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := m.Mask(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMaskWriterKnowsPrivateKeys(t *testing.T) {
	var out bytes.Buffer
	w := terraform.NewMasker().Writer(&out)
	for line := range strings.Lines("before it\n" + pem + "\nafter it ABCDEFGHIJKLMNOPQRSTUVWXYZ\n") {
		for i := range len(line) { // in the smallest pieces
			if _, err := w.Write([]byte{line[i]}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, "MIIE") || strings.Contains(got, "c2hv") || !strings.HasPrefix(got, "before it\n") ||
		!strings.HasSuffix(got, "after it ABCDEFGHIJKLMNOPQRSTUVWXYZ\n") {
		t.Errorf("got %s", got)
	}
	// One that is only spoken of does not hide the rest for ever.
	out.Reset()
	_, _ = w.Write([]byte("expected -----BEGIN PRIVATE KEY-----\n" + strings.Repeat("x\n", 200) + "/ABCDEFGHIJKLMNOPQRSTUVWXYZ\n"))
	if !strings.HasSuffix(out.String(), "/ABCDEFGHIJKLMNOPQRSTUVWXYZ\n") {
		t.Errorf("got %s", out.String())
	}
}

func TestMaskJSONKeepsTheLogReadable(t *testing.T) {
	var out bytes.Buffer
	// Variables whose values are words of Terraform's own log.
	w := terraform.NewMasker("apply_start", "resource", "diagnostic", "secret\nvalue", "123456789").JSONWriter(&out)
	line := `{"@level":"info","@message":"secret\nvalue","type":"apply_start","hook":{"resource":{"addr":"a.resource"},"n":123456789},"k":{"secret\nvalue":"x"}}`
	if _, err := w.Write([]byte(line + "\nnot json apply_start\n{broken apply_start\n")); err != nil {
		t.Fatal(err)
	}
	want := `{"@level":"info","@message":"(secret)","hook":{"n":"(secret)","resource":{"addr":"a.(secret)"}},"k":{"(secret)":"x"},"type":"apply_start"}` +
		"\nnot json (secret)\n{broken (secret)\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out.String(), want)
	}
}

// However a log comes in pieces, no piece of the output has the secret in it.
func FuzzMask(f *testing.F) {
	f.Add("hunter2hunter2", "it is hunter2hunter2\n", "and\n", uint8(3), false)
	f.Add("a\"b\\cdef", `{"@message":"a\"b\\cdef"}`, "\n", uint8(7), true)
	f.Add("ünïcode", `{"m":"\u00fcn\u00efcode"}`+"\n", "", uint8(1), true)
	f.Add("two\nlines here", "x two\nlines here y", "", uint8(2), false)
	f.Fuzz(func(t *testing.T, secret, before, after string, size uint8, asJSON bool) {
		if len(secret) < 6 || !utf8.ValidString(secret) || strings.TrimSpace(secret) != secret ||
			strings.Contains("(secret)", secret) || strings.Contains(secret, "(secret)") || strings.ContainsAny(secret, "\r\n") {
			return
		}
		text := before + secret + after
		m := terraform.NewMasker(upgrade.Secret(secret))
		var out bytes.Buffer
		w := m.Writer(&out)
		if asJSON {
			w = m.JSONWriter(&out)
			raw, err := json.Marshal(map[string]any{"@message": text, "type": "log", "list": []any{text}})
			if err != nil {
				return
			}
			text = string(raw) + "\n"
		}
		for piece := []byte(text); len(piece) > 0; {
			n := min(int(size)+1, len(piece))
			if _, err := w.Write(piece[:n]); err != nil {
				t.Fatal(err)
			}
			piece = piece[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		shown := strings.ReplaceAll(out.String(), "(secret)", "\x00")
		if strings.Contains(shown, secret) {
			t.Errorf("%q is shown in %q", secret, out.String())
		}
		if !asJSON {
			return
		}
		var back struct {
			Message string `json:"@message"`
			Type    string
		}
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Type != "log" {
			t.Errorf("no longer the log: %v: %q", err, out.String())
		}
		if strings.Contains(strings.ReplaceAll(back.Message, "(secret)", "\x00"), secret) {
			t.Errorf("%q is shown in %q", secret, back.Message)
		}
	})
}
