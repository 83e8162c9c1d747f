package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/upgradegate/upgradegate/upgrade"
)

// ErrStopping is the cause with which handlers' contexts end when the engine stops.
var ErrStopping = errors.New("the service is stopping")

// ErrLost is the cause with which a handler's context ends when its lease may have gone to somebody else.
var ErrLost = errors.New("the lease was lost")

// Leases is what the engine needs of a store; upgrade.Job and upgrade.Step say what their methods mean.
// Lease times are counted by the store's own clock.
type Leases interface {
	// Recover ends the leases of dead processes; called once, before the first Claim.
	Recover(ctx context.Context) (int, error)
	// Claim takes a job that is due at now, false if there is none.
	Claim(ctx context.Context, worker string, lease time.Duration, now time.Time) (upgrade.Job, bool, error)
	// Heartbeat prolongs all leases of the worker.
	Heartbeat(ctx context.Context, worker string, lease time.Duration) error
	// Nudged returns the worker's jobs that were woken while it holds them, each wake-up once.
	Nudged(ctx context.Context, worker string) ([]upgrade.JobID, error)
	// Retry gives a job back, to be tried again at the given world time; zero: at once. CodeStale: it
	// was lost.
	Retry(ctx context.Context, job upgrade.Job, at time.Time) error
	// Commit writes a step. CodeStale: the job was lost, or something moved since it was read.
	Commit(ctx context.Context, job upgrade.Job, now time.Time, step upgrade.Step) error
	// Woken signals that a job became due in this process.
	Woken() <-chan struct{}
}

// Handler does one piece of work of a claimed job and returns everything that it changes. A step that
// keeps the lease (the zero Next) is written and the handler called again; any other ends the claim.
//
// An error gives the job back: one that may pass (upgrade.Transient) is tried again after a growing
// time, CodeStale at once, any other after the longest time. A handler may be called again after a crash
// at any instant, with nothing but what was committed.
type Handler func(ctx context.Context, w *Work) (upgrade.Step, error)

// Config is what an Engine is made of. Leases, Clock, Log, Worker and Handlers must be set.
type Config struct {
	Leases   Leases
	Clock    upgrade.Clock
	Log      *slog.Logger
	Worker   string        // unique among the processes that share a store
	Parallel int           // jobs at once; 0: 32. A job that waits for an apply occupies one
	Lease    time.Duration // 0: 15 s
	Beat     time.Duration // between two heartbeats; 0: a third of Lease
	Poll     time.Duration // between two looks for due jobs that nobody announced; 0: 1 s
	Handlers map[upgrade.JobKind]Handler
	Random   func() float64 // in [0, 1), spreads retries; nil: math/rand
}

// Engine works on jobs until it is stopped.
type Engine struct {
	Config
	running sync.WaitGroup
	freed   chan struct{} // a place among Parallel became free

	mu     sync.Mutex // guards the fields below
	active map[upgrade.JobID]*Work
	count  int // works that have not ended; more than len(active) while one replaces another
}

