package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
)

// walk takes a run one step further.
func (l *Lifecycle) walk(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
	run, err := l.Store.Run(ctx, w.Job.RunID())
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read run %s: %w", w.Job.Subject, err)
	}
	if run.Phase.Final() {
		return upgrade.Step{Next: upgrade.End()}, l.tidy(ctx, run.ID)
	}
	requests, err := l.Store.OpenRequests(ctx, run.ID)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read requests of run %d: %w", run.ID, err)
	}
	if len(requests) > 0 {
		if step, written, err := l.answer(ctx, run, requests); written || err != nil {
			return step, err
		}
	}
	switch run.Phase {
	case upgrade.PhaseQueued:
		return l.queued(ctx, run)
	case upgrade.PhasePreparing:
		return l.preparing(ctx, w, run)
	case upgrade.PhasePlanning:
		return l.planning(ctx, w, run)
	case upgrade.PhaseJudging:
		return l.judging(ctx, w, run)
	case upgrade.PhaseApplying:
		step, err := l.applying(ctx, w, run)
		if err == nil {
			l.readApplied(ctx, run, step)
		}
		return step, err
	case upgrade.PhaseSettling:
		return l.settling(ctx, w, run)
	case upgrade.PhaseChecking:
		return l.checking(ctx, w, run)
	case upgrade.PhaseUnlocking:
		return l.unlocking(ctx, w, run)
	case upgrade.PhaseUnlocked:
		return l.unlocked(ctx, w, run)
	case upgrade.PhaseAwaitingApproval:
		return l.awaiting(run)
	case upgrade.PhaseRelocked:
		return l.relocked(ctx, run)
	case upgrade.PhaseBlocked:
		return upgrade.Step{Next: upgrade.ParkUntilWoken()}, l.tidy(ctx, run.ID) // a person's turn
	case upgrade.PhaseInterrupted:
		return upgrade.Step{Next: upgrade.ParkUntilWoken()}, nil // a person's turn
	case upgrade.PhasePromoted, upgrade.PhaseFailed, upgrade.PhaseStopped, upgrade.PhaseSuperseded:
		return upgrade.Step{Next: upgrade.End()}, nil
	}
	return upgrade.Step{}, &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("run %d is in %q, which this version does not know", run.ID, run.Phase)}
}

// move returns the run in its next phase, with what belongs to the old phase cleared.
func (l *Lifecycle) move(run upgrade.Run, to upgrade.Phase) upgrade.Run {
	run.From, run.Phase = run.Phase, to
	run.Since = l.Clock.Now()
	run.Reason = ""
	return run
}

// moved is the journal's line for a move.
func (l *Lifecycle) moved(run upgrade.Run, who, why string) upgrade.Event {
	event := l.event(run, upgrade.EventPhase, who, entered(run))
	if why != "" {
		event.Data["why"] = why
	}
	event.Data["from"], event.Data["to"] = string(run.From), string(run.Phase)
	return event
}

// entered says in the journal what a phase does; where the phase is news by itself, the headline does.
func entered(run upgrade.Run) string {
	words := map[upgrade.Phase]string{
		upgrade.PhasePreparing: "The commit is checked out and Terraform initialised.",
		upgrade.PhasePlanning:  "Terraform plans.",
		upgrade.PhaseJudging:   "The plan is judged.",
		upgrade.PhaseSettling:  "The change settles.",
		upgrade.PhaseChecking:  "The gates are asked.",
	}
	if text, plain := words[run.Phase]; plain {
		return text
	}
	return upgrade.Tell(run).Headline // what a person should know is told in the words of the page
}

func upperFirst(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (l *Lifecycle) event(run upgrade.Run, kind upgrade.EventKind, who, text string) upgrade.Event {
	if who == "" {
		who = upgrade.ByRule().Name
	}
	return upgrade.Event{Run: run.ID, At: l.Clock.Now(), Kind: kind, Who: who, Text: text, Data: map[string]string{}}
}

// to is the step that moves the run and does nothing else.
func (l *Lifecycle) to(run upgrade.Run, phase upgrade.Phase) upgrade.Step {
	next := l.move(run, phase)
	return upgrade.Step{Runs: []upgrade.Run{next}, Events: []upgrade.Event{l.moved(next, "", "")}, Next: upgrade.Go()}
}

// ended is the step that moves the run to a phase in which it is closed for a cause.
func (l *Lifecycle) ended(run upgrade.Run, phase upgrade.Phase, causes ...upgrade.Cause) upgrade.Step {
	run.Verdict, run.Causes = upgrade.VerdictClosed, causes
	return l.to(run, phase)
}

// waits is the step of a run that waits for something that wakes it. The reason is kept and told once.
func (l *Lifecycle) waits(run upgrade.Run, reason string, next upgrade.Next) upgrade.Step {
	step := upgrade.Step{Next: next}
	if run.Reason != reason {
		run.Reason = reason
		step.Runs = []upgrade.Run{run}
		step.Events = []upgrade.Event{l.event(run, upgrade.EventWaiting, "", upperFirst(reason)+".")}
	}
	return step
}

// tidy removes what a run needs no more once its gates were asked or will never be: the checkout, and
// the plan file, which may hold secrets. Logs and the plan's summary stay.
func (l *Lifecycle) tidy(ctx context.Context, run upgrade.RunID) error {
	l.forgetWatch(ctx, run)
	err := errors.Join(os.RemoveAll(filepath.Join(l.folder(run), "ready.json")), os.RemoveAll(l.checkoutDir(run)), l.dropPlan(run))
	if err != nil {
		return fmt.Errorf("tidy up after run %d: %w", run, err)
	}
	return nil
}

// dropPlan removes the plan file, once it was applied or will not be.
func (l *Lifecycle) dropPlan(run upgrade.RunID) error {
	return os.RemoveAll(filepath.Join(l.folder(run), "plan.tfplan"))
}
