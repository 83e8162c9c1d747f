package lifecycle

import (
	"context"
	"fmt"
	"sync"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// watches are the during gates at work, by run and apply. They live in the process that began the apply. One
// that comes after it goes on with what other places watched meanwhile; what nobody watched, nobody can tell (S5).
type watches struct {
	mu  sync.Mutex // guards all
	all map[watchKey]*watch
}

type watchKey struct {
	run   upgrade.RunID
	apply int
}

// watch is one apply's watching. Its results are asked for again when a step has to be written again.
type watch struct {
	watching *gates.Watching
	once     sync.Once
	results  []upgrade.Result
}

// beginWatch starts the during gates for the run's present apply, unless they watch already.
func (l *Lifecycle) beginWatch(ctx context.Context, run upgrade.Run) error {
	asked := l.gatesOf(run.Stack, upgrade.StageDuring)
	return l.watch(ctx, run, asked, func(in gates.Input) *gates.Watching { return l.runner.Watch(ctx, asked, in) })
}

// resumeWatch goes on with the during gates of an apply that an earlier process began to watch, unless they
// watch already.
func (l *Lifecycle) resumeWatch(ctx context.Context, run upgrade.Run) error {
	asked := l.gatesOf(run.Stack, upgrade.StageDuring)
	if len(asked) == 0 || run.Applies == 0 || l.watching(run) != nil {
		return nil
	}
	applies, err := l.Store.Applies(ctx, run.ID)
	if err != nil {
		return fmt.Errorf("read applies of run %d: %w", run.ID, err)
	}
	for _, apply := range applies {
		if apply.N == run.Applies {
			return l.watch(ctx, run, asked, func(in gates.Input) *gates.Watching { return l.runner.Resume(ctx, asked, in, apply.BegunAt) })
		}
	}
	return nil
}

// watch notes what watches the run's present apply, if nothing does yet.
func (l *Lifecycle) watch(ctx context.Context, run upgrade.Run, asked []gates.Gate, begin func(gates.Input) *gates.Watching) error {
	if len(asked) == 0 {
		return nil
	}
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	key := watchKey{run.ID, run.Applies}
	if l.watches.all[key] != nil {
		return nil
	}
	befores, err := l.befores(ctx, run.ID, run.Applies)
	if err != nil {
		return err
	}
	in := gates.Input{Run: run, Stack: l.stacks[run.Stack], Round: run.Round, Apply: run.Applies, Befores: befores}
	in.Marks = func(ctx context.Context) ([]upgrade.Mark, error) { return l.marks(ctx, run.ID, run.Applies) }
	l.watches.all[key] = &watch{watching: begin(in)}
	return nil
}

// watching returns what watches the run's present apply; nil if nothing does.
func (l *Lifecycle) watching(run upgrade.Run) *watch {
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	return l.watches.all[watchKey{run.ID, run.Applies}]
}

// dropWatch ends what watches an apply that turned out not to have begun, so that it is watched anew.
func (l *Lifecycle) dropWatch(ctx context.Context, run upgrade.Run) {
	if w := l.watching(run); w != nil {
		w.end(context.WithoutCancel(ctx))
		l.watches.mu.Lock()
		defer l.watches.mu.Unlock()
		delete(l.watches.all, watchKey{run.ID, run.Applies})
	}
}

// befores returns what gates found before one apply of a run.
func (l *Lifecycle) befores(ctx context.Context, run upgrade.RunID, apply int) ([]upgrade.Result, error) {
	results, err := l.Store.Results(ctx, run)
	if err != nil {
		return nil, fmt.Errorf("read results of run %d: %w", run, err)
	}
	var befores []upgrade.Result
	for _, result := range results {
		if result.Stage == upgrade.StageBefore && result.Apply == apply {
			befores = append(befores, result)
		}
	}
	return befores, nil
}

// endWatch ends what watches the run's present apply and returns the results. The gates of an apply that
// nobody watched to its end could not tell. Without an apply that is still watched there are none.
func (l *Lifecycle) endWatch(ctx context.Context, run upgrade.Run) []upgrade.Result {
	asked := l.gatesOf(run.Stack, upgrade.StageDuring)
	if len(asked) == 0 || run.Phase != upgrade.PhaseApplying && run.Phase != upgrade.PhaseSettling || run.Applies == 0 {
		return nil
	}
	w := l.watching(run)
	if w == nil {
		if err := l.resumeWatch(ctx, run); err != nil {
			l.Logger.WarnContext(ctx, "watching the apply could not go on", "run", int64(run.ID), "err", err)
		}
		w = l.watching(run)
	}
	if w == nil {
		var blind []upgrade.Result
		for _, gate := range asked {
			result := unanswered(gate, "the service was restarted during the apply, so nobody watched it to its end")
			result.Run, result.Apply, result.Round, result.StartedAt = run.ID, run.Applies, run.Round, l.Clock.Now()
			blind = append(blind, result)
		}
		return blind
	}
	return w.end(context.WithoutCancel(ctx))
}

func (w *watch) end(ctx context.Context) []upgrade.Result {
	w.once.Do(func() { w.results = w.watching.End(ctx) })
	return w.results
}

// forgetWatch drops what was watched, once its results are kept.
func (l *Lifecycle) forgetWatch(ctx context.Context, run upgrade.RunID) {
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	for key, w := range l.watches.all {
		if key.run == run {
			delete(l.watches.all, key)
			go w.end(context.WithoutCancel(ctx)) // what nobody ended must not watch for ever
		}
	}
}
