package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/upgradegate/upgradegate/upgrade"
)

// proof is what S1 comes to for an upgrade at this moment, and what that rests on. A decision that
// opens production is written only together with given.
type proof struct {
	given   upgrade.Given
	against string // why production stays shut; empty: nothing stands against it
	// Of what stands against it: expired answers can be asked again, and a run that only its sibling
	// stands against is judged again when that one is through.
	expired bool
	sibling upgrade.StackName
	waits   string        // another stack of the upgrade is still on its way
	starts  []upgrade.Run // stacks that the upgrade touches by now and that nobody has tested
}

// open reports whether production may be opened for the upgrade.
func (p *proof) open() bool { return p.against == "" && p.waits == "" && len(p.starts) == 0 }

// prove asks S1 of the run's whole upgrade: every stack that it touches has a run of exactly this tree
// that is open, on answers that are fresh now, with nothing else applied since. It reads; what it read
// is in given, and the store looks once more when a decision is written.
func (l *Lifecycle) prove(ctx context.Context, run upgrade.Run) (*proof, error) {
	p := &proof{given: upgrade.Given{
		Runs: map[upgrade.RunID]int64{}, Newest: map[upgrade.UpgradeID]upgrade.RunID{}, Bases: map[upgrade.StackName]int64{},
		Standings: map[upgrade.StandingKey]int64{},
	}}
	if err := l.proveRun(ctx, p, run); err != nil || p.against != "" {
		return p, err
	}
	newest, err := l.newestOf(ctx, run)
	if err != nil {
		return nil, err
	}
	for _, other := range newest {
		p.given.Newest[run.Upgrade] = max(p.given.Newest[run.Upgrade], other.ID)
	}
	if other := newest[run.Stack]; other.ID != run.ID {
		p.against = fmt.Sprintf("run %d tests this content anew", other.ID)
		return p, nil
	}
	for _, name := range sortedKeys(newest) {
		if name == run.Stack {
			continue
		}
		if err := l.proveSibling(ctx, p, newest[name]); err != nil || p.against != "" {
			return p, err
		}
	}
	return p, l.proveTouched(ctx, p, run, newest)
}

// proveSibling looks at the upgrade's newest run of another stack.
func (l *Lifecycle) proveSibling(ctx context.Context, p *proof, other upgrade.Run) error {
	switch {
	case other.Phase == upgrade.PhasePromoted:
		p.given.Runs[other.ID] = other.Rev
		return nil // production has it already; whether staging still does, proveTouched asks
	case other.Phase.Opens():
		err := l.proveRun(ctx, p, other)
		if p.against != "" {
			p.against = fmt.Sprintf("run %d of %s does not count: %s", other.ID, other.Stack, p.against)
			p.sibling, p.expired = other.Stack, false // its own job will lock it again, or ask again
		}
		return err
	case other.Phase.Live() || judgedAgain(other):
		p.given.Runs[other.ID] = other.Rev
		if p.waits == "" {
			p.waits = fmt.Sprintf("run %d of %s is not open yet", other.ID, other.Stack)
		}
		return nil
	}
	p.against = fmt.Sprintf("run %d of %s, which this change touches too, ended %s", other.ID, other.Stack, other.Phase)
	p.sibling = other.Stack
	return nil
}

// judgedAgain reports whether the run was locked only because of another stack's run: it goes on by
// itself when that one is through.
func judgedAgain(run upgrade.Run) bool {
	return run.Phase == upgrade.PhaseRelocked && len(run.Causes) > 0 && run.Causes[0].Kind == upgrade.CauseSibling
}

