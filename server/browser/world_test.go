package browser

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// world is what the server reads, in memory: testdata/world.json, which a test of the server keeps.
type world struct {
	mu    sync.Mutex
	is    kept // but for Runs and Events, nothing of it changes
	ticks map[chan struct{}]bool
}

// kept is the content of the file.
type kept struct {
	Now        time.Time
	Runs       []upgrade.Run
	Results    map[upgrade.RunID][]upgrade.Result
	Applies    map[upgrade.RunID][]upgrade.Apply
	Events     []upgrade.Event
	Deliveries []upgrade.Delivery
	Standings  []upgrade.Standing
	Stretches  []upgrade.Stretch
	Logs       map[string]string // "481/apply" → text
	Fixtures   []string          // names of run 600 and following
}

func readWorld(t *testing.T) *world {
	t.Helper()
	text, err := os.ReadFile("testdata/world.json")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{ticks: map[chan struct{}]bool{}}
	if err := json.Unmarshal(text, &w.is); err != nil {
		t.Fatalf("read testdata/world.json: %v", err)
	}
	return w
}

// Now makes the world its own clock: it stands still.
func (w *world) Now() time.Time { return w.is.Now }

func absent(what string) error {
	return &upgrade.Error{Code: upgrade.CodeNotFound, Msg: what + " does not exist"}
}

func (w *world) Run(_ context.Context, id upgrade.RunID) (upgrade.Run, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.is.Runs {
		if r.ID == id {
			return r, nil
		}
	}
	return upgrade.Run{}, absent("run " + id.String())
}

func (w *world) Runs(_ context.Context, f upgrade.RunFilter) (out []upgrade.Run, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.is.Runs {
		if (f.Before == 0 || r.ID < f.Before) && (f.Stack == "" || r.Stack == f.Stack) &&
			(len(f.Phases) == 0 || slices.Contains(f.Phases, r.Phase)) && (f.Commit == "" || r.Commit == f.Commit) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b upgrade.Run) int { return cmp.Compare(b.ID, a.ID) })
	return out[:min(len(out), cmp.Or(f.Limit, 50))], nil
}

// SearchRuns and FindRuns know no text.
func (w *world) SearchRuns(ctx context.Context, f upgrade.RunSearch) ([]upgrade.Run, upgrade.RunID, error) {
	if f.Text != "" {
		return nil, 0, nil
	}
	runs, err := w.Runs(ctx, upgrade.RunFilter{Stack: f.Stack, Phases: f.Phases, Before: f.Before, Limit: f.Limit})
	return runs, 0, err
}

func (w *world) FindRuns(ctx context.Context, f upgrade.RunSearch) (found upgrade.RunsFound, err error) {
	found.Whole = true
	if found.Runs, found.Older, err = w.SearchRuns(ctx, f); err != nil {
		return found, err
	}
	var counts []upgrade.RunCount
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.is.Runs {
		if f.Text == "" {
			counts = append(counts, upgrade.RunCount{Month: upgrade.MonthOf(r.CreatedAt), Stack: r.Stack, Phase: r.Phase, N: 1})
		}
	}
	found.Counts = upgrade.CountEach(counts, f)
	return found, nil
}

func (w *world) OpenRequests(context.Context, upgrade.RunID) ([]upgrade.Request, error) {
	return nil, nil
}

func (w *world) Results(_ context.Context, id upgrade.RunID) ([]upgrade.Result, error) {
	return w.is.Results[id], nil
}

func (w *world) Applies(_ context.Context, id upgrade.RunID) ([]upgrade.Apply, error) {
	return w.is.Applies[id], nil
}

func (w *world) Orders(context.Context, upgrade.UpgradeID) ([]upgrade.Order, error) { return nil, nil }

func (w *world) Events(_ context.Context, f upgrade.EventFilter) (out []upgrade.Event, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.is.Events {
		at := e.ID
		if f.Run != 0 {
			at = e.Seq
		}
		if (f.Run == 0 || e.Run == f.Run) && at > f.After {
			out = append(out, e)
		}
	}
	return out[:min(len(out), cmp.Or(f.Limit, 500))], nil
}

func (w *world) Changed() (<-chan struct{}, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan struct{}, 1)
	w.ticks[c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.ticks, c)
	}
}

// write changes a run and tells its journal.
func (w *world) write(id upgrade.RunID, e upgrade.Event, change func(*upgrade.Run)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.is.Runs {
		if r := &w.is.Runs[i]; r.ID == id {
			r.Rev++
			change(r)
		}
	}
	e.Run, e.ID, e.Seq = id, int64(len(w.is.Events)+1), 1
	for _, old := range w.is.Events {
		if old.Run == id {
			e.Seq = old.Seq + 1
		}
	}
	w.is.Events = append(w.is.Events, e)
	for c := range maps.Keys(w.ticks) {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (w *world) Delivery(_ context.Context, id upgrade.DeliveryID) (upgrade.Delivery, error) {
	for _, d := range w.is.Deliveries {
		if d.ID == id {
			return d, nil
		}
	}
	return upgrade.Delivery{}, absent("delivery " + string(id))
}

func (w *world) Deliveries(_ context.Context, f upgrade.DeliveryFilter) (out []upgrade.Delivery, err error) {
	for _, d := range slices.Backward(w.is.Deliveries) {
		if (f.Before == 0 || d.Number < f.Before) && (len(f.Fates) == 0 || slices.Contains(f.Fates, d.Fate)) {
			out = append(out, d)
		}
	}
	return out[:min(len(out), cmp.Or(f.Limit, 50))], nil
}

func (w *world) Log(_ context.Context, id upgrade.RunID, stage string) (io.ReadCloser, error) {
	text, ok := w.is.Logs[id.String()+"/"+stage]
	if !ok {
		return nil, absent("the log of " + stage)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

func (w *world) Plan(context.Context, upgrade.RunID) (plan.Summary, error) {
	return plan.Summary{Changes: []plan.Change{
		{Address: "module.kms.aws_kms_grant.asg_ebs", Type: "aws_kms_grant", Action: plan.Delete, Before: json.RawMessage(`{"name":"asg-ebs"}`), After: json.RawMessage("null")},
		{Address: "aws_lb.b", PreviousAddress: "aws_lb.a", Type: "aws_lb", Action: plan.Update},
	}}, nil
}

func (w *world) Invariants(context.Context) ([]upgrade.Standing, error) { return w.is.Standings, nil }

func (w *world) Stretches(_ context.Context, key upgrade.StandingKey, since time.Time) (out []upgrade.Stretch, err error) {
	for _, s := range w.is.Stretches {
		if s.Key == key && !s.Until.Before(since) {
			out = append(out, s)
		}
	}
	return out, nil
}
