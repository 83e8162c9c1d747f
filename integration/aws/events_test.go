package aws_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/upgradegate/upgradegate/integration/aws/awssim"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/cloud"
)

// user returns KMS as user/terraform sees it, not through the adapter.
func (w *world) user() *kms.Client {
	return kms.NewFromConfig(awssdk.Config{
		Region: region, BaseEndpoint: awssdk.String(w.url),
		Credentials: credentials.NewStaticCredentialsProvider(awssim.DefaultKeyID, awssim.DefaultSecret, ""),
	})
}

// TestKeyEvents asks who did what to a key: the incident, as CloudTrail has it.
func TestKeyEvents(t *testing.T) {
	w := newWorld(t, func(cfg *awssim.Config) { cfg.PageSize = 2 })
	ctx := t.Context()
	user, c := w.user(), w.client(t, nil)
	grant := func(name string) string {
		t.Helper()
		got, err := user.CreateGrant(ctx, &kms.CreateGrantInput{
			KeyId: awssdk.String(w.key), GranteePrincipal: awssdk.String(w.sim.ServiceLinkedRole("")), Name: awssdk.String(name),
			Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationDecrypt},
		})
		if err != nil {
			t.Fatal(err)
		}
		return awssdk.ToString(got.GrantId)
	}
	old := grant("long-ago")
	w.pass(time.Hour)
	since := w.clock.Now()
	var made []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		made = append(made, grant(name))
		w.pass(time.Second)
	}
	if _, err := user.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: awssdk.String(w.key), GrantId: awssdk.String(made[0])}); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Second)
	if _, err := user.RevokeGrant(ctx, &kms.RevokeGrantInput{KeyId: awssdk.String(w.key), GrantId: awssdk.String(made[0])}); err == nil {
		t.Fatal("revoked twice")
	}
	if _, err := user.RetireGrant(ctx, &kms.RetireGrantInput{KeyId: awssdk.String(w.key), GrantId: awssdk.String(made[1])}); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Second)
	if _, err := user.DisableKey(ctx, &kms.DisableKeyInput{KeyId: awssdk.String(w.key)}); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Second)
	if got, err := c.KeyEvents(ctx, since); err != nil || len(got) != 0 {
		t.Errorf("CloudTrail tells at once: %+v, %v", got, err)
	}
	w.pass(20 * time.Minute)
	got, err := c.KeyEvents(ctx, since)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range got {
		names = append(names, e.Name)
		if e.GrantID == old || e.ID == "" || !strings.HasPrefix(e.By, "arn:aws:iam::"+account+":user/") || !strings.HasSuffix(w.key, e.KeyID) || e.KeyID == "" {
			t.Errorf("got %+v", e)
		}
	}
	want := strings.Fields("CreateGrant CreateGrant CreateGrant CreateGrant CreateGrant RevokeGrant RetireGrant DisableKey")
	if !slices.Equal(names, want) || !slices.IsSortedFunc(got, func(a, b cloud.KeyEvent) int { return a.At.Compare(b.At) }) {
		t.Fatalf("got %v, want %v", names, want)
	}
	if got[0].GrantID != made[0] || got[5].GrantID != made[0] || got[6].GrantID != made[1] {
		t.Errorf("grants: %+v", got)
	}
}

// TestKeyEventsSlowly: CloudTrail takes two questions a second, and so that is what it gets.
func TestKeyEventsSlowly(t *testing.T) {
	w := newWorld(t, nil)
	c := w.client(t, nil)
	before := w.clock.Now()
	if _, err := c.KeyEvents(t.Context(), before.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, call := range w.sim.Calls() {
		if call.Action == "LookupEvents" {
			n++
		}
	}
	if took := w.clock.Now().Sub(before); n < 6 || took < time.Duration(n-1)*500*time.Millisecond {
		t.Errorf("%d questions in %s", n, took)
	}
	w.sim.Inject("cloudtrail:LookupEvents", awssim.FaultThrottled, 1)
	if _, err := c.KeyEvents(t.Context(), before); err != nil {
		t.Errorf("asked too often once: %v", err)
	}
	w.sim.Inject("cloudtrail:LookupEvents", awssim.FaultThrottled, 1000)
	if _, err := c.KeyEvents(t.Context(), before); code(err) != upgrade.CodeLimited {
		t.Errorf("asked too often: %v, want code %s", err, upgrade.CodeLimited)
	}
}
