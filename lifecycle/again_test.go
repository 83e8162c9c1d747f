package lifecycle_test

import (
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// TestPlayAgain: what was ignored once is looked at anew, under an id of its own.
func TestPlayAgain(t *testing.T) {
	h := newHouse(t)
	hint := upgrade.Hint{Kind: upgrade.HintPush, ProjectID: 1, Project: "platform/edge", Ref: "feature"}
	if _, err := h.store.Deliver(h.ctx, upgrade.Delivery{ID: "d", Event: "Push Hook", ReceivedAt: h.clock.Now(), Body: []byte(`{}`), Hint: hint}); err != nil {
		t.Fatal(err)
	}
	h.rest()
	dev := upgrade.Person{Name: "Priya", Role: upgrade.RoleDeveloper}
	for i, want := range []struct{ play, id upgrade.DeliveryID }{{"d", "again:1:d"}, {"d", "again:2:d"}, {"again:1:d", "again:3:d"}} {
		id, err := h.lifecycle.PlayAgain(h.ctx, want.play, dev)
		if err != nil || id != want.id {
			t.Fatalf("%d: got %q, %v, want %q", i, id, err, want.id)
		}
		h.rest()
		got, err := h.store.Delivery(h.ctx, id)
		if err != nil || got.Fate != upgrade.FateIgnored || got.Hint != hint || got.Event != "Push Hook" || len(got.Body) != 0 {
			t.Fatalf("%d: %+v, %v", i, got, err)
		}
	}
	if _, err := h.lifecycle.PlayAgain(h.ctx, "none", dev); upgrade.CodeOf(err) != upgrade.CodeNotFound {
		t.Errorf("an unknown one: %v", err)
	}
	if _, err := h.lifecycle.PlayAgain(h.ctx, "d", upgrade.Person{Name: "Vera", Role: upgrade.RoleViewer}); err == nil || upgrade.CodeOf(err) != upgrade.CodeForbidden {
		t.Errorf("a viewer: %v", err)
	}
}

// TestPlayAgainRehearsal: whoever may not ask for a rehearsal may not play the asking again either, and
// whoever does so is who asked.
func TestPlayAgainRehearsal(t *testing.T) {
	h := newHouse(t)
	hint := upgrade.Hint{Kind: upgrade.HintRehearse, ProjectID: 1, Run: 7, By: "Mira"}
	if _, err := h.store.Deliver(h.ctx, upgrade.Delivery{ID: "rehearse:7:1", ReceivedAt: h.clock.Now(), Hint: hint}); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(25 * time.Hour) // a run that does not exist may be one that is not read yet
	h.rest()
	if _, err := h.lifecycle.PlayAgain(h.ctx, "rehearse:7:1", upgrade.Person{Name: "Priya", Role: upgrade.RoleDeveloper}); err == nil || upgrade.CodeOf(err) != upgrade.CodeForbidden {
		t.Errorf("a developer: %v", err)
	}
	id, err := h.lifecycle.PlayAgain(h.ctx, "rehearse:7:1", upgrade.Person{Name: "Hugo", Role: upgrade.RoleReleaseManager})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.store.Delivery(h.ctx, id); err != nil || got.Hint.By != "Hugo" {
		t.Errorf("asked by %q, %v", got.Hint.By, err)
	}
}

// TestPurge: deliveries go when their time is over, and not before.
func TestPurge(t *testing.T) {
	h := newHouse(t)
	if err := h.lifecycle.Start(h.ctx); err != nil {
		t.Fatal(err)
	}
	h.rest()
	const keep = 30 * 24 * time.Hour
	h.lifecycle.KeepDeliveries = keep // nobody works now
	for _, id := range []upgrade.DeliveryID{"old", "older"} {
		if _, err := h.store.Deliver(h.ctx, upgrade.Delivery{ID: id, ReceivedAt: h.clock.Now(), Hint: upgrade.Hint{Kind: upgrade.HintOther}}); err != nil {
			t.Fatal(err)
		}
	}
	h.rest()
	for _, step := range []struct {
		wait time.Duration
		gone bool
	}{{keep - 2*time.Hour, false}, {4 * time.Hour, true}} {
		h.clock.Advance(step.wait)
		h.rest()
		_, err := h.store.Delivery(h.ctx, "old")
		if gone := err != nil && upgrade.CodeOf(err) == upgrade.CodeNotFound; gone != step.gone {
			t.Errorf("after %s: gone %v (%v), want %v", step.wait, gone, err, step.gone)
		}
	}
}
