package lifecycle

import (
	"context"
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
		return upgrade.Step{Next: upgrade.End()}, l.tidy(run.ID)
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
		return l.judging(ctx, run)
	case upgrade.PhaseApplying:
		return l.applying(ctx, w, run)
	case upgrade.PhaseSettling:
		return l.settling(ctx, w, run)
	case upgrade.PhaseChecking:
		return l.checking(ctx, w, run)
	case upgrade.PhaseUnlocking:
		return l.unlocking(ctx, run)
	case upgrade.PhaseUnlocked:
		return l.unlocked(ctx, run)
	case upgrade.PhaseBlocked, upgrade.PhaseRelocked:
		return upgrade.Step{Next: upgrade.ParkUntilWoken()}, l.tidy(run.ID) // a person's turn
	case upgrade.PhaseAwaitingApproval, upgrade.PhaseInterrupted:
		return upgrade.Step{Next: upgrade.ParkUntilWoken()}, nil // a person's turn
	case upgrade.PhasePromoted, upgrade.PhaseFailed, upgrade.PhaseStopped, upgrade.PhaseSuperseded:
		return upgrade.Step{Next: upgrade.End()}, nil
	}
	return upgrade.Step{}, &upgrade.Error{Code: upgrade.CodeConflict, Msg: fmt.Sprintf("run %d is in %q, which this version does not know", run.ID, run.Phase)}
}

// answer grants or refuses what was asked of a run. written reports that the step is to be written now;
// otherwise the phase itself deals with the requests (an apply has to be stopped first).
func (l *Lifecycle) answer(ctx context.Context, run upgrade.Run, requests []upgrade.Request) (step upgrade.Step, written bool, err error) {
	if run.Phase == upgrade.PhaseApplying {
		return upgrade.Step{}, false, nil
	}
	for _, request := range requests {
		step.Handled = append(step.Handled, request.ID)
		next, ok := l.grant(run, request)
		if !ok {
			step.Events = append(step.Events, l.event(run, upgrade.EventRequest, request.By.Name,
				fmt.Sprintf("%s was asked but cannot be done while the run is %s.", request.Kind, run.Phase)))
			continue
		}
		step.Runs = []upgrade.Run{next}
		step.Events = append(step.Events, l.moved(next, request.By.Name, reasonOf(request)))
		step.Orders, err = l.voided(ctx, run, next)
		step.Next = upgrade.Go()
		return step, true, err
	}
	step.Next = upgrade.Go()
	return step, true, nil
}

// grant returns the run as it is after the request, or false if the phase does not allow it.
func (l *Lifecycle) grant(run upgrade.Run, request upgrade.Request) (upgrade.Run, bool) {
	to, ok := target(run, request.Kind)
	if !ok {
		return run, false
	}
	next := l.move(run, to)
	switch request.Kind {
	case upgrade.RequestStop:
		next.StoppedBy = request.By.Name
		next.Causes = []upgrade.Cause{{Kind: upgrade.CauseStopped, Message: reasonOf(request)}}
	case upgrade.RequestSupersede:
		next.Causes = []upgrade.Cause{{
			Kind: upgrade.CauseSuperseded, Message: fmt.Sprintf("run %d tests a newer commit of the same branch", request.Other),
		}}
		if request.Other == 0 {
			next.Causes[0].Message = request.Reason
		}
	case upgrade.RequestRelock:
		next.Verdict = upgrade.VerdictClosed
		next.Causes = []upgrade.Cause{{Kind: upgrade.CauseRelocked, Message: request.Reason}}
	case upgrade.RequestRecheck:
		next.Verdict = upgrade.VerdictClosed
		next.Causes = nil
		next.Round++
		next.Tally = upgrade.Tally{}
	}
	return next, true
}

// target returns the phase that a request leads to.
func target(run upgrade.Run, kind upgrade.RequestKind) (upgrade.Phase, bool) {
	var to upgrade.Phase
	from := run.Phase
	switch kind {
	case upgrade.RequestStop:
		to = upgrade.PhaseStopped
	case upgrade.RequestSupersede:
		to = upgrade.PhaseSuperseded
	case upgrade.RequestRelock:
		to = upgrade.PhaseRelocked
	case upgrade.RequestRecheck:
		to = upgrade.PhaseChecking
		if from == upgrade.PhaseSettling || from == upgrade.PhaseUnlocking {
			return to, false // that way exists, but not for a person
		}
		if run.Applies == 0 {
			return to, false // staging was never changed by it: there is nothing to check
		}
	}
	return to, from.CanFollow(to)
}

func reasonOf(request upgrade.Request) string {
	if request.Reason != "" {
		return request.Reason
	}
	switch request.Kind {
	case upgrade.RequestStop:
		return "stopped by " + request.By.Name
	case upgrade.RequestRecheck:
		return "the gates run again"
	case upgrade.RequestSupersede:
		return fmt.Sprintf("run %d tests a newer commit", request.Other)
	case upgrade.RequestRelock:
		return "locked again by " + request.By.Name
	}
	return string(request.Kind)
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
		step.Events = []upgrade.Event{l.event(run, upgrade.EventWaiting, "", strings.ToUpper(reason[:1])+reason[1:]+".")}
	}
	return step
}

// tidy removes what a run needs no more once its apply has ended or will never come: the checkout, and
// the plan file, which may hold secrets. Logs and the plan's summary stay.
func (l *Lifecycle) tidy(run upgrade.RunID) error {
	for _, name := range []string{l.checkoutDir(run), filepath.Join(l.folder(run), "plan.tfplan")} {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("tidy up after run %d: %w", run, err)
		}
	}
	return nil
}

// voided returns the run's undelivered orders as void, if the run was open and is no longer.
func (l *Lifecycle) voided(ctx context.Context, run, next upgrade.Run) ([]upgrade.Order, error) {
	if !run.Phase.Opens() || next.Phase.Opens() {
		return nil, nil
	}
	orders, err := l.Store.Orders(ctx, run.Upgrade)
	if err != nil {
		return nil, fmt.Errorf("read orders of upgrade %d: %w", run.Upgrade, err)
	}
	var voided []upgrade.Order
	for _, order := range orders {
		if order.State == upgrade.OrderOpen || order.State == upgrade.OrderArmed {
			order.State, order.Result = upgrade.OrderVoid, "no longer wanted: "+upgrade.Tell(next).Headline
			voided = append(voided, order)
		}
	}
	return voided, nil
}
