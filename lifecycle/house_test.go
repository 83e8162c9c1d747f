package lifecycle_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/internal/world"
	"github.com/upgradegate/upgradegate/lifecycle"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// house is the lifecycle with the real store and the real engine, between a GitLab, a git, a Terraform
// and gates that live in memory.
type house struct {
	t         *testing.T
	ctx       context.Context //nolint:containedctx // the test's own, for as long as the house stands
	clock     *world.Clock
	store     *store.Store
	lifecycle *lifecycle.Lifecycle
	gitlab    *fakeGitLab
	terraform *fakeTerraform
	gate      *fakeGate
	stop      func()
	data      string
	mask      func(string) string // nil: none
	gates     []gates.Gate        // besides the one that starts an instance
	stacks    []upgrade.Stack
}

func friday() time.Time { return time.Date(2026, 11, 20, 16, 0, 0, 0, time.UTC) }

// edge is a stack with one launch gate, started by pushes to staging and merge requests to main.
func edge() upgrade.Stack {
	return upgrade.Stack{
		Name: "edge", Project: "platform/edge",
		Trigger:    upgrade.Trigger{Push: "staging", MergeRequestTo: "main", When: upgrade.Conditions()},
		Staging:    upgrade.Site{Environment: "staging", Workspace: "staging"},
		Production: upgrade.Production{Branch: "main", Environment: "production"},
		Holds: []upgrade.Hold{
			{Kind: upgrade.HoldPlayJob, Job: "upgrade-gate", Opens: upgrade.OpensStep}, {Kind: upgrade.HoldCommitStatus},
		},
	}
}

func newHouse(t *testing.T, stacks ...upgrade.Stack) *house {
	t.Helper()
	return newHouseWith(t, nil, stacks...)
}

// newHouseWith is a house with gates besides the one that starts an instance.
func newHouseWith(t *testing.T, more func(*house) []gates.Gate, stacks ...upgrade.Stack) *house {
	t.Helper()
	if len(stacks) == 0 {
		stacks = []upgrade.Stack{edge()}
	}
	clock := world.New(friday())
	gitlab := newFakeGitLab(clock)
	terraform := newFakeTerraform(clock, gitlab)
	h := &house{
		t: t, ctx: t.Context(), clock: clock, gitlab: gitlab, terraform: terraform,
		gate: &fakeGate{terraform: terraform}, data: t.TempDir(), stacks: stacks,
	}
	if more != nil {
		h.gates = more(h)
	}
	for _, stack := range stacks {
		h.gitlab.addProject(stack.Project)
	}
	h.open(stacks)
	t.Cleanup(func() { h.close() })
	return h
}

