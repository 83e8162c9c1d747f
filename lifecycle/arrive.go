package lifecycle

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// arrival is content that a watched ref now leads to.
type arrival struct {
	project forge.Project
	stacks  []upgrade.Stack // whose trigger the ref is
	ref     string
	tree    upgrade.Tree // empty: that of the answer's commit
	answer  upgrade.Answer
	title   string
	author  string
}

// arrive decides what an arrival starts, joins or supersedes, in one step that holds only if the ref
// has not been moved by somebody else meanwhile.
func (l *Lifecycle) arrive(ctx context.Context, a arrival) (upgrade.Step, error) {
	if a.tree == "" {
		if err := l.Git.Ensure(ctx, a.project, a.answer.Commit); err != nil {
			return upgrade.Step{}, fmt.Errorf("fetch %s: %w", a.answer.Commit.Short(), err)
		}
		tree, err := l.Git.Tree(ctx, a.project, a.answer.Commit)
		if err != nil {
			return upgrade.Step{}, fmt.Errorf("read the tree of %s: %w", a.answer.Commit.Short(), err)
		}
		a.tree = tree
	}
	state, known, err := l.Store.Ref(ctx, upgrade.RefKey{ProjectID: a.project.ID, Ref: a.ref})
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read ref %s: %w", a.ref, err)
	}
	if known && state.Tree == a.tree && state.Commit == a.answer.Commit {
		return fate(upgrade.FateIgnored, "%s has not moved since the last delivery", a.ref), nil
	}
	state = upgrade.RefState{
		Key: upgrade.RefKey{ProjectID: a.project.ID, Ref: a.ref}, Tree: a.tree, Commit: a.answer.Commit, Rev: state.Rev, At: l.Clock.Now(),
	}
	step := upgrade.Step{
		Refs: []upgrade.RefState{state}, Answers: map[upgrade.RunID][]upgrade.Answer{}, Delivery: &upgrade.Delivery{},
	}
	for _, stack := range a.stacks {
		if err := l.arriveAt(ctx, a, stack, &step); err != nil {
			return upgrade.Step{}, err
		}
	}
	step.Given = asRead(step.Bases)
	if err := l.abandoned(ctx, &step, state, fmt.Sprintf("a newer commit of %s is tested", a.answer.Ref)); err != nil {
		return upgrade.Step{}, err
	}
	switch {
	case len(step.Starts) > 0:
		step.Delivery.Fate, step.Delivery.Reason = upgrade.FateStarted, fmt.Sprintf("%s leads to new content", a.ref)
	case len(step.Answers) > 0:
		step.Delivery.Fate, step.Delivery.Reason = upgrade.FateJoined, "a run that exists tests this content"
	default:
		step.Delivery.Fate, step.Delivery.Reason = upgrade.FateIgnored, "no stack is touched by it"
	}
	return step, nil
}

// arriveAt adds to the step what the arrival means for one stack.
func (l *Lifecycle) arriveAt(ctx context.Context, a arrival, stack upgrade.Stack, step *upgrade.Step) error {
	existing, found, err := l.answering(ctx, a, stack)
	if err != nil {
		return err
	}
	if found {
		step.Answers[existing.ID] = []upgrade.Answer{a.answer}
		step.Wake = append(step.Wake, upgrade.JobForRun(existing.ID))
		step.Delivery.Runs = append(step.Delivery.Runs, existing.ID)
		return nil
	}
	base, err := l.base(ctx, a, stack, step)
	if err != nil {
		return err
	}
	touched, err := l.touched(ctx, a, stack, base)
	if err != nil {
		return err
	}
	if !touched {
		return nil
	}
	now := l.Clock.Now()
	step.Starts = append(step.Starts, upgrade.Run{
		ProjectID: a.project.ID, Project: a.project.Path, Stack: stack.Name, Environment: stack.Staging.Environment,
		Tree: a.tree, Commit: a.answer.Commit, Version: a.answer.Commit.Short(), Base: base.Commit.Short(),
		Title: a.title, Author: a.author, Answers: []upgrade.Answer{a.answer},
		Phase: upgrade.PhaseQueued, Reason: a.answer.Ref + " leads to new content", Since: now, CreatedAt: now, Verdict: upgrade.VerdictClosed,
	})
	return nil
}

