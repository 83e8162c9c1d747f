package trail

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

const (
	keyID   = "1234abcd-12ab-34cd-56ef-1234567890ab"
	keyARN  = "arn:aws:kms:us-west-2:111122223333:key/" + keyID
	grantID = "abcde1237f76e4ba7987489ac329fbfba6ad343d6f7075dbd1ef191f0120514a"
	alice   = "arn:aws:iam::111122223333:user/Alice"
)

func read(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name string
		want cloud.KeyEvent
	}{
		{"RevokeGrant", cloud.KeyEvent{
			ID: "07a23a39-6526-4ae2-b31e-d35fbe9e24ee", Name: "RevokeGrant", At: time.Date(2022, 9, 1, 19, 35, 17, 0, time.UTC),
			By: alice, Agent: "APN/1.0 HashiCorp/1.0 Terraform/1.11.4", KeyID: keyID, GrantID: grantID,
		}},
		{"RetireGrant", cloud.KeyEvent{
			ID: "0771bcfb-3e24-4332-9ac8-e1c06563eecf", Name: "RetireGrant", At: time.Date(2022, 9, 1, 19, 39, 33, 0, time.UTC),
			By: alice, Agent: "AWS Internal", KeyID: keyARN, GrantID: grantID,
		}},
		{"CreateGrant", cloud.KeyEvent{
			ID: "d5d36daf-a60a-4bf5-a8a3-6ca5b8a8ab1b", Name: "CreateGrant", At: time.Date(2022, 9, 1, 19, 31, 2, 0, time.UTC),
			By: "autoscaling.amazonaws.com", Agent: "autoscaling.amazonaws.com", KeyID: keyARN, GrantID: grantID,
		}},
		{"PutKeyPolicy", cloud.KeyEvent{
			ID: "7bb906fa-dc21-4350-b65c-808ff0f72f55", Name: "PutKeyPolicy", At: time.Date(2022, 9, 1, 20, 6, 16, 0, time.UTC),
			By:    "arn:aws:sts::111122223333:assumed-role/terraform/ci",
			Agent: "aws-cli/2.9.19", KeyID: keyID,
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok, err := Parse(read(t, tc.name))
			if err != nil || !ok {
				t.Fatalf("ok %t, %v", ok, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseLeavesOut(t *testing.T) {
	whole := read(t, "RevokeGrant")
	for name, text := range map[string]string{
		"refused_call":    strings.Replace(whole, `"eventName"`, `"errorCode": "AccessDenied", "eventName"`, 1),
		"another_service": strings.Replace(whole, Source, "license-manager.amazonaws.com", 1),
		"another_name":    strings.Replace(whole, `"RevokeGrant"`, `"Decrypt"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok, err := Parse(text); ok || err != nil {
				t.Errorf("got %+v, %t, %v", got, ok, err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	whole := read(t, "RevokeGrant")
	for name, text := range map[string]string{
		"no_json":   "RevokeGrant",
		"cut":       whole[:len(whole)/2],
		"no_time":   strings.Replace(whole, `"eventTime": "2022-09-01T19:35:17Z",`, "", 1),
		"key_as_no": strings.Replace(whole, `"keyId": "`+keyID+`"`, `"keyId": 7`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			if text == whole {
				t.Fatal("nothing was spoiled")
			}
			if got, ok, err := Parse(text); ok || err == nil {
				t.Errorf("got %+v, %t, %v", got, ok, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	// Short ones: the fuzzer spends its time on making smaller what it finds.
	const kms = `{"eventSource":"kms.amazonaws.com","eventTime":"2025-06-13T15:00:00Z","eventName":`
	f.Add(kms + `"RevokeGrant","eventID":"e","requestParameters":{"keyId":"k","grantId":"g"},"userIdentity":{"arn":"a"}}`)
	f.Add(kms + `"RetireGrant","requestParameters":null,"additionalEventData":{"grantId":"g"},"resources":[{"type":"AWS::KMS::Key","ARN":"k"}]}`)
	f.Add(kms + `"CreateGrant","responseElements":{"grantId":"g","keyId":"k"},"userIdentity":{"invokedBy":"s"}}`)
	f.Add(kms + `"DisableKey","userAgent":"\u0007\u202e","errorCode":"AccessDenied"}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, ok, err := Parse(text)
		if !ok {
			if diff := cmp.Diff(cloud.KeyEvent{}, got); diff != "" {
				t.Errorf("something is returned that does not count: %s", diff)
			}
			return
		}
		if err != nil || !slices.Contains(Names(), got.Name) || got.At.IsZero() || got.At.Location() != time.UTC {
			t.Errorf("accepted %+v, %v", got, err)
		}
		for _, s := range []string{got.ID, got.By, got.Agent, got.KeyID, got.GrantID} {
			if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is not fit to be shown", s)
			}
		}
	})
}
