package lifecycle

import (
	"context"
	"fmt"
	"strings"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// verify answers a production pipeline that asks whether its commit may go (hold verify_job). What it
// asks about is proven by GitLab's ID token. It waits while a run of that content is on its way, and
// says open only in a transaction in which all of S1 holds.
func (l *Lifecycle) verify(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
	v, err := l.Store.Verification(ctx, upgrade.VerificationID(w.Job.Subject))
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read question %s: %w", w.Job.Subject, err)
	}
	if v.State != upgrade.VerifyWaiting {
		return upgrade.Step{Next: upgrade.End()}, nil
	}
	if !l.Clock.Now().Before(v.Until) {
		return closed(v, "it took too long: nothing was decided in time"), nil
	}
	project, stacks, refusal, err := l.askable(ctx, v)
	if err != nil {
		return upgrade.Step{}, err
	}
	if refusal != "" {
		return closed(v, refusal), nil
	}
	if err := l.Git.Ensure(ctx, project, v.Commit); err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeNotFound {
			return closed(v, fmt.Sprintf("GitLab has no commit %s in %s", v.Commit.Short(), project.Path)), nil
		}
		return upgrade.Step{}, fmt.Errorf("fetch %s: %w", v.Commit.Short(), err)
	}
	tree, err := l.Git.Tree(ctx, project, v.Commit)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read the tree of %s: %w", v.Commit.Short(), err)
	}
	return l.verifyTree(ctx, v, arrival{project: project, stacks: stacks, tree: tree})
}

// askable says which stacks go to production from the ref that asks, or why it may not ask.
func (l *Lifecycle) askable(ctx context.Context, v upgrade.Verification) (project forge.Project, stacks []upgrade.Stack, refusal string, err error) {
	project, err = l.Forge.ProjectByID(ctx, v.ProjectID)
	if err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeNotFound {
			return project, nil, fmt.Sprintf("project %d is not known here", v.ProjectID), nil
		}
		return project, nil, "", fmt.Errorf("read project %d: %w", v.ProjectID, err)
	}
	for _, stack := range l.stacksOf(project.Path) {
		if stack.Production.Branch == v.Ref {
			stacks = append(stacks, stack)
		}
	}
	switch {
	case len(stacks) == 0:
		return project, nil, fmt.Sprintf("no stack of %s goes to production from %s", project.Path, v.Ref), nil
	case v.RefType != "branch":
		return project, nil, fmt.Sprintf("%s is a %s, and production goes from a branch", v.Ref, v.RefType), nil
	case !v.Protected:
		return project, nil, fmt.Sprintf("branch %s is not protected in GitLab, so anybody could push to it", v.Ref), nil
	}
	return project, stacks, "", nil
}

// verifyTree answers for the content.
func (l *Lifecycle) verifyTree(ctx context.Context, v upgrade.Verification, a arrival) (upgrade.Step, error) {
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{ProjectID: a.project.ID, Tree: a.tree, Limit: 500})
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read runs of %s: %w", a.tree.Short(), err)
	}
	if len(runs) == 0 {
		return l.verifyUntested(ctx, v, a)
	}
	newest, err := l.newestOf(ctx, runs[0])
	if err != nil {
		return upgrade.Step{}, err
	}
	var open, waits upgrade.Run
	for _, name := range sortedKeys(newest) {
		switch other := newest[name]; {
		case other.Phase == upgrade.PhasePromoted:
		case other.Phase == upgrade.PhaseUnlocked:
			open = other
		case other.Phase.Live() || judgedAgain(other):
			waits = other
		default:
			return l.verifyClosed(v, other, upgrade.Tell(other).Headline), nil
		}
	}
	if waits.ID != 0 {
		return l.verifyWaits(v, waits, upgrade.Tell(waits).Headline), nil
	}
	if open.ID == 0 {
		return l.verifyPromoted(ctx, v, newest)
	}
	p, err := l.prove(ctx, open)
	switch {
	case err != nil:
		return upgrade.Step{}, err
	case p.against != "":
		return l.verifyClosed(v, open, p.against), nil
	case !p.open(): // its own job tests what is missing
		return l.verifyWaits(v, open, upgrade.Tell(open).Headline), nil
	}
	return l.verifyOpen(ctx, v, open, p.given)
}

