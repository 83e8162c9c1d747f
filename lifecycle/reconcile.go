package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/forge"
)

// How often the periodic jobs run.
const (
	reconcileEvery = time.Minute
	reapEvery      = 10 * time.Minute
	purgeEvery     = time.Hour
)

// periodic does one round of a periodic job. Its own errors are logged: the next round comes anyway.
func (l *Lifecycle) periodic(ctx context.Context, w *engine.Work) (upgrade.Step, error) {
	var (
		err   error
		every time.Duration
		step  upgrade.Step
	)
	switch w.Job.Subject {
	case periodicReconcile:
		every = reconcileEvery
		step.Refs, err = l.reconcile(ctx)
		var production error
		step.Bases, production = l.bases(ctx)
		err = errors.Join(err, production)
		step.Given = asRead(step.Bases)
	case periodicReap:
		every, err = reapEvery, l.reap(ctx)
	case periodicPurge:
		every, err = purgeEvery, l.purge(ctx)
	case periodicStates:
		every, err = statesEvery, l.readStates(ctx)
	case periodicLearn:
		every = learnEvery
		step, err = l.learn(ctx)
	default:
		if asked, known := l.standingOf(w.Job.Subject); known {
			return l.askStanding(ctx, asked)
		}
		return upgrade.Step{Next: upgrade.End()}, nil // of a version, or a configuration, that had it
	}
	if ctx.Err() != nil {
		return upgrade.Step{}, fmt.Errorf("%s: %w", w.Job.Subject, context.Cause(ctx))
	}
	if err != nil {
		l.Logger.WarnContext(ctx, "periodic job had problems", "job", w.Job.Subject, "err", err)
	}
	step.Next = upgrade.Park(l.Clock.Now().Add(every))
	return step, nil
}

// reconcile compares what GitLab shows with what we decided: deliveries may be lost, late or doubled
// (S7), and statuses may be written by others (S8). It returns the staging branches that it sees for
// the first time: where they are then is what a later move is told from, and starts nothing.
func (l *Lifecycle) reconcile(ctx context.Context) (seen []upgrade.RefState, err error) {
	var problems []error
	for _, path := range l.projects() {
		first, err := l.reconcileProject(ctx, path)
		if err != nil {
			problems = append(problems, fmt.Errorf("reconcile %s: %w", path, err))
		}
		seen = append(seen, first...)
	}
	runs, err := l.Store.Runs(ctx, upgrade.RunFilter{Limit: 200})
	if err != nil {
		return nil, errors.Join(append(problems, err)...)
	}
	var jobs []upgrade.JobID
	for _, run := range runs {
		if run.Phase == upgrade.PhaseUnlocking || run.Phase == upgrade.PhaseUnlocked {
			jobs = append(jobs, upgrade.JobForRun(run.ID))
		}
		if run.Phase.Live() || l.Clock.Now().Sub(run.Since) < 24*time.Hour {
			jobs = append(jobs, upgrade.JobForStatus(run.ID))
		}
	}
	return seen, errors.Join(append(problems, l.Store.Wake(ctx, jobs...))...)
}

// projects lists the projects of the stacks, each once, in the order of the file.
func (l *Lifecycle) projects() []string {
	seen := map[string]bool{}
	var paths []string
	for _, stack := range l.Stacks {
		if !seen[stack.Project] {
			seen[stack.Project] = true
			paths = append(paths, stack.Project)
		}
	}
	return paths
}

// reconcileProject makes a delivery of our own for each watched ref that has moved without one.
func (l *Lifecycle) reconcileProject(ctx context.Context, path string) (seen []upgrade.RefState, err error) {
	project, err := l.Forge.Project(ctx, path)
	if err != nil {
		return nil, err
	}
	branches, targets := map[string]bool{}, map[string]bool{}
	for _, stack := range l.stacksOf(path) {
		if stack.Trigger.Push != "" {
			branches[stack.Trigger.Push] = true
		}
		branches[stack.Production.Branch] = true
		if stack.Trigger.MergeRequestTo != "" {
			targets[stack.Trigger.MergeRequestTo] = true
		}
	}
	var problems []error
	for branch := range branches {
		first, err := l.reconcileBranch(ctx, project, branch)
		problems = append(problems, err)
		seen = append(seen, first...)
	}
	for target := range targets {
		problems = append(problems, l.offerMergeRequests(ctx, project, target, "reconcile"))
	}
	return seen, errors.Join(problems...)
}

func (l *Lifecycle) reconcileBranch(ctx context.Context, project forge.Project, branch string) (seen []upgrade.RefState, err error) {
	now, err := l.Forge.Branch(ctx, project.ID, branch)
	if err != nil {
		if upgrade.CodeOf(err) == upgrade.CodeNotFound {
			return nil, nil
		}
		return nil, fmt.Errorf("read branch %s: %w", branch, err)
	}
	key := upgrade.RefKey{ProjectID: project.ID, Ref: headRef(branch)}
	known, found, err := l.Store.Ref(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read ref %s: %w", branch, err)
	}
	if found && known.Commit == now.Commit {
		return nil, nil
	}
	if !found {
		// Without a tree: nothing was acted on, so that a push that is on its way still counts as one.
		return []upgrade.RefState{{Key: key, Commit: now.Commit, At: l.Clock.Now()}}, nil
	}
	return nil, l.offer(ctx, fmt.Sprintf("reconcile:%d:%s:%s", project.ID, branch, now.Commit), upgrade.Hint{
		Kind: upgrade.HintPush, ProjectID: project.ID, Project: project.Path, Ref: branch, After: now.Commit,
	})
}