// New returns an engine that does nothing until Run.
func New(cfg Config) (*Engine, error) {
	if cfg.Leases == nil || cfg.Clock == nil || cfg.Log == nil || cfg.Worker == "" || len(cfg.Handlers) == 0 {
		return nil, errors.New("make an engine: leases, clock, log, worker and handlers must be set")
	}
	cfg.Parallel = orInt(cfg.Parallel, 32)
	cfg.Lease = orDuration(cfg.Lease, 15*time.Second)
	cfg.Beat = orDuration(cfg.Beat, cfg.Lease/3)
	cfg.Poll = orDuration(cfg.Poll, time.Second)
	if cfg.Beat >= cfg.Lease {
		return nil, fmt.Errorf("make an engine: a lease of %s runs out between heartbeats every %s", cfg.Lease, cfg.Beat)
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	return &Engine{Config: cfg, freed: make(chan struct{}, 1), active: map[upgrade.JobID]*Work{}}, nil
}

// Run works until ctx ends. Then it claims nothing more, ends the handlers' contexts with ErrStopping,
// waits for them, gives back what they hold, and returns nil. It may be called once.
func (e *Engine) Run(ctx context.Context) error {
	recovered, err := e.Leases.Recover(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil //nolint:nilerr // ended before it began; what that breaks off says it in its own ways
	case err != nil:
		return fmt.Errorf("take over from the process before: %w", err)
	}
	if recovered > 0 {
		e.Log.InfoContext(ctx, "leases of a dead process ended", "jobs", recovered)
	}
	// Neither handlers nor heartbeats end with ctx by themselves: leases are kept while handlers wind up.
	base := context.WithoutCancel(ctx)
	beating, stopBeating := context.WithCancel(base)
	working, stopWorking := context.WithCancelCause(base)
	var beats sync.WaitGroup
	beats.Go(func() { e.beat(beating) })
	e.claimLoop(ctx, working)
	stopWorking(ErrStopping)
	e.running.Wait()
	stopBeating()
	beats.Wait()
	return nil
}

// claimLoop starts works until ctx ends.
func (e *Engine) claimLoop(ctx, working context.Context) {
	poll := time.NewTicker(e.Poll)
	defer poll.Stop()
	var moved <-chan struct{} // stays nil with a clock that moves by itself
	if clock, ok := e.Clock.(interface{ Moved() <-chan struct{} }); ok {
		moved = clock.Moved()
	}
	claims, nudges := outage{log: e.Log, what: "claim jobs"}, outage{log: e.Log, what: "look for wake-ups"}
	for ctx.Err() == nil {
		claims.note(ctx, e.claimDue(ctx, working))
		nudges.note(ctx, e.nudge(ctx))
		select {
		case <-ctx.Done():
		case <-e.Leases.Woken():
		case <-e.freed:
		case <-moved:
		case <-poll.C:
		}
	}
}

// claimDue starts a work for each job that is due, as long as there are places.
func (e *Engine) claimDue(ctx, working context.Context) error {
	for ctx.Err() == nil && e.places() > 0 {
		// Before the claim: a clock that is moved by hand must not move between claim and work.
		end := e.Clock.Begin()
		job, ok, err := e.claim(ctx)
		if err != nil || !ok {
			end()
			return err
		}
		e.start(working, job, end)
	}
	return nil
}

func (e *Engine) claim(ctx context.Context) (upgrade.Job, bool, error) {
	// Not cut off by a stop: a claim that was made must not be forgotten.
	ctx, cancel := within(context.WithoutCancel(ctx), e.Lease, "claim")
	defer cancel()
	return e.Leases.Claim(ctx, e.Worker, e.Lease, e.Clock.Now())
}

// start begins a work on a job. If this engine has one on it already, its lease ran out unnoticed: it
// is cancelled, and the new one waits until it has ended.
func (e *Engine) start(working context.Context, job upgrade.Job, end func()) {
	ctx, cancel := context.WithCancelCause(working)
	w := &Work{Job: job, engine: e, nudged: make(chan struct{}, 1), done: make(chan struct{}), cancel: cancel}
	e.mu.Lock()
	before := e.active[job.ID]
	e.active[job.ID] = w
	e.count++
	e.mu.Unlock()
	e.running.Go(func() {
		defer e.finish(w, end)
		if before != nil {
			before.cancel(ErrLost)
			<-before.done
		}
		w.run(ctx)
	})
}

func (e *Engine) finish(w *Work, end func()) {
	w.cancel(nil)
	e.mu.Lock()
	if e.active[w.Job.ID] == w {
		delete(e.active, w.Job.ID)
	}
	e.count--
	e.mu.Unlock()
	close(w.done)
	end()
	select {
	case e.freed <- struct{}{}:
	default:
	}
}

// places returns how many more works may start.
func (e *Engine) places() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Parallel - e.count
}

// nudge tells works that their job was woken.
func (e *Engine) nudge(ctx context.Context) error {
	if e.places() == e.Parallel {
		return nil
	}
	ctx, cancel := within(ctx, e.Lease, "look for wake-ups")
	defer cancel()
	ids, err := e.Leases.Nudged(ctx, e.Worker)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if w := e.active[id]; w != nil {
			w.nudge()
		}
	}
	return err
}

// beat keeps the leases until ctx ends. When it could not for as long as a lease lasts, somebody else
// may hold the jobs by now: all works are cancelled.
func (e *Engine) beat(ctx context.Context) {
	every := time.NewTicker(e.Beat)
	defer every.Stop()
	beats := outage{log: e.Log, what: "prolong leases"}
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		err := e.heartbeat(ctx)
		beats.note(ctx, err)
		if err == nil {
			failed = 0
			continue
		}
		if failed++; time.Duration(failed)*e.Beat >= e.Lease {
			e.lose()
		}
	}
}

func (e *Engine) heartbeat(ctx context.Context) error {
	ctx, cancel := within(ctx, e.Beat, "heartbeat")
	defer cancel()
	return e.Leases.Heartbeat(ctx, e.Worker, e.Lease)
}

// lose cancels every work.
func (e *Engine) lose() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.active {
		w.cancel(ErrLost)
	}
}

func orInt(n, usual int) int {
	if n == 0 {
		return usual
	}
	return n
}

func orDuration(d, usual time.Duration) time.Duration {
	if d == 0 {
		return usual
	}
	return d
}
