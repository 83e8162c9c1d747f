package storetest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgradegate/upgradegate/upgrade"
)

func intakeTests() map[string]func(*bench) {
	return map[string]func(*bench){
		"delivery_five_times_at_once":       testDeliveryTwice,
		"delivery_reads_back":               testDeliveryReadsBack,
		"delivery_of_any_bytes":             testDeliveryBytes,
		"delivery_fate":                     testDeliveryFate,
		"delivery_refused_keeps_no_body":    testDeliveryRefused,
		"deliveries_are_purged":             testDeliveryPurge,
		"deliveries_number_in_groups":       testDeliveryNumbers,
		"delivery_without_id_is_refused":    testDeliveryWithoutID,
		"delivery_unknown":                  testDeliveryUnknown,
		"delivery_after_close_is_refused":   testDeliveryAfterClose,
		"deliveries_in_the_air_at_a_close":  testCloseInTheAir,
		"delivery_is_claimable_and_signals": testDeliverySignals,
	}
}

func (b *bench) deliver(t *testing.T, id upgrade.DeliveryID) bool {
	t.Helper()
	fresh, err := b.Deliver(t.Context(), upgrade.Delivery{ID: id, Event: "Push Hook", ReceivedAt: b.now, Body: []byte(`{"id":"` + id + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

func testDeliveryTwice(b *bench) {
	t := b.t
	var fresh atomic.Int32
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if b.deliver(t, "d") {
				fresh.Add(1)
			}
		})
	}
	all.Wait()
	if fresh.Load() != 1 || b.deliver(t, "d") {
		t.Fatalf("%d of five were fresh, want one", fresh.Load())
	}
	job, ok := b.claim(t)
	if !ok || job.ID != "intake/d" || job.Kind != upgrade.JobIntake || job.Subject != "d" {
		t.Fatalf("claimed %+v, want intake/d", job)
	}
	b.none(t)
	if found, err := b.Deliveries(t.Context(), upgrade.DeliveryFilter{}); err != nil || len(found) != 1 {
		t.Fatalf("kept %d deliveries (%v), want one", len(found), err)
	}
}

func testDeliveryReadsBack(b *bench) {
	t := b.t
	want := upgrade.Delivery{}
	fill(t, &want)
	want.ReceivedAt = b.now
	if _, err := b.Deliver(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	want.Number, want.Fate, want.Reason, want.Runs = 1, upgrade.FatePending, "", nil
	got, err := b.Delivery(t.Context(), want.ID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("read back with %v (-want +got):\n%s", err, diff)
	}
	want.Body = nil
	list, err := b.Deliveries(t.Context(), upgrade.DeliveryFilter{})
	if diff := cmp.Diff([]upgrade.Delivery{want}, list); err != nil || diff != "" {
		t.Fatalf("listed with %v (-want +got):\n%s", err, diff)
	}
}

func testDeliveryBytes(b *bench) {
	t := b.t
	for name, body := range map[upgrade.DeliveryID][]byte{
		"empty": {}, "nul": []byte("a\x00b"), "not_utf8": {0xff, 0xfe, 'x'}, "utf8": []byte("größer €"),
		"large": []byte(strings.Repeat("0123456789", 300_000)),
	} {
		if _, err := b.Deliver(t.Context(), upgrade.Delivery{ID: name, ReceivedAt: b.now, Body: body}); err != nil {
			t.Fatal(err)
		}
		got, err := b.Delivery(t.Context(), name)
		if err != nil || !bytes.Equal(got.Body, body) {
			t.Errorf("%s: read back %d bytes (%v), want %d", name, len(got.Body), err, len(body))
		}
	}
}

func testDeliveryFate(b *bench) {
	t := b.t
	b.deliver(t, "d")
	job := b.take(t, "intake/d")
	b.must(t, job, upgrade.Step{
		Starts:   []upgrade.Run{{ProjectID: 7, Stack: "s", Environment: "staging", Tree: "t", Reason: "push"}},
		Delivery: &upgrade.Delivery{ID: "d", Fate: upgrade.FateStarted, Reason: "a push", Runs: []upgrade.RunID{9}},
		Next:     upgrade.End(),
	})
	got, err := b.Delivery(t.Context(), "d")
	if err != nil || got.Fate != upgrade.FateStarted || got.Reason != "a push" || !cmp.Equal(got.Runs, []upgrade.RunID{9, 1}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if len(got.Body) == 0 || got.Event == "" {
		t.Fatal("writing the fate lost what was delivered")
	}
	refused(t, b.write(t, upgrade.Step{Delivery: &upgrade.Delivery{ID: "unheard-of"}}), upgrade.CodeNotFound)
}

func testDeliveryRefused(b *bench) {
	t := b.t
	want := upgrade.Delivery{ID: "d", Event: "Push Hook", ReceivedAt: b.now, Body: []byte("secret \xff"), Hint: upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 7, Ref: "staging"}}
	if _, err := b.Deliver(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	b.must(t, b.take(t, "intake/d"), upgrade.Step{
		Delivery: &upgrade.Delivery{ID: "d", Fate: upgrade.FateRefused, Reason: "not protected"}, Next: upgrade.End(),
	})
	got, err := b.Delivery(t.Context(), "d")
	if err != nil || len(got.Body) != 0 || got.Fate != upgrade.FateRefused || !cmp.Equal(got.Hint, want.Hint) || got.Event != want.Event {
		t.Fatalf("read back %+v, %v", got, err)
	}
}

// testDeliveryPurge: what is old goes, with the job that looked at it; what waits to be looked at stays.
func testDeliveryPurge(b *bench) {
	t := b.t
	const many = 450 // more than one transaction removes
	for i := range many {
		id := upgrade.DeliveryID(fmt.Sprint("old", i))
		b.deliver(t, id)
		b.must(t, b.take(t, upgrade.JobFor(upgrade.JobIntake, string(id))), upgrade.Step{Delivery: &upgrade.Delivery{ID: id, Fate: upgrade.FateIgnored}, Next: upgrade.End()})
	}
	b.deliver(t, "waiting")
	border := b.now.Add(time.Minute)
	b.now = border
	b.deliver(t, "new")
	n, err := b.PurgeDeliveries(t.Context(), border)
	if err != nil || n != many {
		t.Fatalf("removed %d (%v), want %d", n, err, many)
	}
	left, err := b.Deliveries(t.Context(), upgrade.DeliveryFilter{})
	if err != nil || len(left) != 2 || left[0].ID != "new" || left[1].ID != "waiting" {
		t.Fatalf("left are %+v, %v", left, err)
	}
	if !b.deliver(t, "old7") {
		t.Error("one that was removed does not count as new")
	}
	b.take(t, "intake/waiting")
	b.take(t, "intake/new")
	b.take(t, "intake/old7")
}

func testDeliveryNumbers(b *bench) {
	t := b.t
	const many = 200
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() { b.deliver(t, upgrade.DeliveryID(fmt.Sprint("d", i%(many/2)))) })
	}
	all.Wait()
	seen := map[int64]bool{}
	for before := int64(0); ; {
		page, err := b.Deliveries(t.Context(), upgrade.DeliveryFilter{Before: before, Limit: 30})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			if before != 0 && d.Number >= before || seen[d.Number] {
				t.Fatalf("number %d after %d", d.Number, before)
			}
			before, seen[d.Number] = d.Number, true
		}
	}
	for n := int64(1); n <= many/2; n++ {
		if !seen[n] {
			t.Fatalf("no delivery has number %d of %d", n, many/2)
		}
	}
	if len(seen) != many/2 {
		t.Fatalf("%d deliveries, want %d", len(seen), many/2)
	}
}

