package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// secondWithin is for how long an override waits for its second person: dashboard.md §10.
const secondWithin = 30 * time.Minute

// answer grants or refuses what was asked of a run. written reports that the step is to be written now;
// otherwise the phase itself deals with the requests (an apply has to be stopped first).
func (l *Lifecycle) answer(ctx context.Context, run upgrade.Run, requests []upgrade.Request) (step upgrade.Step, written bool, err error) {
	if run.Phase == upgrade.PhaseApplying {
		return upgrade.Step{}, false, nil
	}
	var handled []upgrade.RequestID
	var refusals []upgrade.Event
	for _, request := range requests {
		handled = append(handled, request.ID)
		granted, refusal, err := l.grant(ctx, run, request)
		if err != nil {
			return upgrade.Step{}, false, err
		}
		if refusal != "" {
			refusals = append(refusals, l.refused(run, request, refusal))
			continue
		}
		granted.Handled, granted.Next = handled, upgrade.Go()
		granted.Events = append(refusals, granted.Events...)
		return granted, true, nil
	}
	return upgrade.Step{Handled: handled, Events: refusals, Next: upgrade.Go()}, true, nil
}

func (l *Lifecycle) refused(run upgrade.Run, request upgrade.Request, why string) upgrade.Event {
	event := l.event(run, upgrade.EventRequest, request.By.Name, fmt.Sprintf("%s was asked, but %s.", upperFirst(string(request.Kind)), why))
	event.Data = map[string]string{"kind": string(request.Kind), "refused": why}
	return event
}

// grant returns what a request changes, or why it cannot be granted.
func (l *Lifecycle) grant(ctx context.Context, run upgrade.Run, request upgrade.Request) (step upgrade.Step, refusal string, err error) {
	if refusal := unfit(run, request); refusal != "" {
		return step, refusal, nil
	}
	switch request.Kind {
	case upgrade.RequestStop:
		step, err = l.stop(ctx, run, request)
	case upgrade.RequestSupersede:
		return l.supersede(ctx, run, request)
	case upgrade.RequestRelock:
		step, err = l.locked(ctx, run, request.By.Name, upgrade.Cause{Kind: upgrade.CauseRelocked, Message: request.Reason})
	case upgrade.RequestRecheck:
		return l.recheck(ctx, run, request)
	case upgrade.RequestApprove:
		return l.agree(run, request), "", nil
	case upgrade.RequestRefuse:
		cause := upgrade.Cause{Kind: upgrade.CauseApproval, Message: fmt.Sprintf("%s said no: %s", request.By.Name, request.Reason)}
		step = l.by(l.ended(run, upgrade.PhaseBlocked, cause), request.By.Name)
	case upgrade.RequestResolve:
		cause := upgrade.Cause{
			Kind: upgrade.CauseInterrupted, Message: fmt.Sprintf("the apply was cut off; %s looked and says: %s", request.By.Name, request.Reason),
			Hint: "run it again, or rehearse it",
		}
		step = l.by(l.ended(run, upgrade.PhaseFailed, cause), request.By.Name)
	case upgrade.RequestOverride:
		return l.override(ctx, run, request)
	default:
		return step, "nobody knows what that is", nil
	}
	return step, "", err
}

// by names who made a step's first move.
func (l *Lifecycle) by(step upgrade.Step, who string) upgrade.Step {
	step.Events[0].Who = who
	return step
}

// unfit says why a request does not fit the run as it is, "" if it does. It is asked twice: when the
// request is made, to tell the person, and when it is granted, since the run may have moved on.
func unfit(run upgrade.Run, request upgrade.Request) string {
	to, known := target(run, request.Kind)
	switch {
	case !known || !run.Phase.CanFollow(to):
		return fmt.Sprintf("the run is %s", run.Phase)
	case request.Kind == upgrade.RequestRecheck && run.Applies == 0:
		return "staging was never changed by it: there is nothing to check"
	case (request.Kind == upgrade.RequestApprove || request.Kind == upgrade.RequestRefuse) && request.Digest != run.Plan.ChangeDigest:
		return "the plan is another one by now: look at it again"
	case request.Kind == upgrade.RequestOverride && request.Digest != upgrade.CausesDigest(run.Causes):
		return "something else stands against it by now: look at it again"
	}
	return ""
}