// proveRun asks of one run: it made the last apply on its staging, whole and forth; a watched ref leads
// to its tree; its answers are fresh and still add up to a pass, or an override covers what does not.
func (l *Lifecycle) proveRun(ctx context.Context, p *proof, run upgrade.Run) error {
	p.given.Runs[run.ID] = run.Rev
	p.given.Unasked = append(p.given.Unasked, run.ID)
	last, begun, err := l.Store.LastApply(ctx, run.Stack, run.Environment)
	if err != nil {
		return fmt.Errorf("read the last apply of %s: %w", run.Stack, err)
	}
	p.given.Applies = append(p.given.Applies, upgrade.LastApply{Stack: run.Stack, Environment: run.Environment, Seq: last.Seq})
	switch {
	case begun && last.Run != run.ID:
		p.against = fmt.Sprintf("run %d has changed %s since", last.Run, run.Environment)
		return nil
	case !begun || !last.Ended() || !last.OK || last.Back || last.Tree != run.Tree:
		p.against = "it was never applied to " + string(run.Environment) + " whole"
		return nil
	}
	wanted, refs, err := l.wanted(ctx, run)
	if err != nil {
		return err
	}
	p.given.Refs = append(p.given.Refs, refs...)
	if !wanted {
		p.against = "no watched branch leads to this content any more"
		return nil
	}
	return l.proveAnswers(ctx, p, run)
}

func (l *Lifecycle) proveAnswers(ctx context.Context, p *proof, run upgrade.Run) error {
	c, err := l.openChange(ctx, run)
	if err != nil {
		return err
	}
	p.given.Bases[run.Stack] = c.base.Rev
	causes, expired, said, err := l.stands(ctx, run, c)
	for _, s := range said {
		p.given.Standings[s.Key] = s.Rev
	}
	overridden := run.Override.Counts(l.Clock.Now())
	switch {
	case err != nil:
		return err
	case expired != "" && !overridden, expired != "" && !run.Override.Covers([]upgrade.Cause{{Kind: upgrade.CauseRelocked, Message: expired}}):
		p.against, p.expired = expired, true
	case len(causes) == 0:
	case run.Override == nil:
		p.against = "its gates no longer add up to a pass: " + causes[0].Message
	case !overridden:
		p.against = "its override has ended"
	case !run.Override.Covers(causes):
		p.against = "its override does not cover everything that stands against it now"
	}
	return nil
}

// stands says what stands against a run, worst effect first: its after gates' answers of this round, what
// standing gates say now, which is returned too, and the plan and during gates of its whole open change. expired names a required answer that is too old.
func (l *Lifecycle) stands(ctx context.Context, run upgrade.Run, c change) (causes []upgrade.Cause, expired string, said []upgrade.Standing, err error) {
	results, err := l.Store.Outcomes(ctx, run.ID)
	if err != nil {
		return nil, "", nil, fmt.Errorf("read results of run %d: %w", run.ID, err)
	}
	now := l.Clock.Now()
	counted := l.counting(run, results)
	for _, result := range counted {
		if result.Required && result.Outcome == upgrade.OutcomePassed && result.Expired(now) {
			expired = fmt.Sprintf("the answer of %s is older than %s", result.Gate, result.GoodFor)
			break
		}
	}
	_, causes = upgrade.Fold(counted)
	if said, err = l.standingFor(ctx, run.Stack); err != nil {
		return nil, "", nil, err
	}
	for _, s := range said {
		if cause, against := s.Against(now); against {
			causes = append(causes, cause)
		}
	}
	earlier, err := l.against(ctx, run, c)
	return upgrade.Worst(append(causes, earlier...)), expired, said, err
}