// assumeBases has every stack seen before anything arrives, as reconciliation does at the start.
func (h *house) assumeBases() {
	h.t.Helper()
	for _, stack := range h.stacks {
		branch, err := h.gitlab.Branch(h.ctx, h.gitlab.projectID(stack.Project), stack.Production.Branch)
		if err == nil {
			err = h.store.SetBase(h.ctx, upgrade.Base{Stack: stack.Name, Tree: treeOf("base"), Commit: branch.Commit, Assumed: true, At: h.clock.Now()})
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

// open starts the service on the house's database.
func (h *house) open(stacks []upgrade.Stack) {
	h.t.Helper()
	log := slog.New(slog.NewTextHandler(h.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := store.Open(h.ctx, store.Config{URL: "sqlite://" + filepath.Join(h.data, "gate.db"), Log: log})
	if err != nil {
		h.t.Fatal(err)
	}
	launch := gates.Gate{
		Name: "launch", Kind: gates.KindLaunch, Stage: upgrade.StageAfter, Environment: "staging", Required: true,
		TouchesLive: true, Settle: 5 * time.Minute, GoodFor: 20 * time.Minute, Deadline: 10 * time.Minute, Check: h.gate.check,
	}
	l, err := lifecycle.New(lifecycle.Config{
		Stacks: stacks, Gates: append([]gates.Gate{launch}, h.gates...), Store: db, Forge: h.gitlab, Git: fakeGit{h.gitlab}, Terraform: h.terraform,
		Clock: h.clock, Mask: func(s string) string { return h.masked(s) }, Logger: log, Data: filepath.Join(h.data, "work"), Host: "here", BootID: "boot", PublicURL: "https://gate.test",
	})
	if err != nil {
		h.t.Fatal(err)
	}
	e, err := engine.New(engine.Config{
		Leases: db, Clock: h.clock, Log: log, Worker: "here", Handlers: l.Handlers(),
		Random: func() float64 { return 0.5 },
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.ctx))
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	h.store, h.lifecycle = db, l
	h.stop = func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			h.t.Errorf("engine: %v", err)
		}
		if err := db.Close(); err != nil {
			h.t.Errorf("close: %v", err)
		}
	}
}

func (h *house) masked(s string) string {
	if h.mask == nil {
		return s
	}
	return h.mask(s)
}

func (h *house) close() {
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// rest waits until nobody works and nothing is due at the present world time.
func (h *house) rest() {
	h.t.Helper()
	calm := 0
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		quiet, before := h.clock.Quiet()
		due, known, err := h.store.NextWake(h.ctx)
		if err != nil {
			h.t.Fatal(err)
		}
		_, after := h.clock.Quiet()
		if quiet && before == after && (!known || due.After(h.clock.Now())) {
			if calm++; calm >= 3 {
				return
			}
			continue
		}
		calm = 0
	}
	h.t.Fatal("the house did not come to rest")
}

// pass lets world time pass, stopping at everything that is due on the way.
func (h *house) pass(d time.Duration) {
	h.t.Helper()
	end := h.clock.Now().Add(d)
	for {
		h.rest()
		next := end
		if due, known, err := h.store.NextWake(h.ctx); err == nil && known && due.Before(next) {
			next = due
		}
		if due, known := h.clock.NextDue(); known && due.Before(next) {
			next = due
		}
		if !h.clock.MoveTo(next) {
			continue
		}
		if !next.Before(end) {
			h.rest()
			return
		}
	}
}

// deliver brings a delivery in, as webhooks would.
func (h *house) deliver(id string, hint upgrade.Hint) {
	h.t.Helper()
	_, err := h.store.Deliver(h.ctx, upgrade.Delivery{
		ID: upgrade.DeliveryID(id), Event: "Push Hook", ReceivedAt: h.clock.Now(), Body: []byte("{}"), Hint: hint, Fate: upgrade.FatePending,
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// push moves a branch of the stack's project to a commit of that content and tells of it.
func (h *house) push(branch, content string) upgrade.Commit {
	h.t.Helper()
	commit := h.gitlab.push("platform/edge", branch, content)
	h.deliver("push-"+branch+"-"+string(commit)+h.clock.Now().String(), upgrade.Hint{
		Kind: upgrade.HintPush, ProjectID: 1, Project: "platform/edge", Ref: branch, After: commit,
	})
	h.rest()
	return commit
}

// run returns the newest run.
func (h *house) run() upgrade.Run {
	h.t.Helper()
	runs := h.runs()
	if len(runs) == 0 {
		h.t.Fatal("there is no run")
	}
	return runs[0]
}

func (h *house) runs() []upgrade.Run {
	h.t.Helper()
	runs, err := h.store.Runs(h.ctx, upgrade.RunFilter{})
	if err != nil {
		h.t.Fatal(err)
	}
	return runs
}

// want fails unless the run is in the phase.
func (h *house) want(id upgrade.RunID, phase upgrade.Phase) upgrade.Run {
	h.t.Helper()
	run, err := h.store.Run(h.ctx, id)
	if err != nil {
		h.t.Fatal(err)
	}
	if run.Phase != phase {
		events, _ := h.store.Events(h.ctx, upgrade.EventFilter{Run: id})
		for _, event := range events {
			h.t.Logf("%s %s: %s %v", event.At.Format("15:04:05"), event.Kind, event.Text, event.Data)
		}
		h.t.Fatalf("run %d is %s (%v, %q), want %s", id, run.Phase, run.Causes, run.Reason, phase)
	}
	return run
}

// fate returns what came of the newest delivery whose id begins with prefix.
func (h *house) fate(prefix string) upgrade.Delivery {
	h.t.Helper()
	deliveries, err := h.store.Deliveries(h.ctx, upgrade.DeliveryFilter{})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, delivery := range deliveries {
		if len(delivery.ID) >= len(prefix) && string(delivery.ID[:len(prefix)]) == prefix {
			return delivery
		}
	}
	h.t.Fatalf("no delivery %s", prefix)
	return upgrade.Delivery{}
}

// write writes a step by hand, as somebody else's job would.
func (h *house) write(step upgrade.Step) error {
	h.t.Helper()
	id := upgrade.JobFor(upgrade.JobPeriodic, "by-hand")
	if err := h.store.Ensure(h.ctx, id, h.clock.Now().Add(1000*time.Hour)); err != nil {
		h.t.Fatal(err)
	}
	var job upgrade.Job
	for job.ID != id { // what is not ours is given back
		var ok bool
		var err error
		if job, ok, err = h.store.Claim(h.ctx, "by hand", time.Minute, h.clock.Now().Add(2000*time.Hour)); err != nil || !ok {
			h.t.Fatalf("claim a job: %v %v", ok, err)
		}
		if job.ID != id {
			other := job
			defer func() {
				if err := h.store.Retry(h.ctx, other, h.clock.Now()); err != nil {
					h.t.Error(err)
				}
			}()
		}
	}
	step.Next = upgrade.Park(h.clock.Now().Add(1000 * time.Hour))
	return h.store.Commit(h.ctx, job, h.clock.Now(), step)
}
