package lifecycle

import (
	"context"
	"fmt"
	"sync"

	"github.com/upgradegate/upgradegate/gates"
	"github.com/upgradegate/upgradegate/upgrade"
)

// watches are the during gates at work, by run and apply. They live in the process that began the apply:
// what nobody watched after a restart, nobody can tell (S5).
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
	l.watches.all[key] = &watch{watching: l.runner.Watch(ctx, asked, in)}
	return nil
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
	l.watches.mu.Lock()
	w := l.watches.all[watchKey{run.ID, run.Applies}]
	l.watches.mu.Unlock()
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
