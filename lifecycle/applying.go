package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/upgradegate/upgradegate/engine"
	"github.com/upgradegate/upgradegate/upgrade"
	"github.com/upgradegate/upgradegate/upgrade/plan"
)

// applying applies the judged plan, once. Before anything is started the intention is written; after a
// restart the attempt is adopted, never repeated (S3).
func (l *Lifecycle) applying(ctx context.Context, w *engine.Work, run upgrade.Run) (upgrade.Step, error) {
	stack, err := l.stack(run)
	if err != nil {
		return upgrade.Step{}, err // the slot is kept until somebody brings the stack back
	}
	root, err := l.root(run, stack)
	if err != nil {
		return l.ended(run, upgrade.PhaseFailed, upgrade.Cause{Kind: upgrade.CauseApply, Message: upgrade.Public(err)}), nil
	}
	applies, err := l.Store.Applies(ctx, run.ID)
	if err != nil {
		return upgrade.Step{}, fmt.Errorf("read applies of run %d: %w", run.ID, err)
	}
	a := &apply{Lifecycle: l, work: w, run: run, root: root}
	for _, earlier := range applies {
		if earlier.FileDigest == run.Plan.FileDigest {
			a.row = earlier
			return a.resume(ctx)
		}
	}
	if _, err := os.Stat(run.Plan.File); errors.Is(err, fs.ErrNotExist) { // overridden after it was tidied away
		step := l.to(run, upgrade.PhasePlanning)
		step.Events[0].Text = "The plan was removed when the run was blocked. It is made again."
		return step, nil
	}
	return a.begin(ctx)
}

// apply is one apply of one run, as its step sees it.
type apply struct {
	*Lifecycle
	work *engine.Work
	run  upgrade.Run
	root plan.Root
	row  upgrade.Apply
	told int // ticks that the journal has already: an adopted apply tells them again
}

// journalPage is how many events of a journal are read at once.
const journalPage = 1000

// skipTold counts the ticks of this apply that an earlier process wrote into the journal.
func (a *apply) skipTold(ctx context.Context) error {
	return a.eachTick(ctx, a.run.ID, a.row.N, func(upgrade.Event) { a.told++ })
}

func (a *apply) attempt() plan.Attempt {
	return plan.Attempt{
		Dir: a.row.Dir, Stack: a.run.Stack, Environment: a.run.Environment,
		File: a.run.Plan.File, FileDigest: a.run.Plan.FileDigest, LockDigest: a.run.Plan.LockDigest,
		Tool: a.run.Plan.Tool, Total: a.run.Plan.Changes(),
	}
}

func (a *apply) begin(ctx context.Context) (upgrade.Step, error) {
	tree := a.run.Tree
	if a.run.Half == upgrade.HalfBack {
		var err error
		if tree, err = a.plannedBase(a.run.ID); err != nil { // not the base of this moment: that may be another one by now
			return upgrade.Step{}, err
		}
	}
	a.run.Applies++
	a.row = upgrade.Apply{
		Run: a.run.ID, N: a.run.Applies, Stack: a.run.Stack, Environment: a.run.Environment,
		Tree: tree, Back: a.run.Half == upgrade.HalfBack,
		FileDigest: a.run.Plan.FileDigest, State: upgrade.ApplyIntended, Host: a.Host, BootID: a.BootID,
		Dir: filepath.Join(a.folder(a.run.ID), "apply-"+strconv.Itoa(a.run.Applies)), BegunAt: a.Clock.Now(),
	}
	a.run.Progress = upgrade.Progress{Total: a.run.Plan.Changes()}
	if err := a.checkpoint(ctx, upgrade.EventApply, "The apply begins.", map[string]string{"n": strconv.Itoa(a.row.N)}); err != nil {
		return upgrade.Step{}, fmt.Errorf("write down the intention to apply: %w", err)
	}
	return a.start(ctx)
}

func (a *apply) start(ctx context.Context) (upgrade.Step, error) {
	if err := a.beginWatch(ctx, a.run); err != nil {
		return upgrade.Step{}, err
	}
	stopWatching := a.watchRequests(ctx)
	ended, err := a.Terraform.Apply(ctx, a.root, a.attempt(), a.tick(ctx))
	stopped := stopWatching()
	if err != nil {
		return a.broke(ctx, err)
	}
	return a.end(ctx, ended, stopped), nil
}

// broke decides what an error of ours means for an apply. Only what certainly changed nothing is planned
// again; of everything else the next look decides, by what the attempt left behind.
func (a *apply) broke(ctx context.Context, err error) (upgrade.Step, error) {
	switch {
	case ctx.Err() != nil:
		return upgrade.Step{}, fmt.Errorf("apply: %w", err) // it goes on; the next owner adopts it
	case errors.Is(err, plan.ErrLost):
		return a.lost(ctx, upgrade.Public(err))
	case upgrade.CodeOf(err) == upgrade.CodeConflict:
		return a.refused(ctx, upgrade.Public(err)), nil
	case upgrade.Transient(err):
		return upgrade.Step{}, fmt.Errorf("apply: %w", err)
	}
	a.Logger.WarnContext(ctx, "apply ended with an error of ours", "run", int64(a.run.ID), "err", err)
	return a.unclear(ctx, upgrade.Public(err)), nil
}

// maxPlans is how often one run plans, when its plans are refused before their first change.
const maxPlans = 3