// answering returns the run that answers for the tree already: neither superseded nor stopped, with
// no other tree's apply begun on that staging stack since.
func (l *Lifecycle) answering(ctx context.Context, a arrival, stack upgrade.Stack) (upgrade.Run, bool, error) {
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Stack: stack.Name, ProjectID: a.project.ID, Tree: a.tree, Limit: 1})
	if err != nil {
		return upgrade.Run{}, false, fmt.Errorf("read runs of %s: %w", stack.Name, err)
	}
	if len(runs) == 0 || runs[0].Phase == upgrade.PhaseSuperseded || runs[0].Phase == upgrade.PhaseStopped {
		return upgrade.Run{}, false, nil
	}
	if runs[0].Phase == upgrade.PhaseQueued || runs[0].Phase.HoldsSlot() {
		return runs[0], true, nil // it is still on its way, or waits behind the other's apply
	}
	last, begun, err := l.Store.LastApply(ctx, stack.Name, stack.Staging.Environment)
	if err != nil {
		return upgrade.Run{}, false, fmt.Errorf("read the last apply of %s: %w", stack.Name, err)
	}
	if begun && last.Tree != a.tree && !last.BegunAt.Before(runs[0].CreatedAt) {
		return upgrade.Run{}, false, nil // staging is no longer what that run tested: a revert is tested anew
	}
	return runs[0], true, nil
}

// base returns what production of the stack has. When it is not known it is assumed, and the assumption is
// kept with the step.
func (l *Lifecycle) base(ctx context.Context, a arrival, stack upgrade.Stack, step *upgrade.Step) (upgrade.Base, error) {
	base, known, err := l.Store.Base(ctx, stack.Name)
	if err != nil || known {
		return base, err
	}
	base, err = l.assume(ctx, a.project, stack)
	if err == nil && base.Tree != "" {
		step.Bases = append(step.Bases, base)
	}
	return base, err
}

// assume says what production of a stack has as far as GitLab knows: the last successful deployment, else
// the production branch's head. Without either the tree is empty.
func (l *Lifecycle) assume(ctx context.Context, project forge.Project, stack upgrade.Stack) (upgrade.Base, error) {
	base := upgrade.Base{Stack: stack.Name, Assumed: true, At: l.Clock.Now()}
	if stack.Production.Environment != "" {
		deployments, err := l.Forge.Deployments(ctx, project.ID, stack.Production.Environment, 20)
		if err != nil && upgrade.CodeOf(err) != upgrade.CodeNotFound {
			return base, fmt.Errorf("read deployments to %s: %w", stack.Production.Environment, err)
		}
		for _, deployment := range deployments {
			if deployment.Status == "success" {
				base.Commit = deployment.Commit
				break
			}
		}
	}
	if base.Commit == "" {
		branch, err := l.Forge.Branch(ctx, project.ID, stack.Production.Branch)
		if err != nil && upgrade.CodeOf(err) == upgrade.CodeNotFound {
			return base, nil // no production branch yet: nothing to assume, so everything is touched
		}
		if err != nil {
			return base, fmt.Errorf("read branch %s: %w", stack.Production.Branch, err)
		}
		base.Commit = branch.Commit
	}
	if err := l.Git.Ensure(ctx, project, base.Commit); err != nil {
		return base, fmt.Errorf("fetch %s: %w", base.Commit.Short(), err)
	}
	var err error
	if base.Tree, err = l.Git.Tree(ctx, project, base.Commit); err != nil {
		return base, fmt.Errorf("read the tree of %s: %w", base.Commit.Short(), err)
	}
	return base, nil
}

// touched reports whether a file of the stack differs between the arriving tree and its base, or the
// tree of which an apply to its staging was last begun. What cannot be compared is touched.
func (l *Lifecycle) touched(ctx context.Context, a arrival, stack upgrade.Stack, base upgrade.Base) (bool, error) {
	last, begun, err := l.Store.LastApply(ctx, stack.Name, stack.Staging.Environment)
	if err != nil {
		return false, fmt.Errorf("read the last apply of %s: %w", stack.Name, err)
	}
	if base.Assumed || base.Tree == "" {
		return true, nil
	}
	from := []upgrade.Tree{base.Tree}
	if begun {
		from = append(from, last.Tree)
	}
	for _, tree := range from {
		if tree == a.tree {
			continue
		}
		paths, err := l.Git.Touched(ctx, a.project, tree, a.tree)
		if err != nil {
			if upgrade.Transient(err) {
				return false, fmt.Errorf("compare %s with %s: %w", tree.Short(), a.tree.Short(), err)
			}
			return true, nil
		}
		if anyOf(paths, stack) {
			return true, nil
		}
	}
	return false, nil
}

// anyOf reports whether a path belongs to the stack: under its folder, or matched by its globs;
// without globs the whole repository counts.
func anyOf(paths []string, stack upgrade.Stack) bool {
	if len(stack.Paths) == 0 {
		return len(paths) > 0
	}
	for _, p := range paths {
		if stack.Dir != "" && (p == stack.Dir || strings.HasPrefix(p, stack.Dir+"/")) {
			return true
		}
		for _, glob := range stack.Paths {
			if matches(glob, p) {
				return true
			}
		}
	}
	return false
}