// target returns the phase that a request leads to from where the run is.
func target(run upgrade.Run, kind upgrade.RequestKind) (to upgrade.Phase, known bool) {
	switch kind {
	case upgrade.RequestStop:
		return upgrade.PhaseStopped, true
	case upgrade.RequestSupersede:
		return upgrade.PhaseSuperseded, true
	case upgrade.RequestRelock:
		return upgrade.PhaseRelocked, true
	case upgrade.RequestRecheck: // from settling and unlocking that way exists, but not for a person
		return upgrade.PhaseChecking, run.Phase == upgrade.PhaseBlocked || run.Phase == upgrade.PhaseRelocked
	case upgrade.RequestApprove:
		return upgrade.PhaseJudging, run.Phase == upgrade.PhaseAwaitingApproval
	case upgrade.RequestRefuse:
		return upgrade.PhaseBlocked, run.Phase == upgrade.PhaseAwaitingApproval
	case upgrade.RequestResolve:
		return upgrade.PhaseFailed, run.Phase == upgrade.PhaseInterrupted
	case upgrade.RequestOverride:
		if run.Phase == upgrade.PhaseBlocked && beforeApply(run) {
			return upgrade.PhaseApplying, run.From != upgrade.PhaseQueued
		}
		return upgrade.PhaseUnlocking, run.Phase == upgrade.PhaseBlocked || run.Phase == upgrade.PhaseRelocked
	}
	return "", false
}

// beforeApply reports whether a run was blocked before the apply that it was about.
func beforeApply(run upgrade.Run) bool {
	return run.From == upgrade.PhaseQueued || run.From == upgrade.PhaseJudging || run.From == upgrade.PhaseAwaitingApproval
}

func (l *Lifecycle) stop(ctx context.Context, run upgrade.Run, request upgrade.Request) (upgrade.Step, error) {
	opened := run.Phase.Opens()
	run.StoppedBy = request.By.Name
	step := l.by(l.ended(run, upgrade.PhaseStopped, upgrade.Cause{Kind: upgrade.CauseStopped, Message: reasonOf(request)}), request.By.Name)
	step.Results = l.endWatch(ctx, run)
	var err error
	if opened {
		if step.Orders, err = l.voided(ctx, run, "stopped by "+request.By.Name); err != nil {
			return upgrade.Step{}, err
		}
	}
	step.Wake, err = l.siblingJobs(ctx, run)
	return step, err
}

// supersede ends the run unless a watched ref leads to its tree again: between the asking and now there
// may have been a move back.
func (l *Lifecycle) supersede(ctx context.Context, run upgrade.Run, request upgrade.Request) (step upgrade.Step, refusal string, err error) {
	refs, err := l.Store.Refs(ctx, run.ProjectID)
	if err != nil {
		return step, "", fmt.Errorf("read refs of %s: %w", run.Project, err)
	}
	if slices.ContainsFunc(refs, func(r upgrade.RefState) bool { return r.Tree == run.Tree }) {
		return step, "a watched branch leads to its content again", nil
	}
	message := request.Reason
	if request.Other != 0 {
		message = fmt.Sprintf("run %d tests a newer commit", request.Other)
	}
	step = l.ended(run, upgrade.PhaseSuperseded, upgrade.Cause{Kind: upgrade.CauseSuperseded, Run: request.Other, Message: message})
	step.Given = upgrade.Given{Refs: refs, Answers: map[upgrade.RunID]int{run.ID: len(run.Answers)}}
	step.Wake, err = l.siblingJobs(ctx, run)
	return step, "", err
}

