package awssim_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
)

// event is what CloudTrail says of one call.
type event struct {
	EventName, ErrorCode, UserAgent, RecipientAccountID string

	UserIdentity struct {
		Type, Arn, InvokedBy string
		SessionContext       struct{ SessionIssuer struct{ Arn string } }
	}
	RequestParameters   map[string]any
	ResponseElements    map[string]any
	AdditionalEventData map[string]any
	Resources           []struct{ ARN string }
}

// events asks CloudTrail, as who, for the calls of a name, newest first.
func (w *world) events(t *testing.T, who caller, name string, more ...any) []event {
	t.Helper()
	attribute := []any{map[string]any{"AttributeKey": "EventName", "AttributeValue": name}}
	r := w.as(t, who, "cloudtrail", "LookupEvents", append([]any{"LookupAttributes", attribute}, more...)...)
	if r.code != "" {
		t.Fatalf("LookupEvents: %s: %s", r.code, r.message)
	}
	var out []event
	for _, raw := range r.body["Events"].([]any) {
		var one event
		if err := json.Unmarshal([]byte(raw.(map[string]any)["CloudTrailEvent"].(string)), &one); err != nil {
			t.Fatal(err)
		}
		out = append(out, one)
	}
	return out
}

// TestTrail checks that CloudTrail says who did what to a grant, minutes later.
func TestTrail(t *testing.T) {
	w := newWorld(t, nil)
	vars := w.encrypted(t)
	slr := w.sim.ServiceLinkedRole("")
	made := w.must(t, "kms", "CreateGrant", "KeyId", vars["KEY"], "GranteePrincipal", slr, "Operations", ebs(), "Name", "asg-ebs").text("GrantId")
	gate := w.assume(t, "arn:aws:iam::111111111111:role/gate", "secret")
	if r := w.as(t, gate, "kms", "RevokeGrant", "KeyId", vars["KEY"], "GrantId", made); r.code != "" {
		t.Fatal(r.message)
	}
	w.ask(t, "kms", "RevokeGrant", "KeyId", vars["KEY"], "GrantId", made)
	if got := w.events(t, user(), "RevokeGrant"); len(got) != 0 {
		t.Errorf("at once: %+v", got)
	}
	w.clock.move(5 * time.Minute)
	got := w.events(t, user(), "RevokeGrant")
	if len(got) != 2 {
		t.Fatalf("five minutes later: %+v, want 2", got)
	}
	if failed := got[0]; failed.ErrorCode != "NotFound" || failed.UserIdentity.Arn != "arn:aws:iam::111111111111:user/terraform" {
		t.Errorf("the one that was refused: %+v", failed)
	}
	done := got[1]
	if done.ErrorCode != "" || done.UserIdentity.Type != "AssumedRole" || done.UserIdentity.Arn != "arn:aws:sts::111111111111:assumed-role/gate/run-1" ||
		done.UserIdentity.SessionContext.SessionIssuer.Arn != "arn:aws:iam::111111111111:role/gate" ||
		done.RequestParameters["grantId"] != made || done.RequestParameters["keyId"] != vars["KEY"] || done.Resources[0].ARN != vars["KEY"] {
		t.Errorf("the one that was done: %+v", done)
	}
	created := w.events(t, user(), "CreateGrant")
	if len(created) != 1 || created[0].ResponseElements["grantId"] != made || created[0].RequestParameters["granteePrincipal"] != slr {
		t.Errorf("its creation: %+v", created)
	}
	since := float64(w.clock.Now().Add(-time.Minute).Unix())
	if got := w.events(t, user(), "RevokeGrant", "StartTime", since); len(got) != 0 {
		t.Errorf("of the last minute: %+v", got)
	}
}

// TestTrailOfRetiredGrant checks where the grant's id is when the request had a token only.
func TestTrailOfRetiredGrant(t *testing.T) {
	w := newWorld(t, nil)
	vars := w.encrypted(t)
	r := w.must(t, "kms", "CreateGrant", "KeyId", vars["KEY"], "GranteePrincipal", "arn:aws:iam::111111111111:user/terraform", "Operations", ebs())
	w.must(t, "kms", "RetireGrant", "GrantToken", r.text("GrantToken"))
	w.clock.move(5 * time.Minute)
	got := w.events(t, user(), "RetireGrant")
	if len(got) != 1 || got[0].RequestParameters != nil || got[0].AdditionalEventData["grantId"] != r.text("GrantId") || got[0].Resources[0].ARN != vars["KEY"] {
		t.Errorf("got %+v", got)
	}
}

