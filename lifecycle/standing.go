package lifecycle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

const (
	// standingAgain is when a standing gate is asked again that could not tell, or had to let a run pass.
	standingAgain = time.Minute
	// keepStretches is for how long it is kept what standing gates said.
	keepStretches = 90 * 24 * time.Hour
)

// invariant is one thing that is asked again and again.
type invariant struct {
	key  upgrade.StandingKey
	gate gates.Gate
}

// allStanding returns what is asked again and again, in the order of the file.
func (l *Lifecycle) allStanding() []invariant {
	var all []invariant
	for _, gate := range l.Gates {
		stacks := []upgrade.StackName{""}
		if gate.PerStack {
			stacks = nil
			for _, stack := range l.Stacks {
				stacks = append(stacks, stack.Name)
			}
		}
		for _, stack := range stacks {
			if gate.Stage == upgrade.StageStanding && (stack == "" || gate.AppliesTo(stack)) {
				all = append(all, invariant{upgrade.StandingKey{Gate: gate.Name, Environment: gate.Environment, Stack: stack}, gate})
			}
		}
	}
	return all
}

// standingOf returns what a periodic job asks again and again, if it does.
func (l *Lifecycle) standingOf(subject string) (invariant, bool) {
	for _, s := range l.standing {
		if s.subject() == subject {
			return s, true
		}
	}
	return invariant{}, false
}

// subject returns the subject of the job that asks.
func (s invariant) subject() string { return "standing/" + s.key.String() }

// appliesTo reports whether what it says counts for runs of the stack.
func (s invariant) appliesTo(stack upgrade.StackName) bool {
	return s.gate.AppliesTo(stack) && (s.key.Stack == "" || s.key.Stack == stack)
}

// askStanding asks once and keeps the answer. When it is another than before, open runs look whether they
// still may be.
func (l *Lifecycle) askStanding(ctx context.Context, s invariant) (upgrade.Step, error) {
	again := upgrade.Step{Next: upgrade.Park(l.Clock.Now().Add(min(standingAgain, s.gate.Every)))}
	if busy, err := l.inHand(ctx, s.key); busy || err != nil {
		return again, err
	}
	before, err := l.saidBefore(ctx, s.key)
	if err != nil {
		return upgrade.Step{}, err
	}
	answer := l.answerOf(ctx, s, before)
	if ctx.Err() != nil {
		return upgrade.Step{}, fmt.Errorf("ask standing gate %s: %w", s.key, context.Cause(ctx)) // cut off, not answered
	}
	if busy, err := l.inHand(ctx, s.key); busy || err != nil {
		return again, err // a run has begun to change what was looked at
	}
	step := upgrade.Step{Standings: []upgrade.Standing{answer}, Next: upgrade.Park(answer.Result.StartedAt.Add(s.gate.Every))}
	if answer.Result.Outcome == upgrade.OutcomeUnknown {
		step.Next = again.Next
	}
	if before.Rev == 0 || before.Result.Outcome != answer.Result.Outcome {
		l.Logger.InfoContext(ctx, "a standing gate says otherwise", "gate", s.key.String(), "outcome", string(answer.Result.Outcome), "message", answer.Result.Message)
		step.Wake, err = l.openJobs(ctx)
	}
	return step, err
}

// inHand reports whether a run is changing what the key is about: then it is neither as it was nor as it
// will be. Only what is asked of one stack's staging is put off so; all else has to hold at any time.
func (l *Lifecycle) inHand(ctx context.Context, key upgrade.StandingKey) (bool, error) {
	if key.Stack == "" || l.stacks[key.Stack].Staging.Environment != key.Environment {
		return false, nil
	}
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Stack: key.Stack, Limit: 50})
	if err != nil {
		return false, fmt.Errorf("read runs of %s: %w", key.Stack, err)
	}
	for _, run := range runs {
		if run.Phase == upgrade.PhaseApplying || run.Phase == upgrade.PhaseSettling || run.Phase == upgrade.PhaseInterrupted {
			return true, nil
		}
	}
	return false, nil
}

func (l *Lifecycle) saidBefore(ctx context.Context, key upgrade.StandingKey) (upgrade.Standing, error) {
	all, err := l.standings(ctx)
	for _, s := range all {
		if s.Key == key {
			return s, nil
		}
	}
	return upgrade.Standing{Key: key}, err
}

// answerOf asks, with what the gate kept the time before.
func (l *Lifecycle) answerOf(ctx context.Context, s invariant, before upgrade.Standing) upgrade.Standing {
	in := gates.Input{Run: upgrade.Run{Environment: s.key.Environment}, Memo: before.Result.Memo}
	if s.key.Stack != "" {
		in.Stack, in.Run.Stack = l.stacks[s.key.Stack], s.key.Stack
		if l.States != nil {
			in.Replan = func(ctx context.Context) (plan.Summary, error) {
				return l.States.Plan(ctx, upgrade.StateOf(s.key.Stack, s.key.Environment))
			}
		}
	}
	result := l.runner.Ask(ctx, s.gate, in)
	if result.Memo == "" {
		result.Memo = before.Result.Memo
	}
	return upgrade.Standing{Key: s.key, Settings: s.gate.Settings, Result: result}
}

