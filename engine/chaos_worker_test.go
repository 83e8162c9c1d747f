package engine_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/store"
	"github.com/upgradegate/upgradegate/upgrade"
)

// worker is the process that TestChaos kills: a store, an engine, and a life of runs in small.
type worker struct {
	*store.Store
	dir     string
	mu      sync.Mutex // one line at a time on stdout and in the file of effects
	effects *os.File
}

func openChaos(ctx context.Context, dir string, log *slog.Logger) (*store.Store, error) {
	return store.Open(ctx, store.Config{URL: "sqlite:" + filepath.Join(dir, "gate.db"), Log: log})
}

// runWorker works in the folder until stdin ends.
func runWorker(t *testing.T, dir string) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s, err := openChaos(t.Context(), dir, log)
	if err != nil {
		t.Fatal(err)
	}
	effects, err := os.OpenFile(filepath.Join(dir, "effects"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{Store: s, dir: dir, effects: effects}
	e, err := engine.New(engine.Config{
		Leases: s, Clock: upgrade.SystemClock{}, Log: log, Worker: "w", Parallel: 8, Poll: 50 * time.Millisecond,
		Handlers: map[upgrade.JobKind]engine.Handler{
			upgrade.JobIntake: w.intake, upgrade.JobRun: w.walk, upgrade.JobStatus: w.status,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() { w.report(ctx) })
	w.listen(ctx)
	stop()
	all.Wait()
	if err := errors.Join(s.Close(), effects.Close()); err != nil {
		t.Fatal(err)
	}
}

func (w *worker) say(words ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Println(words...)
}

// listen does what the parent says, each line at once, until it says no more.
func (w *worker) listen(ctx context.Context) {
	var all sync.WaitGroup
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, arg, _ := strings.Cut(lines.Text(), " ")
		all.Go(func() {
			switch verb {
			case "deliver":
				stack := "stack-" + strconv.Itoa(len(arg)%4)
				_, err := w.Deliver(ctx, upgrade.Delivery{ID: upgrade.DeliveryID(arg), ReceivedAt: time.Now(), Body: []byte(stack)})
				if err == nil {
					w.say("delivered", arg)
				}
			case "ask":
				id, _ := strconv.Atoi(arg)
				_, err := w.Ask(ctx, upgrade.Request{Run: upgrade.RunID(id), Kind: upgrade.RequestRecheck, By: upgrade.ByRule(), At: time.Now()})
				if err == nil || upgrade.CodeOf(err) == upgrade.CodeNotFound {
					w.say("asked", arg)
				}
			}
		})
	}
	all.Wait()
}

// report says again and again how many runs have ended, and whether nothing at all is left to do.
func (w *worker) report(ctx context.Context) {
	var final, live []upgrade.Phase
	for _, phase := range upgrade.Phases() {
		if phase.Final() {
			final = append(final, phase)
		} else {
			live = append(live, phase)
		}
	}
	for ctx.Err() == nil {
		left, err := w.Runs(ctx, upgrade.RunFilter{Phases: live, Limit: 1})
		ended, endedErr := w.Runs(ctx, upgrade.RunFilter{Phases: final, Limit: 500})
		_, due, wakeErr := w.NextWake(ctx)
		switch {
		case err != nil || endedErr != nil || wakeErr != nil:
		case len(left) == 0 && !due:
			w.say("quiet")
		default:
			w.say("ended", len(ended))
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (w *worker) intake(ctx context.Context, work *engine.Work) (upgrade.Step, error) {
	d, err := w.Delivery(ctx, upgrade.DeliveryID(work.Job.Subject))
	if err != nil {
		return upgrade.Step{}, err
	}
	return upgrade.Step{
		Starts: []upgrade.Run{{
			ProjectID: 1, Stack: upgrade.StackName(d.Body), Environment: "staging",
			Tree: upgrade.Tree("tree-" + d.ID), Commit: "c", Reason: "delivery " + string(d.ID),
		}},
		Delivery: &upgrade.Delivery{ID: d.ID, Fate: upgrade.FateStarted},
		Next:     upgrade.End(),
	}, nil
}

// status keeps one posted state per run true.
func (w *worker) status(ctx context.Context, work *engine.Work) (upgrade.Step, error) {
	run, err := w.Run(ctx, work.Job.RunID())
	if err != nil {
		return upgrade.Step{}, err
	}
	return upgrade.Step{
		Posted: []upgrade.Posted{{Run: run.ID, Commit: run.Commit, State: run.Phase.CommitState()}},
		Next:   upgrade.ParkUntilWoken(),
	}, nil
}

// walk does one phase of a run.
func (w *worker) walk(ctx context.Context, work *engine.Work) (upgrade.Step, error) {
	run, err := w.Run(ctx, work.Job.RunID())
	if err != nil {
		return upgrade.Step{}, err
	}
	step := upgrade.Step{}
	open, err := w.OpenRequests(ctx, run.ID)
	if err != nil {
		return upgrade.Step{}, err
	}
	for _, request := range open {
		step.Handled = append(step.Handled, request.ID)
	}
	if run.Phase.Final() {
		step.Next = upgrade.End()
		return step, nil
	}
	if run.Phase == upgrade.PhaseQueued {
		holders, err := w.Runs(ctx, upgrade.RunFilter{Stack: run.Stack, Phases: slices.DeleteFunc(upgrade.Phases(), func(p upgrade.Phase) bool { return !p.HoldsSlot() })})
		if err != nil {
			return upgrade.Step{}, err
		}
		if len(holders) > 0 { // whoever frees the slot wakes us: no time is set
			step.Next = upgrade.ParkUntilWoken()
			return step, nil
		}
	}
	if err := w.phase(ctx, work, &run, &step); err != nil {
		return upgrade.Step{}, err
	}
	step.Runs = []upgrade.Run{run}
	return step, nil
}

// phase does what the phase is for and moves the run on.
func (w *worker) phase(ctx context.Context, work *engine.Work, run *upgrade.Run, step *upgrade.Step) error {
	next := map[upgrade.Phase]upgrade.Phase{
		upgrade.PhaseQueued: upgrade.PhasePreparing, upgrade.PhasePreparing: upgrade.PhasePlanning,
		upgrade.PhasePlanning: upgrade.PhaseJudging, upgrade.PhaseJudging: upgrade.PhaseApplying,
		upgrade.PhaseApplying: upgrade.PhaseSettling, upgrade.PhaseSettling: upgrade.PhaseChecking,
		upgrade.PhaseChecking: upgrade.PhaseUnlocking, upgrade.PhaseUnlocking: upgrade.PhaseUnlocked,
		upgrade.PhaseUnlocked: upgrade.PhasePromoted, upgrade.PhaseInterrupted: upgrade.PhaseFailed,
	}[run.Phase]
	switch run.Phase { //nolint:exhaustive // the other phases only move on
	case upgrade.PhaseJudging:
		step.Applies = []upgrade.Apply{w.apply(run, upgrade.ApplyIntended)}
		step.Next = upgrade.Go() // the next step is another claim's
	case upgrade.PhaseApplying:
		state, err := w.effect(work, run)
		if err != nil {
			return err
		}
		step.Applies = []upgrade.Apply{w.apply(run, state)}
		if state == upgrade.ApplyLost {
			next = upgrade.PhaseInterrupted
		}
	case upgrade.PhaseSettling:
		step.Next = upgrade.Park(time.Now().Add(10 * time.Millisecond))
	case upgrade.PhaseChecking:
		if err := w.gates(ctx, work, run.ID); err != nil {
			return err
		}
	case upgrade.PhaseUnlocking:
		step.Orders = []upgrade.Order{{Upgrade: run.Upgrade, Run: run.ID, Hold: upgrade.Hold{Kind: upgrade.HoldCommitStatus}, State: upgrade.OrderOpen}}
	default:
	}
	run.Phase = next
	return nil
}

func (w *worker) apply(run *upgrade.Run, state upgrade.ApplyState) upgrade.Apply {
	return upgrade.Apply{
		Run: run.ID, N: 1, Stack: run.Stack, Environment: run.Environment, Tree: run.Tree,
		FileDigest: "plan of " + string(run.Tree), State: state,
	}
}

// effect changes the world: it must begin once for each run, and never beside another of its stack. A
// file of the run's says that it has begun, another that it has ended.
func (w *worker) effect(work *engine.Work, run *upgrade.Run) (upgrade.ApplyState, error) {
	begun, ended := filepath.Join(w.dir, "begun-"+run.ID.String()), filepath.Join(w.dir, "ended-"+run.ID.String())
	if _, err := os.Stat(ended); err == nil {
		return upgrade.ApplyExited, nil // adopted
	}
	file, err := os.OpenFile(begun, os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return upgrade.ApplyLost, nil
	}
	if err != nil {
		return "", err
	}
	if err := errors.Join(file.Close(), w.note("begin", work, run)); err != nil {
		return "", err
	}
	<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
	if err := w.note("end", work, run); err != nil {
		return "", err
	}
	return upgrade.ApplyExited, os.WriteFile(ended, nil, 0o600)
}

func (w *worker) note(what string, work *engine.Work, run *upgrade.Run) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := fmt.Fprintln(w.effects, what, run.Stack, run.ID, os.Getpid(), work.Job.Fence)
	return err
}

// gates asks three gates, each with a checkpoint of its own; those that have answered are not asked again.
func (w *worker) gates(ctx context.Context, work *engine.Work, run upgrade.RunID) error {
	for _, gate := range []upgrade.GateName{"grants", "launch", "site"} {
		results, err := w.Outcomes(ctx, run)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(results, func(r upgrade.Result) bool { return r.Gate == gate }) {
			continue
		}
		if rand.IntN(20) == 0 {
			return &upgrade.Error{Code: upgrade.CodeUnavailable, Msg: "AWS did not answer", RetryAfter: 10 * time.Millisecond}
		}
		if err := work.Commit(ctx, upgrade.Step{
			Results: []upgrade.Result{{Run: run, Gate: gate, Outcome: upgrade.OutcomePassed}},
			Events:  []upgrade.Event{{Run: run, Kind: upgrade.EventGate}},
		}); err != nil {
			return err
		}
	}
	return nil
}
