package storetest

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func hookTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"hooks_read_back":         testHooks,
		"messages_in_their_order": testMessages,
	}
}

func testHooks(b *bench) {
	t := b.t
	want := upgrade.Hook{}
	fill(t, &want)
	want.Rev, want.File, want.Pending, want.Dead = 0, false, 0, 0
	kept, err := b.SaveHook(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	want.Rev, want.Cursor = 1, kept.Cursor
	check := func() {
		t.Helper()
		got, err := b.Hooks(t.Context())
		if diff := cmp.Diff([]upgrade.Hook{want}, got); err != nil || diff != "" {
			t.Fatalf("read back with %v (-want +got); is a new field missing in hookDoc?\n%s", err, diff)
		}
	}
	check()
	again := want
	again.Rev = 0
	_, err = b.SaveHook(t.Context(), again)
	refused(t, err, upgrade.CodeConflict)
	again.Rev = 7
	_, err = b.SaveHook(t.Context(), again)
	refused(t, err, upgrade.CodeStale)

	want.State = upgrade.HookPaused
	if want, err = b.SaveHook(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	check()
	want.File = true
	if want, err = b.SaveHook(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	want.Keys = nil // of one in the configuration none is kept
	check()
	if err := b.RemoveHook(t.Context(), want.Name); err != nil {
		t.Fatal(err)
	}
	refused(t, b.RemoveHook(t.Context(), want.Name), upgrade.CodeNotFound)
	_, err = b.SaveHook(t.Context(), upgrade.Hook{})
	refused(t, err, upgrade.CodeInvalid)
}

func testMessages(b *bench) {
	t := b.t
	h, err := b.SaveHook(t.Context(), upgrade.Hook{Name: "chat", State: upgrade.HookActive})
	if err != nil {
		t.Fatal(err)
	}
	message := func(event int64, run upgrade.RunID, due time.Duration) upgrade.HookMessage {
		return upgrade.HookMessage{Event: event, Run: run, Type: "run.note", MadeAt: b.now, NextAt: b.now.Add(due)}
	}
	queued := []upgrade.HookMessage{message(1, 1, time.Hour), message(2, 1, 0), message(3, 2, time.Minute)}
	if err := b.QueueMessages(t.Context(), h.Name, h.Cursor, h.Cursor+3, queued); err != nil {
		t.Fatal(err)
	}
	refused(t, b.QueueMessages(t.Context(), h.Name, h.Cursor, h.Cursor+3, queued), upgrade.CodeStale) // nothing is queued twice
	next := func(want ...int64) []upgrade.HookMessage {
		t.Helper()
		got, err := b.NextMessages(t.Context(), h.Name, 10)
		var events []int64
		for _, m := range got {
			events = append(events, m.Event)
		}
		if diff := cmp.Diff(want, events); err != nil || diff != "" {
			t.Fatalf("next with %v (-want +got):\n%s", err, diff)
		}
		return got
	}
	first := next(3, 1)[1] // event 2 waits for event 1 of its run
	first.State, first.Tries, first.TriedAt, first.Answer = upgrade.MessageDead, 1, b.now, "answered 500"
	if err := b.NoteMessage(t.Context(), first, 0); err != nil {
		t.Fatal(err)
	}
	refused(t, b.NoteMessage(t.Context(), first, 0), upgrade.CodeStale)
	next(2, 3)
	got, err := b.HookMessage(t.Context(), h.Name, first.ID)
	if diff := cmp.Diff(first, got); err != nil || diff != "" {
		t.Fatalf("read back with %v (-want +got):\n%s", err, diff)
	}
	_, err = b.HookMessage(t.Context(), "other", first.ID)
	refused(t, err, upgrade.CodeNotFound)
	hooks, err := b.Hooks(t.Context())
	if err != nil || hooks[0].Pending != 2 || hooks[0].Dead != 1 || hooks[0].Cursor != h.Cursor+3 {
		t.Errorf("%+v, %v", hooks, err)
	}
	listed, err := b.HookMessages(t.Context(), upgrade.MessageFilter{Hook: h.Name, States: []upgrade.MessageState{upgrade.MessagePending}, Before: first.ID + 2})
	if err != nil || len(listed) != 1 || listed[0].Event != 2 {
		t.Errorf("listed %+v, %v", listed, err)
	}
	if n, err := b.PurgeMessages(t.Context(), b.now.Add(time.Second)); err != nil || n != 1 {
		t.Errorf("removed %d (%v), want the dead one", n, err)
	}
	if err := b.RemoveHook(t.Context(), h.Name); err != nil {
		t.Fatal(err)
	}
	next()
}