// openJobs returns the jobs of the runs that may open production.
func (l *Lifecycle) openJobs(ctx context.Context) ([]upgrade.JobID, error) {
	var jobs []upgrade.JobID
	for _, phase := range []upgrade.Phase{upgrade.PhaseUnlocking, upgrade.PhaseUnlocked} {
		runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Phases: []upgrade.Phase{phase}, Limit: 500})
		if err != nil {
			return nil, fmt.Errorf("read open runs: %w", err)
		}
		for _, run := range runs {
			jobs = append(jobs, upgrade.JobForRun(run.ID))
		}
	}
	return jobs, nil
}

// standings returns what every standing gate says, in the order of the file; one that was never asked has no
// revision. How long a pass counts is decided by the file of today, not by that of the asking.
func (l *Lifecycle) standings(ctx context.Context) ([]upgrade.Standing, error) {
	if len(l.standing) == 0 {
		return nil, nil
	}
	all, err := l.Store.Standings(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what standing gates say: %w", err)
	}
	list := make([]upgrade.Standing, len(l.standing))
	for i, asked := range l.standing {
		for _, s := range all {
			if s.Key != asked.key {
				continue
			}
			list[i] = s
			if s.Settings != asked.gate.Settings { // it may have been asked of another group
				list[i] = upgrade.Standing{Rev: s.Rev}
			}
		}
		r := &list[i].Result
		r.Gate, r.Environment, r.Stage = asked.key.Gate, asked.key.Environment, upgrade.StageStanding
		r.Kind, r.Required, r.GoodFor = asked.gate.Kind, asked.gate.Required, asked.gate.GoodFor
		list[i].Key, list[i].Every = asked.key, asked.gate.Every
	}
	return list, nil
}

// standingFor returns what required standing gates say that count for runs of the stack.
func (l *Lifecycle) standingFor(ctx context.Context, stack upgrade.StackName) ([]upgrade.Standing, error) {
	all, err := l.standings(ctx)
	var counting []upgrade.Standing
	for i, s := range all {
		if s.Result.Required && l.standing[i].appliesTo(stack) {
			counting = append(counting, s)
		}
	}
	return counting, err
}

// askBroken asks anew what stands against the run and may have been mended by it, so that nobody has to wait
// for the next time. A request to the run ends it with errAsked.
func (l *Lifecycle) askBroken(ctx context.Context, w *engine.Work, run upgrade.Run) error {
	all, err := l.standings(ctx)
	if err != nil {
		return err
	}
	now := l.Clock.Now()
	var asked []invariant
	var answers []upgrade.Standing
	for i, s := range all {
		if _, against := s.Against(now); against && l.standing[i].appliesTo(run.Stack) {
			asked, answers = append(asked, l.standing[i]), append(answers, s)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	asking, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { l.watchAsked(asking, w, run.ID, cancel) })
	defer func() { cancel(nil); watching.Wait() }()
	l.runner.Each(len(asked), func(i int) { answers[i] = l.answerOf(asking, asked[i], answers[i]) })
	if asking.Err() != nil {
		return context.Cause(asking)
	}
	if err := w.Commit(ctx, upgrade.Step{Standings: answers}); err != nil {
		return fmt.Errorf("keep what standing gates say: %w", err)
	}
	return nil
}

// Invariants returns what every standing gate says, in the order of the file; one that was never asked has no
// revision.
func (l *Lifecycle) Invariants(ctx context.Context) ([]upgrade.Standing, error) {
	return l.standings(ctx)
}

// CheckInvariant has a standing gate asked now, for a person, and returns when that is on its way.
// CodeForbidden; CodeNotFound for what is not asked here.
func (l *Lifecycle) CheckInvariant(ctx context.Context, key upgrade.StandingKey, by upgrade.Person) error {
	if err := upgrade.May(by, upgrade.ActCheck, upgrade.Object{Name: "invariant " + key.String(), Project: l.stacks[key.Stack].Project}); err != nil {
		return err
	}
	asked, known := l.standingOf("standing/" + key.String())
	if !known {
		return &upgrade.Error{
			Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("no standing gate is called %s", key),
			Hint: "a name is GATE/ENVIRONMENT, or GATE/ENVIRONMENT/STACK of a gate that is asked of each stack",
		}
	}
	if err := l.Store.Wake(ctx, upgrade.JobFor(upgrade.JobPeriodic, asked.subject())); err != nil {
		return fmt.Errorf("ask standing gate %s: %w", key, err)
	}
	l.Logger.InfoContext(ctx, "standing gate asked on demand", "gate", key.String(), "by", by.Name)
	return nil
}