// matches reports whether the glob matches the slash-separated path; ** stands for any number of
// folders, the other signs are path.Match's. A glob that cannot be read matches everything.
func matches(glob, name string) bool {
	return matchParts(strings.Split(glob, "/"), strings.Split(name, "/"))
}

func matchParts(globs, names []string) bool {
	for i, glob := range globs {
		if glob == "**" {
			for skip := i; skip <= len(names); skip++ {
				if matchParts(globs[i+1:], names[skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(names) {
			return false
		}
		if ok, err := path.Match(glob, names[i]); err == nil && !ok {
			return false
		}
	}
	return len(globs) == len(names)
}

// abandoned asks runs to give way to which no watched ref leads any more, now that moved leads
// elsewhere: before their apply they are superseded; an open one looks whether it still counts. What the
// step starts on a run's stack is its successor.
func (l *Lifecycle) abandoned(ctx context.Context, step *upgrade.Step, moved upgrade.RefState, why string) error {
	refs, err := l.Store.Refs(ctx, moved.Key.ProjectID)
	if err != nil {
		return fmt.Errorf("read refs: %w", err)
	}
	wanted := map[upgrade.Tree]bool{moved.Tree: true}
	for _, ref := range refs {
		if ref.Key != moved.Key {
			wanted[ref.Tree] = true
		}
	}
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{ProjectID: moved.Key.ProjectID, Phases: givesWay(), Limit: 500})
	if err != nil {
		return fmt.Errorf("read runs: %w", err)
	}
	for _, run := range runs {
		switch {
		case wanted[run.Tree]:
		case run.Phase.CanFollow(upgrade.PhaseSuperseded):
			step.Requests = append(step.Requests, upgrade.Request{
				Run: run.ID, Kind: upgrade.RequestSupersede, By: upgrade.ByRule(), Reason: why, At: l.Clock.Now(),
			})
		default:
			step.Wake = append(step.Wake, upgrade.JobForRun(run.ID))
		}
	}
	return nil
}

// givesWay lists the phases in which a run cares whether a ref leads to it.
func givesWay() []upgrade.Phase {
	phases := []upgrade.Phase{upgrade.PhaseUnlocking, upgrade.PhaseUnlocked}
	for _, phase := range upgrade.Phases() {
		if phase.CanFollow(upgrade.PhaseSuperseded) {
			phases = append(phases, phase)
		}
	}
	return phases
}

// refuse is what comes of content that may not be tested (S13): no run, the reason kept with the ref, and
// whatever the ref led to before is no longer what it leads to.
func (l *Lifecycle) refuse(ctx context.Context, project forge.Project, ref string, commit upgrade.Commit, what, why string) (upgrade.Step, error) {
	step := fate(upgrade.FateRefused, "%s is not tested: %s", what, why)
	err := l.leadsNowhere(ctx, &step, upgrade.RefState{
		Key: upgrade.RefKey{ProjectID: project.ID, Ref: ref}, Commit: commit, Why: why,
	}, what+" has moved to what may not be tested")
	return step, err
}

// forget is what comes of a ref that is gone, or no longer watched.
func (l *Lifecycle) forget(ctx context.Context, project forge.Project, ref, why string) (upgrade.Step, error) {
	step := fate(upgrade.FateIgnored, "%s", why)
	key := upgrade.RefKey{ProjectID: project.ID, Ref: ref}
	if _, known, err := l.Store.Ref(ctx, key); err != nil || !known {
		return step, err
	}
	err := l.leadsNowhere(ctx, &step, upgrade.RefState{Key: key}, why)
	return step, err
}

// leadsNowhere adds to the step that a ref leads to nothing that is tested.
func (l *Lifecycle) leadsNowhere(ctx context.Context, step *upgrade.Step, now upgrade.RefState, why string) error {
	was, _, err := l.Store.Ref(ctx, now.Key)
	if err != nil {
		return fmt.Errorf("read ref %s: %w", now.Key.Ref, err)
	}
	if was.Rev > 0 && was.Tree == "" && was.Commit == now.Commit && was.Why == now.Why {
		return nil // known since an earlier delivery
	}
	now.Rev, now.At = was.Rev, l.Clock.Now()
	step.Refs = append(step.Refs, now)
	if iid, ok := strings.CutPrefix(now.Key.Ref, mergeRefs); ok {
		step.Wake = append(step.Wake, upgrade.JobFor(upgrade.JobNote, fmt.Sprintf("%d/%s", now.Key.ProjectID, iid)))
	}
	return l.abandoned(ctx, step, now, why)
}

// wasProduction reports whether the run's tree was head of its production branch.
func (l *Lifecycle) wasProduction(run upgrade.Run) bool {
	branch := l.stacks[run.Stack].Production.Branch
	for _, answer := range run.Answers {
		if answer.MergeRequest == 0 && answer.Ref == branch {
			return true
		}
	}
	return false
}