func testDeliveryWithoutID(b *bench) {
	t := b.t
	_, err := b.Deliver(t.Context(), upgrade.Delivery{Body: []byte("x")})
	refused(t, err, upgrade.CodeInvalid)
}

func testDeliveryUnknown(b *bench) {
	t := b.t
	_, err := b.Delivery(t.Context(), "unheard-of")
	refused(t, err, upgrade.CodeNotFound)
}

func testDeliveryAfterClose(b *bench) {
	t := b.t
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := b.Deliver(t.Context(), upgrade.Delivery{ID: "late"})
	refused(t, err, upgrade.CodeUnavailable)
}

// testCloseInTheAir closes the store while deliveries come in: what was acknowledged must be there.
func testCloseInTheAir(b *bench) {
	t := b.t
	var acked sync.Map
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := 0; ; i++ {
				id := upgrade.DeliveryID(fmt.Sprintf("%d-%d", w, i))
				if _, err := b.Deliver(context.WithoutCancel(t.Context()), upgrade.Delivery{ID: id, ReceivedAt: b.now}); err != nil {
					return
				}
				acked.Store(id, true)
				if w == 0 && i == 20 {
					if err := b.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	b.open(t)
	n := 0
	acked.Range(func(id, _ any) bool {
		n++
		if _, err := b.Delivery(t.Context(), id.(upgrade.DeliveryID)); err != nil {
			t.Errorf("acknowledged and gone: %v", err)
		}
		return true
	})
	if n < 20 {
		t.Fatalf("only %d were acknowledged", n)
	}
}

func testDeliverySignals(b *bench) {
	t := b.t
	ticked(b.Woken())
	b.deliver(t, "d")
	if !ticked(b.Woken()) {
		t.Fatal("nobody was told of a delivery")
	}
	if at, ok, err := b.NextWake(t.Context()); err != nil || !ok || at.After(b.now) {
		t.Fatalf("next wake is %v %v %v, want one that has passed", at, ok, err)
	}
}