// proveTouched looks for stacks that the upgrade touches by now although it did not at intake, or not since
// it was promoted: a base or an apply has moved. Each gets a run first.
func (l *Lifecycle) proveTouched(ctx context.Context, p *proof, run upgrade.Run, newest map[upgrade.StackName]upgrade.Run) error {
	var others []upgrade.Stack
	for _, stack := range l.stacksOf(run.Project) {
		if other, tested := newest[stack.Name]; !tested || other.Phase == upgrade.PhasePromoted {
			others = append(others, stack)
		}
	}
	if len(others) == 0 {
		return nil
	}
	project, err := l.Forge.ProjectByID(ctx, run.ProjectID)
	if err != nil {
		return fmt.Errorf("read project %s: %w", run.Project, err)
	}
	for _, stack := range others {
		base, _, err := l.Store.Base(ctx, stack.Name)
		if err != nil {
			return fmt.Errorf("read the base of %s: %w", stack.Name, err)
		}
		last, _, err := l.Store.LastApply(ctx, stack.Name, stack.Staging.Environment)
		if err != nil {
			return fmt.Errorf("read the last apply of %s: %w", stack.Name, err)
		}
		p.given.Bases[stack.Name] = base.Rev
		p.given.Applies = append(p.given.Applies, upgrade.LastApply{Stack: stack.Name, Environment: stack.Staging.Environment, Seq: last.Seq})
		touched, err := l.touched(ctx, arrival{project: project, tree: run.Tree}, stack, base)
		if err != nil {
			return err
		}
		if touched {
			p.starts = append(p.starts, l.newRun(run, stack, base, fmt.Sprintf("run %d found that this change touches %s too", run.ID, stack.Name)))
		}
	}
	return nil
}

// newRun is a run of the same content on another stack, or a further attempt on its own.
func (l *Lifecycle) newRun(like upgrade.Run, stack upgrade.Stack, base upgrade.Base, why string) upgrade.Run {
	now := l.Clock.Now()
	return upgrade.Run{
		ProjectID: like.ProjectID, Project: like.Project, Stack: stack.Name, Environment: stack.Staging.Environment,
		Tree: like.Tree, Commit: like.Commit, Version: like.Commit.Short(), Base: base.Commit.Short(),
		Title: like.Title, Author: like.Author, Answers: like.Answers,
		Phase: upgrade.PhaseQueued, Reason: why, Since: now, CreatedAt: now, Verdict: upgrade.VerdictClosed,
	}
}

// wanted reports whether a watched ref leads to the run's tree, or it was head of the production branch;
// and the refs that it looked at.
func (l *Lifecycle) wanted(ctx context.Context, run upgrade.Run) (wanted bool, refs []upgrade.RefState, err error) {
	all, err := l.Store.Refs(ctx, run.ProjectID)
	if err != nil {
		return false, nil, fmt.Errorf("read refs of %s: %w", run.Project, err)
	}
	for _, ref := range all {
		if ref.Tree == run.Tree {
			wanted, refs = true, append(refs, ref)
		}
	}
	return wanted || l.wasProduction(run), refs, nil
}

// newestOf returns the newest run of each stack of the run's upgrade; the run itself, if it is among
// them, as it is given.
func (l *Lifecycle) newestOf(ctx context.Context, run upgrade.Run) (map[upgrade.StackName]upgrade.Run, error) {
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Upgrade: run.Upgrade, Limit: 500})
	if err != nil {
		return nil, fmt.Errorf("read runs of upgrade %d: %w", run.Upgrade, err)
	}
	newest := map[upgrade.StackName]upgrade.Run{}
	for _, other := range runs { // newest first
		if _, seen := newest[other.Stack]; !seen {
			newest[other.Stack] = other
		}
	}
	if newest[run.Stack].ID == run.ID {
		newest[run.Stack] = run
	}
	return newest, nil
}

// siblingJobs returns the jobs of the upgrade's other stacks, to be woken when this one has news.
func (l *Lifecycle) siblingJobs(ctx context.Context, run upgrade.Run) ([]upgrade.JobID, error) {
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Upgrade: run.Upgrade, Limit: 500})
	if err != nil {
		return nil, fmt.Errorf("read runs of upgrade %d: %w", run.Upgrade, err)
	}
	var jobs []upgrade.JobID
	for _, other := range runs {
		if other.Stack != run.Stack && !other.Phase.Final() {
			jobs = append(jobs, upgrade.JobForRun(other.ID))
		}
	}
	return jobs, nil
}

func sortedKeys[V any](m map[upgrade.StackName]V) []upgrade.StackName {
	return slices.Sorted(maps.Keys(m))
}
