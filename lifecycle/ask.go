package lifecycle

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/upgradegate/upgradegate/upgrade"
)

// shortestReason is how long the reason of an override is at least, in characters: dashboard.md §10.
const shortestReason = 20

// longestOverride is the longest time for which an override may be asked.
const longestOverride = 7 * 24 * time.Hour

// Ask stores what a person asks of a run, after looking whether they may and whether it makes sense
// now. The run's own job grants it, so that the answer is seen in the run, not here. CodeForbidden,
// CodeConflict, CodeInvalid, CodeNotFound.
func (l *Lifecycle) Ask(ctx context.Context, request upgrade.Request) error {
	run, err := l.Store.Run(ctx, request.Run)
	if err != nil {
		return fmt.Errorf("read run %d: %w", request.Run, err)
	}
	if request.At.IsZero() {
		request.At = l.Clock.Now()
	}
	if err := upgrade.May(request.By, upgrade.ActOfRequest(request.Kind), onRun(run)); err != nil {
		return err
	}
	request.By = request.By.AsKept()
	if why := unfit(run, request); why != "" {
		return conflict(run, string(request.Kind), why)
	}
	if err := l.complete(run, request); err != nil {
		return err
	}
	if to, _ := target(run, request.Kind); request.Kind == upgrade.RequestRecheck || request.Kind == upgrade.RequestOverride && to == upgrade.PhaseUnlocking {
		why, err := l.overtaken(ctx, run)
		if err != nil {
			return err
		}
		if why != "" {
			return conflict(run, string(request.Kind), why)
		}
	}
	if err := l.impartial(ctx, run, request); err != nil {
		return err
	}
	if _, err := l.Store.Ask(ctx, request); err != nil {
		return fmt.Errorf("ask run %d: %w", request.Run, err)
	}
	return nil
}

// Repeat asks for a further attempt of a run: from the plan (HintRetry), or as a rehearsal
// (HintRehearse). It comes in like a delivery, so that what came of it is found where the others are;
// the returned id is that delivery's. CodeForbidden, CodeConflict, CodeNotFound.
func (l *Lifecycle) Repeat(ctx context.Context, id upgrade.RunID, kind upgrade.HintKind, by upgrade.Person, reason string) (upgrade.DeliveryID, error) {
	run, err := l.Store.Run(ctx, id)
	if err != nil {
		return "", fmt.Errorf("read run %d: %w", id, err)
	}
	if err := upgrade.May(by, upgrade.ActOfHint(kind), onRun(run)); err != nil {
		return "", err
	}
	why, err := l.unrepeatable(ctx, run)
	if err != nil {
		return "", err
	}
	if why != "" {
		return "", conflict(run, string(kind), why)
	}
	delivery := upgrade.Delivery{
		ID:    upgrade.DeliveryID(fmt.Sprintf("%s:%d:%s", kind, run.ID, strconv.FormatInt(run.Rev, 10))),
		Event: upperFirst(string(kind)), ReceivedAt: l.Clock.Now(), Fate: upgrade.FatePending,
		Hint: upgrade.Hint{Kind: kind, ProjectID: run.ProjectID, Project: run.Project, Run: run.ID, By: by.Name, Why: reason},
	}
	if _, err := l.Store.Deliver(ctx, delivery); err != nil {
		return "", fmt.Errorf("ask for another attempt of run %d: %w", run.ID, err)
	}
	return delivery.ID, nil
}

// SetBase says which commit production of a stack has, as a person knows it. CodeForbidden, CodeInvalid
// without a reason, CodeNotFound for a stack or commit that does not exist, CodeStale if it was set by
// somebody else meanwhile.
func (l *Lifecycle) SetBase(ctx context.Context, name upgrade.StackName, commit upgrade.Commit, by upgrade.Person, reason string) (upgrade.Base, error) {
	stack, known := l.stacks[name]
	if !known {
		return upgrade.Base{}, &upgrade.Error{Code: upgrade.CodeNotFound, Msg: fmt.Sprintf("there is no stack %s", name), Hint: "look at upgradegate stack list"}
	}
	if err := upgrade.May(by, upgrade.ActSetBase, upgrade.Object{Name: "stack " + string(name), Project: stack.Project}); err != nil {
		return upgrade.Base{}, err
	}
	if strings.TrimSpace(reason) == "" {
		return upgrade.Base{}, missingReason()
	}
	project, err := l.Forge.Project(ctx, stack.Project)
	if err != nil {
		return upgrade.Base{}, fmt.Errorf("read project %s: %w", stack.Project, err)
	}
	if err := l.Git.Ensure(ctx, project, commit); err != nil {
		return upgrade.Base{}, fmt.Errorf("fetch %s: %w", commit.Short(), err)
	}
	base, _, err := l.Store.Base(ctx, name)
	if err != nil {
		return upgrade.Base{}, fmt.Errorf("read the base of %s: %w", name, err)
	}
	base.Stack, base.Commit, base.Assumed, base.By, base.Reason, base.At = name, commit, false, by.Name, reason, l.Clock.Now()
	if base.Tree, err = l.Git.Tree(ctx, project, commit); err != nil {
		return upgrade.Base{}, fmt.Errorf("read the tree of %s: %w", commit.Short(), err)
	}
	if base.Since, err = l.since(ctx, stack, base, base.Tree); err != nil {
		return upgrade.Base{}, err
	}
	if err := l.Store.SetBase(ctx, base); err != nil {
		return upgrade.Base{}, err
	}
	return base, nil
}

// onRun is the run as something that is acted on.
func onRun(run upgrade.Run) upgrade.Object {
	return upgrade.Object{Name: "run " + run.ID.String(), Project: run.Project}
}

func conflict(run upgrade.Run, what, why string) error {
	return &upgrade.Error{
		Code: upgrade.CodeConflict, Msg: fmt.Sprintf("run %d cannot be asked to %s: %s", run.ID, what, why),
		Hint: "look at what the run says to do next",
	}
}

func missingReason() error {
	return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "a reason is missing", Hint: "say why, in one sentence"}
}

// complete refuses a request that lacks what its kind needs.
func (l *Lifecycle) complete(run upgrade.Run, request upgrade.Request) error {
	reason := strings.TrimSpace(request.Reason)
	switch request.Kind {
	case upgrade.RequestRelock, upgrade.RequestRefuse, upgrade.RequestResolve:
		if reason == "" {
			return missingReason()
		}
	case upgrade.RequestStop:
		if reason == "" && run.Phase == upgrade.PhaseApplying {
			return missingReason()
		}
	case upgrade.RequestOverride:
		if utf8.RuneCountInString(reason) < shortestReason {
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: fmt.Sprintf("the reason of an override has at least %d characters", shortestReason)}
		}
		if !request.Until.IsZero() && (!request.Until.After(request.At) || request.Until.Sub(request.At) > longestOverride) {
			return &upgrade.Error{Code: upgrade.CodeInvalid, Msg: "an override ends in the future, and within " + longestOverride.String()}
		}
		for _, cause := range run.Causes {
			if cause.Kind == upgrade.CauseRelocked && !strings.Contains(cause.Message, "is older than") || cause.Kind == upgrade.CauseSibling {
				return conflict(run, "override", "what was said of staging cannot be overridden once staging is another: run the gates, or run it from the plan")
			}
		}
	case upgrade.RequestApprove, upgrade.RequestRecheck, upgrade.RequestSupersede:
	}
	return nil
}