// verifyPromoted answers for content that production has: it may go once more as long as nothing else
// has gone since.
func (l *Lifecycle) verifyPromoted(ctx context.Context, v upgrade.Verification, newest map[upgrade.StackName]upgrade.Run) (upgrade.Step, error) {
	given := upgrade.Given{Bases: map[upgrade.StackName]int64{}}
	for _, name := range sortedKeys(newest) {
		base, known, err := l.Store.Base(ctx, name)
		if err != nil {
			return upgrade.Step{}, fmt.Errorf("read the base of %s: %w", name, err)
		}
		v.Run = newest[name].ID
		if !known || base.Tree != newest[name].Tree {
			return closed(v, "production has had something else since; what it had before is tested anew like any change"), nil
		}
		given.Bases[name] = base.Rev
	}
	v.State = upgrade.VerifyOpen
	step := told(v, "Production has exactly this content already.")
	step.Given = given
	return step, nil
}

// verifyUntested answers for content of which there is no run: unknown is closed, unless the content is
// known to differ from production and from staging in nothing that any stack consists of.
func (l *Lifecycle) verifyUntested(ctx context.Context, v upgrade.Verification, a arrival) (upgrade.Step, error) {
	given := upgrade.Given{Bases: map[upgrade.StackName]int64{}}
	for _, stack := range a.stacks {
		base, _, err := l.Store.Base(ctx, stack.Name)
		if err != nil {
			return upgrade.Step{}, fmt.Errorf("read the base of %s: %w", stack.Name, err)
		}
		last, _, err := l.Store.LastApply(ctx, stack.Name, stack.Staging.Environment)
		if err != nil {
			return upgrade.Step{}, fmt.Errorf("read the last apply of %s: %w", stack.Name, err)
		}
		given.Bases[stack.Name] = base.Rev
		given.Applies = append(given.Applies, upgrade.LastApply{Stack: stack.Name, Environment: stack.Staging.Environment, Seq: last.Seq})
		touched, err := l.touched(ctx, a, stack, base)
		if err != nil {
			return upgrade.Step{}, err
		}
		if touched {
			return closed(v, fmt.Sprintf("nobody has tested commit %s: there is no run of its content, and it touches %s", v.Commit.Short(), stack.Name)), nil
		}
	}
	v.State = upgrade.VerifyOpen
	step := told(v, fmt.Sprintf("Commit %s changes nothing of what is tested here.", v.Commit.Short()))
	step.Given = given
	return step, nil
}

// verifyOpen says yes, and that the upgrade's order was delivered by it, while all of S1 holds.
func (l *Lifecycle) verifyOpen(ctx context.Context, v upgrade.Verification, run upgrade.Run, given upgrade.Given) (upgrade.Step, error) {
	orders, err := l.Store.Orders(ctx, run.Upgrade)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read orders of upgrade %d: %w", run.Upgrade, err)
	}
	v.State, v.Run = upgrade.VerifyOpen, run.ID
	step := told(v, upgrade.Tell(run).Headline)
	step.Given = given
	for _, order := range orders {
		if order.Hold.Kind == upgrade.HoldVerifyJob && order.State != upgrade.OrderVoid {
			order.State, order.Target = upgrade.OrderDone, fmt.Sprintf("job %d", v.Job)
			order.Result = fmt.Sprintf("pipeline %d was told that it may go", v.Pipeline)
			order.Attempts++
			step.Orders = append(step.Orders, order)
			step.Events = append(step.Events, l.ordered(run, order))
		}
	}
	return step, nil
}

func (l *Lifecycle) verifyClosed(v upgrade.Verification, run upgrade.Run, why string) upgrade.Step {
	v.Run = run.ID
	return closed(v, why)
}

// verifyWaits keeps the question open, and says so once for each thing to say.
func (l *Lifecycle) verifyWaits(v upgrade.Verification, run upgrade.Run, why string) upgrade.Step {
	next := upgrade.Park(l.Clock.Now().Add(lookAgain))
	if v.Run == run.ID && v.Sentence == why {
		return upgrade.Step{Next: next}
	}
	v.Run = run.ID
	step := told(v, why)
	step.Next = next
	return step
}

func closed(v upgrade.Verification, why string) upgrade.Step {
	v.State = upgrade.VerifyClosed
	return told(v, strings.TrimSuffix(upperFirst(why), ".")+".")
}

func told(v upgrade.Verification, sentence string) upgrade.Step {
	v.Sentence = sentence
	v.Told++
	return upgrade.Step{Verifications: []upgrade.Verification{v}, Next: upgrade.End()}
}
