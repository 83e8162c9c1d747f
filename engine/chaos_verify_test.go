package engine_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// verify looks at everything that the workers left.
func (c *chaos) verify(t *testing.T, deliveries int) {
	t.Helper()
	s, err := openChaos(t.Context(), c.dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if n, err := s.Recover(t.Context()); n != 0 || err != nil {
		t.Errorf("an orderly stop left %d leases (%v)", n, err)
	}
	begun := c.effects(t)
	runs := 0
	for before := upgrade.RunID(0); ; {
		page, err := s.Runs(t.Context(), upgrade.RunFilter{Before: before})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, run := range page {
			before = run.ID
			runs++
			c.verifyRun(t, s, run, begun[run.ID])
		}
	}
	if runs != deliveries {
		t.Errorf("%d runs of %d deliveries", runs, deliveries)
	}
	verifyDeliveries(t, s)
	verifyJournal(t, s)
}

func (c *chaos) verifyRun(t *testing.T, s *store.Store, run upgrade.Run, begun int) {
	t.Helper()
	ctx := t.Context()
	if !run.Phase.Final() || run.Attempt != 1 {
		t.Errorf("run %d is %s in attempt %d", run.ID, run.Phase, run.Attempt)
	}
	if begun > 1 {
		t.Errorf("the effect of run %d began %d times", run.ID, begun)
	}
	applies, err := s.Applies(ctx, run.ID)
	if err != nil || len(applies) != 1 {
		t.Fatalf("run %d has %d applies (%v)", run.ID, len(applies), err)
	}
	_, statErr := os.Stat(filepath.Join(c.dir, "ended-"+run.ID.String()))
	ended := statErr == nil
	want, gates := upgrade.PhasePromoted, 3
	if applies[0].State == upgrade.ApplyLost {
		c.lost++
		want, gates = upgrade.PhaseFailed, 0
	}
	if run.Phase != want || ended != (applies[0].State == upgrade.ApplyExited) {
		t.Errorf("run %d is %s, its apply %s, its effect ended: %v", run.ID, run.Phase, applies[0].State, ended)
	}
	results, err := s.Results(ctx, run.ID)
	asked := map[upgrade.GateName]int{}
	for _, r := range results {
		asked[r.Gate]++
	}
	if err != nil || len(results) != gates || len(asked) != gates {
		t.Errorf("run %d has %d results of %d gates (%v), want %d", run.ID, len(results), len(asked), err, gates)
	}
	if orders, err := s.Orders(ctx, run.Upgrade); err != nil || len(orders) != gates/3 {
		t.Errorf("run %d has %d orders (%v)", run.ID, len(orders), err)
	}
	if open, err := s.OpenRequests(ctx, run.ID); err != nil || len(open) != 0 {
		t.Errorf("nobody answered %d requests to run %d (%v)", len(open), run.ID, err)
	}
	posted, err := s.Posted(ctx, run.ID)
	if err != nil || len(posted) != 1 || posted[0].State != run.Phase.CommitState() {
		t.Errorf("the status of run %d, which is %s, is %+v (%v)", run.ID, run.Phase, posted, err)
	}
	verifyPhases(t, s, run)
}

// verifyPhases follows a run's journal from its creation to its end.
func verifyPhases(t *testing.T, s *store.Store, run upgrade.Run) {
	t.Helper()
	events, err := s.Events(t.Context(), upgrade.EventFilter{Run: run.ID})
	if err != nil {
		t.Fatal(err)
	}
	at := upgrade.PhaseQueued
	for i, e := range events {
		if e.Seq != int64(i+1) {
			t.Errorf("event %d of run %d has number %d", i+1, run.ID, e.Seq)
		}
		if e.Kind != upgrade.EventPhase {
			continue
		}
		from, to := upgrade.Phase(e.Data["from"]), upgrade.Phase(e.Data["to"])
		if from != at || !from.CanFollow(to) {
			t.Errorf("run %d was %s and went from %s to %s", run.ID, at, from, to)
		}
		at = to
	}
	if at != run.Phase || len(events) == 0 || events[0].Kind != upgrade.EventCreated {
		t.Errorf("the journal of run %d ends in %s, the run is %s", run.ID, at, run.Phase)
	}
}

func verifyDeliveries(t *testing.T, s *store.Store) {
	t.Helper()
	seen := map[upgrade.RunID]upgrade.DeliveryID{}
	for before := int64(0); ; {
		page, err := s.Deliveries(t.Context(), upgrade.DeliveryFilter{Before: before})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return
		}
		for _, d := range page {
			before = d.Number
			if d.Fate != upgrade.FateStarted || len(d.Runs) != 1 || seen[d.Runs[0]] != "" {
				t.Errorf("delivery %s is %s and started %v", d.ID, d.Fate, d.Runs)
				continue
			}
			seen[d.Runs[0]] = d.ID
		}
	}
}

// verifyJournal counts all events.
func verifyJournal(t *testing.T, s *store.Store) {
	t.Helper()
	for after := int64(0); ; {
		page, err := s.Events(t.Context(), upgrade.EventFilter{After: after})
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return
		}
		for _, e := range page {
			if e.ID != after+1 {
				t.Errorf("event %d follows event %d", e.ID, after)
			}
			after = e.ID
		}
	}
}
