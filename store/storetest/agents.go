package storetest

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func agentTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"agents_read_back":   testAgents,
		"streams_asked_once": testAgentStreams,
	}
}

func testAgents(b *bench) {
	t := b.t
	want := upgrade.Agent{}
	fill(t, &want)
	want.Unlisted, want.Watches = false, nil // known at the moment only, and not kept
	save := func(a upgrade.Agent) {
		t.Helper()
		if err := b.SaveAgent(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want ...upgrade.Agent) {
		t.Helper()
		got, err := b.Agents(t.Context())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("read back with %v (-want +got); is a new field missing in agentDoc?\n%s", err, diff)
		}
	}
	save(want)
	check(want)
	other := upgrade.Agent{Name: "a"} // as it is before anybody is invited
	save(other)
	check(want, other) // "Name" comes before "a"
	want.RevokedAt, want.Key = time.Time{}, nil
	save(want)
	check(want, other)
	refused(t, b.SaveAgent(t.Context(), upgrade.Agent{}), upgrade.CodeInvalid)
}

func testAgentStreams(b *bench) {
	t := b.t
	first := upgrade.AgentOpen{}
	fill(t, &first)
	open := func(o, want upgrade.AgentOpen, anew ...bool) {
		t.Helper()
		got, err := b.OpenStream(t.Context(), o, len(anew) > 0)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("opened with %v (-want +got):\n%s", err, diff)
		}
	}
	open(first, first)
	later := first
	later.Begun = first.Begun.Add(time.Hour)
	open(later, first)
	other := first
	other.Agent = "b"
	_, err := b.OpenStream(t.Context(), other, false)
	refused(t, err, upgrade.CodeConflict)
	_, err = b.OpenStream(t.Context(), upgrade.AgentOpen{ID: "x"}, false)
	refused(t, err, upgrade.CodeInvalid)
	forget := func(before time.Time) {
		t.Helper()
		if err := b.ForgetStreams(t.Context(), before); err != nil {
			t.Fatal(err)
		}
	}
	forget(first.Begun)
	open(later, first)
	forget(first.Begun.Add(time.Millisecond))
	open(later, later)
	open(first, first, true)
	open(later, first)
}