// TestTrailOfSharedKey checks that what happens to a key of another account is in both accounts' trails, and
// in no third one's.
func TestTrailOfSharedKey(t *testing.T) {
	w := newWorld(t, nil)
	owner, third := "arn:aws:iam::999999999999:role/owner", "arn:aws:iam::333333333333:role/third"
	w.sim.AddRole(awssim.Role{ARN: owner})
	w.sim.AddRole(awssim.Role{ARN: third})
	key, err := w.sim.AddKey("999999999999", "", "", `{"Statement":[{"Effect":"Allow","Action":"kms:*","Principal":{"AWS":["arn:aws:iam::999999999999:root","111111111111"]}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	w.must(t, "kms", "CreateGrant", "KeyId", key, "GranteePrincipal", w.sim.ServiceLinkedRole(""), "Operations", ebs())
	w.clock.move(5 * time.Minute)
	for name, tc := range map[string]struct {
		who  caller
		want int
	}{"caller": {user(), 1}, "owner": {w.assume(t, owner, ""), 1}, "third": {w.assume(t, third, ""), 0}} {
		if got := w.events(t, tc.who, "CreateGrant"); len(got) != tc.want {
			t.Errorf("%s: got %d, want %d", name, len(got), tc.want)
		}
	}
}

// TestTrailOfRefusedLaunch checks the one place where AWS says which role lacked which permission.
func TestTrailOfRefusedLaunch(t *testing.T) {
	w := newWorld(t, nil)
	key, err := w.sim.AddKey("", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	w.cluster(t, w.sim.AddImage(awssim.Image{KeyARN: key}), 1)
	w.clock.move(30 * time.Second)
	w.clock.move(5 * time.Minute)
	got := w.events(t, user(), "CreateGrant")
	if len(got) == 0 || got[0].ErrorCode != "AccessDenied" || got[0].UserIdentity.InvokedBy != "autoscaling.amazonaws.com" ||
		got[0].UserIdentity.SessionContext.SessionIssuer.Arn != w.sim.ServiceLinkedRole("") || got[0].Resources[0].ARN != key {
		t.Errorf("got %+v", got)
	}
}

func TestLookupPages(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.PageSize = 2 })
	for range 5 {
		w.must(t, "kms", "CreateKey")
	}
	w.clock.move(5 * time.Minute)
	seen, token := 0, ""
	for range 3 {
		params := []any{}
		if token != "" {
			params = append(params, "NextToken", token)
		}
		r := w.must(t, "cloudtrail", "LookupEvents", params...)
		seen += len(r.body["Events"].([]any))
		if token = r.text("NextToken"); token == "" {
			break
		}
	}
	if seen != 5 || token != "" {
		t.Errorf("saw %d events in three pages, then %q", seen, token)
	}
}

// TestLookupLimit checks that who asks CloudTrail too often is told so.
func TestLookupLimit(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.LookupLimit = 2 })
	limited := 0
	for range 12 {
		if w.ask(t, "cloudtrail", "LookupEvents").code == "ThrottlingException" {
			limited++
		}
	}
	if limited == 0 {
		t.Error("twelve questions at once were all answered")
	}
}

func TestLookupRefuses(t *testing.T) {
	for _, bad := range []struct {
		name, code string
		params     []any
	}{
		{"token", "InvalidNextTokenException", []any{"NextToken", "x"}},
		{"times", "InvalidTimeRangeException", []any{"StartTime", 2, "EndTime", 1}},
		{"results", "InvalidMaxResultsException", []any{"MaxResults", 51}},
		{"attribute", "InvalidLookupAttributesException", []any{"LookupAttributes", []any{map[string]string{"AttributeKey": "Colour", "AttributeValue": "red"}}}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			w := newWorld(t, nil)
			if r := w.ask(t, "cloudtrail", "LookupEvents", bad.params...); r.code != bad.code {
				t.Errorf("got %q, want %q", r.code, bad.code)
			}
		})
	}
}