// offerMergeRequests makes a delivery of our own for each open merge request to the branch, so that
// intake looks at it again. why makes the delivery's id: the same state is offered once.
func (l *Lifecycle) offerMergeRequests(ctx context.Context, project forge.Project, target, why string) error {
	branch, err := l.Forge.Branch(ctx, project.ID, target)
	if err != nil {
		return fmt.Errorf("read branch %s: %w", target, err)
	}
	open, err := l.Forge.OpenMergeRequests(ctx, project.ID, target)
	if err != nil {
		return fmt.Errorf("read merge requests to %s: %w", target, err)
	}
	var problems []error
	for _, mr := range open {
		known, seen, err := l.Store.Ref(ctx, upgrade.RefKey{ProjectID: project.ID, Ref: mergeRef(mr.IID)})
		if err != nil {
			return fmt.Errorf("read ref of !%d: %w", mr.IID, err)
		}
		every := int64(1)
		if why == "reconcile" && seen && known.Commit == mr.Head {
			if known.Why == "" {
				continue
			}
			every = 10 // a lost delivery may have been the approval that it waits for
		}
		// A pipeline or an approval may change what holds it back, so the minute is part of the id.
		id := fmt.Sprintf("%s:%d:!%d:%s:%s:%d", why, project.ID, mr.IID, mr.Head, branch.Commit, l.Clock.Now().Unix()/60/every)
		problems = append(problems, l.offer(ctx, id, upgrade.Hint{
			Kind: upgrade.HintMergeRequest, ProjectID: project.ID, Project: project.Path, MergeRequest: mr.IID,
			TargetBranch: target, After: mr.Head,
		}))
	}
	return errors.Join(problems...)
}

func (l *Lifecycle) offer(ctx context.Context, id string, hint upgrade.Hint) error {
	_, err := l.Store.Deliver(ctx, upgrade.Delivery{
		ID: upgrade.DeliveryID(id), Event: "Reconcile", ReceivedAt: l.Clock.Now(), Hint: hint, Fate: upgrade.FatePending,
	})
	if err != nil {
		return fmt.Errorf("offer %s: %w", id, err)
	}
	return nil
}

// purge removes the deliveries, and production's questions, whose time is over.
func (l *Lifecycle) purge(ctx context.Context) error {
	if _, err := l.Store.PurgeStretches(ctx, l.Clock.Now().Add(-keepStretches)); err != nil {
		return err
	}
	if l.KeepDeliveries <= 0 {
		return nil
	}
	before := l.Clock.Now().Add(-l.KeepDeliveries)
	deliveries, err := l.Store.PurgeDeliveries(ctx, before)
	questions, other := l.Store.PurgeVerifications(ctx, before)
	if deliveries+questions > 0 {
		l.Logger.InfoContext(ctx, "removed what was kept long enough", "deliveries", deliveries, "questions", questions)
	}
	return errors.Join(err, other)
}

// maxAgain is how often one delivery is played again at most.
const maxAgain = 100

// PlayAgain has a delivery looked at anew, as if it had come again: a new delivery with the same hint,
// whose id it returns. CodeNotFound, CodeForbidden, and CodeConflict for one that was not looked at yet.
func (l *Lifecycle) PlayAgain(ctx context.Context, id upgrade.DeliveryID, by upgrade.Person) (upgrade.DeliveryID, error) {
	old, err := l.Store.Delivery(ctx, id)
	if err != nil {
		return "", fmt.Errorf("read delivery %s: %w", id, err)
	}
	hint := old.Hint
	act := upgrade.ActOfHint(hint.Kind) // as for asking it the first time
	if err := upgrade.May(by, act, upgrade.Object{Name: "delivery " + string(id), Project: hint.Project}); err != nil {
		return "", err
	}
	if old.Fate == upgrade.FatePending {
		return "", &upgrade.Error{Code: upgrade.CodeConflict, Msg: "this delivery was not looked at yet", Hint: "wait for what comes of it"}
	}
	if hint.Kind == upgrade.HintRetry || hint.Kind == upgrade.HintRehearse {
		hint.By = by.Name
	}
	first := id
	if rest, again := strings.CutPrefix(string(id), "again:"); again {
		if _, origin, found := strings.Cut(rest, ":"); found {
			first = upgrade.DeliveryID(origin)
		}
	}
	for n := 1; n <= maxAgain; n++ {
		next := upgrade.Delivery{
			ID: upgrade.DeliveryID(fmt.Sprintf("again:%d:%s", n, first)), Event: old.Event, ReceivedAt: l.Clock.Now(),
			Hint: hint, Fate: upgrade.FatePending,
		}
		fresh, err := l.Store.Deliver(ctx, next)
		if err != nil {
			return "", fmt.Errorf("play delivery %s again: %w", id, err)
		}
		if fresh {
			l.Logger.InfoContext(ctx, "delivery played again", "delivery", string(next.ID), "by", by.Name)
			return next.ID, nil
		}
	}
	return "", &upgrade.Error{
		Code: upgrade.CodeConflict, Msg: fmt.Sprintf("this delivery was played again %d times", maxAgain),
		Hint: "what came of the last time says what to change",
	}
}

// reap removes test groups whose time is over, in every environment.
func (l *Lifecycle) reap(ctx context.Context) error {
	var problems []error
	for _, cloud := range l.Clouds {
		ended, err := gates.Reap(ctx, cloud, l.Clock.Now())
		problems = append(problems, err)
		for _, name := range ended {
			l.Logger.InfoContext(ctx, "removed a test group that was left over", "group", name)
		}
	}
	return errors.Join(problems...)
}