// refused goes back to planning: the plan was not applied, since it, the lock file or the state is no
// longer what was judged (S2).
func (a *apply) refused(ctx context.Context, why string) upgrade.Step {
	watched := a.endWatch(ctx, a.run)
	a.row.State, a.row.EndedAt = upgrade.ApplyExited, a.Clock.Now()
	var step upgrade.Step
	if a.row.N >= maxPlans {
		step = a.ended(a.run, upgrade.PhaseFailed, upgrade.Cause{
			Kind: upgrade.CauseApply, Message: fmt.Sprintf("%d plans were refused, the last because %s", maxPlans, why),
			Hint: "somebody else changes this state: find out who, then push again",
		})
	} else {
		step = a.to(a.run, upgrade.PhasePlanning)
		step.Events = append(step.Events, a.event(a.run, upgrade.EventNote, "", fmt.Sprintf("The plan was not applied: %s. It is made again.", why)))
	}
	step.Applies, step.Results = []upgrade.Apply{a.row}, watched
	return step
}

// resume deals with an apply that was begun before.
func (a *apply) resume(ctx context.Context) (upgrade.Step, error) {
	switch {
	case a.row.State == upgrade.ApplyExited:
		return a.end(ctx, plan.Ended{OK: a.row.OK, At: a.row.EndedAt, Message: "Terraform stopped"}, nil), nil
	case a.row.State == upgrade.ApplyLost:
		return a.lost(ctx, "nobody knows how it ended")
	case a.row.Host != a.Host:
		return a.elsewhere(ctx), nil
	}
	if err := a.skipTold(ctx); err != nil {
		return upgrade.Step{}, err
	}
	if err := a.resumeWatch(ctx, a.run); err != nil {
		return upgrade.Step{}, err
	}
	stopWatching := a.watchRequests(ctx)
	ended, found, err := a.Terraform.Adopt(ctx, a.attempt(), a.tick(ctx))
	stopped := stopWatching()
	if err != nil {
		return a.broke(ctx, err)
	}
	switch found {
	case plan.FoundResult:
		return a.end(ctx, ended, stopped), nil
	case plan.FoundNeverRan:
		a.dropWatch(ctx, a.run)
		return a.start(ctx)
	case plan.FoundLost:
		return a.lost(ctx, "its process ended without a result")
	}
	return a.unclear(ctx, fmt.Sprintf("an unheard-of finding %q", found)), nil
}

func (a *apply) end(ctx context.Context, ended plan.Ended, stopped []upgrade.Request) upgrade.Step {
	if ended.Stale && len(stopped) == 0 {
		return a.refused(ctx, orWord(ended.Message, "the state has moved since the plan was made"))
	}
	at := a.Clock.Now()
	a.row.State, a.row.OK, a.row.EndedAt = upgrade.ApplyExited, ended.OK, at
	a.run.Progress.Failed = ended.Address
	a.run.ChangedAt = at
	step := a.after(ctx, ended, stopped)
	step.Applies = []upgrade.Apply{a.row}
	return step
}

// after says where the run goes from an apply that ended. Gates that watch go on to the end of settling
// only if the apply is whole and forth; else they are judged now (S12).
func (a *apply) after(ctx context.Context, ended plan.Ended, stopped []upgrade.Request) upgrade.Step {
	if len(stopped) == 0 && ended.OK && !a.row.Back {
		a.run.Round = 1
		a.run.Progress.Done = a.run.Progress.Total
		return a.to(a.run, upgrade.PhaseSettling)
	}
	watched := a.endWatch(ctx, a.run)
	var step upgrade.Step
	switch {
	case len(stopped) > 0:
		a.run.StoppedBy = stopped[0].By.Name
		step = a.by(a.ended(a.run, upgrade.PhaseStopped, upgrade.Cause{Kind: upgrade.CauseStopped, Message: reasonOf(stopped[0])}), a.run.StoppedBy)
		for _, request := range stopped {
			step.Handled = append(step.Handled, request.ID)
		}
	case ended.OK:
		step = a.to(a.run, upgrade.PhasePlanning)
		step.Events[0].Text = "The way back to the base was applied. Whether staging is there, a plan of the base says."
	default:
		message := ended.Message
		if message == "" {
			message = fmt.Sprintf("Terraform ended with exit code %d", ended.ExitCode)
		}
		step = a.ended(a.run, upgrade.PhaseFailed, upgrade.Cause{Kind: upgrade.CauseApply, Message: message})
	}
	step.Results = watched
	return step
}

// tick keeps the progress of the apply in the journal, as it happens.
func (a *apply) tick(ctx context.Context) func(plan.Tick) {
	return func(tick plan.Tick) {
		if tick.Kind == plan.TickLine {
			return
		}
		if a.told > 0 {
			a.told--
			return
		}
		a.run.Progress.Done = tick.Done
		if tick.Total > 0 {
			a.run.Progress.Total = tick.Total
		}
		if a.row.State == upgrade.ApplyIntended {
			a.row.State = upgrade.ApplyStarted
		}
		err := a.checkpoint(ctx, upgrade.EventResource, tick.Text, map[string]string{
			"n": strconv.Itoa(a.row.N), "address": tick.Address, "action": string(tick.Action), "state": string(tick.Kind),
			"at": tick.At.UTC().Format(time.RFC3339Nano),
		})
		if err != nil {
			a.Logger.WarnContext(ctx, "progress was not kept", "run", int64(a.run.ID), "err", err)
		}
	}
}

func (a *apply) checkpoint(ctx context.Context, kind upgrade.EventKind, text string, data map[string]string) error {
	event := a.event(a.run, kind, "", text)
	event.Data = data
	err := a.work.Commit(ctx, upgrade.Step{Runs: []upgrade.Run{a.run}, Applies: []upgrade.Apply{a.row}, Events: []upgrade.Event{event}})
	if err != nil {
		return err
	}
	a.run.Rev++
	return nil
}