// recheck asks the gates again, without a new apply: staging must still be what this run made of it.
func (l *Lifecycle) recheck(ctx context.Context, run upgrade.Run, request upgrade.Request) (step upgrade.Step, refusal string, err error) {
	if refusal, err := l.overtaken(ctx, run); refusal != "" || err != nil {
		return step, refusal, err
	}
	step = l.by(l.to(again(run), upgrade.PhaseChecking), request.By.Name)
	step.Events[0].Data["why"] = "the gates run again"
	return step, "", nil
}

// overtaken says what has come after the run that its answers could no longer speak of; "" if nothing.
func (l *Lifecycle) overtaken(ctx context.Context, run upgrade.Run) (string, error) {
	last, _, err := l.Store.LastApply(ctx, run.Stack, run.Environment)
	if err != nil {
		return "", fmt.Errorf("read the last apply of %s: %w", run.Stack, err)
	}
	if last.Run != run.ID {
		return fmt.Sprintf("run %d has changed %s since: run it from the plan", last.Run, run.Environment), nil
	}
	newest, err := l.newestOf(ctx, run)
	if err != nil {
		return "", err
	}
	if other := newest[run.Stack]; other.ID != run.ID {
		return fmt.Sprintf("run %d tests this content anew", other.ID), nil
	}
	return "", nil
}

// agree keeps the yes to exactly this change, and has the plan judged again with it.
func (l *Lifecycle) agree(run upgrade.Run, request upgrade.Request) upgrade.Step {
	run.Agreed = append(slices.Clone(run.Agreed), upgrade.Agreement{
		ChangeDigest: request.Digest, By: request.By.Name, Reason: request.Reason, At: l.Clock.Now(),
	})
	run.Causes = nil
	run.Deadline = time.Time{}
	step := l.by(l.to(run, upgrade.PhaseJudging), request.By.Name)
	step.Events[0].Text = fmt.Sprintf("%s agreed to this change.", request.By.Name)
	return step
}

// override opens production in spite of the verdict once two people agreed to it, each having seen the
// same causes (S6). That they may is asked when they ask.
func (l *Lifecycle) override(ctx context.Context, run upgrade.Run, request upgrade.Request) (step upgrade.Step, refusal string, err error) {
	to, _ := target(run, upgrade.RequestOverride)
	if to == upgrade.PhaseUnlocking {
		if refusal, err := l.overtaken(ctx, run); refusal != "" || err != nil {
			return step, refusal, err
		}
	}
	now := l.Clock.Now()
	first := run.Override
	if first == nil || len(first.By) != 1 || now.Sub(first.Asked) > secondWithin || !first.Covers(run.Causes) {
		until := request.Until
		if until.IsZero() {
			until = now.Add(upgrade.OverrideDefault)
		}
		run.Override = &upgrade.Override{
			Causes: slices.Clone(run.Causes), Reason: request.Reason, By: []upgrade.Person{request.By}, Asked: now, Until: until,
		}
		text := fmt.Sprintf("%s asks to override: %s. A second release manager must agree within %s.", request.By.Name, request.Reason, secondWithin)
		return upgrade.Step{Runs: []upgrade.Run{run}, Events: []upgrade.Event{l.event(run, upgrade.EventNote, request.By.Name, text)}}, "", nil
	}
	if samePerson(first.By[0], request.By) {
		return step, "it takes a second person", nil
	}
	agreed := *first
	agreed.By = append(slices.Clone(first.By), request.By)
	agreed.Given = now
	run.Override = &agreed
	if to == upgrade.PhaseUnlocking {
		run.Verdict = upgrade.VerdictClosed // never a pass
	}
	step = l.by(l.to(run, to), request.By.Name)
	step.Events[0].Text = fmt.Sprintf("%s and %s override it: %s.", agreed.By[0].Name, agreed.By[1].Name, agreed.Reason)
	step.Wake, err = l.siblingJobs(ctx, run)
	return step, "", err
}

func samePerson(a, b upgrade.Person) bool {
	return a.Name == b.Name || a.GitLabUser == b.GitLabUser
}

func reasonOf(request upgrade.Request) string {
	if request.Reason != "" {
		return request.Reason
	}
	return "stopped by " + request.By.Name
}
