package storetest

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func verifyTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"verifications_read_back":     testVerifications,
		"verification_token_is_spent": testVerificationTwice,
	}
}

func testVerifications(b *bench) {
	t := b.t
	want := upgrade.Verification{}
	fill(t, &want)
	if err := b.Verify(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	want.State, want.Rev = upgrade.VerifyWaiting, 1
	check := func() {
		t.Helper()
		got, err := b.Verification(t.Context(), want.ID)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("read back with %v (-want +got); is a new field missing in verificationDoc?\n%s", err, diff)
		}
	}
	check()
	waiting, err := b.Waiting(t.Context(), want.ProjectID)
	if err != nil || len(waiting) != 1 {
		t.Fatalf("waiting: %v (%v)", waiting, err)
	}
	b.take(t, upgrade.JobFor(upgrade.JobVerify, string(want.ID)))
	want.State, want.Sentence = upgrade.VerifyOpen, "it may go"
	b.must(t, b.pen, upgrade.Step{Verifications: []upgrade.Verification{want}})
	want.Rev = 2
	check()
	refused(t, b.write(t, upgrade.Step{Verifications: []upgrade.Verification{want}}), upgrade.CodeStale) // an answer is final
	if waiting, err = b.Waiting(t.Context(), 0); err != nil || len(waiting) != 0 {
		t.Fatalf("still waiting: %v (%v)", waiting, err)
	}
	for later := range 2 { // those from before a time go, not those of that very time
		n, err := b.PurgeVerifications(t.Context(), want.AskedAt.Add(time.Duration(later)*time.Millisecond))
		if err != nil || n != later {
			t.Errorf("%d ms later %d were removed (%v)", later, n, err)
		}
	}
	_, err = b.Verification(t.Context(), "unknown")
	refused(t, err, upgrade.CodeNotFound)
}

func testVerificationTwice(b *bench) {
	t := b.t
	one := upgrade.Verification{ID: "1", Token: "https://gitlab/ jti", AskedAt: b.now} //nolint:gosec // the name of a token, not one
	if err := b.Verify(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	one.ID = "2"
	refused(t, b.Verify(t.Context(), one), upgrade.CodeConflict)
	refused(t, b.Verify(t.Context(), upgrade.Verification{ID: "3", Token: "t"}), upgrade.CodeInvalid)
}
